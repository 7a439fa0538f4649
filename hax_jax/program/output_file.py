"""Checks, before the work, that a file which a flag names can be written."""

import json
import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

from hax_jax import places

_HEAD = 2**20  # bytes


def problems(name: str, path: pathlib.Path) -> list[str]:
    """A sentence if `--name=path` can't be written; [] for a new or a regular file.

    Refuses a device or a pipe: a file that is written whole takes its place, and
    --output=/dev/null would leave the machine without one.
    """
    if wrong := wrong_place(name, path):
        return wrong
    if path.is_dir():
        return [f'--{name}={path} is a folder; give the name of a file in it.']
    if path.exists() and not path.is_file():
        return [f'--{name}={path} is a device or a pipe; give the name of a file.']
    if path.exists() and not os.access(path, os.W_OK):
        return [f'--{name}={path} can not be written to; give another.']
    why = closed(path.parent)
    return [f'--{name}={path}: {why}; give another.'] if why else []


def one_file(given: dict[str, str]) -> list[str]:
    """A sentence for two flags of a program that name one file; '' is not given.

    one_file({'prompts': 'a.md', 'table': './a.md'}) names both: the file that one
    writes would replace the file that the other reads or writes.
    """
    found = []
    names: dict[str, str] = {}  # resolved path -> the flag that named it first
    for name, path in given.items():
        if not path:
            continue
        first = names.setdefault(str(pathlib.Path(path).resolve()), name)
        if first != name:
            found.append(
                f'--{first} and --{name} are the same file, {path}; give each its own.'
            )
    return found


def foreign(
    name: str, path: pathlib.Path, is_ours: Callable[[bytes], object], what: str
) -> list[str]:
    """A sentence if `--name=path` would replace what the program did not write.

    `is_ours` is asked about the file's first bytes; `what` is what they would be.
    """
    if not path.is_file() or not (head := _head(path)) or is_ours(head):
        return []
    return [f'--{name}={path} exists and is no {what}; give another name.']


def first_row(head: bytes) -> dict[str, Any]:
    """The object in the first line of JSON Lines; {} for any other text."""
    try:
        row = json.loads(head.partition(b'\n')[0])
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _head(path: pathlib.Path) -> bytes:
    try:
        with open(path, 'rb') as file:
            return file.read(_HEAD)
    except OSError:
        return b''  # `problems` says that it can't be written to


def set_aside(path: pathlib.Path, text: str) -> pathlib.Path | None:
    """Renames the file that `text` is to replace; None if nothing would be lost.

    A table whose scores were filled in becomes answers.1.md, or the next free number.
    """
    if not path.exists() or path.read_bytes() == text.encode():
        return None
    number = 1
    while (aside := path.with_suffix(f'.{number}{path.suffix}')).exists():
        number += 1
    return path.rename(aside)


def wrong_place(name: str, path: pathlib.Path) -> list[str]:
    """A sentence if `--name=path` is no disk (gs://), or a part of a run or dataset."""
    return places.refuse_remote(name, str(path)) or places.refuse_inside(name, path)


def new_folder(name: str, path: pathlib.Path) -> list[str]:
    """The reasons why `--name=path` can't be made as a new folder; [] if it can."""
    if wrong := wrong_place(name, path):
        return wrong
    if os.path.lexists(path):
        return [f'--{name}={path} exists; give a new name, or move it away.']
    why = closed(path.parent)
    return [f'--{name}={path}: {why}; give another.'] if why else []


def closed(folder: pathlib.Path) -> str:
    """Why the folder, or the nearest above that is there, takes no file; '' if it does.

    It is tried: rights alone do not tell it of /proc, or of a mount that is read only.
    """
    while not os.path.lexists(folder):
        folder = folder.parent
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f'{folder} is not a folder that can be written to ({error.strerror})'
    return ''
