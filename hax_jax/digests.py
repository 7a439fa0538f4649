"""SHA-256 digests of files, of folders, and of the JSON objects that hold them.

Bytes are trusted because their digest is the one that was written with them, never
because they parse. A digest finds damage, not malice: whoever can change the files can
change the digests too.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
from typing import Any

from hax_jax import errors, files, places

SEAL = 'digest'  # the field of a sealed object that holds its own digest


def of_file(path: files.AnyPath) -> str:
    """The hex SHA-256 of a file's bytes, as `sha256sum` prints it."""
    path = places.path(path)
    if places.is_remote(path):
        digest = hashlib.sha256()
        for part in path.chunks():
            digest.update(part)
        return digest.hexdigest()
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def of_bytes(content: bytes) -> str:
    """The hex SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def of_folder(
    folder: files.AnyPath, *, leave_out: tuple[str, ...] = ()
) -> dict[str, str]:
    """Each file below `folder`: its path in it ('params/d/0') -> `of_file`, sorted.

    Files are read side by side. `leave_out` names paths that get no digest.
    """
    names = [name for name in _names(folder) if name not in leave_out]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(
            zip(
                names,
                pool.map(of_file, (places.path(folder) / name for name in names)),
                strict=True,
            )
        )


def problems(
    folder: files.AnyPath, expected: dict[str, str], *, leave_out: tuple[str, ...] = ()
) -> list[str]:
    """How the files below `folder` differ from `expected`, a line for each file."""
    found = of_folder(folder, leave_out=leave_out)
    out = [f'{name} is missing' for name in sorted(expected.keys() - found.keys())]
    out += [f'{name} was added' for name in sorted(found.keys() - expected.keys())]
    return out + [
        f'{name} has other bytes than were written'
        for name in sorted(expected.keys() & found.keys())
        if expected[name] != found[name]
    ]


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """The object with the SHA-256 of its other fields as its last field, SEAL."""
    body = {name: each for name, each in value.items() if name != SEAL}
    return {**body, SEAL: _of_object(body)}


def is_sealed(value: dict[str, Any]) -> bool:
    """Whether an object holds the digest of its other fields."""
    return value.get(SEAL) == sealed(value)[SEAL]


def read_sealed(path: files.AnyPath) -> dict[str, Any]:
    """The sealed object in a JSON file.

    Raises:
      InputError: it can't be read, or it is not what was written; names the file.
    """
    try:
        value = files.read_json_object(path)
    except (OSError, ValueError) as error:
        if errors.is_of_machine(error):
            raise
        raise errors.InputError(
            f'{path} is damaged ({errors.cause(error)}).'
        ) from error
    if not is_sealed(value):
        raise errors.InputError(f'{path} has other contents than were written.')
    return value


def _of_object(value: dict[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(',', ':'), allow_nan=False)
    return of_bytes(text.encode())


def _names(folder: files.AnyPath) -> list[str]:
    """The paths of all files below a folder, relative to it, with slashes, sorted."""
    if places.is_remote(folder):
        return sorted(places.path(folder).objects())
    return sorted(
        pathlib.Path(at, name).relative_to(folder).as_posix()
        for at, _, names in os.walk(folder, followlinks=True)
        for name in names
    )
