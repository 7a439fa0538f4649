"""LoRA against its formula, law 6, and the layers that targets name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hax_jax import config, gpt2, layouts, lora, mesh, optimizer, train_step
from hax_jax import train_state as ts

TINY = config.ModelConfig(
    n_layer=2, n_head=4, n_embd=32, n_positions=24, vocab_size=64, attention='xla'
)
SHAPES = layouts.parameter_shapes(TINY)
LORA = config.LoraConfig(rank=4, alpha=6.0)
LAYERS = ['attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj']


def linear(size_in: int = 8, size_out: int = 12) -> gpt2.Linear:
    return gpt2.Linear(
        size_in,
        size_out,
        bias_init=nnx.initializers.normal(1.0),
        rngs=nnx.Rngs(0),
    )


def adapted(settings: config.LoraConfig, *, b: float = 0.0) -> lora.LoraLinear:
    layer = lora.LoraLinear(linear(), settings, rngs=nnx.Rngs(1))
    shape = layer.lora_b.shape
    layer.lora_b[...] = b * jax.random.normal(jax.random.key(2), shape)
    return layer


def rows() -> tuple[jax.Array, jax.Array, jax.Array]:
    inputs = jax.random.randint(jax.random.key(0), (2, 24), 0, 64)
    positions = jnp.broadcast_to(jnp.arange(24), (2, 24))
    return inputs, positions, jnp.ones_like(inputs)


def matched(*targets: str) -> list[str]:
    settings = config.LoraConfig(rank=4, targets=targets)
    names = lora.adapter_shapes(SHAPES, settings)
    return sorted({name.rpartition('.')[0] for name in names})


def test_a_layer_is_the_formula_with_alpha_over_rank() -> None:
    layer = adapted(LORA, b=1.0)
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    kernel, bias, a, b = (
        np.asarray(p[...], np.float64)
        for p in (layer.kernel, layer.bias, layer.lora_a, layer.lora_b)
    )
    expected = x @ kernel + bias + 6.0 / 4 * (x @ a) @ b
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, atol=1e-5)


def test_a_is_uniform_within_1_over_the_root_of_its_inputs_and_b_is_zero() -> None:
    settings = config.LoraConfig(rank=64)
    layer = lora.LoraLinear(linear(100, 12), settings, rngs=nnx.Rngs(1))
    a = np.asarray(layer.lora_a[...])
    assert a.shape == (100, 64)
    assert np.abs(a).max() <= 0.1
    np.testing.assert_allclose(a.std(), 0.1 / np.sqrt(3), rtol=0.05)
    assert layer.lora_b.shape == (64, 12)
    assert np.all(layer.lora_b[...] == 0)


def test_lora_at_init_is_the_identity_and_keeps_kernels_at_their_paths() -> None:
    model = gpt2.Gpt2(TINY, dtype=jnp.dtype('float32'), rngs=nnx.Rngs(0))
    before = jax.jit(model)(*rows())
    parameters = ts.named(nnx.state(model))
    lora.add_lora(model, LORA, rngs=nnx.Rngs(1))
    np.testing.assert_array_equal(jax.jit(model)(*rows()), before)
    after = ts.named(nnx.state(model))
    for name, value in parameters.items():
        np.testing.assert_array_equal(after.pop(name), value)
    assert all('.lora_' in name for name in after)


@pytest.mark.parametrize(
    'targets', [LORA.targets, ('mlp.*',), ('h.1.attn.c_attn', 'c_proj'), ('*',)]
)
def test_adapter_shapes_are_those_of_what_add_lora_makes(
    targets: tuple[str, ...],
) -> None:
    settings = config.LoraConfig(rank=3, targets=targets)

    def build() -> gpt2.Gpt2:
        model = gpt2.Gpt2(TINY, dtype=jnp.dtype('float32'), rngs=nnx.Rngs(0))
        lora.add_lora(model, settings, rngs=nnx.Rngs(1))
        return model

    adapters, rest = nnx.state(nnx.eval_shape(build), nnx.LoRAParam, ...)
    made = {name: leaf.shape for name, leaf in ts.named(adapters).items()}
    assert made == lora.adapter_shapes(SHAPES, settings)
    assert ts.named(rest).keys() == SHAPES.keys()
    assert made['h.1.mlp.c_proj.lora_a'] == (128, 3) or targets[0] == 'h.1.attn.c_attn'


def test_targets_are_paths_ends_of_paths_or_globs() -> None:
    all_layers = [f'h.{i}.{layer}' for i in (0, 1) for layer in LAYERS]
    assert matched(*config.LoraConfig().targets) == all_layers
    assert matched('*') == all_layers
    assert matched('c_attn') == ['h.0.attn.c_attn', 'h.1.attn.c_attn']
    assert matched('attn.c_proj') == ['h.0.attn.c_proj', 'h.1.attn.c_proj']
    assert len(matched('c_proj')) == 4
    assert matched('h.1.mlp.*') == ['h.1.mlp.c_fc', 'h.1.mlp.c_proj']
    assert matched('h.?.mlp.c_f?') == ['h.0.mlp.c_fc', 'h.1.mlp.c_fc']
    # One that two targets name is adapted once.
    assert matched('c_attn', 'h.0.attn.*') == [
        'h.0.attn.c_attn',
        'h.0.attn.c_proj',
        'h.1.attn.c_attn',
    ]


def test_the_shapes_of_the_adapters_written_out() -> None:
    settings = config.LoraConfig(rank=4, targets=('h.0.mlp.c_fc', 'h.1.attn.c_attn'))
    assert lora.adapter_shapes(SHAPES, settings) == {
        'h.0.mlp.c_fc.lora_a': (32, 4),
        'h.0.mlp.c_fc.lora_b': (4, 128),
        'h.1.attn.c_attn.lora_a': (32, 4),
        'h.1.attn.c_attn.lora_b': (4, 96),
    }


@pytest.mark.parametrize(
    'wrong', ['q_proj', 'attn', 'h.2.mlp.c_fc', 'fc', 'wte', 'ln_1', '', 'MLP.c_fc']
)
def test_each_target_that_matches_nothing_is_named(wrong: str) -> None:
    settings = config.LoraConfig(rank=4, targets=('c_attn', wrong, 'nothing.*'))
    with pytest.raises(config.InputError) as error:
        lora.adapter_shapes(SHAPES, settings)
    message = str(error.value)
    assert message.startswith(f"lora.targets: {wrong!r}, 'nothing.*' match no layer")
    for layer in LAYERS:
        assert repr(layer) in message


def test_dropout_is_the_adapters_alone_and_acts_only_with_a_key() -> None:
    settings = config.LoraConfig(rank=4, dropout=0.3)
    layer, x = adapted(settings, b=1.0), jnp.ones((5, 8))
    plain = adapted(config.LoraConfig(rank=4), b=1.0)
    np.testing.assert_array_equal(layer(x), plain(x))
    np.testing.assert_array_equal(plain(x, jax.random.key(0)), plain(x))
    one, again, other = (layer(x, jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    draws = jax.vmap(lambda key: layer(x, key))(
        jax.random.split(jax.random.key(0), 4000)
    )
    deviation = np.std(draws, 0) / np.sqrt(4000)
    assert np.all(np.abs(np.mean(draws, 0) - layer(x)) < 5 * deviation)
    # With B at zero the adapter adds nothing: what is left is not dropped.
    at_init = adapted(settings)
    np.testing.assert_array_equal(at_init(x, jax.random.key(0)), at_init(x))


def trained_state(num_steps: int) -> tuple[ts.Blueprint, list[ts.TrainState]]:
    """The states after 0, 1, ... steps, on the host."""
    settings = config.OptimizerConfig(learning_rate=1e-2)
    tx = optimizer.make_optimizer(settings, num_steps=10)
    here = mesh.make_mesh(config.MeshConfig())
    blueprint = ts.make_blueprint(TINY, LORA, tx, compute_dtype='float32', mesh=here)
    state = ts.create(blueprint, TINY, LORA, tx, compute_dtype='float32', seed=0)
    step = train_step.make_train_step(
        blueprint,
        tx,
        optimizer.schedule(settings, num_steps=10),
        mesh=here,
        grad_accum_steps=1,
        seed=0,
    )
    inputs, positions, segment_ids = rows()
    batch = {
        'inputs': inputs,
        'targets': jnp.roll(inputs, -1, axis=1),
        'loss_weights': jnp.ones(inputs.shape),
        'segment_ids': segment_ids,
        'positions': positions,
    }
    states = [jax.device_get(state)]
    for _ in range(num_steps):
        state, _ = step(state, batch)
        states.append(jax.device_get(state))
    return blueprint, states


def test_law_6_frozen_leaves_stand_still_and_each_adapter_gets_its_gradient() -> None:
    _, states = trained_state(3)
    frozen = ts.named(states[0].frozen)
    assert frozen.keys() == SHAPES.keys()
    for state in states[1:]:
        for name, value in ts.named(state.frozen).items():
            np.testing.assert_array_equal(value, frozen[name])
    # The first moment is (1 - b1) times the gradient of the first step.
    first, second = (
        {name: np.any(m != 0) for name, m in ts.named(state.opt_state).items()}
        for state in states[1:3]
    )
    for name in ts.named(states[0].params):
        has_b, has_a = name.endswith('.lora_b'), name.endswith('.lora_a')
        assert has_a or has_b
        assert first[f'1.0.mu.{name}'] == has_b, name
        assert second[f'1.0.mu.{name}'], name


def test_the_merged_model_gives_what_the_adapted_one_gives() -> None:
    blueprint, states = trained_state(3)
    state = states[-1]
    adapted = nnx.merge(blueprint.graphdef, state.params, state.frozen)
    base, adapter = ts.named(state.frozen), ts.named(state.params)
    kept = {name: value.copy() for name, value in base.items()}
    merged = lora.merge(base, adapter, LORA)
    assert {n: v.shape for n, v in merged.items()} == SHAPES
    for name, value in kept.items():
        np.testing.assert_array_equal(base[name], value)  # the base is not written to
        changed = '.kernel' in name
        assert np.array_equal(merged[name], value) != changed, name
        assert merged[name].dtype == np.float32
    name = 'h.1.mlp.c_proj'
    a, b = adapter[f'{name}.lora_a'], adapter[f'{name}.lora_b']
    np.testing.assert_allclose(
        merged[f'{name}.kernel'], base[f'{name}.kernel'] + 1.5 * a @ b, atol=1e-6
    )
    plain = nnx.eval_shape(
        lambda: gpt2.Gpt2(TINY, dtype=jnp.dtype('float32'), rngs=nnx.Rngs(0))
    )
    graphdef, abstract = nnx.split(plain)
    leaves = [jnp.asarray(merged[name]) for name in ts.named(abstract)]
    plain = nnx.merge(
        graphdef, jax.tree.unflatten(jax.tree.structure(abstract), leaves)
    )
    np.testing.assert_allclose(
        jax.jit(plain)(*rows()), jax.jit(adapted)(*rows()), atol=1e-5
    )
