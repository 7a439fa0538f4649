"""JSON Lines: cut into spans of bytes by the parent, decoded in a worker."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from data_pipeline.fields import field_map
from data_pipeline.pages import encoding
from data_pipeline.rows import batches, nested_rows

SPAN_BYTES = 2**20  # of a batch, which also gets the rest of its last line
_BOM = b'\xef\xbb\xbf'
# Before an object: blanks, and the sign that opens each text of RFC 7464.
_BEFORE_ROW = b' \t\r\n\x0b\x0c\x1e'
_SIGNS = ' \t\x1e\ufeff'  # the last one where files were put one behind another
_HEAD_LINES = 100
_HEAD_BYTES = 2**20
_OPENING = 2**16  # bytes


def head(path: str, fields: field_map.FieldMap | None = None) -> list[Any]:
    """The objects among the first lines; [] for a file that is no JSON Lines.

    Its lines open with braces; a few may be damaged before one is an object.
    """
    objects, size = [], 0
    with open(path, 'rb') as file:
        read = iter(lambda: file.readline(_OPENING), b'')
        for line in itertools.islice(read, _HEAD_LINES):
            line = line if size else line.removeprefix(_BOM)
            size += len(line)
            if not objects and line.lstrip(_BEFORE_ROW)[:1] not in (b'', b'{'):
                return []
            if len(line) == _OPENING:
                line += file.readline()  # a row, however long
            size += len(line)
            if not line.strip():
                continue
            value, _ = _parse(encoding.decode_part(line)[0], [])
            if isinstance(value, dict):
                objects += nested_rows.unfolded(value, fields)
            if size > _HEAD_BYTES:
                break
    return objects


def spans(
    path: str, *, size: int, span_bytes: int = SPAN_BYTES
) -> Iterator[tuple[int, int, int]]:
    """(start, end, first line's number) of each span, cut behind newlines.

    Reads `size` bytes, not what is appended to the file meanwhile.
    """
    start, line = 0, 1
    with open(path, 'rb') as file:
        while start < size and (held := file.read(min(span_bytes, size - start))):
            if not held.endswith(b'\n'):
                held += file.readline()
            end = min(start + len(held), size)
            yield start, end, line
            line += held.count(b'\n')
            start = end


def rows(
    batch: batches.Batch, result: batches.BatchRead
) -> Iterator[tuple[int, dict[str, Any], str]]:
    """(line number, object, text) of each row; `result` gets the other lines.

    A last line without its newline that is no JSON is torn, as a collector at work
    leaves it: it is counted, not reported as unknown.
    """
    with open(batch.path, 'rb') as file:
        file.seek(batch.start)
        raw = file.read(batch.end - batch.start)
    if batch.start == 0:
        raw = raw.removeprefix(_BOM)
    lines = raw.split(b'\n')
    for number, line in enumerate(lines, start=batch.line):
        if not line.strip():
            continue
        at = f'{batch.name}:{number}'
        text, note = encoding.decode_part(line)
        lost: list[tuple[str, Any]] = []
        value, problem = _parse(text, lost)
        is_torn = bool(problem) and number == batch.line + len(lines) - 1
        if note and not is_torn:
            result.counts['lines that are not UTF-8'] += 1
            result.warnings.append(f'{at} {note}.')
        if is_torn:
            result.counts['torn last lines'] += 1
            result.words['in torn last lines'] += len(text.split())
            result.warnings.append(
                f'{at} is a last line that was not written to its end (is its '
                'collector still at work?); it was left out.'
            )
        elif problem:
            result.leave_out(at, text, problem)
        else:
            result.counts['JSON lines'] += 1
            if lost:
                result.counts['JSON lines with a key twice, the last one taken'] += 1
                result.words['in values of keys that came again'] += num_words(
                    [value for _, value in lost]
                )
                result.warnings.append(
                    f'{at} has the key {lost[0][0]!r} twice; its last value was taken.'
                )
            if isinstance(value, dict):
                for row in nested_rows.unfolded(value, batch.fields):
                    yield number, row, text
            else:
                result.leave_out(at, text, 'its JSON is not an object')


def num_words(value: Any) -> int:
    """The words of all the texts within a JSON value."""
    words, stack = 0, [value]
    while stack:
        each = stack.pop()
        if isinstance(each, str):
            words += len(each.split())
        elif isinstance(each, dict):
            stack += each.values()
        elif isinstance(each, list | tuple):
            stack += each
    return words


def _parse(text: str, lost: list[tuple[str, Any]]) -> tuple[Any, str]:
    """A line's value and '', or None and the problem.

    `lost` gets (key, value) of each that another value of its object's key replaces.
    """

    def last_of_each(members: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(members)
        if len(made) < len(members):
            last = {key: i for i, (key, _) in enumerate(members)}
            replaced = [e for i, e in enumerate(members) if last[e[0]] != i]
            lost.extend(e for e in replaced if e[1] != made[e[0]])
        return made

    try:
        value = json.loads(text.lstrip(_SIGNS), object_pairs_hook=last_of_each)
    except RecursionError:
        return None, 'its brackets are nested too deep'
    except json.JSONDecodeError as error:
        return None, f'it is not JSON at column {error.colno}'
    except ValueError:
        return None, 'it has a number of thousands of digits'
    return value, ''
