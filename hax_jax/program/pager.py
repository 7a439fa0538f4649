"""Long texts page by page on a terminal, in plain lines elsewhere.

with pager.paged() as lines:
    for pair in pairs:
        if not lines.write(shown(pair)):
            break  # the reader has left
"""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator

# Controls but tab and newline, marks that turn the direction of writing, the newlines
# of Unicode, and halves of characters, which UTF-8 does not have.
_CONTROLS = re.compile(
    r'[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]'
)


class Lines:
    """Writes to the pager, or to standard output if there is none."""

    def __init__(self, process: subprocess.Popen[str] | None) -> None:
        self._process = process

    def write(self, text: str) -> bool:
        """Writes the text; False if nobody reads any more.

        '' asks without writing, so that a long search ends when its reader leaves.
        """
        if self._process is None:
            sys.stdout.write(text)
            return True
        if self._process.poll() is not None:
            return False
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text)
            self._process.stdin.flush()
        except BrokenPipeError:
            return False
        return True


@contextlib.contextmanager
def paged() -> Iterator[Lines]:
    """Starts the pager of $PAGER, by default less, and waits until it is left.

    Only where standard output and standard input are a terminal and the pager is there.
    """
    process = _pager() if sys.stdout.isatty() and sys.stdin.isatty() else None
    if process is None:
        yield Lines(None)
        return
    # Ctrl-C stops a search within less; `q` ends both.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield Lines(process)
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.communicate()
        signal.signal(signal.SIGINT, before)


def _pager() -> subprocess.Popen[str] | None:
    sys.stdout.flush()
    try:
        command = shlex.split(os.environ.get('PAGER', '')) or ['less']
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            encoding='utf-8',
            # F: ends by itself if all is on one screen; X: leaves that on the screen.
            env={'LESS': 'FX', **os.environ},
        )
    except (OSError, ValueError):  # it is not there, or has a quote too many
        return None


def plain(text: str) -> str:
    r"""The text with its control characters spelled out: '\x1b[31m' -> '\\x1b[31m'."""
    return _CONTROLS.sub(lambda found: ascii(found.group())[1:-1], text)
