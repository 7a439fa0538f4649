"""A temporary file that grows, and whose parts are read while it does."""

import os
import pathlib
import tempfile

import numpy as np

_BLOCK = 2**19  # numbers that are read together
_GAP = 2**13  # numbers that nobody asked for between two parts that are


class AppendedFile:
    """A file in a folder, or in the system's; it is gone when it is closed."""

    def __init__(self, folder: pathlib.Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._end = self._flushed = 0

    def close(self) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        """Appends the bytes; returns where they begin."""
        start = self._end
        self._file.write(data)
        self._end += len(data)
        return start

    def read(self, start: int, size: int) -> bytes:
        """A part of the file."""
        if start + size > self._flushed:
            self._file.flush()
            self._flushed = self._end
        return os.pread(self._file.fileno(), size, start)

    def ranges(self, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """[sum of `counts`] uint64: parts of the file in units of 8 bytes, joined.

        Parts that lie near each other, as those of most pairs do, are read together.
        """
        made = np.empty(int(counts.sum()), np.uint64)
        lows, highs = starts.tolist(), (starts + counts).tolist()
        at = first = 0
        while first < len(lows):
            low, high, last = lows[first], highs[first], first + 1
            while last < len(lows) and 0 <= lows[last] - high <= _GAP:
                if highs[last] - low > _BLOCK:
                    break
                high, last = highs[last], last + 1
            block = np.frombuffer(self.read(8 * low, 8 * (high - low)), np.uint64)
            sizes = counts[first:last]
            total = int(sizes.sum())
            offsets = starts[first:last] - low - (np.cumsum(sizes) - sizes)
            made[at : at + total] = block[np.repeat(offsets, sizes) + np.arange(total)]
            at, first = at + total, last
        return made
