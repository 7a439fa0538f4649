"""Each tensor that a file stores is the model's, or a difference is named."""

import dataclasses
import pathlib
from collections.abc import Callable

import flax.serialization
import flax.traverse_util
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from hax_jax.config import schema
from hax_jax.formats import accounting
from hax_jax.model import naming

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'
TINY = schema.ModelConfig(n_layer=2, n_head=4, n_embd=32, n_positions=24, vocab_size=64)
UNTIED = dataclasses.replace(TINY, tie_embeddings=False)
Tensors = dict[str, np.ndarray]


def torchs() -> Tensors:
    """What transformers' GPT2LMHeadModel.save_pretrained wrote."""
    return safetensors.numpy.load_file(GOLDEN / 'gpt2' / 'model.safetensors')


def flaxs(name: str = 'gpt2_flax') -> Tensors:
    """What FlaxGPT2LMHeadModel.save_pretrained wrote, read by flax."""
    content = (GOLDEN / name / 'flax_model.msgpack').read_bytes()
    tree = flax.serialization.msgpack_restore(content)
    return flax.traverse_util.flatten_dict(tree, sep='/')


def read(
    stored: Tensors, model: schema.ModelConfig = TINY, **names: Callable[[str], str]
) -> Tensors:
    parameters, problems = accounting.gpt2(stored, model, **names)
    assert problems == []
    return parameters


def lines(
    stored: Tensors, model: schema.ModelConfig = TINY, **names: Callable[[str], str]
) -> list[str]:
    parameters, problems = accounting.gpt2(stored, model, **names)
    assert parameters == {}
    assert problems
    return problems


def test_each_tensor_lies_under_its_name_and_is_not_copied() -> None:
    stored = torchs()
    found = read(stored)
    assert len(found) == len(stored) == 2 + 2 * 12 + 2
    for name, theirs in (
        ('wte.embedding', 'transformer.wte.weight'),
        ('ln_f.scale', 'transformer.ln_f.weight'),
        ('h.1.ln_2.bias', 'transformer.h.1.ln_2.bias'),
        ('h.0.attn.c_proj.kernel', 'transformer.h.0.attn.c_proj.weight'),
    ):
        np.testing.assert_array_equal(found[name], stored[theirs])
        assert np.shares_memory(found[name], stored[theirs])


def test_kernels_of_flax_are_turned_square_ones_too() -> None:
    stored, expected = flaxs(), read(torchs())
    # The trap: this one is square, and its transpose raises no error of shape.
    theirs = stored['transformer/h/1/attn/c_proj/kernel']
    assert theirs.shape == (32, 32)
    np.testing.assert_array_equal(theirs.T, expected['h.1.attn.c_proj.kernel'])
    found = read(stored)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_a_head_of_flax_is_turned_and_compared_turned() -> None:
    stored = flaxs()
    head = np.ascontiguousarray(stored['transformer/wte/embedding'].T)
    tied = read(stored | {'lm_head/kernel': head})
    assert 'lm_head.embedding' not in tied
    untied = read(stored | {'lm_head/kernel': head}, UNTIED)
    np.testing.assert_array_equal(untied['lm_head.embedding'], tied['wte.embedding'])
    assert lines(stored | {'lm_head/kernel': head + 1})[0].startswith(
        'lm_head/kernel differs from transformer/wte/embedding'
    )


def test_any_names_can_be_given_by_a_function() -> None:
    def old(name: str) -> str:
        return f'model.{naming.hugging_face(name)}'

    stored = {f'model.{name}': value for name, value in torchs().items()}
    stored['model.lm_head.weight'] = stored['model.transformer.wte.weight']
    found = read(stored, stored_name=old)
    np.testing.assert_array_equal(
        found['wpe.embedding'], torchs()['transformer.wpe.weight']
    )
    del stored['model.transformer.h.1.ln_1.weight']
    missing = 'missing: model.transformer.h.1.ln_1.weight'
    assert lines(stored, stored_name=old) == [missing]


@pytest.mark.parametrize('prefix', ['transformer.', ''])
def test_all_differences_are_listed_at_once_by_the_files_own_names(prefix: str) -> None:
    stored = {
        name.replace('transformer.', prefix): value for name, value in torchs().items()
    }
    del stored[f'{prefix}ln_f.bias'], stored[f'{prefix}wpe.weight']
    kernel = f'{prefix}h.0.attn.c_attn.weight'
    stored[kernel] = stored[kernel].T
    stored[f'{prefix}h.1.mlp.c_fc.bias'] = np.zeros(128, np.int8)
    stored['lm_head.weight'] = stored[f'{prefix}wte.weight'] + 1
    zero = np.zeros((), np.float32)
    stored |= {'score.weight': zero, f'{prefix}h.2.ln_1.bias': zero}
    extra = sorted([f'extra: {prefix}h.2.ln_1.bias', 'extra: score.weight'])
    assert lines(stored) == [
        f'missing: {prefix}ln_f.bias',
        f'missing: {prefix}wpe.weight',
        f'lm_head.weight differs from {prefix}wte.weight, but config.json ties them; '
        'set tie_word_embeddings to false there if the head is its own',
        *extra,
        f'{kernel} has shape (96, 32), the model (32, 96)',
        f'{prefix}h.1.mlp.c_fc.bias holds int8, not floats',
    ]


def test_shapes_in_messages_are_as_flax_stores_them() -> None:
    stored = flaxs()
    kernel = 'transformer/h/0/mlp/c_fc/kernel'
    stored[kernel] = stored[kernel].T
    assert lines(stored) == [f'{kernel} has shape (32, 128), the model (128, 32)']


def test_an_empty_file_lacks_everything() -> None:
    assert len(lines({})) == 28


@pytest.mark.parametrize('dtype', [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_floats_become_float32(dtype: type) -> None:
    stored = {name: value.astype(dtype) for name, value in torchs().items()}
    for name, value in read(stored).items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, stored[naming.hugging_face(name)])


@pytest.mark.parametrize('dtype', [np.int32, np.bool_, ml_dtypes.float8_e4m3fn])
def test_weights_that_are_codes_of_something_else_are_refused(dtype: type) -> None:
    stored = torchs()
    name = 'transformer.wte.weight'
    stored[name] = stored[name].astype(dtype)
    assert lines(stored) == [f'{name} holds {np.dtype(dtype)}, not floats']


def test_masks_are_left_out_and_biases_of_layers_are_not() -> None:
    mask = np.tril(np.ones((1, 1, 24, 24), np.uint8))
    stored = torchs() | {
        'transformer.h.0.attn.bias': mask,
        'transformer.h.1.attn.masked_bias': np.float32([-1e4]),
    }
    assert len(read(stored)) == 28
    stored['transformer.h.0.attn.c_attn.masked_bias'] = mask
    stored['transformer.h.0.mlp.bias'] = mask
    assert lines(stored) == [
        'extra: transformer.h.0.attn.c_attn.masked_bias',
        'extra: transformer.h.0.mlp.bias',
    ]
