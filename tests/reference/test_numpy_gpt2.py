"""GPT-2 in NumPy against the model, and its mistakes against each other."""

import numpy as np
import pytest
import tiny_steps

from hax_jax.config import schema
from hax_jax.doctor import examine_folder
from hax_jax.model import lora, lora_merge
from hax_jax.reference import numpy_gpt2

_MODEL = schema.ModelConfig(
    n_layer=2, n_head=2, n_embd=32, n_positions=24, vocab_size=64
)


@pytest.fixture(scope='module')
def parameters() -> dict[str, np.ndarray]:
    return dict(tiny_steps.random_parameters(_MODEL, scale=0.3))


@pytest.fixture(scope='module')
def row() -> dict[str, np.ndarray]:
    """Two pairs of 9 and 7 tokens and padding."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 64, 21)
    return {
        'inputs': ids[:-1],
        'targets': ids[1:],
        'positions': np.array([*range(9), *range(7), 0, 0, 0, 0]),
        'segment_ids': np.array([1] * 9 + [2] * 7 + [0] * 4),
    }


@pytest.mark.parametrize(
    'changes', [{}, {'activation': 'gelu', 'layer_norm_epsilon': 1e-3}]
)
def test_the_model_computes_the_right_formula(
    parameters: dict[str, np.ndarray],
    row: dict[str, np.ndarray],
    changes: dict[str, object],
) -> None:
    model = schema.ModelConfig(**{**vars(_MODEL), **changes})
    rows = {name: x[None].astype(np.int32) for name, x in row.items()}
    own = examine_folder.scorer(model, parameters)({}, rows)[0]
    nll = numpy_gpt2.nll(parameters, model, row, numpy_gpt2.right(model))
    used = row['segment_ids'] > 0
    np.testing.assert_allclose(own[used], nll[used], atol=2e-5)


def test_each_mistake_gives_losses_of_its_own(
    parameters: dict[str, np.ndarray], row: dict[str, np.ndarray]
) -> None:
    right = numpy_gpt2.nll(parameters, _MODEL, row, numpy_gpt2.right(_MODEL))
    found = {
        name: numpy_gpt2.nll(parameters, _MODEL, row, formula)
        for name, formula in numpy_gpt2.wrong(_MODEL)
    }
    assert len(found) > 35
    harmless = {f'the epsilon of the layer norms is {x}' for x in ('1e-12', '1e-06')}
    for name, nll in found.items():
        apart = np.abs(nll - right)[row['segment_ids'] > 0].mean()
        assert apart > 1e-4 or name in harmless, name
    unique = {np.round(nll, 4).tobytes() for nll in found.values()}
    assert len(unique) >= len(found) - 2


def test_an_adapter_of_the_head_makes_a_head_of_its_own(
    parameters: dict[str, np.ndarray], row: dict[str, np.ndarray]
) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(32, 3)), rng.normal(size=(3, 64))
    adapted = {**parameters, 'lm_head.lora_a': a, 'lm_head.lora_b': b}
    own = {
        **parameters,
        'lm_head.embedding': parameters['wte.embedding'] + 2 * (a @ b).T,
    }
    doubled = schema.LoraConfig(rank=3, alpha=6.0)
    found = numpy_gpt2.nll(adapted, _MODEL, row, numpy_gpt2.right(_MODEL, doubled))
    wanted = numpy_gpt2.nll(own, _MODEL, row, numpy_gpt2.right(_MODEL))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize('changes', [{}, {'rslora': True}, {'dora': True}])
def test_adapters_are_part_of_their_kernels(
    parameters: dict[str, np.ndarray],
    row: dict[str, np.ndarray],
    changes: dict[str, bool],
) -> None:
    """The oracle's merged kernels give the losses of lora_merge's."""
    targets = ('attn.c_attn', 'mlp.*', 'lm_head')
    settings = schema.LoraConfig(rank=2, alpha=3.0, targets=targets, **changes)
    shapes = {name: x.shape for name, x in parameters.items()}
    rng = np.random.default_rng(2)
    adapter = {
        name: np.abs(rng.normal(0, 0.3, shape)).astype(np.float32)
        for name, shape in lora.adapter_shapes(shapes, settings).items()
    }
    merged = lora_merge.merge(parameters, adapter, settings)
    right = numpy_gpt2.right(_MODEL, settings)
    found = numpy_gpt2.nll({**parameters, **adapter}, _MODEL, row, right)
    wanted = numpy_gpt2.nll(merged, _MODEL, row, numpy_gpt2.right(_MODEL))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    used = row['segment_ids'] > 0
    for name, formula in numpy_gpt2.wrong_adapters(_MODEL, settings):
        off = numpy_gpt2.nll({**parameters, **adapter}, _MODEL, row, formula) - wanted
        assert np.abs(off)[used].mean() > 1e-3, name
