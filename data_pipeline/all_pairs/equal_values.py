"""Which values of an array are equal, and their places two by two or in another."""

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


class Places:
    """Finds values among [N] sorted, different 64-bit hashes, which `values` has.

    Hashes are spread evenly, so their first bits tell the place up to a few: five times
    as fast as a binary search, whose every step waits for memory.
    """

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        num_bits = max(1, len(values).bit_length())
        self._shift = np.uint64(64 - num_bits)
        sizes = np.bincount(values >> self._shift, minlength=2**num_bits)
        self._starts = (np.cumsum(sizes) - sizes).astype(np.int32)  # stays in caches
        self._closed = np.append(values, np.uint64(2**64 - 1))

    def find(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The place of each value, and whether it is there; else any place."""
        places = self._starts[wanted >> self._shift]
        behind = np.flatnonzero(self._closed[places] < wanted)
        while len(behind):
            places[behind] += 1
            behind = behind[self._closed[places[behind]] < wanted[behind]]
        is_there = (self._closed[places] == wanted) & (places < len(self.values))
        return places, is_there
