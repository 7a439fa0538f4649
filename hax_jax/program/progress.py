"""How far a long loop is: a bar on a terminal or in a notebook, lines in a log."""

import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import tqdm

_Item = TypeVar('_Item')


def _print(line: str) -> None:
    print(line, flush=True)


def _in_notebook() -> bool:
    """Whether this process is a notebook's kernel, whose stderr is no terminal."""
    return 'ipykernel.kernelapp' in sys.modules


def _bar_class() -> type[tqdm.tqdm]:
    """tqdm's bar of text; in a notebook that has ipywidgets, its widget."""
    if not _in_notebook():
        return tqdm.tqdm
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', tqdm.TqdmWarning)  # there are no ipywidgets
        from tqdm import auto
    return auto.tqdm


class Progress:
    """Counts units of `total` (0: not known), from `start` on, with rate and ETA.

    with progress.Progress('writing', 1_000, 'pair') as shown:
        shown.add(20, '2 skipped')

    writing 20/1000 pairs | 2 skipped | 10.00 pairs/s | ETA 1m38s
    """

    def __init__(
        self,
        what: str,
        total: int,
        unit: str,
        *,
        start: int = 0,
        every_seconds: float = 30.0,
        say: Callable[[str], Any] = _print,
        here: bool = True,
    ) -> None:
        """In a log, `say` gets a line of `add` every so many seconds, and of `show`.

        Unless it is shown `here`, no bar is drawn on a terminal.
        """
        self._what, self._total, self._unit, self._text = what, total, unit, ''
        self._start = self._done = start
        self._every_seconds, self._say = every_seconds, say
        self._begun = self._shown = time.monotonic()
        self._terminal = here and (sys.stderr.isatty() or _in_notebook())
        self._bar = _bar_class()(
            desc=what,
            initial=start,
            total=total or None,
            unit=unit,
            unit_scale=unit == 'byte',
            smoothing=0,  # the rate since the start, as in a log
            dynamic_ncols=True,
            disable=not self._terminal,
        )

    @property
    def is_drawn(self) -> bool:
        """Whether a bar is on a terminal or in a notebook."""
        return self._terminal

    def __enter__(self) -> 'Progress':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def add(self, count: int = 1, text: str = '') -> None:
        """Counts `count` more; `text` stands beside them until there is another."""
        self._done += count
        self._text = text or self._text
        self._bar.set_postfix_str(self._text, refresh=False)
        self._bar.update(count)
        if time.monotonic() - self._shown >= self._every_seconds:
            self.show()

    def leave_out(self, seconds: float) -> None:
        """Excludes one-off time, such as compiling, from the rate and the ETA."""
        self._begun += seconds
        if self._terminal:
            self._bar.start_t += seconds

    def show(self, text: str = '') -> None:
        """Shows the figures and `text` now."""
        self._text = text or self._text
        self._shown = time.monotonic()
        if self._terminal:
            self._bar.set_postfix_str(self._text)
        else:
            self._say(self._line(self._done, self._text))

    def milestone(self, at: int, text: str, rate: float) -> None:
        """A line that stays of the moment when `at` units were done: now.

        `rate` is that of the units since the milestone before; the time that is left
        follows from all since the start, with everything that came between.
        """
        self.note(self._line(at, text, rate))

    def note(self, text: str) -> None:
        """A line that stays, above the bar."""
        if self._terminal:
            self._bar.write(text, file=sys.stderr)
        else:
            self._say(text)

    def close(self) -> None:
        self._bar.close()

    def _line(self, count: int, text: str, rate: float | None = None) -> str:
        overall = (count - self._start) / max(time.monotonic() - self._begun, 1e-9)
        rate = overall if rate is None else rate
        if self._unit == 'byte':
            numbers = (count, self._total, rate)
            done, total, pace = map(tqdm.tqdm.format_sizeof, numbers)
        else:
            done, total, pace = str(count), str(self._total), f'{rate:,.2f}'
        parts = [f'{self._what} {done}' + (f'/{total}' if self._total else '')]
        if self._what != self._unit:
            parts[0] += f' {self._unit}s'
        parts += [text, f'{pace} {self._unit}s/s']
        if self._total and overall:
            parts.append(f'ETA {duration(max(0, self._total - count) / overall)}')
        return ' | '.join(filter(None, parts))


def over(items: Iterable[_Item], what: str, total: int, unit: str) -> Iterator[_Item]:
    """The items, counted as they are taken."""
    with Progress(what, total, unit) as shown:
        for item in items:
            yield item
            shown.add()


def duration(seconds: float) -> str:
    """3725 -> '1h02m'; 65 -> '1m05s'; 9 -> '9s'."""
    seconds = round(seconds)
    if seconds < 60:
        return f'{seconds}s'
    if seconds < 3600:
        return f'{seconds // 60}m{seconds % 60:02d}s'
    return f'{seconds // 3600}h{seconds % 3600 // 60:02d}m'
