"""The results of batches, kept on the disk, so that a build prepares new ones alone.

An entry is a file named by a key: SHA-256 over the batch's bytes and fields, the
settings of the stages, the code that reads and prepares, and its libraries' versions.

    magic, five lengths        48 bytes
    the parts of its rows      the fields of `packed_rows.Packed` in their order
    account                    JSON: all of a `Prepared` but its rows
    CRC-32C                    4 bytes, over all before

Entries are written whole or not at all, so builds may share a folder. An entry whose
checksum is wrong is reported, and made again. Large entries are mapped: a build
compares the rows where they are, without a copy, even if the entry is deleted.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import mmap
import os
import pathlib
import platform
import resource
import struct
import sys
import time
import uuid
from collections.abc import Mapping
from typing import Any

import google_crc32c
import msgspec
import numpy as np

from data_pipeline import settings
from data_pipeline.compared import packed_rows
from data_pipeline.pair_stages import language, language_model
from data_pipeline.preparing import prepare_batch
from data_pipeline.rows import batches
from hax_jax import errors
from hax_jax.data import records, text

FOLDER = '.build_cache'  # beside the dataset
_MAGIC = b'haxbatc5'
_HEAD = struct.Struct('<8s5Q')
_CHECKSUM = struct.Struct('<I')
_SUFFIX = '.batch'
_SUFFIXES = (_SUFFIX, language_model.SUFFIX)
_DAY = 24 * 3600  # seconds
_UNUSED_DAYS = 30  # after which an entry goes
_MAPPED = 2**16  # bytes from which an entry is mapped; each holds a file open
_HERE = 8  # batches: a build with few new ones starts no workers for them
_ROOT = pathlib.Path(__file__).parents[2]
# What a result follows from: folders and files of code, and libraries.
CODE = (
    *(f'data_pipeline/{name}' for name in ('pages', 'faq', 'layouts', 'chat_texts')),
    *(f'data_pipeline/{name}' for name in ('fields', 'exports', 'rows', 'markup')),
    *(f'data_pipeline/{name}' for name in ('copies', 'reading', 'pair_stages')),
    *(f'data_pipeline/{name}' for name in ('compared', 'preparing', 'preferences')),
    'data_pipeline/settings.py',
    'hax_jax/data/records.py',
    'hax_jax/data/text.py',
)
LIBRARIES = (
    'numpy',
    'pyarrow',
    'msgspec',
    'ftfy',
    'markdown-it-py',
    'phonenumbers',
    'py3langid',
    'tokenizers',
    'sentencepiece',
    'protobuf',
    'google-crc32c',
)


@dataclasses.dataclass
class Cache:
    """A folder of entries for one set of settings; `names` as for `prepare`.

    `recipe` is a hash of all that decides beside the batch. Counts what this process
    looked up.
    """

    folder: pathlib.Path
    recipe: str
    names: Mapping[str, str]
    chosen: settings.Settings
    found: int = 0
    missed: int = 0
    damaged: list[str] = dataclasses.field(default_factory=list)
    mapped: int = 0
    is_closed: bool = False  # an entry could not be written

    def prepare(self, batch: batches.Batch) -> prepare_batch.Prepared:
        """Prepares the batch and keeps the result; in any process."""
        language.keep_model_in(self.folder)
        before = self._key(batch)
        made = prepare_batch.prepare(batch, chosen=self.chosen, names=self.names)
        # A file that changed while it was read has another key now.
        if before and self._key(batch) == before:
            self._keep(before, made)
        return made

    def _keep(self, key: str, made: prepare_batch.Prepared) -> None:
        """Writes the entry; says once in each process if the folder takes none."""
        try:
            _write(self._path(key), made)
        except OSError as error:
            if not self.is_closed:
                self.is_closed = True
                print(
                    f'warning: --cache={self.folder} can not be written to '
                    f'({error.strerror}): what this build prepares is not kept. Give '
                    'another folder, or --cache=off.',
                    flush=True,
                )

    def known(self, batch: batches.Batch) -> prepare_batch.Prepared | None:
        """The result of an earlier build, or None; in the parent alone.

        Where the first batch was known, prepares the first few others at once: a
        worker takes a second to start.
        """
        key = self._key(batch)
        made = self._read(key) if key else None
        if made is not None:
            self.found += 1
            return made
        self.missed += 1
        if self.found and self.missed <= _HERE:
            return self.prepare(batch)
        return None

    def _read(self, key: str) -> prepare_batch.Prepared | None:
        path = self._path(key)
        try:
            with open(path, 'rb') as file:
                size = os.fstat(file.fileno()).st_size
                is_mapped = size >= _MAPPED and self.mapped < _most_mapped()
                if is_mapped:
                    whole = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
                else:
                    whole = file.read()
        except OSError:
            return None
        self.mapped += is_mapped
        made = _decoded(np.frombuffer(whole, np.uint8), is_mapped=is_mapped)
        if made is None:
            self.damaged.append(path.name)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # its last use
        return made

    def _key(self, batch: batches.Batch) -> str:
        """The batch's key; '' for one whose rows have values that JSON has not."""
        fields = {
            name: value
            for name, value in vars(batch).items()
            # `line` and `first` stay: pairs name their line, a file counts once.
            if name not in ('ordinal', 'path', 'start', 'end', 'last', 'rows')
        }
        fields['at_start'] = batch.start == 0
        fields['has_path'] = bool(batch.path)
        fields['file'] = self.names.get(batch.name, batch.name)
        digest = hashlib.sha256(self.recipe.encode())
        try:
            digest.update(msgspec.json.encode(fields))
            if batch.rows:
                digest.update(msgspec.json.encode(batch.rows))
            elif batch.path and not batch.problem:
                with open(batch.path, 'rb') as file:
                    file.seek(batch.start)
                    size = batch.end - batch.start if batch.end else -1
                    digest.update(file.read(size))
        except (TypeError, ValueError, OSError):
            return ''
        return digest.hexdigest()

    def _path(self, key: str) -> pathlib.Path:
        return self.folder / key[:2] / f'{key}{_SUFFIX}'

    def summary(self, *, most_bytes: int) -> str:
        """Deletes old entries; says what was found, and the size of what is left."""
        size = prune(self.folder, most_bytes=most_bytes)
        line = (
            f'{self.found:,} of {self.found + self.missed:,} batches were prepared by '
            f'an earlier build; {self.folder} holds {size / 1e6:,.0f} MB '
            '(--cache=off keeps nothing)'
        )
        if self.damaged:
            line += (
                f'\nwarning: {len(self.damaged):,} entries of it were damaged and were '
                f'made again, such as {self.damaged[0]}.'
            )
        return line


def opened(
    folder: pathlib.Path, chosen: settings.Settings, names: Mapping[str, str]
) -> Cache:
    """The cache in a folder, which is made.

    Raises:
      InputError: the folder can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.InputError(
            f'--cache={folder} can not be made ({error.strerror}); give another '
            'folder, or --cache=off.'
        ) from error
    stages = (chosen.clean, chosen.personal_data, chosen.quality, chosen.duplicates)
    tokenizer = chosen.quality.tokenizer
    recipe = records.sha256(
        {
            'code': code_digest(),
            'libraries': {name: _version(name) for name in LIBRARIES},
            'python': [sys.version_info[:3], platform.machine()],
            'settings': msgspec.to_builtins(stages),
            'tokenizer': text.load_tokenizer(tokenizer).fingerprint
            if tokenizer
            else '',
        }
    )
    return Cache(folder, recipe, names, chosen)


@functools.cache
def code_digest() -> str:
    """SHA-256 over the sources of `CODE`."""
    digest = hashlib.sha256()
    for name in CODE:
        path = _ROOT / name
        for file in sorted(path.glob('*.py')) if path.is_dir() else [path]:
            digest.update(f'{name}/{file.name}\n'.encode() + file.read_bytes())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ''


def prune(folder: pathlib.Path, *, most_bytes: int) -> int:
    """Deletes entries unused for 30 days, then the longest unused over `most_bytes`.

    Returns the bytes of those left. Another build may delete entries at once, and what
    it writes just now stays.
    """
    now = time.time()
    oldest = now - _UNUSED_DAYS * _DAY
    entries = []
    paths = (path for each in _SUFFIXES for path in folder.glob(f'*/*{each}*'))
    for path in paths:
        with contextlib.suppress(OSError):
            stat = path.stat()
            if path.suffix in _SUFFIXES:
                entries.append((stat.st_mtime, stat.st_size, path))
            elif stat.st_mtime < now - _DAY:  # of a build that was killed
                path.unlink()
    total = sum(size for _, size, _ in entries)
    for used, size, path in sorted(entries):
        if used >= oldest and total <= most_bytes:
            break
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size
    return total


def _write(path: pathlib.Path, made: prepare_batch.Prepared) -> None:
    """Writes an entry; does nothing for a result with texts that JSON has not.

    Raises:
      OSError: the folder can't be written to.
    """
    account = {
        field.name: getattr(made, field.name)
        for field in dataclasses.fields(made)
        if field.name != 'rows'
    }
    try:
        parts = (*vars(made.rows).values(), msgspec.json.encode(account))
    except (TypeError, ValueError):
        return
    head = _HEAD.pack(_MAGIC, *map(len, parts))
    checksum = google_crc32c.value(head)
    for part in parts:
        checksum = google_crc32c.extend(checksum, part)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f'{path.name}.{uuid.uuid4().hex}')
    try:
        with open(temporary, 'wb') as file:
            file.writelines((head, *parts, _CHECKSUM.pack(checksum)))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _decoded(data: np.ndarray, *, is_mapped: bool) -> prepare_batch.Prepared | None:
    """The result in an entry's bytes; None if they are not what was written."""
    end = len(data) - _CHECKSUM.size
    if end < _HEAD.size or data[: len(_MAGIC)].tobytes() != _MAGIC:
        return None
    if google_crc32c.value(data[:end]) != _CHECKSUM.unpack_from(data, end)[0]:
        return None
    _, *sizes = _HEAD.unpack_from(data)
    *views, columns, account = np.split(data[_HEAD.size : end], np.cumsum(sizes)[:-1])
    parts = [view.data if is_mapped else view.tobytes() for view in views]
    decoded = msgspec.json.decode(
        account.tobytes(),
        type=_account_type(),
        dec_hook=lambda kind, value: kind(value),
    )
    rows = packed_rows.Packed(*parts, columns.tobytes())
    values: dict[str, Any] = {name: getattr(decoded, name) for name in _names()}
    return prepare_batch.Prepared(rows=rows, **values)


def _most_mapped() -> int:
    """Half of the files that the process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


@functools.cache
def _names() -> tuple[str, ...]:
    made = dataclasses.fields(prepare_batch.Prepared)
    return tuple(field.name for field in made if field.name != 'rows')


@functools.cache
def _account_type() -> Any:
    """A dataclass of the fields of `Prepared` but its rows."""
    of = {
        field.name: field.type for field in dataclasses.fields(prepare_batch.Prepared)
    }
    return dataclasses.make_dataclass('Account', [(n, of[n]) for n in _names()])
