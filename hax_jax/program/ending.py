"""The end of a program that is one of several processes: the others are to know of it.

`entry.py` calls `failed` and `finished`; they do nothing where a program runs alone.
Imports no JAX: who joins the other processes (devices/peers.py) says here what to do.
"""

import io
import sys
from collections.abc import Callable

_failed: Callable[[BaseException, str | None, int], None] | None = None
_finished: Callable[[], None] | None = None
_WARNING = 'WARNING'


def joined(
    *,
    failed: Callable[[BaseException, str | None, int], None],
    finished: Callable[[], None],
) -> None:
    """This process is one of several now; `failed` ends it and does not return."""
    global _failed, _finished
    _failed, _finished = failed, finished


def failed(error: BaseException, line: str | None, code: int) -> None:
    """Ends all processes with `line`, the reason (None: the traceback), and the code.

    Returns where there are none.
    """
    if _failed:
        _failed(error, line, code)


def finished() -> None:
    """Waits until the other processes have come to their end as well."""
    if _finished:
        _finished()


def print_only_warnings(process: int) -> None:
    """Leaves of this process's standard output its warnings, which get its number.

    For each process but the first, which prints the plan, progress and results.
    """
    sys.stdout = _Warnings(sys.stdout, process)


class _Warnings:
    """A text stream that writes on those lines alone that begin with WARNING."""

    def __init__(self, stream: io.TextIOBase, process: int) -> None:
        self._stream, self._process, self._line = stream, process, ''

    def write(self, text: str) -> int:
        *whole, self._line = (self._line + text).split('\n')
        for line in whole:
            if line.startswith(_WARNING):
                self._stream.write(f'process {self._process}: {line}\n')
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
