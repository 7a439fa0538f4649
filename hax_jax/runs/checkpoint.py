"""Saves and restores trees by Orbax, whose moving API is confined to this file.

`<folder>/<step>/` holds one tree or more, each a flat dictionary of dotted names:
`params` (the trained parameters: all of them, or the adapters), `optimizer`, `guard`
(guards/judge.py), and `other` where a run averages its weights: `params` has those that
were kept, plain or averaged, `other` the other ones of what moves; the metadata's
`kept` says which. The step's record is saved_steps.py's.

A save grows in `saving-<step>/`, gets its step.json last, and is renamed to `<step>/`.
At gs://, where no folder can be renamed, it grows in `<step>/` itself, and is a step
once its step.json is there; that is deleted first.
"""

import concurrent.futures
import contextlib
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from hax_jax import errors, files, places
from hax_jax.model import param_tree
from hax_jax.program import failures
from hax_jax.runs import saved_steps

PARAMS, OPTIMIZER, GUARD, OTHER = 'params', 'optimizer', 'guard', 'other'
KEPT, PLAIN, AVERAGE = 'kept', 'plain', 'average'  # in metadata, and its values
_SAVING = 'saving-'


def restore(path: pathlib.Path, abstract: dict[str, Any]) -> dict[str, Any]:
    """The trees of a step, each device reading its own part of each array.

    `abstract` has a tree of ShapeDtypeStructs with shardings for each that is wanted:
    {PARAMS: ..., OPTIMIZER: ...}.

    Raises:
      InputError: names every tensor that is missing, extra or misshapen.
    """
    wanted = {name: param_tree.named(tree) for name, tree in abstract.items()}
    loaded = _load(path, wanted)
    return {
        name: param_tree.like(tree, loaded[name]) for name, tree in abstract.items()
    }


def load_parameters(
    path: pathlib.Path, shapes: dict[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """The trained parameters of a step on this host: dotted name -> array.

    Raises:
      InputError: names every tensor that is missing, extra or misshapen.
    """
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    wanted = {
        name: jax.ShapeDtypeStruct(shape, np.float32, sharding=device)
        for name, shape in shapes.items()
    }
    loaded = _load(path, {PARAMS: wanted})[PARAMS]
    return {name: np.asarray(array) for name, array in loaded.items()}


def parts(path: pathlib.Path) -> list[str]:
    """The trees that a step holds: PARAMS, and of the others those that there are."""
    with _named_failure(path):
        stored = ocp.checkpointables_metadata(path.absolute()).metadata
    return [part for part in (PARAMS, OPTIMIZER, GUARD, OTHER) if part in stored]


def load_part(path: pathlib.Path, part: str) -> dict[str, np.ndarray]:
    """A tree of a step on this host as it is stored: dotted name -> array."""
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    with _named_failure(path):
        stored = ocp.checkpointables_metadata(path.absolute()).metadata[part]
        wanted = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device)
            for name, leaf in stored.items()
        }
        loaded = ocp.load_checkpointables(path.absolute(), {part: wanted})[part]
    return {name: np.asarray(array) for name, array in loaded.items()}


class Checkpoints:
    """Writes one run's checkpoints in the background. Close it, or use `with`.

    It keeps the last `keep_last` and the best `keep_best`, and deletes another one only
    when a newer step is whole. All processes of a run hold one and call it alike; the
    first process names and deletes folders.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        run_id: str = '',
        keep_last: int = 1,
        keep_best: int = 0,
        before_commit: Callable[[], None] = lambda: None,
        after_commit: Callable[[], None] = lambda: None,
    ) -> None:
        """Makes `folder`; saves and deletions that a kill cut short are removed.

        `before_commit` is called before a saved step gets its name, `after_commit` when
        it has it.
        """
        self.folder = folder
        self._run_id = run_id
        self._keep_last, self._keep_best = keep_last, keep_best
        self._before_commit, self._after_commit = before_commit, after_commit
        self._pool = concurrent.futures.ThreadPoolExecutor(1, 'checkpoint')
        self._running: concurrent.futures.Future[None] | None = None
        if jax.process_index() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.iterdir():
                if places.is_remote(left):
                    if left.name.isdigit() and not saved_steps.is_step(left):
                        left.delete_tree()
                elif left.name.startswith((_SAVING, saved_steps.DELETING)):
                    saved_steps.remove(left)
        # In memory, so that all processes know the same whatever their disks show.
        found = saved_steps.list_steps(folder, run_id)
        self._kept = [info for info in found if not info.problem]

    def __enter__(self) -> 'Checkpoints':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the save that is running, whose failure is raised here."""
        try:
            self.wait()
        finally:
            self._pool.shutdown()

    def steps(self) -> list[saved_steps.StepInfo]:
        """The checkpoints that are kept, oldest first, one that is being saved too."""
        return list(self._kept)

    def among_best(self, validation_loss: float) -> bool:
        """Whether a checkpoint of this loss would be one of the `keep_best` kept."""
        known = [saved.validation_loss for saved in self._kept]
        better = sum(loss is not None and loss <= validation_loss for loss in known)
        return better < self._keep_best

    def save(
        self,
        step: int,
        trees: dict[str, Any],
        *,
        validation_loss: float | None = None,
        metadata: dict[str, Any],
    ) -> None:
        """Starts to save trees of arrays under a step, once an earlier save has ended.

        `trees` are PARAMS, and OPTIMIZER where there is one. Their arrays may be
        donated as soon as this returns.

        Raises:
          FileExistsError: the step is there already.
        """
        self.wait()
        info = saved_steps.StepInfo(self.folder / str(step), validation_loss, metadata)
        if saved_steps.is_step(info.path):
            raise FileExistsError(f'{info.path} exists already.')
        response = ocp.save_checkpointables_async(
            self._saving(info),
            {name: param_tree.named(tree) for name, tree in trees.items()},
        )
        kept = self._retained([*self._kept, info])
        gone = [saved.path for saved in self._kept if saved not in kept]
        self._kept = kept
        self._running = self._pool.submit(self._commit, response, info, gone)

    def wait(self) -> None:
        """Waits for the save that is running; raises what made it fail."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def _saving(self, info: saved_steps.StepInfo) -> pathlib.Path:
        if places.is_remote(info.path):
            return info.path
        return (self.folder / f'{_SAVING}{info.step}').absolute()

    def _retained(
        self, steps: list[saved_steps.StepInfo]
    ) -> list[saved_steps.StepInfo]:
        evaluated = [step for step in steps if step.validation_loss is not None]
        best = sorted(evaluated, key=lambda s: (s.validation_loss, s.step))
        best = best[: self._keep_best]
        return [s for s in steps if s in steps[-self._keep_last :] or s in best]

    def _commit(
        self, response: Any, info: saved_steps.StepInfo, gone: list[pathlib.Path]
    ) -> None:
        try:
            response.result()
        except Exception as error:
            if failed := places.failure(error, info.path):
                raise failed from error
            self._remove_failed(info)
            raise
        if jax.process_index():
            return
        saving = self._saving(info)
        if places.is_remote(saving):
            record = saved_steps.record(saving, info, self._run_id)
            self._before_commit()
            files.write_json(saving / saved_steps.RECORD, record)
        else:
            saved_steps.write_record(saving, info, self._run_id)
            self._before_commit()
            files.rename(saving, info.path)
        self._after_commit()
        for path in gone:
            if not saved_steps.kept_for(path):
                saved_steps.delete(path)

    def _remove_failed(self, info: saved_steps.StepInfo) -> None:
        """Gives back the room of a save that failed; what resists goes with a start."""
        if jax.process_index() or places.is_remote(info.path):
            return
        until = time.monotonic() + sum(saved_steps.PATIENCE)
        for thread in threading.enumerate():  # Orbax has told of the first that failed
            if type(thread).__module__.startswith('orbax.'):
                with contextlib.suppress(Exception):  # which its join raises
                    thread.join(max(0, until - time.monotonic()))
        for left in self.folder.glob(f'{_SAVING}{info.step}*'):
            with contextlib.suppress(OSError):
                saved_steps.remove(left)


def _load(path: pathlib.Path, wanted: dict[str, dict[str, Any]]) -> dict[str, Any]:
    # Orbax pads or cuts an array of another shape in silence, so look first.
    with _named_failure(path):
        stored = ocp.checkpointables_metadata(path.absolute()).metadata
        found = {
            part: {name: tuple(leaf.shape) for name, leaf in stored[part].items()}
            for part in wanted
        }
    problems = []
    for part, leaves in wanted.items():
        for name in sorted(leaves.keys() - found[part].keys()):
            problems.append(f'{part}: {name} is missing')
        for name in sorted(found[part].keys() - leaves.keys()):
            problems.append(f'{part}: {name} is extra')
        problems += [
            f'{part}: {name} has shape {found[part][name]}, wanted {leaf.shape}'
            for name, leaf in leaves.items()
            if name in found[part] and found[part][name] != tuple(leaf.shape)
        ]
    if problems:
        raise errors.InputError(
            f'checkpoint {path} is of another model or optimizer:\n'
            + '\n'.join(problems)
        )
    with _named_failure(path):
        return ocp.load_checkpointables(path.absolute(), wanted)


@contextlib.contextmanager
def _named_failure(path: pathlib.Path) -> Iterator[None]:
    """Turns what Orbax raises on a damaged checkpoint into one error that names it.

    Damaged is what has other bytes than were written. Orbax also fails where memory is
    short, or where a store refuses for a moment, which it does not always say.
    """
    try:
        yield
    except Exception as error:  # Orbax raises many kinds
        if errors.is_of_machine(error) or failures.out_of_memory(error):
            raise
        if failed := places.failure(error, path):
            raise failed from error
        if not saved_steps.is_step(path):
            raise errors.InputError(
                f'checkpoint {path} is gone: launch.train, which trains the run, '
                'deleted it a moment ago, having newer ones. Give the same command '
                'again.'
            ) from error
        said = f'Orbax said: {errors.first_line(error)}'
        if saved_steps.is_whole(path):
            raise errors.InputError(
                f'checkpoint {path} can not be read, though its bytes are those that '
                f'were written; give the same command again. {said}'
            ) from error
        raise errors.InputError(
            f'checkpoint {path} is damaged; move that folder away, and an earlier step '
            f'is taken. {said}'
        ) from error
