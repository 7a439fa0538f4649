"""SHA256SUMS: the digests of a folder's files, which go wherever the folder goes.

    cd FOLDER && sha256sum -c SHA256SUMS

Folders of other people have none, and are read as they are.
"""

import fnmatch
import pathlib
import re
from collections.abc import Sequence

from hax_jax import digests, errors, files

FILE = 'SHA256SUMS'
_LINE = re.compile(r'([0-9a-f]{64}) [ *](.+)')
_NAMED = 3  # files in a message; the rest are counted


def write(folder: pathlib.Path) -> None:
    """Writes the digests of all files below `folder`: call it when they are whole."""
    found = digests.of_folder(folder, leave_out=(FILE,))
    lines = [f'{digest}  {name}\n' for name, digest in found.items()]
    files.write_text(folder / FILE, ''.join(lines))


def check(folder: pathlib.Path, patterns: Sequence[str]) -> None:
    """Compares a folder's files of these names with its SHA256SUMS, if it has one.

    `patterns` are what the caller reads, such as ['config.json', 'tokenizer*.json'];
    other files may change.

    Raises:
      InputError: a file has other bytes than were written, is missing or was added; or
        SHA256SUMS is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return
    listed = _listed(path)
    there = {file.name for file in folder.iterdir() if file.is_file()}
    problems = []
    for name in sorted(listed.keys() | there):
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            continue
        if name not in there:
            problems.append(f'{name} is missing')
        elif name not in listed:
            problems.append(f'{name} was added')
        elif digests.of_file(folder / name) != listed[name]:
            problems.append(f'{name} has other bytes than were written')
    if problems:
        more = len(problems) - _NAMED
        raise errors.InputError(
            f'{folder} is damaged: {", ".join(problems[:_NAMED])}'
            + (f' and {more} more' if more > 0 else '')
            + f' (by its {FILE}). Copy the folder again, or make it again; if the '
            f'change was meant, delete {path}.'
        )


def _listed(path: pathlib.Path) -> dict[str, str]:
    """File name -> hex SHA-256."""
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except ValueError as error:
        raise _damaged(path, f'it is no text ({error})') from error
    matches = [_LINE.fullmatch(line) for line in lines]
    if not matches:
        raise _damaged(path, 'it is empty')
    if None in matches:
        wrong = matches.index(None) + 1
        raise _damaged(path, f'line {wrong} is no digest and name')
    return {match[2]: match[1] for match in matches if match}


def _damaged(path: pathlib.Path, what: str) -> errors.InputError:
    return errors.InputError(
        f'{path} is damaged: {what}. Copy the folder again; or delete that file, and '
        'nothing is compared.'
    )
