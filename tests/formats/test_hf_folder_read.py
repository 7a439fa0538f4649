"""Hugging Face folders in: each tensor accounted for, each bad folder named."""

import dataclasses
import json
import pathlib
import re
import shutil
from collections.abc import Callable

import flax.serialization
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.formats import hf_folder, pretrained
from hax_jax.model import gpt2, param_tree

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'gpt2'
FLAX = GOLDEN.parent / 'gpt2_flax'
Tensors = dict[str, np.ndarray]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of what transformers' save_pretrained wrote."""
    return shutil.copytree(GOLDEN, tmp_path / 'gpt2')


def stored() -> Tensors:
    return safetensors.numpy.load_file(GOLDEN / 'model.safetensors')


def load(folder: pathlib.Path) -> Tensors:
    return hf_folder.read_parameters(folder, hf_folder.read_model_config(folder))


def rewrite(folder: pathlib.Path, change: Callable[[Tensors], Tensors]) -> None:
    tensors = change(stored())
    safetensors.numpy.save_file(tensors, folder / 'model.safetensors')


def edit_config(folder: pathlib.Path, **values: object) -> None:
    path = folder / 'config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def same(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == np.float32


def test_the_sizes_are_those_of_config_json() -> None:
    assert hf_folder.read_model_config(GOLDEN) == schema.ModelConfig(
        n_layer=2, n_head=4, n_embd=32, n_positions=24, vocab_size=64
    )


def test_sizes_that_config_json_leaves_out_are_gpt2s(folder: pathlib.Path) -> None:
    (folder / 'config.json').write_text('{"model_type": "gpt2"}')
    assert hf_folder.read_model_config(folder) == schema.ModelConfig(
        n_layer=12, n_head=12, n_embd=768, n_positions=1024, vocab_size=50257
    )


@pytest.mark.parametrize(('n_inner', 'expected'), [(None, 0), (128, 0), (100, 100)])
def test_the_width_of_the_mlp_is_kept_where_it_is_not_4_n_embd(
    folder: pathlib.Path, n_inner: int | None, expected: int
) -> None:
    edit_config(folder, n_inner=n_inner)
    assert hf_folder.read_model_config(folder).n_inner == expected


def test_n_ctx_stands_for_n_positions_where_that_is_absent(
    folder: pathlib.Path,
) -> None:
    (folder / 'config.json').write_text('{"model_type": "gpt2", "n_ctx": 77}')
    assert hf_folder.read_model_config(folder).n_positions == 77


def test_each_tensor_lies_under_its_name_bit_for_bit() -> None:
    theirs, ours = stored(), load(GOLDEN)
    assert len(theirs) == len(ours) == 2 + 2 * 12 + 2
    for name, expected in (
        ('wte.embedding', 'wte.weight'),
        ('wpe.embedding', 'wpe.weight'),
        ('ln_f.scale', 'ln_f.weight'),
        ('ln_f.bias', 'ln_f.bias'),
        ('h.1.ln_2.scale', 'h.1.ln_2.weight'),
        ('h.0.attn.c_attn.kernel', 'h.0.attn.c_attn.weight'),
        ('h.0.attn.c_attn.bias', 'h.0.attn.c_attn.bias'),
        ('h.1.mlp.c_proj.kernel', 'h.1.mlp.c_proj.weight'),
    ):
        np.testing.assert_array_equal(ours[name], theirs[f'transformer.{expected}'])


def test_names_without_the_prefix_give_the_same(folder: pathlib.Path) -> None:
    rewrite(folder, lambda t: {n.removeprefix('transformer.'): v for n, v in t.items()})
    same(load(folder), load(GOLDEN))


def test_mask_buffers_are_left_out(folder: pathlib.Path) -> None:
    mask = np.tril(np.ones((1, 1, 24, 24), np.uint8))
    rewrite(
        folder,
        lambda t: (
            t
            | {
                'transformer.h.0.attn.bias': mask,
                'transformer.h.1.attn.masked_bias': np.float32([-1e4]),
            }
        ),
    )
    same(load(folder), load(GOLDEN))


def test_a_tied_head_that_is_present_is_left_out(folder: pathlib.Path) -> None:
    rewrite(folder, lambda t: t | {'lm_head.weight': t['transformer.wte.weight']})
    same(load(folder), load(GOLDEN))


def test_a_head_that_differs_from_the_table_that_config_json_ties_is_refused(
    folder: pathlib.Path,
) -> None:
    rewrite(folder, lambda t: t | {'lm_head.weight': t['transformer.wte.weight'] + 1})
    with pytest.raises(errors.InputError, match='tie_word_embeddings to false'):
        load(folder)


def test_an_untied_head_is_kept_even_where_it_equals_the_embeddings(
    folder: pathlib.Path,
) -> None:
    edit_config(folder, tie_word_embeddings=False)
    for offset in (0, 1):
        head = stored()['transformer.wte.weight'] + np.float32(offset)
        rewrite(folder, lambda t, head=head: t | {'lm_head.weight': head})
        same(load(folder), load(GOLDEN) | {'lm_head.embedding': head})


def test_an_untied_head_that_is_absent_is_missing(folder: pathlib.Path) -> None:
    edit_config(folder, tie_word_embeddings=False)
    with pytest.raises(errors.InputError, match='missing: lm_head'):
        load(folder)


@pytest.mark.parametrize('dtype', [np.float16, ml_dtypes.bfloat16, np.float64])
def test_weights_stored_in_another_precision_become_float32(
    folder: pathlib.Path, dtype: type
) -> None:
    rewrite(folder, lambda t: {name: v.astype(dtype) for name, v in t.items()})
    rounded = {n: v.astype(dtype).astype(np.float32) for n, v in load(GOLDEN).items()}
    same(load(folder), rounded)


def test_a_shard_that_was_not_copied_is_named(folder: pathlib.Path) -> None:
    tensors = stored()
    (folder / 'model.safetensors').unlink()
    names = sorted(tensors)
    index = {}
    for i, part in enumerate((names[:9], names[9:20], names[20:]), start=1):
        file = f'model-{i:05}-of-00003.safetensors'
        safetensors.numpy.save_file({n: tensors[n] for n in part}, folder / file)
        index |= dict.fromkeys(part, file)
    (folder / 'model.safetensors.index.json').write_text(
        json.dumps({'metadata': {}, 'weight_map': index})
    )
    same(load(folder), load(GOLDEN))
    assert pretrained.fingerprint(load(folder)) == pretrained.fingerprint(load(GOLDEN))
    (folder / 'model-00002-of-00003.safetensors').unlink()
    with pytest.raises(errors.InputError, match='lacks model-00002-of-00003'):
        load(folder)


def test_a_tensor_that_lies_there_twice_is_named(folder: pathlib.Path) -> None:
    name = 'transformer.wpe.weight'
    safetensors.numpy.save_file({name: stored()[name] + 1}, folder / 'old.safetensors')
    with pytest.raises(errors.InputError, match=r'wpe\.weight.*old\.safetensors'):
        load(folder)


def test_all_that_is_missing_extra_and_misshapen_is_listed_as_stored(
    folder: pathlib.Path,
) -> None:
    def change(tensors: Tensors) -> Tensors:
        del tensors['transformer.ln_f.bias'], tensors['transformer.wpe.weight']
        kernel = 'transformer.h.0.attn.c_attn.weight'
        tensors[kernel] = np.ascontiguousarray(tensors[kernel].T)
        zero = np.zeros((), np.float32)
        return tensors | {'score.weight': zero, 'transformer.h.2.ln_1.bias': zero}

    rewrite(folder, change)
    with pytest.raises(errors.InputError) as error:
        load(folder)
    head, *lines = str(error.value).splitlines()
    assert head.startswith(f'model.pretrained: {folder} does not hold')
    assert lines == [
        'missing: transformer.ln_f.bias',
        'missing: transformer.wpe.weight',
        'extra: score.weight',
        'extra: transformer.h.2.ln_1.bias',
        'transformer.h.0.attn.c_attn.weight has shape (96, 32), the model (32, 96)',
    ]


def test_flax_weights_equal_those_in_torch_that_transformers_made_them_of() -> None:
    same(load(FLAX), load(GOLDEN))
    assert pretrained.fingerprint(load(FLAX)) == pretrained.fingerprint(load(GOLDEN))


@pytest.mark.parametrize('name', ['gpt2_flax', 'gpt2_flax_untied'])
def test_flax_weights_give_the_logits_of_transformers_flax_model(name: str) -> None:
    golden = np.load(GOLDEN.parent / 'gpt2_flax.npz')
    model = hf_folder.read_model_config(GOLDEN.parent / name)
    assert model.tie_embeddings == (name == 'gpt2_flax')
    model = dataclasses.replace(model, attention='xla')
    parameters = load(GOLDEN.parent / name)
    graphdef, state = nnx.split(
        nnx.eval_shape(
            lambda: gpt2.Gpt2(model, dtype=jnp.dtype('float32'), rngs=nnx.Rngs(0))
        )
    )
    leaves = [jnp.asarray(parameters[leaf]) for leaf in param_tree.named(state)]
    state = jax.tree.unflatten(jax.tree.structure(state), leaves)
    ids = jnp.asarray(golden[f'{name} ids'])
    positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    filled = nnx.merge(graphdef, state)
    hidden, table = filled.head(filled(ids, positions, jnp.ones_like(ids)))
    np.testing.assert_allclose(
        hidden @ table.T, golden[f'{name} logits'], rtol=0, atol=1e-4
    )


def test_flax_weights_without_a_head_have_no_prefix(folder: pathlib.Path) -> None:
    (folder / 'model.safetensors').unlink()
    path = folder / 'flax_model.msgpack'
    content = (FLAX / 'flax_model.msgpack').read_bytes()
    tree = flax.serialization.msgpack_restore(content)['transformer']
    path.write_bytes(flax.serialization.msgpack_serialize(tree))
    same(load(folder), load(GOLDEN))
    del tree['h']['1']['attn']['c_proj']['kernel']
    path.write_bytes(flax.serialization.msgpack_serialize(tree))
    with pytest.raises(errors.InputError, match=r'\nmissing: h/1/attn/c_proj/kernel$'):
        load(folder)


@pytest.mark.parametrize('headless', [True, False])
def test_torch_weights_equal_the_same_in_safetensors(
    folder: pathlib.Path, headless: bool
) -> None:
    torch = pytest.importorskip('torch', reason='only torch writes its files')
    (folder / 'model.safetensors').unlink()
    tensors = {name: torch.from_numpy(value) for name, value in stored().items()}
    if headless:
        tensors = {n.removeprefix('transformer.'): v for n, v in tensors.items()}
    else:  # as torch.save(model.state_dict()) writes it
        tensors['lm_head.weight'] = tensors['transformer.wte.weight']
        tensors['transformer.h.0.attn.bias'] = torch.ones(1, 1, 24, 24).tril().bool()
        tensors['transformer.h.0.attn.masked_bias'] = torch.tensor(-1e4)
    torch.save(tensors, folder / 'pytorch_model.bin')
    same(load(folder), load(GOLDEN))


def cut(folder: pathlib.Path) -> None:
    path = folder / 'model.safetensors'
    path.write_bytes(path.read_bytes()[:50_000])


def cut_in_the_header(folder: pathlib.Path) -> None:
    path = folder / 'model.safetensors'
    path.write_bytes(path.read_bytes()[:100])


def emptied(folder: pathlib.Path) -> None:
    (folder / 'model.safetensors').write_bytes(b'')


def another_kind_of_file(folder: pathlib.Path) -> None:
    (folder / 'model.safetensors').write_text('version https://git-lfs.github.com/spec')


@pytest.mark.parametrize(
    'damage', [cut, cut_in_the_header, emptied, another_kind_of_file]
)
def test_a_damaged_file_is_named(
    folder: pathlib.Path, damage: Callable[[pathlib.Path], None]
) -> None:
    damage(folder)
    with pytest.raises(errors.InputError, match=r'model\.safetensors is damaged'):
        load(folder)


def test_a_folder_without_weights_names_the_remedy(folder: pathlib.Path) -> None:
    (folder / 'model.safetensors').rename(folder / 'tf_model.h5')
    with pytest.raises(errors.InputError, match=r'no model\.saf.*save_pretrained'):
        load(folder)


@pytest.mark.parametrize(
    ('values', 'named'),
    [
        ({'model_type': 'llama'}, "model_type='llama'"),
        ({'model_type': None}, 'model_type=None'),
        ({'activation_function': 'silu'}, "activation_function='silu'"),
        ({'scale_attn_weights': 'no'}, "scale_attn_weights='no'"),
        ({'add_cross_attention': True}, 'add_cross_attention=True'),
        ({'n_inner': 0}, 'n_inner=0'),
        ({'n_inner': '128'}, "n_inner='128'"),
        ({'layer_norm_epsilon': '1e-5'}, "layer_norm_epsilon='1e-5'"),
        ({'layer_norm_epsilon': 0}, 'layer_norm_epsilon=0'),
        ({'tie_word_embeddings': 'no'}, "tie_word_embeddings='no'"),
        ({'activation_function': 'quick_gelu'}, "activation_function='quick_gelu'"),
        ({'n_layer': '2'}, "n_layer='2'"),
        ({'n_layer': 10**9}, 'n_layer=1000000000, not an integer from 1 to 512'),
        ({'vocab_size': 10**9}, 'vocab_size=1000000000, not an integer from 1 to 1,04'),
        ({'n_embd': 0}, 'n_embd=0'),
        ({'vocab_size': None}, 'vocab_size=None'),
        ({'n_head': 5}, 'n_embd=32 is not divisible by n_head=5'),
    ],
)
def test_a_model_that_gpt2_py_cannot_compute_is_refused_by_name(
    folder: pathlib.Path, values: dict[str, object], named: str
) -> None:
    edit_config(folder, **values)
    with pytest.raises(errors.InputError) as error:
        hf_folder.read_model_config(folder)
    assert named in str(error.value)
    assert str(folder / 'config.json') in str(error.value)


def test_all_that_it_cannot_compute_is_named_at_once(folder: pathlib.Path) -> None:
    edit_config(folder, model_type='opt', activation_function='silu', n_inner=-7)
    with pytest.raises(errors.InputError, match=r"'opt'.*'silu'.*n_inner=-7"):
        hf_folder.read_model_config(folder)


@pytest.mark.parametrize('activation', schema.ACTIVATIONS)
def test_an_activation_that_gpt2_py_has_is_honoured(
    folder: pathlib.Path, activation: str
) -> None:
    edit_config(folder, activation_function=activation, layer_norm_epsilon=1e-3)
    model = hf_folder.read_model_config(folder)
    assert model.activation == activation
    assert model.layer_norm_epsilon == 1e-3


OTHER_NAMES = [
    ('gelu_pytorch_tanh', 'gelu_new'),
    ('gelu_python_tanh', 'gelu_new'),
    ('gelu_fast', 'gelu_new'),
    ('gelu_accurate', 'gelu_new'),
    ('gelu_python', 'gelu'),
]


@pytest.mark.parametrize(('name', 'is_called'), OTHER_NAMES)
def test_another_name_of_an_activation_is_honoured(
    folder: pathlib.Path, name: str, is_called: str
) -> None:
    edit_config(folder, activation_function=name)
    assert hf_folder.read_model_config(folder).activation == is_called


@pytest.mark.parametrize(('name', 'is_called'), OTHER_NAMES)
def test_another_name_of_an_activation_is_of_the_same_function(
    name: str, is_called: str
) -> None:
    torch = pytest.importorskip('torch', reason='transformers computes it with torch')
    from transformers import activations

    x = torch.linspace(-6, 6, 1001, dtype=torch.float64)
    theirs = activations.get_activation(name)(x)
    np.testing.assert_allclose(
        theirs, activations.get_activation(is_called)(x), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize('content', [b'', b'{"model_type"', b'\xff\xfe', b'[]'])
def test_a_config_json_that_is_no_json_object_is_refused(
    folder: pathlib.Path, content: bytes
) -> None:
    (folder / 'config.json').write_bytes(content)
    with pytest.raises(errors.InputError, match=r'config\.json is not readable JSON'):
        hf_folder.read_model_config(folder)


@pytest.mark.parametrize('path', ['./nowhere', '/no/such/gpt2', 'a/b/c', 'gpt 2'])
def test_a_path_that_is_no_folder_and_no_hub_name_is_refused(path: str) -> None:
    with pytest.raises(
        errors.InputError, match=r'model\.pretrained=.* is not a folder'
    ):
        hf_folder.local_folder(path)


def test_the_fingerprint_is_of_names_shapes_and_values_alone() -> None:
    parameters = load(GOLDEN)
    digest = pretrained.fingerprint(parameters)
    backwards = {
        name: np.asfortranarray(parameters[name]) for name in reversed(parameters)
    }
    assert pretrained.fingerprint(backwards) == digest
    one_value = parameters | {'ln_f.bias': parameters['ln_f.bias'].copy()}
    one_value['ln_f.bias'][3] = np.nextafter(one_value['ln_f.bias'][3], 1)
    other_name = dict(parameters)
    other_name['ln_g.bias'] = other_name.pop('ln_f.bias')
    other_shape = dict(parameters)
    other_shape['ln_f.bias'] = parameters['ln_f.bias'].reshape(2, 16)
    digests = {pretrained.fingerprint(p) for p in (one_value, other_name, other_shape)}
    assert len(digests | {digest}) == 4


def test_a_tensor_that_is_not_finite_is_named(folder: pathlib.Path) -> None:
    name = 'transformer.h.1.mlp.c_fc.weight'
    for value in (np.nan, np.inf):
        rewrite(folder, lambda t, value=value: t | {name: t[name] * np.float32(value)})
        with pytest.raises(
            errors.InputError, match=f'{name} holds numbers that are not'
        ):
            load(folder)


def test_a_folder_without_config_json_and_a_file_are_told_apart(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(errors.InputError, match=r'has no config\.json'):
        hf_folder.read_model_config(tmp_path)
    file = tmp_path / 'model.safetensors'
    file.touch()
    (tmp_path / 'config.json').touch()
    with pytest.raises(errors.InputError, match='is a file; give the folder'):
        hf_folder.local_folder(str(file))


@pytest.mark.parametrize(
    ('name', 'given', 'more'),
    [
        ('adapter_config.json', '', ' --base=MODEL'),
        ('hparams.json', '', ''),
        ('model.gguf', '/model.gguf', ''),
        ('ckpt.pt', '/ckpt.pt', ''),
    ],
)
def test_a_model_in_another_form_is_told_with_the_command_that_imports_it(
    name: str, given: str, more: str, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / 'my model'
    folder.mkdir()
    (folder / name).touch()
    command = f"launch.import_checkpoint '{folder}{given}'{more} --output=models/imp"
    with pytest.raises(errors.InputError, match=re.escape(command)):
        hf_folder.read_model_config(folder)
    if given:
        with pytest.raises(errors.InputError, match=re.escape(command)):
            hf_folder.local_folder(f'{folder}{given}')
