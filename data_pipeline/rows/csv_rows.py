"""CSV and TSV with a header: cut by the parent, since quotes may hold newlines."""

import csv
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

from data_pipeline.faq import questions
from data_pipeline.fields import field_map
from data_pipeline.rows import (
    batches,
    csv_records,
    message_rows,
    nested_rows,
    pair_rows,
)

_OF_CHATS = ('text', 'messages', 'conversations', 'conversation')
_HEAD_ROWS = 100
_FEWEST_WORDS = 8  # of a cell that is no column's name
_ENDS_SENTENCE = ('.', '?', '!', '…')
_FEWEST_LINKS = 2  # of rows of a dialog to the row above


def looks_like(path: str) -> bool:
    """Whether a file opens with the names of a question's and an answer's columns.

    Or with the one name of a column of chats, above texts in quotes, or with a dialog.
    """
    _, line, names = csv_records.opening(path)
    if not names and '\t' in line:
        return _are_dialogs(
            [*itertools.islice(csv_records.records(path), csv_records.MOST_ABOVE + 1)]
        )
    if line.strip().strip('"').lower() not in _OF_CHATS:
        return names == csv_records.FIRST
    with open(path, 'rb') as file:
        lines = (raw.strip() for raw in itertools.islice(file, csv_records.HEAD_LINES))
        filled = [raw for raw in lines if raw][:2]
    return len(filled) == 2 and filled[1].startswith(b'"')


def below_title(path: str) -> bool:
    """Whether a Markdown table with such columns stands below a file's first lines."""
    return csv_records.opening(path)[2] == csv_records.TABLE


def head(path: str, fields: field_map.FieldMap | None = None) -> list[dict[str, str]]:
    """The first rows, or one of empty cells; [] for a file of blank lines."""
    header, _, rows = _parted(path)
    if header is None:
        return []
    columns = _columns(header)
    first = []
    for row in itertools.islice(rows, _HEAD_ROWS):
        cells = dict(zip(columns, row.cells, strict=False))
        first += nested_rows.unfolded(cells, fields)
    return first or [dict.fromkeys(columns, '')]


def without_header(path: str) -> str:
    """What to do with a table of two columns that may have no header; '' for others.

    Quizlet and others write a term and its text a line, which may be swapped.
    """
    header, _, rows = _parted(path)
    first = [header, *itertools.islice(rows, _HEAD_ROWS)] if header else []
    if len(first) < 2 or any(len(row.cells) != 2 for row in first):
        return ''
    return (
        ' If its first line is a pair and no header, put a line above it that names '
        'the columns: question and answer.'
    )


def names(path: str) -> set[str]:
    """The names of columns that a file opens with, if it is CSV."""
    _, line, _ = csv_records.opening(path)
    cells = csv.reader([line], delimiter=csv_records.delimiter_of(line))
    try:
        return {cell.strip() for cell in next(cells, [])}
    except csv.Error:
        return set()


def objects(path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(text, cells by column) of each row; no cells of a damaged one."""
    header, _, rows = _parted(path)
    columns = _columns(header) if header else ()
    for row in rows:
        is_whole = not row.problem and len(row.cells) == len(columns)
        yield row.text, dict(zip(columns, row.cells, strict=False)) if is_whole else {}


def spans(
    path: str, *, batch_characters: int
) -> Iterator[tuple[tuple[str, ...], tuple[csv_records.Row, ...]]]:
    """(columns, records) of each piece; the first also has the header's notes."""
    header, above, rows = _parted(path)
    first = next(rows, None)
    if header is None or first is None:
        return
    columns = _columns(header)
    first = dataclasses.replace(first, notes=header.notes + first.notes)
    rows = itertools.chain(above, [first], rows)
    for piece in batches.pieces(rows, lambda row: len(row.text), most=batch_characters):
        yield columns, piece


def _parted(
    path: str,
) -> tuple[csv_records.Row | None, list[csv_records.Row], Iterator[csv_records.Row]]:
    """(the header, the rows above it, the rows below it).

    The header is the first row, or one of the next that names a question's and an
    answer's columns where the first does not: a sheet may open with its title. A table
    of two columns that opens with two sentences has none: they are the first pair.
    """
    rows = csv_records.records(path)
    first = list(itertools.islice(rows, csv_records.MOST_ABOVE + 1))
    names = [i for i, row in enumerate(first) if field_map.has_both(_columns(row))]
    at = names[0] if names else 0
    above = [
        dataclasses.replace(row, problem=row.problem or 'it stands above the header')
        for row in first[:at]
    ]
    header = first[at] if first else None
    if header and not names and (_is_pair(header) or _are_dialogs(first)):
        columns = dataclasses.replace(header, cells=('question', 'answer'), notes=())
        return columns, [], itertools.chain(first, rows)
    below = itertools.chain(first[at + 1 :], rows)
    return header, above, _in_order(header, below) if header else below


def _in_order(
    header: csv_records.Row, rows: Iterator[csv_records.Row]
) -> Iterator[csv_records.Row]:
    """The rows, their cells in the header's order, which a later header may change.

    A file may be several, one below another. A header and the line below that of a
    Markdown table have a problem; so has what stands below such a table: text, and the
    tables whose headers name no question's and answer's columns.
    """
    names = {cell.strip() for cell in header.cells}
    order: list[int] = []
    above, below_table = None, ''
    rows, ahead = itertools.tee(rows)
    is_markdown = _is_table_line(next(ahead, None))
    for row, below in itertools.zip_longest(rows, ahead):
        cells = [cell.strip() for cell in row.cells] if len(row.cells) > 1 else []
        if cells and cells[0] in names and {*cells} == names:
            order = [cells.index(cell.strip()) for cell in header.cells]
            row = dataclasses.replace(row, problem='it names the columns again')
            below_table = ''
        elif is_markdown and _is_table_line(below) and (own := _places(header, row)):
            order, below_table = own, ''
            row = dataclasses.replace(row, problem='the header of a further table')
        elif _is_table_line(row):
            row = dataclasses.replace(row, problem='a line of a table')
        elif is_markdown:
            is_text = len(row.cells) < 2 and _opens_block(row, above)
            if is_text or _is_table_line(below):
                below_table = 'it stands below the table'
            row = dataclasses.replace(row, problem=row.problem or below_table)
        if order and not row.problem and len(cells) == len(order):
            made = tuple(row.cells[i] for i in order)
            row = dataclasses.replace(row, cells=made)
        above = row
        yield row


def _places(header: csv_records.Row, row: csv_records.Row) -> list[int]:
    """Where a row that names a question and an answer has the header's cells.

    [] for any other row, and for tables of more columns than these two.
    """
    tables = [_columns(each) for each in (header, row)]
    filled = [sum(bool(cell.strip()) for cell in each.cells) for each in (header, row)]
    maps = [field_map.of_row(dict.fromkeys(each, '…')) for each in tables]
    if filled != [2, 2] or None in maps or len({*map(len, tables)}) > 1:
        return []
    made = [*range(len(tables[0]))]
    for target in ('question', 'answer'):
        own, other = (
            names.index(fields.parts[target][0])
            for names, fields in zip(tables, maps, strict=True)
        )
        made[own] = other
    return made


def _is_table_line(row: csv_records.Row | None) -> bool:
    """Whether a row is the line below the header of a Markdown table: |---|---|."""
    cells = [cell.strip() for cell in row.cells] if row else []
    filled = [*filter(None, cells)]
    return len(cells) > 1 and all(map(csv_records.TABLE_LINE.fullmatch, filled))


def _opens_block(row: csv_records.Row, above: csv_records.Row | None) -> bool:
    """Whether a line is a heading, or stands below a blank one."""
    last = above.line + above.text.rstrip('\r\n').count('\n') if above else row.line
    return row.text.startswith('#') or row.line > last + 1


def _is_pair(row: csv_records.Row) -> bool:
    """Whether a first row is a question and its answer, and no names of columns."""
    if len(row.cells) != 2:
        return False
    asked, answered = (cell.strip() for cell in row.cells)
    is_question = questions.is_question
    is_asked = is_question(asked) and not is_question(answered)
    fewest = 2 if is_asked else _FEWEST_WORDS
    return all(len(cell.split()) >= fewest for cell in (asked, answered))


def _are_dialogs(rows: Sequence[csv_records.Row]) -> bool:
    """Whether rows of two sentences go on with the second of the row above.

    'Hi, who are you?', 'I am Tom.' above 'I am Tom.', 'Good to know.'
    """
    cells = [[cell.strip() for cell in row.cells] for row in rows]
    if any(len(each) != 2 for each in cells):
        return False
    ends = sum(cell[-1:] in _ENDS_SENTENCE for each in cells for cell in each)
    links = [above[1] == below[0] for above, below in itertools.pairwise(cells)]
    is_one = links[:1] == [True] and 2 * sum(links) >= len(links)
    return is_one and sum(links) >= _FEWEST_LINKS and ends >= len(cells)


def _columns(header: csv_records.Row) -> tuple[str, ...]:
    return columns_of(header.cells)


def columns_of(header: Iterable[str]) -> tuple[str, ...]:
    """A name for each column: a second 'text' is 'text_2', '' is 'column_3'."""
    columns: list[str] = []
    for i, cell in enumerate(header, start=1):
        name = ' '.join(cell.split()) or f'column_{i}'
        columns.append(f'{name}_{i}' if name in columns else name)
    return tuple(columns)


def read(batch: batches.Batch, result: batches.BatchRead) -> None:
    """Adds the pairs of a batch of rows."""
    columns = batch.columns
    if not batch.rows:
        result.problem = f'{batch.name} has a header and no rows below it.'
    for row in batch.rows:
        for line, note in row.notes:
            result.counts['lines that are not UTF-8'] += 1
            result.warnings.append(f'{batch.name}:{line} {note}.')
        if row.protected:
            result.counts['fields that are protected (="…"), read as shown'] += (
                row.protected
            )
        problem = row.problem
        if not problem and len(row.cells) != len(columns):
            problem = f'{len(row.cells)} cells, the header has {len(columns)}'
        if problem:
            result.leave_out(f'{batch.name}:{row.line}', row.text, problem)
            continue
        add = pair_rows.add if batch.fields else message_rows.add
        cells = dict(zip(columns, row.cells, strict=True))
        for value in nested_rows.unfolded(cells, batch.fields):
            add(value, text=row.text, line=row.line, batch=batch, result=result)
