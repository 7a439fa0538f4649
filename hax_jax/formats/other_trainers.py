"""Whole GPT-2 models as nanoGPT, llm.c and OpenAI store them.

nanoGPT (`ckpt.pt`): torch's dictionary `model_args, model, iter_num, optimizer, …`. Its
four kernels of a block are torch's Linear, [out, in]; `bias=False` leaves out every
bias; its GELU is exact. Source: karpathy/nanoGPT, model.py and train.py.

llm.c (`.bin`): 256 int32, of which the first are magic, version (3 float32, 5
bfloat16), positions, vocabulary, blocks, heads, width, padded vocabulary; then the
tensors in the order of `_LLM_C`, kernels [out, in]. Source: karpathy/llm.c,
train_gpt2.py (write_model) and train_gpt2.c (gpt2_build_from_checkpoint).

OpenAI's folder, which gpt-2-simple writes too: TensorFlow's checkpoint, `hparams.json`
and the tokenizer. Kernels are [1, in, out]. Source: openai/gpt-2, src/model.py.
"""

import dataclasses
import json
import math
import pathlib
import re
import shutil
import tempfile
from typing import Any

import ml_dtypes
import numpy as np

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import text
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
HPARAMS = 'hparams.json'
_HPARAM_SIZES = ('n_layer', 'n_head', 'n_embd', 'n_ctx', 'n_vocab')
_OPENAI_TOKENIZER = {'encoder.json': 'vocab.json', 'vocab.bpe': 'merges.txt'}
_SLOTS = ('/Adam', '/Adam_1', '/RMSProp', '/Momentum')  # of the optimizer
_NEWEST = re.compile(r'^model_checkpoint_path: "([^"]+)"', re.MULTILINE)
_OPENAI_KINDS = {'kernel': 'w', 'bias': 'b', 'scale': 'g'}


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
    shapes = naming.parameter_shapes(model)
    kernels = {naming.hugging_face(n) for n in shapes if n.endswith('.kernel')}
    tensors = {n: x.T if n in kernels else x for n, x in tensors.items()}
    if not said.get('bias', True):
        notes.append('it was trained without biases: they are zeros')
        for name in (n for n in shapes if n.endswith('.bias')):
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


def is_openai(folder: pathlib.Path) -> bool:
    return (folder / HPARAMS).is_file()


def read_openai(folder: pathlib.Path) -> Whole:
    """The model in a folder of OpenAI's or of gpt-2-simple's.

    Raises:
      InputError: its sizes are not known, it does not hold one checkpoint, or a tensor
        is missing or misshapen.
    """
    path = folder / HPARAMS
    try:
        said = json.loads(path.read_text(encoding='utf-8'))
        sizes = [said[name] for name in _HPARAM_SIZES]
    except (ValueError, KeyError, TypeError) as error:
        raise errors.InputError(
            f'{path} does not give {", ".join(_HPARAM_SIZES)} ({error!r}); copy that '
            'of the model again.'
        ) from error
    if any(type(size) is not int or size < 1 for size in sizes):
        raise errors.InputError(
            f'{path} says {said}; {", ".join(_HPARAM_SIZES)} are numbers over 0.'
        )
    n_layer, n_head, n_embd, n_positions, vocab_size = sizes
    model = schema.ModelConfig(
        n_layer=n_layer,
        n_head=n_head,
        n_embd=n_embd,
        n_positions=n_positions,
        vocab_size=vocab_size,
    )
    tensors, step = _tensorflow_tensors(_one_checkpoint(folder))
    tensors = {
        name: tensor[0] if name.endswith('/w') and tensor.ndim == 3 else tensor
        for name, tensor in tensors.items()
        if name.startswith('model/')
    }
    parameters, problems = accounting.gpt2(tensors, model, stored_name=_openai_name)
    if problems:
        raise errors.InputError(
            f'{folder} does not hold the model of its {HPARAMS}:\n'
            + '\n'.join(problems)
            + '\nCopy it again.'
        )
    return Whole(model, parameters, step, 'OpenAI', notes=[])


def openai_tokenizer(folder: pathlib.Path) -> text.Tokenizer | None:
    """The tokenizer of OpenAI's folder, under the names of Hugging Face; None if none.

    Raises:
      InputError: its files are damaged.
    """
    if not all((folder / name).is_file() for name in _OPENAI_TOKENIZER):
        return None
    with tempfile.TemporaryDirectory() as copy:
        for theirs, ours in _OPENAI_TOKENIZER.items():
            shutil.copy(folder / theirs, pathlib.Path(copy) / ours)
        return text.load_tokenizer(copy)


def _openai_name(name: str) -> str:
    """h.0.attn.c_attn.kernel -> model/h0/attn/c_attn/w, wte.embedding -> model/wte."""
    *parts, kind = name.split('.')
    parts = [f'h{parts[1]}', *parts[2:]] if parts[0] == 'h' else parts
    return '/'.join(['model', *parts, *filter(None, [_OPENAI_KINDS.get(kind)])])


def _one_checkpoint(folder: pathlib.Path) -> pathlib.Path:
    """The checkpoint's files without their ends: the newest that the folder names."""
    found = sorted(path.with_suffix('') for path in folder.glob('*.index'))
    named = folder / 'checkpoint'
    if len(found) > 1 and named.is_file():  # its lines may have paths of a machine
        said = _NEWEST.search(named.read_text(encoding='utf-8', errors='replace'))
        last = pathlib.PurePath(said[1]).name if said else ''
        found = [path for path in found if path.name == last] or found
    if len(found) != 1:
        raise errors.InputError(
            f'{folder} has {len(found)} checkpoints of TensorFlow (*.index), and one '
            'is needed beside its hparams.json; copy or move the others away.'
        )
    return found[0]


def _tensorflow_tensors(prefix: pathlib.Path) -> tuple[dict[str, np.ndarray], int]:
    """(the float tensors of a checkpoint without its optimizer's, its step or 0)."""
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        names = reader.get_variable_to_shape_map()
        wanted = [name for name in names if not name.endswith(_SLOTS)]
        tensors = {name: reader.get_tensor(name) for name in wanted}
    except (tf.errors.OpError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise errors.InputError(
            f'{prefix} is no checkpoint of TensorFlow, or damaged: {first}. Copy its '
            '.index and .data files again.'
        ) from error
    return tensors, int(tensors.get('global_step', 0))
