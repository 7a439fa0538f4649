"""What was given to be read: files and data sets, each with its layout."""

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from data_pipeline.pages import encoding
from data_pipeline.reading import named_datasets
from data_pipeline.rows import csv_rows, field_map, json_lines
from hax_jax import errors

# A layout that is named before an input: 'threads:raw/*.jsonl'.
WHOLE = ('chat', 'reddit', 'merged')
LINES = ('threads', 'messages', 'pairs')
PREFIXES = (*WHOLE, *LINES, 'csv')
_HEAD_BYTES = 2**16


@dataclasses.dataclass(frozen=True)
class Input:
    """One file or named data set. `layout` is '' where only a file's whole text tells.

    A data set has no `path`, but what it was `given` as, and a version. `fields` is
    what pairs are made of, where rows may have fields of any names; `size` a file's
    bytes when it was found, as a collector may be at work on it; `stem` its name in
    ids, which no other file of its layout has.
    """

    name: str
    path: str
    layout: str
    fields: field_map.FieldMap | None = None
    given: str = ''
    size: int = 0
    stem: str = ''
    version: str = ''


def find(
    patterns: Sequence[str],
    *,
    fields: Sequence[str] = (),
) -> list[Input]:
    """Every input in the order of the patterns, sorted within each, each once.

    `fields` are the texts of --fields (field_map).

    Raises:
      InputError: names every pattern that matches nothing, a file that is no text, and
        inputs whose fields fit nothing.
    """
    found: dict[object, Input] = {}
    problems = []
    if not [pattern for pattern in patterns if pattern.strip()]:
        problems.append("no input is given; give files, such as --input='chats/*.md'.")
    for pattern in patterns:
        if named_datasets.is_named(pattern):
            found.setdefault(pattern.strip(), _named(pattern.strip()))
            continue
        layout, rest = split_prefix(pattern)
        for path in _files(rest, problems) if rest.strip() else []:
            key = path.resolve()
            if key not in found:
                size = path.stat().st_size
                found[key] = Input(shown(path), str(path.absolute()), layout, size=size)
            elif layout != found[key].layout:
                problems.append(
                    f'{path} is given as {layout or "any layout"} and as '
                    f'{found[key].layout or "any layout"}; give it once.'
                )
    made = []
    for each in found.values():
        try:
            made.append(_with_layout(each))
        except errors.InputError as error:
            problems.append(str(error))
    if problems:
        raise errors.InputError('\n'.join(problems))
    return _with_fields(_with_stems(made), fields)


def expand(patterns: Sequence[str]) -> list[str]:
    """The files that the patterns match, each once; no pattern names a layout.

    Raises:
      InputError: names every pattern that matches no file.
    """
    problems: list[str] = []
    paths: dict[pathlib.Path, str] = {}
    if not [pattern for pattern in patterns if pattern.strip()]:
        problems.append("no input is given; give files, such as --input='chats/*.md'.")
    for pattern in patterns:
        for path in _files(pattern, problems) if pattern.strip() else []:
            paths.setdefault(path.resolve(), str(path))
    if problems:
        raise errors.InputError('\n'.join(problems))
    return list(paths.values())


def split_prefix(pattern: str) -> tuple[str, str]:
    """A named layout and what follows it; '' and all of it where none is named.

    A file of that whole name comes first: a path may hold a colon.

    'threads:raw/*.jsonl' -> ('threads', 'raw/*.jsonl')
    """
    prefix, colon, rest = pattern.strip().partition(':')
    if colon and prefix in PREFIXES and not pathlib.Path(pattern).exists():
        return prefix, rest
    return '', pattern


def describe(found: Iterable[Input]) -> list[str]:
    """For people: which fields pairs are made of, a line for each different choice."""
    chosen: dict[str, list[str]] = {}
    for each in found:
        if each.fields and not each.fields.is_ours:
            chosen.setdefault(str(each.fields), []).append(each.name)
    return [
        f'fields of {names[0]}'
        + (f' and {len(names) - 1:,} more' if len(names) > 1 else '')
        + f': {fields} (--fields changes them)'
        for fields, names in chosen.items()
    ]


def sha256(each: Input) -> str:
    """Hex sha256 of a file's bytes as they were found, read block by block."""
    digest, left = hashlib.sha256(), each.size
    with open(each.path, 'rb') as file:
        while left > 0 and (block := file.read(min(left, 2**20))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def shown(path: pathlib.Path) -> str:
    """The path below the current folder where it is there, else as it was given."""
    folder = pathlib.Path.cwd()
    if path.is_relative_to(folder):
        path = path.relative_to(folder)
    return path.as_posix()


def _files(pattern: str, problems: list[str]) -> list[pathlib.Path]:
    path = pathlib.Path(pattern).expanduser()
    if path.is_dir():
        problems.append(f'{pattern!r} is a folder; {_of_folder(path)}.')
        return []
    files = [path] if path.is_file() else _matches(path)
    if not files:
        wild = any(sign in pattern for sign in '*?[')
        what = 'matches no file' if wild else 'does not exist'
        prefix, colon, _ = pattern.partition(':')
        remedy = 'check the path'
        if colon and prefix.isalpha() and prefix not in PREFIXES:
            remedy += f' (before a path, a layout is one of {", ".join(PREFIXES)})'
        problems.append(f'{pattern!r} {what}; {remedy}.')
    return files


def _of_folder(folder: pathlib.Path) -> str:
    """What to give in place of a folder: a pattern of the files that it has most of."""
    if named_datasets.is_folder(folder):
        return f"for the dataset in it give 'tfds:{folder}'"
    suffixes = collections.Counter(path.suffix for path in _matches(folder / '*.*'))
    suffix = suffixes.most_common(1)[0][0] if suffixes else '.md'
    return f"give '{folder}/*{suffix}'"


def _matches(pattern: pathlib.Path) -> list[pathlib.Path]:
    """The files that a pattern matches, sorted, without hidden ones."""
    anchor = pattern.anchor
    found = pathlib.Path(anchor).glob(str(pattern.relative_to(anchor)))
    return sorted(p for p in found if p.is_file() and not p.name.startswith('.'))


def _named(given: str) -> Input:
    name, version = named_datasets.identify(given)
    kind = given.partition(':')[0]
    return Input(name, '', kind, given=given, version=version)


def _with_layout(each: Input) -> Input:
    """The input with the layout that its first lines show, if they show one."""
    if each.layout in WHOLE or not each.path:
        return each
    # Zero bytes below a first line of JSON are what a crash leaves, and no other file.
    objects = [] if each.layout == 'csv' else json_lines.head(each.path)
    if objects:
        return dataclasses.replace(each, layout=each.layout or _of_objects(objects))
    with open(each.path, 'rb') as file:
        first = file.read(_HEAD_BYTES)
    encoding.check_text(first, each.name)
    if each.layout:
        return each
    suffix = pathlib.PurePath(each.path).suffix.lower()
    if first.strip() and (suffix in ('.csv', '.tsv') or csv_rows.looks_like(each.path)):
        return dataclasses.replace(each, layout='csv')
    return each


def _of_objects(objects: list[dict[str, Any]]) -> str:
    """'threads', 'messages' or 'pairs', by the fields of the first object."""
    keys = set(objects[0])
    if {'title', 'body', 'answers', 'subreddit'} <= keys:
        return 'threads'
    return 'messages' if keys & {'messages', 'conversations'} else 'pairs'


def _with_stems(found: list[Input]) -> list[Input]:
    """The inputs with the shortest end of their path that is theirs alone.

    one/train.jsonl and two/train.jsonl -> 'one/train', 'two/train'
    """
    ends: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
    for each in found:
        for end in _ends(each.path):
            ends[each.layout, end].add(each.path)
    return [
        dataclasses.replace(
            each,
            stem=next(
                (end for end in _ends(each.path) if len(ends[each.layout, end]) == 1),
                each.path,
            ),
        )
        for each in found
    ]


def _ends(path: str) -> list[str]:
    """'/a/b/c.md' -> ['c', 'b/c', 'a/b/c']"""
    parts = pathlib.PurePath(path).with_suffix('').parts if path else ()
    return ['/'.join(parts[i:]) for i in range(len(parts) - 1, 0, -1)]


def _with_fields(found: list[Input], given: Sequence[str]) -> list[Input]:
    """The inputs, those with rows of any fields with what a pair is made of.

    Raises:
      InputError: names each input whose fields fit nothing, and each --fields that
        fits no input.
    """
    specs = field_map.parse(given)
    problems, made, used = [], [], []
    for each in found:
        if each.layout == 'pairs':
            rows: Any = json_lines.head(each.path)
        elif each.layout == 'csv':
            table = csv_rows.head(each.path)
            rows = table.rows if table else []
        elif each.layout in named_datasets.KINDS:
            rows = named_datasets.head(each.given)
        else:
            made.append(each)
            continue
        names = [each.name, *filter(None, [each.path, each.given])]
        fields, spec, problem = field_map.resolve(names, rows, specs)
        problems += [problem] if problem and rows else []
        used.append(spec)
        made.append(dataclasses.replace(each, fields=fields))
    unused = [
        f'--fields for {spec.where or "any input"!r}: no input with fields is such.'
        for spec in specs
        if spec not in used
    ]
    if problems:
        raise errors.InputError(field_map.remedy([*unused, *problems]))
    if unused:
        raise errors.InputError('\n'.join(unused))
    return made
