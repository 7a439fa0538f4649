"""Which values of an array are equal, and their places two by two."""

from collections.abc import Iterator

import numpy as np


def groups(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[M] places of the values that are there twice or more, [G] sizes of the groups.

    [7, 3, 7, 5, 3, 7] -> [1, 4, 0, 2, 5], [2, 3]
    """
    order = np.argsort(values, kind='stable')
    inside = np.diff(values[order]) == 0
    shared = np.concatenate([inside, [False]]) | np.concatenate([[False], inside])
    places = order[shared[: len(order)]]
    starts = np.flatnonzero(np.diff(values[places], prepend=values[places][:1]))
    starts = np.concatenate([[0], starts, [len(places)]])
    return places, np.diff(starts)[: len(places)]


def pairs(
    places: np.ndarray, sizes: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of places of one group, those at one distance at a time.

    [1, 4, 0, 2, 5], [2, 3] -> [1, 0, 2], [4, 2, 5], then [0], [5]
    """
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    for apart in range(1, int(sizes.max(initial=1))):
        same = numbers[apart:] == numbers[:-apart]
        yield places[:-apart][same], places[apart:][same]
