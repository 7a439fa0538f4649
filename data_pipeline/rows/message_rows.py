"""Chats as JSON Lines to pairs: the first question and the first answer of each.

{"messages": [{"role": "user", "content": "Why?"},
              {"role": "assistant", "content": "Because."}], "weight": 2}
{"conversations": [{"from": "human", "value": "Why?"},
                   {"from": "gpt", "value": "Because."}]}
"""

import dataclasses
from typing import Any

from data_pipeline.pages import clean
from data_pipeline.rows import batch_types, field_map, json_lines, pair_rows

USER, ASSISTANT, SYSTEM = 'user', 'assistant', 'system'
_ROLES = {
    USER: USER,
    'human': USER,
    ASSISTANT: ASSISTANT,
    'gpt': ASSISTANT,
    'chatgpt': ASSISTANT,
    'bot': ASSISTANT,
    'model': ASSISTANT,
    SYSTEM: SYSTEM,
    'developer': SYSTEM,
}
_LISTS = ('messages', 'conversations')
_ROLE_KEYS, _TEXT_KEYS = ('role', 'from'), ('content', 'value', 'text')
_LABELS = ('id', 'group', 'source', 'topic', 'time', 'score', 'weight')


@dataclasses.dataclass(frozen=True)
class _Turn:
    role: str
    text: str


def read(batch: batch_types.Batch, result: batch_types.BatchRead) -> None:
    """Adds the pairs of a batch of lines, a chat each."""
    fields = field_map.FieldMap(
        {name: (name,) for name in ('question', 'answer', *_LABELS)}
    )
    batch = dataclasses.replace(batch, fields=fields)
    for line, value, text in json_lines.rows(batch, result):
        turns, problem = _turns(value, result)
        if problem:
            json_lines.leave_out(f'{batch.name}:{line}', text, problem, result)
            continue
        chat = _chat(turns, result)
        labels = {name: value[name] for name in _LABELS if name in value}
        row = {**labels, **chat}
        left = json_lines.num_words(value) - json_lines.num_words(row)
        result.words['in turns and fields not read'] += left
        pair_rows.add(row, text=text, line=line, batch=batch, result=result)


def _chat(turns: list[_Turn], result: batch_types.BatchRead) -> dict[str, str]:
    """The first question and answer; every other turn is counted.

    Turns of the user's that follow each other are one question, paragraph by paragraph.
    """
    asked: list[str] = []
    answer = ''
    counts = result.counts
    for turn in turns:
        if turn.role == SYSTEM:
            counts['messages system turns left out'] += 1
        elif turn.role not in (USER, ASSISTANT):
            counts['messages turns of other roles left out'] += 1
        elif not turn.text.strip():
            counts['messages empty turns'] += 1
        elif answer:
            counts['messages turns after the first answer'] += 1
        elif turn.role == USER:
            asked.append(turn.text)
        elif asked:
            answer = turn.text
        else:
            counts['messages turns before the first question'] += 1
    counts['messages user turns joined to the one before'] += max(0, len(asked) - 1)
    return {'question': '\n\n'.join(asked), 'answer': answer}


def _turns(value: Any, result: batch_types.BatchRead) -> tuple[list[_Turn], str]:
    """(the turns of a line's value, what keeps it from being a chat)."""
    if not isinstance(value, dict):
        return [], f'a {type(value).__name__}, not an object'
    name = next((name for name in _LISTS if name in value), '')
    if not name:
        return [], f'it has no {" and no ".join(map(repr, _LISTS))}'
    if not isinstance(value[name], list):
        return [], f'{name!r} is a {type(value[name]).__name__}, not a list'
    turns = []
    for i, each in enumerate(value[name], start=1):
        role, text = _first(each, _ROLE_KEYS), _first(each, _TEXT_KEYS)
        if isinstance(text, list):
            text = _joined_parts(text, result)
        if not isinstance(role, str) or not isinstance(text, str | None):
            return [], f'turn {i} is not {{"role": "user", "content": "…"}}'
        role = clean.line(role).lower()
        turns.append(_Turn(_ROLES.get(role, ''), text or ''))
    return turns, ''


def _first(each: Any, keys: tuple[str, ...]) -> Any:
    """The value of the first of the keys that an object has."""
    if not isinstance(each, dict):
        return None
    return next((each[key] for key in keys if key in each), None)


def _joined_parts(parts: list[Any], result: batch_types.BatchRead) -> str:
    """The texts of [{"type": "text", "text": "…"}, …]; others are counted."""
    values = [part.get('text') if isinstance(part, dict) else part for part in parts]
    texts = [value for value in values if isinstance(value, str)]
    others = len(values) - len(texts)
    result.counts['messages parts of turns that are no text'] += others
    return '\n\n'.join(texts)
