"""What a stream of any length leaves behind in bounded memory, the same each time."""

import collections
import hashlib
import heapq
from typing import Generic, TypeVar

Value = TypeVar('Value')
_LIMIT = 200_000  # different keys, about 20 MB


class TopCounts:
    """The most frequent keys of a stream.

    The counts are exact while there are no more than `limit` different keys. With more,
    the rarer half is forgotten each time: `exact` is then false, and a count is that
    since its key was last forgotten.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._counts: collections.Counter[str] = collections.Counter()
        self.exact = True

    def add(self, key: str) -> None:
        self._counts[key] += 1
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
    """The values with the lowest keys of a stream; ties are settled by name."""

    def __init__(self, size: int) -> None:
        self._size = size
        # A running number stands before the value, so that values are not compared.
        self._heap: list[tuple[float, _Reversed, int, Value]] = []
        self._added = 0

    def wants(self, key: float, name: str) -> bool:
        """Whether a value would stay, so that it need not be made in vain."""
        if len(self._heap) < self._size:
            return True
        return (-key, _Reversed(name)) > self._heap[0][:2]

    def add(self, key: float, name: str, value: Value) -> None:
        """Keeps the value if it is among the lowest."""
        self._added += 1
        entry = (-key, _Reversed(name), self._added, value)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        elif entry[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, entry)

    def values(self) -> list[Value]:
        """Lowest first."""
        return [value for *_, value in sorted(self._heap, key=_order, reverse=True)]


class _Reversed:
    """A name that sorts the other way round."""

    __slots__ = ('name',)

    def __init__(self, name: str) -> None:
        self.name = name

    def __lt__(self, other: '_Reversed') -> bool:
        return self.name > other.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and self.name == other.name

    __hash__ = None


def _order(entry: tuple[float, _Reversed, int, object]) -> tuple[float, _Reversed]:
    return entry[:2]


def draw(salt: str, name: str) -> int:
    """A number below 2**52 that looks random and is always that of `name`."""
    digest = hashlib.blake2b(f'{salt}\n{name}'.encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 12


def quantile(counts: dict[int, int], share: float) -> int:
    """The lowest value that at least `share` of a stream's values do not exceed.

    `counts` has how often each value came. {1: 2, 5: 2} -> 1 at 0.5, 5 at 0.51.

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
