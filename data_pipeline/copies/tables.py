"""Rows of Parquet, Arrow, Feather and Excel files, as JSON, block by block."""

import importlib
import itertools
import json
import math
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from data_pipeline.fields import field_map
from data_pipeline.rows import csv_records, csv_rows
from hax_jax import errors

_BLOCK_ROWS = 1_000
_STREAM = b'\xff\xff\xff\xff'  # opens each message of Arrow's stream format
_PARQUET, _ARROW, _ZIP = b'PAR1', b'ARROW1', b'PK\3\4'
MAGIC = (_PARQUET, _ARROW, _STREAM, _ZIP)


def kind(head: bytes, path: str) -> str:
    """'parquet', 'arrow' or 'xlsx' by a file's first bytes; '' for any other file."""
    if head.startswith(_PARQUET):
        return 'parquet'
    if head.startswith((_ARROW, _STREAM)):
        return 'arrow'
    if head.startswith(_ZIP):
        with open(path, 'rb') as file:
            file.seek(max(0, file.seek(0, 2) - 2**16))
            return 'xlsx' if b'xl/workbook.xml' in file.read() else ''
    return ''


def rows(path: str, kind: str, name: str) -> Iterator[str]:
    """Each row as JSON on one line; '' for a header or an empty row of a sheet.

    Raises:
      InputError: the file is damaged, or a package is missing.
    """
    read = {'parquet': _parquet, 'arrow': _arrow, 'xlsx': _excel}[kind]
    try:
        for row in read(path):
            yield '' if row is None else json.dumps(_plain(row), ensure_ascii=False)
    except ImportError as error:
        raise errors.InputError(
            f'{name} is an Excel file; pip install openpyxl, or save it as CSV '
            f'({error}).'
        ) from error
    except Exception as error:  # of a package, which a damaged file meets anywhere
        if errors.is_of_machine(error):
            raise
        first = str(error).splitlines()[:1]
        raise errors.InputError(
            f'{name} is a damaged {kind} file ({"".join(first)}); make it again.'
        ) from error


def _parquet(path: str) -> Iterator[dict[str, Any]]:
    with pyarrow.parquet.ParquetFile(path) as file:
        for block in file.iter_batches(batch_size=_BLOCK_ROWS):
            yield from block.to_pylist()


def _arrow(path: str) -> Iterator[dict[str, Any]]:
    with pa.memory_map(path) as source:
        if source.read(len(_ARROW)) == _ARROW:
            file = pa.ipc.open_file(source)
            blocks = (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            source.seek(0)
            blocks = iter(pa.ipc.open_stream(source))
        for block in blocks:
            for start in range(0, block.num_rows, _BLOCK_ROWS):
                yield from block.slice(start, _BLOCK_ROWS).to_pylist()


def _excel(path: str) -> Iterator[dict[str, Any] | None]:
    """The rows of all sheets, by the names in each sheet's header.

    None for the header and for an empty row, so that a row's number is the sheet's.
    The header is the first row with text, or one of the next that names a question's
    and an answer's columns where the first does not. A row above it names none of them.
    """
    openpyxl = importlib.import_module('openpyxl')
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    written = openpyxl.load_workbook(path, read_only=True) if _has_links(path) else None
    for sheet in book.worksheets:
        every = sheet.iter_rows(values_only=True)
        if written:
            formulas = written[sheet.title].iter_rows(values_only=True)
            every = map(_with_formulas, every, formulas)
        filled = (
            (number, cells)
            for number, cells in enumerate(every, start=1)
            if ''.join(map(str, filter(None, cells)))
        )
        first = list(itertools.islice(filled, csv_records.MOST_ABOVE + 1))
        headers = [_names(cells) for _, cells in first]
        at = next((i for i, h in enumerate(headers) if field_map.has_both(h)), 0)
        above = 0
        for i, (number, cells) in enumerate(itertools.chain(first, filled)):
            yield from itertools.repeat(None, number - above - 1)
            above = number
            if i < at:
                yield {'above the header': ' '.join(str(c) for c in cells if c)}
            else:  # where trailing cells are empty, a row may be shorter
                yield dict(zip(headers[at], cells, strict=False)) if i > at else None
    book.close()
    if written:
        written.close()


def sheets(path: str) -> str:
    """Which sheets the rows of an Excel file are of, where that is a question."""
    book = importlib.import_module('openpyxl').load_workbook(path, read_only=True)
    names = [
        f'{sheet.title!r}{" (hidden)" * (sheet.sheet_state != "visible")}'
        for sheet in book.worksheets
    ]
    book.close()
    if len(names) < 2:  # which is visible: a book shows one at least
        return ''
    return (
        f'the rows of its sheets {", ".join(names)} are read and numbered, one behind '
        'another'
    )


def _has_links(path: str) -> bool:
    """Whether a sheet has links as formulas, which some tools write without texts."""
    with zipfile.ZipFile(path) as packed:
        sheets = [
            name for name in packed.namelist() if name.startswith('xl/worksheets/')
        ]
        return any(b'HYPERLINK(' in packed.read(name) for name in sheets)


def _with_formulas(cells: Sequence[Any], formulas: Sequence[Any]) -> list[Any]:
    """The cells, with the formula of each whose value was not written."""
    return [
        formula if cell is None else cell
        for cell, formula in zip(cells, formulas, strict=True)
    ]


def _names(cells: Sequence[Any]) -> tuple[str, ...]:
    return csv_rows.columns_of(str(cell or '') for cell in cells)


def _plain(value: Any) -> Any:
    """The value as JSON has it; bytes that are no UTF-8, such as pictures, as null."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)  # dates and such
