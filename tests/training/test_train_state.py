"""The train state: what is in it, where it lies, and where its values come from."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.devices import mesh
from hax_jax.model import lora, naming, param_tree
from hax_jax.training import optimizer
from hax_jax.training import train_state as ts

TINY = schema.ModelConfig(
    n_layer=2, n_head=4, n_embd=32, n_positions=24, vocab_size=64, attention='xla'
)
FULL = schema.LoraConfig()
LORA = schema.LoraConfig(rank=4, targets=('attn.c_attn', 'mlp.*'))
TX = optimizer.make_optimizer(schema.OptimizerConfig(), num_steps=10)


def blueprint_of(settings: schema.LoraConfig) -> ts.Blueprint:
    here = mesh.make_mesh(schema.MeshConfig())
    return ts.make_blueprint(TINY, settings, TX, compute_dtype='float32', mesh=here)


def create(
    settings: schema.LoraConfig,
    *,
    seed: int = 0,
    base: dict[str, np.ndarray] | None = None,
) -> ts.TrainState:
    return ts.create(blueprint_of(settings), seed=seed, base=base)


def parameters_of(state: ts.TrainState) -> dict[str, np.ndarray]:
    named = param_tree.named(state.params) | param_tree.named(state.frozen)
    return {name: np.asarray(leaf) for name, leaf in named.items()}


def random_base() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in naming.parameter_shapes(TINY).items()
    }


def test_a_full_state_trains_every_parameter_and_a_lora_state_the_adapters() -> None:
    shapes = naming.parameter_shapes(TINY)
    full = blueprint_of(FULL).state
    assert {n: x.shape for n, x in param_tree.named(full.params).items()} == shapes
    assert param_tree.named(full.frozen) == {}
    adapted = blueprint_of(LORA).state
    adapters = lora.adapter_shapes(shapes, LORA)
    assert {n: x.shape for n, x in param_tree.named(adapted.params).items()} == adapters
    assert {n: x.shape for n, x in param_tree.named(adapted.frozen).items()} == shapes
    assert len(adapters) == 2 * 3 * 2


@pytest.mark.parametrize('settings', [FULL, LORA])
def test_optimizer_state_exists_for_trained_leaves_alone(
    settings: schema.LoraConfig,
) -> None:
    state = create(settings)
    trained = param_tree.named(state.params)
    for kind in ('mu', 'nu'):
        moments = {
            name.partition(f'.{kind}.')[2]: leaf
            for name, leaf in param_tree.named(state.opt_state).items()
            if f'.{kind}.' in name
        }
        assert moments.keys() == trained.keys()
        for name, leaf in moments.items():
            assert leaf.shape == trained[name].shape
            assert leaf.dtype == jnp.float32
            assert np.all(leaf == 0)
    others = [
        leaf
        for name, leaf in param_tree.named(state.opt_state).items()
        if '.mu.' not in name and '.nu.' not in name
    ]
    assert all(leaf.shape == () for leaf in others)  # the counts


@pytest.mark.parametrize('settings', [FULL, LORA])
def test_the_state_is_what_the_blueprint_says_and_lies_where_it_says(
    settings: schema.LoraConfig,
) -> None:
    blueprint, state = blueprint_of(settings), create(settings)
    assert jax.tree.structure(state) == jax.tree.structure(blueprint.state)
    for leaf, abstract, place in zip(
        jax.tree.leaves(state),
        jax.tree.leaves(blueprint.state),
        jax.tree.leaves(param_tree.shardings(blueprint.state)),
        strict=True,
    ):
        assert (leaf.shape, leaf.dtype) == (abstract.shape, abstract.dtype)
        assert isinstance(leaf.sharding, NamedSharding)
        assert leaf.sharding == place
        assert not leaf.weak_type
        assert leaf.sharding.mesh.shape == {'data': 1, 'fsdp': 1, 'tensor': 1}
    assert state.step.dtype == jnp.int32
    assert int(state.step) == 0


def test_a_blueprint_allocates_nothing() -> None:
    wide = dataclasses.replace(TINY, n_embd=12800)  # 3.9 billion parameters: 16 GB
    here = mesh.make_mesh(schema.MeshConfig())
    before = len(jax.live_arrays())
    blueprint = ts.make_blueprint(
        wide, schema.LoraConfig(rank=8), TX, compute_dtype='bfloat16', mesh=here
    )
    assert len(jax.live_arrays()) <= before  # what others left may go meanwhile
    frozen = param_tree.named(blueprint.state.frozen).values()
    assert sum(leaf.size for leaf in frozen) > 3.9e9


def test_the_same_seed_gives_the_same_state_and_another_seed_another() -> None:
    one, again, other = (parameters_of(create(LORA, seed=s)) for s in (3, 3, 4))
    for name, value in one.items():
        np.testing.assert_array_equal(value, again[name])
        drawn = not name.endswith(('.bias', '.scale', '.lora_b'))
        assert np.array_equal(value, other[name]) != drawn, name
    kernels = [v for n, v in one.items() if n.endswith('mlp.c_fc.kernel')]
    assert not np.array_equal(*kernels)  # each layer has its own


def test_a_base_is_used_bit_for_bit_and_the_rest_is_drawn_from_the_seed() -> None:
    base, drawn = random_base(), parameters_of(create(LORA, seed=3))
    found = parameters_of(create(LORA, seed=3, base=base))
    for name, value in found.items():
        expected = drawn if '.lora_' in name else base
        np.testing.assert_array_equal(value, expected[name])
    some = {name: base[name] for name in ('wte.embedding', 'h.1.ln_2.bias')}
    found = parameters_of(create(FULL, seed=3, base=some))
    drawn = parameters_of(create(FULL, seed=3))
    for name, value in found.items():
        np.testing.assert_array_equal(value, (drawn | some)[name])


def test_a_full_state_from_a_whole_base_draws_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = random_base()
    monkeypatch.delattr(ts, '_drawn')
    found = parameters_of(create(FULL, base=base))
    assert found.keys() == base.keys()
    for name, value in base.items():
        np.testing.assert_array_equal(found[name], value)


def test_a_base_of_another_model_is_refused_by_name() -> None:
    base = random_base()
    base['h.0.attn.c_attn.kernel'] = base['h.0.attn.c_attn.kernel'].T
    base['lm_head.embedding'] = base['wte.embedding']
    with pytest.raises(
        ValueError, match=r"'h\.0\.attn\.c_attn\.kernel', 'lm_head.embedding'"
    ):
        create(FULL, base=base)


def test_a_target_that_matches_no_layer_is_refused_before_anything_exists() -> None:
    with pytest.raises(errors.InputError, match=r"lora\.targets: 'attn\.q'"):
        blueprint_of(schema.LoraConfig(rank=4, targets=('attn.q', 'mlp.c_fc')))


def test_dotted_names_are_the_models_paths() -> None:
    names = param_tree.named(blueprint_of(FULL).state)
    assert {
        'step',
        'params.h.0.attn.c_attn.kernel',
        'params.wte.embedding',
        'opt_state.1.0.mu.ln_f.scale',
        'opt_state.1.0.count',
    } <= names.keys()


def test_place_puts_a_host_array_on_the_device_as_it_is() -> None:
    value = np.arange(6, dtype=np.float32).reshape(2, 3).T  # not contiguous
    where = mesh.replicated(mesh.make_mesh(schema.MeshConfig()))
    placed = param_tree.place(value, where)
    np.testing.assert_array_equal(placed, value)
    assert placed.sharding == where
