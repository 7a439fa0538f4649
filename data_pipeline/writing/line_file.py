"""A text file written line by line, whole or not at all, whatever its size."""

import collections.abc
import os
import pathlib
import uuid

from hax_jax import records


def write(path: str | os.PathLike[str], lines: collections.abc.Iterable[str]) -> int:
    """Replaces the file at `path` by these lines and returns how many there were.

    One line is held at a time. If `lines` raises, `path` is as it was.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex[:8]}.tmp')
    count = 0
    try:
        with open(temporary, 'w', encoding='utf-8', newline='') as file:
            for line in lines:
                file.write(line + '\n')
                count += 1
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)  # the new name is on disk too
    finally:
        os.close(handle)
    return count


def json_lines(
    rows: collections.abc.Iterable[dict[str, object]],
) -> collections.abc.Iterator[str]:
    """The one JSON line of each row."""
    return map(records.canonical_json, rows)
