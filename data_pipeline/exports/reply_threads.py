"""Messages of Discord, Slack and Telegram: each question with the replies to it.

{"guild": {}, "channel": {}, "messages": [{"id": "2", "type": "Reply", "content": "So.",
 "author": {"id": "7"}, "reference": {"messageId": "1"}}]}         DiscordChatExporter
[{"type": "message", "ts": "2.0", "thread_ts": "1.0", "user": "U7", "text": "So."}]
                                                                   Slack, one day
{"type": "private_group", "messages": [{"id": 2, "type": "message", "from_id": "user7",
 "reply_to_message_id": 1, "text": "So."}]}, {"chats": {"list": […]}}     Telegram

A question is a message that replies to none and has a reply by another person; replies
to a reply, and messages without a reply, make no pair. Nothing but a reply says which
message another one answers: a chat without one is refused.
"""

import dataclasses
import html
import re
from collections.abc import Iterable
from typing import Any

from data_pipeline.chat_texts import media_marks
from data_pipeline.exports import json_values
from hax_jax import counted, errors

_TELEGRAM_MEDIA = ('photo', 'file', 'media_type', 'poll', 'location_information')
_SLACK = {'user', 'bot_id', 'subtype', 'client_msg_id'}  # one is in each message
_SLACK_LINK = re.compile(r'<([@#!]?)([^<>|]+)(?:\|([^<>]*))?>')
# '[31/12/24, 23:59:00] Ann: ' and '12/31/2024, 11:59 PM - Ann: '
_WHATSAPP = re.compile(
    r'\u200e?\[?\d{1,4}[./-]\d{1,2}[./-]\d{2,4},? \d{1,2}[:.]\d{2}(?:[:.]\d{2})?'
    r'(?:[ \u202f]?[APap]\.?[Mm]\.?)?(?:\] | - )\S'
)
_HEAD_LINES = 100
_REPLY = 'Reply'
REMEDY = (
    'give its pairs as rows, such as {"question": "Why?", "answer": "Because."}, or an '
    'export in which people use Reply.'
)


@dataclasses.dataclass(frozen=True)
class _Message:
    """One message. `parent` is '' for one that replies to none."""

    id: str
    parent: str
    author: str
    text: str
    time: Any = ''
    score: int = 0  # the people who reacted
    needs_file: bool = False
    is_aside: bool = False  # a bot's, or one that was forwarded


def is_whatsapp(text: str) -> bool:
    """Whether a text is a chat as WhatsApp exports it: a date and a name a line."""
    lines = [line for line in text.split('\n', _HEAD_LINES)[:-1] if line.strip()]
    return sum(bool(_WHATSAPP.match(line)) for line in lines) > max(1, len(lines) // 2)


def platform(value: Any) -> str:
    """The name of the platform whose export a document is, by its first items; or ''.

    A list's first item says enough, so that a document need not be read to its end.
    """
    if isinstance(value, list):
        first = value[0] if value else None
        is_slack = isinstance(first, dict) and first.get('type') == 'message'
        is_slack = is_slack and {'ts', 'text'} <= first.keys()
        return 'Slack' if is_slack and not _SLACK.isdisjoint(first) else ''
    if not isinstance(value, dict):
        return ''
    chats = value.get('chats')
    if isinstance(chats, dict) and isinstance(chats.get('list'), list):
        return 'Telegram' if any(map(platform, chats['list'])) else ''
    messages = value.get('messages')
    first = messages[0] if isinstance(messages, list) and messages else None
    if not isinstance(first, dict):
        return ''
    if 'participants' in value and 'sender_name' in first:
        return 'Facebook or Instagram'
    if 'channel' in value and {'timestamp', 'content', 'author'} <= first.keys():
        return 'Discord'
    is_telegram = {'id', 'type', 'date'} <= first.keys() and 'type' in value
    is_kind = is_telegram and first['type'] in ('message', 'service')
    return 'Telegram' if is_kind else ''


def rows(value: Any, name: str) -> tuple[list[dict[str, Any]], str]:
    """(a row for each question that has replies, a note on all other messages).

    Raises:
      InputError: no message has a reply by another person.
    """
    kind = platform(value)
    if kind == 'Slack':
        chats = [[*_of_slack(value)]]
    elif kind == 'Discord':
        chats = [[*_of_discord(value['messages'])]]
    elif kind != 'Telegram':
        chats = []  # the messages do not say which one they answer
    else:
        held = [value] if 'messages' in value else value['chats']['list']
        chats = [
            [*_of_telegram(each.get('messages'))] for each in json_values.objects(held)
        ]
    made = [row for messages in chats for row in _threads(messages)]
    total = sum(map(len, chats))
    if not made:
        raise errors.InputError(
            f'{name} is an export of {kind} of which no message has a reply by another '
            f'person, so nothing says which message answers which; {REMEDY}'
        )
    beside = total - len(made) - sum(len(row['answers']) for row in made)
    return made, (
        f'an export of {kind}: {counted.of(len(made), "messages")} with replies by '
        f'others, and {counted.of(beside, "other messages")}, which make no pair '
        '(without a reply, of bots, forwarded, or replies to replies)'
    )


def _threads(messages: Iterable[_Message]) -> Iterable[dict[str, Any]]:
    # In the order of their numbers, that of time: an export may begin with the newest.
    by_id = {
        each.id: each for each in sorted(messages, key=lambda e: (len(e.id), e.id))
    }
    replies: dict[str, list[_Message]] = {}
    for each in by_id.values():
        root = by_id.get(each.parent)
        is_read = each.text.strip() and not each.needs_file and not each.is_aside
        if root and is_read and _asks(root) and each.author != root.author:
            replies.setdefault(root.id, []).append(each)
    for key, answers in replies.items():
        root = by_id[key]
        mark = f'{media_marks.MARK}\n' if root.needs_file else ''
        yield {
            'id': key,
            'question': mark + root.text,
            'created_at': root.time,
            'answers': [
                {'text': each.text, 'score': each.score, 'created_at': each.time}
                for each in answers
            ],
        }


def _asks(message: _Message) -> bool:
    is_said = bool(message.text.strip()) or message.needs_file
    return is_said and not message.parent and not message.is_aside


def _of_discord(messages: list[Any]) -> Iterable[_Message]:
    for each in json_values.objects(messages):
        if each.get('type', 'Default') not in ('Default', _REPLY):
            continue
        is_reply = each.get('type') == _REPLY
        reference = json_values.an_object(each.get('reference')) if is_reply else {}
        author = json_values.an_object(each.get('author'))
        yield _Message(
            id=str(each.get('id')),
            parent=json_values.a_name(reference.get('messageId')),
            author=str(author.get('id') or author.get('name')),
            text=json_values.a_text(each.get('content')),
            time=each.get('timestamp') or '',
            score=_reactions(each),
            needs_file=bool(each.get('attachments') or each.get('stickers')),
            is_aside=bool(author.get('isBot') or each.get('forwardedMessage')),
        )


def _of_slack(messages: list[Any]) -> Iterable[_Message]:
    for each in json_values.objects(messages):
        subtype = each.get('subtype')
        if subtype not in (None, 'bot_message', 'thread_broadcast', 'file_share'):
            continue
        own, thread = (json_values.a_name(each.get(n)) for n in ('ts', 'thread_ts'))
        yield _Message(
            id=own,
            parent='' if thread == own else thread,
            author=str(each.get('user') or each.get('bot_id')),
            text=_slack_text(json_values.a_text(each.get('text'))),
            time=own,
            score=_reactions(each),
            needs_file=bool(each.get('files')),
            is_aside=bool(each.get('bot_id')),
        )


def _slack_text(text: str) -> str:
    """'<@U7> see <https://a.org|this> &amp; <#C1|home>' -> '@U7 see this & #home'"""

    def shown(match: re.Match[str]) -> str:
        sign, target, label = match.groups()
        return ('' if sign == '!' else sign) + (label or target)

    return html.unescape(_SLACK_LINK.sub(shown, text))


def _of_telegram(messages: Any) -> Iterable[_Message]:
    held = [*json_values.objects(messages)]
    # A topic of a group is a service message to which all its messages reply.
    services = {
        json_values.a_name(each.get('id'))
        for each in held
        if each.get('type') == 'service'
    }
    for each in held:
        if each.get('type') != 'message':
            continue
        parent = json_values.a_name(each.get('reply_to_message_id'))
        if 'reply_to_peer_id' in each:
            parent = 'in another chat'
        yield _Message(
            id=str(each.get('id')),
            parent='' if parent in services else parent,
            author=str(each.get('from_id') or each.get('from')),
            text=_telegram_text(each.get('text')),
            time=each.get('date_unixtime') or each.get('date') or '',
            score=_reactions(each),
            needs_file=any(name in each for name in _TELEGRAM_MEDIA),
            is_aside='forwarded_from' in each or 'via_bot' in each,
        )


def _telegram_text(text: Any) -> str:
    """["See ", {"type": "link", "text": "a.org"}] -> 'See a.org'"""
    parts = text if isinstance(text, list) else [text]
    said = [each.get('text') if isinstance(each, dict) else each for each in parts]
    return ''.join(each for each in said if isinstance(each, str))


def _reactions(message: dict[str, Any]) -> int:
    counts = [e.get('count') for e in json_values.objects(message.get('reactions'))]
    return sum(each for each in counts if isinstance(each, int))
