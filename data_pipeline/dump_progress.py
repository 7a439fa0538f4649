"""How far the reading of dumps is: a bar on a terminal, lines in the log."""

import collections.abc
import logging
import pathlib
import time

import tqdm

LOG = logging.getLogger('collect')
_LOG_EVERY_SECONDS = 30


class Progress:
    """Counts bytes of files as they are read, and what they decompress to."""

    def __init__(self, paths: collections.abc.Iterable[str]) -> None:
        self._total = sum(pathlib.Path(path).stat().st_size for path in paths)
        self._read = self._decoded = 0
        self._begun = self._logged = time.monotonic()
        self._bar = tqdm.tqdm(
            total=self._total,
            unit='B',
            unit_scale=True,
            desc='dump',
            disable=None,
            leave=False,
        )

    def read(self, size: int) -> None:
        """As many bytes of the files were read."""
        self._read += size
        self._bar.update(size)

    def decoded(self, size: int) -> None:
        """As many bytes of JSON came of what was read."""
        self._decoded += size
        now = time.monotonic()
        if now - self._logged >= _LOG_EVERY_SECONDS:
            self._logged = now
            LOG.info('%s', self.line(now - self._begun))
        self._bar.set_postfix_str(self._rate(now - self._begun), refresh=False)

    def line(self, seconds: float) -> str:
        """'read 1.2 of 4.8 GB, 25%: 12.0 GB of JSON at 60 MB/s, 600 s to go'"""
        left = seconds * (self._total / max(1, self._read) - 1)
        return (
            f'read {self._read / 1e9:.1f} of {self._total / 1e9:.1f} GB, '
            f'{self._read / max(1, self._total):.0%}: {self._decoded / 1e9:.1f} GB of '
            f'{self._rate(seconds)}, {max(0, left):.0f} s to go'
        )

    def close(self) -> None:
        """Ends the bar, and says in the log what was read."""
        self._bar.close()
        LOG.info('%s', self.line(time.monotonic() - self._begun))

    def _rate(self, seconds: float) -> str:
        return f'JSON at {self._decoded / 1e6 / max(1e-3, seconds):.0f} MB/s'
