"""Folders at gs:// that are read as local ones: copied once, and compared.

A copy lies in the cache folder (XDG_CACHE_HOME, else ~/.cache), under a key that
follows from the URL and from name, size and CRC-32C of each object, so other bytes
there are another copy. It is whole or not there. Each machine has its own.
"""

import functools
import hashlib
import json
import os
import pathlib
from typing import Any

from hax_jax import errors, files, places

_NAMED = 3


def folder(path: files.AnyPath, *, only: tuple[str, ...] = ()) -> pathlib.Path:
    """The local folder of a path: itself, or for gs:// a whole copy of it.

    `only` are the names of files, and of folders with a slash ('checkpoints/5/'), that
    are copied; () is all. A path that names one object gives a local file. Each byte of
    a copy is compared with the store's checksums, once in a process.

    Raises:
      InputError: nothing is there, or the bytes are not those that the store lists.
      PlaceError: the store fails.
    """
    if not places.is_remote(path):
        return places.path(path)
    return _copy(os.fspath(path), only)


def text(path: str) -> str:
    """`folder` of a path that a config names; '' and hub names as they are."""
    return str(folder(path)) if places.is_remote(path) else path


@functools.cache
def _copy(url: str, only: tuple[str, ...]) -> pathlib.Path:
    source = places.path(url)
    places.check(source)
    if source.is_file():
        return _copy(str(source.parent), (source.name,)) / source.name
    folders = tuple(name for name in only if name.endswith('/'))
    objects = {
        name: found
        for name, found in source.objects().items()
        if not only or name in only or name.startswith(folders)
    }
    if not objects:
        raise errors.InputError(f'{url} is not there, or has no file; check the name.')
    listing = [[name, found.size, found.crc32c] for name, found in objects.items()]
    key = hashlib.sha256(json.dumps([url, listing]).encode()).hexdigest()[:16]
    target = _cache() / f'{source.name}-{key}'
    with files.locked(target.with_suffix('.lock'), wait=True):
        damage = _changed(target, objects) if target.exists() else []
        if damage:
            print(f'WARNING: {target}: {"; ".join(damage[:_NAMED])}', flush=True)
        if damage or not target.exists():
            size = sum(found.size for found in objects.values())
            print(
                f'copying {url} ({len(objects)} files, {size / 1e6:,.1f} MB) to '
                f'{target}',
                flush=True,
            )
            with files.new_folder(target, replace=True) as new:
                _refuse(url, source.download(new, objects))
    return target


def _changed(target: pathlib.Path, objects: dict[str, Any]) -> list[str]:
    """A sentence for each file of a copy that is not what was copied."""
    from hax_jax.store import gs_path

    found = []
    for name, expected in objects.items():
        if not (target / name).is_file():
            found.append(f'{name} is missing')
        elif expected.crc32c and gs_path.crc32c(target / name) != expected.crc32c:
            found.append(f'{name} has other bytes than were copied')
    return found


def _refuse(url: str, problems: list[str]) -> None:
    if problems:
        more = len(problems) - _NAMED
        raise errors.InputError(
            f'{url} came with other bytes than the store lists: '
            + '; '.join(problems[:_NAMED])
            + (f' and {more} more' if more > 0 else '')
            + '. Start again, and it is copied again.'
        )


def _cache() -> pathlib.Path:
    cache = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return pathlib.Path(cache).expanduser() / 'hax_jax' / 'gs'
