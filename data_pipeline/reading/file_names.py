"""Names of input files: ends of their paths, which don't tell where a corpus lies.

A file's name follows from its own path alone, unless another input ends likewise. So
added files leave the names of the others, their pairs and what a cache has of them.
"""

import collections
import os
import pathlib
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

Key = TypeVar('Key', bound=Hashable)


def stems(paths: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The name in ids of each (layout, path), which no other of its layout has.

    one/train.jsonl and two/train.jsonl -> 'one/train', 'two/train'
    a.csv and a.tsv -> 'a.csv', 'a.tsv'
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
    /home/ann/one/a.md and /home/ann/two/a.md -> 'one/a.md', 'two/a.md'
    """
    return _own({path: _ends(_whole(path)) for path in paths})


def _own(ends: Mapping[Key, list[str]]) -> dict[Key, str]:
    """The first end of each that no other has; the last one if others have all."""
    counts = collections.Counter(end for each in ends.values() for end in set(each))
    return {
        key: next((end for end in each if counts[end] == 1), each[-1])
        for key, each in ends.items()
    }


def _whole(path: str) -> pathlib.PurePath:
    return pathlib.PurePath(os.path.normpath(path))


def _ends(path: pathlib.PurePath) -> list[str]:
    """/a/b.md -> ['b.md', 'a/b.md']"""
    parts = path.parts[bool(path.anchor) :]
    return ['/'.join(parts[i:]) for i in range(len(parts) - 1, -1, -1)]
