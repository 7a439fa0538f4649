"""One forum thread as it was collected: a post, and the answers worth keeping.

A raw file has one thread a line, as canonical JSON: keys sorted, no blanks, UTF-8, so
that the same thread is always the same bytes. It names no author.
"""

import dataclasses
import json
import os
import reprlib
from collections.abc import Iterator
from typing import Any


@dataclasses.dataclass(frozen=True)
class RawAnswer:
    """A comment. `depth` is 0 for a reply to the post, 1 below that, -1 unknown.

    `by_asker` says that the post's own author wrote it. Times are seconds since 1970.
    """

    id: str
    body: str
    score: int
    depth: int
    created_utc: int
    by_asker: bool = False


@dataclasses.dataclass(frozen=True)
class RawThread:
    """A post and its eligible answers, the best first. `flair` is '' for none.

    `num_comments` is the source's own count, -1 for none.
    """

    id: str
    source: str
    subreddit: str
    title: str
    body: str
    flair: str
    score: int
    num_comments: int
    created_utc: int
    url: str
    answers: tuple[RawAnswer, ...]


NAMES = frozenset(field.name for field in dataclasses.fields(RawThread))


def to_line(thread: RawThread) -> str:
    """The thread as one line of canonical JSON, without its newline."""
    return json.dumps(
        dataclasses.asdict(thread),
        sort_keys=True,
        ensure_ascii=False,
        separators=(',', ':'),
    )


def from_line(line: str | bytes) -> RawThread:
    """The thread of a line. Raises ValueError as `from_values`, or for no JSON."""
    return from_values(json.loads(line))


def from_values(values: Any) -> RawThread:
    """The thread of a line's JSON value.

    Raises:
      ValueError: the value is no object, or fields are missing, unknown or of another
        type; it names all of them.
    """
    problems = _problems(values, RawThread, 'thread')
    if not problems:
        for i, answer in enumerate(values['answers']):
            problems += _problems(answer, RawAnswer, f'answer {i + 1}')
    if problems:
        raise ValueError('; '.join(problems))
    answers = tuple(RawAnswer(**answer) for answer in values['answers'])
    return RawThread(**{**values, 'answers': answers})


def read(path: str | os.PathLike[str]) -> Iterator[RawThread]:
    """Every thread of a raw file. Raises ValueError, which names the line at fault."""
    with open(path, 'rb') as file:
        # Bytes are split at b'\n' alone: a text may hold U+2028, where str would be.
        for number, line in enumerate(file, start=1):
            try:
                yield from_line(line)
            except ValueError as error:
                raise ValueError(f'{path}:{number}: {error}') from None


def _problems(values: Any, record: type, what: str) -> list[str]:
    """The reasons that `values` are not the fields of `record`."""
    if not isinstance(values, dict):
        return [f'{what} is a {type(values).__name__}, not an object']
    fields = {field.name: field.type for field in dataclasses.fields(record)}
    problems = [f'{what} has no {name!r}' for name in fields if name not in values]
    problems += [
        f'{what} has unknown {name!r}' for name in values if name not in fields
    ]
    for name, kind in fields.items():
        expected = kind if isinstance(kind, type) and kind in (str, int, bool) else list
        if name in values and type(values[name]) is not expected:
            problems.append(
                f'{what}: {name} is {reprlib.repr(values[name])}, not of type '
                f'{expected.__name__}'
            )
    return problems
