"""Segments, as axolotl writes them, to turns.

    [{"label": false, "text": "<s>[INST] Why? [/INST]"}, {"label": true, "text": "So."}]

A label of false says that a text is not to be learned. Whose turn it is, a mark of a
chat template says, or else a word such as Assistant:; without either, a label of false
is the user's and one of true the assistant's.
"""

import re
from typing import Any

# What chat templates put before a turn and behind it; segments hold it as text.
_TEMPLATE = re.compile(
    r'<\|im_start\|>\s*(?P<im>\w+)\n?|<start_of_turn>\s*(?P<turn>\w+)\n?'
    r'|<\|start_header_id\|>(?P<header>\w+)<\|end_header_id\|>\n*'
    r'|<\|(?P<name>user|assistant|system)\|>\n?'
    r'|(?P<user>\[INST\]|<</SYS>>)|(?P<assistant>\[/INST\])|(?P<system><<SYS>>)'
    r'|(?P<end><\|(?:im_end|eot_id|end|endoftext|end_of_text)\|>|<end_of_turn>|</s>)'
    r'|<\|begin_of_text\|>|<s>|<bos>'
)
# Words that do the same where there is no template's mark.
_ROLE_WORDS = re.compile(
    r'(?:^|\n)[ \t]*(?:(?:#{2,3} ?)?(?P<word>Human|User|Assistant|System)|'
    r'#{2,3} ?(?P<title>Instruction|Response|Input|Output)):[ \t]*\n?',
    re.IGNORECASE,
)
_ROLES_OF_WORDS = {
    **dict.fromkeys(('human', 'instruction', 'input'), 'user'),
    **dict.fromkeys(('model', 'response', 'output'), 'assistant'),
}


def turns(value: Any) -> list[dict[str, Any]] | None:
    """The turns of a list of segments; None for any other value.

    An answer that is labelled false has the weight 0; one that is in part has a
    `train_detail` which says so.
    """
    if not isinstance(value, list) or not all(
        isinstance(each, dict) and {'label', 'text'} <= set(each) for each in value
    ):
        return None
    texts = [str(each['text'] or '') for each in value]
    is_template = any(_role_of(mark) for t in texts for mark in _TEMPLATE.finditer(t))
    has_words = not is_template and bool(_ROLE_WORDS.match(''.join(texts).lstrip()))
    made: list[dict[str, Any]] = []
    role = ''  # whose turn the marks say it is
    for each, text in zip(value, texts, strict=True):
        is_learned = bool(each['label'])
        if is_learned and role != 'assistant':
            role = ''
        # In a text to be learned, a word such as User: is the assistant's own.
        marks = _ROLE_WORDS if has_words and not is_learned else _TEMPLATE
        at = 0
        for mark in [*marks.finditer(text), None]:
            said = text[at : mark.start()] if mark else text[at:]
            speaker = role or ('assistant' if is_learned else 'user')
            _append(made, speaker, said, is_learned=is_learned)
            if mark:
                at = mark.end()
                opened = _role_of(mark)
                if opened or mark.groupdict().get('end'):
                    role = opened
                    made.append(_open_turn(''))  # the next text opens a turn
    return [_marked(turn) for turn in made if turn['labels']]


def _role_of(mark: re.Match[str]) -> str:
    """Whose turn a mark opens; '' for another mark."""
    for name, word in mark.groupdict().items():
        if word and name in ('user', 'assistant', 'system'):
            return name
        if word and name != 'end':
            return _ROLES_OF_WORDS.get(word.lower(), word.lower())
    return ''


def _open_turn(role: str) -> dict[str, Any]:
    return {'role': role, 'content': '', 'labels': set()}


def _append(
    made: list[dict[str, Any]], role: str, text: str, *, is_learned: bool
) -> None:
    """Adds a text to the last turn, or as a turn; blanks alone open none."""
    if text.strip():
        if not made or made[-1]['role'] != role:
            made.append(_open_turn(role))
        made[-1]['labels'].add(is_learned)
    if made and made[-1]['role'] == role:
        made[-1]['content'] += text


def _marked(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn of segments with the fields that say what of it is learned."""
    labels = turn.pop('labels')
    if labels == {True} or turn['role'] == 'user':
        return turn
    if labels == {False}:
        return {**turn, 'weight': 0}
    return {**turn, 'train_detail': [{'train': label} for label in sorted(labels)]}
