"""The rows of a JSON file that is no JSON Lines, value by value in bounded memory.

    [{…}, {…}]                               a list of rows, on any number of lines
    {"data": [{…}, {…}], "version": 1}       a dict with lists of rows: train, test, …
    {"question": ["…"], "answer": ["…"]}     a dict of columns
    {"columns": ["question", "answer"], "data": [["…", "…"]]}
    {"17": {"question": "…"}, "18": {…}}     a dict of rows by id
    {…} {…}                                  rows one after another, on any lines
    [["Why?", "So."], [{turn}, {turn}]]      a list of pairs or of chats, or one a line
    {"pairs": [["Why?", "So."], …]}
    [["question", "answer"], ["Why?", …]]    the same below names of columns
    {"Why do we ask?": "So.", …}             answers by their questions
    {"Topic": {"Why do we ask?": "So.", …}}  the same for each topic
    {"response": {"docs": [{…}, {…}]}}       a list, or a dict of rows by id, within

Each row is written as it stands in the file, so its numbers and escapes stay as they
are.
"""

import functools
import json
import operator
from collections.abc import Iterator, Sequence
from typing import Any

from data_pipeline.copies import json_scanner, json_survey
from data_pipeline.rows import nested_rows

_AT_ONCE = 2**20  # characters
_FLATTENED = str.maketrans('\r\n', '  ')  # JSON has line breaks between tokens alone


def rows(path: str, document: json_survey.Document) -> Iterator[str]:
    """Each row's JSON on one line.

    Raises:
      Malformed: the file is damaged behind its first row.
    """
    if document.kind == 'columns':
        columns = [_column(path, key) for key in document.keys]
        for cells in zip(*columns, strict=True):
            yield _object(document.keys, cells)
        return
    with json_survey.opened(path) as file:
        scanner = json_scanner.Scanner(file)
        while sign := scanner.peek():
            if sign == ',':  # between rows, as a list without its brackets has it
                scanner.skip(',')
                continue
            for text in _rows(scanner, document):
                yield text.translate(_FLATTENED)


def whole_items(path: str) -> tuple[int, int]:
    """(whole items of a list that is damaged further on, the bytes up to their end)."""
    count = place = 0
    with json_survey.opened(path) as file:
        scanner = json_scanner.Scanner(file)
        try:
            for _ in scanner.items():
                scanner.value()
                count, place = count + 1, scanner.place()
        except json_scanner.Malformed:
            pass  # the list's damaged end, which the caller has met
    size = 0
    with json_survey.opened(path) as file:
        while text := file.read(min(place, _AT_ONCE)):
            size += len(text.encode('utf-8', 'surrogateescape'))
            place -= len(text)
    return count, size


def _rows(
    scanner: json_scanner.Scanner, document: json_survey.Document
) -> Iterator[str]:
    """The rows of the next top value."""
    if document.kind == 'lists by lines':
        yield _listed(*scanner.value())
    elif document.kind == 'of lists':
        yield from _listed_rows(scanner)
    elif scanner.peek() == '[':
        for _ in scanner.items():
            yield scanner.value()[1]
    elif document.kind == 'values' or scanner.peek() != '{':
        yield scanner.value()[1]
    else:
        yield from _rows_of_members(scanner, document)


def _rows_of_members(
    scanner: json_scanner.Scanner, document: json_survey.Document
) -> Iterator[str]:
    names: list[str] = []
    keys = frozenset(document.keys)  # of a dict by ids, as many as rows
    for key in scanner.members():
        if document.kind == 'table' and key == 'columns':
            names = scanner.value()[0]
        elif key not in keys:
            _pass_by(scanner)
        elif document.kind == 'table':
            for _ in scanner.items():
                cells = [json.dumps(cell) for cell in scanner.value()[0]]
                yield _object(names, cells)
        elif document.kind == 'within':
            whole = scanner.value()[0]
            for path in document.paths:
                value = functools.reduce(operator.getitem, path, whole)
                for each in value.values() if isinstance(value, dict) else value:
                    yield json.dumps(each, ensure_ascii=False)
        elif document.kind == 'answers':
            cells = (json.dumps(key), scanner.value()[1])
            yield _object(('question', 'answer'), cells)
        elif document.kind == 'answers by topics':
            for asked, answer in scanner.value()[0].items():
                cells = map(json.dumps, (key, asked, answer))
                yield _object(('topic', 'question', 'answer'), [*cells])
        elif document.kind == 'ids' or scanner.peek() != '[':
            yield scanner.value()[1]
        else:
            yield from _listed_rows(scanner)


def _listed_rows(scanner: json_scanner.Scanner) -> Iterator[str]:
    names: list[str] = []
    for place, _ in enumerate(scanner.items()):
        value, text = scanner.value()
        is_list = isinstance(value, list)
        if not place and is_list and json_survey.are_names(value):
            names = value
        elif names and is_list and len(value) == len(names):
            yield _object(names, [json.dumps(cell) for cell in value])
        else:
            yield _listed(value, text)


def _listed(value: Any, text: str) -> str:
    """A row's JSON; that of a list which is no row stays as it is."""
    row = nested_rows.of_list(value) if isinstance(value, list) else None
    return json.dumps(row, ensure_ascii=False) if row else text


def _column(path: str, key: str) -> Iterator[str]:
    """The JSON of each cell of a column: its file is read once for each column."""
    with json_survey.opened(path) as file:
        scanner = json_scanner.Scanner(file)
        for found in scanner.members():
            if found != key:
                _pass_by(scanner)
            elif scanner.peek() == '[':
                for _ in scanner.items():
                    yield scanner.value()[1]
            else:  # pandas: {"0": cell, "1": cell}
                for _ in scanner.members():
                    yield scanner.value()[1]


def _object(names: Sequence[str], cells: Sequence[str]) -> str:
    pairs = zip(names, cells, strict=True)
    made = ', '.join(f'{json.dumps(name)}: {cell}' for name, cell in pairs)
    return ('{' + made + '}').translate(_FLATTENED)


def _pass_by(scanner: json_scanner.Scanner) -> None:
    if scanner.peek() != '[':
        scanner.value()
        return
    for _ in scanner.items():
        scanner.value()
