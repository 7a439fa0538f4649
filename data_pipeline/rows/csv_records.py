"""The records of a CSV or TSV file, or of a Markdown table, as they stand in it.

A damaged record is one line, and says so: reading goes on with the next.
"""

import collections
import csv
import dataclasses
import itertools
import re
from collections.abc import Iterator
from typing import Any

from data_pipeline.fields import field_map
from data_pipeline.layouts import spreadsheet_cells
from data_pipeline.pages import encoding

_DELIMITERS = ',\t;|'
_BAR = '\ue000'  # for the escaped bar in a cell of a Markdown table
_BOM = '\ufeff'
HEAD_LINES = 1_000  # that show the dialect
_SIGN_LINE = re.compile(r'"?sep=."?', re.IGNORECASE)  # Excel's, above the header
# A longer field has lost its closing quote, and would swallow the file.
_LONGEST_FIELD = 2**23
FIRST, TABLE = 'first line', 'table'  # where a line names a pair's columns
TABLE_LINE = re.compile(r':?-{2,}:?')
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


def records(path: str) -> Iterator[Row]:
    """Every record that is not blank, the header first.

    A record with a quote astray is one line: reading goes on with the next. Below it, a
    record with an odd number of quotes may be its rest, and is damaged too. Where the
    lines below are not most of them records, they are its text: the file was cut.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    delimiter, _, _ = opening(path)
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
    lines = [line.text for line in itertools.islice(_lines(path), HEAD_LINES)]
    if delimiter == '|':
        lines = [line.replace(r'\|', _BAR) for line in lines]
    is_whole = len(lines) < HEAD_LINES  # else the last record may go on

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
    if _IN_SINGLE_QUOTES.fullmatch(opening(path)[1].strip('\r\n')):
        able.append({'quotechar': "'"})
    return min(able, key=damage)


def opening(path: str) -> tuple[str, str, str]:
    """(delimiter, the line that shows it, what the line is: FIRST, TABLE or '').

    The line is the first that names a pair's columns, or else the first with text; ','
    and '' for a blank file. Only one that names them is FIRST, the first with text, or
    TABLE, above a line such as |---|---|.
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
                is_table = all(map(TABLE_LINE.fullmatch, cells))
                kind = FIRST if line == first else TABLE * is_table
                return delimiter_of(line), line, kind
    return delimiter_of(first), first, ''


def delimiter_of(line: str) -> str:
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
    cells = csv.reader([line], delimiter=delimiter_of(line), skipinitialspace=True)
    try:
        return field_map.has_both([*map(spreadsheet_cells.shown, next(cells, []))])
    except csv.Error:
        return False
