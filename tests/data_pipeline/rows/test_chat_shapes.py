"""Every shape of a row that other tools write, to the same pair."""

import dataclasses
import json
import pathlib
from typing import Any

import pytest

from data_pipeline.reading import inputs, reader
from data_pipeline.rows import near_fields

Q, A, NO = 'Who sings at night?', 'Tom does, and loudly.', 'Not I.'
USER, BOT = {'role': 'user', 'content': Q}, {'role': 'assistant', 'content': A}
WORSE = {'role': 'assistant', 'content': NO}
HUMAN, GPT = {'from': 'human', 'value': Q}, {'from': 'gpt', 'value': A}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def read(*rows: Any) -> tuple:
    pathlib.Path('a.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in rows))
    return reader.read(['a.jsonl'])


def parts(text: str) -> list[dict[str, str]]:
    return [{'type': 'text', 'value': text}]


@pytest.mark.parametrize(
    'row',
    [
        {'prompt': Q, 'completion': A},
        {'prompt': [USER], 'completion': [BOT]},
        {'prompt': [USER], 'completion': [BOT], 'label': True},
        {'prompt': [USER], 'chosen': [BOT], 'rejected': [WORSE]},
        {'prompt': Q, 'chosen': A, 'rejected': NO},
        {'prompt': Q, 'chosen': [USER, BOT], 'rejected': [USER, WORSE]},
        {'chosen': [USER, BOT], 'rejected': [USER, WORSE]},
        {'chosen': f'\n\nHuman: {Q}\n\nAssistant: {A}', 'rejected': NO},
        {'text': f'### Human: {Q}### Assistant: {A}'},
        {'conversations': [HUMAN], 'chosen': GPT, 'rejected': {**GPT, 'value': NO}},
        {'instruction': Q, 'input': '', 'chosen': A, 'rejected': NO},
        {'input': {'messages': [USER]}, 'preferred_output': [BOT]},
        {'messages': [USER, {**BOT, 'content': None, 'tool_calls': [{}]},
                      {'role': 'tool', 'content': '42'}, BOT]},
        {'messages': [{'role': 'user', 'content': parts(Q)},
                      {'role': 'assistant', 'content': parts(A), 'loss_weight': 1.0}]},
        {'chosen_messages': [USER, BOT], 'rejected_messages': [USER, WORSE]},
        {'contents': [{'role': 'user', 'parts': [{'text': Q}]},
                      {'role': 'model', 'parts': [{'text': A}]}]},
        {'conversations': [Q, A]},
        {'conversation': [{'human': Q, 'assistant': A}]},
        {'conversation': [{'system': 'x', 'input': Q, 'output': A}]},
        {'conversations': [Q, A, 'Why?', 'He can.'], 'source': 'x'},
        {'segments': [{'label': False, 'text': f'<s>[INST] {Q} [/INST] '},
                      {'label': True, 'text': f'{A}</s>'}]},
        {'prompt': {'role': 'prompter', 'text': Q, 'replies': [
            {'role': 'assistant', 'text': NO, 'rank': 1, 'replies': []},
            {'role': 'assistant', 'text': A, 'rank': 0, 'replies': []}]}},
        {'question': Q, 'answers': {'text': [A, A], 'answer_start': [0, 9]}},
        {'question': Q, 'answers': [{'text': A, 'answer_start': 0}]},
        {'title': Q, 'selftext': '', 'answers': {'text': [NO, A], 'score': [1, 5]}},
        {'question': Q,
         'answers': [{'text': NO, 'score': 9}, {'text': A, 'selected': 1}]},
        {'question': Q, 'answer': {'value': A, 'aliases': ['Tom']}},
        {'question': Q, 'answer': [A, NO]},
        {'paragraphs': [{'context': '', 'qas': [{'question': Q, 'answers': [
            {'text': A, 'answer_start': 0}]}]}], 'title': 't'},
        {'questionID': 4, 'questionText': Q, 'answerText': A, 'answerID': 5},
        {'Q': Q, 'A': A},
        {'Question_Body': Q, 'best_answer': A},
        {'Context': Q, 'Response': A},
    ],
)  # fmt: skip
def test_a_row_of_each_shape_is_the_pair(row: dict[str, Any]) -> None:
    pairs, _ = read(row, row)
    assert [(p.question, p.answer) for p in pairs] == [(Q, A)] * 2


NEXT = (
    {'role': 'user', 'content': 'And by day?'},
    {'role': 'assistant', 'content': 'He naps.'},
)
TALK = [(Q, A, 1.0), ('And by day?', 'He naps.', 1.0)]
LATER = [(Q, A, 0.0), TALK[1]]


@pytest.mark.parametrize(
    ('row', 'expected'),
    [
        ({'messages': [USER, BOT, *NEXT]}, TALK),
        ({'conversations': [Q, A, 'And by day?', 'He naps.']}, TALK),
        ({'conversation': [{'human': Q, 'assistant': A},
                           {'human': 'And by day?', 'assistant': 'He naps.'}]}, TALK),
        ({'text': f'### Human: {Q}### Assistant: {A}### Human: And by day?'
                  '### Assistant: He naps.'}, TALK),
        ({'instruction': 'And by day?', 'input': '', 'output': 'He naps.',
          'history': [[Q, A]]}, TALK),
        ({'segments': [{'label': False, 'text': f'<s>[INST] {Q} [/INST] '},
                       {'label': True, 'text': f'{A}</s>'},
                       {'label': False, 'text': '[INST] And by day? [/INST]'},
                       {'label': True, 'text': 'He naps.</s>'}]}, TALK),
        ({'prompt': {'role': 'prompter', 'text': Q, 'replies': [
            {'role': 'assistant', 'text': A, 'rank': 0, 'replies': [
                {'role': 'prompter', 'text': 'And by day?', 'replies': [
                    {'role': 'assistant', 'text': 'He naps.', 'replies': []}]}]},
            {'role': 'assistant', 'text': NO, 'rank': 1, 'replies': []}]}}, TALK),
        ({'prompt': [USER, BOT, NEXT[0]], 'completion': [NEXT[1]]}, LATER),
        ({'prompt': [USER, BOT, NEXT[0]], 'chosen': [NEXT[1]],
          'rejected': [WORSE]}, LATER),
        ({'chosen': [USER, BOT, *NEXT], 'rejected': [USER, BOT, NEXT[0], WORSE]},
         LATER),
        ({'chosen': f'\n\nHuman: {Q}\n\nAssistant: {A}\n\nHuman: And by day?'
                    '\n\nAssistant: He naps.', 'rejected': NO}, LATER),
        ({'conversations': [HUMAN, GPT, {'from': 'human', 'value': 'And by day?'}],
          'chosen': {'from': 'gpt', 'value': 'He naps.'}, 'rejected': GPT}, LATER),
    ],
)  # fmt: skip
def test_the_turns_of_each_shape_are_the_conversation(
    row: dict[str, Any], expected: list[tuple[str, str, float]]
) -> None:
    pairs, report = read(row, row)
    for pair in pairs:
        assert [dataclasses.astuple(each) for each in pair.exchanges] == expected
    assert report.counts['conversations'] == 2
    assert report.counts['conversations exchanges'] == 4
    assert '\n  conversations: 4 exchanges, 2 conversations' in report.summary()


def test_a_context_belongs_to_the_question() -> None:
    qas = [{'question': Q, 'id': str(i), 'answers': [{'text': A}]} for i in range(2)]
    document = {'data': [{'paragraphs': [{'context': 'Tom is loud.', 'qas': qas}]}]}
    pathlib.Path('a.json').write_text(json.dumps(document))
    pairs, _ = reader.read(['a.json'])
    assert [(p.id, p.question) for p in pairs] == [
        ('pairs:a:0', f'{Q}\n\nTom is loud.'),
        ('pairs:a:1', f'{Q}\n\nTom is loud.'),
    ]


def test_answers_that_are_left_out_are_counted() -> None:
    _, report = read(
        {'question': Q, 'answers': [A, NO, NO]},
        {'question': Q, 'answers': [A], 'rejected': NO, 'history': [['a', '']]},
        {'question': Q, 'answers': [A], 'history': 'Ann asked.'},
    )
    assert report.counts['answers beside the best, left out'] == 2
    assert report.counts['rows with a rejected answer, which was left out'] == 1
    assert report.counts['rows with a history, which was left out'] == 2


def test_pairs_among_chats_are_read() -> None:
    pairs, _ = read({'messages': [USER, BOT]}, {'prompt': NO, 'completion': A})
    assert [p.question for p in pairs] == [Q, NO]


def test_near_names_are_taken_and_said() -> None:
    names = [
        'questionID',
        'questionTitle',
        'questionText',
        'answerText',
        'answer_start',
    ]
    assert near_fields.near(names) == {
        'question': ('questionTitle', 'questionText'),
        'answer': ('answerText',),
    }
    assert near_fields.near(['question_type', 'answer id', 'Quality', 'a_id']) == {}
    pathlib.Path('a.csv').write_text('Question (English),FinalAnswer\nWho?,Tom.\n')
    assert inputs.describe(inputs.find(['a.csv'])) == [
        'fields of a.csv: question=Question (English), answer=FinalAnswer '
        '(--fields changes them)'
    ]


def test_chats_in_cells_of_a_table_and_in_a_document_are_read() -> None:
    cell = json.dumps([USER, BOT]).replace('"', '""')
    pathlib.Path('a.csv').write_text(f'id,messages\n7,"{cell}"\n')
    chats = {'conversations': [{'id': 1, 'messages': [USER, BOT]}]}
    pathlib.Path('b.json').write_text(json.dumps(chats))
    pairs, _ = reader.read(['a.csv', 'b.json'])
    assert [(p.id, p.question, p.answer) for p in pairs] == [
        ('csv:a:7', Q, A),
        ('messages:b:1', Q, A),
    ]
