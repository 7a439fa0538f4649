"""Rows whose texts are lists or objects in a cell, and columns beside an answer."""

import csv
import io
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

from data_pipeline.reading import read_report, reader
from hax_jax import errors

_ASKED = 'Why does the thing number {} of my sister break?'
_ANSWERED = 'Because nobody has mended part {} since her wedding.'
_OTHER = 'I do not know that.'


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def read_as(
    kind: str, rows: Sequence[dict[str, Any]]
) -> tuple[list[tuple[str, str]], read_report.ReadReport]:
    """The pairs of rows in a file of a kind, 'csv' or 'jsonl'."""
    if kind == 'csv':
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        pathlib.Path('a.csv').write_text(text.getvalue())
    else:
        lines = [json.dumps(row) for row in rows]
        pathlib.Path('a.jsonl').write_text('\n'.join(lines))
    pairs, report = reader.read([f'a.{kind}'])
    return [(pair.question, pair.answer) for pair in pairs], report


def rows(**fields: Any) -> list[dict[str, Any]]:
    """Four rows; '{}' in a field stands for the row's number, as in 'Why {}?'."""
    return [
        {
            name: value.replace('{}', str(i)) if isinstance(value, str) else value
            for name, value in fields.items()
        }
        for i in range(4)
    ]


EXPECTED = [(_ASKED.format(i), _ANSWERED.format(i)) for i in range(4)]


@pytest.mark.parametrize('kind', ['csv', 'jsonl'])
@pytest.mark.parametrize('name', ['human_answers', 'answer', 'best_answer', 'response'])
@pytest.mark.parametrize(
    'cell',
    [
        f'["{_ANSWERED}", "{_OTHER}"]',
        f"['{_ANSWERED}' '{_OTHER}']",
        f"{{'text': '{_ANSWERED}'}}",
        f'[{{"text": "{_OTHER}", "score": 3}}, {{"text": "{_ANSWERED}", "score": 9}}]',
        f'{{"role": "assistant", "content": "{_ANSWERED}"}}',
        f'"{_ANSWERED}"',
    ],
)
def test_a_column_of_packed_answers_is_unpacked(
    kind: str, name: str, cell: str
) -> None:
    assert read_as(kind, rows(question=_ASKED, **{name: cell}))[0] == EXPECTED


def test_so_is_one_that_is_given() -> None:
    given = rows(asked=_ASKED, said=f'["{_ANSWERED}", "{_OTHER}"]')
    with pytest.raises(errors.InputError):
        read_as('csv', given)
    pairs, _ = reader.read(['a.csv'], fields=['question=asked, answer=said'])
    assert [(pair.question, pair.answer) for pair in pairs] == EXPECTED


def test_so_is_one_of_packed_questions() -> None:
    asked = f'{{"dataset": "eli5", "id": "x", "full_text": "{_ASKED}"}}'
    for cell in (f'["{_ASKED}"]', asked):
        given = rows(question=cell, answer=f"['{_ANSWERED}']")
        assert read_as('csv', given)[0] == EXPECTED


def test_what_was_asked_for_as_a_list_stays() -> None:
    names = '["Ann", "Bob {}"]'
    given = rows(instruction='Name two people.', output=names)
    pairs, report = read_as('csv', given)
    assert report.counts['answers that are lists, learned as they stand'] == 4
    assert [answer for _, answer in pairs] == [f'["Ann", "Bob {i}"]' for i in range(4)]
    pairs, _ = read_as('csv', rows(question='Which are prime?', answer='[2, 3, {}]'))
    assert [answer for _, answer in pairs] == [f'[2, 3, {i}]' for i in range(4)]
    entities = '[{"text": "Ann", "label": "PERSON"}]'
    pairs, _ = read_as('jsonl', rows(question=_ASKED, answer=entities))
    assert [answer for _, answer in pairs] == [entities] * 4


def test_one_answer_of_a_list_among_texts_stays() -> None:
    given = rows(question=_ASKED, answer=_ANSWERED)
    given[2]['answer'] = '["eggs", "milk"]'
    pairs, _ = read_as('csv', given)
    assert pairs[2][1] == '["eggs", "milk"]'


def test_the_arena_of_chatbots_names_the_better_answer() -> None:
    given = rows(
        id='{}',
        model_a='gpt-4-1106-preview',
        model_b='vicuna-13b',
        prompt=f'["{_ASKED}"]',
        response_a=f'["{_OTHER}"]',
        response_b=f'["{_ANSWERED}"]',
        winner_model_a='0',
        winner_model_b='1',
        winner_tie='0',
    )
    for kind in ('csv', 'jsonl'):
        pairs, report = read_as(kind, given)
        assert pairs == EXPECTED
        assert report.counts['rows with a rejected answer, which was left out'] == 4
    given[0] |= {'winner_model_b': '0', 'winner_tie': '1'}
    assert read_as('csv', given)[0] == EXPECTED[1:]


@pytest.mark.parametrize(
    'fields',
    [
        {'user': _ASKED, 'assistant': _ANSWERED, 'comment': 'Good one, I like it.'},
        {'question': _ASKED, 'response': _ANSWERED, 'user_answer': 'Perhaps by age.'},
        {
            'question': _ASKED,
            'option1': _OTHER,
            'option2': _ANSWERED,
            'answer': 'option2',
        },
        {
            'question': _ASKED,
            'answers': [
                {'text': _OTHER, 'upvotes': '980'},
                {'text': _OTHER, 'upvotes': '1.2K', 'is_accepted': True},
            ],
        },
    ],
)
def test_a_column_beside_the_answer_is_not_the_answer(fields: dict[str, Any]) -> None:
    pairs, _ = read_as('jsonl', rows(**fields))
    answered = _OTHER if 'answers' in fields else _ANSWERED
    assert pairs == [
        (_ASKED.format(i), answered.format(i)) for i in range(len(EXPECTED))
    ]


def test_votes_as_pages_show_them_choose_the_answer() -> None:
    given = rows(question=_ASKED)
    for i, row in enumerate(given):
        row['answers'] = [
            {'text': _OTHER, 'upvotes': '980'},
            {'text': _ANSWERED.format(i), 'upvotes': '1.2K'},
        ]
    assert read_as('jsonl', given)[0] == EXPECTED


def test_what_says_that_there_is_no_answer_is_none() -> None:
    given = rows(question=_ASKED, answer=_ANSWERED, is_safe=True)
    given[1]['answer'] = 'No Answer Present.'
    given[2]['is_safe'] = False
    pairs, report = read_as('jsonl', given)
    assert pairs == [EXPECTED[0], EXPECTED[3]]
    assert report.counts['pairs rows without answer'] == 1
    assert report.counts['pairs rows marked as not to be learned'] == 1


@pytest.mark.parametrize(
    'fields',
    [
        {'title': _ASKED, 'answer': _ANSWERED, 'difficulty': 'easy'},
        {'questions': [_ASKED], 'answer': _ANSWERED},
        {
            'messages': [
                {'type': 'human', 'data': {'content': _ASKED}},
                {'type': 'ai', 'data': {'content': _ANSWERED}},
            ]
        },
        {
            'request': {'messages': [{'role': 'user', 'content': _ASKED}]},
            'response': {
                'choices': [{'message': {'role': 'assistant', 'content': _ANSWERED}}]
            },
        },
        {
            'title': _ASKED,
            'text': '',
            'upvotes': 5,
            'comments': [
                {'user': 'ann', 'text': _OTHER, 'upvotes': 2},
                {'user': 'tom', 'text': _ANSWERED, 'upvotes': 9},
            ],
        },
        {
            'post_title': _ASKED,
            'post_score': 5,
            'comments': [
                {'comment_body': _OTHER, 'comment_score': 3},
                {'comment_body': _ANSWERED, 'comment_score': 9},
            ],
        },
    ],
)
def test_what_programs_write_is_read(fields: dict[str, Any]) -> None:
    given = json.loads(json.dumps([fields] * 2).replace('{}', '0'))
    given[1] = json.loads(json.dumps(fields).replace('{}', '1'))
    assert read_as('jsonl', given)[0] == EXPECTED[:2]


def test_titles_that_state_are_no_questions() -> None:
    with pytest.raises(errors.InputError, match='which of its fields'):
        read_as('csv', rows(title='My sister {}.', answer=_ANSWERED, level='easy'))


def test_the_body_of_a_page_of_questions_belongs_to_its_question() -> None:
    asked = {
        '@type': 'Question',
        'name': _ASKED.format(0),
        'text': 'It began in May.',
        'acceptedAnswer': {'@type': 'Answer', 'text': _ANSWERED.format(0)},
    }
    given = [{'@type': 'QAPage', 'mainEntity': asked}]
    expected = (f'{_ASKED.format(0)}\n\nIt began in May.', _ANSWERED.format(0))
    assert read_as('jsonl', given)[0] == [expected]
