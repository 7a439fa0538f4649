"""CSV and TSV with a header: cut by the parent, since quotes may hold newlines."""

import csv
import dataclasses
import itertools
import re
from collections.abc import Iterator

from data_pipeline.pages import encoding
from data_pipeline.rows import batches, field_map, message_rows, pair_rows

_DELIMITERS = ',\t;|'
_BOM = '\ufeff'
_HEAD_ROWS = 100
_SIGN_LINE = re.compile(r'"?sep=."?', re.IGNORECASE)  # Excel's, above the header
# A longer field has lost its closing quote, and would swallow the file.
_LONGEST_FIELD = 2**23


@dataclasses.dataclass(frozen=True)
class Row:
    """A record: its first line's number, its cells, its text and its problem, if any.

    It ends before byte `end` of the file. `notes` are warnings on the encoding of its
    lines, each with its line's number.
    """

    line: int
    end: int
    cells: tuple[str, ...]
    text: str
    problem: str = ''
    notes: tuple[tuple[int, str], ...] = ()


def looks_like(path: str) -> bool:
    """Whether a file opens with the names of a question's and an answer's columns."""
    delimiter, line = _opening(path)
    try:
        columns = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return False
    return field_map.has_both(columns)


def head(path: str) -> list[dict[str, str]]:
    """The first rows, or one of empty cells; [] for a file of blank lines."""
    rows = _records(path)
    header = next(rows, None)
    if header is None:
        return []
    columns = _columns(header)
    first = [
        dict(zip(columns, row.cells, strict=False))
        for row in itertools.islice(rows, _HEAD_ROWS)
    ]
    return first or [dict.fromkeys(columns, '')]


def spans(
    path: str, *, batch_characters: int
) -> Iterator[tuple[tuple[str, ...], tuple[Row, ...]]]:
    """(columns, records) of each piece; the first also has the header's notes."""
    rows = _records(path)
    header, first = next(rows, None), next(rows, None)
    if header is None or first is None:
        return
    columns = _columns(header)
    first = dataclasses.replace(first, notes=header.notes + first.notes)
    rows = itertools.chain([first], rows)
    for piece in batches.pieces(rows, lambda row: len(row.text), most=batch_characters):
        yield columns, piece


def _columns(header: Row) -> tuple[str, ...]:
    """A name for each column: a second 'text' is 'text_2', '' is 'column_3'."""
    columns: list[str] = []
    for i, cell in enumerate(header.cells, start=1):
        name = ' '.join(cell.split()) or f'column_{i}'
        columns.append(f'{name}_{i}' if name in columns else name)
    return tuple(columns)


def read(batch: batches.Batch, result: batches.BatchRead) -> None:
    """Adds the pairs of a batch of rows."""
    columns = batch.columns
    for row in batch.rows:
        for line, note in row.notes:
            result.counts['lines that are not UTF-8'] += 1
            result.warnings.append(f'{batch.name}:{line} {note}.')
        problem = row.problem
        if not problem and len(row.cells) != len(columns):
            problem = f'{len(row.cells)} cells, the header has {len(columns)}'
        if problem:
            result.leave_out(f'{batch.name}:{row.line}', row.text, problem)
            continue
        value = dict(zip(columns, row.cells, strict=True))
        add = pair_rows.add if batch.fields else message_rows.add
        add(value, text=row.text, line=row.line, batch=batch, result=result)


def _records(path: str) -> Iterator[Row]:
    """Every record that is not blank, the header first."""
    csv.field_size_limit(_LONGEST_FIELD)
    delimiter, _ = _opening(path)
    is_first = True
    number = end = 0  # the lines read so far, and their bytes
    # The lines of the record that is being read, and the notes on them.
    pending: list[str] = []
    notes: list[tuple[int, str]] = []

    def lines() -> Iterator[str]:
        nonlocal number, end
        with open(path, 'rb') as file:
            for raw in file:
                text, note = encoding.decode_part(raw)
                end += len(raw)
                if not number:
                    text = text.removeprefix(_BOM)
                if note:
                    notes.append((number + 1, note))
                # For csv, a carriage return alone ends a line too.
                for line in filter(None, re.split('(?<=\r)(?!\n)', text)):
                    number += 1
                    pending.append(line)
                    yield line

    reader = csv.reader(lines(), delimiter=delimiter)
    while True:
        pending.clear()
        notes.clear()
        problem, cells = '', []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f'no CSV: {error}'
        text = ''.join(pending)
        if not problem and text.count('"') % 2:
            problem = _if_unclosed(pending, delimiter)
        if is_first and _SIGN_LINE.fullmatch(text.strip('\r\n')):
            continue
        if problem or ''.join(cells).strip():
            is_first = False
            line = number - len(pending) + 1
            yield Row(line, end, tuple(cells), text, problem, tuple(notes))


def _opening(path: str) -> tuple[str, str]:
    """(delimiter, first line that is not blank); ',' and '' for a blank file."""
    with open(path, 'rb') as file:
        for raw in iter(lambda: file.readline(2**20), b''):
            line = encoding.decode_part(raw)[0].removeprefix(_BOM)
            is_sign = _SIGN_LINE.fullmatch(line.strip('\r\n'))
            if line.strip(_DELIMITERS + ' \r\n') and not is_sign:
                unquoted = re.sub('"[^"]*"', '', line)
                return max(_DELIMITERS, key=unquoted.count), line
    return ',', ''


def _if_unclosed(lines: list[str], delimiter: str) -> str:
    """The problem of a file that ends within quotes, which csv lets pass."""
    try:
        list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        if 'unexpected end' in str(error):
            return f'the quote that opens in it is not closed in {len(lines):,} lines'
    return ''
