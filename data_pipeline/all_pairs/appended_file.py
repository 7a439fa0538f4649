"""Bytes that grow, in a temporary file or a cache's files, and are read in parts."""

import bisect
import os
import pathlib
import tempfile

import numpy as np


class AppendedFile:
    """Bytes in a folder, or in the system's; what it wrote is gone when it is closed.

    Of a memoryview (a cache's file, mapped) it copies nothing.
    """

    def __init__(self, folder: pathlib.Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._end = self._written = self._flushed = 0
        # Where each part begins, here and (of a part that was written) in the file.
        self._starts: list[int] = []
        self._parts: list[memoryview | int] = []

    def close(self) -> None:
        self._parts.clear()
        self._file.close()

    def append(self, data: bytes | memoryview) -> int:
        """Appends the bytes; returns where they begin."""
        start = self._end
        is_written = isinstance(data, bytes)
        if is_written:
            self._file.write(data)
        # Writes in a row are one part.
        if not is_written or not self._parts or not isinstance(self._parts[-1], int):
            self._starts.append(start)
            self._parts.append(self._written if is_written else data)
        if is_written:
            self._written += len(data)
        self._end += len(data)
        return start

    def read(self, start: int, size: int) -> bytes:
        """The bytes of a part that was appended at once."""
        return bytes(self._held(start, size))

    def _held(self, start: int, size: int) -> bytes | memoryview:
        place = bisect.bisect_right(self._starts, start) - 1
        part, offset = self._parts[place], start - self._starts[place]
        if not isinstance(part, int):
            return part[offset : offset + size]
        if self._flushed < self._written:
            self._file.flush()
            self._flushed = self._written
        return os.pread(self._file.fileno(), size, part + offset)

    def ranges(self, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """[sum of `counts`] uint64: parts in units of 8 bytes, joined.

        Parts that follow each other, as those of most pairs do, are read together.
        """
        made = np.empty(int(counts.sum()), np.uint64)
        if not len(made):
            return made
        target = made.view(np.uint8)
        ends = starts + counts
        edges = np.array(self._starts) // 8
        is_new = (starts[1:] != ends[:-1]) | np.isin(starts[1:], edges)
        firsts = np.flatnonzero(np.concatenate([[True], is_new]))
        lasts = np.concatenate([firsts[1:], [len(starts)]]) - 1
        at = 0
        for low, high in zip(starts[firsts], ends[lasts], strict=True):
            size = 8 * int(high - low)
            target[at : at + size] = np.frombuffer(
                self._held(8 * int(low), size), np.uint8
            )
            at += size
        return made
