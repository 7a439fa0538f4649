"""A run's folder before its first step: whose it is, and what is in it already."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator

import jax
import numpy as np

from hax_jax import errors, files
from hax_jax.devices import runtime
from hax_jax.formats import pretrained
from hax_jax.model import param_tree
from hax_jax.runs import checkpoint, restore, run_folder
from hax_jax.training import optimizer, resume, run_setup
from hax_jax.training import train_state as ts


@contextlib.contextmanager
def only_writer(workdir: pathlib.Path) -> Iterator[None]:
    """Refuses a workdir that another process is writing."""
    try:
        with files.locked(workdir / 'lock', wait=False):
            yield
    except files.LockedError as error:
        raise errors.InputError(
            f'another launch.train is writing {workdir}; wait for it, stop it, or use '
            'another --workdir.'
        ) from error
    finally:
        if not (workdir / 'run.json').exists():  # refused before it became a run
            (workdir / 'lock').unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # what else is there is not ours
                workdir.rmdir()


def find_base(
    setup: run_setup.Setup, workdir: pathlib.Path, *, old: bool, base: str
) -> pretrained.Base | None:
    """The pretrained parameters that the run starts, or started, from."""
    if not setup.run.model.pretrained:
        return None
    then = run_folder.read_run(workdir) if old else {}
    if then.get('base'):
        return restore.load_run_base(workdir, base=base or setup.run.model.pretrained)
    if then.get('imported'):
        return None  # its parameters are in its checkpoints
    return restore.load_base(setup.run.model.pretrained)


def claim(
    setup: run_setup.Setup,
    workdir: pathlib.Path,
    source: pretrained.Base | None,
    *,
    old: bool,
    allow_change: list[str],
) -> None:
    """Makes `workdir` this run's folder, or checks that it is already."""
    now = run_folder.identity(setup.run, setup.cache, source)
    if old:
        then = run_folder.read_run(workdir)
        changed = resume.changes(
            then,
            now,
            run_folder.read_config(workdir),
            setup.run,
            allow_change=allow_change,
        )
        _check_length(workdir, setup.num_steps, changed, allow_change)
        for line in changed:
            print(f'changed: {line}', flush=True)
        changed = then['changes'] + changed
        now = {
            **then,
            'base': now['base'],
            'dataset': now['dataset'],
            'changes': changed,
        }
    if jax.process_index() == 0:
        folder = workdir / run_folder.TOKENIZER
        if not folder.exists():
            shutil.copytree(setup.cache.path / run_folder.TOKENIZER, folder)
        run_folder.write(workdir, setup.run, now)


def _check_length(
    workdir: pathlib.Path, num_steps: int, changed: list[str], allow_change: list[str]
) -> None:
    """Raises InputError if the run is past its new end, or changes after its end."""
    folders = (workdir / run_folder.CHECKPOINTS).glob('*')
    done = max((int(path.name) for path in folders if path.name.isdigit()), default=0)
    if done > num_steps:
        raise errors.InputError(
            f'{workdir} has done {done} steps already, and the config asks for '
            f'{num_steps}; give train.num_steps={done} or more.'
        )
    allowed = [line for line in changed if line.split(':')[0] in allow_change]
    if done == num_steps and allowed:
        raise errors.InputError(
            f'{workdir} has done all its {done} steps, so nothing would be trained '
            f'with {"; ".join(allowed)}; raise train.num_steps too.'
        )


def restored(
    state: ts.TrainState,
    step: int,
    checkpoints: checkpoint.Checkpoints,
    setup: run_setup.Setup,
) -> ts.TrainState:
    then = checkpoints.metadata(step)
    print(f'continuing from step {step} of {setup.num_steps}', flush=True)
    if 'imported' in then:
        print(
            f'the parameters are those of {then["imported"]}; the moments begin at '
            f'zero and the learning rate is that of step {step}',
            flush=True,
        )
        params, _ = checkpoints.restore(step, setup.blueprint, with_optimizer=False)
        opt_state = optimizer.starting_at(state.opt_state, step)
        placed = param_tree.place(
            np.asarray(step, np.int32), setup.blueprint.shardings.step
        )
        return ts.TrainState(placed, params, state.frozen, opt_state)
    if then['num_steps'] != setup.num_steps:
        print(
            f'the run is now {setup.num_steps} steps long, not {then["num_steps"]}: '
            'the learning rate follows the new length from here on',
            flush=True,
        )
    differences = runtime.differences(then['environment'], run_setup.environment(setup))
    for line in differences:
        print(f'environment differs: {line}', flush=True)
    if differences:
        print(
            'so what follows equals an uninterrupted run up to float noise, not bit '
            'for bit',
            flush=True,
        )
    params, opt_state = checkpoints.restore(step, setup.blueprint)
    placed = param_tree.place(
        np.asarray(step, np.int32), setup.blueprint.shardings.step
    )
    return ts.TrainState(placed, params, state.frozen, opt_state)
