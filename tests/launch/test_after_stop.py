"""The commands that are printed after a run has stopped by itself."""

import dataclasses
import pathlib

import pytest

from hax_jax.config import schema
from hax_jax.guards import bad_steps, stops
from launch import after_stop

WORKDIR = pathlib.Path('runs/a b')
TYPED = ['--config=c.py', '--config.optimizer.learning_rate=1e6', '--workdir=runs/a b']


def config(rate: float, final: float = 0.0) -> schema.Config:
    settings = schema.OptimizerConfig(learning_rate=rate, final_learning_rate=final)
    return dataclasses.replace(schema.Config(), optimizer=settings)


def bad(kind: str, *, tried: str = '') -> stops.BadStepError:
    found = bad_steps.Found(12, kind, 'stopped', float('nan'), 2.0)
    return stops.BadStepError(found, saved=11, tried=tried)


def diverged(saved: int | None, *, is_on_disk: bool = False) -> stops.DivergedError:
    return stops.DivergedError(6, 'why', saved=saved, is_on_disk=is_on_disk)


def commands(
    error: stops.StoppedError, typed: list[str], run: schema.Config
) -> list[str]:
    lines = after_stop.advice(error, typed, run, WORKDIR).splitlines()
    return [line.strip() for line in lines if line.startswith('  ')]


@pytest.mark.parametrize(
    ('saved', 'more'), [(3, ' --allow_change=optimizer.learning_rate'), (None, '')]
)
def test_a_run_that_goes_on_with_a_lower_rate_needs_leave(
    saved: int | None, more: str
) -> None:
    assert commands(diverged(saved), TYPED, config(1e6)) == [
        "python -m launch.train --config=c.py '--workdir=runs/a b' "
        f'--config.optimizer.learning_rate=0.001{more}'
    ]


def test_the_final_rate_is_lowered_where_it_would_be_over_the_rate() -> None:
    (command,) = commands(diverged(3), ['--config=c.py'], config(1e-4, 5e-5))
    assert command == (
        'python -m launch.train --config=c.py --config.optimizer.learning_rate=1e-05 '
        '--config.optimizer.final_learning_rate=5e-06 --allow_change='
        'optimizer.learning_rate,optimizer.final_learning_rate'
    )


@pytest.mark.parametrize(
    'allowed', [['--allow_change=train.seed'], ['--allow_change', 'train.seed']]
)
def test_leave_that_was_given_stays_and_a_restart_is_not_repeated(
    allowed: list[str],
) -> None:
    typed = ['--restart', *allowed, '--config=c.py']
    (command,) = commands(diverged(3), typed, config(1e-4))
    assert command.endswith(
        'launch.train --config=c.py --config.optimizer.learning_rate=1e-05 '
        '--allow_change=train.seed,optimizer.learning_rate'
    )


def test_a_damaged_step_on_disk_goes_first() -> None:
    aside, _ = commands(diverged(3, is_on_disk=True), TYPED, config(1.0))
    assert aside == "mv 'runs/a b/checkpoints/6' 'runs/a b/damaged-6'"
    (command,) = commands(diverged(None, is_on_disk=True), TYPED, config(1.0))
    assert command.endswith('--restart')


def test_a_bad_step_can_be_skipped_or_looked_at() -> None:
    skip, lower, replay = commands(bad('loss not finite'), TYPED, config(1e-3))
    assert skip.endswith("'--workdir=runs/a b' --config.train.on_bad_step=skip")
    assert '=0.0001 --allow_change=optimizer.learning_rate' in lower
    assert replay.endswith("'--workdir=runs/a b' --replay=12")
    skip, *_ = commands(bad('loss spike'), TYPED, config(1e-3))
    assert skip.endswith('--config.train.on_spike=skip')
    # Where skipping did not help, the rate may.
    error = bad('loss not finite', tried='the 10th bad one in a row')
    assert 'gradient norm 2, the 10th bad one in a row. Its' in str(error)
    assert len(commands(error, TYPED, config(1e-3))) == 2
