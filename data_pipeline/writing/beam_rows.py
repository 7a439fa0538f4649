"""Ordered rows for Beam's workers, as files of JSON lines in the pipeline's folder.

A worker can't read a DuckDB file or a generator that this process has open.
"""

import functools
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from data_pipeline.preparing import beam_pipeline
from hax_jax.data import records

_ROWS = 5000  # in a file, which one worker reads: about 12 MB of advice
Files = list[tuple[int, str]]  # (ordinal of the first row, path) of each file


def write(folder: str, name: str, rows: Iterable[dict[str, Any]]) -> tuple[Files, int]:
    """Writes the rows to files in `folder`; returns these and their total of bytes."""
    file_systems = beam_pipeline.imported().io.filesystems.FileSystems
    rows = iter(rows)
    written: Files = []
    first = num_bytes = 0
    while chunk := list(itertools.islice(rows, _ROWS)):
        path = file_systems.join(folder, f'{name}-{first:010}.jsonl')
        with file_systems.create(path) as file:
            for row in chunk:
                line = records.canonical_json(row).encode() + b'\n'
                file.write(line)
                num_bytes += len(line)
        written.append((first, path))
        first += len(chunk)
    return written, num_bytes


def read(files: Files, names: Sequence[str]) -> Any:
    """The transform that gives (ordinal, row with these fields) for each row."""
    beam = beam_pipeline.imported()
    return (
        'Files' >> beam.Create(files)
        | 'Spread' >> beam.Reshuffle()
        | 'Rows' >> beam.FlatMap(functools.partial(_rows, names))
    )


def _rows(
    names: Sequence[str], chunk: tuple[int, str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    first, path = chunk
    with beam_pipeline.imported().io.filesystems.FileSystems.open(path) as file:
        for ordinal, line in enumerate(file, first):
            row = json.loads(line)
            yield ordinal, {name: row[name] for name in names}
