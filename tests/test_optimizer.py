import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hax_jax import config, optimizer

SETTINGS = config.OptimizerConfig(
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
    says = f'optimizer.warmup_steps={warmup_steps} is not under the 12 steps.*lower it'
    with pytest.raises(config.InputError, match=says):
        optimizer.schedule(settings, num_steps=12)
    with pytest.raises(config.InputError, match=says):
        optimizer.make_optimizer(settings, num_steps=12)


def test_a_warm_up_one_step_shorter_than_the_run_is_accepted() -> None:
    settings = dataclasses.replace(SETTINGS, warmup_steps=11)
    schedule = optimizer.schedule(settings, num_steps=12)
    assert float(schedule(11)) == pytest.approx(1.0)


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
