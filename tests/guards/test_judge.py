"""The judgement alone: numpy's median and MAD, what is entered, when a run stops."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hax_jax.guards import judge

GOOD = ('', 'applied')
NAN, INF = float('nan'), float('inf')


@functools.cache
def judged(on_bad_step: str, on_spike: str) -> object:
    return jax.jit(
        functools.partial(judge.judge, on_bad_step=on_bad_step, on_spike=on_spike)
    )


def feed(
    guard: judge.Guard,
    losses: list[float],
    norms: list[float] | None = None,
    *,
    weight: float = 1.0,
    on_bad_step: str = 'skip',
    on_spike: str = 'skip',
) -> tuple[list[tuple[str, str]], judge.Guard]:
    """(kind, action) of each step in words, and the guard after them."""
    step, out = judged(on_bad_step, on_spike), []
    for loss, norm in zip(losses, norms or [1.0] * len(losses), strict=True):
        values = map(jnp.float32, (loss, norm, weight))
        kind, action, guard = step(guard, *values)
        out.append((judge.KINDS[int(kind)], judge.ACTIONS[int(action)]))
    return out, guard


def equal(one: judge.Guard, other: judge.Guard) -> bool:
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def noisy(count: int, *, seed: int = 0) -> list[float]:
    return list(3 + 0.4 * np.random.default_rng(seed).standard_normal(count))


def threshold(values: list[float], floor: float) -> float:
    """The highest value that is no spike after these, of the last 128."""
    last = np.float32(values[-128:])
    middle = np.median(last)
    deviation = 1.4826 * np.median(np.abs(last - middle))
    return float(middle + 6 * max(deviation, floor * middle))


@pytest.mark.parametrize('count', [32, 33, 127, 128, 129, 300])
def test_a_spike_is_six_robust_deviations_over_the_median_of_the_last_128(
    count: int,
) -> None:
    losses = noisy(count)
    seen, guard = feed(judge.empty(), losses)
    assert seen == [GOOD] * count
    highest = threshold(losses, 0.05)
    assert 4.5 < highest < 7.0
    for loss, expected in (
        (highest - 0.01, GOOD),
        (highest + 0.01, ('loss spike', 'skipped')),
        (-1000.0, GOOD),  # better than ever is no spike
    ):
        assert feed(guard, [loss])[0] == [expected]


def test_a_gradient_norm_is_judged_as_a_loss_is() -> None:
    norms = [abs(value) for value in noisy(50, seed=1)]
    _, guard = feed(judge.empty(), [2.0] * 50, norms)
    highest = threshold(norms, 0.25)
    seen, _ = feed(guard, [2.0, 2.0], [highest - 0.01, highest + 0.01])
    assert seen == [GOOD, ('gradient spike', 'skipped')]


def test_nothing_is_a_spike_before_enough_steps_are_known() -> None:
    losses = [3.0] * (judge.ENOUGH - 1)
    assert feed(judge.empty(), [*losses, 1e9])[0][-1] == GOOD
    seen, _ = feed(judge.empty(), [*losses, 3.0, 1e9])
    assert seen[-1] == ('loss spike', 'skipped')


def test_a_loss_that_stands_still_makes_no_spike_of_noise() -> None:
    _, guard = feed(judge.empty(), [2.0] * 128)
    assert feed(guard, [2.59], [2.4])[0] == [GOOD]  # under 6 * 0.05 and 6 * 0.25 more
    assert feed(guard, [2.61])[0] == [('loss spike', 'skipped')]
    assert feed(guard, [2.0], [2.6])[0] == [('gradient spike', 'skipped')]


@pytest.mark.parametrize(
    ('loss', 'norm', 'kind'),
    [
        (NAN, 1.0, 'loss not finite'),
        (INF, NAN, 'loss not finite'),
        (2.0, INF, 'gradient not finite'),
        (2.0, NAN, 'gradient not finite'),
    ],
)
def test_what_is_not_finite_is_bad_from_the_first_step_on(
    loss: float, norm: float, kind: str
) -> None:
    seen, guard = feed(judge.empty(), [loss], [norm])
    assert seen == [(kind, 'skipped')]
    assert int(guard.num_skipped) == 1


def test_a_skipped_step_enters_no_ring_and_a_noted_one_does() -> None:
    losses = noisy(64)
    _, expected = feed(judge.empty(), losses)
    _, found = feed(judge.empty(), [*losses[:40], 99.0, NAN, *losses[40:]])
    assert int(found.num_skipped) == 2
    assert equal(dataclasses.replace(found, num_skipped=np.int32(0)), expected)
    seen, noted = feed(judge.empty(), [*losses, 99.0], on_spike='note')
    assert seen[-1] == ('loss spike', 'applied')
    assert float(noted.losses[64]) == 99.0


def test_a_batch_without_weight_is_good_and_enters_no_ring() -> None:
    _, guard = feed(judge.empty(), noisy(40))
    seen, after = feed(guard, [0.0], [0.0], weight=0.0)
    assert seen == [GOOD]
    assert equal(after, guard)


def test_a_stop_holds_and_leaves_the_guard_as_it_was() -> None:
    _, guard = feed(judge.empty(), noisy(40))
    seen, after = feed(guard, [NAN, 3.0, NAN], on_bad_step='stop')
    assert seen == [('loss not finite', 'stopped'), ('', 'stopped'), ('', 'stopped')]
    assert bool(after.stopped)
    assert equal(dataclasses.replace(after, stopped=np.bool_(False)), guard)


def test_too_many_skipped_steps_in_a_row_stop_the_run() -> None:
    most = judge.MOST_IN_A_ROW
    seen, guard = feed(judge.empty(), [NAN] * (most - 1) + [2.0] + [NAN] * most)
    assert [action for _, action in seen] == (
        ['skipped'] * (most - 1) + ['applied'] + ['skipped'] * (most - 1) + ['stopped']
    )
    assert int(guard.num_skipped) == 2 * (most - 1)
    # The run that goes on has not forgotten how many there were.
    released = dataclasses.replace(guard, stopped=np.bool_(False))
    assert feed(released, [NAN])[0] == [('loss not finite', 'stopped')]
    assert feed(released, [2.0])[0] == [GOOD]
