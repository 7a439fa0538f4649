"""Chats to pairs: the first question and its first learned answer.

`chat_shapes` lists the shapes of rows that are chats.

An assistant's turn of weight 0 (or `train`, `label`, `loss` false) is not learned: the
answer is the next one, and its question all that the user says before it.

{"messages": [{"role": "user", "content": "Why?"},
              {"role": "assistant", "content": "Because."}], "weight": 2}
"""

import dataclasses
from typing import Any

from data_pipeline.pages import characters
from data_pipeline.rows import batches, chat_shapes, field_map, json_rows, pair_rows

USER, ASSISTANT, SYSTEM = 'user', 'assistant', 'system'
_ROLES = {
    USER: (USER, 'human', 'prompter'),
    ASSISTANT: (ASSISTANT, 'gpt', 'chatgpt', 'bot', 'model', 'ai'),
    SYSTEM: (SYSTEM, 'developer'),
}
_ROLE_OF = {name: role for role, names in _ROLES.items() for name in names}
_LISTS = ('messages', 'conversations')
_LEARN_KEYS = ('weight', 'loss', 'loss_weight', *field_map.LEARN)  # of a turn
_TEXT_PARTS = ('text', 'input_text', 'output_text')
_FIELDS = field_map.FieldMap({name: (name,) for name in field_map.TARGETS})


def is_chat(row: dict[str, Any]) -> bool:
    """Whether a row is a chat, with all its turns or damaged."""
    return any(name in row for name in _LISTS) or chat_shapes.turns(row) is not None


def read(batch: batches.Batch, result: batches.BatchRead) -> None:
    """Adds the pairs of a batch of lines, a chat each, or a pair among chats."""
    for line, value, text in json_rows.rows(batch, result):
        add(value, text=text, line=line, batch=batch, result=result)


def add(
    value: dict[str, Any],
    *,
    text: str,
    line: int,
    batch: batches.Batch,
    result: batches.BatchRead,
) -> None:
    """Adds the pair of a row, which is a chat or, where a batch has fields, a pair."""
    if batch.fields and not is_chat(value):
        pair_rows.add(value, text=text, line=line, batch=batch, result=result)
        return
    turns, problem = _turns(value, result)
    if problem:
        result.leave_out(f'{batch.name}:{line}', text, problem)
        return
    row = {name: value[name] for name in field_map.TARGETS if name in value}
    marks = [value[key] for key in field_map.LEARN if key in value]
    if any(map(field_map.says_no, marks)):
        row['learn'] = False
    row |= _first_exchange(turns, result)
    left = json_rows.num_words(value) - json_rows.num_words(row)
    result.words['in turns and fields not read'] += left
    batch = dataclasses.replace(batch, fields=_FIELDS)
    pair_rows.add(row, text=text, line=line, batch=batch, result=result)


def _first_exchange(
    turns: list[tuple[str, str, bool]], result: batches.BatchRead
) -> dict[str, str]:
    """The first question and answer of the turns; counts every other turn.

    The user's turns before the answer are one question, paragraph by paragraph.
    """
    asked: list[str] = []
    answer = ''
    counts = result.counts
    for role, text, is_learned in turns:
        if role == SYSTEM:
            counts['messages system turns left out'] += 1
        elif role not in (USER, ASSISTANT):
            counts['messages turns of other roles left out'] += 1
        elif not text.strip():
            counts['messages empty turns'] += 1
        elif answer:
            counts['messages turns after the first answer'] += 1
        elif role == USER:
            asked.append(text)
        elif asked and not is_learned:
            counts['messages answers marked as not to be learned'] += 1
        elif asked:
            answer = text
        else:
            counts['messages turns before the first question'] += 1
    counts['messages user turns joined to the one before'] += max(0, len(asked) - 1)
    return {'question': '\n\n'.join(asked), 'answer': answer}


def _turns(
    value: dict[str, Any], result: batches.BatchRead
) -> tuple[list[tuple[str, str, bool]], str]:
    """(the turns of a line's value, the problem if the value is no chat).

    A turn is (role, text, whether it may be learned); the role is '' if it is none of
    the three.
    """
    found = chat_shapes.turns(value)
    if found is None:
        name = next((name for name in _LISTS if name in value), '')
        if name:
            return [], f'{name!r} is a {type(value[name]).__name__}, not a list'
        return [], f'it has no {" and no ".join(map(repr, _LISTS))}'
    chat_shapes.count_left_out(value, result)
    turns = []
    for i, each in enumerate(found, start=1):
        role, text = (
            _first(each, chat_shapes.ROLE_KEYS),
            _first(each, chat_shapes.TEXT_KEYS),
        )
        if isinstance(text, list):
            text = _joined_parts(text, result)
        if isinstance(text, dict):
            text = _joined_parts([text], result)
        if not isinstance(role, str) or not isinstance(text, str | None):
            return [], f'turn {i} is not {{"role": "user", "content": "…"}}'
        role = characters.clean_line(role).lower()
        is_learned = not any(
            key in each and field_map.says_no(each[key]) for key in _LEARN_KEYS
        )
        turns.append((_ROLE_OF.get(role, ''), text or '', is_learned))
    return turns, ''


def _first(each: Any, keys: tuple[str, ...]) -> Any:
    """The value of the first of the keys that an object has."""
    if not isinstance(each, dict):
        return None
    return next((each[key] for key in keys if key in each), None)


def _joined_parts(parts: list[Any], result: batches.BatchRead) -> str:
    """The texts of [{"type": "text", "text": "…"}, …]; counts the other parts."""
    values = [_part_text(part) if isinstance(part, dict) else part for part in parts]
    texts = [value for value in values if isinstance(value, str)]
    others = len(values) - len(texts)
    result.counts['messages parts of turns without text'] += others
    return '\n\n'.join(texts)


def _part_text(part: dict[str, Any]) -> Any:
    """A part's text; None for a picture, a call of a tool and the like."""
    is_text = str(part.get('type') or 'text') in _TEXT_PARTS
    return _first(part, ('text', 'value')) if is_text else None
