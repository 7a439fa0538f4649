"""SIGTERM (preemption), Ctrl-C and the end of a call's time: finish, save, stop."""

import contextlib
import signal
import time
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


class Signals:
    """While entered, SIGTERM and SIGINT are remembered instead of ending the program.

    `number` is the signal's number once all processes stop for it, else 0.
    """

    def __init__(self, *, max_minutes: float = 0.0) -> None:
        """The time of `max_minutes` begins here; 0 is without end."""
        self.number = 0
        self._end = time.monotonic() + 60 * max_minutes if max_minutes else None
        self._seen = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> 'Signals':
        for number in (signal.SIGTERM, signal.SIGINT):
            # Only the main thread may set handlers; elsewhere the caller handles them.
            with contextlib.suppress(ValueError):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: object) -> None:
        if self._seen == signal.SIGINT == number:
            raise KeyboardInterrupt  # the second Ctrl-C does not wait
        self._seen = number

    def reason(self, step: int, *, every: int) -> str:
        """Why to stop after this step: 'signal', 'max_minutes', or '' to go on.

        All processes give the same answer; several ask each other `every` steps.
        """
        late = self._end is not None and time.monotonic() >= self._end
        if jax.process_count() == 1:
            self.number = self._seen
        elif step % every == 0:
            seen = multihost_utils.process_allgather(np.array([self._seen, late]))
            self.number, late = int(seen[:, 0].max()), bool(seen[:, 1].any())
        else:
            late = False
        return 'signal' if self.number else 'max_minutes' if late else ''
