"""One text of a field that holds several answers, or its text beside other values.

["So.", "Thus."]                          the first
[{"text": "So.", "score": 3}, …]          the accepted one, or the best score
[{"response": "So.", "rank": 1}, …]       the best rank or rating: UltraFeedback
{"text": ["So.", …], "score": [3, …]}     the same as columns: SQuAD, ELI5
{"value": "So.", "aliases": […]}          the text

{"answers": ["No.", "So."], "accepted": [false, true]}   lists beside: `with_marks`
{"answers": [{"id": 7, "body": "So."}, …], "accepted_answer_id": 7}
{"choices": ["So.", "No."], "answer": 0}  the choice that the answer names

An answer that is marked as wrong or deleted is never the best.

A cell of a table may hold each as JSON, or as Python writes it.
"""

import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipeline.fields import cells, numbers, verdicts

# Of a row with several answers.
MANY = ('completions', 'answers', 'responses', 'generations')
_TEXTS = (
    *('text', 'body', 'answer', 'content', 'value', 'response', 'comment', 'full_text'),
    *('bodytext', 'answer_text', 'answertext', 'answer_body', 'answerbody', 'reply'),
    *('response_text', 'comment_text', 'comment_body', 'completion', 'output'),
)
# Columns of what was asked for, which may be a list.
_MADE = ('output', 'completion', 'target', 'generation')
_ROLES = ('role', 'from', 'speaker')
_CHOICES = ('choices', 'options', 'answer_choices', 'answer_options', 'candidates')
_MARKS = ('label', 'key', 'id', 'letter')  # of a choice beside its text
_CHOICE = re.compile(r'(?:(?:option|choice)[ _-]?)?([a-j]|[1-9])', re.IGNORECASE)
_MARK = re.compile(
    r'\(?(?:(?:option|choice)[ _-]?)?([a-j]|\d{1,2})(?:\.0)?[.)]?', re.IGNORECASE
)
_LETTERS = 'abcdefghij'
_MARKED = re.compile(r'\(?(?P<mark>[A-Ja-j1-9])\s?[).:]\s*(?P<text>\S.*)', re.DOTALL)
# Columns that name a choice where there is no column of an answer.
KEYS = (
    *('answerkey', 'answer_key', 'answer_index', 'answer_idx', 'correct_answer'),
    *('correct_option', 'correct_choice', 'correct_index', 'correct', 'gold', 'label'),
)
# The same of camels, for `answers` that are choices.
_NAMES_CHOICE = frozenset(
    f'{what}{of}'
    for what in ('correct', 'correctanswer', 'correctoption', 'correctchoice', 'answer')
    for of in ('', 'id', 'index', 'idx', 'key')
) - {'answer', 'answerid'}
# Names without their case and signs: marks of the answer that someone chose.
_ACCEPTED = (
    *('isaccepted', 'accepted', 'acceptedanswer', 'isacceptedanswer', 'isanswer'),
    *('selected', 'isselected', 'isbest', 'best', 'bestanswer', 'chosen', 'ischosen'),
)
_OF_WRONG = (
    *('correct', 'iscorrect'),  # where they say no, as these where they say yes
    *('deleted', 'isdeleted', 'removed', 'isremoved', 'spam', 'isspam', 'hidden'),
)
_ACCEPTED_IDS = frozenset(['acceptedanswerid', 'bestanswerid', 'chosenanswerid'])
_IDS = ('id', 'answer_id', 'answerId', '_id', 'uuid')
_SCORES = (
    *('score', 'pm_score', 'upvotes', 'votes', 'ups', 'likes', 'upvoteCount'),
    *('comment_score', 'commentScore', 'comment_upvotes'),
)
# Lists of the marks of a row's answers, and what each is; of ranks, 1 is the best.
_LISTS_OF_MARKS = (
    dict.fromkeys(('ranks', 'rank'), 'rank')
    | dict.fromkeys(('scores', 'ratings', 'rating', 'rewards'), 'rating')
    | dict.fromkeys(('votes', 'upvotes', 'likes', 'answer_scores'), 'score')
    | dict.fromkeys(('accepted', 'is_accepted', 'is_best', 'selected'), 'accepted')
    | dict.fromkeys(('correct', 'is_correct', 'labels'), 'correct')
)
# What a judge gave. UltraFeedback's overall_score has some 10 that were meant as 1.
_RATINGS = ('fine-grained_score', 'overall_score', 'rating')
_TIMES = (
    *('created_utc', 'created_at', 'created', 'time', 'timestamp', 'date'),
    *('creation_date', 'creationdate', 'creationDate', 'CreationDate'),
)
_OF_ANSWERS = frozenset(
    (*_TEXTS, *_ROLES, *_IDS, *_SCORES, *_RATINGS, *_TIMES, 'rank', 'author', 'user')
).union(['dataset'])  # WebGPT's, beside its full_text


def best(value: Any) -> tuple[str | None, list[Any]]:
    """(the best answer's text, the other answers); None where no text is found.

    The text is '' where there is no answer, or none that is not marked as wrong.
    """
    if isinstance(value, dict):
        value = _as_list(value)
    if not isinstance(value, list):
        return None, []
    given = [each for each in value if each not in (None, '')]
    values = [each for each in given if not _is_wrong(each)]
    if not values:
        return '', given
    order = sorted(range(len(values)), key=lambda i: _rank(values[i]))
    text = _text(values[order[0]])
    wrong = [each for each in given if _is_wrong(each)]
    return text, [values[i] for i in order[1:]] + wrong


def with_marks(row: dict[str, Any]) -> dict[str, Any]:
    """The row, each of its answers beside its marks of lists of the same length.

    {"responses": ["No.", "So."], "scores": [1, 5]} -> {"responses":
    [{"text": "No.", "rating": 1}, {"text": "So.", "rating": 5}]}; the answer that
    `accepted_answer_id` names is marked as accepted.
    """
    for name in (*MANY, 'answer'):
        answers = row.get(name)
        if not isinstance(answers, list) or len(answers) < 2:
            continue
        made = row
        if all(isinstance(each, str) for each in answers):
            made = _with_lists(row, name)
        elif all(isinstance(each, dict) for each in answers):
            made = _with_accepted(row, name)
        if made is not row:
            return made
    return row


def with_choices(row: dict[str, Any]) -> dict[str, Any]:
    """The row, its `answers` named as choices where another field names one of them.

    {"answers": ["No.", "So."], "correctAnswer": "So."} -> {"choices": ["No.", "So."],
    "answer": "So."}; or by a mark or an index: {"answers": […], "correct": 1}.
    """
    name = next((n for n in row if _key(n) in _NAMES_CHOICE), '')
    listed = next((n for n in ('answers', *_CHOICES) if _are_many(row.get(n))), '')
    if not name or not listed or row.get('answer') not in (None, ''):
        return row
    value, answers = row[name], row[listed]
    given = value if isinstance(value, str) else None
    if not is_mark(value) and given not in [_text(each) for each in answers]:
        return row
    rest = {key: each for key, each in row.items() if key not in (name, listed)}
    return {**rest, 'choices': answers, 'answer': value}


def _with_lists(row: dict[str, Any], name: str) -> dict[str, Any]:
    made: list[dict[str, Any]] = [{'text': text} for text in row[name]]
    read = {name}
    for key, mark in _LISTS_OF_MARKS.items():
        values = row.get(key)
        if not isinstance(values, list) or len(values) != len(made):
            continue
        if mark in ('accepted', 'correct'):
            is_one = all(each in (0, 1) for each in values)
        else:
            is_one = None not in map(numbers.number, values)
        if is_one and mark not in made[0]:
            for answer, value in zip(made, values, strict=True):
                answer[mark] = value
            read.add(key)
    if read == {name}:
        return row
    return {key: each for key, each in row.items() if key not in read} | {name: made}


def _with_accepted(row: dict[str, Any], name: str) -> dict[str, Any]:
    given = [each for key, each in row.items() if _key(key) in _ACCEPTED_IDS and each]
    made = [
        {**answer, 'is_accepted': True}
        if given and any(str(answer.get(key)) == str(given[0]) for key in _IDS)
        else answer
        for answer in row[name]
    ]
    return {**row, name: made} if made != row[name] else row


def _is_wrong(answer: Any) -> bool:
    """Whether an answer is marked as wrong, or as one that was deleted."""
    return isinstance(answer, dict) and any(
        verdicts.says_no(value, key)
        for key, value in answer.items()
        if _key(key) in _OF_WRONG and not isinstance(value, list | dict)
    )


def _is_accepted(answer: Mapping[str, Any]) -> bool:
    return any(
        _key(key) in _ACCEPTED and str(value).lower() in ('true', '1', 'yes')
        for key, value in answer.items()
    )


def _key(name: str) -> str:
    return ''.join(filter(str.isalnum, str(name).lower()))


def of_cell(text: str) -> Any:
    """The answers that a cell holds as JSON or as Python writes them; else the text.

    pandas writes "{'text': array(['So.'], dtype=object)}".
    """
    value = cells.in_cell(text)
    return text if best(value)[0] is None and not isinstance(value, str) else value


def are_packed(values: Sequence[Any], name: str) -> bool:
    """Whether all cells of a column hold answers as JSON or as Python writes them.

    ["So.", "No."], {"text": "So."}, [{"text": "So.", "score": 9}], or a JSON string:
    "\\"So.\\"". Of a column such as `output`, a list of several texts may be what was
    asked for: it stays.
    """
    held = [cells.in_cell(each) if isinstance(each, str) else each for each in values]
    lists = [each if isinstance(each, list) else [each] for each in held]
    are_kept = name.lower() in _MADE and any(
        len(each) > 1 and not any(isinstance(one, dict) for one in each)
        for each in lists
    )
    are_cells = not any(map(operator.is_, held, values))
    return bool(held) and are_cells and not are_kept and all(map(_are_answers, lists))


def holds_one(cell: Any) -> bool:
    """Whether a cell holds a text, an object, or a list of one value."""
    value = cells.in_cell(cell) if isinstance(cell, str) else cell
    return isinstance(value, dict | str) or (
        isinstance(value, list) and len(value) == 1
    )


def _are_answers(values: list[Any]) -> bool:
    objects = [each for each in values if isinstance(each, dict)]
    keys = {str(key).lower() for each in objects for key in each}
    is_turn = not keys.isdisjoint(_ROLES)
    are_known = all(key in _OF_ANSWERS or _key(key) in _ACCEPTED for key in keys)
    return (
        bool(values)
        and are_known
        and not (is_turn and len(values) > 1)
        and all(isinstance(each, str | dict) for each in values)
        and all(_text(each) is not None for each in values)
    )


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
            found.append((text, numbers.votes(score), numbers.seconds(time)))
    return found


def judged(value: Any) -> list[tuple[str, float]]:
    """(text, rating) of each answer that was judged; of ranks, 1 is above 2."""
    texts = [(_text(each), rating(each)) for each in value] if _are_many(value) else []
    return [(text, found) for text, found in texts if text and found is not None]


def rating(answer: Any) -> float | None:
    """What a judge gave an answer, the higher the better; None for no judgment."""
    if not isinstance(answer, dict):
        return None
    if (rank := numbers.number(answer.get('rank'))) is not None:
        return -rank
    given = (numbers.votes(answer[key]) for key in _RATINGS if key in answer)
    if (found := next((each for each in given if each is not None), None)) is not None:
        return found
    aspects = answer.get('annotations')
    values = aspects.values() if isinstance(aspects, dict) else ()
    marks = [
        numbers.number(each.get('Rating')) for each in values if isinstance(each, dict)
    ]
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
        given = cells.in_cell(row[name]) if isinstance(row[name], str) else row[name]
    if isinstance(given, dict):
        held = _as_list(given)
        given = held if held[0] is not given else [*given.items()]
    pairs = [_choice(each) for each in given] if isinstance(given, list) else []
    marks, texts = [mark for mark, _ in pairs], [text for _, text in pairs]
    if len(texts) < 2 or not all(isinstance(text, str) for text in texts):
        return [], []
    if not any(marks):
        marks, texts = _without_marks(texts)
    return (marks if len({*marks}) == len(marks) and all(marks) else []), texts


def _without_marks(texts: list[str]) -> tuple[list[str], list[str]]:
    """The marks in front of all choices, and the texts behind them.

    ['A) Tom', 'B) Ann'] -> (['a', 'b'], ['Tom', 'Ann'])
    """
    found = [match for text in texts if (match := _MARKED.fullmatch(text.strip()))]
    marks = ''.join(match['mark'].lower() for match in found)
    in_order = (_LETTERS[: len(texts)], '123456789'[: len(texts)])
    if len(found) < len(texts) or marks not in in_order:
        return [''] * len(texts), texts
    return [*marks], [match['text'] for match in found]


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
        place = numbers.number(row.get(name))
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
    value = rating(answer)
    if value is None:
        value = next(
            (numbers.votes(answer[key]) for key in _SCORES if key in answer), None
        )
    return not _is_accepted(answer), value is None, -(value or 0.0)


def _text(answer: Any) -> str | None:
    if isinstance(answer, dict):
        by_name = {str(key).lower(): each for key, each in answer.items()}
        answer = next((by_name[key] for key in _TEXTS if key in by_name), None)
    if isinstance(answer, int | float):
        return str(answer)
    return answer if isinstance(answer, str) else None
