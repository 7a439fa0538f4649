"""A run that nothing stops, and the same run killed over and over, compared."""

import dataclasses
import pathlib
import random
import shutil
from collections.abc import Callable
from typing import Any

from hax_jax import errors
from hax_jax.proof import calls, same_bits
from hax_jax.runs import run_folder, saved_steps

UNBROKEN, KILLED, LOG = 'unbroken', 'killed', 'log.txt'
_IDLE_RUNS = len(calls.AIMS)  # in a row, none killed by any aim: they are too short


class CallError(Exception):
    """A call of the program failed that nothing had stopped; `code` is its own."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclasses.dataclass(frozen=True)
class Kill:
    """A signal and what it hit: `seconds` after the call began, in run number `run`.

    `step_before` and `step_after` are the newest whole checkpoints when the call began
    and when it had ended (0: none); `logged` and `saving` are those of `calls.Ended`.
    """

    run: int
    aim: str
    signal: str
    seconds: float
    step_before: int
    step_after: int
    logged: int
    saving: str
    code: int


@dataclasses.dataclass
class Proof:
    """What was done so far. `failure` is '' while all was bit-equal.

    `pace` is that of the unbroken run; `start` is the latest call's, in seconds;
    `calls` counts those of the killed runs.
    """

    pace: calls.Pace
    start: float
    calls: int = 0
    kills: list[Kill] = dataclasses.field(default_factory=list)
    runs: list[same_bits.Compared] = dataclasses.field(default_factory=list)
    failure: str = ''


def unbroken(command: list[str], folder: pathlib.Path) -> Proof:
    """Runs the program in `folder`/unbroken to its end; the proof is to be filled.

    Raises:
      CallError: it failed.
    """
    workdir, log = folder / UNBROKEN, folder / LOG
    ended = calls.run([*command, f'--workdir={workdir}'], workdir, log)
    if ended.code:
        raise CallError(_last_words(log, 0), ended.code)
    return Proof(ended.pace, ended.pace.start)


def kill(
    proof: Proof,
    command: list[str],
    folder: pathlib.Path,
    *,
    kills: int,
    checkpoint_every: int,
    seed: int,
    on_kill: Callable[[Kill], Any],
) -> None:
    """Kills runs in `folder`/killed until there are `kills`, each compared at its end.

    A call that ends by itself before its signal is no kill: its run is then complete,
    is compared with the unbroken one, and another begins in an empty folder. After the
    last kill the run goes on to its end. Stops at the first failure.

    Raises:
      InputError: runs end before they can be killed.
    """
    rng = random.Random(seed)
    workdir, log = folder / KILLED, folder / LOG
    idle = 0
    while not proof.failure and len(proof.kills) < kills:
        if idle == _IDLE_RUNS:
            raise errors.InputError(
                f'{idle} runs in a row ended before they could be killed; give more '
                'steps.'
            )
        shutil.rmtree(workdir, ignore_errors=True)
        before = len(proof.kills)
        complete = False
        while not complete:
            moment = None
            if len(proof.kills) < kills:
                moment = calls.draw(
                    rng,
                    proof.pace.started_in(proof.start),
                    number=proof.calls,
                    checkpoint_every=checkpoint_every,
                )
            complete = _call(proof, command, workdir, log, moment, on_kill)
        if not proof.failure:
            compared = same_bits.compare(folder / UNBROKEN, workdir)
            proof.runs.append(compared)
            proof.failure = str(compared.difference or '')
        idle = 0 if len(proof.kills) > before else idle + 1


def _call(
    proof: Proof,
    command: list[str],
    workdir: pathlib.Path,
    log: pathlib.Path,
    moment: calls.Moment | None,
    on_kill: Callable[[Kill], Any],
) -> bool:
    """One call of the killed run; whether the run is complete, or has failed."""
    number = len(proof.kills) + 1
    aim = f'to be killed: {moment}' if moment else 'to its end'
    with open(log, 'a', encoding='utf-8') as file:
        file.write(f'\nrun {len(proof.runs) + 1}, kill {number}: {aim}\n')
    proof.calls += 1
    before, begin = newest_step(workdir), log.stat().st_size
    try:
        ended = calls.run(
            [*command, f'--workdir={workdir}'],
            workdir,
            log,
            moment=moment,
            limit_seconds=60.0 + 10.0 * proof.pace.whole,
        )
    except calls.HungError as error:
        proof.failure = f'after kill {number - 1} the run did not end: {error}'
        return True
    if ended.has_steps:
        proof.start = ended.pace.start
    if not ended.code:
        return True
    if ended.killed_at is None:
        proof.failure = (
            f'after kill {number - 1} the same command ended with code {ended.code}: '
            f'{_last_words(log, begin)}'
        )
        return True
    hit = Kill(
        run=len(proof.runs) + 1,
        aim=moment.aim,
        signal=moment.signal,
        seconds=round(ended.killed_at, 4),
        step_before=before,
        step_after=newest_step(workdir),
        logged=ended.logged,
        saving=ended.saving,
        code=ended.code,
    )
    proof.kills.append(hit)
    on_kill(hit)
    return False


def newest_step(workdir: pathlib.Path) -> int:
    """The newest checkpoint that is whole; 0 where there is none."""
    steps = saved_steps.list_steps(workdir / run_folder.CHECKPOINTS, '')
    found, _ = saved_steps.first_whole(reversed(steps))
    return found.step if found else 0


def _last_words(log: pathlib.Path, begin: int) -> str:
    """The error that a call ended with, else its last line; it begins at a byte."""
    text = '\n' + log.read_bytes()[begin:].decode(errors='replace')
    _, found, error = text.rpartition('\nerror: ')
    return error.strip() if found else text.strip().rpartition('\n')[2]
