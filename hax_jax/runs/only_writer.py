"""The one process that writes a workdir, which may move the run there aside."""

import contextlib
import itertools
import pathlib
from collections.abc import Iterator

from hax_jax import errors, files, places
from hax_jax.runs import run_folder, saved_steps

_LOCK = 'lock'


@contextlib.contextmanager
def held(workdir: pathlib.Path) -> Iterator[None]:
    """Refuses a workdir that another process is writing."""
    is_held = False
    try:
        with files.locked(workdir / _LOCK, wait=False):
            is_held = True
            yield
    except files.LockedError as error:
        who = f' ({error})' if places.is_remote(workdir) else ''
        raise errors.InputError(
            f'another launch.train is writing {workdir}{who}; wait for it, stop it, or '
            'use another --workdir.'
        ) from error
    finally:
        if is_held and not places.is_remote(workdir):
            _remove_traces(workdir)


def still_held(workdir: pathlib.Path) -> None:
    """Raises InputError if this process has lost the workdir's lock."""
    places.still_locked(workdir / _LOCK)


def _remove_traces(workdir: pathlib.Path) -> None:
    """Removes what a refused call leaves in a folder where no run was begun."""
    if not any((workdir / name).exists() for name in places.TRACES):  # refused, no run
        for name in (_LOCK, run_folder.UNSAVED):
            (workdir / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds files of somebody else
            workdir.rmdir()


def move_aside(workdir: pathlib.Path) -> None:
    """Moves the run in `workdir` into its folder old-1, or old-2, and so on."""
    names = [p.name for p in workdir.glob('*') if not p.name.startswith('old-')]
    names = [name for name in names if name != _LOCK]
    if not any(name in places.TRACES for name in names):
        return
    taken = (workdir / f'old-{n}' for n in itertools.count(1))
    folder = next(path for path in taken if not path.exists())
    steps = saved_steps.step_folders(workdir / run_folder.CHECKPOINTS)
    others = sorted({run for step in steps for run in saved_steps.kept_for(step)})
    for name in sorted(names, key=lambda name: name != 'run.json'):
        files.aside(workdir / name, folder)
    print(f'the run in {workdir} was moved aside, to {folder}', flush=True)
    if others:
        print(
            f'WARNING: it is the base of {", ".join(others)}, which find it from now '
            f'on with --base={folder} alone',
            flush=True,
        )
