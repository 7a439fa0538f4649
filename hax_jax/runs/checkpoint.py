"""Checkpoints: trees that Orbax stores, and a record that vouches for their bytes.

Orbax's moving API is confined to this file. `<folder>/<step>/` holds one tree or more,
each a flat dictionary of dotted names: `params` (the trained parameters: all of them,
or the adapters), `optimizer`, `guard` (guards/judge.py), and `other` where a run
averages its weights: `params` has those that were kept, plain or averaged, `other` the
other ones of what moves; the metadata's `kept` says which. Orbax checks no byte of a
tensor, so the step's `step.json`, sealed, has the SHA-256 of every file, with the run's
id, the validation loss and the caller's metadata.

A save grows in `saving-<step>/`, gets its step.json last, and is renamed to `<step>/`:
a folder that has a number for its name was whole once. At gs://, where no folder can be
renamed, it grows in `<step>/` itself, and is a step once its step.json is there; that
is deleted first.
"""

import concurrent.futures
import contextlib
import dataclasses
import errno
import functools
import pathlib
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from hax_jax import digests, errors, files, places
from hax_jax.model import param_tree

PARAMS, OPTIMIZER, GUARD, OTHER = 'params', 'optimizer', 'guard', 'other'
KEPT, PLAIN, AVERAGE = 'kept', 'plain', 'average'  # in metadata, and its values
RECORD = 'step.json'
_SAVING, _DELETING = 'saving-', 'deleting-'
_LOSS = 'validation_loss'
_PATIENCE = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # seconds between tries to remove a folder


@dataclasses.dataclass(frozen=True)
class StepInfo:
    """A checkpoint as its record describes it.

    `validation_loss` is None if it was not evaluated; `metadata` is the caller's.
    `problem` says what is wrong with the record, '' if nothing is. `digests` is None
    where an older version saved, which kept none.
    """

    path: pathlib.Path
    validation_loss: float | None = None
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    problem: str = ''
    digests: dict[str, str] | None = None

    @property
    def step(self) -> int:
        return int(self.path.name)

    def damage(self) -> str:
        """What is wrong with the checkpoint, '' if nothing is; reads all its bytes."""
        if self.problem or self.digests is None:
            return self.problem
        try:
            return _damage(self.path, tuple(self.digests.items()), _state_of(self.path))
        except OSError as error:  # the disk fails, or the run has just deleted it
            return f'it can not be read ({errors.cause(error)})'


def list_steps(folder: pathlib.Path, run_id: str) -> list[StepInfo]:
    """The checkpoints in a folder, by step, damaged ones too; reads their records only.

    `run_id` is '' for a run of an older version, whose steps may have no record.
    """
    return [_read_info(path, run_id) for path in step_folders(folder)]


def step_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders of the steps in a folder, by number; their records are not read."""
    numbered = [p for p in folder.glob('*') if p.name.isdigit() and _is_step(p)]
    return sorted(numbered, key=lambda p: int(p.name))


def _is_step(path: pathlib.Path) -> bool:
    return (path / RECORD).exists() if places.is_remote(path) else path.is_dir()


def first_whole(candidates: Iterable[StepInfo]) -> tuple[StepInfo | None, list[str]]:
    """The first of them that is whole, and a line for each that was passed over.

    Reads every byte of those that it looks at.
    """
    passed_over = []
    for info in candidates:
        damage = info.damage()
        if not damage:
            return info, passed_over
        passed_over.append(f'step {info.step} is damaged: {damage}')
    return None, passed_over


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
                    if left.name.isdigit() and not _is_step(left):
                        left.delete_tree()
                elif left.name.startswith((_SAVING, _DELETING)):
                    _remove(left)
        # In memory, so that all processes know the same whatever their disks show.
        self._kept = [s for s in list_steps(folder, run_id) if not s.problem]

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

    def steps(self) -> list[StepInfo]:
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
        info = StepInfo(self.folder / str(step), validation_loss, metadata)
        if _is_step(info.path):
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

    def _saving(self, info: StepInfo) -> pathlib.Path:
        if places.is_remote(info.path):
            return info.path
        return (self.folder / f'{_SAVING}{info.step}').absolute()

    def _retained(self, steps: list[StepInfo]) -> list[StepInfo]:
        evaluated = [step for step in steps if step.validation_loss is not None]
        best = sorted(evaluated, key=lambda s: (s.validation_loss, s.step))
        best = best[: self._keep_best]
        return [s for s in steps if s in steps[-self._keep_last :] or s in best]

    def _commit(self, response: Any, info: StepInfo, gone: list[pathlib.Path]) -> None:
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
            record = _record(saving, info, self._run_id)
            self._before_commit()
            files.write_json(saving / RECORD, record)
        else:
            write_record(saving, info, self._run_id)
            self._before_commit()
            files.rename(saving, info.path)
        self._after_commit()
        for path in gone:
            if kept_for(path):
                continue
            delete(path)

    def _remove_failed(self, info: StepInfo) -> None:
        """Gives back the room of a save that failed; what resists goes with a start."""
        if jax.process_index() or places.is_remote(info.path):
            return
        until = time.monotonic() + sum(_PATIENCE)
        for thread in threading.enumerate():  # Orbax has told of the first that failed
            if type(thread).__module__.startswith('orbax.'):
                with contextlib.suppress(Exception):  # which its join raises
                    thread.join(max(0, until - time.monotonic()))
        for left in self.folder.glob(f'{_SAVING}{info.step}*'):
            with contextlib.suppress(OSError):
                _remove(left)


def delete(path: pathlib.Path) -> None:
    """Deletes a step; what a kill leaves of it is no step, and goes with the next."""
    if places.is_remote(path):
        path.delete_tree(first=RECORD)
        _keep_file(path).unlink(missing_ok=True)
        return
    deleting = path.with_name(f'{_DELETING}{path.name}')
    path.rename(deleting)
    _keep_file(path).unlink(missing_ok=True)
    _remove(deleting)


def _remove(folder: pathlib.Path) -> None:
    """Removes a folder into which threads of a failed save may write for a while."""
    for seconds in _PATIENCE:
        try:
            return shutil.rmtree(folder)
        except FileNotFoundError:  # a temporary file of theirs got its name
            if not folder.exists():
                return None
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
        time.sleep(seconds)
    return shutil.rmtree(folder)


def keep(path: pathlib.Path, workdir: pathlib.Path) -> None:
    """Keeps a step from being deleted by its own run: the run in `workdir` needs it."""
    known = kept_for(path)
    if str(workdir.absolute()) not in known:
        text = '\n'.join([*known, str(workdir.absolute())])
        files.write_text(_keep_file(path), f'{text}\n')


def kept_for(path: pathlib.Path) -> list[str]:
    """The workdirs of the runs that stand on a step."""
    file = _keep_file(path)
    return file.read_text('utf-8').splitlines() if file.exists() else []


def _keep_file(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f'keep-{path.name}')


def write_record(folder: pathlib.Path, info: StepInfo, run_id: str) -> None:
    """Writes the step.json of a step whose files, all there, lie in `folder`."""
    files.write_json(folder / RECORD, _record(folder, info, run_id))


def _record(folder: pathlib.Path, info: StepInfo, run_id: str) -> dict[str, Any]:
    record = {
        'run': run_id,
        'step': info.step,
        _LOSS: info.validation_loss,
        'metadata': info.metadata,
        'files': digests.of_folder(folder, leave_out=(RECORD,)),
    }
    return digests.sealed(record)


@functools.lru_cache(maxsize=16)  # a program looks at a step more than once
def _damage(path: pathlib.Path, expected: tuple[tuple[str, str], ...], _: Any) -> str:
    return '; '.join(digests.problems(path, dict(expected), leave_out=(RECORD,)))


def _state_of(folder: pathlib.Path) -> tuple[tuple[str, int, int], ...]:
    """Each path below a folder with its size and its time of change, or generation."""
    if places.is_remote(folder):
        objects = folder.objects().items()
        return tuple((name, found.size, found.generation) for name, found in objects)
    found = [(path, path.stat()) for path in sorted(folder.rglob('*'))]
    return tuple((str(path), s.st_size, s.st_mtime_ns) for path, s in found)


def _read_info(path: pathlib.Path, run_id: str) -> StepInfo:
    if not run_id and not (path / RECORD).exists():
        return _read_without_record(path)
    try:
        record = digests.read_sealed(path / RECORD)
    except errors.InputError as error:
        return StepInfo(path, problem=str(error).removesuffix('.'))
    info = StepInfo(path, record[_LOSS], record['metadata'], '', record['files'])
    if record['step'] != info.step:
        problem = f'its {RECORD} is of step {record["step"]}'
    elif run_id and record['run'] != run_id:
        problem = f'its {RECORD} is of another run'
    else:
        return info
    return dataclasses.replace(info, problem=problem)


def _read_without_record(path: pathlib.Path) -> StepInfo:
    """A step that an older version saved: Orbax held its loss and its metadata."""
    loss = None
    try:
        stored = files.read_json_object(path / '_CHECKPOINT_METADATA')
        metadata = stored['custom_metadata'] or {}
        if (path / 'metrics').exists():
            loss = float(files.read_json_object(path / 'metrics' / 'metrics')[_LOSS])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return StepInfo(path, problem=f'its metadata is damaged: {_first_line(error)}')
    return StepInfo(path, loss, metadata)


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
    """Turns what Orbax raises on a damaged checkpoint into one error that names it."""
    try:
        yield
    except Exception as error:  # Orbax raises many kinds
        if failed := places.failure(error, path):
            raise failed from error
        raise errors.InputError(
            f'checkpoint {path} is damaged; move that folder away, and an earlier step '
            f'is taken. Orbax said: {_first_line(error)}'
        ) from error


def _first_line(error: Exception) -> str:
    return f'{type(error).__name__}: {error}'.split('\n')[0][:200]
