"""JSON Lines: cut into spans of bytes by the parent, decoded in a worker."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from data_pipeline.pages import encoding
from data_pipeline.rows import batch_types

SPAN_BYTES = 2**20  # a batch's and the rest of its last line: seconds of work
_BOM = b'\xef\xbb\xbf'
_HEAD_LINES = 100
_HEAD_BYTES = 2**20


def head(path: str) -> list[Any]:
    """The objects among the first lines; [] where the file is no JSON Lines.

    Its lines open with braces; a few may be damaged before one is an object.
    """
    objects, size = [], 0
    with open(path, 'rb') as file:
        for line in itertools.islice(file, _HEAD_LINES):
            line = line if size else line.removeprefix(_BOM)
            size += len(line)
            if not line.strip():
                continue
            if not objects and not line.lstrip().startswith(b'{'):
                return []
            value, _ = parse(encoding.decode_part(line)[0])
            if isinstance(value, dict):
                objects.append(value)
            if size > _HEAD_BYTES:
                break
    return objects


def spans(
    path: str, *, size: int, span_bytes: int = SPAN_BYTES
) -> Iterator[tuple[int, int, int]]:
    """(start, end, first line's number) of each span, cut behind newlines.

    `size` bytes are read: what is appended to the file meanwhile is not.
    """
    with open(path, 'rb') as file:
        start, line = 0, 1
        while start < size:
            end = min(start + span_bytes, size)
            newlines = _count_newlines(file, end - start)
            if end < size:
                file.seek(end - 1)
                rest = file.readline()  # b'\n' where the span ends with a line
                newlines += rest.endswith(b'\n') and len(rest) > 1
                end = min(end - 1 + len(rest), size)
            yield start, end, line
            line += newlines
            start = end
            file.seek(start)


def rows(
    batch: batch_types.Batch, result: batch_types.BatchRead
) -> Iterator[tuple[int, Any, str]]:
    """(line number, value, text) of each line that is JSON; the others go to `result`.

    A last line without its newline that is no JSON was torn, as by a collector that is
    still writing: it is counted, and is no unknown line.
    """
    with open(batch.path, 'rb') as file:
        file.seek(batch.start)
        raw = file.read(batch.end - batch.start)
    if batch.start == 0:
        raw = raw.removeprefix(_BOM)
    lines = raw.split(b'\n')
    torn = len(lines) if lines[-1] else 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        at = f'{batch.name}:{batch.line + number - 1}'
        text, note = encoding.decode_part(line)
        value, problem = parse(text)
        if note and not (problem and number == torn):
            result.counts['lines that are not UTF-8'] += 1
            result.warnings.append(f'{at} {note}.')
        if not problem:
            result.counts['JSON lines'] += 1
            yield batch.line + number - 1, value, text
        elif number == torn:
            result.counts['torn last lines'] += 1
            result.words['in torn last lines'] += len(text.split())
            result.warnings.append(
                f'{at} is a last line that was not written to its end (is its '
                'collector still at work?); it was left out.'
            )
        else:
            leave_out(at, text, problem, result)


def leave_out(at: str, text: str, problem: str, result: batch_types.BatchRead) -> None:
    """Reports a line of which nothing was read, `at` file:line, with its words."""
    result.words['in lines left out'] += len(text.split())
    result.unknown.append(f'{at}: {batch_types.shown(text)} (left out: {problem})')


def parse(text: str) -> tuple[Any, str]:
    """A line's value and '', or None and why it is no JSON."""
    try:
        return json.loads(text), ''
    except RecursionError:
        return None, 'its brackets are nested too deep'
    except ValueError as error:
        return None, f'no JSON: {error}'


def as_line(value: Any) -> str:
    """A JSON value as the line that would have held it, for people."""
    return json.dumps(value, ensure_ascii=False, default=str)


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


def _count_newlines(file: Any, size: int) -> int:
    count = 0
    while size > 0:
        block = file.read(min(size, 2**20))
        if not block:
            break
        count += block.count(b'\n')
        size -= len(block)
    return count
