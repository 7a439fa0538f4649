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

import numpy as np

from data_pipeline.compared import described_pairs
from data_pipeline.writing import report_text, stream_counts

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

    def add(self, some: described_pairs.Described, *, split: str) -> None:
        """Takes pairs and their measures."""
        values = measures(some)
        entries: dict[int, dict[str, Any]] = {}
        for column, counts, ends in zip(values, self._counts, self._ends, strict=True):
            counts.update(np.rint(column * _GRID).astype(np.int64).tolist())
            for sign, end in zip((1, -1), ends, strict=True):
                for place in end.open_to(sign * column):
                    name, key = (
                        f'{split}\n{some.ids[place]}',
                        float(sign * column[place]),
                    )
                    if not end.wants(key, name):
                        continue
                    if place not in entries:
                        entries[place] = {
                            'name': name,
                            'split': split,
                            'pair': report_text.shortened(some.pair(place)),
                            'values': values[:, place].tolist(),
                        }
                    end.add(key, name, entries[place])

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


def measures(some: described_pairs.Described) -> np.ndarray:
    """[5, N] the values of `NAMES`."""
    questions, answers = some.plain_words
    # Not numpy's logarithms, whose last bits follow from the processor.
    both = zip(answers, questions, strict=True)
    return np.array(
        [
            [math.log2(1 + count) for count in questions],
            [math.log2(1 + count) for count in answers],
            [math.log2((1 + answer) / (1 + question)) for answer, question in both],
            some.neither,
            some.repeated,
        ]
    )


def _centre(counts: collections.Counter[int]) -> tuple[float, float]:
    """The median, and the unit of z, of values on the grid."""
    middle = stream_counts.quantile(counts, 0.5)
    away: collections.Counter[int] = collections.Counter()
    for value, count in counts.items():
        away[abs(value - middle)] += count
    spread = stream_counts.quantile(away, 0.5)
    return middle / _GRID, max(1.4826 * spread / _GRID, _LEAST)
