"""The files that the user's paths and patterns name.

'raw/*.md', 'csv:raw/a.txt', 'raw/**'; a folder of `save_to_disk` names its files.
"""

import collections
import pathlib
from collections.abc import Sequence

from data_pipeline.layouts import detection
from data_pipeline.reading import named_datasets, read_report, saved_folders
from hax_jax import counted, errors, near_names
from hax_jax.config import convert

LINES = ('threads', 'messages', 'pairs')
# Layouts that may stand before a path: 'threads:raw/*.jsonl'.
_PREFIXES = (*detection.PARSERS, *LINES, 'csv')


def expand(patterns: Sequence[str]) -> list[str]:
    """The files that the patterns match, each once; no pattern names a layout.

    Raises:
      InputError: names every pattern that matches no file.
    """
    problems = if_none(patterns)
    paths: dict[pathlib.Path, str] = {}
    for pattern in patterns:
        for path in files(pattern, problems):
            paths.setdefault(path.resolve(), str(path))
    errors.refuse(problems)
    return list(paths.values())


def check(patterns: Sequence[str]) -> None:
    """Raises InputError, naming every path or pattern that matches no file."""
    problems = if_none(patterns)
    for pattern in patterns:
        if not named_datasets.is_named(pattern):
            files(split_prefix(pattern)[1], problems)
    errors.refuse(problems)


def split_prefix(pattern: str) -> tuple[str, str]:
    """A named layout and the text after it; '' and the whole pattern without one.

    A file of that whole name comes first: a path may hold a colon.

    'threads:raw/*.jsonl' -> ('threads', 'raw/*.jsonl')
    """
    prefix, colon, rest = pattern.strip().partition(':')
    if colon and prefix in _PREFIXES and not pathlib.Path(pattern).exists():
        return prefix, rest
    return '', pattern


def files(pattern: str, problems: list[str]) -> list[pathlib.Path]:
    """The files that a path or a pattern names; adds the problem of one without any."""
    if not pattern.strip():
        return []
    path = pathlib.Path(pattern).expanduser()
    if path.is_dir() and (saved := saved_folders.files(path)):
        return saved
    if path.is_dir():
        own = saved_folders.of_this_project(path)
        said = own or f'a folder; {_instead_of(path)}'
        problems.append(f'{pattern!r} is {said}.')
        return []
    found = [path] if path.is_file() else _matches(path)
    if not found:
        wild = _is_wild(pattern)
        what = 'matches no file' if wild else 'does not exist'
        prefix, colon, _ = pattern.partition(':')
        remedy = 'check the path'
        if '://' in pattern:
            what = 'is an address, and files are read from a disk'
            remedy = 'download it, and give the path of the file'
        elif path.exists():
            what = 'is a pipe or a device, and no file'
            remedy = 'write what it gives into a file, and give that'
        elif wild and (folders := _folders(path)):
            what = f'matches {counted.of(len(folders), "folders")} and no file'
            remedy = f'give {_with_below(pattern)!r} for the files below'
        elif colon and prefix.isalpha() and prefix not in _PREFIXES:
            remedy += f' (before a path, a layout is one of {", ".join(_PREFIXES)})'
        near = '' if wild else near_names.meant(path)
        problems.append(f'{pattern!r} {what}; {remedy}.{near}')
    for file in found:  # its name goes into the pairs and the ledger
        if problem := convert.text_problem(str(file)):
            problems.append(f'{str(file)!r} {problem}')
    return found


def _instead_of(folder: pathlib.Path) -> str:
    """The remedy for a folder: a pattern of its files, or its data set."""
    if named_datasets.is_folder(folder):
        return f"for the dataset in it give 'tfds:{folder}'"
    suffixes = collections.Counter(path.suffix for path in _matches(folder / '*.*'))
    below = sum(path.is_dir() for path in folder.iterdir())
    if not suffixes and not below:
        return 'it is empty: give a folder with files, as a pattern'
    if not suffixes:
        folders = counted.of(below, 'folders')
        return f"give '{folder}/**/*.*', the files of its {folders}"
    common = suffixes.most_common()
    if len(common) == 1:
        return f"give '{folder}/*{common[0][0]}'"
    there = read_report.listed([(f'*{suffix}', count) for suffix, count in common])
    return (
        f"give some of its files ({there}), or '{folder}/*' with --skip_unreadable, "
        'which leaves out what gives no pair'
    )


def _is_wild(pattern: str) -> bool:
    return any(sign in pattern for sign in '*?[')


def _with_below(pattern: str) -> str:
    """'raw/*' -> 'raw/**/*'"""
    path = pathlib.PurePath(pattern)
    return str(path.parent / '**' / path.name)


def _matches(pattern: pathlib.Path) -> list[pathlib.Path]:
    """The files that a pattern matches."""
    return [path for path in _shown_matches(pattern) if path.is_file()]


def _folders(pattern: pathlib.Path) -> list[pathlib.Path]:
    """The folders with files that a pattern matches."""
    return [
        path
        for path in _shown_matches(pattern)
        if path.is_dir() and any(each.is_file() for each in path.rglob('*'))
    ]


def _shown_matches(pattern: pathlib.Path) -> list[pathlib.Path]:
    """What a pattern matches, sorted, without what is hidden or in a hidden folder."""
    if pattern.name == '**':  # all below, as in a shell
        pattern /= '*'
    parts = pattern.parts
    fixed = next((i for i, part in enumerate(parts) if _is_wild(part)), len(parts))
    anchor = pattern.anchor
    found = pathlib.Path(anchor).glob(str(pattern.relative_to(anchor)))
    return sorted(
        path
        for path in found
        if not any(part.startswith('.') for part in path.parts[fixed:])
    )


def folders_left_out(patterns: Sequence[str], paths: Sequence[str]) -> list[str]:
    """A line for each pattern that matches folders of which no file is read.

    `paths` are the files that are read.
    """
    read = {folder for path in paths for folder in pathlib.Path(path).parents}
    lines = []
    for pattern in patterns:
        _, rest = split_prefix(pattern)
        if named_datasets.is_named(pattern) or not _is_wild(rest):
            continue
        folders = _folders(pathlib.Path(rest).expanduser())
        names = [shown(path) for path in folders if path.absolute() not in read]
        if names:
            lines.append(
                f'note: {rest!r} matches files alone, and what is below '
                f'{counted.first(names)} is not read; {_with_below(rest)!r} reads '
                'it too.'
            )
    return lines


def shown(path: pathlib.Path) -> str:
    """The path below the current folder if it is there, else as it was given."""
    folder = pathlib.Path.cwd()
    if path.is_relative_to(folder):
        path = path.relative_to(folder)
    return path.as_posix()


def if_none(patterns: Sequence[str]) -> list[str]:
    if any(pattern.strip() for pattern in patterns):
        return []
    return ["no input is given; give files, such as --input='chats/*.md'."]
