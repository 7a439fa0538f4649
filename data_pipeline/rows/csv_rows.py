"""CSV and TSV with a header: cut by the parent, since quotes may hold newlines."""

import csv
import dataclasses
import itertools
import re
from collections.abc import Iterator

from data_pipeline.pages import encoding
from data_pipeline.rows import batch_types, field_map, json_lines, pair_rows

BATCH_CHARACTERS = 2**21
_DELIMITERS = ',\t;|'
_BOM = '\ufeff'
_HEAD_ROWS = 100
# A field that is longer has lost its closing quote, and would swallow the file.
_LONGEST_FIELD = 2**23


@dataclasses.dataclass(frozen=True)
class Row:
    """A record, the line it begins at, its text, what is wrong with it, if anything.

    It ends before byte `end` of the file. `notes` are warnings on the encoding of its
    lines, each with its number.
    """

    line: int
    end: int
    cells: tuple[str, ...]
    text: str
    problem: str = ''
    notes: tuple[tuple[int, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Head:
    """How a file begins: its delimiter, its columns, and its first rows as objects."""

    delimiter: str
    columns: tuple[str, ...]
    rows: list[dict[str, str]]


def looks_like(path: str) -> bool:
    """Whether a file opens with the names of a question's and an answer's columns."""
    delimiter, line = _opening(path)
    try:
        columns = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return False
    return field_map.has_both(columns)


def head(path: str) -> Head | None:
    """How a CSV file begins, None where no line of it has anything."""
    delimiter, _ = _opening(path)
    rows = records(path, delimiter=delimiter)
    header = next(rows, None)
    if header is None:
        return None
    columns = _named(header.cells)
    first_rows = [
        dict(zip(columns, row.cells, strict=False))
        for row in itertools.islice(rows, _HEAD_ROWS)
    ]
    return Head(delimiter, columns, first_rows or [dict.fromkeys(columns, '')])


def spans(
    path: str, *, delimiter: str, batch_characters: int = BATCH_CHARACTERS
) -> Iterator[tuple[Row, ...]]:
    """The records below the header, whose notes the first has, in pieces of a size."""
    rows = records(path, delimiter=delimiter)
    notes = next(rows).notes
    held: list[Row] = []
    size = 0
    for row in rows:
        held.append(dataclasses.replace(row, notes=notes + row.notes))
        notes = ()
        size += len(row.text)
        if size >= batch_characters:
            yield tuple(held)
            held, size = [], 0
    if held:
        yield tuple(held)


def read(batch: batch_types.Batch, result: batch_types.BatchRead) -> None:
    """Adds the pairs of a batch of rows."""
    columns = batch.columns
    for row in batch.rows:
        at = f'{batch.name}:{row.line}'
        for line, note in row.notes:
            result.counts['lines that are not UTF-8'] += 1
            result.warnings.append(f'{batch.name}:{line} {note}.')
        problem = row.problem
        if not problem and len(row.cells) != len(columns):
            problem = f'{len(row.cells)} cells, the header has {len(columns)}'
        if problem:
            json_lines.leave_out(at, row.text, problem, result)
            continue
        value = dict(zip(columns, row.cells, strict=True))
        pair_rows.add(value, text=row.text, line=row.line, batch=batch, result=result)


def records(path: str, *, delimiter: str) -> Iterator[Row]:
    """Every record with anything in it, the header first."""
    csv.field_size_limit(_LONGEST_FIELD)
    lines = _Lines(path)
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        lines.pending, lines.notes = [], []
        problem, cells = '', []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f'no CSV: {error}'
        text = ''.join(lines.pending)
        if not problem and text.count('"') % 2:
            problem = _if_unclosed(lines.pending, delimiter)
        if problem or ''.join(cells).strip():
            begin = lines.number - len(lines.pending) + 1
            yield Row(begin, lines.end, tuple(cells), text, problem, tuple(lines.notes))


class _Lines:
    """The decoded lines of a file, and those that the record now being read is of."""

    def __init__(self, path: str) -> None:
        self.number = self.end = 0
        self.pending: list[str] = []
        self.notes: list[tuple[int, str]] = []
        self._lines = self._read(path)

    def __iter__(self) -> '_Lines':
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.pending.append(line)
        return line

    def _read(self, path: str) -> Iterator[str]:
        with open(path, 'rb') as file:
            for raw in file:
                text, note = encoding.decode_part(raw)
                self.end += len(raw)
                if not self.number:
                    text = text.removeprefix(_BOM)
                if note:
                    self.notes.append((self.number + 1, note))
                # A carriage return alone ends a line too, for csv.
                for line in re.split('(?<=\r)(?!\n)', text):
                    if line:
                        self.number += 1
                        yield line


def _opening(path: str) -> tuple[str, str]:
    """(delimiter, first line with anything in it); ',' and '' where there is none."""
    with open(path, 'rb') as file:
        for raw in iter(lambda: file.readline(2**20), b''):
            line = encoding.decode_part(raw)[0].removeprefix(_BOM)
            if line.strip(_DELIMITERS + ' \r\n'):
                unquoted = re.sub('"[^"]*"', '', line)
                return max(_DELIMITERS, key=unquoted.count), line
    return ',', ''


def _if_unclosed(lines: list[str], delimiter: str) -> str:
    """What is wrong where the file ends within quotes, which csv passes over."""
    try:
        list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        if 'unexpected end' in str(error):
            return f'the quote that opens in it is not closed in {len(lines):,} lines'
    return ''


def _named(cells: tuple[str, ...]) -> tuple[str, ...]:
    """The columns' names, each its own: a second 'text' is 'text_2', '' 'column_3'."""
    names: list[str] = []
    for i, cell in enumerate(cells, start=1):
        name = ' '.join(cell.split()) or f'column_{i}'
        names.append(f'{name}_{i}' if name in names else name)
    return tuple(names)
