"""One text of a field that holds several answers, or its text beside other values.

["So.", "Thus."]                          the first
[{"text": "So.", "score": 3}, …]          the accepted one, or the best score
[{"response": "So.", "rank": 1}, …]       the best rank or rating: UltraFeedback
{"text": ["So.", …], "score": [3, …]}     the same as columns: SQuAD, ELI5
{"value": "So.", "aliases": […]}          the text

{"choices": ["So.", "No."], "answer": 0}  the choice that the answer names

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
_CHOICES = ('choices', 'options', 'answer_choices', 'answer_options', 'candidates')
_MARKS = ('label', 'key', 'id', 'letter')  # of a choice beside its text
_CHOICE = re.compile(r'(?:(?:option|choice)[ _-]?)?([a-j]|[1-9])', re.IGNORECASE)
_MARK = re.compile(r'\(?([A-Ja-j]|\d{1,2})(?:\.0)?[.)]?')
_LETTERS = 'abcdefghij'
# Columns that name a choice where there is no column of an answer.
KEYS = (
    *('answerkey', 'answer_key', 'answer_index', 'answer_idx', 'correct_answer'),
    *('correct_option', 'correct_choice', 'correct_index', 'correct', 'gold', 'label'),
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
    value = _in_cell(text)
    return text if best(value)[0] is None else value


def _in_cell(text: str) -> Any:
    """The list or object that a cell holds; else its text."""
    if text.lstrip()[:1] not in ('[', '{'):
        return text
    for read in (json.loads, lambda each: ast.literal_eval(_ARRAY.sub(r'\1', each))):
        try:
            return read(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
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


def choices(row: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(the marks of a row's choices, their texts); no marks of a plain list.

    {"choices": {"label": ["A", "B"], "text": ["So.", "No."]}}, {"options": {"A": "So.",
    "B": "No."}}, {"A": "So.", "B": "No."} -> (['a', 'b'], ['So.', 'No.'])
    """
    name = next((key for key in row if key.lower() in _CHOICES and row[key]), '')
    marked = [(match[1], key) for key in row if (match := _CHOICE.fullmatch(key))]
    if not name:
        marks = sorted(mark.lower() for mark, _ in marked)
        if ''.join(marks) not in (_LETTERS[: len(marks)], '123456789'[: len(marks)]):
            return [], []
        given: Any = {mark: row[key] for mark, key in marked}
    else:
        given = _in_cell(row[name]) if isinstance(row[name], str) else row[name]
    if isinstance(given, dict):
        held = _as_list(given)
        given = held if held[0] is not given else [*given.items()]
    pairs = [_choice(each) for each in given] if isinstance(given, list) else []
    marks, texts = [mark for mark, _ in pairs], [text for _, text in pairs]
    if len(texts) < 2 or not all(isinstance(text, str) for text in texts):
        return [], []
    return (marks if len({*marks}) == len(marks) and all(marks) else []), texts


def _choice(each: Any) -> tuple[str, Any]:
    if isinstance(each, tuple):
        return str(each[0]).lower(), each[1]
    if not isinstance(each, dict):
        return '', each
    mark = next((each[key] for key in _MARKS if key in each), '')
    return str(mark).lower(), _text(each)


def is_mark(value: Any) -> bool:
    """Whether a value can name a choice: a letter or a number, as 'B', '(b)', 2."""
    if isinstance(value, bool) or value is None:
        return False
    return bool(_MARK.fullmatch(str(value).strip()))


def first_choice(rows: list[dict[str, Any]], name: str) -> int | None:
    """The number of the first choice, 0 or 1, as the answers of some rows show it."""
    shown = set()
    for row in rows:
        marks, texts = choices(row)
        place = number(row.get(name))
        if texts and not marks and place is not None:
            shown |= {0} if place == 0 else {1} if place == len(texts) else set()
    return shown.pop() if len(shown) == 1 else None


def chosen(row: dict[str, Any], name: str, first: int | None) -> str:
    """The text of the choice that a row's answer names; '' where it is not known."""
    marks, texts = choices(row)
    match = _MARK.fullmatch(str(row.get(name)).strip())
    if not match or not texts:
        return ''
    mark = match[1].lower()
    if marks:
        return texts[marks.index(mark)] if mark in marks else ''
    if mark in _LETTERS:
        place = _LETTERS.index(mark)
    else:
        place = -1 if first is None else int(mark) - first
    return texts[place] if 0 <= place < len(texts) else ''


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
