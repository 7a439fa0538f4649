"""What a step does beside plain AdamW: multipliers, z-loss, remat, stored dtypes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
import tiny_steps
from flax import nnx

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.devices import mesh
from hax_jax.model import param_tree
from hax_jax.training import optimizer, train_step
from hax_jax.training import train_state as ts

TINY = schema.ModelConfig(
    n_layer=1, n_head=2, n_embd=16, n_positions=16, vocab_size=32, attention='xla'
)
FULL = schema.LoraConfig()
LORA = schema.LoraConfig(rank=2, targets=('attn.c_attn', 'mlp.c_fc'))
# A large eps: Adam's first step is the gradient's sign otherwise, whatever its size.
SETTINGS = schema.OptimizerConfig(
    schedule='constant', learning_rate=1e-2, weight_decay=0.3, clip_norm=0.0, eps=1e-3
)


@dataclasses.dataclass
class Run:
    blueprint: ts.Blueprint
    state: ts.TrainState
    step: object

    def parameters(self) -> dict[str, np.ndarray]:
        return tiny_steps.named(self.state.params)

    def train(self, num_steps: int) -> list[dict[str, float]]:
        out = []
        for seed in range(num_steps):
            self.state, metrics = self.step(self.state, batch_of(seed=seed))
            out.append({name: float(value) for name, value in metrics.items()})
        return out


def make(
    *,
    model: schema.ModelConfig = TINY,
    lora: schema.LoraConfig = FULL,
    settings: schema.OptimizerConfig = SETTINGS,
    grad_accum_steps: int = 1,
    z_loss: float = 0.0,
    **blueprint: object,
) -> Run:
    here = mesh.make_mesh(schema.MeshConfig())
    tx = optimizer.make_optimizer(settings, num_steps=8)
    made = ts.make_blueprint(
        model,
        lora,
        tx,
        compute_dtype='float32',
        mesh=here,
        lr_multipliers=settings.lr_multipliers,
        **blueprint,
    )
    step = train_step.make_train_step(
        made,
        optimizer.schedule(settings, num_steps=8),
        mesh=here,
        grad_accum_steps=grad_accum_steps,
        seed=0,
        z_loss=z_loss,
    )
    state = ts.create(made, seed=0, base=tiny_steps.random_parameters(model, scale=0.3))
    return Run(made, state, step)


def batch_of(*, rows: int = 4, length: int = 12, seed: int = 0) -> train_step.Batch:
    rng = np.random.default_rng(seed)
    sizes = np.linspace(4, length, rows).astype(int)
    real = np.arange(length) < sizes[:, None]
    batch = {
        'inputs': rng.integers(0, 32, (rows, length)) * real,
        'targets': rng.integers(0, 32, (rows, length)) * real,
        'loss_weights': rng.choice([0.25, 1.0], (rows, length)) * real,
        'segment_ids': real,
        'positions': np.arange(length) * real,
    }
    return tiny_steps.batch(batch)


def with_multipliers(*entries: str, **changes: object) -> schema.OptimizerConfig:
    return dataclasses.replace(SETTINGS, lr_multipliers=entries, **changes)


def moments(state: ts.TrainState) -> set[str]:
    names = param_tree.named(state.opt_state)
    return {n.partition('.mu.')[2] for n in names if '.mu.' in n}


@pytest.mark.parametrize(
    ('lora', 'entries', 'frozen'),
    [
        (FULL, ('wte.*=0', 'h.0.mlp.*=0'), ('wte.', 'h.0.mlp.')),
        (LORA, ('lora_a=0',), ()),
    ],
)
def test_what_is_frozen_has_no_moments_and_is_bit_equal_after_steps(
    lora: schema.LoraConfig, entries: tuple[str, ...], frozen: tuple[str, ...]
) -> None:
    run = make(lora=lora, settings=with_multipliers(*entries))
    before = run.parameters()
    held = {n for n in before if n.startswith(frozen or ()) or n.endswith('.lora_a')}
    assert 0 < len(held) < len(before)
    assert moments(run.state) == before.keys() - held
    # The gradient's norm, and so clipping, is of what moves alone.
    moving, still = run.blueprint.split_held(run.state.params)
    assert tiny_steps.named(still).keys() == held

    def loss_of(moving: nnx.State, still: nnx.State, frozen: nnx.State) -> jax.Array:
        params = nnx.merge_state(moving, still)
        return by_hand(run.blueprint.model.graphdef, params, frozen, batch_of(), 0.0)

    grads = jax.jit(jax.grad(loss_of))(moving, still, run.state.frozen)
    norm = float(optax.tree.norm(grads))
    first, *_ = run.train(3)
    assert first['grad_norm'] == pytest.approx(norm, rel=1e-4)
    after = run.parameters()  # all of them: a checkpoint is what `params` is
    assert after.keys() == before.keys()
    for name, value in after.items():
        assert np.array_equal(value, before[name]) == (name in held), name


def test_a_multiplier_is_a_learning_rate_of_its_own_decay_included() -> None:
    plain = make(settings=with_multipliers())
    twice = make(settings=with_multipliers('h.0.*=2', 'wpe.*=0.25'))
    begun = plain.parameters()
    plain.train(1)
    twice.train(1)
    one, other = plain.parameters(), twice.parameters()
    for name, value in begun.items():
        factor = 2 if name.startswith('h.0.') else 0.25 if 'wpe' in name else 1
        expected = value + factor * (one[name] - value)  # the update is linear in it
        np.testing.assert_allclose(other[name], expected, atol=3e-7, err_msg=name)
    # Places that no batch reaches have no gradient: decay alone acts on them.
    np.testing.assert_allclose(
        other['wpe.embedding'][12:],
        begun['wpe.embedding'][12:] * (1 - 0.25 * 1e-2 * 0.3),
        rtol=1e-6,
    )


def test_patterns_of_a_lora_run_mean_its_adapters() -> None:
    run = make(lora=LORA, settings=with_multipliers('lora_b=16'))
    assert run.blueprint.factors['h.0.mlp.c_fc.lora_b'] == 16.0
    assert run.blueprint.factors['h.0.mlp.c_fc.lora_a'] == 1.0
    with pytest.raises(errors.InputError, match=r"'wte\.\*' matches none of the 4"):
        make(lora=LORA, settings=with_multipliers('wte.*=0'))


def by_hand(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    frozen: nnx.State,
    batch: train_step.Batch,
    z_loss: float,
) -> jax.Array:
    """The objective of whole logits: nll + z_loss logsumexp**2, weighted."""
    model = nnx.merge(graphdef, params, frozen)
    hidden = model(batch['inputs'], batch['positions'], batch['segment_ids'])
    features, table = model.head(hidden)
    logits = features @ table.T
    log_z = jnp.log(jnp.sum(jnp.exp(logits), -1))
    chosen = jnp.sum(logits * jax.nn.one_hot(batch['targets'], 32), -1)
    weights = batch['loss_weights']
    return jnp.sum((log_z - chosen + z_loss * log_z**2) * weights) / jnp.sum(weights)


@pytest.mark.parametrize('grad_accum_steps', [1, 2])
def test_z_loss_is_the_square_of_logsumexp_and_has_its_gradient(
    grad_accum_steps: int,
) -> None:
    # Plain descent: the step is the gradient.
    z_loss, batch = 0.05, batch_of()
    run = make(z_loss=z_loss, grad_accum_steps=grad_accum_steps)
    grad = jax.jit(
        jax.value_and_grad(functools.partial(by_hand, run.blueprint.model.graphdef))
    )
    plain, _ = grad(run.state.params, run.state.frozen, batch, 0.0)
    both, grads = grad(run.state.params, run.state.frozen, batch, z_loss)
    assert float(both) > 1.02 * float(plain)
    grads, before = tiny_steps.named(grads), run.parameters()
    run.state, metrics = run.step(run.state, batch)
    np.testing.assert_allclose(metrics['loss'], plain, rtol=1e-5)
    np.testing.assert_allclose(metrics['z_loss'], both - plain, rtol=1e-4)
    np.testing.assert_allclose(metrics['grad_norm'], optax.tree.norm(grads), rtol=1e-4)
    # Adam's first step: g / (|g| + eps) and decay.
    after = run.parameters()
    for name, g in grads.items():
        update = g / (np.abs(g) + 1e-3) + 0.3 * before[name] * (before[name].ndim > 1)
        np.testing.assert_allclose(
            after[name], before[name] - 1e-2 * update, atol=2e-5, err_msg=name
        )


@functools.cache
def after_two_steps(
    model: schema.ModelConfig, lora: schema.LoraConfig, remat: str
) -> tuple[list[dict[str, float]], dict[str, np.ndarray]]:
    """(metrics, parameters); plain layers are what two of the cases compare with."""
    run = make(model=model, lora=lora, remat=remat)
    return run.train(2), run.parameters()


@pytest.mark.parametrize(
    ('remat', 'lora'), [('none', FULL), ('block', FULL), ('dots', LORA)]
)
def test_layers_in_a_loop_and_computed_again_are_the_same_layers(
    remat: str, lora: schema.LoraConfig
) -> None:
    # Two layers, dropout everywhere: the same bits are dropped.
    model = dataclasses.replace(TINY, n_layer=2, resid_pdrop=0.2, attn_pdrop=0.2)
    lora = dataclasses.replace(lora, dropout=0.2 if lora.rank else 0.0)
    looped = dataclasses.replace(model, scan_layers=True)
    plain_metrics, expected = after_two_steps(model, lora, 'none')
    again_metrics, found = after_two_steps(looped, lora, remat)
    for plain, again in zip(plain_metrics, again_metrics, strict=True):
        assert again['loss'] == pytest.approx(plain['loss'], rel=1e-6)
        assert again['grad_norm'] == pytest.approx(plain['grad_norm'], rel=1e-5)
    assert found.keys() == expected.keys()  # h.0, h.1: checkpoints are the same
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=2e-6, err_msg=name)


def test_layers_that_differ_are_not_looped_over() -> None:
    looped = dataclasses.replace(TINY, n_layer=3, scan_layers=True)
    some = dataclasses.replace(LORA, targets=('h.1.mlp.c_fc',))
    with pytest.raises(errors.InputError, match=r"alike, and \['h\.1'\] differ"):
        make(model=looped, lora=some)


SMALL = dataclasses.replace(SETTINGS, learning_rate=1e-3)


def test_bfloat16_parameters_lose_updates_that_are_small_and_it_is_counted() -> None:
    run = make(settings=SMALL, param_dtype='bfloat16')
    before, exact = run.parameters(), tiny_steps.random_parameters(TINY, scale=0.3)
    for name, value in before.items():
        np.testing.assert_array_equal(value, exact[name].astype(ml_dtypes.bfloat16))
    grads = jax.jit(jax.grad(functools.partial(by_hand, run.blueprint.model.graphdef)))(
        run.state.params, run.state.frozen, batch_of(), 0.0
    )
    (metrics,) = run.train(1)
    lost = given = 0
    for name, g in tiny_steps.named(grads).items():
        g, old = g.astype(np.float32), before[name].astype(np.float32)
        update = 1e-3 * (g / (np.abs(g) + 1e-3) + 0.3 * old * (old.ndim > 1))
        new = (old - update).astype(ml_dtypes.bfloat16)
        given += np.sum(update != 0)
        lost += np.sum((update != 0) & (new == before[name]))
    assert 0.1 < lost / given < 0.9
    assert metrics['lost_updates'] == pytest.approx(lost / given, abs=0.01)


def test_each_option_reports_its_own_and_adapters_lose_nothing() -> None:
    def reported(run: Run) -> set[str]:
        _, metrics = jax.eval_shape(run.step, run.state, batch_of())
        return set(metrics)

    always = {'loss', 'weight', 'tokens', 'grad_norm', 'learning_rate'}
    always |= {'bad', 'action'}
    assert reported(make()) == always
    assert reported(make(z_loss=1e-4)) == always | {'z_loss'}
    assert reported(make(param_dtype='bfloat16')) == always | {'lost_updates'}
    adapted = make(lora=LORA, param_dtype='bfloat16')
    assert reported(adapted) == always
    assert {v.dtype for v in adapted.parameters().values()} == {np.dtype(np.float32)}
    frozen = tiny_steps.named(adapted.state.frozen).values()
    assert {v.dtype for v in frozen} == {np.dtype(ml_dtypes.bfloat16)}


def test_bfloat16_gradients_are_summed_in_float32() -> None:
    settings = dataclasses.replace(SMALL, moment_dtype='bfloat16')
    whole = make(settings=SMALL, param_dtype='bfloat16')
    split = make(settings=settings, param_dtype='bfloat16', grad_accum_steps=4)
    (one,), (other,) = whole.train(1), split.train(1)
    assert other['loss'] == pytest.approx(one['loss'], rel=1e-5)
    assert other['grad_norm'] == pytest.approx(one['grad_norm'], rel=1e-2)
    for run, dtype in ((whole, jnp.float32), (split, jnp.bfloat16)):
        stored = [leaf for leaf in jax.tree.leaves(run.state.opt_state) if leaf.ndim]
        assert {leaf.dtype for leaf in stored} == {jnp.dtype(dtype)}
