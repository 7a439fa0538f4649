"""Files whose rows are one message each, CSV or JSON, joined to chats and trees.

    {"conversation_id": 7, "role": "user", "content": "Why?", "turn": 1}
    {"conversation_id": 7, "role": "assistant", "content": "So.", "turn": 2} ->
    {"id": "7", "messages": [{"role": "user", "content": "Why?", …}, …]}

The messages of a chat are put in the order of their turns or times, or, where no column
has these, in that of the file. `direction` (inbound, outbound) may be the role. Tweets
of customer support name the tweet that they answer, so they are trees, as OASST's are.

They are joined in a database on disk: a file may be larger than memory.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from data_pipeline.copies import message_trees
from data_pipeline.fields import field_map, numbers
from data_pipeline.rows import csv_rows, json_rows, message_rows
from hax_jax import errors

_TWEETS = {'tweet_id', 'inbound', 'text', 'in_response_to_tweet_id'}
# Names without their case and signs, the likeliest first.
_CHATS = (
    *('conversationid', 'convid', 'dialogid', 'dialogueid', 'chatid', 'sessionid'),
    *('threadid', 'ticketid', 'caseid', 'callid', 'conversationuuid', 'session'),
)
_ROLES = (
    *('role', 'speaker', 'speakerrole', 'sender', 'sendertype', 'from', 'author'),
    *('authortype', 'direction', 'messagetype', 'participant'),
)
_INBOUND = ('inbound', 'isinbound', 'incoming', 'isincoming')  # true: a customer's
_TEXTS = ('content', 'text', 'message', 'body', 'utterance', 'value', 'messagetext')
_TURNS = (
    *('turn', 'turnid', 'turnindex', 'turnnumber', 'turnidx', 'messageindex', 'index'),
    *('position', 'order', 'sequence', 'seq', 'utteranceid', 'utteranceindex'),
)
_TIMES = ('timestamp', 'createdat', 'time', 'date', 'sentat', 'datetime', 'createdutc')
_IDS = ('messageid', 'msgid', 'id')  # an order where they fall from row to row
_HEAD_ROWS = 100
_SAY_YES, _SAY_NO = ('true', '1', 'yes'), ('false', '0', 'no', '')


@dataclasses.dataclass(frozen=True)
class _Columns:
    """The columns of a table of messages.

    `order` is '' for none, and holds numbers, or dates where `are_dates`.
    """

    chat: str
    role: str
    text: str
    order: str = ''
    are_dates: bool = False


def joined(path: str, name: str) -> tuple[Iterator[str], str] | None:
    """(a chat or a tree as JSON a line, a note); None for any other file.

    Raises:
      InputError: a column of times, or of turns, holds something else.
    """
    names = csv_rows.names(path)
    is_csv = names >= message_trees.NEEDED or names >= _TWEETS
    if is_csv or _by_names([*names], _CHATS, _TEXTS):
        objects = csv_rows.objects(path)
        first = itertools.islice(csv_rows.objects(path), _HEAD_ROWS)
        head: list[Any] = [row for _, row in first if row]
    else:
        objects = _of_lines(path)
        head = json_rows.head(path, field_map.AS_THEY_STAND)
    if message_trees.are_flat(head):
        return message_trees.trees(_lines(objects, _of_oasst)), ''
    if head and all(row.keys() >= _TWEETS for row in head):
        return message_trees.trees(_lines(objects, _of_tweet)), ''
    columns = _columns(head, name)
    if columns is None:
        return None
    order = repr(columns.order) if columns.order else 'the file'
    return _chats(objects, columns, name), (
        f'each row is a message: joined to chats by {columns.chat!r}, in the order of '
        f'{order}'
    )


def are_of_chats(message: dict[str, Any]) -> bool:
    """Whether a list with this first message names the chat of each of them."""
    names = [*message]
    return bool(_by_names(names, _CHATS, (*_ROLES, *_INBOUND), _TEXTS))


def remedy(rows: Sequence[dict[str, Any]]) -> str:
    """What to do with rows that are messages and were not joined; '' for others."""
    names = [*dict.fromkeys(key for row in rows for key in row)]
    found = _by_names(names, _ROLES, _TEXTS)
    if not found:
        return ''
    has_chats = bool(_by_names(names, _CHATS))
    needed = (
        f'let {found[0]!r} be user or assistant'
        if has_chats
        else "say in a column 'conversation_id' which chat each is of"
    )
    return f' If each row is one message, {needed}; then they are joined.'


def _columns(rows: Sequence[dict[str, Any]], name: str) -> _Columns | None:
    """The columns of rows that are messages; None for rows of another kind."""
    names = [*dict.fromkeys(key for row in rows for key in row)]
    found = _by_names(names, _CHATS, _TEXTS)
    if not found or field_map.has_both(names) or any(map(message_rows.is_chat, rows)):
        return None
    by_key = {_key(each): each for each in names}
    roles = [by_key[key] for key in (*_ROLES, *_INBOUND) if key in by_key]
    role = next((each for each in roles if _are_roles(rows, each)), '')
    if not role:
        return None
    for keys in (_TURNS, _TIMES):
        for order in (by_key[key] for key in keys if key in by_key):
            for are_dates in (False, True):
                made = _Columns(found[0], role, found[1], order, are_dates)
                if all(_place(row, made) is not None for row in rows):
                    return made
            if keys is _TIMES:
                raise errors.InputError(_no_order(name, order, rows[0].get(order)))
    for order in (by_key[key] for key in _IDS if key in by_key):
        places = [numbers.number(row.get(order)) for row in rows]
        if None not in places and places == sorted({*places}, reverse=True):
            return _Columns(found[0], role, found[1], order)  # the newest first
    return _Columns(found[0], role, found[1])


def _are_roles(rows: Sequence[dict[str, Any]], name: str) -> bool:
    """Whether a column says who speaks, and both sides do."""
    roles = {_role(row.get(name), name) for row in rows}
    return {message_rows.USER, message_rows.ASSISTANT} <= roles and None not in roles


def _role(value: Any, name: str) -> str | None:
    """Whose message a cell says that it is; None for a cell of another kind."""
    word = str(value).strip().lower()
    if _key(name) in _INBOUND and word in (*_SAY_YES, *_SAY_NO):
        return message_rows.USER if word in _SAY_YES else message_rows.ASSISTANT
    is_tool = word in ('tool', 'function', 'note', 'bot')
    return message_rows.ROLE_OF.get(word) or (word if is_tool else None)


def _chats(
    objects: Iterable[tuple[str, dict[str, Any]]], columns: _Columns, name: str
) -> Iterator[str]:
    """Each chat as JSON, in the order of the first messages; then other lines."""
    with message_trees.table('chat, place REAL, turn') as store:
        others = []

        def found() -> Iterator[tuple[str, float, str]]:
            for text, row in objects:
                given = row.get(columns.chat)
                chat = '' if given is None else str(given)
                place = _place(row, columns)
                if not chat:
                    others.append(' '.join(text.split()))
                    continue
                if place is None:
                    value = row.get(columns.order)
                    raise errors.InputError(_no_order(name, columns.order, value))
                yield chat, place, json.dumps(_turn(row, columns), ensure_ascii=False)

        store.executemany('INSERT INTO messages VALUES (?, ?, ?)', found())
        ordered = store.execute(
            'SELECT chat, turn FROM messages JOIN (SELECT chat, MIN(rowid) AS first '
            'FROM messages GROUP BY chat) USING (chat) ORDER BY first, place, '
            'messages.rowid'
        )
        held, turns = '', []
        for chat, turn in ordered:
            if turns and chat != held:
                yield _chat(held, turns)
                turns = []
            held = chat
            turns.append(turn)
        if turns:
            yield _chat(held, turns)
        yield from filter(None, others)


def _chat(name: str, turns: Sequence[str]) -> str:
    return f'{{"id": {json.dumps(name)}, "messages": [{", ".join(turns)}]}}'


def _turn(row: dict[str, Any], columns: _Columns) -> dict[str, Any]:
    said = {
        'role': _role(row.get(columns.role), columns.role) or 'other',
        'content': row.get(columns.text) or '',
    }
    read = (columns.chat, columns.role, columns.text, columns.order)
    return {key: each for key, each in row.items() if key not in read} | said


def _place(row: dict[str, Any], columns: _Columns) -> float | None:
    """A message's number or time; None for a cell without one."""
    if not columns.order:
        return 0.0
    value = row.get(columns.order)
    if (found := numbers.number(value)) is None or not columns.are_dates:
        return numbers.seconds(value) if columns.are_dates else found
    return None


def _no_order(name: str, column: str, value: Any) -> str:
    return (
        f'{name}: each row is a message, and {column!r}, which is to give their order, '
        f'holds {str(value)[:40]!r}; make it a number or a date such as '
        '2024-12-31T23:59:00.'
    )


def _of_lines(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(text, object) of each line of JSON; no fields of one that is no object."""
    with open(path, 'rb') as file:
        for raw in file:
            text = raw.decode('utf-8-sig', 'surrogateescape')
            try:
                row = json.loads(text)
            except (ValueError, RecursionError):
                row = None
            yield text, row if isinstance(row, dict) else {}


def _lines(
    objects: Iterable[tuple[str, dict[str, Any]]],
    read: Callable[[dict[str, Any]], dict[str, Any]],
) -> Iterator[bytes]:
    for text, row in objects:
        made = json.dumps(read(row), ensure_ascii=False) if row else ''
        line = made or ' '.join(text.split())
        yield f'{line}\n'.encode('utf-8', 'surrogateescape')


_AS_WRITTEN = ('text', 'message_id', 'parent_id')  # '0' and '1e5' are ids too


def _of_oasst(row: dict[str, Any]) -> dict[str, Any]:
    """A message whose cells are numbers, true, false or null where JSON has these."""
    return {
        name: _value(each)
        if isinstance(each, str) and name not in _AS_WRITTEN
        else each
        for name, each in row.items()
    }


def _value(cell: str) -> Any:
    if (number := numbers.number(cell)) is not None:
        return number
    return {'': None, 'true': True, 'false': False}.get(cell.lower(), cell)


def _of_tweet(row: dict[str, Any]) -> dict[str, Any]:
    """A tweet as a message of OASST's; pandas writes ids as '3.0'."""
    ids = [
        str(row.get(name) or '').removesuffix('.0')
        for name in ('tweet_id', 'in_response_to_tweet_id')
    ]
    is_asked = str(row.get('inbound')).strip().lower() in _SAY_YES
    return {
        'message_id': ids[0],
        'parent_id': ids[1] or None,
        'role': 'prompter' if is_asked else 'assistant',
        'text': row.get('text') or '',
    }


def _by_names(names: Sequence[str], *kinds: Sequence[str]) -> list[str]:
    """The likeliest column of each kind, by its name; [] if one is missing."""
    by_key = {_key(name): name for name in reversed(names)}
    found = [next((by_key[k] for k in kind if k in by_key), '') for kind in kinds]
    return found if all(found) else []


def _key(name: str) -> str:
    return ''.join(filter(str.isalnum, name.lower()))
