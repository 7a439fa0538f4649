"""How the rows lie in a JSON file, from the names and first items of its members."""

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any, TextIO

from data_pipeline.copies import json_scanner, message_tables, message_trees
from data_pipeline.exports import forum_topics, reply_threads
from data_pipeline.fields import field_map
from data_pipeline.rows import chat_shapes, message_rows, nested_rows

_CHUNK = 2**20
_FEWEST_WORDS = 3  # of a name that is a question
_DEEPEST = 4  # names within a member down to its rows
# Lists of rows with fields of unknown names stand under these.
_ROW_LISTS = (
    *('data', 'rows', 'train', 'training', 'validation', 'valid', 'val', 'dev', 'test'),
    *('eval', 'examples', 'instances', 'items', 'records', 'samples', 'entries'),
    *('dataset', 'results', 'documents', 'pairs', 'questions'),
)
# Lists of rows that show how not to answer.
_NEGATIVE = re.compile(
    r'(?:negative|incorrect|wrong|bad|invalid|rejected)(?:[ _-]?[a-z]+)?', re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class _Member:
    """A member of the document's object: its first item, and the number of items.

    `items` is -1 for a member that is no list, whose value is `first`.
    """

    first: Any
    items: int


@dataclasses.dataclass(frozen=True)
class Document:
    """How the rows lie in a file.

    `kind` is list, lists, columns, table, ids, values or within; 'of lists' or 'lists
    by lines' where each row is a list itself, answers, or 'answers by topics'; and
    'threads' an export of messages, which are read together. `keys` are the members
    that hold rows, or the columns; `others` objects beside; `paths` the names
    within `keys` down to each list of rows.
    """

    kind: str
    keys: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    paths: tuple[tuple[str, ...], ...] = ()


def survey(path: str) -> Document | None:
    """How the rows lie in a file; None for JSON Lines and for text that is no JSON."""
    with opened(path) as file:
        scanner = json_scanner.Scanner(file)
        try:
            if scanner.peek() == '[':
                line = _first_line(path)
                if nested_rows.of_list(line) and not (
                    isinstance(line[0], dict) and message_tables.are_of_chats(line[0])
                ):
                    return Document('lists by lines')
                for _ in scanner.items():
                    first, _ = scanner.value()
                    return _of_items(first)
                return None
            if scanner.peek() != '{':
                return None
            members = _members(scanner)
            is_alone = not scanner.peek()
        except json_scanner.Malformed:
            return None
    # Several objects are rows, whatever is in the first.
    if is_alone and (document := _document(members)):
        return document
    return Document('values') if _is_broken(path) else None


def _of_items(first: Any) -> Document | None:
    """The document that is a list with this first item."""
    if reply_threads.platform([first]):
        return Document('threads')
    if forum_topics.is_listing(first):
        return Document('lists by lines')
    if isinstance(first, dict):
        return Document('list')
    is_rows = isinstance(first, list) and (
        nested_rows.of_list(first) or are_names(first)
    )
    return Document('of lists') if is_rows else None


def are_names(cells: list[Any]) -> bool:
    """Whether a list has the names of a question's and an answer's columns."""
    return all(isinstance(cell, str) for cell in cells) and field_map.has_both(cells)


def _first_line(path: str) -> list[Any]:
    """The list that is a file's first line; [] for another."""
    with open(path, 'rb') as file:
        line = file.readline(_CHUNK)
    try:
        value = json.loads(line.decode('utf-8-sig'))
    except (ValueError, RecursionError):
        return []
    return value if isinstance(value, list) else []


def _members(scanner: json_scanner.Scanner) -> dict[str, _Member]:
    members = {}
    for key in scanner.members():
        if scanner.peek() != '[':
            members[key] = _Member(scanner.value()[0], -1)
            continue
        first, count = None, 0
        for count, _ in enumerate(scanner.items(), start=1):
            value, _ = scanner.value()
            first = value if count == 1 else first
        members[key] = _Member(first, count)
    return members


def _document(members: dict[str, _Member]) -> Document | None:
    """The document that an object's members make; None if it is a row itself."""
    cells = {key: each.first for key, each in members.items()}
    as_row = {k: [v] if members[k].items >= 0 else v for k, v in cells.items()}
    if reply_threads.platform(as_row):
        return Document('threads')
    if found := _of_all(members, cells, as_row):
        return found
    lists = [
        key
        for key, each in members.items()
        if each.items > 0
        and isinstance(each.first, dict)
        and not _NEGATIVE.fullmatch(key)
    ]
    pairs = [
        key
        for key in lists
        if key in chat_shapes.LISTS
        and members[key].items > 1
        and (
            _is_pair(members[key].first)
            or message_tables.are_of_chats(members[key].first)
        )
    ]
    pairs += [key for key in cells if message_trees.are_flat([cells[key]])]
    if pairs:
        return _with_others('lists', pairs, members)
    has_chats = any(chat_shapes.turns(members[key].first) for key in lists)
    if is_row(as_row) and not has_chats and not nested_rows.pairs_in(as_row):
        return _columns_by_id(members)
    if found := [key for key in lists if is_row(members[key].first)]:
        return _with_others('lists', found, members)
    if found := [key for key in lists if key.lower() in _ROW_LISTS]:
        return _with_others('lists', found, members)
    columns, data = members.get('columns'), members.get('data')
    if columns and data and columns.items > 0 and isinstance(data.first, list):
        return _with_others('table', ['data'], members)
    if found := [key for key in cells if _holds_lists(key, members[key])]:
        return _with_others('lists', found, members)
    return _by_id_or_within(members)


def _holds_lists(key: str, member: _Member) -> bool:
    """Whether a member is a list of pairs or of chats that are lists themselves."""
    is_listed = key.lower() in _ROW_LISTS and member.items > 0
    return is_listed and _of_items(member.first) == Document('of lists')


def _of_all(
    members: dict[str, _Member], cells: dict[str, Any], as_row: dict[str, Any]
) -> Document | None:
    """The document of answers by their questions, or of columns as lists."""
    if len(as_row) > 1 and _are_answers(as_row):
        return Document('answers', tuple(members))
    by_topic = [cell for cell in as_row.values() if isinstance(cell, dict)]
    are_all = len(by_topic) == len(as_row) and sum(map(len, by_topic)) > 1
    if are_all and all(map(_are_answers, by_topic)):
        return Document('answers by topics', tuple(members))
    counts = {each.items for each in members.values()}
    has_chats = any(isinstance(cell, list) for cell in cells.values())
    if len(counts) == 1 and min(counts) > 0:
        is_one_chat = chat_shapes.turns(as_row) is not None
        has_texts = field_map.has_both([*cells]) and not is_one_chat
        if has_texts or (has_chats and chat_shapes.turns(cells)):
            return Document('columns', tuple(members))
    return None


def _are_answers(value: dict[str, Any]) -> bool:
    """Whether an object has texts by the questions that they answer."""
    words = min((len(key.split()) for key in value), default=0)
    are_texts = all(isinstance(each, str) for each in value.values())
    return are_texts and words >= _FEWEST_WORDS and not field_map.has_both([*value])


def _columns_by_id(members: dict[str, _Member]) -> Document | None:
    """The document whose columns are dicts by id, as pandas has it; None for a row."""
    dicts = [k for k, each in members.items() if isinstance(each.first, dict)]
    dicts = [key for key in dicts if members[key].items < 0]
    if field_map.has_both(dicts) and len(dicts) == len(members):
        indices = [tuple(members[key].first) for key in dicts]
        if len(set(indices)) == 1 and indices[0][:1] in (('0',), ('1',)):
            return Document('columns', tuple(dicts))
    return None


def _by_id_or_within(members: dict[str, _Member]) -> Document | None:
    """The document whose members are rows, or one of which has rows within."""
    values = [each.first for each in members.values() if each.items < 0]
    paths = [
        (key, *path)
        for key, each in members.items()
        if each.items < 0
        for path in _paths(each.first, _DEEPEST)
    ]
    within = None
    if len(paths) == 1 or _are_splits(paths):
        below = tuple(path[1:] for path in paths)
        within = Document('within', (paths[0][0],), paths=below)
    if len(values) == len(members) and message_trees.are_flat(values):
        return Document('ids', tuple(members))
    by_id = _rows_by_id(members)
    if by_id and not (within and _is_tree(values[0])):
        return _with_others('ids', by_id, members)
    return within


def _are_splits(paths: list[tuple[str, ...]]) -> bool:
    """Whether lists of rows lie side by side below one member, none of bad answers."""
    above = {path[:-1] for path in paths}
    return (
        len(above) == 1
        and () not in above
        and not any(_NEGATIVE.fullmatch(path[-1]) for path in paths)
    )


def _is_tree(value: dict[str, Any]) -> bool:
    """Whether an object has turns that are no chat, since they name other parents."""
    return bool(chat_shapes.list_in(value)) and chat_shapes.turns(value) is None


def _paths(value: Any, depth: int) -> list[tuple[str, ...]]:
    """The names down to each list of rows, or dict of rows by id, within a value."""
    each = [*value.values()] if isinstance(value, dict) else value
    if not isinstance(each, list) or not each:
        return []
    if all(isinstance(row, dict) for row in each) and (
        2 * sum(map(is_row, each)) > len(each) or message_trees.are_flat(each)
    ):
        return [()]
    if isinstance(value, list) or nested_rows.is_itself_a_row(value) or not depth:
        return []
    return [(key, *path) for key in value for path in _paths(value[key], depth - 1)]


def is_row(value: dict[str, Any]) -> bool:
    """Whether the fields of an object are known to make a pair."""
    return any(
        message_rows.is_chat(row) or field_map.has_both([*row])
        for row in nested_rows.unfolded(value)
    )


def _rows_by_id(members: dict[str, _Member]) -> list[str]:
    """The members that are rows, if most are; some may lack a field of the others.

    {"7": {"question": "Why?", "answer": "So."}, "8": {"question": "Who?"}, "by": "me"}
    """
    objects = {
        key: each.first
        for key, each in members.items()
        if each.items < 0 and isinstance(each.first, dict) and each.first
    }
    made = [key for key, value in objects.items() if is_row(value)]
    if 2 * len(made) <= len(members):
        return []
    names = {name for key in made for name in objects[key]}
    return [
        key
        for key, value in objects.items()
        if key in made or 2 * len(names.intersection(value)) >= len(value)
    ]


def _is_pair(value: Any) -> bool:
    """Whether a list's first item is a question with its answer, and not turns.

    {"human": "Why?", "assistant": "So."} is an exchange of a conversation.
    """
    return (
        isinstance(value, dict)
        and field_map.has_both([*value])
        and not chat_shapes.are_turns(value)
        and not {'human', 'user'}.intersection(map(str.lower, value))
    )


def _with_others(
    kind: str, keys: Sequence[str], members: dict[str, _Member]
) -> Document:
    others = tuple(
        key
        for key, each in members.items()
        if key not in keys and isinstance(each.first, dict) and each.items
    )
    return Document(kind, tuple(keys), others)


def _is_broken(path: str) -> bool:
    """Whether the first line is more or less than an object: no JSON Lines."""
    with open(path, 'rb') as file:
        for line in iter(lambda: file.readline(_CHUNK), b''):
            if line.strip(b' \t\r\n\xef\xbb\xbf'):
                break
        else:
            return False
    try:
        json.loads(line.decode('utf-8-sig', 'replace'))
    except json.JSONDecodeError as error:
        return line.endswith(b'\n') or error.msg == 'Extra data'
    except (ValueError, RecursionError):
        return line.endswith(b'\n')
    return False


def opened(path: str) -> TextIO:
    """The text of a file, line ends and other bytes as they are."""
    # Other bytes than UTF-8's go through as they are: rows are decoded one by one.
    return open(path, encoding='utf-8', errors='surrogateescape', newline='')
