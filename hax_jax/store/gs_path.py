"""Paths at gs://bucket/...: pathlib's interface over gcsfs, every failure in one line.

An object store has no folders: one is there while an object lies below it. An object is
written whole or not at all. Nothing can be appended, and a move of several objects is
not one event: whoever moves or deletes folders says which object goes first.
"""

import base64
import concurrent.futures
import dataclasses
import fnmatch
import functools
import io
import logging
import os
import pathlib
import types
from collections.abc import Callable, Iterator
from typing import Any

# epath would take TensorFlow's file system, and gcsfs would ask over gRPC what kind of
# bucket each is.
os.environ.setdefault('EPATH_USE_TF', 'false')
os.environ.setdefault('GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT', 'false')

import aiohttp
import fsspec
import fsspec.asyn
import gcsfs.core
import google_crc32c
from etils.epath import gpath

from hax_jax import errors
from hax_jax.store import failures

_EMULATOR = os.environ.get('STORAGE_EMULATOR_HOST', '')
_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_CHUNK = 32 * 2**20  # bytes
_THREADS = 8


def _configure() -> None:
    """Sets what each file system of gcsfs is made with, epath's own too."""
    settings: dict[str, Any] = {
        'use_listings_cache': False,  # other machines write too
        'requests_timeout': aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS
        ),
    }
    if _EMULATOR:
        settings['token'] = 'anon'
        url = _EMULATOR if '://' in _EMULATOR else f'http://{_EMULATOR}'
        os.environ.setdefault('TENSORSTORE_GCS_HTTP_URL', url)
        os.environ.setdefault('GOOGLE_AUTH_TOKEN_FOR_TESTING', 'anonymous')
    for name in ('gs', 'gcs'):
        # If gcsfs came first, its class would ask over gRPC for each bucket's kind.
        fsspec.register_implementation(name, gcsfs.core.GCSFileSystem, clobber=True)
        fsspec.config.conf[name] = settings | fsspec.config.conf.get(name, {})
    logging.getLogger('gcsfs').setLevel(logging.CRITICAL)  # a traceback for each retry


_configure()


@functools.cache
def filesystem() -> fsspec.asyn.AsyncFileSystem:
    """The file system that epath uses for gs:// too."""
    return fsspec.filesystem('gcs', finalize_on_close=True)


@dataclasses.dataclass(frozen=True)
class Object:
    """An object of the store. `generation` changes with each write; sizes in bytes."""

    size: int
    generation: int
    crc32c: str


class GsPath(gpath.PosixGPath, pathlib.PosixPath):
    """epath's path with the store's failures named; it goes wherever a Path goes."""

    def _ask(self, call: str, *args: Any, **settings: Any) -> Any:
        with failures.named(self):
            return getattr(filesystem(), call)(str(self), *args, **settings)

    def _info(self) -> dict[str, Any] | None:
        try:
            return self._ask('info')
        except FileNotFoundError:
            return None

    def exists(self) -> bool:
        return self._info() is not None

    def is_file(self) -> bool:
        return (self._info() or {}).get('type') == 'file'

    def is_dir(self) -> bool:
        return (self._info() or {}).get('type') == 'directory'

    def stat(self) -> Any:
        """With st_size and st_mtime; a folder's time is that of its newest object."""
        info = self._info()
        if info is None:
            raise FileNotFoundError(f'{self} is not there')
        found = [info]
        if info['type'] == 'directory':
            found = list(self._ask('find', detail=True).values())
        newest = max(each['mtime'].timestamp() for each in found)
        size = int(info.get('size', 0))
        return types.SimpleNamespace(st_size=size, st_mtime=newest)

    def iterdir(self) -> Iterator['GsPath']:
        try:
            found = self._ask('ls', detail=False)
        except FileNotFoundError:
            return
        for name in found:
            if f'gs://{name}'.rstrip('/') != str(self):
                yield GsPath(f'gs://{name}')

    def glob(self, pattern: str) -> Iterator['GsPath']:
        """The children that match a pattern without a slash."""
        for child in self.iterdir():
            if fnmatch.fnmatchcase(child.name, pattern):
                yield child

    def rglob(self, pattern: str) -> Iterator['GsPath']:
        """The objects below, at any depth, whose names match."""
        for name in self.objects():
            if fnmatch.fnmatchcase(name.rpartition('/')[2], pattern):
                yield self / name

    def look(self) -> None:
        """Lists one object. Raises InputError if there is no such bucket."""
        bucket = self.parents[-3] if len(self.parents) > 2 else self
        try:
            bucket._ask('ls', detail=False, max_results=1)
        except FileNotFoundError as error:
            raise no_bucket(bucket) from error

    def objects(self) -> dict[str, Object]:
        """The objects below this folder: their names in it ('params/d/0') -> Object."""
        start = str(self).removeprefix('gs://') + '/'
        found = self._ask('find', detail=True)
        return {
            name.removeprefix(start): Object(
                int(info['size']), int(info['generation']), info.get('crc32c', '')
            )
            for name, info in sorted(found.items())
            if name.startswith(start) and not name.endswith('/')
        }

    def read_bytes(self) -> bytes:
        return self._ask('cat_file')

    def read_text(self, encoding: str = 'utf-8', errors: str = 'strict') -> str:
        return self.read_bytes().decode(encoding, errors)

    def chunks(self) -> Iterator[bytes]:
        """The object's bytes, part by part; of one replaced meanwhile, a mixture."""
        size, begin = self.stat().st_size, 0
        while begin < size:
            part = self._ask('cat_file', start=begin, end=min(begin + _CHUNK, size))
            yield part
            begin += len(part)

    def write_bytes(self, data: bytes) -> int:
        """Replaces the object; a kill leaves the old one or the new one."""
        self._ask('pipe_file', bytes(data))
        return len(data)

    def write_text(
        self, data: str, encoding: str = 'utf-8', errors: str = 'strict'
    ) -> int:
        return self.write_bytes(data.encode(encoding, errors))

    def open(self, mode: str = 'r', **_: Any) -> io.BytesIO | io.TextIOWrapper:
        """Opens for reading; `files` writes."""
        if mode not in ('r', 'rb'):
            raise io.UnsupportedOperation(f'{self}: open for {mode!r}; files.py writes')
        content = io.BytesIO(self.read_bytes())
        return content if mode == 'rb' else io.TextIOWrapper(content, encoding='utf-8')

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes the object; one that is gone is no error, as a retry finds it so."""
        try:
            self._ask('rm_file')
        except FileNotFoundError:
            return

    def rmdir(self) -> None:
        """Nothing: a folder ends with its last object."""

    def mkdir(self, *_: Any, **__: Any) -> None:
        """Nothing: a folder begins with its first object."""

    def absolute(self) -> 'GsPath':
        return self

    def resolve(self, strict: bool = False) -> 'GsPath':
        return self

    def expanduser(self) -> 'GsPath':
        return self

    def delete_tree(self, *, first: str = '') -> None:
        """Deletes all objects below; `first` names those that go before the others."""
        names = list(self.objects())
        ahead = [name for name in names if first and name.split('/')[-1] == first]
        for group in (ahead, [name for name in names if name not in ahead]):
            self._each(group, lambda name: (self / name).unlink())

    def move_to(self, target: 'GsPath') -> None:
        """Copies the object or all below it, then deletes it."""
        if self.is_file():
            self._ask('cp_file', str(target))
            self.unlink()
            return
        self._each(
            list(self.objects()),
            lambda name: (self / name)._ask('cp_file', str(target / name)),
        )
        self.delete_tree()

    def download(self, folder: pathlib.Path, names: dict[str, Object]) -> list[str]:
        """Copies objects below this folder into a local one, side by side.

        Returns a sentence for each whose bytes are not those that the store lists.
        """

        def copy(name: str) -> str:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, 'wb') as file:
                for part in (self / name).chunks():
                    file.write(part)
            found = crc32c(path)
            if names[name].crc32c and found != names[name].crc32c:
                return (
                    f'{name} has crc32c {found}, the store lists {names[name].crc32c}'
                )
            return ''

        return [problem for problem in self._each(list(names), copy) if problem]

    @staticmethod
    def _each(names: list[str], do: Callable[[str], Any]) -> list[Any]:
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(do, names))


def no_bucket(bucket: GsPath) -> errors.InputError:
    return errors.InputError(
        f'{bucket} is not there, or not for this account; make the bucket (`gcloud '
        'storage buckets create`), or check its name.'
    )


def crc32c(path: pathlib.Path) -> str:
    """The CRC-32C of a local file in base64, as the store lists it."""
    checksum = google_crc32c.Checksum()
    with open(path, 'rb') as file:
        for _ in checksum.consume(file, 2**20):
            pass
    return base64.b64encode(checksum.digest()).decode()
