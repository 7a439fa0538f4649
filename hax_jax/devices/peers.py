"""The processes of one run: an end of one is an end of all, with one message.

They speak through the key-value store of JAX's coordinator, which is in process 0, not
through the devices: a process that waits in a collective can still be told. A thread of
each process notes each second what it does and reads what the others noted. Where a
process runs alone, nothing here does anything.

`failed` tells the others; each prints the line and ends with the exit code. A process
that is gone (killed, or frozen) is found by JAX's heartbeats (joining.py), one that is
stuck by `limited` and `mark`; both end the run with exit code 75.
"""

import atexit
import contextlib
import dataclasses
import json
import math
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from hax_jax import errors
from hax_jax.devices import joining
from hax_jax.program import ending

AGAIN = 75  # the exit code of a run that goes on when it is started again
_ROOT = 'hax_jax/'
_NOTES, _SEEN, _DONE = f'{_ROOT}notes/', f'{_ROOT}seen/', f'{_ROOT}done/'
_END, _ASKED = f'{_ROOT}end/', f'{_ROOT}asked/'
# XLA's errors are ValueErrors too.
_COLLECTIVE = re.compile(
    'Gloo|NCCL|UNKNOWN:|INTERNAL:|UNAVAILABLE:|ABORTED:|DEADLINE_EXCEEDED'
)
_BEAT_SECONDS = 1.0
_LATE_SECONDS = 4.0  # a note this old is of a process that no longer writes any
_LINGER_SECONDS = 5.0  # for the others to read why all end
_ASK_MILLISECONDS = 2_000
_SAY_SECONDS = 20.0  # a wait this long is said
_LEFT_SECONDS = 60.0  # for the others to end, once Python has ended here


@dataclasses.dataclass
class _Note:
    """What a process wrote last, and when a new one was seen here."""

    written: list[Any]
    seen: float


class _Peers:
    """The other processes, seen from this one."""

    def __init__(self) -> None:
        self.client: Any = None
        self.own = self.count = 0
        self.limit = 0.0  # seconds; 0.0 is none
        self.doing, self.since = '', time.monotonic()
        self.questions = 0
        self._notes: dict[int, _Note] = {}
        self._read = time.monotonic()  # when the store last answered
        self._ends = threading.Lock()
        self._is_over = threading.Event()

    def begin(self, joined: joining.Joined) -> None:
        self.client, self.own, self.count = joined
        self._read = time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        self._is_over.set()

    def _watch(self) -> None:
        beats = 0
        while not self._is_over.wait(_BEAT_SECONDS):
            beats += 1
            for_seconds = int(time.monotonic() - self.since)
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                note = json.dumps([beats, self.doing, for_seconds])
                self.client.key_value_set(
                    f'{_NOTES}{self.own}', note, allow_overwrite=True
                )
                self._look()
            if self._is_over.is_set():
                return
            now = time.monotonic()
            if now - self._read > 2 * joining.SILENT_SECONDS:
                self.lost()  # only where JAX's own word does not come
            limit = self.limit and max(self.limit, self._least_limit(now))
            if limit and self.doing and now - self.since > limit:
                self.end_all(self._stuck(), AGAIN)

    def _least_limit(self, now: float) -> float:
        """Seconds, while a process may be gone: JAX's heartbeats tell that first."""
        ages = [now - note.seen for note in self._notes.values()]
        is_late = max(ages, default=0.0) > _LATE_SECONDS
        return 3.0 * joining.SILENT_SECONDS if is_late else 0.0

    def _look(self) -> None:
        for key, value in self.client.key_value_dir_get(_NOTES):
            number, written = int(key.rpartition('/')[2]), json.loads(value)
            if number not in self._notes or self._notes[number].written != written:
                self._notes[number] = _Note(written, time.monotonic())
        self._read = time.monotonic()
        for _, value in self.client.key_value_dir_get(_END):
            self._end(**json.loads(value))

    def lost(self) -> None:
        """Ends this process: another one is gone. Does not use the client."""
        ages = {
            number: self._read - note.seen
            for number, note in self._notes.items()
            if number != self.own
        }
        gone = max(ages, key=lambda n: ages[n], default=0)
        if ages.get(gone, 0.0) < _LATE_SECONDS:
            gone = 0  # all wrote until the store itself was gone, which process 0 has
        seen = self._notes[gone].seen if gone in self._notes else self._read
        who = f'process {gone}' if gone != self.own else 'another process'
        age = time.monotonic() - seen
        line = f'{who} is gone (last heard {age:.0f} s ago)' + _ADVICE
        self._leave(line, AGAIN, has_store=False)

    def _stuck(self) -> str:
        doing = '; '.join(
            f'process {n}: {note.written[1] or "no step yet"}, for {note.written[2]} s'
            for n, note in sorted(self._notes.items())
        )
        return (
            f'nothing has ended in {self.limit:g} s (--config.train.'
            f'hang_timeout_seconds), though all processes live ({doing})' + _ADVICE
        )

    def end_all(self, line: str, code: int, *, said_here: str | None = None) -> None:
        """Ends all processes with `line`; here with `said_here` in its stead."""
        value = json.dumps({'line': line, 'code': code, 'process': self.own})
        # The first reason counts; where all fail alike, none waits for the others.
        _within(_BEAT_SECONDS, self._has_seen)
        _within(_BEAT_SECONDS, lambda: self.client.key_value_set(f'{_END}1', value))
        self._leave(line if said_here is None else said_here, code)

    def _has_seen(self) -> None:
        self.client.key_value_set(f'{_SEEN}{self.own}', '', allow_overwrite=True)

    def _end(self, line: str, code: int, process: int) -> None:
        if process == self.own:
            return
        _within(_BEAT_SECONDS, self._has_seen)
        self._leave(line, code)

    def _leave(self, line: str, code: int, *, has_store: bool = True) -> None:
        """Ends this process once; process 0 last, as it has what the others read."""
        if not self._ends.acquire(blocking=False):
            threading.Event().wait()  # another thread ends it
        if line:
            with contextlib.suppress(OSError):
                os.write(2, f'{line}\n'.encode())
        # The main thread may hold it in a write that waits.
        _within(_BEAT_SECONDS, sys.stdout.flush)
        if self.own == 0:
            _within(_LINGER_SECONDS, lambda: self._linger(has_store))
        os._exit(code)

    def _linger(self, has_store: bool) -> None:
        """Waits until the others have read the reason, or JAX has told them."""
        while has_store and len(self.client.key_value_dir_get(_SEEN)) < self.count:
            time.sleep(0.1)
        time.sleep(0.5)

    def ask(self, kind: str) -> int:
        """The number of the next question, which all processes ask alike."""
        self.questions += 1
        self.client.key_value_set(f'{_ASKED}{self.questions}/{self.own}', kind)
        return self.questions

    def _check_same_question(self) -> None:
        """Ends all where another process asks something else: none would answer."""
        kinds = {
            int(key.rpartition('/')[2]): kind
            for key, kind in self.client.key_value_dir_get(f'{_ASKED}{self.questions}/')
        }
        if len(set(kinds.values())) > 1:
            asked = ', '.join(f'process {n}: {kinds[n]}' for n in sorted(kinds))
            line = f'error: the processes do different things ({asked}), a defect'
            self.end_all(line + _ADVICE, AGAIN)

    def answer(self, key: str, whom: str, *, most_seconds: float = math.inf) -> str:
        """The value of a key, once it is there; says after a while that it waits.

        Raises:
          TimeoutError: it is not there after `most_seconds`.
        """
        begun, is_said = time.monotonic(), False
        while True:
            try:
                return self.client.blocking_key_value_get(key, _ASK_MILLISECONDS)
            except jax.errors.JaxRuntimeError as error:
                if 'DEADLINE_EXCEEDED' not in str(error):
                    raise
            self._check_same_question()
            waited = time.monotonic() - begun
            if waited > most_seconds:
                raise TimeoutError(whom)
            if waited > _SAY_SECONDS and not is_said:
                is_said = True
                print(f'waiting for {whom}', flush=True)


def _within(seconds: float, action: Callable[[], Any]) -> None:
    """Waits so long for an action that may fail, or not end, as all ends anyway."""

    def tried() -> None:
        with contextlib.suppress(Exception):
            action()

    thread = threading.Thread(target=tried, daemon=True)
    thread.start()
    thread.join(seconds)


_ADVICE = '; start all again with the same command'
_peers = _Peers()


def join(reason: str, local_device_ids: Sequence[int] | None) -> None:
    """Joins the other processes of this run (joining.py); from now on all end together.

    Raises:
      InputError: they can't be joined.
    """
    _peers.begin(joining.join(reason, local_device_ids, _peers.lost))
    ending.joined(failed=failed, finished=finished)
    atexit.register(_left)
    sys.excepthook = _uncaught


def _is_of_devices(error: BaseException) -> bool:
    """Whether XLA, or a library of collectives, raised the error or what led to it."""
    is_xla = isinstance(error, jax.errors.JaxRuntimeError)
    return is_xla or bool(_COLLECTIVE.search(str(error)))


def have_joined() -> bool:
    """Whether `join` was called; a run may still have one process."""
    return _peers.client is not None


def are_several() -> bool:
    """Whether this process is one of several."""
    return have_joined() and _peers.count > 1


def process() -> int:
    """The number of this process; 0 if it is alone. Starts no backend, as JAX's does.

    A backend starts only when all processes start it.
    """
    return _peers.own


def failed(error: BaseException, line: str | None, code: int) -> None:
    """Ends all processes because this one failed: `line` says why.

    None stands for the error's traceback. A collective fails wherever another process
    went away: waits for the reason that one gives, or for the word that it is gone,
    which ends this process. Returns where there are no others.
    """
    if not are_several():
        return
    if line is None and _is_of_devices(error):
        time.sleep(1.5 * joining.SILENT_SECONDS)
    own, said_here = _peers.own, line
    if line is None:
        said_here = ''.join(traceback.format_exception(error)).rstrip()
        line = f'error: {type(error).__name__}: {str(error)[:500]} (a defect)'
    told = f'process {own}: {line}'
    if line.startswith('error: '):
        told = line.replace('error: ', f'error: process {own}: ', 1)
    _peers.end_all(told, code, said_here=said_here)


def finished(*, most_seconds: float = math.inf) -> None:
    """Waits until all processes have finished, and leaves the run.

    Raises:
      TimeoutError: one has not after `most_seconds`.
    """
    if not are_several():
        return
    client, _peers.limit = _peers.client, 0.0
    client.key_value_set(f'{_DONE}{_peers.own}', '', allow_overwrite=True)
    for number in range(_peers.count):
        whom = f'process {number} to finish'
        _peers.answer(f'{_DONE}{number}', whom, most_seconds=most_seconds)
    # Process 0 has the store: it goes when the others have read it.
    client.wait_at_barrier('hax_jax_finished', int(1000 * _LEFT_SECONDS))
    _peers.stop()
    _peers.client = None
    jax.distributed.shutdown()


def _left() -> None:
    """At the end of Python, for a program that neither failed nor finished."""
    try:
        finished(most_seconds=_LEFT_SECONDS)
    except TimeoutError:
        _peers.end_all(f'error: process {_peers.own} has ended before the others', 1)


def _uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    failed(error, None, 1)
    sys.__excepthook__(kind, error, trace)


def agree(value: Any, judge: Callable[[list[Any]], str]) -> None:
    """Process 0 judges the values of all processes, in their order.

    `value` is JSON's. All processes call it alike. Where there is one, nothing is
    judged.

    Raises:
      InputError: what `judge` found, in every process.
    """
    if not are_several():
        return
    root = f'{_ROOT}question/{_peers.ask("compares")}/'
    if _peers.own == 0:
        values = [value] + [
            json.loads(_peers.answer(f'{root}{number}', f'process {number}'))
            for number in range(1, _peers.count)
        ]
        problem = judge(values)
        _peers.client.key_value_set(f'{root}problem', problem)
    else:
        _peers.client.key_value_set(f'{root}{_peers.own}', json.dumps(value))
        problem = _peers.answer(f'{root}problem', 'process 0')
    if problem:
        raise errors.InputError(problem)


def from_first(value: str) -> str:
    """The `value` of process 0, in all processes."""
    if not are_several():
        return value
    key = f'{_ROOT}told/{_peers.ask("hears of the first")}'
    if _peers.own == 0:
        _peers.client.key_value_set(key, value)
        return value
    return _peers.answer(key, 'process 0')


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Within it, all processes end if none calls `mark` for so long; 0.0 is no limit.

    The time counts from the first `mark`.
    """
    _peers.limit = seconds
    try:
        yield
    finally:
        _peers.limit, _peers.doing = 0.0, ''


def mark(doing: str) -> None:
    """This process has ended what it did, and begins with `doing`: 'step 12'.

    '' is something that may last: until the next `mark` no time counts.
    """
    _peers.doing, _peers.since = doing, time.monotonic()
