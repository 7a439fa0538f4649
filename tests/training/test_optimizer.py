import dataclasses
import math
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.training import optimizer

SETTINGS = schema.OptimizerConfig(
    learning_rate=1.0,
    final_learning_rate=0.2,
    warmup_steps=4,
    b1=0.9,
    b2=0.95,
    eps=1e-8,
    weight_decay=0.1,
    clip_norm=1.0,
)


def test_the_schedule_warms_up_then_falls_as_a_cosine() -> None:
    schedule = optimizer.schedule(SETTINGS, num_steps=12)
    # 1/5, 2/5, ... to the peak at step 4; then 8 steps of a cosine from 1.0 to 0.2.
    half = math.sqrt(0.5)
    expected = {
        0: 0.2,
        1: 0.4,
        2: 0.6,
        3: 0.8,
        4: 1.0,
        6: 0.6 + 0.4 * half,
        8: 0.6,
        10: 0.6 - 0.4 * half,
        12: 0.2,
        20: 0.2,
    }
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-6), step


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    settings = dataclasses.replace(
        SETTINGS, warmup_steps=0, learning_rate=3e-4, final_learning_rate=0.0
    )
    schedule = optimizer.schedule(settings, num_steps=2)
    rates = [float(schedule(step)) for step in range(3)]
    assert rates == pytest.approx([3e-4, 1.5e-4, 0.0], abs=1e-10)


def test_the_last_step_of_a_run_still_learns() -> None:
    settings = dataclasses.replace(SETTINGS, final_learning_rate=0.0)
    schedule = optimizer.schedule(settings, num_steps=12)
    assert all(float(schedule(step)) > 0 for step in range(12))


@pytest.mark.parametrize('warmup_steps', [12, 13])
def test_a_warm_up_as_long_as_the_run_is_refused(warmup_steps: int) -> None:
    settings = dataclasses.replace(SETTINGS, warmup_steps=warmup_steps)
    says = (
        f'optimizer.warmup_steps={warmup_steps} is not under the 12 steps of the run; '
        'lower it, for example --config.optimizer.warmup_steps=1, or'
    )
    with pytest.raises(errors.InputError, match=says):
        optimizer.schedule(settings, num_steps=12)
    with pytest.raises(errors.InputError, match=says):
        optimizer.make_optimizer(settings, num_steps=12)


def test_a_share_that_warms_up_all_the_run_is_lowered_as_a_share() -> None:
    settings = dataclasses.replace(SETTINGS, warmup_steps=0, warmup_share=0.9)
    says = r'\(4 steps\) is not .* example --config.optimizer.warmup_share=0.1, or'
    with pytest.raises(errors.InputError, match=says):
        optimizer.schedule(settings, num_steps=4)
    lowered = dataclasses.replace(settings, warmup_share=0.1)
    assert optimizer.schedule(lowered, num_steps=4)(0) > 0


def test_a_warm_up_one_step_shorter_than_the_run_is_accepted() -> None:
    settings = dataclasses.replace(SETTINGS, warmup_steps=11)
    schedule = optimizer.schedule(settings, num_steps=12)
    assert float(schedule(11)) == pytest.approx(1.0)


def by_formula(
    settings: schema.OptimizerConfig, *, warmup: int, num_steps: int
) -> np.ndarray:
    """The rate at each step of the run and the three after it, in numpy."""
    s = np.arange(num_steps + 3)
    peak, floor = settings.learning_rate, settings.final_learning_rate
    share = np.clip((s - warmup) / (num_steps - warmup), 0, 1)
    decay = settings.decay_share * num_steps
    left = np.clip((num_steps - s) / decay, 0, 1)
    after = {
        'constant': np.full(len(s), peak),
        'linear': peak + (floor - peak) * share,
        'cosine': floor + (peak - floor) * (1 + np.cos(np.pi * share)) / 2,
        'inverse_sqrt': np.maximum(floor, peak * np.sqrt((warmup + 1) / (s + 1))),
        'wsd': floor + (peak - floor) * left,
    }[settings.schedule]
    return np.where(s < warmup, peak * (s + 1) / (warmup + 1), after)


@pytest.mark.parametrize('kind', typing.get_args(schema.Schedule))
@pytest.mark.parametrize('warmup', [0, 1, 10])
@pytest.mark.parametrize('floor', [0.0, 0.4])
def test_each_schedule_is_its_formula(kind: str, warmup: int, floor: float) -> None:
    settings = schema.OptimizerConfig(
        schedule=kind,
        learning_rate=1.0,
        final_learning_rate=floor,
        warmup_steps=warmup,
        decay_share=0.3,
    )
    schedule = optimizer.schedule(settings, num_steps=40)
    found = np.array([schedule(step) for step in range(43)])
    expected = by_formula(settings, warmup=warmup, num_steps=40)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(schedule(jnp.arange(43)), expected, atol=1e-6)
    assert np.all(found[warmup:] >= floor - 1e-6)
    assert np.all(found[:40] > 0)


def test_wsd_is_stable_and_then_falls_over_the_share_at_its_end() -> None:
    settings = schema.OptimizerConfig(
        schedule='wsd', learning_rate=1.0, warmup_steps=2, decay_share=0.2
    )
    schedule = optimizer.schedule(settings, num_steps=20)
    rates = [float(schedule(step)) for step in range(21)]
    assert rates[2:17] == [1.0] * 15  # the decay's first step still has the peak
    assert rates[17:] == pytest.approx([0.75, 0.5, 0.25, 0.0])


def test_a_share_of_warm_up_is_that_share_of_the_steps() -> None:
    steps = dataclasses.replace(SETTINGS, warmup_steps=10)
    share = dataclasses.replace(SETTINGS, warmup_steps=0, warmup_share=0.1)
    for num_steps in (96, 100, 104):
        one = optimizer.schedule(steps, num_steps=num_steps)
        other = optimizer.schedule(share, num_steps=num_steps)
        assert [one(s) for s in range(num_steps)] == [
            other(s) for s in range(num_steps)
        ]
    says = r'optimizer\.warmup_share=0\.96 \(12 steps\) is not under the 12 steps'
    with pytest.raises(errors.InputError, match=says):
        optimizer.schedule(dataclasses.replace(share, warmup_share=0.96), num_steps=12)


def test_a_warm_up_that_meets_the_decay_is_refused() -> None:
    settings = dataclasses.replace(SETTINGS, schedule='wsd', decay_share=0.75)
    says = r'warmup_steps=4 and optimizer\.decay_share=0\.75 \(9 steps\) are more than'
    with pytest.raises(errors.InputError, match=says):
        optimizer.schedule(settings, num_steps=12)
    settings = dataclasses.replace(settings, decay_share=8 / 12)
    optimizer.schedule(settings, num_steps=12)


NAMES = ['wte.embedding', 'h.0.ln_1.bias', 'h.0.attn.c_attn.kernel', 'h.10.ln_1.bias']


def test_the_first_pattern_that_matches_holds_and_every_parameter_is_in_one() -> None:
    table = optimizer.multipliers(('h.0.*=0.5', 'ln_1.bias=0', 'wte.*=1e-2'), NAMES)
    row = optimizer.Multiplier
    assert table == [
        row('h.0.*', 0.5, ('h.0.ln_1.bias', 'h.0.attn.c_attn.kernel')),
        row('ln_1.bias', 0.0, ('h.10.ln_1.bias',)),  # a path's end
        row('wte.*', 0.01, ('wte.embedding',)),
        row('', 1.0, ()),
    ]
    assert optimizer.multipliers((), NAMES) == [row('', 1.0, tuple(NAMES))]


def test_patterns_without_effect_are_refused_together_with_the_nearest_names() -> None:
    entries = ('h.*=0.5', 'wte.embeding=0', 'ln_1.*=2')
    with pytest.raises(errors.InputError) as caught:
        optimizer.multipliers(entries, NAMES)
    first, second = str(caught.value).split('\n')
    assert first.startswith(
        "optimizer.lr_multipliers: 'wte.embeding' matches none of the 4 trained "
        'parameters (* stands for any text); the nearest are wte.embedding, '
    )
    assert "all that 'ln_1.*' matches is matched by a pattern before it" in second


def test_to_freeze_everything_is_refused() -> None:
    with pytest.raises(errors.InputError, match='freezes every trained parameter'):
        optimizer.multipliers(('wte.*=0', '*=0'), NAMES)
    optimizer.multipliers(('wte.*=0', 'h.1*=0'), NAMES)


def test_moments_lie_in_their_dtype_and_are_computed_in_float32() -> None:
    settings = dataclasses.replace(SETTINGS, moment_dtype='bfloat16', clip_norm=0.0)
    tx = optimizer.make_optimizer(settings, num_steps=12)
    params = {'kernel': jnp.ones((2, 3), jnp.bfloat16)}
    state = tx.init(params)
    rng = np.random.default_rng(2)
    first, second = np.zeros((2, 3)), np.zeros((2, 3))
    for step in range(3):
        g = rng.normal(size=(2, 3)).astype(np.float32)
        updates, state = tx.update({'kernel': jnp.asarray(g)}, state, params)
        first = 0.9 * first + 0.1 * g
        second = 0.95 * second + 0.05 * g.astype(np.float64) ** 2
        m, v = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.95 ** (step + 1))
        rate = 0.2 * (step + 1)
        np.testing.assert_allclose(
            updates['kernel'], -rate * (m / (np.sqrt(v) + 1e-8) + 0.1), rtol=1e-4
        )
        assert updates['kernel'].dtype == jnp.float32
        # What is kept is rounded: so is the reference's.
        first, second = (
            np.asarray(jnp.asarray(x, jnp.bfloat16), np.float64)
            for x in (first, second)
        )
    adam = next(s for s in state if isinstance(s, optax.ScaleByAdamState))
    assert adam.count.dtype == jnp.int32
    for kept, moment in ((adam.mu, first), (adam.nu, second)):
        assert kept['kernel'].dtype == jnp.bfloat16
        np.testing.assert_allclose(
            np.asarray(kept['kernel'], np.float64), moment, rtol=2**-8
        )


def make_params() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        'kernel': rng.normal(size=(3, 4)).astype(np.float32),
        'bias': rng.normal(size=4).astype(np.float32),
        'scale': rng.normal(size=4).astype(np.float32),
    }


def test_matrices_decay_and_biases_and_norms_do_not() -> None:
    params = make_params()
    assert optimizer.decay_mask(params) == {
        'kernel': True,
        'bias': False,
        'scale': False,
    }
    tx = optimizer.make_optimizer(SETTINGS, num_steps=12)
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = tx.update(zero, tx.init(params), params)
    # Without a gradient there is decay alone: -rate * weight_decay * parameter.
    np.testing.assert_allclose(
        updates['kernel'], -0.2 * 0.1 * params['kernel'], rtol=1e-6
    )
    assert not np.any(updates['bias'])
    assert not np.any(updates['scale'])


@pytest.mark.parametrize('clip_norm', [0.0, 1.0, 2.0])
def test_updates_are_those_of_adamw_on_clipped_gradients(clip_norm: float) -> None:
    settings = dataclasses.replace(SETTINGS, clip_norm=clip_norm)
    tx = optimizer.make_optimizer(settings, num_steps=12)
    schedule = optimizer.schedule(settings, num_steps=12)
    params = make_params()
    state = tx.init(params)
    rng = np.random.default_rng(1)
    expected = {name: value.astype(np.float64) for name, value in params.items()}
    first = {name: np.zeros_like(value) for name, value in expected.items()}
    second = {name: np.zeros_like(value) for name, value in expected.items()}
    for step, size in enumerate([0.05, 10.0, 0.5, 3.0]):  # under and over each norm
        grads = {
            name: (size * rng.normal(size=value.shape)).astype(np.float32)
            for name, value in params.items()
        }
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)

        norm = math.sqrt(
            sum(float((g.astype(np.float64) ** 2).sum()) for g in grads.values())
        )
        scale = min(1.0, clip_norm / norm) if clip_norm else 1.0
        for name in expected:
            g = grads[name].astype(np.float64) * scale
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.95 * second[name] + 0.05 * g**2
            m = first[name] / (1 - 0.9 ** (step + 1))
            v = second[name] / (1 - 0.95 ** (step + 1))
            change = m / (np.sqrt(v) + 1e-8)
            if expected[name].ndim > 1:
                change = change + 0.1 * expected[name]
            expected[name] = expected[name] - float(schedule(step)) * change
        for name in expected:
            np.testing.assert_allclose(
                params[name], expected[name], rtol=1e-4, atol=1e-5
            )
