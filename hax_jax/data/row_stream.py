"""Which rows are trained next: the stream of the training rows, epoch after epoch."""

import dataclasses
import functools

import numpy as np


@functools.lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, num_rows: int) -> np.ndarray:
    """The order of rows in an epoch; the same with every numpy (Philox's raw bits)."""
    bits = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(num_rows)
    return np.argsort(bits, kind='stable')


@dataclasses.dataclass(frozen=True)
class RowStream:
    """The rows of the stream from row `start` on.

    Row r is row `permutation(seed, r // n)[r % n]` of the cache, where n is `num_rows`.
    A batch is the next rows, whatever the sizes of the batches before it, so each row
    of an epoch comes once. An epoch that `start` cuts keeps the seed that it began
    with, `begun_seed` (None: `seed`).

    `skip` lists rows (first, last) of the stream, both included, that are left out;
    these ranges do not overlap.
    """

    num_rows: int
    seed: int
    start: int = 0
    begun_seed: int | None = None
    skip: tuple[tuple[int, int], ...] = ()

    def batch(self, index: int, batch_size: int) -> np.ndarray:
        """The rows [B] of the cache in batch number `index`, counted from `start`."""
        return self.cache_rows(self._next(index * batch_size, batch_size))

    def consumed(self, count: int) -> int:
        """The rows of the stream that are behind after the next `count` rows."""
        return int(self._next(count - 1, 1)[0]) + 1 if count else self.start

    def left(self, end: int) -> int:
        """The rows from `start` on that come before row `end`; 0 if it is behind."""
        skipped = sum(
            max(0, min(last + 1, end) - max(first, self.start))
            for first, last in self.skip
        )
        return max(0, end - self.start - skipped)

    def seed_at(self, row: int) -> int:
        """The seed of the epoch of row `row`, which is not before `start`."""
        first_epoch, into = divmod(self.start, self.num_rows)
        if self.begun_seed is None or not into or row // self.num_rows > first_epoch:
            return self.seed
        return self.begun_seed

    def cache_rows(self, rows: np.ndarray) -> np.ndarray:
        """Rows of the stream, none before `start`, as rows of the cache."""
        out = np.empty_like(rows)
        epochs, places = np.divmod(rows, self.num_rows)
        for epoch in map(int, np.unique(epochs)):
            seed = self.seed_at(epoch * self.num_rows)
            order = permutation(seed, epoch, self.num_rows)
            out[epochs == epoch] = order[places[epochs == epoch]]
        return out

    def _next(self, first: int, count: int) -> np.ndarray:
        """`count` rows of the stream, after `first` others from `start`."""
        rows = self.start + np.arange(first, first + count)
        for begin, end in sorted(self.skip):
            begin = max(begin, self.start)
            if begin <= end:
                rows[rows >= begin] += end - begin + 1
        return rows
