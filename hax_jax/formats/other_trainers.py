"""Whole GPT-2 models as nanoGPT and llm.c store them.

nanoGPT (`ckpt.pt`): torch's dictionary `model_args, model, iter_num, optimizer, …`. Its
four kernels of a block are torch's Linear, [out, in]; `bias=False` leaves out every
bias; its GELU is exact. Source: karpathy/nanoGPT, model.py and train.py.

llm.c (`.bin`): 256 int32, of which the first are magic, version (3 float32, 5
bfloat16), positions, vocabulary, blocks, heads, width, padded vocabulary; then the
tensors in the order of `_LLM_C`, kernels [out, in]. Source: karpathy/llm.c,
train_gpt2.py (write_model) and train_gpt2.c (gpt2_build_from_checkpoint).
"""

import dataclasses
import math
import pathlib
import re
from typing import Any

import ml_dtypes
import numpy as np

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.formats import accounting
from hax_jax.model import naming

_MAGIC = 20240326  # of an llm.c model
_HEADER = 256  # int32
_LLM_C_TYPES = {3: np.dtype(np.float32), 5: np.dtype(ml_dtypes.bfloat16)}
_LLM_C = (  # after wte and wpe, each of all blocks, then ln_f
    'ln_1.scale',
    'ln_1.bias',
    'attn.c_attn.kernel',
    'attn.c_attn.bias',
    'attn.c_proj.kernel',
    'attn.c_proj.bias',
    'ln_2.scale',
    'ln_2.bias',
    'mlp.c_fc.kernel',
    'mlp.c_fc.bias',
    'mlp.c_proj.kernel',
    'mlp.c_proj.bias',
)
_BLOCK = re.compile(r'transformer\.h\.(\d+)\.')
_SIZES = ('n_layer', 'n_head', 'n_embd', 'block_size', 'vocab_size')


@dataclasses.dataclass(frozen=True)
class Whole:
    """A model without its tokenizer; parameters are dotted path -> float32 array."""

    model: schema.ModelConfig
    parameters: dict[str, np.ndarray]
    step: int
    trainer: str
    notes: list[str]


def is_nanogpt(stored: dict[Any, Any]) -> bool:
    return isinstance(stored.get('model_args'), dict) and 'model' in stored


def read_nanogpt(path: pathlib.Path, stored: dict[Any, Any]) -> Whole:
    """The model in nanoGPT's dictionary, as `torch_file.load` gives it.

    Raises:
      InputError: lists every tensor that is missing, extra or misshapen.
    """
    said, tensors = stored['model_args'], stored['model']
    wrong = [name for name in _SIZES if type(said.get(name)) is not int]
    if wrong or not isinstance(tensors, dict):
        raise errors.InputError(
            f'{path} has model_args, as nanoGPT writes, but no integers '
            f'{", ".join(wrong)} in it; save it again with nanoGPT.'
        )
    model = schema.ModelConfig(
        n_layer=said['n_layer'],
        n_head=said['n_head'],
        n_embd=said['n_embd'],
        n_positions=said['block_size'],
        vocab_size=said['vocab_size'],
        activation='gelu',
    )
    tensors, notes = accounting.without_prefix(tensors)
    blocks = {m[1] for name in tensors if (m := _BLOCK.match(name))}
    if len(blocks) != model.n_layer:
        raise errors.InputError(
            f'{path} says n_layer={model.n_layer} in model_args, and its tensors have '
            f'{len(blocks)} blocks; give the file of one model.'
        )
    kernels = {
        naming.hugging_face(name): shape
        for name, shape in naming.parameter_shapes(model).items()
        if name.endswith('.kernel')
    }
    tensors = {n: x.T if n in kernels else x for n, x in tensors.items()}
    if not said.get('bias', True):
        notes.append('it was trained without biases: they are zeros')
        biases = [n for n in naming.parameter_shapes(model) if n.endswith('.bias')]
        shapes = naming.parameter_shapes(model)
        for name in biases:
            zeros = np.zeros(shapes[name], np.float32)
            tensors.setdefault(naming.hugging_face(name), zeros)
    parameters, problems = accounting.gpt2(tensors, model)
    if problems:
        raise errors.InputError(
            f'{path} is not a whole model of nanoGPT:\n'
            + '\n'.join(problems)
            + '\nCopy it again, or save it again with nanoGPT.'
        )
    notes.append('AdamW begins anew: optimizer states are not taken over')
    step = stored.get('iter_num')
    return Whole(
        model=model,
        # The file is mapped: copies do not change when it is rewritten.
        parameters={n: np.array(x, np.float32) for n, x in parameters.items()},
        step=step if type(step) is int and step >= 0 else 0,
        trainer='nanoGPT',
        notes=notes,
    )


def is_llm_c(path: pathlib.Path) -> bool:
    with open(path, 'rb') as file:
        return file.read(4) == _MAGIC.to_bytes(4, 'little')


def read_llm_c(path: pathlib.Path) -> Whole:
    """The model in a file of llm.c.

    Raises:
      InputError: its version is unknown, or it is longer or shorter than its header
        says.
    """
    with open(path, 'rb') as file:
        header = np.frombuffer(file.read(4 * _HEADER).ljust(4 * _HEADER, b'\0'), '<i4')
        rest = file.read()
    _, version, n_positions, vocab, n_layer, n_head, n_embd, rows = map(int, header[:8])
    if version not in _LLM_C_TYPES:
        raise errors.InputError(
            f'{path} is of version {version} of llm.c; versions 3 (float32) and 5 '
            '(bfloat16) are read. Write it with train_gpt2.py --write_tensors=1.'
        )
    model = schema.ModelConfig(
        n_layer=n_layer,
        n_head=n_head,
        n_embd=n_embd,
        n_positions=n_positions,
        vocab_size=vocab,
    )
    shapes = naming.parameter_shapes(model)
    stored = {'wte.embedding': (rows, n_embd), 'wpe.embedding': (n_positions, n_embd)}
    for kind in _LLM_C:
        for i in range(n_layer):
            shape = shapes[f'h.{i}.{kind}']
            stored[f'h.{i}.{kind}'] = shape[::-1] if len(shape) == 2 else shape
    stored |= {'ln_f.scale': (n_embd,), 'ln_f.bias': (n_embd,)}
    type_ = _LLM_C_TYPES[version]
    expected = sum(map(math.prod, stored.values())) * type_.itemsize
    if rows < vocab or len(rest) != expected:
        raise errors.InputError(
            f'{path} has {len(rest):,} bytes after its header, and the header says '
            f'{expected:,} ({n_layer} blocks, width {n_embd}, {rows} rows of '
            f'{vocab} tokens); copy it again.'
        )
    parameters, at = {}, 0
    for name, shape in stored.items():
        size = math.prod(shape)
        array = np.frombuffer(rest, type_, size, at).reshape(shape).astype(np.float32)
        parameters[name] = array.T if name.endswith('.kernel') else array
        at += size * type_.itemsize
    parameters['wte.embedding'] = parameters['wte.embedding'][:vocab]
    problems = accounting.problems(parameters, shapes)
    if problems:
        raise errors.InputError(
            f'{path} is damaged:\n' + '\n'.join(problems) + '\nCopy it again.'
        )
    return Whole(model, parameters, step=0, trainer='llm.c', notes=[])
