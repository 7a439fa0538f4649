"""CSV and TSV with a header: cut by the parent, since quotes may hold newlines."""

import collections
import csv
import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from data_pipeline.faq import questions
from data_pipeline.layouts import spreadsheet_cells
from data_pipeline.pages import encoding
from data_pipeline.rows import batches, field_map, message_rows, nested_rows, pair_rows

_DELIMITERS = ',\t;|'
_BAR = '\ue000'  # for the escaped bar in a cell of a Markdown table
_BOM = '\ufeff'
_OF_CHATS = ('text', 'messages', 'conversations', 'conversation')
_HEAD_ROWS = 100
_HEAD_LINES = 1_000  # that show the dialect
_SIGN_LINE = re.compile(r'"?sep=."?', re.IGNORECASE)  # Excel's, above the header
# A longer field has lost its closing quote, and would swallow the file.
_LONGEST_FIELD = 2**23
_FIRST, _TABLE = 'first line', 'table'  # where a line names a pair's columns
_TABLE_LINE = re.compile(r':?-{2,}:?')
_FEWEST_WORDS = 8  # of a cell that is no column's name
_ENDS_SENTENCE = ('.', '?', '!', '…')
_FEWEST_LINKS = 2  # of rows of a dialog to the row above
MOST_ABOVE = 9  # rows above the header: a title, a date, blank ones
_MOST_AGAIN = 1_000  # lines of a damaged record that are read once more
# A quote behind a backslash that neither ends a cell nor is doubled.
_ESCAPE = re.compile(r'\\"(?![",;|\t\r\n]|$)')
_ESCAPED = {'escapechar': '\\', 'doublequote': False}
_IN_SINGLE_QUOTES = re.compile(r"\s*'[^']*'(?:\s*[,;\t|]\s*'[^']*')+\s*")
# Of a cell: the quotes around it, or one of them, were read as text.
_QUOTES_LEFT = {
    False: re.compile(r' +".*"', re.DOTALL),
    True: re.compile(r'".+"|"[^"]*(?:"[^"]*"[^"]*)*', re.DOTALL),
}
_DIALECTS: list[dict[str, Any]] = [
    {},
    {'skipinitialspace': True},
    _ESCAPED,
    {'skipinitialspace': True, **_ESCAPED},
    {'quoting': csv.QUOTE_NONE},
]


@dataclasses.dataclass(frozen=True)
class Row:
    """A record: its first line's number, its cells, its text and its problem, if any.

    It ends before byte `end` of the file. `notes` are warnings on the encoding of its
    lines, each with its line's number. `protected` cells were written for a spreadsheet
    not to change, and hold what they show there.
    """

    line: int
    end: int
    cells: tuple[str, ...]
    text: str
    problem: str = ''
    notes: tuple[tuple[int, str], ...] = ()
    protected: int = 0


@dataclasses.dataclass(frozen=True)
class _Line:
    """A line by its number; it ends before byte `end`. `note` is on its encoding."""

    number: int
    end: int
    text: str
    note: str


def looks_like(path: str) -> bool:
    """Whether a file opens with the names of a question's and an answer's columns.

    Or with the one name of a column of chats, above texts in quotes, or with a dialog.
    """
    _, line, names = _opening(path)
    if not names and '\t' in line:
        return _are_dialogs([*itertools.islice(_records(path), MOST_ABOVE + 1)])
    if line.strip().strip('"').lower() not in _OF_CHATS:
        return names == _FIRST
    with open(path, 'rb') as file:
        lines = (raw.strip() for raw in itertools.islice(file, _HEAD_LINES))
        filled = [raw for raw in lines if raw][:2]
    return len(filled) == 2 and filled[1].startswith(b'"')


def below_title(path: str) -> bool:
    """Whether a Markdown table with such columns stands below a file's first lines."""
    return _opening(path)[2] == _TABLE


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
    _, line, _ = _opening(path)
    cells = csv.reader([line], delimiter=_delimiter(line))
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
) -> Iterator[tuple[tuple[str, ...], tuple[Row, ...]]]:
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


def _parted(path: str) -> tuple[Row | None, list[Row], Iterator[Row]]:
    """(the header, the rows above it, the rows below it).

    The header is the first row, or one of the next that names a question's and an
    answer's columns where the first does not: a sheet may open with its title. A table
    of two columns that opens with two sentences has none: they are the first pair.
    """
    rows = _records(path)
    first = list(itertools.islice(rows, MOST_ABOVE + 1))
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


def _in_order(header: Row, rows: Iterator[Row]) -> Iterator[Row]:
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


def _places(header: Row, row: Row) -> list[int]:
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


def _is_table_line(row: Row | None) -> bool:
    """Whether a row is the line below the header of a Markdown table: |---|---|."""
    cells = [cell.strip() for cell in row.cells] if row else []
    filled = [*filter(None, cells)]
    return len(cells) > 1 and all(map(_TABLE_LINE.fullmatch, filled))


def _opens_block(row: Row, above: Row | None) -> bool:
    """Whether a line is a heading, or stands below a blank one."""
    last = above.line + above.text.rstrip('\r\n').count('\n') if above else row.line
    return row.text.startswith('#') or row.line > last + 1


def _is_pair(row: Row) -> bool:
    """Whether a first row is a question and its answer, and no names of columns."""
    if len(row.cells) != 2:
        return False
    asked, answered = (cell.strip() for cell in row.cells)
    is_question = questions.is_question
    is_asked = is_question(asked) and not is_question(answered)
    fewest = 2 if is_asked else _FEWEST_WORDS
    return all(len(cell.split()) >= fewest for cell in (asked, answered))


def _are_dialogs(rows: Sequence[Row]) -> bool:
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


def _columns(header: Row) -> tuple[str, ...]:
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


def _records(path: str) -> Iterator[Row]:
    """Every record that is not blank, the header first.

    A record with a quote astray is one line: reading goes on with the next. Below it, a
    record with an odd number of quotes may be its rest, and is damaged too. Where the
    lines below are not most of them records, they are its text: the file was cut.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    delimiter, _, _ = _opening(path)
    source = _lines(path)
    again: collections.deque[_Line] = collections.deque()
    pending: list[_Line] = []  # of the record that is being read

    def lines() -> Iterator[str]:
        while line := again.popleft() if again else next(source, None):
            pending.append(line)
            yield line.text.replace(r'\|', _BAR) if delimiter == '|' else line.text

    dialect = _dialect(path, delimiter)
    reader = csv.reader(lines(), delimiter=delimiter, strict=True, **dialect)
    is_first, is_suspect = True, False
    width = num_rows = num_quoted = 0
    while True:
        pending.clear()
        problem, cells = '', []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = _problem(error, pending)
            below = [line.text for line in pending[1 : _MOST_AGAIN + 1]]
            is_cut = _is_unclosed(error) and not (
                _are_rows(below, width, delimiter=delimiter, **dialect)
                and (num_quoted < num_rows or below[0].startswith('"'))
            )
            if 0 < len(below) < _MOST_AGAIN and (is_first or not is_cut):
                again.extendleft(reversed(pending[1:]))
                del pending[1:]
                # The one before may have met the end of the file.
                reader = csv.reader(
                    lines(), delimiter=delimiter, strict=True, **dialect
                )
        if delimiter == '|':
            cells = [cell.replace(_BAR, '|') for cell in cells]
        text = ''.join(line.text for line in pending)
        if is_first and _SIGN_LINE.fullmatch(text.strip('\r\n')):
            continue
        if is_suspect and not problem and text.count('"') % 2:
            problem = 'it may be the rest of the damaged row above'
        is_suspect = bool(problem) or (is_suspect and len(cells) < 2)
        if problem or ''.join(cells).strip():
            width = width or len(cells)
            num_rows, num_quoted = num_rows + 1, num_quoted + text.startswith('"')
            is_first = False
            notes = tuple((line.number, line.note) for line in pending if line.note)
            first, last = pending[0], pending[-1]
            shown = tuple(map(spreadsheet_cells.shown, cells))
            protected = sum(a != b for a, b in zip(shown, cells, strict=True))
            yield Row(
                first.number, last.end, shown, text, problem, notes, protected=protected
            )


def _lines(path: str) -> Iterator[_Line]:
    number = end = 0
    with open(path, 'rb') as file:
        for raw in file:
            text, note = encoding.decode_part(raw)
            end += len(raw)
            if not number:
                text = text.removeprefix(_BOM)
            # For csv, a carriage return alone ends a line too.
            has_one = text.count('\r') > text.endswith('\r\n')
            lines = re.split('(?<=\r)(?!\n)', text) if has_one else [text]
            for line in filter(None, lines):
                number += 1
                yield _Line(number, end, line, note)
                note = ''


def _is_unclosed(error: csv.Error) -> bool:
    return 'unexpected end' in str(error)


def _are_rows(lines: list[str], width: int, **dialect: Any) -> bool:
    """Whether most of some lines are records of a number of cells."""
    try:
        rows = [
            row
            for row in csv.reader(lines, strict=True, **dialect)
            if ''.join(row).strip()
        ]
    except csv.Error:
        return False
    return 2 * sum(len(row) == width for row in rows) > len(rows)


def _problem(error: csv.Error, lines: list[_Line]) -> str:
    if not _is_unclosed(error):
        return f'no CSV: {error}'
    return f'the quote that opens in it is not closed in {len(lines):,} lines'


def _dialect(path: str, delimiter: str) -> dict[str, Any]:
    """The dialect in which the fewest of the first rows are damaged.

    Quotes within quotes are doubled or stand behind backslashes; some tools write
    blanks behind the delimiter, or no quotes.
    """
    lines = [line.text for line in itertools.islice(_lines(path), _HEAD_LINES)]
    if delimiter == '|':
        lines = [line.replace(r'\|', _BAR) for line in lines]
    is_whole = len(lines) < _HEAD_LINES  # else the last record may go on

    def damage(dialect: dict[str, Any]) -> int:
        reader = csv.reader(lines, delimiter=delimiter, strict=True, **dialect)
        damaged = 0 if 'escapechar' in dialect else num_escapes
        widths = collections.Counter[int]()
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return damaged + widths.total() - max(widths.values(), default=0)
            except csv.Error as error:
                damaged += is_whole or 'unexpected end' not in str(error)
                continue
            widths[len(cells)] += bool(cells)
            left = _QUOTES_LEFT['quoting' in dialect]
            damaged += any(map(left.fullmatch, cells))

    # With backslashes, csv lets any quote astray pass.
    is_escaped = any('\\"' in line for line in lines)
    num_escapes = sum(len(_ESCAPE.findall(line)) for line in lines if is_escaped)
    able = [each for each in _DIALECTS if is_escaped or 'escapechar' not in each]
    if _IN_SINGLE_QUOTES.fullmatch(_opening(path)[1].strip('\r\n')):
        able.append({'quotechar': "'"})
    return min(able, key=damage)


def _opening(path: str) -> tuple[str, str, str]:
    """(delimiter, the line that shows it, what the line is: _FIRST, _TABLE or '').

    The line is the first that names a pair's columns, or else the first with text; ','
    and '' for a blank file. Only one that names them is _FIRST, the first with text, or
    _TABLE, above a line such as |---|---|.
    """
    first = ''
    with open(path, 'rb') as file:
        read = iter(lambda: file.readline(2**20), b'')
        for raw in itertools.islice(read, MOST_ABOVE + 1):
            line = encoding.decode_part(raw)[0].removeprefix(_BOM)
            is_sign = _SIGN_LINE.fullmatch(line.strip('\r\n'))
            if not line.strip(_DELIMITERS + ' \r\n') or is_sign:
                continue
            first = first or line
            if _names_columns(line):
                below = next(read, b'').decode('utf-8', 'replace').strip('| \r\n')
                cells = map(str.strip, below.split('|'))
                is_table = all(map(_TABLE_LINE.fullmatch, cells))
                kind = _FIRST if line == first else _TABLE * is_table
                return _delimiter(line), line, kind
    return _delimiter(first), first, ''


def _delimiter(line: str) -> str:
    """The commonest one; a tab for one column, whose texts may have commas unquoted.

    Sentences have commas too: a tab between two texts parts them, unless the others
    part the names of a question's and an answer's columns.
    """
    unquoted = re.sub('"[^"]*"', '', line)
    most = max(_DELIMITERS, key=unquoted.count)
    is_one = most not in unquoted and '"' not in unquoted
    is_tab = '\t' in unquoted.strip() and not field_map.has_both(line.split(most))
    return '\t' if is_one or is_tab else most


def _names_columns(line: str) -> bool:
    cells = csv.reader([line], delimiter=_delimiter(line), skipinitialspace=True)
    try:
        return field_map.has_both([*map(spreadsheet_cells.shown, next(cells, []))])
    except csv.Error:
        return False
