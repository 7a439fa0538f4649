"""Paired differences: the ratio and its intervals, against formulas and coverage."""

import math

import numpy as np
import pytest

from hax_jax.evaluation import evaluate, paired

NUM_RESAMPLES = 1000


def difference(
    d: object, n: object = None, groups: object = None, *, seed: int = 0
) -> paired.Difference:
    d = [float(x) for x in d]
    return paired.difference(
        d,
        [1] * len(d) if n is None else [int(x) for x in n],
        [str(i) for i in range(len(d))] if groups is None else [str(g) for g in groups],
        unit=paired.NATS,
        seed=seed,
        num_resamples=NUM_RESAMPLES,
    )


def pair(
    name: str, nats: float, *, tokens: int = 4, size: int = 10, source: str = 'chat'
) -> evaluate.PairScore:
    return evaluate.PairScore(name, source, answer=evaluate.Part(nats, tokens, size, 0))


def test_the_difference_is_the_ratio_of_the_sums() -> None:
    found = difference([1, 2, 3, -1, 0], [10, 20, 5, 5, 10])
    assert found.mean == pytest.approx(5 / 50)
    assert (found.num_pairs, found.num_groups) == (5, 5)


def test_with_equal_sizes_the_formula_is_students_interval_of_a_mean() -> None:
    d = np.arange(10.0) ** 2
    found = difference(d)
    # 2.262157 is Student's t of 9 degrees of freedom at 97.5%, from its tables.
    reach = 2.262157 * d.std(ddof=1) / math.sqrt(10)
    assert found.formula_low == pytest.approx(d.mean() - reach, rel=1e-6)
    assert found.formula_high == pytest.approx(d.mean() + reach, rel=1e-6)


def test_both_intervals_hold_the_truth_about_19_times_in_20() -> None:
    rng = np.random.default_rng(0)
    held = np.zeros(2)
    trials = 300
    for _ in range(trials):
        # Tokens differ from group to group, and the difference per token is 0.1.
        n = rng.integers(20, 300, 40)
        d = 0.1 * n + rng.normal(size=40) * np.sqrt(n)
        found = difference(d, n)
        held += (
            found.low < 0.1 < found.high,
            found.formula_low < 0.1 < found.formula_high,
        )
    assert (held / trials > 0.91).all()
    assert (held / trials < 0.99).all()


def test_the_bootstrap_agrees_with_the_formula_where_groups_are_many() -> None:
    rng = np.random.default_rng(1)
    found = difference(rng.normal(0.5, 1, 2000))
    width, formula = found.high - found.low, found.formula_high - found.formula_low
    assert width == pytest.approx(formula, rel=0.1)
    assert found.low == pytest.approx(found.formula_low, abs=0.1 * formula)


def test_copies_within_a_group_tell_nothing_more() -> None:
    d = np.random.default_rng(2).normal(size=12)
    once = difference(d, groups=range(12))
    # Pairs of one group need not lie side by side.
    copied = difference(np.tile(d, 5), groups=[*range(12)] * 5)
    assert copied.num_pairs == 60
    for name in ('mean', 'low', 'high', 'formula_low', 'formula_high'):
        assert getattr(copied, name) == pytest.approx(getattr(once, name)), name
    alone = difference(np.tile(d, 5))
    assert alone.high - alone.low < 0.6 * (once.high - once.low)


def test_a_seed_gives_one_interval() -> None:
    d = np.random.default_rng(3).normal(size=30)
    assert difference(d) == difference(d)
    assert difference(d, seed=1).low != difference(d).low


def test_too_few_groups_give_no_interval() -> None:
    found = difference([1.0] * 8, groups='aabbccdd')
    assert (found.is_known, found.better, found.num_groups) == (False, '', 4)
    assert (found.low, found.high, found.formula_low) == (None, None, None)
    assert 'an interval needs 5 groups or more' in paired.in_words(found)
    assert paired.in_words(difference([1.0])).endswith('on 1 pair in 1 group)')
    assert difference([1.0, 1.1, 1.2, 0.9, 1.0]).is_known


def test_who_is_better_is_said_in_words() -> None:
    noise = np.random.default_rng(4).normal(0, 0.01, 50)
    # A's loss is higher: B is better.
    found = difference(0.5 + noise)
    assert found.better == 'B'
    said = paired.in_words(found)
    assert said.startswith(f'B is better by {found.mean:.4f} nats per answer token')
    assert f'(95% interval {found.low:.4f} to {found.high:.4f})' in said
    assert said.endswith('on 50 pairs in 50 groups')
    found = difference(-0.5 + noise)
    assert found.better == 'A'
    assert f'interval {-found.high:.4f} to {-found.low:.4f})' in paired.in_words(found)
    found = difference([1.0, -1.0] * 25)
    assert found.low < 0 < found.high
    assert paired.in_words(found).startswith('no difference can be told: A minus B is')


def test_a_model_does_not_differ_from_itself() -> None:
    pairs = [pair(f'p{i}', 3.0 + i) for i in range(9)]
    found = paired.compare(pairs, pairs, same_tokenizer=True, groups={})
    assert (found.by['all'].mean, found.by['all'].better) == (0.0, '')
    assert (found.only_a, found.only_b, found.unlike) == ([], [], [])


def test_pairs_are_matched_by_id_and_the_others_are_named() -> None:
    a = [pair('x', 6.0), pair('only a', 9.0), pair('y', 8.0, source='reddit')]
    a.append(pair('cut', 1.0))
    b = [pair('y', 4.0, source='reddit'), pair('only b', 1.0), pair('x', 3.0)]
    b.append(pair('cut', 1.0, tokens=3))
    found = paired.compare(a, b, same_tokenizer=True, groups={})
    assert found.only_a == ['only a']
    assert found.only_b == ['only b']
    assert found.unlike == ['cut']
    assert list(found.by) == ['all', 'chat', 'reddit']
    assert found.by['all'].unit == 'nats per answer token'
    assert found.by['all'].mean == pytest.approx((3 + 4) / 8)
    assert found.by['chat'].mean == pytest.approx(3 / 4)
    assert found.by['reddit'].num_pairs == 1


def test_other_tokenizers_are_compared_in_bits_per_byte() -> None:
    a = [pair('x', 6 * math.log(2), tokens=4), pair('y', 1.0, size=9)]
    b = [pair('x', 2 * math.log(2), tokens=7), pair('y', 1.0, size=8)]
    found = paired.compare(a, b, same_tokenizer=False, groups={})
    assert found.by['all'].unit == 'bits per byte of the answers'
    assert found.by['all'].mean == pytest.approx(4 / 10)
    assert found.unlike == ['y']


def test_pairs_of_one_group_are_drawn_together() -> None:
    a = [pair(f'p{i}', float(i % 3)) for i in range(12)]
    b = [pair(f'p{i}', 0.0) for i in range(12)]
    groups = {f'p{i}': f'post {i // 2}' for i in range(10)}
    found = paired.compare(a, b, same_tokenizer=True, groups=groups)
    # p10 and p11 have no group in the dataset: each is its own.
    assert found.by['all'].num_groups == 5 + 2
