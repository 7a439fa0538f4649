"""Messages that name their parents, as OASST writes them flat, joined to trees.

    {"message_id": "m0", "parent_id": null, "role": "prompter", "text": "Why?"}
    {"message_id": "a0", "parent_id": "m0", "role": "assistant", "text": "So."} ->
    {"id": "m0", "prompt": {"text": "Why?", …, "replies": [{"text": "So.", …}]}}

They are joined in a database on disk: a file may be larger than memory.
"""

import contextlib
import json
import pathlib
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

NEEDED = {'message_id', 'parent_id', 'role', 'text'}


def are_flat(rows: Sequence[Any]) -> bool:
    """Whether the first rows are messages that name their parents."""
    return bool(rows) and all(
        isinstance(row, dict) and set(row) >= NEEDED for row in rows
    )


@contextlib.contextmanager
def table(columns: str) -> Iterator[sqlite3.Connection]:
    """A database with an empty table `messages`, which goes with the context."""
    with tempfile.TemporaryDirectory(prefix='hax_messages_') as folder:
        path = pathlib.Path(folder) / 'messages'
        with contextlib.closing(sqlite3.connect(path)) as store:
            store.execute('PRAGMA synchronous = OFF')
            store.execute(f'CREATE TABLE messages ({columns})')
            yield store


def trees(lines: Iterable[bytes]) -> Iterator[str]:
    """A tree as JSON for each message without a parent, in the order of the lines.

    A line that is no message stays as it is, at the end: its reader reports it.
    """
    with table('id, parent, line') as store:
        others = []

        def found() -> Iterator[tuple[str, str, str]]:
            for line in lines:
                text = line.decode('utf-8', 'replace').strip()
                try:
                    row = json.loads(text)
                    yield _key(row['message_id']), _key(row['parent_id']), text
                except (ValueError, KeyError, TypeError):
                    others.extend([text] if text else [])

        store.executemany('INSERT INTO messages VALUES (?, ?, ?)', found())
        store.execute('CREATE INDEX parents ON messages (parent)')
        # A message whose parent is not in the file opens a tree of its own.
        roots = store.execute(
            'SELECT id, line FROM messages WHERE parent = "" OR parent NOT IN '
            '(SELECT id FROM messages) ORDER BY rowid'
        )
        for name, line in roots:
            tree = {'id': name, 'prompt': _joined(store, name, json.loads(line))}
            yield json.dumps(tree, ensure_ascii=False)
        yield from others


def _key(value: Any) -> str:
    """An id; '' for none. pandas writes 3 as 3.0 in a column with gaps."""
    return '' if value is None else str(value).removesuffix('.0')


def _joined(
    store: sqlite3.Connection, root: str, message: dict[str, Any]
) -> dict[str, Any]:
    """The message with its replies, and theirs, in `replies`."""
    message['replies'] = []
    open_messages = [(root, message)]
    seen = {root}
    while open_messages:
        parent, into = open_messages.pop()
        children = store.execute(
            'SELECT id, line FROM messages WHERE parent = ? ORDER BY rowid', (parent,)
        )
        for name, line in children.fetchall():
            if name in seen:
                continue
            seen.add(name)
            reply = {**json.loads(line), 'replies': []}
            into['replies'].append(reply)
            open_messages.append((name, reply))
    return message
