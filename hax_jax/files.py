"""Files and folders written whole or not at all, by a temporary name; file locks.

At gs:// an object is written whole by the store, and a lock is `store/lease.py`.
"""

import contextlib
import errno
import fcntl
import io
import itertools
import json
import os
import pathlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from hax_jax import errors, places

AnyPath = places.AnyPath
LockedError = errors.LockedError


def write_text(path: AnyPath, text: str) -> None:
    """Replaces the text file at `path`: after a crash it has the old text or the new.

    Makes missing folders.
    """
    with _replacing(path) as file:
        file.write(text)


def write_lines(path: AnyPath, lines: Iterable[str]) -> int:
    """As `write_text`, line by line; returns the number of lines.

    If `lines` raises, `path` does not change.
    """
    count = 0
    with _replacing(path) as file:
        for line in lines:
            file.write(line + '\n')
            count += 1
    return count


def write_json(path: AnyPath, value: Any) -> None:
    """Writes `json_text(value)`, as `write_text` writes."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Indented JSON for people to read, keys in the order given."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + '\n'


def json_line(value: Any) -> str:
    """The value as JSON on one line. Raises ValueError for NaN and infinity."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def write_json_lines(path: AnyPath, rows: Iterable[Any]) -> None:
    """Writes one JSON value a line, as `write_text` writes."""
    write_lines(path, map(json_line, rows))


def read_json_object(path: AnyPath) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
      OSError: the file can't be read.
      ValueError: it is not JSON, or its value is not an object.
    """
    try:
        value = json.loads(places.path(path).read_text(encoding='utf-8'))
    except UnicodeDecodeError as error:
        raise ValueError('it is not UTF-8 text') from error
    except json.JSONDecodeError as error:
        at = f'line {error.lineno}, column {error.colno}'
        raise ValueError(f'it is not JSON at {at}') from error
    if not isinstance(value, dict):
        raise ValueError('its JSON is not an object, {...}')
    return value


@contextlib.contextmanager
def new_folder(path: AnyPath, *, replace: bool = False) -> Iterator[pathlib.Path]:
    """Yields a folder to fill, which becomes `path` when the block ends.

    If the block raises, the folder is removed and `path` does not change. At gs:// the
    objects go up one by one when the block ends: something written after them has to
    vouch for them.

    Raises:
      FileExistsError: `path` exists and `replace` is false.
    """
    path = places.path(path)
    if path.exists() and not replace:
        raise FileExistsError(f'{path} exists already.')
    if places.is_remote(path):
        with tempfile.TemporaryDirectory() as made:
            folder = pathlib.Path(made)
            yield folder
            path.delete_tree()
            for file in sorted(p for p in folder.rglob('*') if p.is_file()):
                (path / file.relative_to(folder)).write_bytes(file.read_bytes())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        with named(path, temporary=temporary):
            temporary.mkdir()
            yield temporary
            for file in temporary.rglob('*'):
                _fsync_folder(file)
            if path.exists():
                old = _beside(path)
                path.rename(old)
                temporary.rename(path)
                shutil.rmtree(old)
            else:
                temporary.rename(path)
        _fsync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def rename(path: AnyPath, to: AnyPath) -> None:
    """Renames a file or folder within one folder; a crash does not undo it.

    At gs:// everything is copied, then deleted; a kill leaves both, or one.
    """
    path, to = places.path(path), places.path(to)
    if places.is_remote(path):
        path.move_to(to)
        return
    path.rename(to)
    _fsync_folder(to.parent)


def aside(path: AnyPath, folder: AnyPath) -> pathlib.Path:
    """Moves a file or folder into `folder`, under its name or 'name-2', 'name-3'..."""
    path, folder = places.path(path), places.path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = (f'{path.name}-{n}' if n > 1 else path.name for n in itertools.count(1))
    target = next(folder / name for name in names if not (folder / name).exists())
    rename(path, target)
    return target


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# numpy and safetensors raise an OSError of words alone.
_FULL_WORDS = re.compile(r'requested and \d+ written|No space left')
_CODE_WORDS = re.compile(r'os error (\d+)')


@contextlib.contextmanager
def named(path: AnyPath, *, temporary: pathlib.Path | None = None) -> Iterator[None]:
    """Gives errors the path: of a full disk, which have none, and of `temporary`."""
    try:
        yield
    except OSError as error:
        code, at = error.errno, error.filename
        if (
            temporary
            and isinstance(at, str | bytes | os.PathLike)
            and pathlib.Path(os.fsdecode(at)).is_relative_to(temporary)
        ):
            raise OSError(code, error.strerror, os.fspath(path)) from error
        if code is None and (found := _CODE_WORDS.search(str(error))):
            code = int(found[1])
        elif code is None and _FULL_WORDS.search(str(error)):
            code = errno.ENOSPC
        if code not in _FULL or error.filename is not None:
            raise
        raise OSError(code, os.strerror(code), os.fspath(path)) from error


@contextlib.contextmanager
def locked(path: AnyPath, *, wait: bool) -> Iterator[None]:
    """Holds the lock of the file at `path`, against other processes.

    The end of a process frees it. Raises LockedError if another process holds the lock
    and `wait` is false.
    """
    path = places.path(path)
    if places.is_remote(path):
        with places.locked(path):
            yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not wait:
                raise LockedError(path) from error
            print(f'waiting for another process: {path}', flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def work_folder(path: AnyPath) -> Iterator[pathlib.Path]:
    """Yields an empty hidden folder beside `path`, removed when the block ends.

    Files that a killed process left in it are removed first. Raises LockedError if
    another process works on the same `path`.
    """
    path = pathlib.Path(path)
    folder = path.with_name(f'.{path.name}.work')
    lock = folder / 'lock'
    with named(path, temporary=folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(lock, wait=False):
            for left in folder.iterdir():
                if left.is_dir():
                    shutil.rmtree(left)
                elif left != lock:
                    left.unlink()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _replacing(path: AnyPath) -> Iterator[TextIO]:
    """Yields a text file to write, which becomes `path` unless the block raises."""
    path = places.path(path)
    if places.is_remote(path):
        text = io.StringIO(newline='')
        yield text
        path.write_text(text.getvalue())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    with named(path, temporary=temporary):
        try:
            with open(temporary, 'w', encoding='utf-8', newline='') as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    _fsync_folder(path.parent)


def _beside(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f'.{path.name}.{uuid.uuid4().hex[:8]}.tmp')


def _fsync_folder(path: pathlib.Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
