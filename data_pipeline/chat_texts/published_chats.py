"""Conversations in the shapes of data sets that have one of their own, as turns.

{"story": "Tom sang.", "questions": [{"input_text": "Who?"}],
 "answers": [{"input_text": "Tom."}]}                        CoQA
{"chat": {"turn_1": {"Human": "<|Human|>: Why?<eoh>",
                     "MOSS": "<|MOSS|>: So.<eom>"}}}         MOSS
"""

import re
from typing import Any

_MOSS = re.compile(r'\s*<\|(?:Human|MOSS)\|>:\s*|\s*<eo[hm]>\s*')
_TURN = re.compile(r'turn_(\d+)')


def turns(row: dict[str, Any]) -> list[dict[str, str]] | None:
    """The turns of a row of CoQA or MOSS; None for any other row."""
    return _of_story(row) or _of_moss(row)


def _of_story(row: dict[str, Any]) -> list[dict[str, str]] | None:
    """A story's questions, each with its answer; the story is told with the first."""
    story = row.get('story')
    asked, answered = (_texts(row.get(name)) for name in ('questions', 'answers'))
    if not isinstance(story, str) or not asked or len(asked) != len(answered):
        return None
    orders = [_order(row.get(name)) for name in ('questions', 'answers')]
    if orders[0] and orders[1] and orders[0] != orders[1]:
        return None
    asked = [f'{asked[0]}\n\n{story}', *asked[1:]]
    return _alternating(zip(asked, answered, strict=True))


def _texts(value: Any) -> list[str]:
    """The texts of CoQA's questions or answers: objects, columns or plain ones."""
    if isinstance(value, dict):
        value = value.get('input_text')
    if not isinstance(value, list):
        return []
    texts = [e.get('input_text') if isinstance(e, dict) else e for e in value]
    return texts if all(isinstance(text, str) for text in texts) else []


def _order(value: Any) -> list[Any]:
    rows = value if isinstance(value, list) else []
    return [e['turn_id'] for e in rows if isinstance(e, dict) and 'turn_id' in e]


def _of_moss(row: dict[str, Any]) -> list[dict[str, str]] | None:
    chat = row.get('chat')
    if not isinstance(chat, dict):
        return None
    places = {match[1]: name for name in chat if (match := _TURN.fullmatch(name))}
    pairs = []
    for place in sorted(places, key=int):
        said = chat[places[place]]
        texts = [said.get(who) for who in ('Human', 'MOSS')] if said else []
        if not texts or not all(isinstance(text, str) for text in texts):
            return None
        pairs.append(tuple(_MOSS.sub('', text) for text in texts))
    return _alternating(pairs) if pairs else None


def _alternating(pairs: Any) -> list[dict[str, str]]:
    return [
        {'role': role, 'content': text}
        for pair in pairs
        for role, text in zip(('user', 'assistant'), pair, strict=True)
    ]
