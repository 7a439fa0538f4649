"""Multiple choice: the text of the choice that an answer names is the answer."""

import csv
import json
import pathlib
from typing import Any

import pytest

from data_pipeline.reading import reader
from hax_jax import errors

TEXTS = ['Ask her first.', 'Say nothing at all.', 'Leave at nine.', 'Write to him.']
LABELLED = {'label': [*'ABCD'], 'text': TEXTS}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def answers(rows: list[dict[str, Any]], kind: str = 'jsonl') -> list[str]:
    path = pathlib.Path(f'a.{kind}')
    if kind == 'jsonl':
        path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    else:
        with path.open('w', newline='') as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    pairs, report = reader.read([str(path)])
    named = report.counts.get('answers that name a choice, read as its text', 0)
    assert named == len(pairs)
    return [pair.answer for pair in pairs]


@pytest.mark.parametrize(
    ('around', 'first', 'second'),
    [
        ({'choices': TEXTS}, {'answer': 0}, {'answer': 2}),  # MMLU
        ({'options': TEXTS}, {'answer': '4'}, {'answer': '2'}),  # from 1 on
        ({'options': TEXTS}, {'answer': 'A'}, {'answer': '(c)'}),  # RACE
        (  # AQuA
            {'options': [f'{m} ) {t}' for m, t in zip('ABCD', TEXTS, strict=True)]},
            {'correct': 'A'},
            {'correct': 'C'},
        ),
        ({'choices': LABELLED}, {'answerKey': 'A'}, {'answerKey': 'C'}),  # ARC
        (
            {'choices': {'label': [*'1234'], 'text': TEXTS}},
            {'answerKey': '1'},
            {'answerKey': '3'},
        ),
        (
            {
                'options': [
                    {'key': k, 'text': t} for k, t in zip('ABCD', TEXTS, strict=True)
                ]
            },
            {'answer': 'A'},
            {'answer': 'C'},
        ),
        (
            {'options': dict(zip('ABCD', TEXTS, strict=True))},
            {'answer_idx': 'A'},
            {'answer_idx': 'C'},
        ),
        (dict(zip('ABCD', TEXTS, strict=True)), {'answer': 'A'}, {'answer': 'C'}),
        (
            {f'option_{k}': t for k, t in zip('abcd', TEXTS, strict=True)},
            {'correct_answer': 'a'},
            {'correct_answer': 'c'},
        ),
        (
            {f'option{k}': t for k, t in zip('1234', TEXTS, strict=True)},
            {'answer': 1},
            {'answer': 3},
        ),
    ],
)
def test_the_text_of_the_named_choice_is_the_answer(
    around: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    rows = [{'question': 'Who?', **around, **e} for e in (first, second)]
    expected = [TEXTS[0], TEXTS[2]]
    if first == {'answer': '4'}:
        expected = [TEXTS[3], TEXTS[1]]
    assert answers(rows) == expected
    cells = [
        {k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in row.items()}
        for row in rows
    ]
    assert answers(cells, 'csv') == expected


def test_numbers_that_may_count_from_0_or_from_1_make_no_pair() -> None:
    rows = [{'question': 'Who?', 'choices': TEXTS, 'answer': i} for i in (1, 2)]
    with pytest.raises(errors.InputError, match='names no choice for certain'):
        answers(rows)


def test_a_number_beyond_the_choices_makes_no_pair() -> None:
    rows = [{'question': 'Who?', 'choices': TEXTS, 'answer': i} for i in (0, 9, 3)]
    assert answers(rows) == [TEXTS[0], TEXTS[3]]


def test_answers_that_are_texts_stay_beside_choices() -> None:
    rows = [{'question': 'Who?', 'choices': TEXTS, 'answer': t} for t in TEXTS]
    path = pathlib.Path('a.jsonl')
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    assert [pair.answer for pair in reader.read(['a.jsonl'])[0]] == TEXTS


@pytest.mark.parametrize(
    ('name', 'marks'),
    [
        ('correctAnswer', TEXTS),
        ('correct_answer', TEXTS),
        ('correctAnswer', [*'ABCD']),
        ('correct', [0, 1, 2, 3]),
        ('correctIndex', [0, 1, 2, 3]),
        ('correctAnswerIndex', [1, 2, 3, 4]),
    ],
)
@pytest.mark.parametrize('listed', ['answers', 'options'])
def test_a_quiz_calls_its_choices_answers(
    listed: str, name: str, marks: list[Any]
) -> None:
    """The first of them was learned, whichever was named the right one."""
    rows = [{'question': f'Why {m}?', listed: TEXTS, name: m} for m in marks]
    pathlib.Path('a.json').write_text(json.dumps(rows))
    pairs, _ = reader.read(['a.json'])
    assert [pair.answer for pair in pairs] == TEXTS


def test_choices_with_ids_are_named_by_these() -> None:
    held = [
        {'id': mark, 'answer': text} for mark, text in zip('abcd', TEXTS, strict=True)
    ]
    rows = [{'question': 'Why?', 'answers': held, 'correctAnswerId': m} for m in 'bd']
    assert answers(rows) == [TEXTS[1], TEXTS[3]]
    asked = {'stem': 'Why?', 'choices': [{'label': 'A', 'text': t} for t in TEXTS[:1]]}
    asked['choices'] += [{'label': 'B', 'text': TEXTS[1]}]
    assert answers([{'id': 'x', 'question': asked, 'answerKey': 'B'}]) == [TEXTS[1]]


def test_a_verdict_beside_answers_names_none_of_them() -> None:
    rows = [{'question': 'Why?', 'answers': TEXTS[:2], 'label': 1}] * 2
    pathlib.Path('a.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    assert [pair.answer for pair in reader.read(['a.jsonl'])[0]] == [TEXTS[0]] * 2
