"""nanoGPT's, llm.c's and OpenAI's files against their forward formulas in numpy."""

import dataclasses
import json
import math
import pathlib
import shutil

import ml_dtypes
import numpy as np
import pytest
import scipy.special

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.formats import accounting, other_trainers
from hax_jax.model import naming
from hax_jax.runs import restore, same_logits

_SIZES = {'n_layer': 2, 'n_head': 2, 'n_embd': 16, 'block_size': 32, 'vocab_size': 60}
_MODEL = schema.ModelConfig(
    n_layer=2, n_head=2, n_embd=16, n_positions=32, vocab_size=60, attention='xla'
)


def _nanogpt(*, bias: bool) -> dict[str, np.ndarray]:
    """A state_dict of nanoGPT's GPT, its names and shapes by model.py."""
    rng = np.random.default_rng(0)
    d = _SIZES['n_embd']

    def make(*shape: int) -> np.ndarray:
        return (0.3 * rng.normal(size=shape)).astype(np.float32)

    tensors = {
        'transformer.wte.weight': make(60, d),
        'transformer.wpe.weight': make(32, d),
        'transformer.ln_f.weight': 1 + make(d),
    }
    for i in range(2):
        h = f'transformer.h.{i}'
        tensors[f'{h}.ln_1.weight'] = 1 + make(d)
        tensors[f'{h}.ln_2.weight'] = 1 + make(d)
        tensors[f'{h}.attn.c_attn.weight'] = make(3 * d, d)
        tensors[f'{h}.attn.c_proj.weight'] = make(d, d)
        tensors[f'{h}.mlp.c_fc.weight'] = make(4 * d, d)
        tensors[f'{h}.mlp.c_proj.weight'] = make(d, 4 * d)
    if bias:
        for name, tensor in list(tensors.items()):
            if '.wte.' not in name and '.wpe.' not in name:
                tensors[name.replace('weight', 'bias')] = make(tensor.shape[0])
    tensors['lm_head.weight'] = tensors['transformer.wte.weight']
    return tensors


def _forward(
    tensors: dict[str, np.ndarray], ids: list[int], *, exact: bool
) -> np.ndarray:
    """Logits [T, V] of one row in float64: GPT.forward of nanoGPT's model.py."""
    w = {
        name.removeprefix('transformer.'): x.astype(float)
        for name, x in tensors.items()
    }

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f'{name}.weight'].T + w.get(f'{name}.bias', 0.0)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * w[f'{name}.weight'] + w.get(f'{name}.bias', 0.0)

    def gelu(x: np.ndarray) -> np.ndarray:
        if exact:
            return x * scipy.special.ndtr(x)
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    length = len(ids)
    x = w['wte.weight'][ids] + w['wpe.weight'][:length]
    for i in range(_SIZES['n_layer']):
        q, k, v = np.split(linear(norm(x, f'h.{i}.ln_1'), f'h.{i}.attn.c_attn'), 3, -1)
        heads = []
        for each in range(2):
            at = slice(8 * each, 8 * each + 8)
            scores = q[:, at] @ k[:, at].T / math.sqrt(8)
            scores[np.triu_indices(length, 1)] = -np.inf
            heads.append(scipy.special.softmax(scores, -1) @ v[:, at])
        x = x + linear(np.concatenate(heads, -1), f'h.{i}.attn.c_proj')
        hidden = gelu(linear(norm(x, f'h.{i}.ln_2'), f'h.{i}.mlp.c_fc'))
        x = x + linear(hidden, f'h.{i}.mlp.c_proj')
    return norm(x, 'ln_f') @ w['wte.weight'].T


def _ours(found: other_trainers.Whole) -> np.ndarray:
    model = dataclasses.replace(found.model, attention='xla')
    return same_logits.probe(restore.build(model, found.parameters, dtype='float32'))


def _require_parity(
    found: other_trainers.Whole, tensors: dict[str, np.ndarray], *, exact: bool
) -> None:
    ids = np.random.default_rng(0).integers(0, 60, (3, 32))  # the probe's own rows
    theirs = _forward(tensors, ids[0].tolist(), exact=exact)
    assert np.abs(_ours(found)[0] - theirs).max() < 2e-4 < np.abs(theirs).max()


@pytest.mark.parametrize('prefix', ['', '_orig_mod.', 'module._orig_mod.'])
@pytest.mark.parametrize('bias', [True, False])
def test_nanogpt_gives_its_own_logits(bias: bool, prefix: str) -> None:
    tensors = _nanogpt(bias=bias)
    stored = {
        'model': {prefix + name: tensor for name, tensor in tensors.items()},
        'model_args': {**_SIZES, 'bias': bias, 'dropout': 0.0},
        'iter_num': 7,
        'optimizer': {},
    }
    assert other_trainers.is_nanogpt(stored)
    found = other_trainers.read_nanogpt(pathlib.Path('ckpt.pt'), stored)
    assert found.step == 7
    assert any('zeros' in note for note in found.notes) == (not bias)
    assert any('_orig_mod.' in note for note in found.notes) == bool(prefix)
    _require_parity(found, tensors, exact=True)


def test_a_nanogpt_that_lacks_a_tensor_names_it() -> None:
    tensors = _nanogpt(bias=True)
    del tensors['transformer.h.1.mlp.c_fc.weight']
    stored = {'model': tensors, 'model_args': {**_SIZES, 'bias': True}}
    with pytest.raises(errors.InputError, match=r'missing: .*h\.1\.mlp\.c_fc\.weight'):
        other_trainers.read_nanogpt(pathlib.Path('ckpt.pt'), stored)
    stored['model_args'] = {'n_layer': 2}
    with pytest.raises(errors.InputError, match='no integers n_head, n_embd'):
        other_trainers.read_nanogpt(pathlib.Path('ckpt.pt'), stored)


def _write_llm_c(
    path: pathlib.Path, tensors: dict[str, np.ndarray], *, version: int
) -> None:
    """As write_model of llm.c's train_gpt2.py: a padded table, tensor by tensor."""
    header = np.zeros(256, np.int32)
    header[:8] = 20240326, version, 32, 60, 2, 2, 16, 128
    w = {name.removeprefix('transformer.'): x for name, x in tensors.items()}
    rows = [np.pad(w['wte.weight'], ((0, 68), (0, 0))), w['wpe.weight']]
    for part in [
        'ln_1.weight',
        'ln_1.bias',
        'attn.c_attn.weight',
        'attn.c_attn.bias',
        'attn.c_proj.weight',
        'attn.c_proj.bias',
        'ln_2.weight',
        'ln_2.bias',
        'mlp.c_fc.weight',
        'mlp.c_fc.bias',
        'mlp.c_proj.weight',
        'mlp.c_proj.bias',
    ]:
        rows += [w[f'h.{i}.{part}'] for i in range(2)]
    rows += [w['ln_f.weight'], w['ln_f.bias']]
    type_ = {3: np.float32, 5: ml_dtypes.bfloat16}[version]
    content = b''.join(each.astype(type_).tobytes() for each in rows)
    path.write_bytes(header.tobytes() + content)


@pytest.mark.parametrize('version', [3, 5])
def test_llm_c_gives_its_own_logits(tmp_path: pathlib.Path, version: int) -> None:
    tensors = _nanogpt(bias=True)
    path = tmp_path / 'gpt2.bin'
    _write_llm_c(path, tensors, version=version)
    assert other_trainers.is_llm_c(path)
    found = other_trainers.read_llm_c(path)
    if version == 5:
        rounded = {n: x.astype(ml_dtypes.bfloat16) for n, x in tensors.items()}
        tensors = {n: x.astype(np.float32) for n, x in rounded.items()}
    assert found.model == dataclasses.replace(_MODEL, attention=found.model.attention)
    _require_parity(found, tensors, exact=False)


def _write_openai(folder: pathlib.Path, tensors: dict[str, np.ndarray]) -> None:
    """The files of openai/gpt-2's models/124M, as src/model.py names its variables."""
    import tensorflow as tf

    kinds = {'bias': 'b', 'weight': 'g'}  # of a norm; a kernel has w
    stored = {'model/wte': tensors['transformer.wte.weight']}
    stored['model/wpe'] = tensors['transformer.wpe.weight']
    for name, tensor in tensors.items():
        *path, kind = name.removeprefix('transformer.').split('.')
        if path[0] not in ('h', 'ln_f'):
            continue
        path = [f'h{path[1]}', *path[2:]] if path[0] == 'h' else path
        at = '/'.join(['model', *path])
        if tensor.ndim == 2:
            stored[f'{at}/w'] = tensor.T[None]
            stored[f'{at}/w/Adam'] = np.zeros_like(stored[f'{at}/w'])  # gpt-2-simple's
        else:
            stored[f'{at}/{kinds[kind]}'] = tensor
    stored['beta1_power'] = np.float32(0.9)
    tf.raw_ops.SaveV2(
        prefix=str(folder / 'model-40'),
        tensor_names=list(stored),
        shape_and_slices=[''] * len(stored),
        tensors=[np.ascontiguousarray(tensor) for tensor in stored.values()],
    )
    sizes = {'n_layer': 2, 'n_head': 2, 'n_embd': 16, 'n_ctx': 32, 'n_vocab': 60}
    (folder / 'hparams.json').write_text(json.dumps(sizes))
    (folder / 'checkpoint').write_text('model_checkpoint_path: "/root/x/model-40"\n')


def test_openai_gives_its_own_logits(tmp_path: pathlib.Path) -> None:
    tensors = _nanogpt(bias=True)
    _write_openai(tmp_path, tensors)
    assert other_trainers.is_openai(tmp_path)
    found = other_trainers.read_openai(tmp_path)
    assert found.model == dataclasses.replace(_MODEL, attention=found.model.attention)
    _require_parity(found, tensors, exact=False)
    assert other_trainers.openai_tokenizer(tmp_path) is None
    shutil.copy(tmp_path / 'model-40.index', tmp_path / 'model-20.index')
    assert other_trainers.read_openai(tmp_path).model == found.model  # the named one
    (tmp_path / 'checkpoint').unlink()
    with pytest.raises(errors.InputError, match='has 2 checkpoints'):
        other_trainers.read_openai(tmp_path)
    (tmp_path / 'model-20.index').unlink()
    with open(tmp_path / 'model-40.index', 'r+b') as file:
        file.truncate(100)
    with pytest.raises(errors.InputError, match='no checkpoint of TensorFlow'):
        other_trainers.read_openai(tmp_path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [({'n_layer': 3}, 'missing: model/h2/'), ({'n_ctx': '32'}, 'are numbers over 0')],
)
def test_openai_folder_of_other_sizes_is_refused(
    tmp_path: pathlib.Path, change: dict[str, object], message: str
) -> None:
    _write_openai(tmp_path, _nanogpt(bias=True))
    path = tmp_path / 'hparams.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(errors.InputError, match=message):
        other_trainers.read_openai(tmp_path)


def test_a_cut_or_newer_llm_c_file_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'gpt2.bin'
    _write_llm_c(path, _nanogpt(bias=True), version=3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(errors.InputError, match='bytes after its header'):
        other_trainers.read_llm_c(path)
    path.write_bytes(whole[:4] + b'\x09' + whole[5:])
    with pytest.raises(errors.InputError, match=r'version 9 of llm\.c'):
        other_trainers.read_llm_c(path)


def test_a_tied_table_stored_by_its_alias_is_the_model() -> None:
    shapes = naming.parameter_shapes(_MODEL)
    tensors = {naming.hugging_face(n): np.ones(s, 'float32') for n, s in shapes.items()}
    tensors['lm_head.weight'] = tensors.pop('transformer.wte.weight') * 2
    found, problems = accounting.gpt2(tensors, _MODEL)
    assert not problems
    assert (found['wte.embedding'] == 2).all()
