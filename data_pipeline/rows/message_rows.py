"""Chats to conversations: each question with its answer and the answer's weight.

`chat_shapes` lists the shapes of rows that are chats.

Turns of the user that follow each other are one question. Of several answers to one
question, the first that is learned is the answer; a turn that calls a tool is none. An
assistant's turn of weight 0 (or `train`, `training`, `label`, `loss` false) is not
learned: it is context of the next answers. So is one of which a part alone is to be
learned, as weights are of turns. A chat without an answer to learn makes no pair.
System turns, turns before the first question and a question without an answer at the
end are left out. All is counted.

{"messages": [{"role": "user", "content": "Why?"},
              {"role": "assistant", "content": "Because."}], "weight": 2}
"""

import dataclasses
import re
from typing import Any

from data_pipeline.chat_texts import media_marks
from data_pipeline.exports import own_chats
from data_pipeline.fields import field_map, numbers, verdicts
from data_pipeline.pages import characters
from data_pipeline.rows import (
    batches,
    chat_shapes,
    json_rows,
    pair_rows,
    preferred,
    row_exchanges,
    two_answers,
)
from hax_jax.data import records

USER, ASSISTANT, SYSTEM = 'user', 'assistant', 'system'
_CALL = 'call'  # of a tool: an assistant's turn that is no answer
_ASIDE = 'aside'  # thinking, in a channel of its own
_ASIDES = ('analysis', 'commentary', 'thinking', 'reasoning')  # channels of gpt-oss
_ROLES = {
    USER: (
        *(USER, 'human', 'prompter', 'client', 'patient', 'seeker', 'customer'),
        *('inbound', 'incoming'),  # a message to those who answer
    ),
    ASSISTANT: (
        *(ASSISTANT, 'gpt', 'chatgpt', 'bot', 'model', 'ai', 'chatbot', 'bing', 'bard'),
        *('claude', 'gemini', 'llama'),
        *('counselor', 'counsellor', 'therapist', 'supporter', 'doctor', 'agent'),
        *('outbound', 'outgoing'),
    ),
    SYSTEM: (SYSTEM, 'developer'),
}
ROLE_OF = {name: role for role, names in _ROLES.items() for name in names}
_WEIGHT_KEYS = ('weight', 'loss', 'loss_weight')  # of a turn
_LEARN_KEYS = (*_WEIGHT_KEYS, 'training')
_PARTS = ('train_detail', 'training_detail')  # axolotl's, of a turn learned in part
_CALL_KEYS = ('tool_calls', 'function_call')
_CALL_PARTS = ('tool_use', 'tool_call', 'function_call')
_CALL_MARK = re.compile(r'^[ \t]*<(?:tool_call|function_?call)>', re.MULTILINE)
# What a tool gave, in a turn of the user.
_RESULT = re.compile(
    r'(?:\s*<(tool_response|tool_result|function_response|observation)>.*?</\1>)+\s*',
    re.DOTALL,
)
_MEDIA_FIELDS = ('images', 'audios', 'videos')  # of a row: what its turns speak of
_MEDIA_PARTS = ('image', 'audio', 'video')  # image_url, input_audio, …
_TEXT_PARTS = ('text', 'input_text', 'output_text')
_FIELDS = field_map.FieldMap(
    {name: (name,) for name in field_map.TARGETS}, has_turns=True
)
Turn = tuple[str, str, float]  # role, text, weight


def is_chat(row: dict[str, Any]) -> bool:
    """Whether a row is a chat, with all its turns or damaged."""
    return bool(chat_shapes.list_in(row)) or chat_shapes.turns(row) is not None


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
    if batch.preferences:
        preferred.add(value, add, text=text, line=line, batch=batch, result=result)
        return
    if batch.fields and not is_chat(value):
        pair_rows.add(value, text=text, line=line, batch=batch, result=result)
        return
    turns, problem = _turns(value, result)
    if problem:
        result.leave_out(f'{batch.name}:{line}', text, problem)
        return
    row = {name: value[name] for name in field_map.TARGETS if name in value}
    if verdicts.refuses(value):
        row['learn'] = False
    found = _exchanges(turns, result)
    if not any(each.weight for each in found):
        row['learn'] = False
    row |= _as_row(found)
    row |= {key: value[key] for key in two_answers.UNDECIDED if key in value}
    if any(isinstance(value.get(key), list) and value[key] for key in _MEDIA_FIELDS):
        row['question'] = f'{media_marks.MARK}\n{row["question"]}'
    _, unread = verdicts.among([value])
    row |= {name: value[name] for name in unread}
    left = json_rows.num_words(value) - json_rows.num_words(row)
    result.words['in turns and fields not read'] += left
    fields = dataclasses.replace(_FIELDS, unread=unread)
    batch = dataclasses.replace(batch, fields=fields)
    pair_rows.add(row, text=text, line=line, batch=batch, result=result)


def exchanges(value: dict[str, Any]) -> list[records.Exchange]:
    """The exchanges of a row that is a chat, none of another; counts nothing."""
    result = batches.BatchRead()
    turns, problem = _turns(value, result)
    return [] if problem else _exchanges(turns, result)


def _exchanges(turns: list[Turn], result: batches.BatchRead) -> list[records.Exchange]:
    """The exchanges of the turns; counts every turn that is in none of them.

    They end with the last answer to learn, if there is one. A question that nothing
    answers is an exchange only where there is no other.
    """
    counts = result.counts
    asked: list[str] = []
    made: list[records.Exchange] = []
    for role, text, weight in turns:
        if role == SYSTEM:
            counts['messages system turns left out'] += 1
        elif role == _CALL:
            counts['messages turns that call a tool, left out'] += 1
        elif role == _ASIDE:
            counts['messages turns of thinking, left out'] += 1
        elif role not in (USER, ASSISTANT):
            counts['messages turns of other roles left out'] += 1
        elif not text.strip():
            counts['messages empty turns'] += 1
        elif role == USER:
            asked.append(text)
        elif asked:
            made.append(records.Exchange('\n\n'.join(asked), text, weight))
            counts['messages user turns joined to the one before'] += len(asked) - 1
            asked = []
        elif not made:
            counts['messages turns before the first question'] += 1
        else:
            counts['messages further answers to a question, left out'] += 1
            if weight and not made[-1].weight:
                made[-1] = records.Exchange(made[-1].question, text, weight)
    if asked and not made:
        return [records.Exchange('\n\n'.join(asked), '')]
    counts['messages questions at the end without an answer'] += bool(asked)
    learned = [i for i, each in enumerate(made) if each.weight]
    after = len(made) - 1 - learned[-1] if learned else 0
    counts['messages exchanges after the last answer to learn'] += after
    made = made[: len(made) - after]
    context = sum(not each.weight for each in made)
    counts['messages answers marked as not to be learned'] += context
    return made


def _as_row(exchanges: list[records.Exchange]) -> dict[str, Any]:
    """The fields of a pair that hold the turns."""
    if not exchanges:
        return {'question': '', 'answer': ''}
    texts = [text for each in exchanges for text in (each.question, each.answer)]
    return {
        'question': texts[0],
        'answer': texts[1],
        'more': texts[2:],
        'answer_weights': [each.weight for each in exchanges],
    }


def _turns(value: dict[str, Any], result: batches.BatchRead) -> tuple[list[Turn], str]:
    """(the turns of a line's value, the problem if the value is no chat).

    A turn's role is '' if it is none of the three, as a tool's is, `_CALL` for a tool's
    call, and `_ASIDE` for an assistant's thinking.
    """
    found = chat_shapes.turns(value)
    if found is None:
        name = chat_shapes.list_in(value)
        if name and isinstance(value[name], list):
            return [], f'the turns of {name!r} are a tree'
        if name:
            return [], f'{name!r} is a {type(value[name]).__name__}, not a list'
        return [], f'it has no {" and no ".join(map(repr, chat_shapes.LISTS))}'
    chat_shapes.count_left_out(value, result)
    turns = []
    for i, each in enumerate(found, start=1):
        if isinstance(each, dict) and own_chats.LEFT_OUT in each:
            why = each[own_chats.LEFT_OUT]
            result.counts[f'messages turns {why}, left out'] += 1
            continue
        role, text = (
            _first(each, chat_shapes.ROLE_KEYS),
            _first(each, chat_shapes.TEXT_KEYS),
        )
        if isinstance(text, dict) and isinstance(text.get('parts'), list):
            text = text['parts']  # as ChatGPT's export has it
        if isinstance(text, list | dict):
            parts = text if isinstance(text, list) else [text]
            text = _joined_parts(parts, result)
        if not isinstance(role, str) or not isinstance(text, str | None):
            return [], f'turn {i} is not {{"role": "user", "content": "…"}}'
        role = ROLE_OF.get(characters.clean_line(role).lower(), '')
        if role == ASSISTANT and _calls_a_tool(each, text or ''):
            role = _CALL
        elif role == ASSISTANT and _channel(each) in _ASIDES:
            role = _ASIDE
        elif role == USER and _RESULT.fullmatch(text or ''):
            role = ''
        turns.append((role, text or '', _weight(each, result)))
    return turns, ''


def _calls_a_tool(turn: dict[str, Any], text: str) -> bool:
    """Whether an assistant's turn calls a tool, whatever it says beside that."""
    if any(turn.get(key) for key in _CALL_KEYS) or _CALL_MARK.search(text):
        return True
    parts = _first(turn, chat_shapes.TEXT_KEYS)
    return isinstance(parts, list) and any(
        isinstance(part, dict) and part.get('type') in _CALL_PARTS for part in parts
    )


def _channel(turn: Any) -> str:
    return str(_first(turn, ('channel',)) or '').lower()


def _weight(turn: dict[str, Any], result: batches.BatchRead) -> float:
    """A turn's weight in the loss; 1.0 for none, or, counted, for one out of range."""
    marks = [turn[key] for key in _LEARN_KEYS if key in turn]
    if verdicts.refuses(turn) or any(map(verdicts.says_no, marks)):
        return 0.0
    parts = next((turn[key] for key in _PARTS if isinstance(turn.get(key), list)), [])
    if any(isinstance(e, dict) and verdicts.says_no(e.get('train')) for e in parts):
        result.counts['messages answers to be learned in part, not learned'] += 1
        return 0.0
    given = [turn[key] for key in _WEIGHT_KEYS if turn.get(key) not in (None, '')]
    if not given or verdicts.says_yes_or_no(given[0]):
        return 1.0
    number = numbers.number(given[0])
    if number is None or not 0 < number <= row_exchanges.MOST_WEIGHT:
        result.counts['messages weights of turns out of range'] += 1
        return 1.0
    return number


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
    """A part's text, the mark of a picture or a sound; None for a call of a tool."""
    kind = str(part.get('type') or 'text')
    if any(name in kind for name in _MEDIA_PARTS):
        return media_marks.MARK
    return _first(part, ('text', 'value')) if kind in _TEXT_PARTS else None
