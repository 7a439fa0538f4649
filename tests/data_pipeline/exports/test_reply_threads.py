"""Exports of messengers: replies by others are answers, and nothing else is."""

import json
import pathlib
from typing import Any

import pytest

from data_pipeline.reading import inputs, reader
from hax_jax import errors

Q, A, MORE = 'Who sings at night?', 'Tom does, and loudly.', 'And in the morning?'


def discord(key: int, by: str, text: str, to: int = 0, **more: Any) -> Any:
    made = {'id': str(key), 'type': 'Reply' if to else 'Default', 'content': text}
    made |= {'timestamp': f'2024-01-0{key}T00:00:00+00:00', 'author': {'id': by}}
    return made | ({'reference': {'messageId': str(to)}} if to else {}) | more


def slack(key: int, author: str, text: str, to: int = 0, **more: Any) -> Any:
    thread = {'thread_ts': f'{to}.0'} if to else {}
    return {'type': 'message', 'user': author, 'text': text, 'ts': f'{key}.0'} | (
        thread | more
    )


def telegram(key: int, author: str, text: Any, to: int = 0, **more: Any) -> Any:
    made = {'id': key, 'type': 'message', 'date': 'x', 'from_id': author, 'text': text}
    return made | ({'reply_to_message_id': to} if to else {}) | more


def of_discord(messages: Any) -> Any:
    return {'guild': {'id': '2'}, 'channel': {'id': '1'}, 'messages': messages}


def of_slack(messages: Any) -> Any:
    return [{**messages[0], 'thread_ts': messages[0]['ts']}, *messages[1:]]


def of_telegram(messages: Any) -> Any:
    return {'name': 'G', 'type': 'private_group', 'id': 5, 'messages': messages}


def of_all_telegram(messages: Any) -> Any:
    empty = {'type': 'personal_chat', 'id': 6, 'messages': []}
    return {
        'about': 'x',
        'chats': {'about': 'x', 'list': [empty, of_telegram(messages)]},
    }


KINDS = [
    (discord, of_discord),
    (slack, of_slack),
    (telegram, of_telegram),
    (telegram, of_all_telegram),
]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def write(value: Any, indent: int | None = None) -> None:
    pathlib.Path('a.json').write_text(json.dumps(value, indent=indent))


@pytest.mark.parametrize('indent', [None, 2])
@pytest.mark.parametrize(('message', 'export'), KINDS)
def test_a_message_and_its_reply_are_a_pair(
    message: Any, export: Any, indent: int | None
) -> None:
    messages = [
        message(1, 'ann', Q),
        message(2, 'bo', 'Nice weather.'),
        message(3, 'ann', 'I mean it.', 1),  # by the asker
        message(4, 'cy', A, 1),
        message(5, 'ann', MORE, 4),  # a reply to a reply; in Slack, to the thread
    ]
    write(export(messages[:4] if message is slack else messages), indent)
    ((pair,), _) = reader.read(['a.json'])
    assert (pair.question, pair.answer) == (Q, A)
    (note,) = inputs.describe(inputs.find(['a.json']))[:1]
    assert '1 message with replies by others, and' in note


@pytest.mark.parametrize(('message', 'export'), KINDS)
def test_an_export_without_replies_is_refused_by_its_name(
    message: Any, export: Any
) -> None:
    write(export([message(1, 'ann', Q), message(2, 'bo', A)]))
    with pytest.raises(errors.InputError, match='no message has a reply by another'):
        reader.read(['a.json'])


def test_of_several_replies_the_one_with_most_reactions_is_the_answer() -> None:
    liked = {'reactions': [{'emoji': {'name': 'x'}, 'count': 3}]}
    messages = [discord(1, 'ann', Q), discord(2, 'bo', 'Hm.', 1)]
    write(of_discord([*messages, discord(3, 'cy', A, 1, **liked)]))
    ((pair,), report) = reader.read(['a.json'])
    assert pair.answer == A
    assert report.counts['answers beside the best, left out'] == 1


def test_the_first_reply_is_the_answer_also_where_the_newest_stands_first() -> None:
    messages = [
        discord(1, 'ann', Q),
        discord(2, 'bo', A, 1),
        discord(3, 'cy', 'Hm.', 1),
    ]
    write(of_discord(messages[::-1]))
    ((pair,), _) = reader.read(['a.json'])
    assert pair.answer == A


@pytest.mark.parametrize(
    'more',
    [
        [discord(2, 'bot', 'Level 3!', 1, author={'id': 'bot', 'isBot': True})],
        [discord(2, 'bo', 'Like this', 1, attachments=[{'id': 1}])],
        [discord(2, 'bo', 'Hm.', 99)],
        [discord(2, 'bo', 'pinned', 1, type='ChannelPinnedMessage')],
    ],
)
def test_bots_files_and_messages_of_the_program_are_no_answers(more: Any) -> None:
    write(of_discord([discord(1, 'ann', Q), *more, discord(3, 'cy', A, 1)]))
    ((pair,), _) = reader.read(['a.json'])
    assert pair.answer == A


def test_a_topic_of_telegram_is_no_message_that_its_messages_answer() -> None:
    start = {'id': 1, 'type': 'service', 'date': 'x', 'action': 'topic_created'}
    text = ['Tom does, ', {'type': 'bold', 'text': 'and loudly'}, '.']
    write(of_telegram([start, telegram(2, 'ann', Q, 1), telegram(3, 'bo', text, 2)]))
    ((pair,), _) = reader.read(['a.json'])
    assert (pair.question, pair.answer) == (Q, A)


def test_a_forwarded_message_asks_nothing() -> None:
    forwarded = telegram(1, 'ann', 'News.', forwarded_from='Ship')
    told = [telegram(2, 'bo', 'Oh!', 1), telegram(3, 'bo', Q), telegram(4, 'cy', A, 3)]
    write(of_telegram([forwarded, *told]))
    ((pair,), _) = reader.read(['a.json'])
    assert pair.question == Q


def test_slacks_signs_are_read() -> None:
    text = '<@U7> see <https://a.org|this page> &amp; <#C1|home>'
    write(of_slack([slack(1, 'U1', Q), slack(2, 'U2', text, 1)]))
    ((pair,), _) = reader.read(['a.json'])
    assert pair.answer == '@U7 see this page & #home'


def test_chats_that_never_say_what_they_answer_are_refused_by_their_names() -> None:
    said = [
        {'sender_name': who, 'content': text} for who, text in (('Ann', Q), ('Bo', A))
    ]
    write({'participants': [{'name': 'Ann'}, {'name': 'Bo'}], 'messages': said}, 1)
    with pytest.raises(errors.InputError, match='an export of Facebook or Instagram'):
        reader.read(['a.json'])
    for line in ('[31/12/24, 23:59:00] {}: {}', '12/31/2024, 11:59 PM - {}: {}'):
        lines = [line.format(who, text) for who, text in (('Ann', Q), ('Bo', A))]
        pathlib.Path('a.txt').write_text('\n'.join([*lines, '']))
        with pytest.raises(errors.InputError, match='a chat as WhatsApp exports it'):
            reader.read(['a.txt'])


def test_a_damaged_export_is_told() -> None:
    text = json.dumps(of_slack([slack(1, 'U1', Q), slack(2, 'U2', A, 1)]))
    pathlib.Path('a.json').write_text(text[:-9])
    with pytest.raises(errors.InputError, match='damaged or cut short'):
        reader.read(['a.json'])
