"""Two models on the same pairs: which is better, by how much, and how sure that is.

The difference is taken pair by pair, so a pair that is hard for both models cancels
out. The statistic is a ratio over all pairs: the sum of the differences over the sum of
the tokens (or bytes), as the loss itself is. Pairs of one group (a chat, a post) are
not independent, so the bootstrap draws whole groups.

Source: E. Miller, Adding Error Bars to Evals, arXiv:2411.00640 (paired differences,
clustered errors); P. Koehn, Statistical Significance Tests for Machine Translation
Evaluation, EMNLP 2004 (the paired bootstrap); W. G. Cochran, Sampling Techniques,
chapter 6 (the variance of a ratio).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from hax_jax import counted
from hax_jax.evaluation import evaluate

NATS = 'nats per answer token'
BITS = 'bits per byte of the answers'
CONFIDENCE = 0.95
FEWEST_GROUPS = 5  # with fewer, an interval says more than is known
_RESAMPLES_AT_ONCE = 100


@dataclasses.dataclass(frozen=True)
class Difference:
    """A's value minus B's in `unit`: over 0, B is better.

    `low` and `high` are the 95% interval of the paired bootstrap (percentiles),
    `formula_low` and `formula_high` that of the formula, with Student's t. With fewer
    than FEWEST_GROUPS groups all four are None and `is_known` is false.
    """

    unit: str
    num_pairs: int
    num_groups: int
    mean: float
    is_known: bool
    low: float | None = None
    high: float | None = None
    formula_low: float | None = None
    formula_high: float | None = None

    @property
    def better(self) -> str:
        """'A' or 'B' if both intervals say so, else ''."""
        if not self.is_known:
            return ''
        if min(self.low, self.formula_low) > 0:
            return 'B'
        return 'A' if max(self.high, self.formula_high) < 0 else ''


@dataclasses.dataclass(frozen=True)
class Comparison:
    """`by[source]`, with 'all' for every source together; and the ids left out.

    `only_a` and `only_b` are ids that only one model's rows have. `unlike` are ids
    whose answers differ in length between the two: split or replaced differently.
    """

    by: dict[str, Difference]
    only_a: list[str]
    only_b: list[str]
    unlike: list[str]


def compare(
    a: Sequence[evaluate.PairScore],
    b: Sequence[evaluate.PairScore],
    *,
    same_tokenizer: bool,
    groups: Mapping[str, str],
    seed: int = 0,
    num_resamples: int = 10_000,
) -> Comparison:
    """Compares the answers of the pairs that both have, matched by id.

    The unit is nats per token if both models have the same tokenizer, else bits per
    byte. `groups` maps an id to its group; an id without one is a group of its own.
    """

    def size(pair: evaluate.PairScore) -> int:
        return pair.answer.tokens if same_tokenizer else pair.answer.bytes

    nats_per_unit = 1.0 if same_tokenizer else math.log(2)
    others = {pair.id: pair for pair in b}
    ids = {pair.id for pair in a}
    matched = [(one, others[one.id]) for one in a if one.id in others]
    both = [(x, y) for x, y in matched if size(x) == size(y)]
    by = {}
    for source in ['all', *sorted({one.source for one, _ in both} - {'all'})]:
        chosen = [(x, y) for x, y in both if source in ('all', x.source)]
        if chosen:
            by[source] = difference(
                [(x.answer.nats - y.answer.nats) / nats_per_unit for x, y in chosen],
                [size(x) for x, _ in chosen],
                [groups.get(x.id, f'pair {x.id}') for x, _ in chosen],
                unit=NATS if same_tokenizer else BITS,
                seed=seed,
                num_resamples=num_resamples,
            )
    return Comparison(
        by=by,
        only_a=[pair.id for pair in a if pair.id not in others],
        only_b=[pair.id for pair in b if pair.id not in ids],
        unlike=[x.id for x, y in matched if size(x) != size(y)],
    )


def difference(
    differences: Sequence[float],
    sizes: Sequence[int],
    groups: Sequence[str],
    *,
    unit: str,
    seed: int,
    num_resamples: int,
) -> Difference:
    """The ratio sum(differences) / sum(sizes) with its intervals, drawn by group.

    With groups of sums d and n, m of them, the ratio r has the standard error
    sqrt(m / (m - 1) * sum((d - r n)^2)) / sum(n).
    """
    names = {name: index for index, name in enumerate(dict.fromkeys(groups))}
    of_group = np.array([names[name] for name in groups])
    m = len(names)
    d = np.bincount(of_group, weights=np.asarray(differences, np.float64), minlength=m)
    n = np.bincount(of_group, weights=np.asarray(sizes, np.float64), minlength=m)
    ratio = float(d.sum() / n.sum())
    if m < FEWEST_GROUPS:
        return Difference(unit, len(groups), m, ratio, is_known=False)
    low, high = _bootstrap(d, n, seed=seed, num_resamples=num_resamples)
    import scipy.special  # 0.3 s, which one model does not need

    error = math.sqrt(m / (m - 1) * float(((d - ratio * n) ** 2).sum()))
    error /= float(n.sum())
    reach = error * float(scipy.special.stdtrit(m - 1, (1 + CONFIDENCE) / 2))
    return Difference(
        unit=unit,
        num_pairs=len(groups),
        num_groups=m,
        mean=ratio,
        is_known=True,
        low=low,
        high=high,
        formula_low=ratio - reach,
        formula_high=ratio + reach,
    )


def _bootstrap(
    d: np.ndarray, n: np.ndarray, *, seed: int, num_resamples: int
) -> tuple[float, float]:
    """The percentiles of the ratio over resamples of the groups, with replacement."""
    random = np.random.Generator(np.random.Philox(seed))
    ratios = []
    for start in range(0, num_resamples, _RESAMPLES_AT_ONCE):
        rows = min(_RESAMPLES_AT_ONCE, num_resamples - start)
        drawn = random.integers(0, len(d), (rows, len(d)))
        ratios.append(d[drawn].sum(1) / n[drawn].sum(1))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(ratios), [tail, 1 - tail])
    return float(low), float(high)


def in_words(found: Difference) -> str:
    """'B is better by 0.03 nats per answer token (95% interval 0.02 to 0.04) ...'."""
    groups = counted.of(found.num_groups, 'groups')
    on = f'on {counted.of(found.num_pairs, "pairs")} in {groups}'
    if not found.is_known:
        return (
            f'no difference can be told: an interval needs {FEWEST_GROUPS} groups or '
            f'more (A minus B: {found.mean:+.4f} {found.unit} {on})'
        )
    if not found.better:
        return (
            f'no difference can be told: A minus B is {found.mean:+.4f} {found.unit} '
            f'(95% interval {found.low:+.4f} to {found.high:+.4f}) {on}'
        )
    ends = sorted([abs(found.low), abs(found.high)])
    return (
        f'{found.better} is better by {abs(found.mean):.4f} {found.unit} (95% interval '
        f'{ends[0]:.4f} to {ends[1]:.4f}) {on}'
    )


def verdict(found: Difference, a: str, b: str) -> str:
    """The better of the models named `a` and `b`, by how much, how sure: a sentence."""
    words = in_words(found)
    if not found.better:
        return f'{a} and {b}: {words}'
    better, worse = (a, b) if found.better == 'A' else (b, a)
    by = words.removeprefix(f'{found.better} is better')
    return f'{better} is better than {worse}{by}'
