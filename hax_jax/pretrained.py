"""Hugging Face's GPT-2 folders in: every tensor accounted for."""

import dataclasses
import hashlib
import json
import pathlib
import re

import numpy as np
import safetensors

from hax_jax import config, hub, layouts

_FILES = ['config.json', '*.safetensors', '*.safetensors.index.json', 'tokenizer*']
_FILES += ['vocab.json', 'merges.txt']
_BUFFER = re.compile(r'h\.\d+\.attn\.(bias|masked_bias)$')  # masks, not parameters


@dataclasses.dataclass(frozen=True)
class Base:
    """A model to start from; `step` is None unless `path` is a run's workdir."""

    path: str
    step: int | None
    model: config.ModelConfig
    parameters: dict[str, np.ndarray]
    hash: str


def local_folder(path: str) -> pathlib.Path:
    """The folder at `path`, or of the hub name `path`; InputError if there is none."""
    return hub.local_folder(path, field='model.pretrained', patterns=_FILES)


def read_model_config(folder: pathlib.Path) -> config.ModelConfig:
    """The sizes that a Hugging Face folder's config.json gives.

    Raises:
      InputError: there is none, or it is not of a model that gpt2.py can compute.
    """
    path = folder / 'config.json'
    try:
        values = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(values, dict):
            raise ValueError(f'a {type(values).__name__}, not an object')
    except (OSError, ValueError) as error:
        raise config.InputError(
            f'model.pretrained: {path} is not readable JSON ({error}); give a Hugging '
            'Face GPT-2 folder or a run of launch.train.'
        ) from error
    problems = []
    if values.get('model_type') != 'gpt2':
        problems.append(f"model_type={values.get('model_type')!r}, not 'gpt2'")
    activation = values.get('activation_function', 'gelu_new')
    if activation not in config.ACTIVATIONS:
        problems.append(
            f'activation_function={activation!r}, not one of {config.ACTIVATIONS}'
        )
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
    wrong = {n: v for n, v in sizes.items() if type(v) is not int or v < 1}
    problems += [f'{n}={v!r}, not an integer from 1 on' for n, v in wrong.items()]
    n_embd, n_head = sizes['n_embd'], sizes['n_head']
    if not wrong and n_embd % n_head:
        problems.append(f'n_embd={n_embd} is not divisible by n_head={n_head}')
    if not wrong and values.get('n_inner') not in (None, 4 * n_embd):
        problems.append(f'n_inner={values["n_inner"]}, not 4 * n_embd')
    if problems:
        raise config.InputError(
            f'model.pretrained: {path} is not of a GPT-2 that this trains: '
            + '; '.join(problems)
            + '.'
        )
    return config.ModelConfig(
        **sizes,
        activation=activation,
        layer_norm_epsilon=float(values.get('layer_norm_epsilon', 1e-5)),
        tie_embeddings=values.get('tie_word_embeddings', True),
    )


def load_parameters(
    folder: pathlib.Path, model: config.ModelConfig
) -> dict[str, np.ndarray]:
    """Dotted path -> float32 array, of a folder's safetensors.

    A head that equals the embeddings is the tied head; buffers are left out.

    Raises:
      InputError: lists every tensor that is missing, extra, misshapen or there twice.
    """
    files = sorted(folder.glob('*.safetensors'))
    if not files:
        raise config.InputError(
            f'model.pretrained: {folder} has no .safetensors file; save the model with '
            "transformers' save_pretrained, which writes one."
        )
    stored: dict[str, np.ndarray] = {}
    problems = []
    for file in files:
        try:
            with safetensors.safe_open(file, framework='numpy') as tensors:
                for key in tensors.keys():  # noqa: SIM118 (not a dict)
                    name = key.removeprefix('transformer.')
                    if name in stored:
                        problems.append(f'twice: {name}, again in {file.name}')
                    stored[name] = tensors.get_tensor(key)
        except (safetensors.SafetensorError, OSError) as error:
            raise config.InputError(
                f'model.pretrained: {file} is damaged or cut short: {error}; copy it '
                'again.'
            ) from error
    head = stored.pop('lm_head.weight', None)
    if head is not None and (
        not model.tie_embeddings
        or not np.array_equal(head, stored.get('wte.weight', head))
    ):
        if model.tie_embeddings:
            raise config.InputError(
                f'model.pretrained: {folder}: lm_head.weight differs from wte.weight, '
                'but config.json ties them; set tie_word_embeddings to false there if '
                'the head is its own.'
            )
        stored['lm_head.weight'] = head
    found = {
        layouts.ours(name): tensor
        for name, tensor in stored.items()
        if not _BUFFER.search(name)
    }
    expected = layouts.parameter_shapes(model)
    problems += [f'missing: {name}' for name in sorted(expected.keys() - found.keys())]
    problems += [f'extra: {name}' for name in sorted(found.keys() - expected.keys())]
    problems += [
        f'{name} has shape {found[name].shape}, config.json says {shape}'
        for name, shape in expected.items()
        if name in found and found[name].shape != shape
    ]
    if problems:
        raise config.InputError(
            f'model.pretrained: {folder} does not hold the model of its config.json:\n'
            + '\n'.join(problems)
        )
    return {name: np.asarray(found[name], np.float32) for name in expected}


def fingerprint(parameters: dict[str, np.ndarray]) -> str:
    """Sha256 over names, shapes and float32 values: the same model, the same hash."""
    digest = hashlib.sha256()
    for name in sorted(parameters):
        array = np.ascontiguousarray(parameters[name], np.float32)
        digest.update(f'{name} {array.shape}\n'.encode())
        digest.update(array.data)
    return digest.hexdigest()
