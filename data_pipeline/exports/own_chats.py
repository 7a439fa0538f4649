"""Chats as ChatGPT and Claude export them (`conversations.json`), as turns.

{"mapping": {"n2": {"message": {"author": {"role": "user"}, "content": {"content_type":
 "text", "parts": ["Why?"]}}, "parent": "n1"}, …}, "current_node": "n3"}       ChatGPT
{"chat_messages": [{"sender": "human", "text": "Why?", "files": []}, …]}        Claude

A chat is the branch that its user kept: from the current message back to the first.
Left out of it is what its page does not show as text: hidden messages, those of tools
and to tools, thinking. Of several texts of the assistant in a row the last answers; the
ones before it say what it is about to look up. A file that the export does not hold is
marked as a picture is.
"""

import re
from collections.abc import Mapping
from typing import Any

from data_pipeline.chat_texts import media_marks
from data_pipeline.exports import json_values

LEFT_OUT = 'left out of its chat'  # in a turn: the reason, as its count names it
_KINDS = ('text', 'multimodal_text')
_THINKING = ('thoughts', 'reasoning_recap', 'analysis', 'commentary')
# The marks of ChatGPT's sources, which its page shows as links.
_SOURCES = re.compile(
    '[ \t]*(?:\ue200(?:file)?cite[^\ue201]*\ue201|【\\d+(?::\\d+)?†[^】]*】)'
)
_TOO_LONG = 'max_tokens'  # then the next message goes on with the text
_GOES_ON = 'goes on'


def turns(row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The turns of an exported chat; None for an object of another kind.

    A turn with `LEFT_OUT` is no part of the chat, one of weight 0 is not to be learned.
    """
    found = _kept(row)
    if found is None:
        return None
    read = _of_chatgpt if 'mapping' in row else _of_claude
    made = [read(message) for message in found[0]]
    last: dict[str, Any] | None = None  # the last text of the assistant in a row
    for turn in made:
        if LEFT_OUT in turn or not turn['content'].strip():
            continue
        if turn['role'] == 'assistant' and last:
            last[LEFT_OUT] = 'before the last text of an answer'
            if last.get(_GOES_ON):
                turn['content'] = last['content'] + turn['content']
                last[LEFT_OUT] = 'joined to the text that goes on with it'
        last = turn if turn['role'] == 'assistant' else None
    return made


def num_beside(row: Mapping[str, Any]) -> int:
    """The messages of an exported chat on branches that its user left."""
    found = _kept(row)
    return found[1] if found else 0


def _kept(row: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int] | None:
    """(the messages of the branch that was kept, the number of all others).

    None for an object of another kind, and for a tree that does not say which is kept.
    """
    nodes, messages = row.get('mapping'), row.get('chat_messages')
    if isinstance(nodes, dict) and nodes:
        if not all(map(_is_node, nodes.values())):
            return None
        parents = {
            key: json_values.a_name(each.get('parent')) for key, each in nodes.items()
        }
        said = {
            k: e['message'] for k, e in nodes.items() if isinstance(e['message'], dict)
        }
        last = row.get('current_node')
    elif isinstance(messages, list) and all(map(_is_claudes, messages)):
        said = {json_values.a_name(each.get('uuid')): each for each in messages}
        if not all('parent_message_uuid' in each for each in messages):
            return messages, 0
        parents = {
            key: json_values.a_name(each['parent_message_uuid'])
            for key, each in said.items()
        }
        last = row.get('current_leaf_message_uuid') or next(reversed(said), '')
    else:
        return None
    last = json_values.a_name(last)
    if last not in parents:
        leaves = parents.keys() - {*parents.values()}
        if len(leaves) != 1:
            return None
        last = leaves.pop()
    path: dict[Any, None] = {}
    while last in parents and last not in path:
        path[last] = None
        last = parents[last]
    kept = [said[key] for key in reversed(path) if key in said]
    return kept, len(said) - len(kept)


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get('message', ''), dict | None)


def _is_claudes(message: Any) -> bool:
    return isinstance(message, dict) and message.get('sender') in ('human', 'assistant')


def _of_chatgpt(message: dict[str, Any]) -> dict[str, Any]:
    """A message of ChatGPT's as a turn."""
    author, content, metadata = (
        json_values.an_object(message.get(name))
        for name in ('author', 'content', 'metadata')
    )
    role, kind = str(author.get('role')), content.get('content_type')
    end = json_values.an_object(metadata.get('finish_details'))
    turn: dict[str, Any] = {'role': role, 'content': ''}
    if metadata.get('is_visually_hidden_from_conversation'):
        turn[LEFT_OUT] = 'that are hidden'
    elif role == 'tool':
        turn[LEFT_OUT] = 'of tools'
    elif role == 'assistant' and message.get('recipient') not in (None, 'all'):
        turn[LEFT_OUT] = 'that call a tool'
    elif kind in _THINKING or message.get('channel') in _THINKING:
        turn[LEFT_OUT] = 'of thinking'
    elif kind not in _KINDS:
        turn[LEFT_OUT] = 'of other kinds than text'
    elif message.get('weight') == 0 and role != 'system':
        turn[LEFT_OUT] = 'of weight 0'
    else:
        text = _text_of_parts(content.get('parts'))
        if metadata.get('attachments') and media_marks.MARK not in text:
            text = f'{media_marks.MARK}\n{text}'
        turn['content'] = _SOURCES.sub('', text)
    if end.get('type') in ('interrupted', _TOO_LONG):
        turn['weight'] = 0
        turn[_GOES_ON] = end['type'] == _TOO_LONG
    return turn


def _text_of_parts(parts: Any) -> str:
    """The texts of a message's parts; what was said aloud, as it was written down."""
    texts, pointers = [], []
    for part in parts if isinstance(parts, list) else [parts]:
        if isinstance(part, dict):
            pointers.append(str(part.get('content_type')))
            part = part.get('text')
        if isinstance(part, str) and part.strip():
            texts.append(part)
    unseen = [kind for kind in pointers if 'audio' not in kind]
    if unseen or (pointers and not texts):
        texts.insert(0, media_marks.MARK)
    return '\n'.join(texts)


def _of_claude(message: dict[str, Any]) -> dict[str, Any]:
    """A message of Claude's as a turn: its text behind the last call of a tool."""
    turn: dict[str, Any] = {
        'role': message['sender'],
        'content': json_values.a_text(message.get('text')),
    }
    parts = message.get('content')
    if isinstance(parts, list) and parts:
        kinds = [each.get('type') if isinstance(each, dict) else '' for each in parts]
        calls = [i for i, kind in enumerate(kinds) if str(kind).startswith('tool_')]
        texts = [
            json_values.a_text(each.get('text'))
            for each, kind in zip(parts, kinds, strict=True)
            if kind == 'text'
        ]
        behind = kinds[calls[-1] :].count('text') if calls else len(texts)
        turn['content'] = '\n\n'.join(texts[len(texts) - behind :])
        if calls and not turn['content'].strip():
            turn[LEFT_OUT] = 'that call a tool'
    attached = [*json_values.objects(message.get('attachments'))]
    inside = [json_values.a_text(each.get('extracted_content')) for each in attached]
    held = [
        e.get('file_name') for e, text in zip(attached, inside, strict=True) if text
    ]
    given = [*attached, *json_values.objects(message.get('files'))]
    if any(each.get('file_name') not in held for each in given):
        turn['content'] = f'{media_marks.MARK}\n{turn["content"]}'
    turn['content'] = '\n\n'.join(filter(None, [turn['content'], *inside]))
    return turn
