"""Which weights a checkpoint keeps: the plain ones, or their average."""

import dataclasses
from typing import Any

from hax_jax.evaluation import evaluate, paired

_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Kept:
    """`is_average` if the average is surely better; `row` has the numbers."""

    is_average: bool
    sentence: str
    row: dict[str, Any]


def choose(plain: evaluate.Evaluation, average: evaluate.Evaluation) -> Kept:
    """The average is kept where both intervals of the paired difference favour it.

    No groups are known in training: each pair is its own.
    """
    found = paired.compare(
        plain.pairs,
        average.pairs,
        same_tokenizer=True,
        groups={},
        num_resamples=_RESAMPLES,
    ).by['all']
    is_average = found.better == 'B'
    kept = 'the average is kept' if is_average else 'the plain weights are kept'
    sentence = (
        f'averaged weights: validation loss {average.loss:.4f}, plain '
        f'{plain.loss:.4f}; {kept}: '
        + paired.in_words(found)
        .replace('A minus B', 'plain minus average')
        .replace('A is', 'the plain is')
        .replace('B is', 'the average is')
    )
    row = {
        'plain_loss': plain.loss,
        'average_loss': average.loss,
        'is_average': is_average,
        'difference': found.mean,
        'low': found.low,
        'high': found.high,
    }
    return Kept(is_average, sentence, row)
