"""Hugging Face's GPT-2 folders in: every tensor accounted for."""

import dataclasses
import hashlib
import pathlib

import numpy as np

from hax_jax import errors, files, hub
from hax_jax.config import schema
from hax_jax.formats import tensor_files
from hax_jax.model import naming

_FILES = ['config.json', 'tokenizer*', 'vocab.json', 'merges.txt']
# Other names in transformers of what gpt2.py computes. `gelu_fast` has sqrt(2 / pi) to
# ten digits, which is the same float32.
_ACTIVATIONS = {
    'gelu_pytorch_tanh': 'gelu_new',
    'gelu_python_tanh': 'gelu_new',
    'gelu_fast': 'gelu_new',
    'gelu_accurate': 'gelu_new',
    'gelu_python': 'gelu',
}


@dataclasses.dataclass(frozen=True)
class Base:
    """A model to start from; `step` is None unless `path` is a run's workdir."""

    path: str
    step: int | None
    model: schema.ModelConfig
    parameters: dict[str, np.ndarray]
    hash: str


def local_folder(path: str) -> pathlib.Path:
    """The folder at `path`, or of the hub name `path`; InputError if there is none."""
    return hub.local_folder(
        path,
        field='model.pretrained',
        patterns=_FILES,
        one_of=tensor_files.HUB_PATTERNS,
    )


def read_model_config(folder: pathlib.Path) -> schema.ModelConfig:
    """The sizes that a Hugging Face folder's config.json gives.

    Raises:
      InputError: there is none, or it is not of a model that gpt2.py can compute.
    """
    path = folder / 'config.json'
    if not path.exists():
        raise errors.InputError(
            f'model.pretrained: {folder} has no config.json; give a Hugging Face GPT-2 '
            'folder or a run of launch.train.'
        )
    try:
        values = files.read_json_object(path)
    except (OSError, ValueError) as error:
        raise errors.InputError(
            f'model.pretrained: {path} is not readable JSON ({error}); give a Hugging '
            'Face GPT-2 folder or a run of launch.train.'
        ) from error
    problems = []
    if values.get('model_type') != 'gpt2':
        problems.append(f"model_type={values.get('model_type')!r}, not 'gpt2'")
    activation = values.get('activation_function', 'gelu_new')
    accepted = (*schema.ACTIVATIONS, *_ACTIVATIONS)
    if activation not in accepted:
        problems.append(f'activation_function={activation!r}, not one of {accepted}')
    for name, only in (
        ('scale_attn_weights', True),
        ('scale_attn_by_inverse_layer_idx', False),
        ('add_cross_attention', False),
    ):
        if values.get(name, only) != only:
            problems.append(f'{name}={values[name]!r}, not {only}')
    sizes = {
        'n_layer': values.get('n_layer', 12),
        'n_head': values.get('n_head', 12),
        'n_embd': values.get('n_embd', 768),
        'n_positions': values.get('n_positions', values.get('n_ctx', 1024)),
        'vocab_size': values.get('vocab_size', 50257),
    }
    # The file may leave it to be 4 * n_embd, as every published GPT-2 does.
    if values.get('n_inner') not in (None, 4 * sizes['n_embd']):
        sizes['n_inner'] = values['n_inner']
    wrong = {n: v for n, v in sizes.items() if type(v) is not int or v < 1}
    problems += [f'{n}={v!r}, not an integer from 1 on' for n, v in wrong.items()]
    epsilon = values.get('layer_norm_epsilon', 1e-5)
    if type(epsilon) not in (int, float) or epsilon <= 0:
        problems.append(f'layer_norm_epsilon={epsilon!r}, not a number over 0')
    tied = values.get('tie_word_embeddings', True)
    if type(tied) is not bool:
        problems.append(f'tie_word_embeddings={tied!r}, not true or false')
    n_embd, n_head = sizes['n_embd'], sizes['n_head']
    if not wrong and n_embd % n_head:
        problems.append(f'n_embd={n_embd} is not divisible by n_head={n_head}')
    if problems:
        raise errors.InputError(
            f'model.pretrained: {path} is not of a GPT-2 that this trains: '
            + '; '.join(problems)
            + '. Give a folder of another model.'
        )
    return schema.ModelConfig(
        **sizes,
        activation=_ACTIVATIONS.get(activation, activation),
        layer_norm_epsilon=float(epsilon),
        tie_embeddings=tied,
    )


def load_parameters(
    folder: pathlib.Path, model: schema.ModelConfig
) -> dict[str, np.ndarray]:
    """Dotted path -> float32 array, of a folder's safetensors, .bin or .msgpack.

    A head that equals the embeddings is the tied head; buffers are left out.

    Raises:
      InputError: a file is absent or damaged, or a tensor is there twice; else lists
        every tensor that is missing, extra or misshapen, by the file's names.
    """
    tensors = tensor_files.read_folder(folder, field='model.pretrained')
    return naming.accounted(tensors, model, what=f'model.pretrained: {folder}')


def fingerprint(parameters: dict[str, np.ndarray]) -> str:
    """Sha256 over names, shapes and float32 values: the same model, the same hash."""
    digest = hashlib.sha256()
    for name in sorted(parameters):
        array = np.ascontiguousarray(parameters[name], np.float32)
        digest.update(f'{name} {array.shape}\n'.encode())
        digest.update(array.data)
    return digest.hexdigest()
