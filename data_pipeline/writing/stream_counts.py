"""Counts and samples of a stream of any length in bounded memory, without chance."""

import bisect
import collections
import heapq
from collections.abc import Iterable
from typing import Generic, TypeVar

import numpy as np

Value = TypeVar('Value')
_LIMIT = 200_000  # different keys, about 20 MB


class TopCounts:
    """The most frequent keys of a stream.

    Counts are exact up to `limit` different keys. With more after an `add`, the rarer
    half is forgotten: `exact` is then False, and a count starts after its key was
    last forgotten.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._counts: collections.Counter[str] = collections.Counter()
        self.exact = True

    def add(self, keys: Iterable[str]) -> None:
        self._counts.update(keys)
        if len(self._counts) > self._limit:
            self.exact = False
            self._counts = collections.Counter(dict(self.top(self._limit // 2)))

    def top(self, count: int) -> list[tuple[str, int]]:
        """The keys with the highest counts; of equal ones, the first by name."""
        return heapq.nsmallest(
            count, self._counts.items(), key=lambda item: (-item[1], item[0])
        )

    def __len__(self) -> int:
        return len(self._counts)


class Lowest(Generic[Value]):
    """The `size` values of a stream with the lowest keys; names break ties."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._keys: list[tuple[float, str]] = []
        self._values: list[Value] = []

    def wants(self, key: float, name: str) -> bool:
        """Whether `add` would keep a value, so that it need not be made in vain."""
        return len(self._keys) < self._size or (key, name) < self._keys[-1]

    def open_to(self, keys: np.ndarray) -> list[int]:
        """The places of the keys that `wants` may take; of most it takes none."""
        if len(self._keys) < self._size:
            return list(range(len(keys)))
        return np.flatnonzero(keys <= self._keys[-1][0]).tolist()

    def add(self, key: float, name: str, value: Value) -> None:
        """Keeps the value if it is among the lowest."""
        if self.wants(key, name):
            place = bisect.bisect_right(self._keys, (key, name))
            self._keys.insert(place, (key, name))
            self._values.insert(place, value)
            del self._keys[self._size :], self._values[self._size :]

    def values(self) -> list[Value]:
        """The values, lowest key first."""
        return self._values


def quantile(counts: dict[int, int], share: float) -> int:
    """The lowest value that at least `share` of a stream's values do not exceed.

    `counts` has the number of times of each value. {1: 2, 5: 2} -> 1 at 0.5, 5 at 0.51.

    Raises:
      ValueError: there is no value.
    """
    total = sum(counts.values())
    so_far = 0
    for value in sorted(counts):
        so_far += counts[value]
        if so_far >= share * total:
            return value
    raise ValueError('no value has been counted.')
