"""SIGTERM (preemption) and Ctrl-C: finish the step, save, then stop."""

import contextlib
import signal
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


class Signals:
    """While entered, a signal is remembered; `received` says that it came.

    `number` is the signal's number once all processes stop for it, else 0.
    """

    def __init__(self) -> None:
        self.number = 0
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

    def received(self, step: int, *, every: int) -> bool:
        """Whether to stop after this step; all processes give the same answer."""
        if jax.process_count() == 1:
            self.number = self._seen
        elif step % every == 0:
            seen = multihost_utils.process_allgather(np.int32(self._seen))
            self.number = int(seen.max())
        return self.number > 0
