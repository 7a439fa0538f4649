import threading
import time
from collections.abc import Iterator

import jax
import jax.monitoring
import pytest

from hax_jax.watch import stopwatch

TRACING = '/jax/core/compile/jaxpr_trace_duration'
COMPILING = '/jax/core/compile/backend_compile_duration'


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stopwatch, 'time', clock)
    return clock


@pytest.fixture
def watch(clock: Clock) -> Iterator[stopwatch.Stopwatch]:
    with stopwatch.Stopwatch() as watch:
        yield watch


def compiled(event: str, seconds: float) -> None:
    jax.monitoring.record_event_duration_secs(event, seconds)


def test_each_second_belongs_to_the_lap_that_it_ends_in(
    clock: Clock, watch: stopwatch.Stopwatch
) -> None:
    for part, seconds in (('start', 4), ('data', 1), ('step', 2), ('data', 3)):
        clock.now += seconds
        watch.lap(part)
    assert watch.take() == {'start': 4.0, 'data': 4.0, 'step': 2.0}
    clock.now += 5
    watch.lap('evaluation')
    assert watch.take() == {'evaluation': 5.0}
    assert watch.take() == {}
    assert watch.total() == {'start': 4, 'data': 4, 'step': 2, 'evaluation': 5}


def test_compiling_is_taken_out_of_the_lap_and_nested_tracing_counts_once(
    clock: Clock, watch: stopwatch.Stopwatch
) -> None:
    clock.now += 10
    compiled(TRACING, 1.0)  # from 9 to 10, inside the next
    clock.now += 1
    compiled(TRACING, 4.0)  # from 7 to 11
    clock.now += 5
    compiled(COMPILING, 5.0)  # from 11 to 16
    clock.now += 4
    watch.lap('step')
    assert watch.take() == {'compile': 9.0, 'step': 11.0}


def test_what_compiles_elsewhere_or_is_another_event_is_not_compiling(
    clock: Clock, watch: stopwatch.Stopwatch
) -> None:
    clock.now += 10
    compiled('/jax/something/else', 5.0)
    other = threading.Thread(target=compiled, args=(COMPILING, 5.0))
    other.start()
    other.join()
    watch.lap('step')
    assert watch.take() == {'step': 10.0}


def test_to_wait_for_what_compiles_elsewhere_is_compiling(
    clock: Clock, watch: stopwatch.Stopwatch
) -> None:
    clock.now += 2
    with watch.compiling():
        clock.now += 5
    clock.now += 1
    watch.lap('start')
    assert watch.take() == {'compile': 5.0, 'start': 3.0}


def test_jax_tells_the_watch_when_it_compiles() -> None:
    begun = time.monotonic()
    with stopwatch.Stopwatch() as watch:
        jax.jit(lambda x: (x * 3.25).sum())(jax.numpy.ones(7)).block_until_ready()
        watch.lap('step')
        parts = watch.take()
        assert parts['compile'] > 0
        assert sum(parts.values()) <= time.monotonic() - begun + 0.002
    jax.jit(lambda x: x * 4.5)(jax.numpy.ones(9))
    watch.lap('step')  # after the watch was left, it hears no more
    assert 'compile' not in watch.take()


def test_waiting_counts_the_time_inside_also_before_it_ends(clock: Clock) -> None:
    waiting = stopwatch.Waiting()
    clock.now += 5
    assert waiting.seconds() == 0
    for _ in range(2):
        with waiting.begun():
            clock.now += 2
            inside = waiting.seconds()
        clock.now += 5
        assert waiting.seconds() == inside
    assert inside == 4
