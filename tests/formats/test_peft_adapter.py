"""PEFT's folders by its own layout and, where it is installed, against peft itself."""

import copy
import json
import pathlib
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.formats import peft_adapter
from hax_jax.model import lora

TINY = schema.ModelConfig(
    n_layer=2, n_head=2, n_embd=16, n_positions=8, vocab_size=24, attention='xla'
)
IN_OUT = {
    'attn.c_attn': (16, 48),
    'attn.c_proj': (16, 16),
    'mlp.c_fc': (16, 64),
    'mlp.c_proj': (64, 16),
    'lm_head': (16, 24),
}
ALL = ('attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj')
ATTENTION = ['h.0.attn.c_attn', 'h.1.attn.c_attn']
NEEDS_PEFT = 'peft and torch are development tools: not installed'
Tensors = dict[str, np.ndarray]


def settings(**changes: Any) -> schema.LoraConfig:
    values = {'rank': 4, 'alpha': 6.0, 'targets': ('attn.c_attn',)}
    return schema.LoraConfig(**(values | changes))


def adapter(layers: list[str], *, dora: bool = False, seed: int = 0) -> Tensors:
    """Random tensors of rank 4, by our names."""
    rng = np.random.default_rng(seed)
    out = {}
    for layer in layers:
        size_in, size_out = IN_OUT[layer.split('.', 2)[-1]]
        out[f'{layer}.lora_a'] = rng.normal(size=(size_in, 4)).astype(np.float32)
        out[f'{layer}.lora_b'] = rng.normal(size=(4, size_out)).astype(np.float32)
        if dora:
            magnitude = rng.uniform(0.5, 2.0, size=size_out)
            out[f'{layer}.lora_magnitude'] = magnitude.astype(np.float32)
    return out


def layers_of(kinds: Iterable[str]) -> list[str]:
    return [f'h.{i}.{kind}' for i in range(2) for kind in kinds]


def write(
    folder: pathlib.Path,
    chosen: schema.LoraConfig,
    tensors: Tensors,
    model: schema.ModelConfig = TINY,
) -> pathlib.Path:
    folder.mkdir(exist_ok=True)
    peft_adapter.write(
        folder, chosen, tensors, model, base_name='gpt2', base_hash='abc123'
    )
    return folder


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """An adapter of rank 4 on each attn.c_attn."""
    return write(tmp_path / 'adapter', settings(), adapter(ATTENTION))


def edit_config(folder: pathlib.Path, **values: Any) -> None:
    path = folder / 'adapter_config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def rewrite(folder: pathlib.Path, change: Callable[[Tensors], Tensors]) -> None:
    path = folder / 'adapter_model.safetensors'
    safetensors.numpy.save_file(change(safetensors.numpy.load_file(path)), path)


def refusal(folder: pathlib.Path) -> str:
    with pytest.raises(errors.InputError) as caught:
        peft_adapter.read(folder, TINY)
    return str(caught.value)


def same(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == np.float32


def test_names_shapes_and_fields_are_those_of_peft(tmp_path: pathlib.Path) -> None:
    chosen = settings(dora=True, dropout=0.1, targets=('h.1.mlp.c_fc', 'lm_head'))
    tensors = adapter(['h.1.mlp.c_fc', 'lm_head'], dora=True)
    write(tmp_path, chosen, tensors)
    path = tmp_path / 'adapter_model.safetensors'
    with safetensors.safe_open(path, framework='numpy') as file:
        assert file.metadata() == {'format': 'pt', 'base_hash': 'abc123'}
    stored = safetensors.numpy.load_file(path)
    layer = 'base_model.model.transformer.h.1.mlp.c_fc'
    head = 'base_model.model.lm_head'
    assert {name: tensor.shape for name, tensor in stored.items()} == {
        f'{layer}.lora_A.weight': (4, 16),
        f'{layer}.lora_B.weight': (64, 4),
        f'{layer}.lora_magnitude_vector': (64,),
        f'{head}.lora_A.weight': (4, 16),
        f'{head}.lora_B.weight': (24, 4),
        f'{head}.lora_magnitude_vector': (24,),
    }
    np.testing.assert_array_equal(
        stored[f'{layer}.lora_A.weight'], tensors['h.1.mlp.c_fc.lora_a'].T
    )
    values = json.loads((tmp_path / 'adapter_config.json').read_text())
    assert values == {
        'peft_type': 'LORA',
        'task_type': 'CAUSAL_LM',
        'base_model_name_or_path': 'gpt2',
        'inference_mode': True,
        'r': 4,
        'lora_alpha': 6,
        'lora_dropout': 0.1,
        'target_modules': ['h.1.mlp.c_fc', 'lm_head'],
        'fan_in_fan_out': True,
        'bias': 'none',
        'use_rslora': False,
        'use_dora': True,
        'init_lora_weights': True,
        'modules_to_save': None,
        'rank_pattern': {},
        'alpha_pattern': {},
    }


@pytest.mark.parametrize(
    ('chosen', 'layers'),
    [
        (settings(), ATTENTION),
        (settings(rslora=True, alpha=5.5, dropout=0.2), ATTENTION),
        (settings(dora=True, targets=ALL), layers_of(ALL)),
        (settings(targets=('h.1.attn.c_proj',)), ['h.1.attn.c_proj']),
        (settings(targets=('mlp.c_proj', 'lm_head')), [*layers_of(ALL[3:]), 'lm_head']),
        (settings(targets=('lm_head',), dora=True), ['lm_head']),
    ],
)
def test_what_is_written_is_read_back_bit_for_bit(
    tmp_path: pathlib.Path, chosen: schema.LoraConfig, layers: list[str]
) -> None:
    tensors = adapter(layers, dora=chosen.dora)
    found = peft_adapter.read(write(tmp_path, chosen, tensors), TINY)
    same(found.parameters, tensors)
    assert found.settings == chosen
    assert (found.base_name, found.base_hash) == ('gpt2', 'abc123')
    assert found.head is None


@pytest.mark.parametrize(
    ('layers', 'targets'),
    [
        (layers_of(ALL), ALL),
        (layers_of(['attn.c_proj']), ('attn.c_proj',)),
        (
            ['h.1.attn.c_attn', *layers_of(['mlp.c_proj'])],
            ('h.1.attn.c_attn', 'mlp.c_proj'),
        ),
        (['lm_head', 'h.0.mlp.c_fc'], ('h.0.mlp.c_fc', 'lm_head')),
    ],
)
def test_targets_name_the_layers_alone(
    layers: list[str], targets: tuple[str, ...]
) -> None:
    assert peft_adapter.target_names(layers, num_layers=2) == targets


def test_targets_by_wildcard_are_written_by_name(tmp_path: pathlib.Path) -> None:
    chosen = settings(targets=('h.1.attn.*',))
    layers = ['h.1.attn.c_attn', 'h.1.attn.c_proj']
    found = peft_adapter.read(write(tmp_path, chosen, adapter(layers)), TINY)
    assert found.settings.targets == tuple(layers)


def test_an_adapter_that_is_not_what_its_settings_say_is_not_written(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(ValueError, match=r'h\.0\.attn\.c_attn\.lora_a'):
        write(tmp_path, settings(rank=8), adapter(ATTENTION))
    assert list(tmp_path.iterdir()) == []


def test_the_layers_of_a_model_without_a_head_lack_transformer_in_their_names(
    folder: pathlib.Path,
) -> None:
    rewrite(folder, lambda t: {n.replace('transformer.', ''): v for n, v in t.items()})
    same(peft_adapter.read(folder, TINY).parameters, adapter(ATTENTION))


@pytest.mark.parametrize('dtype', [np.float16, ml_dtypes.bfloat16])
def test_half_precision_becomes_float32(folder: pathlib.Path, dtype: type) -> None:
    rewrite(folder, lambda t: {name: v.astype(dtype) for name, v in t.items()})
    same(
        peft_adapter.read(folder, TINY).parameters,
        {n: v.astype(dtype).astype(np.float32) for n, v in adapter(ATTENTION).items()},
    )


def test_the_frozen_head_that_peft_stores_is_handed_over_for_comparison(
    tmp_path: pathlib.Path,
) -> None:
    name = 'base_model.model.lm_head.base_layer.weight'
    head = np.arange(24 * 16, dtype=np.float32).reshape(24, 16)
    write(tmp_path, settings(targets=('lm_head',)), adapter(['lm_head']))
    rewrite(tmp_path, lambda t: t | {name: head})
    found = peft_adapter.read(tmp_path, TINY)
    np.testing.assert_array_equal(found.head, head)
    assert found.parameters.keys() == adapter(['lm_head']).keys()
    rewrite(tmp_path, lambda t: t | {name: head[:20]})
    assert f'{name} has shape (20, 16), the base has (24, 16)' in refusal(tmp_path)


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'peft_type': 'LOHA'}, "peft_type='LOHA', not 'LORA'"),
        ({'bias': 'lora_only'}, "bias='lora_only', not 'none'"),
        ({'modules_to_save': ['wte']}, "modules_to_save=['wte']"),
        ({'rank_pattern': {'h.0.*': 0}}, "rank_pattern: 'h.0.*' has 0, not a number"),
        ({'rank_pattern': {'h.0.*': 2}}, 'has shape'),  # the tensors have 4
        ({'alpha_pattern': {'(': 9}}, "alpha_pattern: '(' is no pattern"),
        ({'peft_type': 'PREFIX_TUNING'}, 'can be neither taken over nor merged'),
        ({'lora_bias': True}, 'lora_bias=True'),
        ({'layer_replication': [[0, 1]]}, 'layer_replication='),
        ({'trainable_token_indices': [3]}, 'trainable_token_indices=[3]'),
        ({'arrow_config': {'top_k': 1}}, 'arrow_config='),
        ({'a_field_of_tomorrow': 1}, 'a_field_of_tomorrow=1, which hax_jax'),
        ({'init_lora_weights': 'pissa'}, "init_lora_weights='pissa' changed the base"),
        ({'r': None}, 'r=None, not an integer'),
        ({'lora_alpha': 0}, 'lora_alpha=0, not a number over 0'),
        ({'lora_dropout': 1.5}, 'lora_dropout=1.5, not from 0.0'),
        ({'use_dora': 'yes'}, "use_dora='yes', not true or false"),
    ],
)
def test_what_hax_jax_has_no_word_for_is_refused_by_name(
    folder: pathlib.Path, values: dict[str, Any], message: str
) -> None:
    edit_config(folder, **values)
    assert message in refusal(folder)


def test_all_refusals_come_at_once(folder: pathlib.Path) -> None:
    edit_config(folder, bias='all', modules_to_save=['wte'])
    embedding = 'base_model.model.transformer.wte.lora_embedding_A'
    rewrite(folder, lambda t: t | {embedding: np.zeros((4, 24), np.float32)})
    said = refusal(folder)
    for part in ("bias='all'", "modules_to_save=['wte']", f'extra: {embedding} (an'):
        assert part in said


def test_harmless_fields_are_passed_over(folder: pathlib.Path) -> None:
    edit_config(
        folder,
        target_modules='all-linear',
        rank_pattern={'h.0.attn.c_attn': 4},
        alpha_pattern={'c_attn': 6},
        fan_in_fan_out=False,
        init_lora_weights='gaussian',
        layers_to_transform=[0, 1],
        use_bdlora=None,
        lora_bias=False,
        revision='main',
        base_model_name_or_path=None,
    )
    found = peft_adapter.read(folder, TINY)
    assert found.settings == settings()
    assert found.base_name == ''


@pytest.mark.parametrize('rslora', [False, True])
def test_a_layer_of_its_own_rank_and_alpha_gives_the_same_update(
    folder: pathlib.Path, rslora: bool
) -> None:
    layer, name = 'h.0.attn.c_attn', 'base_model.model.transformer.h.0.attn.c_attn'
    kept: dict[str, np.ndarray] = {}

    def cut(tensors: Tensors) -> Tensors:
        kept['a'] = tensors[f'{name}.lora_A.weight'][:3]
        kept['b'] = tensors[f'{name}.lora_B.weight'][:, :3].copy()
        return tensors | {
            f'{name}.lora_A.weight': kept['a'],
            f'{name}.lora_B.weight': kept['b'],
        }

    rewrite(folder, cut)
    edit_config(
        folder,
        use_rslora=rslora,
        rank_pattern={r'h\.0\.attn\.c_attn': 3},
        alpha_pattern={'attn.c_attn': 9},
    )
    found = peft_adapter.read(folder, TINY)
    assert found.settings.rank == 4
    # Source: peft's LoraLayer: alpha over the layer's own rank, or its root.
    scale = 9 / (3**0.5 if rslora else 3)
    expected = scale * (kept['b'] @ kept['a']).T
    a = found.parameters[f'{layer}.lora_a']
    b = found.parameters[f'{layer}.lora_b']
    ours = lora.scale(found.settings) * (a @ b)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def test_every_wrong_tensor_is_listed_by_the_name_in_the_file(
    folder: pathlib.Path,
) -> None:
    block = 'base_model.model.transformer.h.'

    def spoil(tensors: Tensors) -> Tensors:
        del tensors[f'{block}0.attn.c_attn.lora_B.weight']
        a = tensors[f'{block}1.attn.c_attn.lora_A.weight']
        tensors[f'{block}1.attn.c_attn.lora_A.weight'] = a[:2]
        b = tensors[f'{block}1.attn.c_attn.lora_B.weight']
        tensors[f'{block}1.attn.c_attn.lora_B.weight'] = b.astype(np.int32)
        tensors[f'{block}1.attn.c_attn.lora_magnitude_vector'] = b[:, 0]
        return tensors

    rewrite(folder, spoil)
    said = refusal(folder)
    for line in (
        f'missing: {block}0.attn.c_attn.lora_B.weight',
        f'{block}1.attn.c_attn.lora_A.weight has shape (2, 16), the model (4, 16)',
        f'{block}1.attn.c_attn.lora_B.weight holds int32, not floats',
        f'extra: {block}1.attn.c_attn.lora_magnitude_vector',
    ):
        assert line in said.splitlines()


@pytest.mark.parametrize(
    'name',
    [
        'base_model.model.transformer.h.2.attn.c_attn.lora_A.weight',
        'base_model.model.transformer.h.0.attn.q_proj.lora_A.weight',
        'base_model.model.transformer.wte.weight',
        'transformer.h.0.attn.c_attn.lora_A.weight',
        'base_model.model.transformer.h.0.attn.c_attn.lora_A.default.weight',
    ],
)
def test_a_tensor_of_no_layer_is_extra(folder: pathlib.Path, name: str) -> None:
    rewrite(folder, lambda t: t | {name: np.zeros((4, 16), np.float32)})
    assert f'extra: {name}' in refusal(folder)


def test_a_tensor_that_is_there_by_two_names_is_named(folder: pathlib.Path) -> None:
    short = 'base_model.model.h.0.attn.c_attn.lora_A.weight'
    rewrite(folder, lambda t: t | {short: np.zeros((4, 16), np.float32)})
    assert 'twice: ' in refusal(folder)


def test_an_adapter_of_a_wider_base_is_refused(folder: pathlib.Path) -> None:
    wider = schema.ModelConfig(n_layer=2, n_head=2, n_embd=32, vocab_size=24)
    with pytest.raises(errors.InputError, match=r'\(4, 16\), the model \(4, 32\)'):
        peft_adapter.read(folder, wider)


def test_a_hash_that_no_one_wrote_is_empty(folder: pathlib.Path) -> None:
    rewrite(folder, lambda t: t)  # without metadata
    assert peft_adapter.read(folder, TINY).base_hash == ''


def test_a_file_that_is_cut_short_is_named(folder: pathlib.Path) -> None:
    path = folder / 'adapter_model.safetensors'
    path.write_bytes(path.read_bytes()[:-100])
    assert f'{path} is damaged or cut short' in refusal(folder)


def test_a_folder_without_its_files_is_named(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    assert 'adapter_config.json is not readable JSON' in refusal(tmp_path)
    (tmp_path / 'config.json').write_text('{}')
    assert 'has a whole model (config.json) and no adapter_config' in refusal(tmp_path)
    (folder / 'adapter_model.safetensors').unlink()
    assert 'neither adapter_model.safetensors nor adapter_model.bin' in refusal(folder)
    (folder / 'adapter_config.json').write_text('[1]')
    assert 'its JSON is not an object' in refusal(folder)


def test_torchs_own_format_asks_for_torch(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / 'adapter_model.safetensors'
    path.rename(folder / 'adapter_model.bin')
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert 'pip install torch' in refusal(folder)


# From here on against peft itself.


def gpt2() -> Any:
    """A GPT2LMHeadModel of TINY's sizes with weights that show mistakes."""
    torch = pytest.importorskip('torch', reason=NEEDS_PEFT)
    transformers = pytest.importorskip('transformers')
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_layer=2,
            n_head=2,
            n_embd=16,
            n_positions=8,
            vocab_size=24,
            bos_token_id=23,
            eos_token_id=23,
            initializer_range=0.3,
        )
    )
    return model.eval()


def logits(model: Any) -> np.ndarray:
    import torch

    ids = torch.arange(24).reshape(3, 8)
    with torch.no_grad():
        return model(ids).logits.numpy()


def by_formula(model: Any, found: Tensors, chosen: schema.LoraConfig) -> np.ndarray:
    """Logits of the base with each layer's W replaced, by the papers' formulas.

    LoRA: W + s A B. DoRA: each output's column of that, at the length `magnitude`.
    """
    import torch

    scale = chosen.alpha / (chosen.rank**0.5 if chosen.rslora else chosen.rank)
    model = copy.deepcopy(model)
    for layer in {name.rpartition('.')[0] for name in found}:
        a, b = (torch.tensor(found[f'{layer}.lora_{x}']) for x in 'ab')
        head = layer == 'lm_head'
        path = layer if head else f'transformer.{layer}'
        module = model.get_submodule(path)
        weight = module.weight.detach()
        weight = (weight.T if head else weight) + scale * a @ b  # [in, out]
        if chosen.dora:
            magnitude = torch.tensor(found[f'{layer}.lora_magnitude'])
            weight = magnitude * weight / weight.norm(dim=0)
        module.weight = torch.nn.Parameter((weight.T if head else weight).contiguous())
    return logits(model)


CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    'peft_s_own_choice': ({}, ('attn.c_attn',)),
    'all_four': ({'target_modules': list(ALL)}, ALL),
    'bare_c_proj': ({'target_modules': ['c_proj']}, ('attn.c_proj', 'mlp.c_proj')),
    'all_linear': ({'target_modules': 'all-linear'}, ALL),
    'rslora': ({'use_rslora': True, 'lora_alpha': 3.0}, ('attn.c_attn',)),
    'dora': ({'use_dora': True, 'target_modules': ['c_attn', 'c_fc']}, ALL[::2]),
    'one_block': (
        {'target_modules': ['c_fc'], 'layers_to_transform': [1]},
        ('h.1.mlp.c_fc',),
    ),
    'regex': (
        {'target_modules': r'.*\.0\.attn\.c_.*'},
        ('h.0.attn.c_attn', 'h.0.attn.c_proj'),
    ),
    'head': ({'target_modules': ['c_attn', 'lm_head']}, ('attn.c_attn', 'lm_head')),
    'head_alone_dora': (
        {'target_modules': ['lm_head'], 'use_dora': True},
        ('lm_head',),
    ),
    'gaussian': ({'init_lora_weights': 'gaussian'}, ('attn.c_attn',)),
}


def trained_by_peft(base: Any, **chosen: Any) -> Any:
    """A PeftModel whose A, B and magnitudes are all random, as after training."""
    peft = pytest.importorskip('peft', reason=NEEDS_PEFT)
    import torch

    values = {'r': 4, 'lora_alpha': 6, 'task_type': 'CAUSAL_LM'} | chosen
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model = peft.get_peft_model(copy.deepcopy(base), peft.LoraConfig(**values))
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if 'lora_' in name:
            noise = torch.randn(parameter.shape, generator=generator) * 0.3
            magnitude = 'magnitude' in name
            parameter.data = parameter.data * noise.exp() if magnitude else noise
    return model.eval()


@pytest.mark.parametrize('case', CASES)
def test_an_adapter_that_peft_trained_has_its_numbers_here(
    case: str, tmp_path: pathlib.Path
) -> None:
    base = gpt2()
    chosen, targets = CASES[case]
    theirs = trained_by_peft(base, **chosen)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        theirs.save_pretrained(tmp_path)
    found = peft_adapter.read(tmp_path, TINY)
    assert found.settings == schema.LoraConfig(
        rank=4,
        alpha=chosen.get('lora_alpha', 6.0),
        rslora=chosen.get('use_rslora', False),
        dora=chosen.get('use_dora', False),
        targets=targets,
    )
    wanted = logits(theirs)
    assert np.abs(wanted - logits(base)).max() > 0.1  # the adapter does something
    ours = by_formula(base, found.parameters, found.settings)
    np.testing.assert_allclose(ours, wanted, atol=1e-4)
    if 'lm_head' in targets:
        np.testing.assert_array_equal(found.head, base.lm_head.weight.detach().numpy())


@pytest.mark.parametrize(
    ('chosen', 'layers'),
    [
        (settings(), ATTENTION),
        (settings(targets=ALL), layers_of(ALL)),
        (settings(rslora=True, alpha=2.5, dropout=0.1), ATTENTION),
        (settings(dora=True, targets=ALL), layers_of(ALL)),
        (settings(targets=('h.1.attn.c_proj',)), ['h.1.attn.c_proj']),
        (settings(targets=('mlp.c_proj', 'lm_head')), [*layers_of(ALL[3:]), 'lm_head']),
        (settings(dora=True, targets=('lm_head',)), ['lm_head']),
    ],
)
def test_peft_loads_what_is_written_and_computes_the_formula(
    tmp_path: pathlib.Path, chosen: schema.LoraConfig, layers: list[str]
) -> None:
    peft = pytest.importorskip('peft', reason=NEEDS_PEFT)
    base = gpt2()
    tensors = {n: v * 0.3 for n, v in adapter(layers, dora=chosen.dora).items()}
    write(tmp_path, chosen, tensors)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        theirs = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path).eval()
    said = [str(warning.message) for warning in caught]
    assert not [line for line in said if 'missing' in line or 'nexpected' in line]
    adapted = {
        n.split('.lora_A')[0] for n, _ in theirs.named_modules() if 'lora_A' in n
    }
    assert len(adapted) == len(layers)
    wanted = by_formula(base, tensors, chosen)
    assert np.abs(wanted - logits(base)).max() > 0.1
    np.testing.assert_allclose(logits(theirs), wanted, atol=1e-4)


def test_an_adapter_in_torchs_own_format_is_read(folder: pathlib.Path) -> None:
    torch = pytest.importorskip('torch', reason=NEEDS_PEFT)
    path = folder / 'adapter_model.safetensors'
    tensors = safetensors.numpy.load_file(path)
    path.unlink()
    torch.save(
        {name: torch.tensor(array) for name, array in tensors.items()},
        folder / 'adapter_model.bin',
    )
    same(peft_adapter.read(folder, TINY).parameters, adapter(ATTENTION))
    torch.save({'a': 1}, folder / 'adapter_model.bin')
    assert "adapter_model.bin holds 'a'" in refusal(folder)
