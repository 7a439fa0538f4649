"""One text of a field that holds several answers, or its text beside other values.

["So.", "Thus."]                          the first
[{"text": "So.", "score": 3}, …]          the accepted one, or the best score
{"text": ["So.", …], "score": [3, …]}     the same as columns: SQuAD, ELI5
{"value": "So.", "aliases": […]}          the text
"""

import datetime
import math
from typing import Any

_TEXTS = ('text', 'body', 'answer', 'content', 'value', 'response', 'comment')
_ACCEPTED = ('is_accepted', 'accepted', 'selected', 'is_best', 'best', 'chosen')
_SCORES = ('score', 'pm_score', 'upvotes', 'votes', 'ups', 'likes', 'rating')
_TIMES = (
    *('created_utc', 'created_at', 'created', 'time', 'timestamp', 'date'),
    *('creation_date', 'creationdate', 'creationDate', 'CreationDate'),
)


def best(value: Any) -> tuple[str | None, list[Any]]:
    """(the best answer's text, the other answers); None where no text is found."""
    if isinstance(value, dict):
        value = _as_list(value)
    if not isinstance(value, list):
        return None, []
    values = [each for each in value if each not in (None, '')]
    if not values:
        return '', []
    order = sorted(range(len(values)), key=lambda i: _rank(values[i]))
    text = _text(values[order[0]])
    return text, [values[i] for i in order[1:]]


def scored(value: Any) -> list[tuple[str, float | None, float | None]]:
    """(text, score, seconds since 1970) of each answer; None where unknown."""
    if isinstance(value, dict):
        value = _as_list(value)
    found = []
    for each in value if isinstance(value, list) else ():
        text = _text(each)
        if isinstance(each, dict) and text is not None:
            score = next((each[key] for key in _SCORES if key in each), None)
            time = next((each[key] for key in _TIMES if key in each), None)
            found.append((text, number(score), _seconds(time)))
    return found


def number(value: Any) -> float | None:
    """A finite number, or one that is written as text; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _seconds(value: Any) -> float | None:
    """A time in seconds since 1970; a date without its zone is in UTC."""
    if (seconds := number(value)) is not None:
        return seconds or None
    try:
        date = datetime.datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return date.replace(tzinfo=date.tzinfo or datetime.UTC).timestamp()


def _as_list(value: dict[str, Any]) -> list[Any]:
    """The rows of a dict of columns; the dict itself as the one row of another."""
    lists = {key: each for key, each in value.items() if isinstance(each, list)}
    key = next((key for key in _TEXTS if key in lists), '')
    if not key:
        return [value]
    columns = [name for name in lists if len(lists[name]) == len(lists[key])]
    return [{name: lists[name][i] for name in columns} for i in range(len(lists[key]))]


def _rank(answer: Any) -> tuple[bool, float]:
    """The least is the best; equal answers keep their order."""
    if not isinstance(answer, dict):
        return True, 0.0
    accepted = any(answer.get(key) in (True, 1, 'true', 'True') for key in _ACCEPTED)
    score = next((answer[key] for key in _SCORES if key in answer), 0)
    return not accepted, -float(score) if isinstance(score, int | float) else 0.0


def _text(answer: Any) -> str | None:
    if isinstance(answer, dict):
        answer = next((answer[key] for key in _TEXTS if key in answer), None)
    if isinstance(answer, int | float):
        return str(answer)
    return answer if isinstance(answer, str) else None
