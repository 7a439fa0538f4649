"""One text of a field that holds several answers, or its text beside other values.

["So.", "Thus."]                          the first
[{"text": "So.", "score": 3}, …]          the accepted one, or the best score
[{"response": "So.", "rank": 1}, …]       the best rank or rating: UltraFeedback
{"text": ["So.", …], "score": [3, …]}     the same as columns: SQuAD, ELI5
{"value": "So.", "aliases": […]}          the text

A cell of a table may hold each as JSON, or as Python writes it.
"""

import ast
import datetime
import json
import math
import re
from typing import Any

_TEXTS = (
    'text',
    'body',
    'answer',
    'content',
    'value',
    'response',
    'comment',
    'full_text',
)
_ARRAY = re.compile(r'array\((\[.*?\])(?:, dtype=\w+)?\)', re.DOTALL)
_ACCEPTED = ('is_accepted', 'accepted', 'selected', 'is_best', 'best', 'chosen')
_SCORES = ('score', 'pm_score', 'upvotes', 'votes', 'ups', 'likes')
# What a judge gave. UltraFeedback's overall_score has some 10 that were meant as 1.
_RATINGS = ('fine-grained_score', 'overall_score', 'rating')
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


def of_cell(text: str) -> Any:
    """The answers that a cell holds as JSON or as Python writes them; else the text.

    pandas writes "{'text': array(['So.'], dtype=object)}".
    """
    if text.lstrip()[:1] not in ('[', '{'):
        return text
    for read in (json.loads, lambda each: ast.literal_eval(_ARRAY.sub(r'\1', each))):
        try:
            value = read(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return text if best(value)[0] is None else value
    return text


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
            found.append((text, number(score), seconds(time)))
    return found


def judged(value: Any) -> list[tuple[str, float]]:
    """(text, rating) of each answer that was judged; of ranks, 1 is above 2."""
    texts = [(_text(each), rating(each)) for each in value] if _are_many(value) else []
    return [(text, found) for text, found in texts if text and found is not None]


def rating(answer: Any) -> float | None:
    """What a judge gave an answer, the higher the better; None for no judgment."""
    if not isinstance(answer, dict):
        return None
    if (rank := number(answer.get('rank'))) is not None:
        return -rank
    given = (number(answer[key]) for key in _RATINGS if key in answer)
    if (found := next((each for each in given if each is not None), None)) is not None:
        return found
    aspects = answer.get('annotations')
    values = aspects.values() if isinstance(aspects, dict) else ()
    marks = [number(each.get('Rating')) for each in values if isinstance(each, dict)]
    known = [mark for mark in marks if mark is not None]
    return sum(known) / len(known) if known else None


def _are_many(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1


def number(value: Any) -> float | None:
    """A finite number, or one that is written as text; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def seconds(value: Any) -> float | None:
    """A time in seconds since 1970; a date without its zone is in UTC."""
    if (found := number(value)) is not None:
        return found or None
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


def _rank(answer: Any) -> tuple[bool, bool, float]:
    """The least is the best; equal answers keep their order, unrated ones are last."""
    if not isinstance(answer, dict):
        return True, True, 0.0
    accepted = any(answer.get(key) in (True, 1, 'true', 'True') for key in _ACCEPTED)
    value = rating(answer)
    if value is None:
        value = next((number(answer[key]) for key in _SCORES if key in answer), None)
    return not accepted, value is None, -(value or 0.0)


def _text(answer: Any) -> str | None:
    if isinstance(answer, dict):
        answer = next((answer[key] for key in _TEXTS if key in answer), None)
    if isinstance(answer, int | float):
        return str(answer)
    return answer if isinstance(answer, str) else None
