"""Ordered rows handed to Beam's workers: files of JSON lines in the pipeline's folder.

A worker can't read what this process alone has open (a DuckDB file, a generator).
"""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from data_pipeline.preparing import beam_pipeline
from hax_jax.data import records

_ROWS = 5000  # in a file: what one worker reads at a time, about 12 MB of advice


@dataclasses.dataclass(frozen=True)
class Rows:
    """The files that hold rows, each with the ordinal of its first one."""

    files: list[tuple[int, str]]
    num_bytes: int


def write(folder: str, name: str, rows: Iterable[dict[str, Any]]) -> Rows:
    """Writes the rows to files in `folder` whose names begin with `name`."""
    file_systems = beam_pipeline.imported().io.filesystems.FileSystems
    rows = iter(rows)
    chunks, num_bytes = [], 0
    for first in itertools.count(0, _ROWS):
        chunk = list(itertools.islice(rows, _ROWS))
        if not chunk:
            break
        path = file_systems.join(folder, f'{name}-{first:010}.jsonl')
        with file_systems.create(path) as file:
            for row in chunk:
                line = records.canonical_json(row).encode() + b'\n'
                file.write(line)
                num_bytes += len(line)
        chunks.append((first, path))
    return Rows(chunks, num_bytes)


def read(rows: Rows) -> Any:
    """The transform that gives (ordinal, row) of each row in the files."""
    beam = beam_pipeline.imported()
    return (
        'Files' >> beam.Create(rows.files)
        | 'Spread' >> beam.Reshuffle()
        | 'Rows' >> beam.FlatMap(_rows)
    )


def _rows(
    chunk: tuple[int, str],
) -> Iterator[tuple[int, dict[str, Any]]]:
    first, path = chunk
    with beam_pipeline.imported().io.filesystems.FileSystems.open(path) as file:
        for ordinal, line in enumerate(file, first):
            yield ordinal, json.loads(line)
