"""Which of several answers is the best, by the marks within them or beside them."""

import json
import pathlib
from typing import Any

import pytest

from data_pipeline.fields import answer_lists
from data_pipeline.reading import reader

Q, A, NO = 'Who sings at night?', 'Tom does, and loudly.', 'Nobody knows that.'


def read(row: dict[str, Any]) -> tuple[list[str], dict[str, int]]:
    other = {'question': 'Why so?', 'answers': ['It is so.']}
    text = f'{json.dumps(row)}\n{json.dumps(other)}\n'
    pathlib.Path('a.jsonl').write_text(text)
    pairs, report = reader.read(['a.jsonl'])
    return [pair.answer for pair in pairs if pair.question == Q], report.counts


@pytest.mark.parametrize(
    'given',
    [
        {'answers': [NO, A], 'accepted': [False, True]},
        {'answers': [NO, A], 'is_best': [0, 1]},
        {'answers': [NO, A], 'labels': [0, 1]},
        {'generations': [NO, A], 'ratings': [1.0, 4.5]},
        {'answers': [NO, A], 'votes': [1, 9]},
        {'answers': [NO, A], 'answer_scores': [-2, 0], 'labels': ['x', 'y']},
        {'answers': [NO, A], 'accepted': [False, True], 'votes': [9, 1]},
        {'answers': [{'text': NO, 'correct': False}, {'text': A, 'correct': True}]},
        {'answers': [{'text': NO, 'isAnswer': False}, {'text': A, 'isAnswer': True}]},
        {'answers': [{'text': NO, 'score': 9, 'deleted': True}, {'text': A}]},
        {'answers': [{'id': 1, 'body': NO, 'score': 5}, {'id': 2, 'body': A}],
         'accepted_answer_id': 2},
        {'answers': [{'answer_id': 1, 'body': NO}, {'answer_id': 2, 'body': A}],
         'bestAnswerId': '2'},
    ],
)  # fmt: skip
def test_the_answer_that_is_marked_is_the_best(
    given: dict[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answers, counts = read({'question': Q, **given})
    assert answers == [A]
    assert counts['answers beside the best, left out'] == 1


@pytest.mark.parametrize(
    'given',
    [
        {'answers': [NO, 'Nor that.'], 'labels': [0, 0]},
        {'answers': [{'text': NO, 'correct': False}]},
        {'answers': [{'text': NO, 'is_deleted': True}]},
    ],
)
def test_an_answer_that_is_marked_as_wrong_is_never_learned(
    given: dict[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answers, counts = read({'question': Q, **given})
    assert answers == []
    assert counts['pairs rows without answer'] == 1


def test_lists_of_another_length_or_of_other_things_are_no_marks() -> None:
    for row in (
        {'answers': [A, NO], 'votes': [1]},
        {'answers': [A, NO], 'labels': ['a', 'b']},
        {'answers': [A, NO], 'accepted': [0.5, 3]},
        {'answers': [{'id': 1, 'body': A}, {'id': 2, 'body': NO}]},
    ):
        assert answer_lists.with_marks(row) is row
