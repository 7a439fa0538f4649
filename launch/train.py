"""Trains a model as a config file says, or goes on with the run in --workdir.

    python -m launch.train --config=configs/gpt2_lora.py \\
        --config.model.pretrained=/path/to/gpt2 --config.data.path=data/advice \\
        --workdir=runs/lora

If Ctrl-C (exit code 130), SIGTERM (143), SIGHUP (129), SIGUSR1 (138) or
train.max_minutes (75) stops the program, it saves first, and the same command continues
the run; a second Ctrl-C ends it at once. Exit code 0: the run has ended, at its last
step or by train.patience.

A run that stops by itself, before a bad step or because it diverged, exits with 2 and
prints the commands that go on. --replay=STEP shows what each pair of a step does.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import sys

from absl import flags

from hax_jax import errors, places
from hax_jax.program import ending, entry, later, one_process, results
from launch import old_variables, shared_flags

with later.imports():
    from hax_jax.config import schema
    from hax_jax.curves import after_training
    from hax_jax.data import dataset_folder
    from hax_jax.devices import first_process, peers, runtime, same_run, topology
    from hax_jax.doctor import diagnosis
    from hax_jax.guards import stops
    from hax_jax.planning import planner, step_plan
    from hax_jax.report import page
    from hax_jax.training import (
        agreement,
        capacity,
        resume,
        run_setup,
        run_summary,
        starting,
        train_loop,
    )
    from hax_jax.watch import text_plot
    from launch import after_stop, offline_plan, replay_step, run_rows

shared_flags.CONFIG.define()
_WORKDIR = flags.DEFINE_string('workdir', '', "The run's folder; made if missing.")
_DRY_RUN = flags.DEFINE_bool(
    'dry_run', False, 'Print what the run would be and cost, and stop.'
)
_TOPOLOGY = flags.DEFINE_string(
    'topology', '', 'With --dry_run: plan for such a machine, as v5e:4x4 or h100x8.'
)
_PRICE = flags.DEFINE_float(
    'price_per_hour', None, 'With --dry_run: of all devices; prints what the run costs.'
)
_QUICK = flags.DEFINE_bool(
    'quick', False, 'A test of the whole path: 10 steps, evaluated and saved at 5.'
)
_ALLOW_CHANGE = flags.DEFINE_list(
    'allow_change', [], 'Fields that may differ from the run in --workdir.'
)
_RESTART = flags.DEFINE_bool(
    'restart', False, 'Begin anew; the files of the run in --workdir are moved aside.'
)
_REPLAY = flags.DEFINE_integer(
    'replay', None, 'Print the loss and gradient of each pair in this step, and stop.'
)
_BASE = shared_flags.define_base()
flags.declare_key_flag('from_env')


def main() -> int:
    if not one_process.may_be_several():
        config = shared_flags.CONFIG.value()
        found = errors.gathered(
            _check_flags, lambda: dataset_folder.read_manifest(config.data.path)
        )
        errors.refuse(found)  # before JAX is imported
    # Whatever is wrong in one of several processes then ends the others too.
    described = topology.find(_TOPOLOGY.value) if _TOPOLOGY.value else None
    runtime.start(alone=described is not None)
    ending.print_only_warnings(peers.process())
    run = _checked()
    if _QUICK.value:
        print(_QUICK_SAID, flush=True)
    workdir = places.path(_WORKDIR.value)
    resume.check_names(_ALLOW_CHANGE.value, run)
    _check_same_command(run)
    goes_on = _WORKDIR.value and not _RESTART.value
    if goes_on:
        starting.check_config(run, workdir, _ALLOW_CHANGE.value)
    known = offline_plan.known(run) if _DRY_RUN.value else None
    if known:
        run, cache = known.run, known.cache
    else:
        run, _, cache = run_rows.find(run)
    begin = starting.progress(workdir) if goes_on else None
    setup = run_setup.prepare(run, cache, begin=begin, described=described)
    if _DRY_RUN.value:
        if not known:
            starting.check(
                setup,
                workdir if goes_on else None,
                base=_BASE.value,
                allow_change=_ALLOW_CHANGE.value,
            )
        _plan(setup, [known.note] if known else [])
        return 0
    print(planner.render(planner.make_plan(setup)), flush=True)
    capacity.check_state(setup)
    if _REPLAY.value is not None:
        print(replay_step.replay(setup, workdir, _REPLAY.value, base=_BASE.value))
        if first_process.is_here():
            results.give({'replay': replay_step.file_of(workdir, _REPLAY.value)})
        return 0
    try:
        summary = train_loop.train(
            setup,
            workdir,
            allow_change=_ALLOW_CHANGE.value,
            base=_BASE.value,
            restart=_RESTART.value,
        )
    except stops.StoppedError as error:
        advice = after_stop.advice(error, sys.argv[1:], run, workdir)
        raise FloatingPointError(f'{error}\n{advice}') from error
    print(run_summary.render(summary, workdir), flush=True)
    if first_process.is_here():
        _give(summary, workdir)
    return run_summary.exit_code(summary)


def _give(summary: run_summary.Summary, workdir: pathlib.Path) -> None:
    """Prints what the run's record shows, and where its page is; gives the JSON."""
    found = after_training.of(str(workdir))
    known = diagnosis.read(workdir)
    told = diagnosis.reminder(found, known)
    told += diagnosis.lines(found, most=3, known=known)
    print('\n'.join(told), flush=True)
    written, _ = page.write([str(workdir)])
    print(f'page: {written}', flush=True)
    results.give(
        {
            'workdir': workdir,
            **dataclasses.asdict(summary),
            'findings': [dataclasses.asdict(each) for each in found],
            'page': written,
        }
    )


def _plan(setup: run_setup.Setup, notes: list[tuple[str, str]]) -> None:
    """Prints what --dry_run asks for; `notes` end its table."""
    workdir = places.path(_WORKDIR.value) if _WORKDIR.value else None
    plan = step_plan.dry_run(setup, workdir, price=_PRICE.value, notes=notes)
    if first_process.is_here():
        results.give({'plan': plan})
    plain = not sys.stdout.isatty()
    plot = text_plot.draw_schedule(
        setup.schedule, num_steps=setup.num_steps, plain=plain
    )
    name = setup.run.optimizer.schedule
    print(f'learning rate by step ({name}):\n{plot}', flush=True)


def _check_flags() -> None:
    """Raises InputError, naming every flag that is wrong by itself."""
    errors.refuse(errors.gathered(_check_workdir, _check_replay, _check_plan_flags))


def _check_workdir() -> None:
    if not _WORKDIR.value and not _DRY_RUN.value:
        raise errors.InputError('--workdir is missing; give the folder of the run.')
    if _WORKDIR.value:
        places.check_workdir(places.path(_WORKDIR.value))
        dataset_folder.refuse_as_workdir(places.path(_WORKDIR.value))


def _check_replay() -> None:
    if _REPLAY.value is not None and (_RESTART.value or _DRY_RUN.value):
        raise errors.InputError(
            '--replay only looks at the run; leave out --restart and --dry_run.'
        )


def _checked() -> schema.Config:
    """The run that the flags ask for. Raises InputError if one of them is wrong."""
    _check_flags()
    run = shared_flags.CONFIG.value()
    return _quick(run) if _QUICK.value else run


def _check_same_command(run: schema.Config) -> None:
    """Raises InputError unless all processes have the same command and workdir."""
    agreement.check_command(
        run,
        {
            '--restart': _RESTART.value,
            '--allow_change': _ALLOW_CHANGE.value,
            '--dry_run': _DRY_RUN.value,
            '--replay': _REPLAY.value,
            'whether --base is given': bool(_BASE.value),
            'whether --workdir is given': bool(_WORKDIR.value),
        },
    )
    if _WORKDIR.value and not _DRY_RUN.value:
        same_run.check_shared(places.path(_WORKDIR.value))


def _check_plan_flags() -> None:
    """Raises InputError if a flag of --dry_run is given without it, or is no price."""
    for name, flag in (('topology', _TOPOLOGY), ('price_per_hour', _PRICE)):
        if flag.value and not _DRY_RUN.value:
            raise errors.InputError(
                f'--{name}={flag.value} belongs to a plan; add --dry_run, or leave it '
                'out.'
            )
    if _PRICE.value is not None and not 0 < _PRICE.value < math.inf:
        raise errors.InputError(
            f'--price_per_hour={_PRICE.value} is no price of an hour of all devices; '
            'use a number over 0, such as 12.5.'
        )


_QUICK_TRAIN = {
    'num_steps': 10,
    'num_epochs': 0.0,
    'log_every_steps': 1,
    'eval_every_steps': 5,
    'checkpoint_every_steps': 5,
}
_QUICK_SAID = '--quick: 10 steps, logged at each, evaluated and saved every 5'


def _quick(run: schema.Config) -> schema.Config:
    """The config cut to 10 steps, with everything else as it is.

    Raises:
      InputError: the command line sets one of the fields that --quick sets.
    """
    given = {argument.split('=')[0] for argument in sys.argv}
    twice = [f'--config.train.{name}' for name in _QUICK_TRAIN]
    twice = [name for name in twice if name in given]
    if twice:
        raise errors.InputError(
            f'--quick sets {", ".join(twice)} itself; remove one of the two.'
        )
    train = dataclasses.replace(run.train, **_QUICK_TRAIN)
    optimizer = dataclasses.replace(
        run.optimizer, warmup_steps=min(run.optimizer.warmup_steps, 2)
    )
    return dataclasses.replace(run, train=train, optimizer=optimizer)


if __name__ == '__main__':
    entry.run(
        main,
        prepare=lambda argv: shared_flags.CONFIG.check(old_variables.with_fields(argv)),
        check=_check_flags,
        smaller='raise --config.train.grad_accum_steps, or give '
        '--config.train.remat=block',
    )
