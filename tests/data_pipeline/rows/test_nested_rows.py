"""Rows that hold rows, or two answers, with and without --fields."""

import csv
import json
import pathlib
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

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


SET = (
    'QUESTION: Who sings {0}?\nDRAFT_RESPONSE: Not I.\nSCORE: 3\nSTRENGTHS: Short.\n'
    'WEAKNESSES: Untrue.\nREVISED_RESPONSE: Tom does, {0}.\n{1}<END_OF_SET>\n'
)


@pytest.mark.parametrize('kind', ['jsonl', 'json', 'csv', 'parquet'])
@pytest.mark.parametrize('columns', [{}, {'id': 'x', 'source': 'old'}])
def test_sets_in_a_column_of_text_are_read_as_in_a_file(
    kind: str, columns: dict[str, str]
) -> None:
    rows = [{**columns, 'text': SET.format(when, '')} for when in ('now', 'then')]
    if kind == 'parquet':
        parquet.write_table(pyarrow.Table.from_pylist(rows), 'a.parquet')
    else:
        with open('a.csv', 'w') as file:
            table = csv.DictWriter(file, [*columns, 'text'])
            table.writeheader()
            table.writerows(rows)
        lines = '\n'.join(map(json.dumps, rows))
        pathlib.Path('a.jsonl').write_text(lines)
        pathlib.Path('a.json').write_text(json.dumps(rows))
    found, report = reader.read([f'a.{kind}'])
    assert [(pair.question, pair.answer, pair.source) for pair in found] == [
        (f'Who sings {when}?', f'Tom does, {when}.', columns.get('source', source))
        for when in ('now', 'then')
        for source in ['csv' if kind == 'csv' else 'pairs']
    ]
    # DRAFT_RESPONSE: Not I. SCORE: 3 … <END_OF_SET>, and the columns
    assert report.counts['words: in fields not read'] == 2 * (12 + len(columns))


def test_several_sets_in_one_text_are_of_one_group_and_keep_their_weight() -> None:
    heavy = SET.format('now', 'OVERSAMPLE_WEIGHT: 3 ')
    found = read({'id': 7, 'text': heavy + SET.format('then', '')}, '')
    assert [(pair.answer, pair.weight, pair.group) for pair in found] == [
        ('Tom does, now.', 3, '7'),
        ('Tom does, then.', 1, '7'),
    ]
    own = {'question': 'Why?', 'answer': 'So.', 'text': heavy}
    assert [pair.answer for pair in read(own, '')] == ['So.']


@pytest.mark.parametrize(
    'cell',
    [
        '{"text": ["Tom does."], "answer_start": [0]}',
        "{'text': array(['Tom does.'], dtype=object), 'answer_start': array([0])}",
        '[{"text": "I do.", "score": 1}, {"text": "Tom does.", "score": 4}]',
        "['Tom does.', 'I do.']",
        'Tom does.',
    ],
)
def test_several_answers_in_a_cell_are_one_text(cell: str) -> None:
    with open('a.csv', 'w') as file:
        csv.writer(file).writerows([['question', 'answers'], ['Who sings?', cell]])
    assert [pair.answer for pair in reader.read(['a.csv'])[0]] == ['Tom does.']


@pytest.mark.parametrize('text', ['[1] says so.', '{so}', '["a" "b', '[{"a": 1}]'])
def test_an_answer_that_only_looks_like_several_is_a_text(text: str) -> None:
    with open('a.csv', 'w') as file:
        csv.writer(file).writerows([['question', 'answers'], ['Who sings?', text]])
    assert [pair.answer for pair in reader.read(['a.csv'])[0]] == [text]


@pytest.mark.parametrize('names', [('inputs', 'outputs'), ('input', 'output')])
def test_a_question_and_its_answer_in_two_objects_are_a_row(
    names: tuple[str, str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parts = ({'question': 'Who sings?', 'topic': 'songs'}, {'answer': 'Tom does.'})
    row = {'id': 'x7', 'metadata': {}, **dict(zip(names, parts, strict=True))}
    pathlib.Path('a.jsonl').write_text(f'{json.dumps(row)}\n')
    [pair], _ = reader.read(['a.jsonl'])
    assert (pair.question, pair.answer) == ('Who sings?', 'Tom does.')
    assert (pair.topic, pair.id) == ('songs', 'pairs:a:x7')
