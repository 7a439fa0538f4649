"""How far a long loop is: a bar on a terminal, a line now and then in a log."""

import sys
import time
from typing import Any

import tqdm

_LOG_EVERY_SECONDS = 30


class Progress:
    """Counts what is done of `total` units (0: not known), with rate and ETA.

    with progress.Progress('writing', 1_000, 'pair') as shown:
        shown.add(20)   # writing: 20 of 1,000 pairs, 10 pairs/s, 98 s to go
    """

    def __init__(self, what: str, total: int, unit: str) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._done, self._begun = 0, time.monotonic()
        self._shown = self._begun
        self._terminal = sys.stderr.isatty()
        self._bar = tqdm.tqdm(
            desc=what,
            total=total or None,
            unit=unit,
            unit_scale=True,
            leave=False,
            disable=not self._terminal,
        )

    def __enter__(self) -> 'Progress':
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.close()

    def add(self, count: int, text: str = '') -> None:
        """Counts `count` more; `text` stands beside them."""
        self._done += count
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(count)
        now = time.monotonic()
        if not self._terminal and now - self._shown >= _LOG_EVERY_SECONDS:
            self._shown = now
            print(self._line(now - self._begun, text), flush=True)

    def _line(self, seconds: float, text: str) -> str:
        line = f'{self._what}: {self._done:,}'
        if self._total:
            line += f' of {self._total:,}'
        rate = self._done / seconds
        line += f' {self._unit}s, {rate:,.0f} {self._unit}s/s'
        if self._total and rate:
            line += f', {max(0, self._total - self._done) / rate:,.0f} s to go'
        return f'{line}, {text}' if text else line
