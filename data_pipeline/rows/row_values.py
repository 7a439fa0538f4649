"""What single fields of a row hold: texts, labels, numbers, times."""

import datetime
from collections.abc import Sequence
from typing import Any

from data_pipeline.fields import field_map, numbers
from data_pipeline.pages import characters, reddit
from data_pipeline.rows import batches, json_rows

_UNIX_TIMES = (1e8, 1e11)  # seconds: of 1973 to 5138
# What programs write for none: pandas, spreadsheets, databases; of a question,
# Self-Instruct too.
_NO_TEXT = frozenset(['nan', '#n/a', '<na>', 'null', r'\n'])
_NOTHING = _NO_TEXT | {'none', 'n/a', '<noinput>'}
# What data sets write for an answer that nobody gave, MS MARCO among them.
_NO_ANSWERS = frozenset(
    ['no answer present', 'no answer', 'no answer available', 'answer not available']
)
_LONGEST_OF_NONE = 30
_SHORTEST = 8  # characters of a text that is surely not one of those


def without_placeholders(
    row: dict[str, Any], names: tuple[str, ...], counts: batches.Counts
) -> dict[str, Any]:
    """The row, whose question's fields that say 'NaN' or '<noinput>' are empty.

    So are, counted, those that say '[deleted]' or '[removed]'.
    """
    texts = {
        name: row[name].strip() for name in names if isinstance(row.get(name), str)
    }
    removed = [name for name, text in texts.items() if reddit.is_removed(text)]
    counts['fields of a question that say it was removed, left out'] += len(removed)
    empty = {
        name: ''
        for name, text in texts.items()
        if name in removed or text.lower() in _NOTHING
    }
    return {**row, **empty} if empty else row


def text(row: dict[str, Any], names: tuple[str, ...]) -> tuple[str, str]:
    """(the fields' texts joined by blank lines, the problem of fields without text)."""
    texts = []
    for name in names:
        value = _value(row, name)
        text = '' if value is field_map.MISSING else _as_text(value)
        if text is None:
            return '', f'{name!r} is a {type(value).__name__}, not a text'
        said = text.strip().lower() if len(text) < _LONGEST_OF_NONE else ''
        is_none = len(text) < _SHORTEST and said in _NO_TEXT
        is_none = is_none or said.removesuffix('.') in _NO_ANSWERS
        texts.append('' if is_none else text)
    if all(_value(row, name) is field_map.MISSING for name in names):
        return '', f'it has no {" + ".join(map(repr, names)) or "field known"}'
    return '\n\n'.join(text for text in texts if text.strip()), ''


def label(row: dict[str, Any], names: tuple[str, ...]) -> str:
    """The fields' texts on one line, '' for none."""
    values = [_value(row, name) for name in names]
    texts = [_as_text(value) for value in values if value is not field_map.MISSING]
    return characters.clean_line(' '.join(text for text in texts if text))


def num_words(row: dict[str, Any], names: Sequence[str]) -> int:
    own = [name for name in dict.fromkeys(names) if not name.startswith('"')]
    return sum(json_rows.num_words(_value(row, name)) for name in own)


def weight(given: str, kind: str, result: batches.BatchRead) -> float:
    """A row's weight; 1.0 for none, or, counted, for one that is no number above 0."""
    number = numbers.number(given) if given else 1.0
    if number is None or number <= 0:
        result.counts[f'{kind} weights that are no number above 0'] += 1
        return 1.0
    return number


def score(given: str, kind: str, result: batches.BatchRead) -> int:
    """A row's score; 0 for none, or, counted, for one that is no number."""
    number = numbers.votes(given) if given else 0.0
    if number is None or abs(number) >= 2**53:
        result.counts[f'{kind} scores that are no number'] += 1
        return 0
    return round(number)


def day(given: str) -> str:
    """The time as it is given; seconds since 1970 as their day in UTC."""
    seconds = numbers.number(given)
    if seconds is None or not _UNIX_TIMES[0] <= seconds < _UNIX_TIMES[1]:
        return given
    return str(datetime.datetime.fromtimestamp(seconds, datetime.UTC).date())


def _value(row: dict[str, Any], name: str) -> Any:
    return name.strip('"') if name.startswith('"') else field_map.value_at(row, name)


def _as_text(value: Any) -> str | None:
    """A single value's text, '' for none, None for a list or an object."""
    if value is None:
        return ''
    if isinstance(value, int | float):
        return str(value)
    return value if isinstance(value, str) else None
