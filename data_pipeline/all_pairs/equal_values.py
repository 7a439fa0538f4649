"""Which values of an array are equal, and their places two by two or in another."""

from collections.abc import Iterator

import numpy as np

_FINER_BITS = 4  # more: 16 entries of a byte for each value


def groups(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[M] places of the values that are there twice or more, [G] sizes of the groups.

    [7, 3, 7, 5, 3, 7] -> [1, 4, 0, 2, 5], [2, 3]
    """
    order = np.argsort(values)  # twice as fast as a stable sort
    inside = np.diff(values[order]) == 0
    shared = np.concatenate([inside, [False]]) | np.concatenate([[False], inside])
    places = order[shared[: len(order)]]
    begins = np.diff(values[places], prepend=values[places][:1]) != 0
    starts = np.concatenate([[0], np.flatnonzero(begins), [len(places)]])
    in_order = np.sort(np.cumsum(begins) * len(values) + places)
    return in_order % max(len(values), 1), np.diff(starts)[: len(places)]


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

    Hashes are spread evenly. So a table of first bits says of most others that they are
    not there, and a table of fewer bits tells the place up to a few, faster than a
    binary search, whose every step waits for memory.
    """

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        num_bits = max(1, len(values).bit_length())
        self._shift = np.uint64(64 - num_bits)
        sizes = np.bincount(values >> self._shift, minlength=2**num_bits)
        self._starts = (np.cumsum(sizes) - sizes).astype(np.int32)
        self._closed = np.append(values, np.uint64(2**64 - 1))
        self._finer = np.uint64(64 - num_bits - _FINER_BITS)
        self._may_be_there = np.zeros(2 ** (num_bits + _FINER_BITS), bool)
        self._may_be_there[values >> self._finer] = True

    def find(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(the places in `wanted` of the values that are there, theirs in `values`)."""
        found = np.flatnonzero(self._may_be_there[wanted >> self._finer])
        wanted = wanted[found]
        places = self._starts[wanted >> self._shift]
        behind = np.flatnonzero(self._closed[places] < wanted)
        while len(behind):
            places[behind] += 1
            behind = behind[self._closed[places[behind]] < wanted[behind]]
        is_there = (self._closed[places] == wanted) & (places < len(self.values))
        return found[is_there], places[is_there]
