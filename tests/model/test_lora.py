"""LoRA against its formula, law 6, and the layers that targets name."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.devices import mesh
from hax_jax.model import gpt2, lora, lora_merge, naming, param_tree
from hax_jax.training import optimizer, train_step
from hax_jax.training import train_state as ts

TINY = schema.ModelConfig(
    n_layer=2, n_head=4, n_embd=32, n_positions=24, vocab_size=64, attention='xla'
)
SHAPES = naming.parameter_shapes(TINY)
LORA = schema.LoraConfig(rank=4, alpha=6.0)
LAYERS = ['attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj']


def linear(size_in: int = 8, size_out: int = 12) -> gpt2.Linear:
    return gpt2.Linear(
        size_in, size_out, bias_init=nnx.initializers.normal(1.0), rngs=nnx.Rngs(0)
    )


def adapted(settings: schema.LoraConfig, *, b: float = 0.0) -> lora.LoraLinear:
    layer = lora.LoraLinear(linear(), settings, rngs=nnx.Rngs(1))
    shape = layer.lora_b.shape
    layer.lora_b[...] = b * jax.random.normal(jax.random.key(2), shape)
    return layer


def rows() -> tuple[jax.Array, jax.Array, jax.Array]:
    inputs = jax.random.randint(jax.random.key(0), (2, 24), 0, 64)
    positions = jnp.broadcast_to(jnp.arange(24), (2, 24))
    return inputs, positions, jnp.ones_like(inputs)


def matched(*targets: str) -> list[str]:
    settings = schema.LoraConfig(rank=4, targets=targets)
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
    settings = schema.LoraConfig(rank=64)
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
    parameters = param_tree.named(nnx.state(model))
    lora.add_lora(model, LORA, rngs=nnx.Rngs(1))
    np.testing.assert_array_equal(jax.jit(model)(*rows()), before)
    after = param_tree.named(nnx.state(model))
    for name, value in parameters.items():
        np.testing.assert_array_equal(after.pop(name), value)
    assert all('.lora_' in name for name in after)


@pytest.mark.parametrize(
    'targets', [LORA.targets, ('mlp.*',), ('h.1.attn.c_attn', 'c_proj'), ('*',)]
)
def test_adapter_shapes_are_those_of_what_add_lora_makes(
    targets: tuple[str, ...],
) -> None:
    settings = schema.LoraConfig(rank=3, targets=targets)

    def build() -> gpt2.Gpt2:
        model = gpt2.Gpt2(TINY, dtype=jnp.dtype('float32'), rngs=nnx.Rngs(0))
        lora.add_lora(model, settings, rngs=nnx.Rngs(1))
        return model

    adapters, rest = nnx.state(nnx.eval_shape(build), nnx.LoRAParam, ...)
    made = {name: leaf.shape for name, leaf in param_tree.named(adapters).items()}
    assert made == lora.adapter_shapes(SHAPES, settings)
    assert param_tree.named(rest).keys() == SHAPES.keys()
    assert made['h.1.mlp.c_proj.lora_a'] == (128, 3) or targets[0] == 'h.1.attn.c_attn'


def test_targets_are_paths_ends_of_paths_or_globs() -> None:
    all_layers = [f'h.{i}.{layer}' for i in (0, 1) for layer in LAYERS]
    assert matched(*schema.LoraConfig().targets) == all_layers
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
    settings = schema.LoraConfig(rank=4, targets=('h.0.mlp.c_fc', 'h.1.attn.c_attn'))
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
    settings = schema.LoraConfig(rank=4, targets=('c_attn', wrong, 'nothing.*'))
    with pytest.raises(errors.InputError) as error:
        lora.adapter_shapes(SHAPES, settings)
    message = str(error.value)
    assert message.startswith(f"lora.targets: {wrong!r}, 'nothing.*' match no layer")
    for layer in LAYERS:
        assert repr(layer) in message


def test_dropout_is_the_adapters_alone_and_acts_only_with_a_key() -> None:
    settings = schema.LoraConfig(rank=4, dropout=0.3)
    layer, x = adapted(settings, b=1.0), jnp.ones((5, 8))
    plain = adapted(schema.LoraConfig(rank=4), b=1.0)
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


def unit_columns(kernel: np.ndarray) -> np.ndarray:
    return kernel / np.sqrt((kernel**2).sum(0))


def test_rslora_divides_alpha_by_the_root_of_the_rank() -> None:
    settings = dataclasses.replace(LORA, rslora=True)
    plain, stable = adapted(LORA, b=1.0), adapted(settings, b=1.0)
    x = jnp.ones((3, 8))
    base = linear()(x)
    np.testing.assert_allclose(stable(x) - base, 2 * (plain(x) - base), rtol=1e-4)


def test_dora_is_the_formula_and_begins_as_the_base() -> None:
    settings = dataclasses.replace(LORA, dora=True)
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    on_device = jnp.asarray(x)
    np.testing.assert_allclose(
        adapted(settings)(on_device), linear()(on_device), atol=1e-5
    )
    layer = adapted(settings, b=1.0)
    layer.lora_magnitude[...] *= jnp.linspace(0.5, 2.0, 12)
    kernel, bias, a, b, magnitude = (
        np.asarray(p[...], np.float64)
        for p in (
            layer.kernel,
            layer.bias,
            layer.lora_a,
            layer.lora_b,
            layer.lora_magnitude,
        )
    )
    lengths = np.sqrt((np.asarray(linear().kernel[...]) ** 2).sum(0))
    np.testing.assert_allclose(magnitude, lengths * np.linspace(0.5, 2, 12), rtol=1e-5)
    expected = x @ (magnitude * unit_columns(kernel + 1.5 * a @ b)) + bias
    np.testing.assert_allclose(layer(on_device), expected, atol=1e-5)


def test_the_length_in_dora_has_no_gradient_of_its_own() -> None:
    settings = dataclasses.replace(LORA, dora=True)
    layer, x = adapted(settings, b=1.0), jnp.ones((1, 8))
    graphdef, adapter, rest = nnx.split(layer, nnx.LoRAParam, ...)

    def total(adapter: nnx.State) -> jax.Array:
        return jnp.sum(nnx.merge(graphdef, adapter, rest)(x))

    found = param_tree.named(jax.grad(total)(adapter))
    kernel, a, b = (
        np.asarray(p[...], np.float64)
        for p in (layer.kernel, layer.lora_a, layer.lora_b)
    )
    adapted_kernel = kernel + 1.5 * a @ b
    lengths = np.sqrt((adapted_kernel**2).sum(0))
    magnitude = np.asarray(layer.lora_magnitude[...], np.float64)
    ones = np.ones(8)
    np.testing.assert_allclose(
        found['lora_magnitude'], ones @ adapted_kernel / lengths, rtol=1e-4, atol=1e-5
    )
    by_b = 1.5 * np.outer(ones @ a, magnitude / lengths)
    np.testing.assert_allclose(found['lora_b'], by_b, rtol=1e-4, atol=1e-5)


def with_head(settings: schema.LoraConfig, *, tie_embeddings: bool = True) -> gpt2.Gpt2:
    """A model whose adapters are away from their start."""
    model = dataclasses.replace(TINY, tie_embeddings=tie_embeddings)
    built = gpt2.Gpt2(model, dtype=jnp.dtype('float32'), rngs=nnx.Rngs(0))
    lora.add_lora(built, settings, rngs=nnx.Rngs(1))
    adapter = nnx.state(built, nnx.LoRAParam)
    keys = jax.random.split(jax.random.key(5), len(jax.tree.leaves(adapter)))
    moved = [
        leaf + 0.1 * jax.random.normal(key, leaf.shape)
        for key, leaf in zip(keys, jax.tree.leaves(adapter), strict=True)
    ]
    nnx.update(built, jax.tree.unflatten(jax.tree.structure(adapter), moved))
    return built


def logits_of(model: gpt2.Gpt2) -> jax.Array:
    features, table = jax.jit(lambda *rows: model.head(model(*rows)))(*rows())
    return features @ table.T


@pytest.mark.parametrize('dora', [False, True])
@pytest.mark.parametrize('tie_embeddings', [True, False])
def test_an_adapted_head_gives_the_logits_of_the_formula(
    tie_embeddings: bool, dora: bool
) -> None:
    settings = dataclasses.replace(LORA, targets=('lm_head',), dora=dora)
    model = with_head(settings, tie_embeddings=tie_embeddings)
    p = {
        n: np.asarray(v, np.float64)
        for n, v in param_tree.named(nnx.state(model)).items()
    }
    table = p['wte.embedding'] if tie_embeddings else p['lm_head.embedding']
    kernel = table.T + 1.5 * p['lm_head.lora_a'] @ p['lm_head.lora_b']  # [D, V]
    if dora:
        kernel = p['lm_head.lora_magnitude'] * unit_columns(kernel)
    hidden = np.asarray(jax.jit(model)(*rows()), np.float64)
    np.testing.assert_allclose(logits_of(model), hidden @ kernel, atol=1e-5)


def test_dropout_of_an_adapted_head_leaves_the_table_alone() -> None:
    settings = dataclasses.replace(LORA, targets=('lm_head',), dropout=0.5)
    model = with_head(settings)
    hidden = jnp.ones((3, 32))
    features, table = model.head(hidden, dropout_key=jax.random.key(0))
    plain, _ = model.head(hidden)
    np.testing.assert_array_equal(features[:, :32], hidden)
    assert features.shape == (3, 36)
    assert table.shape == (64, 36)
    assert not np.allclose(features[:, 32:], plain[:, 32:])


def test_the_head_is_adapted_only_by_its_name() -> None:
    shapes = lora.adapter_shapes(
        SHAPES, schema.LoraConfig(rank=4, dora=True, targets=('lm_head',))
    )
    assert shapes == {
        'lm_head.lora_a': (32, 4),
        'lm_head.lora_b': (4, 64),
        'lm_head.lora_magnitude': (64,),
    }
    for targets in (('*',), ('h.*', 'c_proj'), ('*h*',)):
        settings = schema.LoraConfig(rank=4, targets=targets)
        assert not [n for n in lora.adapter_shapes(SHAPES, settings) if 'lm_head' in n]


def plain_model(
    model: schema.ModelConfig, parameters: dict[str, np.ndarray]
) -> gpt2.Gpt2:
    """The model without adapters that has these parameters."""
    graphdef, abstract = nnx.split(
        nnx.eval_shape(
            lambda: gpt2.Gpt2(model, dtype=jnp.dtype('float32'), rngs=nnx.Rngs(0))
        )
    )
    leaves = [jnp.asarray(parameters[name]) for name in param_tree.named(abstract)]
    return nnx.merge(graphdef, jax.tree.unflatten(jax.tree.structure(abstract), leaves))


@pytest.mark.parametrize('rslora', [False, True])
@pytest.mark.parametrize('dora', [False, True])
@pytest.mark.parametrize('tie_embeddings', [True, False])
def test_the_merged_model_gives_what_the_adapted_one_gives(
    tie_embeddings: bool, dora: bool, rslora: bool
) -> None:
    settings = dataclasses.replace(
        LORA, targets=(*LORA.targets, 'lm_head'), dora=dora, rslora=rslora
    )
    built = with_head(settings, tie_embeddings=tie_embeddings)
    adapter, base = nnx.state(built, nnx.LoRAParam, ...)
    adapter, base = (
        {name: np.asarray(leaf) for name, leaf in param_tree.named(part).items()}
        for part in (adapter, base)
    )
    kept = {name: value.copy() for name, value in base.items()}
    merged = lora_merge.merge(base, adapter, settings)
    for name, value in kept.items():
        np.testing.assert_array_equal(base[name], value)  # the base is not written to
    changed = {
        n for n in merged if n not in base or not np.array_equal(merged[n], base[n])
    }
    assert changed == {
        'lm_head.embedding',
        *(f'h.{i}.{layer}.kernel' for i in (0, 1) for layer in LAYERS),
    }
    sizes = lora_merge.merged_model(built.model, settings)
    assert not sizes.tie_embeddings
    assert {n: v.shape for n, v in merged.items()} == naming.parameter_shapes(sizes)
    assert {v.dtype for v in merged.values()} == {np.dtype('float32')}
    np.testing.assert_allclose(
        logits_of(plain_model(sizes, merged)), logits_of(built), atol=1e-5
    )


def test_without_an_adapted_head_the_merged_model_is_tied_as_before() -> None:
    assert lora_merge.merged_model(TINY, LORA) == TINY
    off = schema.LoraConfig(rank=0, targets=('lm_head',))
    assert lora_merge.merged_model(TINY, off) == TINY


@pytest.mark.parametrize('dora', [False, True])
def test_magnitudes_begin_at_the_lengths_of_the_bases_columns(dora: bool) -> None:
    settings = dataclasses.replace(LORA, dora=dora, targets=('mlp.c_fc', 'lm_head'))
    rng = np.random.default_rng(0)
    base = {n: rng.normal(size=s).astype(np.float32) for n, s in SHAPES.items()}
    found = lora_merge.initial_magnitudes(base, settings)
    if not dora:
        assert found == {}
        return
    assert found.keys() == {
        'h.0.mlp.c_fc.lora_magnitude',
        'h.1.mlp.c_fc.lora_magnitude',
        'lm_head.lora_magnitude',
    }
    np.testing.assert_allclose(
        found['h.1.mlp.c_fc.lora_magnitude'],
        np.sqrt((base['h.1.mlp.c_fc.kernel'].astype(np.float64) ** 2).sum(0)),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        found['lm_head.lora_magnitude'],
        np.sqrt((base['wte.embedding'].astype(np.float64) ** 2).sum(1)),
        rtol=1e-6,
    )
    # And in a state that starts from that base, so the step-0 model is the base.
    _, states = trained_state(0, settings=settings, base=base)
    made = param_tree.named(states[0].params)
    for name, value in found.items():
        np.testing.assert_array_equal(made[name], value)


def trained_state(
    num_steps: int,
    *,
    settings: schema.LoraConfig = LORA,
    base: dict[str, np.ndarray] | None = None,
) -> tuple[ts.Blueprint, list[ts.TrainState]]:
    """The states after 0, 1, ... steps, on the host."""
    adamw = schema.OptimizerConfig(learning_rate=1e-2)
    tx = optimizer.make_optimizer(adamw, num_steps=10)
    here = mesh.make_mesh(schema.MeshConfig())
    float32 = {'compute_dtype': 'float32'}
    blueprint = ts.make_blueprint(TINY, settings, tx, mesh=here, **float32)
    state = ts.create(blueprint, seed=0, base=base)
    step = train_step.make_train_step(
        blueprint,
        optimizer.schedule(adamw, num_steps=10),
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


@pytest.mark.parametrize('dora', [False, True])
def test_law_6_frozen_leaves_stand_still_and_each_adapter_gets_its_gradient(
    dora: bool,
) -> None:
    targets = (*LORA.targets, 'lm_head')
    settings = dataclasses.replace(LORA, dora=dora, targets=targets)
    _, states = trained_state(3, settings=settings)
    frozen = param_tree.named(states[0].frozen)
    assert frozen.keys() == SHAPES.keys()
    for state in states[1:]:
        for name, value in param_tree.named(state.frozen).items():
            np.testing.assert_array_equal(value, frozen[name])
    # The first moment is (1 - b1) times the gradient of the first step.
    first, second = (
        {name: np.any(m != 0) for name, m in param_tree.named(state.opt_state).items()}
        for state in states[1:3]
    )
    assert len(param_tree.named(states[0].params)) == 9 * (3 if dora else 2)
    for name in param_tree.named(states[0].params):
        assert '.lora_' in name
        assert first[f'1.0.mu.{name}'] != name.endswith('.lora_a'), name
        assert second[f'1.0.mu.{name}'], name
