"""Tickets of customer support, as the turns of a customer and of those who answer.

{"requester_id": 7, "comments": [{"author_id": 7, "body": "Why?", "public": true}]}
                                                                              Zendesk
{"requester_id": 7, "description_text": "Why?",
 "conversations": [{"body_text": "So.", "incoming": false, "private": false}]}
                                                                            Freshdesk
{"source": {"body": "Why?", "author": {"type": "user"}}, "conversation_parts":
 {"conversation_parts": [{"part_type": "comment", "body": "So.",
                          "author": {"type": "admin"}}]}}                    Intercom

Private notes, other people on a ticket and bots are left out.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.exports import json_values, own_chats

_PRIVATE, _OTHERS = 'that are private notes', 'of other people'
# Lists of a Zendesk ticket with the ids of people who only follow it.
_FOLLOWERS = ('collaborator_ids', 'follower_ids', 'email_cc_ids')
_SIDES = {'user': 'user', 'lead': 'user', 'contact': 'user', 'admin': 'assistant'}


def turns(row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The turns of a ticket; None for an object of another kind."""
    if 'requester_id' in row and _are_objects(row.get('comments'), 'author_id'):
        return _of_zendesk(row)
    if 'requester_id' in row and _are_objects(row.get('conversations'), 'incoming'):
        return _of_freshdesk(row)
    held = row.get('conversation_parts')
    parts = held.get('conversation_parts') if isinstance(held, dict) else held
    return _of_intercom(row, parts) if _are_objects(parts, 'author') else None


def _of_zendesk(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    lists = [row[name] for name in _FOLLOWERS if isinstance(row.get(name), list)]
    others = {str(each) for ids in lists for each in ids}
    others -= {str(row['requester_id']), str(row.get('assignee_id'))}
    made = []
    for each in row['comments']:
        author = str(each['author_id'])
        turn = _turn(
            'user' if author == str(row['requester_id']) else 'assistant',
            each.get('plain_body') or each.get('body') or each.get('html_body'),
        )
        if each.get('public') is False:
            turn[own_chats.LEFT_OUT] = _PRIVATE
        elif author in others:
            turn[own_chats.LEFT_OUT] = _OTHERS
        made.append(turn)
    said = [turn['content'] for turn in made]
    if not said or (made[0]['role'] != 'user' and row.get('description') not in said):
        made.insert(0, _turn('user', row.get('description')))
    return made


def _of_freshdesk(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    made = [_turn('user', row.get('description_text') or row.get('description'))]
    for each in row['conversations']:
        text = each.get('body_text') or each.get('body')
        turn = _turn('user' if each['incoming'] else 'assistant', text)
        author = each.get('user_id')
        is_other = author is not None and str(author) != str(row['requester_id'])
        if each.get('private'):
            turn[own_chats.LEFT_OUT] = _PRIVATE
        elif each['incoming'] and is_other:
            turn[own_chats.LEFT_OUT] = _OTHERS
        made.append(turn)
    return made


def _of_intercom(
    row: Mapping[str, Any], parts: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    first = row.get('source') or row.get('conversation_message')
    made = []
    for each in [first, *parts] if isinstance(first, dict) else parts:
        author = json_values.an_object(each.get('author'))
        side = _SIDES.get(str(author.get('type')), 'other')
        turn = _turn(side, each.get('body'))
        if each.get('part_type') == 'note':
            turn[own_chats.LEFT_OUT] = _PRIVATE
        elif not turn['content'] or turn['role'] == 'other':
            turn[own_chats.LEFT_OUT] = 'of bots, or without a text'
        made.append(turn)
    return made


def _turn(role: str, text: Any) -> dict[str, Any]:
    return {'role': role, 'content': json_values.a_text(text)}


def _are_objects(value: Any, key: str) -> bool:
    """Whether a value is a list of objects that have a key; it may be empty."""
    return isinstance(value, list) and all(
        isinstance(each, dict) and key in each for each in value
    )
