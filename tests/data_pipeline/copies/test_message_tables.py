"""Tables of messages, a row each, joined to chats in the order that they had."""

import csv
import json
import pathlib
from typing import Any

import pytest

from data_pipeline.reading import inputs, reader
from hax_jax import errors

Q, A, MORE, LAST = 'Who sings?', 'Tom does.', 'And who hums?', 'Ann hums.'
SAID = [(0, 1, Q), (0, 2, A), ('c2', 1, 'Why?'), (0, 3, MORE), (0, 4, LAST),
        ('c2', 2, 'So.')]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def write(path: str, rows: list[dict[str, Any]]) -> None:
    if path.endswith('.json'):
        pathlib.Path(path).write_text(json.dumps(rows, indent=1))
    elif path.endswith('.jsonl'):
        lines = (json.dumps(row) + '\n' for row in rows)
        pathlib.Path(path).write_text(''.join(lines))
    else:
        with open(path, 'w', newline='') as file:
            table = csv.DictWriter(file, rows[0], delimiter=',;'[path == 'a.txt'])
            table.writeheader()
            table.writerows(rows)


@pytest.mark.parametrize('path', ['a.json', 'a.jsonl', 'a.csv', 'a.txt'])
@pytest.mark.parametrize(
    ('chat', 'role', 'text', 'sides'),
    [
        ('conversation_id', 'role', 'content', ('user', 'assistant')),
        ('Dialogue ID', 'Speaker', 'Utterance', ('Customer', 'Agent')),
        ('threadId', 'direction', 'body', ('inbound', 'outbound')),
        ('session', 'inbound', 'message', ('True', 'False')),
    ],
)
@pytest.mark.parametrize('order', ['', 'turn', 'created_at'])
def test_messages_are_joined_by_their_chat_in_their_order(
    path: str, chat: str, role: str, text: str, sides: Any, order: str
) -> None:
    rows = []
    for name, place, words in SAID:
        row = {chat: name, role: sides[(place - 1) % 2], text: words, 'x': 'y'}
        given = place if order == 'turn' else f'2024-01-0{place}T10:00:00Z'
        rows.append(row | ({order: given} if order else {}))
    write(path, rows if not order else rows[::-1])
    pairs, _ = reader.read([path])
    made = {
        pair.id.rpartition(':')[2]: [(e.question, e.answer) for e in pair.exchanges]
        for pair in pairs
    }
    assert made == {'0': [(Q, A), (MORE, LAST)], 'c2': [('Why?', 'So.')]}
    (note,) = inputs.describe(inputs.find([path]))[:1]
    assert f'joined to chats by {chat!r}, in the order of' in note


@pytest.mark.parametrize('key', ['messages', ''])
def test_messages_of_several_chats_in_one_list_are_no_one_chat(key: str) -> None:
    sides = ('user', 'assistant')
    messages = [
        {'conversation_id': name, 'role': sides[(place - 1) % 2], 'content': words}
        for name, place, words in SAID
    ]
    pathlib.Path('a.json').write_text(json.dumps({key: messages} if key else messages))
    pairs, _ = reader.read(['a.json'])
    assert sorted(len(pair.exchanges) for pair in pairs) == [1, 2]


def test_ids_that_fall_say_that_the_newest_message_stands_first() -> None:
    rows = [
        {'id': 9 - i, 'chat_id': 'c', 'role': role, 'text': text}
        for i, (role, text) in enumerate(
            [('assistant', LAST), ('user', MORE), ('assistant', A), ('user', Q)]
        )
    ]
    write('a.csv', rows)
    ((pair,), _) = reader.read(['a.csv'])
    assert [(e.question, e.answer) for e in pair.exchanges] == [(Q, A), (MORE, LAST)]


def test_times_that_can_not_be_told_are_refused() -> None:
    rows = [
        {'chat_id': 1, 'role': role, 'text': 'Why?', 'date': date}
        for role, date in [
            ('assistant', '01/02/2024 10:00'),
            ('user', '01/01/2024 9:00'),
        ]
    ]
    write('a.csv', rows)
    with pytest.raises(errors.InputError, match="'date', which is to give their order"):
        reader.read(['a.csv'])


@pytest.mark.parametrize(
    'rows',
    [
        [{'role': 'user', 'content': Q}, {'role': 'assistant', 'content': A}],
        [
            {'chat_id': 1, 'from': 'ann', 'text': Q},
            {'chat_id': 1, 'from': 'bo', 'text': A},
        ],
    ],
)
def test_messages_of_no_chat_or_of_unknown_people_make_no_pair(rows: Any) -> None:
    write('a.csv', rows)
    with pytest.raises(errors.InputError, match='If each row is one message'):
        reader.read(['a.csv'])


def test_tweets_of_support_are_joined_to_what_they_answer() -> None:
    names = 'tweet_id author_id inbound text response_tweet_id in_response_to_tweet_id'
    rows = [
        ('1', 'shop', 'False', A, '2', '3.0'),
        ('2', '115', 'True', MORE, '4', '1.0'),
        ('3', '115', 'True', Q, '1', ''),
        ('4', 'shop', 'False', LAST, '', '2.0'),
    ]
    write('a.csv', [dict(zip(names.split(), row, strict=True)) for row in rows])
    ((pair,), _) = reader.read(['a.csv'])
    assert [(e.question, e.answer) for e in pair.exchanges] == [(Q, A), (MORE, LAST)]
