"""Rows as public data sets have them, read to their questions and answers."""

import json
import pathlib
from typing import Any

import pytest

from data_pipeline.pages import encoding
from data_pipeline.reading import read_report, reader
from hax_jax import errors

TURNS = [{'sender': 'human', 'text': 'Why?'}, {'sender': 'assistant', 'text': 'So.'}]


def _read(
    path: pathlib.Path, text: str
) -> tuple[list[tuple[str, str]], read_report.ReadReport]:
    path.write_text(text, encoding='utf-8')
    pairs, report = reader.read([str(path)])
    return [(each.question, each.answer) for each in pairs], report


@pytest.mark.parametrize(
    'row',
    [
        {'uuid': '1', 'name': 'A talk', 'chat_messages': TURNS},  # Claude's export
        {'id': '1', 'items': [{'from': 'human', 'value': 'Why?'},
                              {'from': 'bard', 'value': 'So.'}]},
        {'instruction': 'Why?', 'input': '', 'output': 'No.',
         'reflection': 'It is wrong.', 'corrected': 'So.'},
        {'qid': 1, 'question': 'Why?', 'response_j': 'So.', 'response_k': 'No.'},
        {'question': {'id': 'a', 'full_text': 'Why?'}, 'answer_0': 'No.',
         'answer_1': 'So.', 'score_0': -0.5, 'score_1': 0.5},
        {'title': 'Why?', 'selftext': '', 'num_comments': 2,
         'comments': [{'body': 'No.', 'score': 1}, {'body': 'So.', 'score': 7}]},
        {'@type': 'Question', 'name': 'Why?',
         'acceptedAnswer': {'@type': 'Answer', 'text': 'So.'}},
        {'@type': 'FAQPage', 'name': 'Ours', 'mainEntity': [
            {'@type': 'Question', 'name': 'Why?', 'acceptedAnswer': {'text': 'So.'}}]},
        {'@type': 'QAPage', 'mainEntity': {
            '@type': 'Question', 'name': 'Why?', 'suggestedAnswer': [{'text': 'So.'}]}},
        {'Input.question': 'Why?', 'Answer.answer': 'So.'},
        {'kind': 'chat', 'input': 'Why?', 'target': 'So.'},
        {'prompt': 'Customer: Why?\nAgent:', 'completion': ' So.\n'},
        {'text': 'Patient: Why?\nDoctor: So.'},
        {'Prompt': 'Why?', 'Target Response': 'So.'},
        {'question': 'Why?', 'draft': 'No.', 'score': 6, 'revised': 'So.'},
        {'Timestamp': '3/1/2024 10:00', 'What is your question?': 'Why?',
         'Our answer': 'So.'},
        {'post_body': 'Why?', 'best_answer': 'So.', 'upvotes': 3},
        {'Reader question': 'Why?', 'Columnist response': 'So.'},
        {'post': 'No.', 'question': 'Why?', 'your answer': 'No.', 'answer': 'So.'},
    ],
)  # fmt: skip
def test_a_public_row_gives_its_pair(
    tmp_path: pathlib.Path, row: dict[str, Any]
) -> None:
    assert _read(tmp_path / 'a.jsonl', json.dumps(row))[0] == [('Why?', 'So.')]


def test_the_article_of_a_question_belongs_to_it(tmp_path: pathlib.Path) -> None:
    row = {'article': 'It rains.', 'question': 'Why?', 'answer': 'So.'}
    found, _ = _read(tmp_path / 'a.jsonl', json.dumps(row))
    assert found == [('Why?\n\nIt rains.', 'So.')]


def test_no_number_is_no_answer(tmp_path: pathlib.Path) -> None:
    rows = [{'question': 'Why?', 'answer': each} for each in (float('nan'), 'So.')]
    found, report = _read(tmp_path / 'a.json', json.dumps(rows))
    assert found == [('Why?', 'So.')]
    assert report.counts['pairs rows without answer'] == 1


@pytest.mark.parametrize(
    'text',
    [
        '[{"question": "Why?", "answer": "So."},{"question": "Who?", "answer": "I."},]',
        '{"question": "Why?", "answer": "So."},\n{"question": "Who?", "answer": "I."}',
        '{"question": "Why?", "answer": "So."},\n{"question": "Who?", "answer": "I."},',
    ],
)
def test_commas_astray_between_rows_are_none(tmp_path: pathlib.Path, text: str) -> None:
    for name in ('a.json', 'a.jsonl'):
        assert _read(tmp_path / name, text)[0] == [('Why?', 'So.'), ('Who?', 'I.')]


def test_one_column_may_have_commas_without_quotes(tmp_path: pathlib.Path) -> None:
    text = 'text\n### Human: Why, then?### Assistant: So, it is.\n'
    assert _read(tmp_path / 'a.tsv', text)[0] == [('Why, then?', 'So, it is.')]


def test_q_with_a_stop_may_be_answered_with_a_colon(tmp_path: pathlib.Path) -> None:
    text = (
        'Q. Ladders: Why is it gone?\n\nA: He took it.\n\nQ. Who did?\n\nA: He did.\n'
    )
    assert _read(tmp_path / 'a.txt', text)[0] == [
        ('Ladders: Why is it gone?', 'He took it.'),
        ('Who did?', 'He did.'),
    ]


def test_a_quote_that_cp1252_lost_is_repaired_and_lost_letters_are_counted(
    tmp_path: pathlib.Path,
) -> None:
    assert encoding.repair('He said â€œnoâ€\ufffd then, â€œgoâ€.') == (
        'He said “no” then, “go”.',
        1,
    )
    row = {'question': 'Why?', 'answer': 'It\ufffds so.'}
    found, report = _read(tmp_path / 'a.jsonl', json.dumps(row))
    assert found == [('Why?', 'It\ufffds so.')]
    lost = 'texts with characters that were lost before and stand as \ufffd'
    assert report.counts[lost] == 1
    assert 'that were lost before' in report.summary()


def test_where_human_opens_turns_user_is_a_word(tmp_path: pathlib.Path) -> None:
    said = '\n\nHuman: Why?\n\nUser: one who uses.\n\nAssistant: So.'
    found, _ = _read(tmp_path / 'a.jsonl', json.dumps({'text': said}))
    assert found == [('Why?\n\nUser: one who uses.', 'So.')]


def test_a_section_of_another_form_is_text_of_its_set(tmp_path: pathlib.Path) -> None:
    form = (
        'QUESTION: {}\n\nDRAFT_RESPONSE: No.\n\nSCORE: 4\n\nSTRENGTHS: Short.\n\n'
        'REVISED_RESPONSE: {}\n<END_OF_SET>\n\n'
    )
    asked = 'Why?\n\nScore: 5, as they say. Who won?'
    text = form.format('Who?', 'You.') + form.format(asked, 'So.')
    found, _ = _read(tmp_path / 'a.txt', text)
    assert found == [('Who?', 'You.'), (asked, 'So.')]


def test_a_reply_that_failed_its_review_is_no_answer(tmp_path: pathlib.Path) -> None:
    replies = [
        {'text': 'No.', 'role': 'assistant', 'rank': 0, 'review_result': False},
        {'text': 'So.', 'role': 'assistant', 'rank': 1, 'review_result': True},
    ]
    row = {'prompt': {'text': 'Why?', 'role': 'prompter', 'replies': replies}}
    assert _read(tmp_path / 'a.jsonl', json.dumps(row))[0] == [('Why?', 'So.')]


def test_a_table_of_numbers_is_no_pairs(tmp_path: pathlib.Path) -> None:
    """Its columns have a pair's names, as those of a function's test have."""
    rows = ['0xfee27582,0xff800000', '-7.5e-3,1', '0.5,nan']
    path = tmp_path / 'sinh.csv'
    path.write_text('input,output\n' + '\n'.join(rows))
    with pytest.raises(errors.InputError, match='holds numbers alone'):
        reader.read([str(path)])
    path.write_text('input,output\nWhat is 2 + 2?,4\n' + '\n'.join(rows))
    assert len(reader.read([str(path)])[0]) == 3
