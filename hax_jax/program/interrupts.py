"""Ctrl-C, SIGTERM, SIGHUP and SIGUSR1: a program's end in one line, whenever they come.

    handle()   # as the package is imported: Ctrl-C ends the process at once
    begin()    # flags are read: a signal is an exception, so what is half-written goes
    done()     # the exception has come to the program's end, or the program has ended

An exception within an import leaves half of a library, which crashes later, so a signal
waits for the import's end. One that a library swallows (in a callback, a destructor, an
`except:`) is raised again. Who catches KeyboardInterrupt to go on calls `went_on`.

It imports nothing but the standard library: it must be there first.
"""

import contextlib
import os
import signal
import sys
import time
from types import FrameType
from typing import Any

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_AGAIN_SECONDS = 0.2  # until a signal that led to no end is tried again
_IMPORT_SECONDS = 0.01  # in an import: its end may be short
_PATIENCE_SECONDS = 2.0  # from then on a second signal ends the process at once

sent = signal.SIGINT  # the signal that ends the program, if one does
_since: float | None = None  # when it came
_is_raised = False
_stderr = -1  # a copy of standard error while it is dropped
_process = 0  # which has begun: its forks end at once, in their own way


def handle() -> None:
    """Ends a program of the package that calls this on Ctrl-C, until `begin`.

    While Python looks for a program (`python -m data_pipeline.build`) it is named '-m';
    whoever imports the package otherwise keeps Ctrl-C as it is.
    """
    name = os.path.basename(sys.argv[0]) if sys.argv else ''  # noqa: PTH119 (no import)
    if name in ('-m', 'hax') and signal.getsignal(signal.SIGINT) is (
        signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _leave)


def begin() -> None:
    """Signals raise from now on, KeyboardInterrupt or SystemExit(128 + number).

    Those that the process was started without stay so, as SIGHUP under nohup.
    """
    global _process
    _process = os.getpid()
    _set(_raise)
    signal.signal(signal.SIGALRM, _raise)
    sys.unraisablehook = _unraisable


def before_begin() -> None:
    """Signals end the process at once: nothing is begun."""
    _set(_leave)


def done() -> None:
    """Nothing is raised any more: the next signal ends the process at once.

    One that came, and has led to no exception yet, does so now.
    """
    pending = _since is not None and not _is_raised
    went_on()
    _set(_leave)
    if pending:
        _leave(sent, None)


def went_on() -> None:
    """The program has caught the exception of a signal and goes on."""
    global _since, _is_raised
    signal.setitimer(signal.ITIMER_REAL, 0)
    _since, _is_raised = None, False
    _hear()


def name(number: int) -> str:
    return 'Ctrl-C' if number == signal.SIGINT else signal.Signals(number).name


def _set(handler: Any) -> None:
    for number in _NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _leave(number: int, _: FrameType | None) -> None:
    _hear()
    with contextlib.suppress(OSError):  # a terminal that was closed takes no line
        os.write(2, f'stopped by {name(number)}\n'.encode())
    os._exit(128 + number)


def _raise(number: int, frame: FrameType | None) -> None:
    """The handler of a signal, and of the alarm that tries it again."""
    global sent, _since, _is_raised
    if os.getpid() != _process:
        sys.exit(128 + number)
    now = time.monotonic()
    if number != signal.SIGALRM:
        if _since is not None and now - _since > _PATIENCE_SECONDS:
            _leave(number, None)
        if _since is None:
            sent, _since, _is_raised = signal.Signals(number), now, False
    if _since is None:  # the alarm of a signal that came to its end
        return
    is_importing = _is_importing(frame)
    again = _IMPORT_SECONDS if is_importing else _AGAIN_SECONDS
    signal.setitimer(signal.ITIMER_REAL, again)
    is_ending = _is_raised and sys.exc_info()[1] is not None
    if is_ending or is_importing:
        return
    _is_raised = True
    _hush()
    raise KeyboardInterrupt if sent == signal.SIGINT else SystemExit(128 + sent)


def say(line: str) -> None:
    """Prints to standard error, also while what libraries print there is dropped."""
    if _stderr < 0:
        print(line, file=sys.stderr, flush=True)
    else:
        os.write(_stderr, f'{line}\n'.encode(errors='backslashreplace'))


def _hush() -> None:
    """Drops standard error: libraries tell at length what a signal broke off."""
    global _stderr
    if _stderr < 0:
        with contextlib.suppress(OSError):  # it is closed
            _stderr = os.dup(2)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)


def _hear() -> None:
    global _stderr
    if _stderr >= 0:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os.dup2(_stderr, 2)
        os.close(_stderr)
        _stderr = -1


def is_ending() -> bool:
    """Whether a signal has come that is to end the program: other errors follow it."""
    return _since is not None


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if 'importlib' in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _unraisable(error: Any) -> None:
    """Python's report of an exception that it can't raise; none of a signal's."""
    if _since is None or not isinstance(
        error.exc_value, KeyboardInterrupt | SystemExit
    ):
        sys.__unraisablehook__(error)
