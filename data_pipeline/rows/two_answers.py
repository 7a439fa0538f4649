"""Rows of two answers and which is better, as rows of the chosen and the rejected one.

{"history": "Why?", "human_ref_A": "So.", "human_ref_B": "No.", "labels": 1}  SHP
{"prompt": "Why?", "response_0": "No.", "response_1": "So.", "better_response_id": 1}
{"context": [turn], "response1": "So.", "response2": "No.", "overall_preference": -2}
{"question": "Why?", "answer_0": "No.", "answer_1": "So.", "score_0": -1, "score_1": 1}
{"question": "Why?", "response_j": "So.", "response_k": "No."}          the first
{"prompt": "Why?", "answer_a": "So.", "answer_b": "No.", "winner": "a"}
{"prompt": ["Why?"], "response_a": ["So."], "response_b": ["No."],
"winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0}       Chatbot Arena's table
"""

import re
from collections.abc import Iterator
from typing import Any

from data_pipeline.fields import cells, numbers

# Fields that say which of two answers is better, by its mark.
_WINNERS = ('winner', 'better_response_id', 'preferred', 'preference')
_SIGNED = 'overall_preference'  # HelpSteer3: below 0 the first, above 0 the second
_SHP = 'labels'  # of human_ref_A and human_ref_B: 1 the first, 0 the second
_SHP_ANSWERS = ('human_ref_A', 'human_ref_B')
_TIED, _UNNAMED = -1, -2
# Fields with both answers of a row, for the counts.
UNDECIDED = (
    'two answers that are tied',
    'two answers, neither named the better',
    'two answers and no labels to name the better',
)
_PAIRED = ('response_j', 'response_k')  # the better, the worse
_SCORED = ('answer_0', 'answer_1', 'score_0', 'score_1')  # WebGPT's comparisons
_ARENA = ('winner_model_a', 'winner_model_b', 'prompt', 'response_a', 'response_b')
_MARKS = (('a', 'b'), ('0', '1'), ('1', '2'))
_MARKED = re.compile(
    r'(response|answer|completion|output|candidate|reply|conversation|human_ref)'
    r'[_ -]?([ab012])',
    re.IGNORECASE,
)
_ASKED = ('history', 'context')  # what such a row calls its prompt, if not prompt


def judged(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The row of a chosen and a rejected answer, if it has two and names the better.

    If neither is named the better, it has an empty answer, and both in a field of
    `UNDECIDED`.
    """
    if row.keys() >= {*_PAIRED}:
        made = without(row, *_PAIRED)
        better, worse = map(row.get, _PAIRED)
        yield {**made, 'chosen': better, 'rejected': worse}
        return
    if row.keys() >= {*_ARENA}:
        row = _of_arena(row)
    if row.keys() >= {*_SCORED}:
        row = {**row, _WINNERS[0]: _of_scores(row)}
    judge = next((key for key in (*_WINNERS, _SIGNED, _SHP) if key in row), '')
    if not judge and set(_SHP_ANSWERS) <= set(row):
        judge = _SHP
    if not judge:
        return
    found: dict[str, list[tuple[str, str]]] = {}
    for name in row:
        if match := _MARKED.fullmatch(name):
            found.setdefault(match[1].lower(), []).append((match[2].lower(), name))
    for stem, marked in found.items():
        marked.sort()
        marks, names = tuple(mark for mark, _ in marked), [name for _, name in marked]
        if marks not in _MARKS or (judge == _SHP and stem != 'human_ref'):
            continue
        best = _winner(judge, row.get(judge), marks)
        if best is None:
            continue
        made = without(row, judge, *names)
        asked = next((key for key in _ASKED if key in made), '')
        if asked and 'prompt' not in made:
            made['prompt'] = made.pop(asked)
        if best < 0:
            both = [row[name] for name in names]
            why = 2 if judge not in row else int(best == _UNNAMED)
            yield {**made, 'chosen': '', UNDECIDED[why]: both}
            return
        for place, i in (('chosen', best), ('rejected', 1 - best)):
            made[place] = row[names[i]]
            if (score := f'score_{names[i][-1]}') in row:
                made[f'score_{place}'] = made.pop(score)
        yield made
        return


def _of_arena(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its two chats, and the mark of the better one as the winner.

    Prompts and responses are lists of turns, or one text each.
    """
    given = [row[name] for name in _ARENA[2:]]
    held = [cells.in_cell(each) if isinstance(each, str) else each for each in given]
    asked, *answers = ([x] if isinstance(x, str) else x for x in held)
    marks = [numbers.number(row[name]) for name in _ARENA[:2]]
    made = without(row, *_ARENA, 'winner_tie', 'model_a', 'model_b')
    made['winner'] = 'ab'[marks.index(1)] if marks.count(1) == 1 else 'tie'
    for mark, answered in zip('ab', answers, strict=True):
        turns = zip(asked, answered, strict=False)
        made[f'conversation_{mark}'] = [
            {'role': role, 'content': text or ''}
            for each in turns
            for role, text in zip(('user', 'assistant'), each, strict=True)
        ]
    return made


def _of_scores(row: dict[str, Any]) -> str:
    """The mark of the answer that has the higher score; 'tie', or '' without scores."""
    scores = [numbers.number(row[name]) for name in _SCORED[2:]]
    if None in scores:
        return ''
    return 'tie' if scores[0] == scores[1] else str(scores.index(max(scores)))


def _winner(judge: str, value: Any, marks: tuple[str, ...]) -> int | None:
    """0 for the first answer, 1 for the second, `_TIED` or `_UNNAMED`.

    None for a word of a winner that is of another kind of rows.
    """
    text = '' if value is None else str(value).strip().lower()
    if not text:
        return _UNNAMED
    if text.startswith(('tie', 'both', 'equal', 'neither')):
        return _TIED
    if judge == _SHP:
        places = {'1': 0, '0': 1, 'true': 0, 'false': 1}
        return places.get(text.removesuffix('.0'), _UNNAMED)
    if judge == _SIGNED:
        if not re.fullmatch(r'-?\d+(\.0)?', text):
            return _UNNAMED
        return int(float(text) > 0) if float(text) else _TIED
    mark = re.fullmatch(r'(?:.*[_ -]|[a-z]{3,})?([ab012])', text)
    return marks.index(mark[1]) if mark and mark[1] in marks else None


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    """The row without fields of these names."""
    return {key: value for key, value in row.items() if key not in names}
