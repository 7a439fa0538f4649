"""Tickets of support desks: who asked and who answered, without private notes."""

import json
import pathlib
from typing import Any

import pytest

from data_pipeline.reading import reader

Q, A, MORE, LAST = (
    'Where is my parcel?',
    'At the post.',
    'Which one?',
    'In High Street.',
)
NOTE = 'He is cross.'


def zendesk(author: int, body: str, **fields: Any) -> dict[str, Any]:
    return {'author_id': author, 'body': body, 'public': True, **fields}


def freshdesk(incoming: bool, body: str, **fields: Any) -> dict[str, Any]:
    return {'incoming': incoming, 'body_text': body, 'private': False, **fields}


def intercom(author: str, body: str | None, part: str = 'comment') -> dict[str, Any]:
    return {'part_type': part, 'body': body, 'author': {'type': author}}


ZENDESK = {
    'requester_id': 7, 'assignee_id': 9, 'collaborator_ids': [8], 'subject': 'Parcel',
    'description': Q,
    'comments': [zendesk(7, Q), zendesk(9, NOTE, public=False), zendesk(8, 'Hello?'),
                 zendesk(9, A), zendesk(7, MORE), zendesk(5, LAST)],
}  # fmt: skip
FRESHDESK = {
    'requester_id': 7, 'description_text': Q, 'description': f'<p>{Q}</p>',
    'conversations': [freshdesk(False, NOTE, private=True), freshdesk(False, A),
                      freshdesk(True, 'Hello?', user_id=8), freshdesk(True, MORE),
                      freshdesk(False, LAST)],
}  # fmt: skip
INTERCOM = {
    'type': 'conversation',
    'source': {'type': 'email', 'body': Q, 'author': {'type': 'lead'}},
    'conversation_parts': {'conversation_parts': [
        intercom('bot', 'We are typing.'), intercom('admin', NOTE, 'note'),
        intercom('admin', None, 'assignment'), intercom('admin', A),
        intercom('user', MORE), intercom('admin', LAST)]},
}  # fmt: skip


WITH_DESCRIPTION = {**ZENDESK, 'comments': ZENDESK['comments'][1:]}


@pytest.mark.parametrize('lines', [True, False])
@pytest.mark.parametrize('ticket', [ZENDESK, WITH_DESCRIPTION, FRESHDESK, INTERCOM])
def test_a_ticket_is_a_chat_of_the_customer_and_those_who_answer(
    ticket: dict[str, Any],
    lines: bool,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    text = json.dumps(ticket) if lines else json.dumps({'tickets': [ticket]}, indent=1)
    pathlib.Path('a.json').write_text(text)
    ((pair,), report) = reader.read(['a.json'])
    assert [(e.question, e.answer) for e in pair.exchanges] == [(Q, A), (MORE, LAST)]
    assert report.counts['messages turns that are private notes, left out'] == 1
