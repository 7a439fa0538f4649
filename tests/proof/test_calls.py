"""Calls that are stopped at a moment, and runs made of them, of a stand-in program."""

import pathlib
import random
import signal
import sys

import pytest

from hax_jax import errors
from hax_jax.proof import calls, killed_run

# Logs 12 steps, saves at each fourth, and goes on where its log ends; a save lasts as
# long as four steps. {hook} runs at each start, with `done` steps in the log.
_PROGRAM = """
import json, pathlib, sys, time
workdir = pathlib.Path(sys.argv[-1].removeprefix('--workdir='))
metrics = workdir / 'metrics.jsonl'
saved = workdir / 'checkpoints'
saved.mkdir(parents=True, exist_ok=True)
done = len(metrics.read_text().splitlines()) if metrics.exists() else 0
time.sleep(0.1)
loss = 1.5
{hook}
for step in range(done + 1, 13):
    time.sleep(0.02)
    with open(metrics, 'a') as file:
        file.write(json.dumps(dict(step=step, kind='train', loss=loss)) + '\\n')
    if step % 4 == 0:
        (saved / f'{{step}}.tmp').mkdir(exist_ok=True)
        time.sleep(0.08)
        (saved / f'{{step}}.tmp').rename(saved / str(step))
"""


def program(hook: str = '') -> list[str]:
    return [sys.executable, '-c', _PROGRAM.format(hook=hook)]


def call(
    folder: pathlib.Path, moment: calls.Moment | None = None, hook: str = ''
) -> calls.Ended:
    command = [*program(hook), f'--workdir={folder}']
    return calls.run(
        command, folder, folder / 'log.txt', moment=moment, limit_seconds=30.0
    )


def test_a_call_is_measured_from_outside(tmp_path: pathlib.Path) -> None:
    ended = call(tmp_path)
    assert (ended.code, ended.killed_at) == (0, None)
    pace = ended.pace
    assert 0.1 < pace.start < pace.whole
    assert 0 < pace.step < pace.save < pace.whole
    later = pace.started_in(pace.start + 1.0)
    assert later.whole == pytest.approx(pace.whole + 1.0)


@pytest.mark.parametrize(
    ('moment', 'logged', 'saving'),
    [
        (calls.Moment('start', 'SIGKILL', 0, 0.0), 0, ''),
        (calls.Moment('step', 'SIGKILL', 3, 0.0), 3, ''),
        (calls.Moment('save', 'SIGKILL', 2, 0.0), 8, '8.tmp'),
    ],
)
def test_a_signal_meets_what_it_is_aimed_at(
    moment: calls.Moment, logged: int, saving: str, tmp_path: pathlib.Path
) -> None:
    ended = call(tmp_path, moment)
    assert ended.code == -signal.SIGKILL
    assert (ended.logged, ended.saving) == (logged, saving)
    assert ended.killed_at is not None


def test_what_an_earlier_kill_left_is_no_save_under_way(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'checkpoints' / '3.tmp').mkdir(parents=True)
    ended = call(tmp_path, calls.Moment('save', 'SIGKILL', 1, 0.0))
    assert ended.saving == '4.tmp'


def test_a_call_that_ends_before_its_signal_was_not_killed(
    tmp_path: pathlib.Path,
) -> None:
    ended = call(tmp_path, calls.Moment('step', 'SIGKILL', 13, 0.0))
    assert (ended.code, ended.killed_at) == (0, None)


def test_a_call_that_hangs_is_killed(tmp_path: pathlib.Path) -> None:
    command = [*program('time.sleep(600)'), f'--workdir={tmp_path}']
    with pytest.raises(calls.HungError):
        calls.run(command, tmp_path, tmp_path / 'log', limit_seconds=0.3)


def test_moments_have_every_aim_in_turn_within_their_time() -> None:
    pace = calls.Pace(whole=10.0, start=4.0, step=0.5, save=0.2)
    rng = random.Random(0)
    drawn = [calls.draw(rng, pace, number=i, checkpoint_every=3) for i in range(400)]
    assert [moment.aim for moment in drawn[:4]] == list(calls.AIMS)
    longest = {'anywhere': 10.0, 'start': 4.0, 'step': 1.0, 'save': 0.3}
    for aim, seconds in longest.items():
        own = [moment for moment in drawn if moment.aim == aim]
        assert 0.9 * seconds < max(moment.seconds for moment in own) <= seconds
    steps = {moment.count for moment in drawn if moment.aim == 'step'}
    assert steps == {1, 2, 3, 4, 5, 6}
    assert {moment.signal for moment in drawn} == {'SIGKILL', 'SIGTERM', 'SIGINT'}


def prove(folder: pathlib.Path, hook: str) -> tuple[killed_run.Proof, list[int]]:
    """Three kills of a program; and its newest step as each of them was sent."""
    proof, logged = killed_run.unbroken(program(hook), folder), []
    killed_run.kill(
        proof,
        program(hook),
        folder,
        kills=3,
        checkpoint_every=2,
        seed=0,
        on_kill=lambda hit: logged.append(hit.logged),
    )
    return proof, logged


def test_a_run_that_goes_on_otherwise_is_the_first_difference(
    tmp_path: pathlib.Path,
) -> None:
    proof, logged = prove(tmp_path, 'loss += 0.25 * (done > 0)')
    first = min(step for step in logged if step) + 1
    assert proof.failure == (
        f'metrics.jsonl, step {first}: train.loss is 1.5 in the unbroken run and 1.75 '
        'in the killed one'
    )


def test_a_run_that_does_not_go_on_is_a_failure(tmp_path: pathlib.Path) -> None:
    proof, logged = prove(tmp_path, "if done: sys.exit('error: no')")
    assert logged[-1] > 0
    assert proof.failure == (
        f'after kill {len(logged)} the same command ended with code 1: no'
    )


def test_a_program_that_fails_by_itself_proves_nothing(tmp_path: pathlib.Path) -> None:
    with pytest.raises(killed_run.CallError, match='this data') as raised:
        killed_run.unbroken(program("print('error: this data'); sys.exit(2)"), tmp_path)
    assert raised.value.code == 2


def test_runs_too_short_to_be_killed_are_refused(tmp_path: pathlib.Path) -> None:
    proof = killed_run.Proof(calls.Pace(60.0, 60.0, 60.0, 60.0), 60.0)
    with pytest.raises(errors.InputError, match='give more steps'):
        killed_run.kill(
            proof,
            [sys.executable, '-c', ''],
            tmp_path,
            kills=1,
            checkpoint_every=1,
            seed=0,
            on_kill=print,
        )
