"""Rows that hold rows, or two answers, with and without --fields."""

import json
import pathlib
from typing import Any

import pytest

from data_pipeline.reading import named_datasets, reader
from hax_jax import errors

OWN = 'question=history, answer=human_ref_B, score=score_B, group=post_id'
SHP = {
    'post_id': 'p1',
    'history': 'Who sings at night?',
    'human_ref_A': 'Tom does, and loudly.',
    'human_ref_B': 'Not I.',
    'labels': 1,
    'score_A': 9,
    'score_B': 4,
}
PKU = {
    'prompt': 'Who sings at night?',
    'response_0': 'Not I.',
    'response_1': 'Tom does, and loudly.',
    'better_response_id': 1,
}
TURN = {'role': 'user', 'content': 'Who sings at night?'}
HELP = {
    'context': [TURN],
    'response1': 'Tom does, and loudly.',
    'response2': 'Not I.',
    'overall_preference': -2,
}
SQUAD = {
    'title': 'Singers',
    'paragraphs': [
        {
            'context': 'Tom sings.',
            'qas': [{'question': 'Who sings?', 'answers': [{'text': 'Tom.'}]}],
        }
    ],
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def read(row: dict[str, Any], fields: str, kind: str = 'jsonl') -> list[Any]:
    texts = {
        'jsonl': json.dumps(row),
        'json': json.dumps([row, row], indent=1),
        'csv': ','.join(row) + '\n' + ','.join(f'"{cell}"' for cell in row.values()),
    }
    pathlib.Path(f'a.{kind}').write_text(texts[kind] + '\n')
    return reader.read([f'a.{kind}'], fields=[fields] if fields else [])[0]


@pytest.mark.parametrize('kind', ['jsonl', 'json', 'csv'])
def test_fields_may_name_the_own_columns_of_a_row_of_two_answers(kind: str) -> None:
    pair = read(SHP, OWN, kind)[0]
    assert (pair.question, pair.answer) == (SHP['history'], 'Not I.')
    assert (pair.score, pair.group) == (4, 'p1')
    pair = read(SHP, 'question=prompt, answer=chosen, score=score_chosen', kind)[0]
    assert (pair.answer, pair.score) == ('Tom does, and loudly.', 9)
    assert read(SHP, '', kind)[0].answer == 'Tom does, and loudly.'


def test_so_may_fields_of_a_named_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_datasets, 'identify', lambda given: (given, '1'))
    monkeypatch.setattr(named_datasets, 'rows', lambda _: iter([SHP]))
    assert reader.read(['hf:a/b'], fields=[OWN])[0][0].answer == 'Not I.'
    assert reader.read(['hf:a/b'])[0][0].answer == 'Tom does, and loudly.'


@pytest.mark.parametrize(
    ('row', 'fields', 'answer'),
    [
        (PKU, 'question=prompt, answer=response_0', 'Not I.'),
        (PKU, 'question=prompt, answer=chosen', 'Tom does, and loudly.'),
        (HELP, 'question=context.0.content, answer=response2', 'Not I.'),
        (SQUAD, 'question=question, answer=answers', 'Tom.'),
        ({'messages': [TURN], 'q': 'Who?', 'a': 'I do.'}, 'question=q, answer=a',
         'I do.'),
    ],
)  # fmt: skip
def test_the_form_that_has_the_fields_is_read(
    row: dict[str, Any], fields: str, answer: str
) -> None:
    assert [pair.answer for pair in read(row, fields)] == [answer]


def test_a_wrong_field_is_told_with_the_own_columns() -> None:
    with pytest.raises(errors.InputError) as raised:
        read(SHP, 'question=history, answer=human_ref_C')
    assert str(raised.value).startswith(
        "a.jsonl has no 'human_ref_C'; it has 'post_id', 'history', 'human_ref_A', "
        "'human_ref_B', 'labels', 'score_A', 'score_B'.\n"
    )


@pytest.mark.parametrize(
    ('marks', 'best'),
    [
        ({'ranks': [2, 1, 3]}, 'Tom does.'),
        ({'scores': [-1.5, '4', 2]}, 'Tom does.'),
        ({'rewards': [0.1, 0.9, 0.2]}, 'Tom does.'),
        ({'ratings': [5, 1, 1]}, 'I do.'),
        ({'scores': [1, 9]}, 'I do.'),  # of other things
        ({'scores': [1, 'much', 3]}, 'I do.'),
    ],
)
@pytest.mark.parametrize('name', ['responses', 'answers', 'completions'])
def test_marks_in_a_list_beside_the_answers_are_theirs(
    marks: dict[str, Any], best: str, name: str
) -> None:
    row = {
        'prompt': 'Who sings?',
        name: ['I do.', 'Tom does.', 'Nobody does.'],
        **marks,
    }
    assert [pair.answer for pair in read(row, '')] == [best]


def test_a_rejected_answer_is_known_in_any_case() -> None:
    row = {'Prompt': 'Who sings?', 'Chosen': 'Tom does.', 'Rejected': 'Not I.'}
    pathlib.Path('a.jsonl').write_text(json.dumps(row))
    _, report = reader.read(['a.jsonl'])
    assert report.counts['rows with a rejected answer, which was left out'] == 1
