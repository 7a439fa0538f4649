"""One call of a program that trains, watched from outside and stopped at a moment."""

import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import time

from hax_jax.runs import run_folder

AIMS = ('step', 'save', 'anywhere', 'start')
# Of six kills one is a SIGTERM and one a Ctrl-C, on which the run saves before it ends.
_SIGNALS = ('SIGKILL',) * 4 + ('SIGTERM', 'SIGINT')
_POLL_SECONDS = 0.002


@dataclasses.dataclass(frozen=True)
class Pace:
    """Seconds of a call that nothing stopped, by which moments are drawn.

    `start` is the time to its first step's line in metrics.jsonl, `save` that of its
    longest save.
    """

    whole: float
    start: float
    step: float
    save: float

    def started_in(self, seconds: float) -> 'Pace':
        """The pace of a call whose start takes so long: a compiled program is kept."""
        whole = self.whole - self.start + seconds
        return dataclasses.replace(self, whole=whole, start=seconds)


@dataclasses.dataclass(frozen=True)
class Moment:
    """When a call gets which signal: `seconds` after the event that `aim` names.

    The event is the call's begin ('anywhere', 'start'), the line of its `count`th step
    ('step'), or the `count`th save that is under way ('save').
    """

    aim: str
    signal: str
    count: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a call ended. `killed_at` is None where it ended before its signal.

    `logged` is the newest step in metrics.jsonl, and `saving` the name of the folder
    of the save that was under way, '' for none, both when the signal was sent.
    `has_steps`: it logged a step, so its pace has a start.
    """

    code: int
    pace: Pace
    has_steps: bool
    killed_at: float | None
    logged: int
    saving: str


class HungError(Exception):
    """A call did not end in the time that it was given."""


def draw(
    rng: random.Random, pace: Pace, *, number: int, checkpoint_every: int
) -> Moment:
    """The moment of a kill in call `number`. Four calls in a row have the four aims.

    'anywhere' is spread evenly over a whole call, 'start' over the time before its
    first step (loading, reading the checkpoint, compiling), 'step' over the next two
    checkpoints' steps, 'save' from the begin of a save to a little after its end.
    """
    aim = AIMS[number % len(AIMS)]
    steps = rng.randint(1, 2 * checkpoint_every)
    longest, count = {
        'anywhere': (pace.whole, 0),
        'start': (pace.start, 0),
        'step': (2 * pace.step, steps),
        'save': (1.5 * pace.save, rng.randint(1, 2)),
    }[aim]
    return Moment(aim, rng.choice(_SIGNALS), count, rng.uniform(0, longest))


def run(
    command: list[str],
    workdir: pathlib.Path,
    log: pathlib.Path,
    *,
    moment: Moment | None = None,
    limit_seconds: float = float('inf'),
) -> Ended:
    """Calls the program, in a process group of its own, until it ends.

    Its output is appended to `log`. A signal goes to the whole group.

    Raises:
      HungError: it still ran after `limit_seconds`, and is killed now.
    """
    with open(log, 'ab') as file:
        child = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, process_group=0
        )
        try:
            return _watched(child, workdir, moment, limit_seconds)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _watched(
    child: subprocess.Popen[bytes],
    workdir: pathlib.Path,
    moment: Moment | None,
    limit_seconds: float,
) -> Ended:
    begun = time.monotonic()
    watch = _Watch(workdir)
    killed_at, logged, saving = None, 0, ''
    while child.poll() is None:
        seconds = time.monotonic() - begun
        watch.look(seconds)
        due = watch.due(moment) if moment and killed_at is None else None
        if due is not None and seconds >= due:
            os.killpg(child.pid, getattr(signal, moment.signal))
            killed_at, logged, saving = seconds, watch.logged, watch.saving
        if seconds > limit_seconds:
            raise HungError(f'it still ran after {seconds:.0f} s')
        time.sleep(_POLL_SECONDS)
    code = child.returncode
    return Ended(
        code=code,
        pace=watch.pace(time.monotonic() - begun),
        has_steps=watch.logged > 0,
        killed_at=killed_at if code else None,
        logged=logged,
        saving=saving,
    )


class _Watch:
    """What a call has written so far: its steps in metrics.jsonl, and its saves."""

    def __init__(self, workdir: pathlib.Path) -> None:
        self._metrics = workdir / 'metrics.jsonl'
        self._checkpoints = workdir / run_folder.CHECKPOINTS
        self._known = self._signature()
        self._left = self._unfinished()  # by a call before, which is cleared away
        self._step_times: list[float] = []  # of this call's own steps
        self._saves: dict[str, list[float]] = {}  # folder -> first and last seen at
        self.logged = 0
        self.saving = ''

    def look(self, seconds: float) -> None:
        """Looks at the files, `seconds` after the call began."""
        unfinished = self._unfinished()
        self._left &= unfinished
        self.saving = min(unfinished - self._left, default='')
        if self.saving:
            self._saves.setdefault(self.saving, [seconds, seconds])[1] = seconds
        known = self._signature()
        # A call that goes on first cuts the file, in a new one by the same name.
        grown = known[0] == self._known[0] and known[1] > self._known[1]
        new = known[0] and not self._known[0]
        self._known = known
        if grown or new:
            step = _last_step(self._metrics)
            if step > self.logged:
                self._step_times.append(seconds)
                self.logged = step

    def due(self, moment: Moment) -> float | None:
        """When the signal is to be sent, in seconds; None if its event is not there."""
        if moment.aim in ('anywhere', 'start'):
            return moment.seconds
        events = self._step_times
        if moment.aim == 'save':
            events = [first for first, _ in self._saves.values()]
        reached = len(events) >= moment.count
        return events[moment.count - 1] + moment.seconds if reached else None

    def pace(self, whole: float) -> Pace:
        times = self._step_times or [whole]
        return Pace(
            whole=whole,
            start=times[0],
            step=(times[-1] - times[0]) / max(1, len(times) - 1),
            save=max(
                (last - first for first, last in self._saves.values()), default=0.0
            ),
        )

    def _signature(self) -> tuple[int, int]:
        """(which file, its size); (0, 0) for none."""
        try:
            found = self._metrics.stat()
        except OSError:
            return 0, 0
        return found.st_ino, found.st_size

    def _unfinished(self) -> set[str]:
        """The folders of unfinished saves; that of a whole one is named by its step."""
        try:
            names = [path.name for path in self._checkpoints.iterdir()]
        except OSError:
            return set()
        return {name for name in names if not name.isdigit()}


def _last_step(path: pathlib.Path) -> int:
    """The step of the last whole line; 0 where there is none."""
    try:
        with open(path, 'rb') as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 2**16))
            whole = file.read().rpartition(b'\n')[0]
        return int(json.loads(whole.rpartition(b'\n')[2])['step'])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
