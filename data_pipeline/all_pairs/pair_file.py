"""Pairs in a file of its own, each found by where it begins."""

import dataclasses
import json
import os
import pathlib
import tempfile

from hax_jax.data import records


class PairFile:
    """Appends pairs and gives them back in any order; none is held in memory."""

    def __init__(self, folder: pathlib.Path | None) -> None:
        """In `folder`, or, if that is None, wherever the system keeps such files."""
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._end = 0
        self._flushed = 0

    def add(self, pair: records.QaPair) -> tuple[int, int]:
        """Where the pair begins, and how many bytes it takes."""
        line = records.canonical_json(dataclasses.asdict(pair)).encode()
        self._file.write(line)
        start, self._end = self._end, self._end + len(line)
        return start, len(line)

    def read(self, start: int, size: int) -> records.QaPair:
        """The pair that `add` put there."""
        if start + size > self._flushed:
            self._file.flush()
            self._flushed = self._end
        values = json.loads(os.pread(self._file.fileno(), size, start))
        return records.QaPair(**{**values, 'flags': tuple(values['flags'])})

    def close(self) -> None:
        """Ends and removes the file."""
        self._file.close()
