"""The power law through losses, and the verdict on more data."""

import itertools

import numpy as np
import pytest
import scipy.optimize

from hax_jax.evaluation import evaluate
from hax_jax.tuning import power_law, saturation, shares

_SIZES = np.array([1e4, 2e4, 4e4, 8e4])


def law(size: np.ndarray, E: float, A: float, alpha: float) -> np.ndarray:
    return E + A * (size / 8e4) ** -alpha


def test_the_law_is_that_of_scipys_least_squares() -> None:
    rng = np.random.default_rng(1)
    losses = law(_SIZES, 2.8, 0.4, 0.3) + rng.normal(size=4) * 0.003
    found = power_law.fit(_SIZES, losses)
    wanted, _ = scipy.optimize.curve_fit(
        law, _SIZES, losses, p0=(2.5, 0.5, 0.5), bounds=([0, 0, 0.02], [9, 9, 2])
    )
    made = law(_SIZES, float(found.E[0]), float(found.A[0]), float(found.alpha[0]))
    np.testing.assert_allclose(made, law(_SIZES, *wanted), atol=2e-4)
    gain = law(np.array(8e4), *wanted) - law(np.array(16e4), *wanted)
    assert found.gain(2.0)[0] == pytest.approx(gain, abs=2e-3)


def test_losses_that_do_not_fall_promise_nothing() -> None:
    found = power_law.fit(_SIZES, np.array([[3.0, 3.0, 3.0, 3.0], [2.9, 3, 3.1, 3.2]]))
    np.testing.assert_allclose(found.gain(10.0), 0, atol=1e-12)
    np.testing.assert_allclose(found.at(1.0), [3.0, 3.05])


def test_no_law_goes_below_zero() -> None:
    found = power_law.fit(_SIZES, np.array([8.0, 4.0, 2.0, 1.0]))
    assert found.E[0] >= 0
    assert found.alpha[0] == pytest.approx(1.0, rel=0.03)


def part(share: float, loss: float, hard: np.ndarray) -> saturation.Measured:
    """20 pairs of 100 tokens in 10 groups; all parts find the same groups hard."""
    pairs = [
        evaluate.PairScore(
            f'p{i}', 'a', answer=evaluate.Part(100 * (loss + float(hard[i // 2])), 100)
        )
        for i in range(20)
    ]
    return saturation.Measured(share, round(80_000 * share), pairs)


def found(
    losses: list[float],
    *,
    noise: float,
    tuning: float | None = None,
    unlearned: float = np.inf,
) -> saturation.Saturation:
    hard = np.random.default_rng(0).normal(size=10)
    hard -= hard.mean()
    each = zip((0.125, 0.25, 0.5, 1.0), losses, strict=True)
    return saturation.find(
        [part(share, loss, hard) for share, loss in each],
        groups={f'p{i}': f'g{i // 2}' for i in range(20)},
        noise=noise,
        tuning=tuning,
        unlearned=unlearned,
    )


def test_a_steady_fall_asks_for_more_data_and_tuning_can_outweigh_it() -> None:
    losses = [3.6, 3.4, 3.2, 3.0]
    made = found(losses, noise=0.01)
    assert made.verdict == saturation.MORE_DATA
    assert made.num_groups == 10
    assert 0.15 < made.gains[2.0].value < 0.2  # a pure power law: 3.0 * 2 ** -0.085
    # The groups' own hardness is in the loss's interval, and cancels in the gain's.
    assert made.losses[-1].high - made.losses[-1].low > 0.3
    assert made.gains[2.0].high - made.gains[2.0].low < 0.15
    assert found(losses, noise=0.01, tuning=0.5).verdict == saturation.NOT_YOUR_PROBLEM


def test_a_flat_end_is_not_a_lack_of_data() -> None:
    made = found([3.5, 3.05, 3.005, 3.0], noise=0.01)
    assert made.verdict == saturation.NOT_YOUR_PROBLEM
    assert made.gains[10.0].value < 0.01
    assert made.sentence.startswith('Data is not your problem: twice the data would')


def test_a_gain_that_the_noise_reaches_is_not_known() -> None:
    made = found([3.2, 3.1, 3.05, 3.0], noise=0.02)
    assert made.verdict == saturation.NOT_KNOWN


def test_runs_that_learned_nothing_tell_nothing() -> None:
    flat = [3.5, 3.05, 3.005, 3.0]
    assert found(flat, noise=0.01, unlearned=3.1).verdict != saturation.NOT_KNOWN
    made = found(flat, noise=0.01, unlearned=2.9)
    assert made.verdict == saturation.NOT_KNOWN
    assert 'token frequencies alone cost 2.9000' in made.sentence


def test_few_groups_give_no_verdict() -> None:
    word, said = saturation.verdict(
        saturation.Interval(0.3, 0.2, 0.4), 0.01, None, num_groups=4
    )
    assert word == saturation.NOT_KNOWN
    assert 'an interval needs 5 validation groups or more, and this is of 4' in said


def test_parts_are_nested_whole_groups_of_each_source() -> None:
    groups = {f'a{i}': ('a', 10) for i in range(16)} | {'b': ('b', 10), 'c': ('c', 0)}
    chosen = shares.nested(groups, (0.125, 0.25, 0.5, 1.0), seed=0)
    sizes = [len([g for g in part if g[0] == 'a']) for part in chosen.values()]
    assert sizes == [2, 4, 8, 16]
    parts = list(chosen.values())
    assert all(a <= b for a, b in itertools.pairwise(parts))
    assert ['b' in part for part in parts] == [False, False, True, True]
    assert parts[-1] == groups.keys()
    other = shares.nested(groups, (0.125, 0.25, 0.5, 1.0), seed=1)
    assert other[0.125] != chosen[0.125]
    assert shares.absent(groups, chosen) == [
        'b has 1 group, none in the share of 0.125, 0.25: that part knows nothing of '
        'this source, so data looks more useful than it is'
    ]
