"""Chats as JSON Lines to pairs, in both spellings."""

import dataclasses
import json
import pathlib
from typing import Any

import pytest

from data_pipeline.reading import reader
from hax_jax.data import records


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def read(*rows: Any) -> tuple:
    text = ''.join(json.dumps(row) + '\n' for row in rows)
    pathlib.Path('a.jsonl').write_text(text, encoding='utf-8')
    return reader.read(['a.jsonl'])


def chat(*turns: str, **fields: Any) -> dict[str, Any]:
    """'user: text' -> {'role': 'user', 'content': 'text'}"""
    split = [turn.partition(': ') for turn in turns]
    messages = [{'role': role, 'content': text} for role, _, text in split]
    return {'messages': messages, **fields}


def turns(pair: records.QaPair) -> list[tuple[str, str, float]]:
    return [dataclasses.astuple(each) for each in pair.exchanges]


def test_the_turns_are_the_conversation() -> None:
    pairs, report = read(
        chat('system: Be kind now.', 'user: Why?', 'assistant: So.', id='x', weight=3),
        chat('user: A?', 'user: And B?', 'assistant: C.', 'user: D?', 'assistant: E.'),
        chat('assistant: Hello!', 'user: Q', 'assistant: ', 'tool: T', 'assistant: R'),
    )
    assert [turns(pair) for pair in pairs] == [
        [('Why?', 'So.', 1.0)],
        [('A?\n\nAnd B?', 'C.', 1.0), ('D?', 'E.', 1.0)],
        [('Q', 'R', 1.0)],
    ]
    assert (pairs[0].id, pairs[0].weight) == ('messages:a:x', 3.0)
    assert pairs[0].source == 'messages'
    counts = report.counts
    assert counts['messages system turns left out'] == 1
    assert counts['conversations'] == 1
    assert counts['conversations exchanges'] == 2
    assert counts['messages user turns joined to the one before'] == 1
    assert counts['messages turns before the first question'] == 1
    assert counts['messages turns of other roles left out'] == 1
    assert counts['messages empty turns'] == 1
    assert counts['words: in turns and fields not read'] > 0


def test_a_turn_of_weight_0_is_context_of_the_next_answer() -> None:
    row = chat('user: Why?', 'assistant: No.', 'user: Be kind.', 'assistant: Dear me.')
    for key, no in (
        ('weight', 0),
        ('weight', 0.0),
        ('train', False),
        ('loss', 'false'),
    ):
        row['messages'][1] = {'role': 'assistant', 'content': 'No.', key: no}
        [pair], report = read(row)
        assert turns(pair) == [('Why?', 'No.', 0.0), ('Be kind.', 'Dear me.', 1.0)]
        assert report.counts['messages answers marked as not to be learned'] == 1
    row['messages'][1]['loss'], row['messages'][3]['weight'] = True, 0
    [pair], report = read(row)
    assert turns(pair) == [('Why?', 'No.', 1.0)]
    assert report.counts['messages exchanges after the last answer to learn'] == 1
    row['messages'][1]['weight'] = 0
    good = chat('user: Why?', 'assistant: So.')
    pairs, report = read(row, good)
    assert [p.answer for p in pairs] == ['So.']
    assert report.counts['messages rows marked as not to be learned'] == 1


def test_a_turn_may_have_a_weight_of_its_own() -> None:
    row = chat('user: Why?', 'assistant: No.', 'user: Be kind.', 'assistant: Dear me.')
    row['messages'][1]['weight'], row['messages'][3]['weight'] = 0.5, 10**400
    [pair], report = read(row)
    assert turns(pair) == [('Why?', 'No.', 0.5), ('Be kind.', 'Dear me.', 1.0)]
    assert report.counts['messages weights of turns out of range'] == 1


def test_thinking_in_a_channel_and_what_a_tool_gave_are_no_texts() -> None:
    thought = chat('user: Why?', 'assistant: Hm.', 'assistant: So.')
    thought['messages'][1]['channel'] = 'analysis'
    thought['messages'][2]['channel'] = 'final'
    called = chat(
        'user: Why?',
        'assistant: <tool_call>\n{}\n</tool_call>',
        'user: <tool_response>\n42\n</tool_response>\n<tool_response>7</tool_response>',
        'assistant: So.',
    )
    said = chat('user: Is <tool_response>42</tool_response> a tag?', 'assistant: Yes.')
    pairs, report = read(thought, called, said)
    assert [(pair.question, pair.answer) for pair in pairs] == [
        *[('Why?', 'So.')] * 2,
        ('Is <tool_response>42</tool_response> a tag?', 'Yes.'),
    ]
    assert report.counts['messages turns of thinking, left out'] == 1
    assert report.counts['messages turns of other roles left out'] == 1


def test_turns_that_are_in_no_exchange_are_counted() -> None:
    [first, second], report = read(
        chat('user: A?', 'assistant: B.', 'assistant: C.', 'tool: T', 'user: D?'),
        chat(
            'user: A?', 'assistant: No.', 'assistant: B.', 'user: D?', 'assistant: E.'
        ),
    )
    assert turns(first) == [('A?', 'B.', 1.0)]
    assert turns(second) == [('A?', 'No.', 1.0), ('D?', 'E.', 1.0)]
    assert report.counts['messages further answers to a question, left out'] == 2
    assert report.counts['messages questions at the end without an answer'] == 1
    row = chat('user: A?', 'assistant: No.', 'assistant: B.')
    row['messages'][1]['weight'] = 0
    assert [turns(pair) for pair in read(row)[0]] == [[('A?', 'B.', 1.0)]]


def test_a_conversation_ends_before_a_turn_that_cleaning_empties() -> None:
    row = chat('user: A?', 'assistant: B.', 'user: \u200b', 'assistant: C.')
    [pair], report = read(row)
    assert turns(pair) == [('A?', 'B.', 1.0)]
    assert report.counts['conversations cut at a turn without text'] == 1


def test_a_chat_that_is_a_bad_example_makes_no_pair() -> None:
    turns = ('user: Why?', 'assistant: So.')
    pairs, report = read(
        chat(*turns, label=True), chat(*turns, label=False), chat(*turns, weight=0)
    )
    assert [pair.line for pair in pairs] == [1]
    assert report.counts['messages rows marked as not to be learned'] == 1
    assert report.counts['messages rows of weight 0'] == 1


def test_the_other_spelling_is_read() -> None:
    row = {
        'conversations': [
            {'from': 'human', 'value': 'Why?'},
            {'from': 'gpt', 'value': 'So.'},
        ]
    }
    pairs, report = read(row)
    assert [(p.question, p.answer) for p in pairs] == [('Why?', 'So.')]
    assert report.counts['files of layout messages'] == 1


def test_a_text_may_be_in_parts() -> None:
    row = chat('assistant: So.')
    parts = [{'type': 'text', 'text': 'Why'}, {'type': 'text', 'text': 'me?'}]
    row['messages'].insert(0, {'role': 'user', 'content': parts})
    assert read(row)[0][0].question == 'Why\n\nme?'


@pytest.mark.parametrize(
    'fields',
    [
        {'content': 'Let me look.', 'tool_calls': [{'id': 'c0', 'type': 'function'}]},
        {'content': 'Let me look.', 'function_call': {'name': 'look'}},
        {'content': [{'type': 'text', 'text': 'Let me look.'},
                     {'type': 'tool_use', 'name': 'look', 'input': {}}]},
        {'content': 'Let me look.\n<tool_call>\n{"name": "look"}\n</tool_call>'},
        {'content': '<functioncall> {"name": "look"}'},
    ],
)  # fmt: skip
def test_a_call_of_a_tool_is_no_answer(fields: dict[str, Any]) -> None:
    row = chat('user: Where?', 'tool: 7', 'assistant: There.', 'user: So?')
    row['messages'] += chat('assistant: Yes.', 'user: Now?')['messages']
    row['messages'].insert(1, {'role': 'assistant', **fields})
    row['messages'].append({'role': 'assistant', **fields})
    [pair], report = read(row)
    assert turns(pair) == [('Where?', 'There.', 1.0), ('So?', 'Yes.', 1.0)]
    assert report.counts['messages turns that call a tool, left out'] == 2


def test_lines_that_are_no_chats_are_named() -> None:
    good = chat('user: Why?', 'assistant: So.')
    call = {'role': 'user', 'content': [{'type': 'tool_use', 'input': {}}]}
    pairs, report = read(
        good,
        {'messages': 'text'},
        {'other': 1},
        {'messages': [call]},
        {'messages': [{'content': 'x'}]},
        7,
        chat('user: Anyone?'),
        chat(),
    )
    assert len(pairs) == 1
    why = [line.partition(' (left out: ')[2] for line in report.unknown_lines]
    assert why == [
        "'messages' is a str, not a list)",
        "it has no 'messages' and no 'conversations')",
        'turn 1 is not {"role": "user", "content": "…"})',
        'its JSON is not an object)',
    ]
    assert report.counts['messages parts of turns without text'] == 1
    assert report.dropped == [
        'a.jsonl:4:  (messages rows without text)',
        'a.jsonl:7: Anyone? (messages rows without answer)',
        'a.jsonl:8:  (messages rows without text)',
    ]


def test_every_word_of_the_texts_is_counted_once() -> None:
    _, report = read(
        chat('user: one two', 'assistant: three', 'user: four five', topic='six'),
        chat('system: seven', 'user: eight', note='nine ten'),
    )
    words = {k: n for k, n in report.counts.items() if k.startswith('words')}
    roles = 5  # 'user', 'assistant', … are texts too
    assert sum(words.values()) == 10 + roles
    assert words['words: question'] == 2
    assert words['words: question without pair'] == 1
