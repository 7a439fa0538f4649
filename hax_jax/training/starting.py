"""A call of `train` before its first step: whose folder, which base, which state."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator

import jax

from hax_jax import errors, files
from hax_jax.formats import pretrained
from hax_jax.runs import checkpoint, restore, run_folder
from hax_jax.training import history, resume, run_setup
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
            with contextlib.suppress(OSError):  # it holds files of somebody else
                workdir.rmdir()


def claim(
    setup: run_setup.Setup, workdir: pathlib.Path, *, base: str, allow_change: list[str]
) -> pretrained.Base | None:
    """Makes `workdir` this run's folder, or checks that it is already.

    Returns the pretrained parameters that the run starts, or started, from.

    Raises:
      InputError: the run there is another one, or its base is gone.
    """
    is_run = (workdir / 'run.json').is_file()
    then = run_folder.read_run(workdir) if is_run else None
    source = _find_base(setup, workdir, then, base)
    now = run_folder.identity(
        setup.run,
        source,
        tokenizer=setup.cache.meta['tokenizer'],
        template=setup.cache.meta['template'],
        dataset=setup.cache.fingerprint,
    )
    if then is not None:
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
        now = {
            **then,
            'base': now['base'],
            'dataset': now['dataset'],
            'changes': then['changes'] + changed,
        }
    if jax.process_index() == 0:
        folder = workdir / run_folder.TOKENIZER
        if not folder.exists():
            shutil.copytree(setup.cache.path / run_folder.TOKENIZER, folder)
        run_folder.write(workdir, setup.run, now)
    return source


def first_state(
    setup: run_setup.Setup,
    source: pretrained.Base | None,
    checkpoints: checkpoint.Checkpoints,
) -> tuple[ts.TrainState, history.History]:
    """The state that this call goes on from, and the evaluations up to it.

    It is drawn, or the base's, or the latest checkpoint's.
    """
    state = ts.create(
        setup.blueprint,
        seed=setup.run.train.seed,
        base=source.parameters if source else None,
    )
    saved = checkpoints.steps()
    if not saved:
        return state, history.History()
    step = saved[-1].step
    losses = [(each.step, each.validation_loss) for each in saved]
    past = history.read(checkpoints.metadata(step), losses)
    return resume.restored(setup, state, checkpoints, step), past


def _find_base(
    setup: run_setup.Setup, workdir: pathlib.Path, then: dict | None, base: str
) -> pretrained.Base | None:
    if not setup.run.model.pretrained:
        return None
    if then and then.get('base'):
        return restore.load_run_base(workdir, base=base or setup.run.model.pretrained)
    if then and then.get('imported'):
        return None  # its parameters are in its checkpoints
    return restore.load_base(setup.run.model.pretrained)


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
