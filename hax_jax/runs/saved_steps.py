"""The saved steps of a run: which there are, whether they are whole, who needs them.

Orbax checks no byte of a tensor, so a step's `step.json`, sealed, has the SHA-256 of
every file, with the run's id, the validation loss and the caller's metadata. A folder
that has a number for its name was whole once; at gs://, one that has its step.json.
"""

import dataclasses
import errno
import functools
import pathlib
import shutil
import time
from collections.abc import Iterable
from typing import Any

from hax_jax import digests, errors, files, places

RECORD = 'step.json'
DELETING = 'deleting-'
PATIENCE = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # seconds between tries to remove a folder
_LOSS = 'validation_loss'


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

    def is_gone(self) -> bool:
        """Whether the step was deleted since, as a run in training does."""
        return not is_step(self.path)

    def damage(self) -> str:
        """What is wrong with the checkpoint, '' if nothing is; reads all its bytes."""
        if self.problem or self.digests is None:
            return self.problem
        try:
            return _damage(self.path, tuple(self.digests.items()), _state_of(self.path))
        except OSError as error:  # the disk fails, or the run has just deleted it
            if errors.is_of_machine(error):
                raise
            return f'it can not be read ({errors.cause(error)})'


def list_steps(folder: pathlib.Path, run_id: str) -> list[StepInfo]:
    """The checkpoints in a folder, by step, damaged ones too; reads their records only.

    `run_id` is '' for a run of an older version, whose steps may have no record.
    """
    return [_read_info(path, run_id) for path in step_folders(folder)]


def step_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders of the steps in a folder, by number; their records are not read."""
    numbered = [p for p in folder.glob('*') if p.name.isdigit() and is_step(p)]
    return sorted(numbered, key=lambda p: int(p.name))


def is_step(path: pathlib.Path) -> bool:
    return (path / RECORD).exists() if places.is_remote(path) else path.is_dir()


def is_whole(path: pathlib.Path) -> bool:
    """Whether a step has the bytes that were written; not if none says which."""
    info = _read_info(path, '')
    return info.digests is not None and not info.damage()


def first_whole(candidates: Iterable[StepInfo]) -> tuple[StepInfo | None, list[str]]:
    """The first of them that is whole, and a line for each that was passed over.

    Reads every byte of those that it looks at. One that is gone by then has no line.
    """
    passed_over = []
    for info in candidates:
        damage = info.damage()
        if not damage:
            return info, passed_over
        if info.is_gone():
            continue
        passed_over.append(f'step {info.step} is damaged: {damage}')
    return None, passed_over


def delete(path: pathlib.Path) -> None:
    """Deletes a step; what a kill leaves of it is no step, and goes with the next."""
    if places.is_remote(path):
        path.delete_tree(first=RECORD)
        _keep_file(path).unlink(missing_ok=True)
        return
    deleting = path.with_name(f'{DELETING}{path.name}')
    path.rename(deleting)
    _keep_file(path).unlink(missing_ok=True)
    remove(deleting)


def remove(folder: pathlib.Path) -> None:
    """Removes a folder into which threads of a failed save may write for a while."""
    for seconds in PATIENCE:
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
    """Writes the `record` of a step."""
    files.write_json(folder / RECORD, record(folder, info, run_id))


def record(folder: pathlib.Path, info: StepInfo, run_id: str) -> dict[str, Any]:
    """The sealed step.json of a step whose files, all there, lie in `folder`."""
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
        problem = f'its metadata is damaged: {errors.first_line(error)}'
        return StepInfo(path, problem=problem)
    return StepInfo(path, loss, metadata)
