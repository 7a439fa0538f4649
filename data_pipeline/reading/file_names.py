"""Names of input files: ends of their paths, which don't tell where a corpus lies.

A file's name follows from its own path alone, unless one before it ends likewise. So
files that are given behind the others leave their names, their pairs and what a cache
has of them.
"""

import itertools
import os
import pathlib
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

Key = TypeVar('Key', bound=Hashable)


def stems(paths: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The name in ids of each (layout, path), which no other of its layout has.

    one/train.jsonl and two/train.jsonl -> 'train', 'two/train'
    a.csv and a.tsv -> 'a', 'a.tsv'
    """
    by_layout: dict[str, dict[tuple[str, str], list[str]]] = {}
    for layout, path in paths:
        whole = _whole(path)
        ends = _ends(whole.with_suffix('')) + _ends(whole)
        by_layout.setdefault(layout, {})[layout, path] = ends
    return {key: stem for of in by_layout.values() for key, stem in _own(of).items()}


def portable(paths: Iterable[str]) -> dict[str, str]:
    """The name in a dataset's records of each path.

    /home/ann/corpus/a.md and /home/ann/more/b.md -> 'a.md', 'b.md'
    /home/ann/one/a.md and /home/ann/two/a.md -> 'a.md', 'two/a.md'
    """
    return _own({path: _ends(_whole(path)) for path in paths})


def _own(ends: Mapping[Key, list[str]]) -> dict[Key, str]:
    """The first end of each that none before it has; a number behind it if all have."""
    met: set[str] = set()
    names = {}
    for key, each in ends.items():
        numbered = (f'{each[-1]}~{number}' for number in itertools.count(2))
        name = next(end for end in itertools.chain(each, numbered) if end not in met)
        names[key] = name
        met.update(each, [name])
    return names


def _whole(path: str) -> pathlib.PurePath:
    return pathlib.PurePath(os.path.normpath(path))


def _ends(path: pathlib.PurePath) -> list[str]:
    """/a/b.md -> ['b.md', 'a/b.md']"""
    parts = path.parts[bool(path.anchor) :]
    return ['/'.join(parts[i:]) for i in range(len(parts) - 1, -1, -1)]
