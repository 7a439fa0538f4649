"""Where a path may lie: on a local disk, or at gs://; every other scheme is refused."""

import contextlib
import os
import pathlib
import re
import threading
from collections.abc import Iterator
from typing import Any

from hax_jax import errors

AnyPath = str | os.PathLike[str]
_SCHEME = re.compile(r'([A-Za-z][A-Za-z0-9+.-]*)://')
_AS_PATH = re.compile(r'[A-Za-z][A-Za-z0-9+.-]+:/')  # pathlib drops a slash
_BUCKET = re.compile(r'gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?', re.DOTALL)
_REACH_SECONDS = 20.0


def path(text: AnyPath) -> pathlib.Path:
    """The path that a text names: pathlib's, or for gs:// one with its interface.

    Raises:
      InputError: another scheme, a gs:// URL without a bucket, or gcsfs is missing.
    """
    if isinstance(text, pathlib.Path):
        return text
    text = os.fspath(text)
    scheme = _SCHEME.match(text)
    if not scheme:
        if text.startswith('gs:'):
            raise errors.InputError(
                f'{text!r} is no place for files; give gs://BUCKET/FOLDER, or ./{text} '
                'for a folder here.'
            )
        return pathlib.Path(text)
    if scheme[1] != 'gs':
        raise errors.InputError(
            f'{text!r}: {scheme[1]}:// is no place for files here; give a local path '
            'or gs://BUCKET/FOLDER.'
        )
    if not _BUCKET.fullmatch(text):
        raise errors.InputError(f'{text!r} names no bucket; give gs://BUCKET/FOLDER.')
    try:
        from hax_jax.store import gs_path
    except ImportError as error:
        raise errors.InputError(
            f'{text}: gs:// needs the package gcsfs ({error}); pip install gcsfs, or '
            'give a local path.'
        ) from error
    return gs_path.GsPath(text)


def is_remote(place: AnyPath) -> bool:
    """Whether a path is at gs://."""
    return os.fspath(place).startswith('gs://')


def refuse_remote(name: str, value: str) -> list[str]:
    """A sentence if `--name=value` is no local path; [] if it is one."""
    if not _AS_PATH.match(value):
        return []
    return [
        f'--{name}={value} is not a local path; give one, and copy it with `gcloud '
        'storage cp -r`.'
    ]


# Folders that are whole as they are: digests list the files of each, or the program
# that makes it takes them for its own. The file beside them -> their names.
_OWN_PARTS = {
    'run.json': ('checkpoints', 'tokenizer', 'base', 'damaged'),
    'manifest.json': ('tfds', 'packed', 'tokenizers', 'grown'),
}


def refuse_inside(name: str, place: pathlib.Path) -> list[str]:
    """A sentence if `--name=place` lies within a part of a run or dataset; else [].

    A file put into a step's folder is damage to that step.
    """
    if is_remote(place):
        return []
    whole = place.expanduser().resolve()
    for part in (whole, *whole.parents):
        for mark, parts in _OWN_PARTS.items():
            if part.name in parts and (part.parent / mark).is_file():
                kind = 'run' if mark == 'run.json' else 'dataset'
                return [
                    f'--{name}={place} lies in {part}, which holds files of the {kind} '
                    f'{part.parent} alone; give a place outside of it.'
                ]
    return []


def check(place: pathlib.Path) -> None:
    """Raises an error in one line if gs:// can't be reached within 20 s.

    Raises:
      PlaceError: no answer, or the store refuses.
      InputError: there is no such bucket.
    """
    if not is_remote(place):
        return
    found: list[BaseException] = []

    def look() -> None:
        try:
            place.look()
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(_REACH_SECONDS)
    if thread.is_alive():
        raise errors.PlaceError(
            f'{place}: no answer within {_REACH_SECONDS:.0f} s; check the network and '
            'the credentials (`gcloud auth application-default login`), and start '
            'again.',
            passing=True,
        )
    if found:
        raise found[0]


# Files that only a run has; none of them lies in a folder where none was begun.
TRACES = ('run.json', 'checkpoints', 'metrics.jsonl', 'samples.jsonl')
# Files of a run that other programs' folders have too, by the same names.
_WRITTEN_OVER = ('config.json', 'tokenizer')


def check_workdir(place: pathlib.Path) -> None:
    """`check` of a run's folder, made if it is missing.

    Raises:
      PlaceError: as `check` does.
      InputError: it can't be a folder, as it or a folder above is a file; it lies
        within a part of a run or dataset; or it holds a file that a run would write
        over, and no run.
    """
    check(place)
    errors.refuse(refuse_inside('workdir', place))
    above = [] if is_remote(place) else place.absolute().parents
    for each in (place, *above):
        if each.exists() and not each.is_dir():
            raise errors.InputError(
                f'--workdir={place}: {each} is a file, not a folder; give the run a '
                'folder of its own.'
            )
    met = [name for name in _WRITTEN_OVER if (place / name).exists()]
    if met and not any((place / name).exists() for name in (*TRACES, 'unsaved')):
        raise errors.InputError(
            f'--workdir={place} has {met[0]} and is no run, which would write over it; '
            'give the run a folder of its own.'
        )


def failure(error: BaseException, place: AnyPath) -> errors.PlaceError | None:
    """The failure of the store at gs:// that an error tells of; else None."""
    if isinstance(error, errors.PlaceError):
        return error
    if not is_remote(place):
        return None
    from hax_jax.store import failures

    return failures.explained(error, place)


@contextlib.contextmanager
def locked(place: Any) -> Iterator[None]:
    """Holds the lock of a path at gs://. Raises LockedError."""
    from hax_jax.store import lease

    with lease.held(place):
        yield


def still_locked(place: pathlib.Path) -> None:
    """Raises InputError if this process held the lock of `place` and has lost it."""
    if is_remote(place):
        from hax_jax.store import lease

        lease.check(place)
