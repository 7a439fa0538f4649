"""The turns of a row that is a chat, in any of the shapes that tools write.

    {"messages": [turn, …]}, {"conversations": [turn, …]}         OpenAI, ShareGPT
    {"conversations": ["Why?", "Because."]}                       LIMA: texts by turns
    {"conversation": [{"human": "Why?", "assistant": "So."}]}     also input and output
    {"prompt": [turn, …], "completion": [turn]}                   TRL
    {"prompt": "Human: Why?\\n\\nAssistant:", "chosen": "So."}     any open transcript
    {"messages": [turn, …, question], "answer": "So."}
    {"prompt": [turn, …], "chosen": [turn], "rejected": [turn]}   TRL, or no prompt:
    {"chosen": [turn, turn], "rejected": [turn, turn]}            both begin with it
    {"conversations": [turn], "chosen": turn, "rejected": turn}   LLaMA-Factory
    {"input": {"messages": [turn]}, "preferred_output": [turn]}   OpenAI's preferences
    {"input": [turn, …], "ideal": "…"}                            OpenAI's evaluations
    {"segments": [{"label": false, "text": "Why?"}, …]}           axolotl
    {"prompt": {"text": "Why?", "role": …, "replies": [turn, …]}} `reply_trees`: OASST's
    {"text": "Human: Why?\\n\\nAssistant: So."}                    `transcripts`
    ChatGPT's and Claude's exports, tickets of customer support   `exports`

A turn is {"role": "user", "content": "…"}, or has the names of `ROLE_KEYS` and
`TEXT_KEYS`. A row that names its answer apart (completion, chosen, …) teaches that
answer alone, as TRL and LLaMA-Factory do: the turns before it get the weight 0.
"""

import ast
import itertools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from data_pipeline.chat_texts import published_chats, transcripts
from data_pipeline.exports import own_chats, reply_trees, support_tickets
from data_pipeline.fields import answer_lists, field_map, numbers
from data_pipeline.rows import batches

_OBJECTS = re.compile(r'\s*\[\s*\{\s*[\'"]')
_BETWEEN_OBJECTS = re.compile(r'\}\s*\n\s*\{')  # in texts, Python writes \\n
ROLE_KEYS = ('role', 'from', 'speaker', 'sender')
# Names of roles, where all values are known ones.
_OTHER_ROLE_KEYS = (
    *('author', 'type', 'direction', 'sender_type', 'author_type', 'message_type'),
)
_KNOWN_ROLES = (
    *('user', 'human', 'assistant', 'ai', 'bot', 'chatbot', 'gpt', 'system'),
    *('customer', 'agent', 'inbound', 'outbound', 'incoming', 'outgoing'),
)
TEXT_KEYS = ('content', 'value', 'text', 'parts', 'body', 'utterance', 'message')
_LISTS = (
    'messages',
    'conversations',
    'conversation',
    'dialogue',
    'dialog',
    'turns',
    'utterances',
    'contents',
    'chat_messages',
    'items',
    'chat',
)
_NO_EXCHANGES = ('contents', 'items')  # whose pairs have nothing to do with each other
_TURNS_OF_ONE = ('turns', 'contents')  # MT-Bench: what a user asks, one by one
_USER_KEYS = ('human', 'user', 'input', 'question', 'prompt')
_ASSISTANT_KEYS = ('assistant', 'output', 'answer', 'response')
LISTS = _LISTS[:2]  # lists whose damaged turns are reported
CHOSEN = ('chosen', 'chosen_messages', 'preferred_output')
REJECTED = ('rejected', 'rejected_messages', 'non_preferred_output')
# The scores that some rows give their two answers: UltraFeedback and its kin.
_SCORES = ('score_{}', '{}_score', '{}_rating', '{}-rating')
_ASKERS = ('prompter', 'user', 'human', 'client', 'patient', 'seeker', 'customer')
LEFT_OUT = 'rows with a rejected answer, which was left out'
_ANSWERS = ('completion', 'response', 'output', *CHOSEN, 'ideal', 'answer')


def turns(row: dict[str, Any]) -> list[Any] | None:
    """The raw turns of a chat, None for a row of another kind."""
    for shape in _SHAPES:
        if (found := shape(row)) is not None:
            return found
    return None


def count_left_out(row: dict[str, Any], result: batches.BatchRead) -> None:
    """Counts the answers of a chat that its turns leave out."""
    counts = result.counts
    count_rejected(row, result)
    counts['messages turns of other branches, left out'] += own_chats.num_beside(row)
    name = next(
        (name for name in answer_lists.MANY if isinstance(row.get(name), list)), ''
    )
    if name:
        counts['answers beside the best, left out'] += max(0, len(row[name]) - 1)
    counts['answers beside the best, left out'] += reply_trees.num_beside(row)


def count_rejected(row: dict[str, Any], result: batches.BatchRead) -> None:
    """Counts a row's rejected answer, and a chosen one whose score is the lower."""
    worse = next((key for key in REJECTED if row.get(key)), '')
    if not worse:
        return
    result.counts[LEFT_OUT] += 1
    better = next((key for key in CHOSEN if key in row), '')
    scores = score(row, better), score(row, worse)
    if None not in scores and scores[0] < scores[1]:
        result.counts['rows with the lower score for the answer named better'] += 1


def score(row: dict[str, Any], answer: str) -> float | None:
    """The row's own score of its answer of a name."""
    names = (form.format(answer) for form in _SCORES)
    return numbers.number(next((row[name] for name in names if name in row), None))


def _listed(row: dict[str, Any]) -> list[Any] | None:
    name = list_in(row, _LISTS)
    if not name:
        return None
    value = _with_roles(_parsed(row[name]))
    if not isinstance(value, list):
        return None
    if value and all(isinstance(each, str) for each in value):
        if name in _TURNS_OF_ONE:
            return None
        roles = ('user', 'assistant')
        return [_turn(roles[i % 2], text) for i, text in enumerate(value)]
    if name not in _NO_EXCHANGES and value and all(map(_exchange, value)):
        return [turn for each in value for turn in _exchange(each)]
    if (name not in LISTS and not are_turns(value)) or fork(value):
        return None
    names = _ANSWERS if _is_asked(value) else CHOSEN
    given = (row[key] for key in names if row.get(key) is not None)
    chosen = _parsed(next(given, None))
    if chosen is None:
        return value
    answer = _as_turns(chosen, 'assistant')
    if len(answer) > 1 and not _is_asked(answer):  # the whole chat once more
        return _context(answer[:-1]) + answer[-1:]
    return _context(value) + answer


def list_in(row: dict[str, Any], names: Sequence[str] = LISTS) -> str:
    """The first name of a list of turns that a row fills; '' for none.

    Tables of chats and pairs have empty cells in the columns of the others.
    """
    return next((name for name in names if row.get(name) not in (None, '')), '')


def fork(turns: list[Any]) -> bool:
    """Whether turns name parents, and some turn's is not the one before it: a tree."""
    named = [each for each in turns if isinstance(each, dict) and 'parent_id' in each]
    return any(
        below['parent_id'] != above.get('message_id', above.get('id'))
        for above, below in itertools.pairwise(named)
    )


def _with_roles(value: Any) -> Any:
    """Turns whose roles are named `author` or `type`, with the name `role`; or others.

    [{"type": "human", "content": "Why?"}, {"type": "ai", "content": "So."}]. Of a chat
    of a user and a system alone, as MultiWOZ has it, the system is the assistant.
    """
    for key in _OTHER_ROLE_KEYS if isinstance(value, list) and value else ():
        if all(
            isinstance(each, dict)
            and str(each.get(key)).lower() in _KNOWN_ROLES
            and not any(name in each for name in ROLE_KEYS)
            for each in value
        ):
            return [{**each, **_data(each), 'role': each[key]} for each in value]
    if isinstance(value, list) and are_turns(value):
        roles = [str(_first_of(each, ROLE_KEYS)).lower() for each in value]
        if roles[0] == 'user' and {*roles} == {'user', 'system'}:
            names = {'user': 'user', 'system': 'assistant'}
            return [
                {**each, 'role': names[role]}
                for each, role in zip(value, roles, strict=True)
            ]
    return value


def _data(turn: dict[str, Any]) -> dict[str, Any]:
    """What LangChain's turn holds: {"type": "human", "data": {"content": "Why?"}}."""
    data = turn.get('data')
    has_text = isinstance(data, dict) and 'content' not in turn
    return {'content': data.get('content')} if has_text else {}


def _is_asked(turns: list[Any]) -> bool:
    """Whether the last of some turns is a question."""
    last = turns[-1] if turns else None
    role = (
        next((last[k] for k in ROLE_KEYS if k in last), '') if are_turns(last) else ''
    )
    return str(role).lower() in _ASKERS


def history(value: Any, question: str = '') -> list[tuple[str, str]] | None:
    """The exchanges before a row's own `question`, from its history; None if damaged.

    [["Why?", "So."]], [{"user": "Why?", "assistant": "So."}], turns, or their texts:
    ["Why?", "So."]. The history may end in the row's own question.
    """
    given = _parsed(value)
    if not isinstance(given, list):
        return None
    if given and all(isinstance(each, str) for each in given):
        return _alternating(given[:-1] if given[-1] == question else given)
    if given and are_turns(given):
        roles = [str(_first_of(each, ROLE_KEYS)).lower() in _ASKERS for each in given]
        if roles != [True, False] * (len(given) // 2):
            return None
        said = [_first_of(each, TEXT_KEYS) for each in given]
        given = [*zip(said[::2], said[1::2], strict=True)]
    if given and all(map(_is_role_and_text, given)):  # [["user", "Why?"], …]
        return history([{'role': role, 'content': text} for role, text in given])
    made = []
    for each in given:
        each = [turn['content'] for turn in _exchange(each)] or each
        is_exchange = isinstance(each, list | tuple) and len(each) == 2
        if not is_exchange or not all(isinstance(text, str) for text in each):
            return None
        made.append((each[0], each[1]))
    return made


def _is_role_and_text(each: Any) -> bool:
    is_two = isinstance(each, list | tuple) and len(each) == 2
    return is_two and isinstance(each[0], str) and each[0].lower() in _KNOWN_ROLES


def _alternating(texts: list[str]) -> list[tuple[str, str]] | None:
    """Texts of two people in turns as exchanges; None where one may have said all.

    ["Who?", "And when?"] are questions alone, an odd number lacks an answer.
    """
    asked, answered = texts[::2], texts[1::2]
    all_ask = bool(texts) and all(each.strip()[-1:] == '?' for each in answered)
    if len(asked) != len(answered) or all_ask:
        return None
    return [*zip(asked, answered, strict=True)]


def _first_of(turn: dict[str, Any], keys: Sequence[str]) -> Any:
    return next((turn[key] for key in keys if key in turn), None)


def _exchange(each: Any) -> list[dict[str, str]]:
    """The two turns of an object such as {"human": "Why?", "assistant": "So."}."""
    if not isinstance(each, dict):
        return []
    asked = next((each[key] for key in _USER_KEYS if key in each), None)
    answered = next((each[key] for key in _ASSISTANT_KEYS if key in each), None)
    if not isinstance(asked, str) or not isinstance(answered, str):
        return []
    return [_turn('user', asked), _turn('assistant', answered)]


def _prompted(row: dict[str, Any]) -> list[Any] | None:
    """The turns of a prompt and an answer of which one at least is a list of turns."""
    given = row.get('input')
    prompt = _parsed(row.get('prompt'))
    if isinstance(given, dict) and 'messages' in given:
        prompt = _parsed(given['messages'])
    elif not prompt and are_turns(_parsed(given)):
        prompt = _parsed(given)
    elif prompt is None and not given:  # BELLE
        prompt = row.get('instruction')
    if isinstance(prompt, str) and (said := transcripts.opened(prompt)):
        prompt = [_turn(role, text) for role, text in said]
    is_judged = any(row.get(name) for name in REJECTED)
    names = (*CHOSEN * is_judged, *_ANSWERS, *answer_lists.MANY)
    name = next((name for name in names if name in row), '')
    answer = _parsed(row.get(name))
    if name in CHOSEN and isinstance(answer, str) and transcripts.opens(answer):
        answer = [_turn(*said) for said in transcripts.turns(answer)] or answer
    if not name or not (are_turns(prompt) or are_turns(answer)):
        return None
    if name in answer_lists.MANY and not isinstance(answer, str):
        answer = answer_lists.best(answer)[0] or ''
    asked = _as_turns(prompt, 'user') if prompt else []
    answered = _as_turns(answer, 'assistant')
    has_prompt = answered[: len(asked)] == asked or len(answered) > 1
    if has_prompt:
        return _context(answered[:-1]) + answered[-1:]
    return _context(asked) + answered


def _segments(row: dict[str, Any]) -> list[Any] | None:
    return transcripts.of_segments(_parsed(row.get('segments')))


def _transcript(row: dict[str, Any]) -> list[Any] | None:
    """The turns of a text in which each begins with its role."""
    if 'prompt' in row:
        return None
    names = ('chosen', 'text', *_LISTS)
    if '[|Human|]' in str(row.get('input')):  # Baize
        names = ('input',)
    name = next((name for name in names if isinstance(row.get(name), str)), '')
    has_question = bool(name) and field_map.has_both([*row])
    if has_question and (name == 'text' or not transcripts.opens(row[name])):
        return None
    if not name or not (said := transcripts.turns(row[name])):
        return None
    made = [_turn(role, each) for role, each in said]
    return _context(made[:-1]) + made[-1:] if name == 'chosen' else made


def _context(turns: list[Any]) -> list[Any]:
    """The turns, none of them to be learned."""
    return [{**turn, 'weight': 0} if isinstance(turn, dict) else turn for turn in turns]


def _as_turns(value: Any, role: str) -> list[Any]:
    """A list of turns as it is, a turn as a list, a text as a turn of a role."""
    if isinstance(value, str):
        return [_turn(role, value)]
    return value if isinstance(value, list) else [value]


def are_turns(value: Any) -> bool:
    """Whether a value is a turn, or a list of turns alone."""
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(
        isinstance(each, dict)
        and any(key in each for key in ROLE_KEYS)
        and any(key in each for key in TEXT_KEYS)
        for each in values
    )


def _turn(role: str, text: str) -> dict[str, str]:
    return {'role': role, 'content': text}


def _parsed(value: Any) -> Any:
    """The list that a cell of a table holds as JSON or as columns; others as they are.

    {"role": ["user", "assistant"], "content": ["Why?", "So."]}, as `datasets` stores
    lists of turns -> [{"role": "user", "content": "Why?"}, …]
    """
    if isinstance(value, dict) and _are_columns(value):
        cells = zip(*value.values(), strict=True)
        return [dict(zip(value, each, strict=True)) for each in cells]
    if isinstance(value, str) and value.lstrip()[:1] == '[':
        return with_small_names(_list_in_cell(value))
    return value


def _list_in_cell(text: str) -> Any:
    """The list that a cell holds as JSON, or as Python writes it; else the text.

    pandas writes "[{'role': 'user'}, {…}]", and arrays without commas.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if not _OBJECTS.match(text):
            return text
    try:
        return ast.literal_eval(_BETWEEN_OBJECTS.sub('}, {', text.strip()))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def with_small_names(turns: Any) -> Any:
    """A list of objects with their names in small letters; others as they are."""
    first = turns[0] if isinstance(turns, list) and turns else None
    if not isinstance(first, dict) or ''.join(first).islower():
        return turns
    return [
        {key.lower(): each[key] for key in each} if isinstance(each, dict) else each
        for each in turns
    ]


def _are_columns(value: dict[str, Any]) -> bool:
    """Whether a dict has the columns of turns, or of segments."""
    if not all(isinstance(each, list) for each in value.values()):
        return False
    has_roles = any(key in value for key in (*ROLE_KEYS, 'label'))
    has_texts = any(key in value for key in TEXT_KEYS)
    return has_roles and has_texts and len({*map(len, value.values())}) == 1


_SHAPES: tuple[Callable[[dict[str, Any]], list[Any] | None], ...] = (
    own_chats.turns,
    support_tickets.turns,
    published_chats.turns,
    _listed,
    _prompted,
    _segments,
    reply_trees.turns,
    _transcript,
)
