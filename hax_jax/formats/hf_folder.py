"""Hugging Face's GPT-2 folders, read and written as transformers does."""

import dataclasses
import pathlib
import sys
from typing import Any

import numpy as np

from hax_jax import errors, files, hub, sha256sums
from hax_jax.config import ranges, schema
from hax_jax.data import text
from hax_jax.formats import accounting, hf_tokenizer, model_card, weight_files
from hax_jax.model import naming

_FILES = ['config.json', *text.TOKENIZER_FILES]
# transformers' other names of activations that gpt2.py computes. `gelu_fast` has
# sqrt(2 / pi) to ten digits, which is the same float32.
_ACTIVATIONS = {
    'gelu_pytorch_tanh': 'gelu_new',
    'gelu_python_tanh': 'gelu_new',
    'gelu_fast': 'gelu_new',
    'gelu_accurate': 'gelu_new',
    'gelu_python': 'gelu',
}
_SCALES = {'scale_attn_weights': True, 'scale_attn_by_inverse_layer_idx': False}
_ONLY = {  # fields of which gpt2.py can compute one value alone
    'add_cross_attention': False
}


def local_folder(path: str, *, field: str = 'model.pretrained') -> pathlib.Path:
    """The folder at `path`, or of the hub name `path`; InputError if there is none."""
    return hub.local_folder(
        path, field=field, patterns=_FILES, one_of=weight_files.HUB_PATTERNS
    )


def read_model_config(
    folder: pathlib.Path, *, name: str = 'config.json', field: str = 'model.pretrained'
) -> schema.ModelConfig:
    """The sizes in a folder's config.json; `field` is who named the folder.

    Raises:
      InputError: there is none, or it describes a model that gpt2.py can't compute.
    """
    path = folder / name
    sha256sums.check(folder, [path.name])
    try:
        values = files.read_json_object(path)
    except (OSError, ValueError) as error:
        found = f'{path} is not readable JSON ({errors.cause(error)})'
        if not path.exists():
            found = f'{folder} has no {name}'
        remedy = 'give a Hugging Face GPT-2 folder'
        if field == 'model.pretrained':
            remedy = _imported(folder) or f'{remedy} or a run of launch.train'
        raise errors.InputError(f'{field}: {found}; {remedy}.') from error
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
    activation = values.get('activation_function', 'gelu_new')
    epsilon = values.get('layer_norm_epsilon', 1e-5)
    tied = values.get('tie_word_embeddings', True)
    scales = {name: values.get(name, default) for name, default in _SCALES.items()}
    problems = _config_problems(values, sizes, activation, epsilon, tied)
    if problems:
        raise errors.InputError(
            f'{field}: {path} is not of a GPT-2 that this trains: '
            + '; '.join(problems)
            + '. Give a folder of another model.'
        )
    return schema.ModelConfig(
        **sizes,
        activation=_ACTIVATIONS.get(activation, activation),
        layer_norm_epsilon=float(epsilon),
        tie_embeddings=tied,
        **scales,
    )


def _imported(folder: pathlib.Path) -> str:
    """The remedy for a folder that has a model in another form; '' if none shows."""
    if (folder / 'adapter_config.json').exists():
        return hub.import_first(folder, ' --base=MODEL')
    if (folder / 'hparams.json').exists():
        return hub.import_first(folder)
    found = sorted([*folder.glob('*.gguf'), *folder.glob('*.pt')])
    return hub.import_first(found[0]) if found else ''


def _config_problems(
    values: dict[str, Any],
    sizes: dict[str, Any],
    activation: Any,
    epsilon: Any,
    tied: Any,
) -> list[str]:
    accepted = (*schema.ACTIVATIONS, *_ACTIVATIONS)
    most = dict.fromkeys(sizes, ranges.MOST) | {'n_layer': ranges.MOST_LAYERS}
    wrong_sizes = {
        n: v for n, v in sizes.items() if type(v) is not int or not 1 <= v <= most[n]
    }
    found = []
    if values.get('model_type') != 'gpt2':
        found.append(f"model_type={values.get('model_type')!r}, not 'gpt2'")
    if activation not in accepted:
        found.append(
            f'activation_function={activation!r}, not one of {", ".join(accepted)}'
        )
    found += [
        f'{name}={values[name]!r}, not {only}'
        for name, only in _ONLY.items()
        if values.get(name, only) != only
    ]
    found += [
        f'{n}={v!r}, not an integer from 1 to {most[n]:,}'
        for n, v in wrong_sizes.items()
    ]
    if type(epsilon) not in (int, float) or epsilon <= 0:
        found.append(f'layer_norm_epsilon={epsilon!r}, not a number over 0')
    found += [
        f'{name}={values[name]!r}, not true or false'
        for name in _SCALES
        if type(values.get(name, False)) is not bool
    ]
    if type(tied) is not bool:
        found.append(f'tie_word_embeddings={tied!r}, not true or false')
    n_embd, n_head = sizes['n_embd'], sizes['n_head']
    if not wrong_sizes and n_embd % n_head:
        found.append(f'n_embd={n_embd} is not divisible by n_head={n_head}')
    return found


def read_parameters(
    folder: pathlib.Path, model: schema.ModelConfig
) -> dict[str, np.ndarray]:
    """Dotted path -> float32 array, of a folder's safetensors, .bin or .msgpack.

    A head that equals the embeddings is the tied head; mask buffers are left out.

    Raises:
      InputError: a file is absent, damaged or not as SHA256SUMS has it, or a tensor is
        there twice; else lists every tensor that is missing, extra or misshapen, by the
        file's names.
    """
    sha256sums.check(folder, weight_files.PATTERNS)
    tensors = weight_files.read_folder(folder, field='model.pretrained')
    tensors, notes = accounting.without_prefix(tensors)
    for note in notes:
        print(f'note: {folder}: {note}', file=sys.stderr)
    parameters, problems = accounting.gpt2(tensors, model)
    if problems:
        raise errors.InputError(
            f'model.pretrained: {folder} does not hold the model that it should; copy '
            'it again with the config that belongs to it, or give another:\n'
            + '\n'.join(problems)
        )
    return parameters


def write(
    folder: pathlib.Path,
    model: schema.ModelConfig,
    parameters: dict[str, np.ndarray],
    tokenizer: text.Tokenizer,
    *,
    card: str,
    dtype: str = 'float32',
    max_shard_size: str = '5GB',
) -> list[str]:
    """Writes all that transformers loads, and SHA256SUMS, into `folder`, which exists.

    `parameters` is dotted path -> array, of a vocabulary without padding; `card` is the
    README.md (`model_card.make`), `dtype` one of `weight_files.DTYPES`. Returns notes
    for the folder's reader, which are added to the card too.

    Raises:
      ValueError: `parameters` are not those of `model`.
      MismatchError: the folder's tokenizer, GPT-2's BPE, gives transformers other ids.
    """
    model = dataclasses.replace(model, pad_vocab_to_multiple_of=1)
    expected = naming.parameter_shapes(model)
    accounting.require(parameters, expected, what='parameters')
    _write_configs(folder, model, eos_id=tokenizer.eos_id, dtype=dtype)
    tensors = {naming.hugging_face(name): parameters[name] for name in expected}
    weight_files.write_model(
        folder, tensors, dtype=dtype, max_shard_size=max_shard_size
    )
    notes = hf_tokenizer.write(folder, tokenizer, n_positions=model.n_positions)
    model_card.write(folder, card, notes)
    return notes


def _write_configs(
    folder: pathlib.Path, model: schema.ModelConfig, *, eos_id: int, dtype: str
) -> None:
    """Writes config.json and generation_config.json."""
    import transformers  # 1 s to import

    special = {'bos_token_id': eos_id, 'eos_token_id': eos_id, 'pad_token_id': eos_id}
    same = ('vocab_size', 'n_positions', 'n_embd', 'n_layer', 'n_head')
    same += tuple(_SCALES)
    same += ('resid_pdrop', 'embd_pdrop', 'attn_pdrop', 'layer_norm_epsilon')
    transformers.GPT2Config(
        **{name: getattr(model, name) for name in same},
        n_inner=model.n_inner or None,
        activation_function=model.activation,
        tie_word_embeddings=model.tie_embeddings,
        architectures=['GPT2LMHeadModel'],
        dtype=dtype,
        n_ctx=model.n_positions,  # llama.cpp's conversion reads it
        **special,
    ).save_pretrained(folder)
    sampling = schema.SamplingConfig()
    transformers.GenerationConfig(
        max_new_tokens=model_card.max_new_tokens(model.n_positions),
        do_sample=True,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        **special,
    ).save_pretrained(folder)
