"""Ctrl-C while a program is still loading its libraries: one line, no traceback.

It imports nothing but the standard library: it must be there first.
"""

import os
import signal
import sys
from typing import Any


def handle() -> None:
    """Ends a program of the package that calls this on Ctrl-C, until `entry.run`.

    While Python looks for a program (`python -m data_pipeline.build`) it is named '-m';
    whoever imports the package otherwise keeps Ctrl-C as it is.
    """
    if sys.argv[:1] == ['-m'] and signal.getsignal(signal.SIGINT) is (
        signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _stop)


def give_back() -> None:
    """Ctrl-C is a KeyboardInterrupt again, if `handle` changed that."""
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _stop(*_: Any) -> None:
    print('stopped by Ctrl-C', file=sys.stderr, flush=True)
    os._exit(130)  # nothing was begun: there is nothing to leave in order
