"""How far the reading of dumps is: a bar on a terminal, lines in the log."""

import logging
import pathlib
import time
from collections.abc import Iterable

import tqdm

LOG = logging.getLogger('collect')
_LOG_EVERY_SECONDS = 30


class Progress:
    """Counts bytes of files as they are read, and what they decompress to."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._total = sum(pathlib.Path(path).stat().st_size for path in paths)
        self._read = self._decoded = 0
        self._begun = self._logged = time.monotonic()
        self._bar = tqdm.tqdm(
            total=self._total,
            unit='B',
            unit_scale=True,
            desc='dump',
            # The time to go is the files'; the rate is the JSON's, in the postfix.
            bar_format='{l_bar}{bar}| {n_fmt}/{total_fmt} '
            '[{elapsed}<{remaining}{postfix}]',
            disable=None,
            leave=False,
        )

    def read(self, size: int) -> None:
        """As many bytes of the files were read."""
        self._read += size

    def decoded(self, size: int) -> None:
        """As many bytes of JSON came of what was read."""
        self._decoded += size
        now = time.monotonic()
        if now - self._logged >= _LOG_EVERY_SECONDS:
            self._logged = now
            LOG.info('%s', self.line(now - self._begun))
        self._bar.set_postfix_str(self._rate(now - self._begun), refresh=False)
        self._bar.update(self._read - self._bar.n)

    def line(self, seconds: float) -> str:
        """'read 1,200 of 4,800 MB, 25%: 12,000 MB of JSON at 60 MB/s, 600 s to go'"""
        left = seconds * (self._total / max(1, self._read) - 1)
        return (
            f'read {self._read / 1e6:,.0f} of {self._total / 1e6:,.0f} MB, '
            f'{self._read / max(1, self._total):.0%}: {self._decoded / 1e6:,.0f} MB of '
            f'{self._rate(seconds)}, {max(0, left):.0f} s to go'
        )

    def close(self) -> None:
        """Ends the bar, and says in the log what was read."""
        self._bar.close()
        LOG.info('%s', self.line(time.monotonic() - self._begun))

    def _rate(self, seconds: float) -> str:
        return f'JSON at {self._decoded / 1e6 / max(1e-3, seconds):.0f} MB/s'
