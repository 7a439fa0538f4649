"""Signals (preemption, Ctrl-C, a lost terminal) and the end of a call's time.

Training finishes its step, saves and stops. A thread acknowledges a signal in words at
once: Python runs a signal's handler only between two of its own instructions, so while
XLA compiles the handler waits.
"""

import contextlib
import os
import select
import signal
import threading
import time
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
_GRACE_SECONDS = 2.0  # for a second Ctrl-C to leave by KeyboardInterrupt
_OUTPUTS = (1, 2)


class Signals:
    """While entered, NUMBERS are remembered instead of ending the program.

    `number` is the signal's number once all processes stop for it, else 0. A second
    Ctrl-C is a KeyboardInterrupt, or the end of the process where none can be raised.
    """

    def __init__(self, *, max_minutes: float = 0.0) -> None:
        """The time of `max_minutes` begins here; 0 is without end."""
        self.number = 0
        self.doing = 'finishing the first step (compiling comes before it), then saving'
        self._end = time.monotonic() + 60 * max_minutes if max_minutes else None
        self._seen = 0
        self._raised = threading.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> 'Signals':
        # Only the main thread may set handlers; elsewhere the caller handles them.
        if threading.current_thread() is threading.main_thread():
            self._ear, self._mouth = os.pipe()
            os.set_blocking(self._mouth, False)
            self._thread = threading.Thread(target=self._acknowledge, daemon=True)
            self._thread.start()
            self._wakeup_before = signal.set_wakeup_fd(self._mouth)
            for number in NUMBERS:
                before = signal.getsignal(number)
                if number == signal.SIGHUP and before is signal.SIG_IGN:
                    continue  # nohup: the run is to outlive its terminal
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            signal.set_wakeup_fd(self._wakeup_before)
            os.close(self._mouth)
            self._thread.join()
            os.close(self._ear)

    def _handle(self, number: int, _: object) -> None:
        if self._seen == signal.SIGINT == number:
            self._raised.set()
            raise KeyboardInterrupt  # the second Ctrl-C does not wait
        self._seen = number

    def _acknowledge(self) -> None:
        """Says what each signal leads to, until the pipe is closed."""
        interrupted = False
        while numbers := os.read(self._ear, 64):
            for number in set(numbers) & set(NUMBERS):
                if number == signal.SIGHUP:
                    _leave_lost_terminal()
                if number != signal.SIGINT:
                    _write(f'{signal.Signals(number).name}: {self.doing}')
                elif not interrupted and numbers.count(number) == 1:
                    interrupted = True
                    _write(f'Ctrl-C: {self.doing}; again to stop now')
                elif not self._raised.wait(_GRACE_SECONDS):
                    _write('stopped by Ctrl-C')
                    os._exit(128 + signal.SIGINT)  # a kill loses nothing that is saved

    def reason(self, step: int, *, every: int) -> str:
        """Why to stop after this step: 'signal', 'max_minutes', or '' to go on.

        All processes give the same answer; several ask each other `every` steps.
        """
        late = self._end is not None and time.monotonic() >= self._end
        if self._seen == signal.SIGHUP:
            _leave_lost_terminal()  # what reads our pipe may have ended only now
        self.doing = 'finishing the steps under way, then saving'
        if jax.process_count() == 1:
            self.number = self._seen
        elif step % every == 0:
            seen = multihost_utils.process_allgather(np.array([self._seen, late]))
            self.number, late = int(seen[:, 0].max()), bool(seen[:, 1].any())
        else:
            late = False
        if jax.process_count() > 1:
            ends = step + every - step % every
            self.doing = f'all processes stop after step {ends}, then save'
        return 'signal' if self.number else 'max_minutes' if late else ''


def _write(line: str) -> None:
    # print is not safe here: its buffer may be locked by the main thread.
    with contextlib.suppress(OSError):
        os.write(2, f'{line}\n'.encode())


def _leave_lost_terminal() -> None:
    """Points outputs whose reader is gone at /dev/null, so that a print can't fail."""
    poll = select.poll()
    for output in _OUTPUTS:
        poll.register(output, 0)  # errors and hang-ups are always reported
    for output, _ in poll.poll(0):
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, output)
            os.close(null)
