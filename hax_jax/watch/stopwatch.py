"""A run's seconds by part: each second belongs to exactly one."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import jax.monitoring

# Everything between a Python function and its program on the device. Traces may nest:
# the time of an outer one includes its inner ones.
_COMPILING = (
    '/jax/core/compile/jaxpr_trace_duration',
    '/jax/core/compile/jaxpr_to_mlir_module_duration',
    '/jax/core/compile/backend_compile_duration',
)
PARTS = ('start', 'compile', 'data', 'step', 'recheck', 'evaluation', 'checkpoint')


class Stopwatch:
    """Gives the seconds since the last lap to a part; compiling is always its own.

        with Stopwatch() as watch:
            watch.lap('start')       # everything up to here
            batch = next(batches)
            watch.lap('data')
            watch.take()  # {'start': 2.0, 'data': 0.1}, and begins to count anew

    Tracing, lowering, compiling and loading of compiled programs in this thread count
    as 'compile' in any lap, by JAX's own account (`jax.monitoring`). So the parts add
    up to the time since the watch was entered.
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._compiled: list[tuple[float, float]] = []  # (begun, ended), apart
        self._taken: dict[str, float] = {}
        self._total: dict[str, float] = {}
        self._last = time.monotonic()

    def __enter__(self) -> 'Stopwatch':
        jax.monitoring.register_event_duration_secs_listener(self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_event_duration_listener(self._hear)

    def _hear(self, event: str, seconds: float, **_: Any) -> None:
        if event not in _COMPILING or threading.get_ident() != self._thread:
            return
        ended = time.monotonic()
        self._add(max(ended - seconds, self._last), ended)

    def _add(self, begun: float, ended: float) -> None:
        while self._compiled and self._compiled[-1][1] > begun:
            begun = min(begun, self._compiled.pop()[0])
        self._compiled.append((begun, ended))

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Counts the time inside as 'compile': another thread's work is waited for."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._add(begun, time.monotonic())

    def lap(self, part: str) -> float:
        """Counts the seconds since the last lap as `part`, and gives their number."""
        now = time.monotonic()
        compiling = sum(ended - begun for begun, ended in self._compiled)
        seconds = max(now - self._last - compiling, 0.0)
        self._last = now
        self._compiled.clear()
        for name, value in ((part, seconds), ('compile', compiling)):
            if value:
                self._taken[name] = self._taken.get(name, 0.0) + value
                self._total[name] = self._total.get(name, 0.0) + value
        return seconds

    def take(self) -> dict[str, float]:
        """The seconds of each part since they were last taken, in PARTS' order."""
        taken, self._taken = self._taken, {}
        return _ordered(taken)

    def total(self) -> dict[str, float]:
        """The seconds of each part since the watch was entered."""
        return _ordered(self._total)


class Waiting:
    """The seconds for which something was waited for, also while it is."""

    def __init__(self) -> None:
        self._ended = 0.0
        self._begun: float | None = None

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """Counts the time inside."""
        self._begun = time.monotonic()
        try:
            yield
        finally:
            self._ended, self._begun = self.seconds(), None

    def seconds(self) -> float:
        """May be asked by another thread."""
        begun = self._begun
        return self._ended + (0.0 if begun is None else time.monotonic() - begun)


def _ordered(seconds: dict[str, float]) -> dict[str, float]:
    return {part: seconds[part] for part in PARTS if part in seconds}
