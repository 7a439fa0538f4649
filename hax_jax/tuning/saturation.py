"""Whether more data would help: from the losses of runs on parts of it, a verdict.

Each part is trained for the same number of tokens, and counted at its best evaluation:
a small part comes round more often, and stops being worth it at its own time. With the
same number of epochs a small part would be trained for fewer tokens, and its higher
loss would be called a lack of data where it is a lack of steps.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from hax_jax.evaluation import evaluate, paired
from hax_jax.tuning import power_law

MORE_DATA, NOT_YOUR_PROBLEM, NOT_KNOWN = 'more data', 'not your problem', 'not known'
TIMES = (2.0, 10.0)  # as much data
_RESAMPLES = 2000
_TAIL = (1 - paired.CONFIDENCE) / 2


@dataclasses.dataclass(frozen=True)
class Measured:
    """A part of the data: its answer tokens, and the scores of the validation pairs."""

    share: float
    tokens: int
    pairs: Sequence[evaluate.PairScore]


@dataclasses.dataclass(frozen=True)
class Interval:
    """A value in nats per answer token with its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f'{self.value:.4f} ({self.low:.4f} to {self.high:.4f})'


@dataclasses.dataclass(frozen=True)
class Saturation:
    """What was found. `losses[i]` is of `sizes[i]` answer tokens, the largest last.

    `gains` maps TIMES to the fall of the loss with so many times the data. `noise` is
    the distance of two runs that differ in their seed alone. `tuning` is the gain that
    tuning gave, None where it was not measured.
    """

    sizes: list[int]
    losses: list[Interval]
    E: Interval
    A: float  # nats: what more data can take away of the loss
    alpha: Interval
    gains: dict[float, Interval]
    noise: float
    tuning: float | None
    num_groups: int
    verdict: str
    sentence: str


def find(
    measured: Sequence[Measured],
    *,
    groups: Mapping[str, str],
    noise: float,
    tuning: float | None = None,
    unlearned: float = np.inf,
    seed: int = 0,
) -> Saturation:
    """The law through the parts (two sizes or more), and the verdict.

    `unlearned` is what token frequencies alone cost, in nats per trained token.

    The bootstrap draws whole groups of validation pairs, the same ones for each part,
    and adds to each part's loss the spread that a seed makes (`noise` is the difference
    of two such losses, so each has noise / sqrt(2)).
    """
    parts = sorted(measured, key=lambda part: part.tokens)
    nats, tokens = by_group([part.pairs for part in parts], groups)  # [S, G], [G]
    num_groups = len(tokens)
    random = np.random.Generator(np.random.Philox(seed))
    drawn = random.integers(0, num_groups, (_RESAMPLES, num_groups))
    losses = nats[:, drawn].sum(2) / tokens[drawn].sum(1)  # [S, R]
    losses = losses.T + random.normal(size=losses.T.shape) * noise / np.sqrt(2)
    point = nats.sum(1) / tokens.sum()
    sizes = np.array([part.tokens for part in parts])
    law, many = power_law.fit(sizes, point), power_law.fit(sizes, losses)
    gains = {times: _interval(law.gain(times)[0], many.gain(times)) for times in TIMES}
    if point[-1] < unlearned:
        word, sentence = verdict(gains[2.0], noise, tuning, num_groups=num_groups)
    else:
        word = NOT_KNOWN
        sentence = (
            f'Not known: with all the data the loss is {point[-1]:.4f}, and token '
            f'frequencies alone cost {unlearned:.4f}: the runs learned too little to '
            'tell. Train for more steps, or find a learning rate with hax tune.'
        )
    return Saturation(
        sizes=[part.tokens for part in parts],
        losses=[_interval(x, y) for x, y in zip(point, losses.T, strict=True)],
        E=_interval(law.E[0], many.E),
        A=float(law.A[0]),
        alpha=_interval(law.alpha[0], many.alpha),
        gains=gains,
        noise=noise,
        tuning=tuning,
        num_groups=num_groups,
        verdict=word,
        sentence=sentence,
    )


def by_group(
    scores: Sequence[Sequence[evaluate.PairScore]], groups: Mapping[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """(nats [S, G], tokens [G]) of the answers that all S have, added up by group."""
    answers = [{pair.id: pair.answer for pair in each} for each in scores]
    common = [name for name in answers[0] if all(name in each for each in answers)]
    names = [groups.get(name, f'pair {name}') for name in common]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    of_pair = [places[name] for name in names]
    nats = [np.bincount(of_pair, [a[name].nats for name in common]) for a in answers]
    tokens = np.bincount(of_pair, [answers[0][name].tokens for name in common])
    return np.array(nats), tokens


def verdict(
    double: Interval, noise: float, tuning: float | None, *, num_groups: int
) -> tuple[str, str]:
    """(one of the three words, a sentence), from the gain of twice the data.

    More data is the answer if that gain is surely over the noise of a seed, and over
    the gain of tuning where that is known.
    """
    said = f'twice the data would lower the loss by {double}'
    if num_groups < paired.FEWEST_GROUPS:
        return NOT_KNOWN, (
            f'Not known: an interval needs {paired.FEWEST_GROUPS} validation groups or '
            f'more, and this is of {num_groups}; {said}.'
        )
    bar, what = noise, f'two runs that differ in the seed alone, {noise:.4f} apart'
    if tuning is not None and tuning > noise:
        bar, what = tuning, f'what tuning gives, {tuning:.4f}'
    if double.low > bar:
        return MORE_DATA, f'More data: {said}, more than {what}.'
    if double.value <= bar:
        return NOT_YOUR_PROBLEM, (
            f'Data is not your problem: {said}, no more than {what}.'
        )
    return NOT_KNOWN, (
        f'Not known: {said}; the interval holds {bar:.4f} ({what}), so a larger '
        'validation split or more seeds would be needed to tell.'
    )


def _interval(value: float, drawn: np.ndarray) -> Interval:
    low, high = np.quantile(drawn, [_TAIL, 1 - _TAIL])
    return Interval(float(value), float(low), float(high))
