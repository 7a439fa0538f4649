"""The oddness of a pair: the sum of five robust z-scores.

The measures are the logarithms (base 2) of the words of the question, of the answer
and of their ratio, the share of characters that are neither letter nor space, and the
share of words that repeat an earlier one. z is the distance from the median in units of
1.4826 MAD (the median distance), a standard deviation if values are normal. The two
shares are of the first 1,000 characters of each text.

Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993).
"""

import collections
import math
from typing import Any

from data_pipeline.all_pairs import compared_row
from data_pipeline.writing import report_text, stream_counts
from hax_jax.data import records

NAMES = (
    'words of the question',
    'words of the answer',
    'answer to question',
    'neither letter nor space',
    'repeated words',
)
_GRID = 100  # steps to a unit of the values whose median is found
_LEAST = 0.05  # unit of z where most values are the same
CANDIDATES = 40  # of each measure, highest and lowest


class Odd:
    """The oddest pairs of a stream.

    Medians are known only at its end, so the candidates are the 40 highest and the 40
    lowest of each measure. Misses a pair that is a little odd in all of them.
    """

    def __init__(self) -> None:
        self._counts = [collections.Counter[int]() for _ in NAMES]
        lowest = stream_counts.Lowest[dict[str, Any]]
        self._ends = [(lowest(CANDIDATES), lowest(CANDIDATES)) for _ in NAMES]

    def add(
        self, pair: records.QaPair, measured: compared_row.Measures, *, split: str
    ) -> None:
        """Takes a pair and its measures."""
        values = measures(measured)
        name = f'{split}\n{pair.id}'
        entry = None
        for value, counts, ends in zip(values, self._counts, self._ends, strict=True):
            counts[round(value * _GRID)] += 1
            for sign, end in zip((1, -1), ends, strict=True):
                if end.wants(sign * value, name):
                    entry = entry or {
                        'name': name,
                        'split': split,
                        'pair': report_text.shortened(pair),
                        'values': values,
                    }
                    end.add(sign * value, name, entry)

    def oddest(self, count: int) -> list[dict[str, Any]]:
        """The pairs with the highest scores, with their `score` and `z`s."""
        if not self._counts[0]:
            return []
        centres = [_centre(counts) for counts in self._counts]
        found = {
            entry['name']: entry
            for ends in self._ends
            for end in ends
            for entry in end.values()
        }
        scored = []
        for entry in found.values():
            z = [
                (value - middle) / unit
                for value, (middle, unit) in zip(entry['values'], centres, strict=True)
            ]
            scored.append(entry | {'z': z, 'score': sum(map(abs, z))})
        scored.sort(key=lambda entry: (-entry['score'], entry['name']))
        return scored[:count]


def measures(measured: compared_row.Measures) -> tuple[float, ...]:
    """The five values of `NAMES`."""
    question, answer = measured.question_words, measured.answer_words
    return (
        math.log2(1 + question),
        math.log2(1 + answer),
        math.log2((1 + answer) / (1 + question)),
        measured.neither,
        measured.repeated,
    )


def _centre(counts: collections.Counter[int]) -> tuple[float, float]:
    """The median, and the unit of z, of values on the grid."""
    middle = stream_counts.quantile(counts, 0.5)
    away: collections.Counter[int] = collections.Counter()
    for value, count in counts.items():
        away[abs(value - middle)] += count
    spread = stream_counts.quantile(away, 0.5)
    return middle / _GRID, max(1.4826 * spread / _GRID, _LEAST)
