"""Reasoning that a model wrote before its answer: no part of the answer.

    '<think>He is sad.</think>\\n\\nAsk him.' -> 'Ask him.'
    'He is sad.\\n</think>\\n\\nAsk him.' -> 'Ask him.'  (a template wrote <think>)
    '<think>He is sad. Ask' -> ''  (cut short: no answer)

Names in code, and those within a line, are text about the marks.
"""

import re

_NAMES = 'think|thinking|thoughts?|reasoning|reasoning_content|scratchpad'
_PAIRS = (  # what opens reasoning, and what ends it
    (rf'<(?P<name>{_NAMES})>', '</{}>'),
    (r'<\|begin_of_(?P<name>thought)\|>', '<|end_of_{}|>'),
    (r'\[(?P<name>THINK)\]', '[/{}]'),
    ('◁(?P<name>think)▷', '◁/{}▷'),
)
_OPENS = [
    (re.compile(rf'^[ \t]*{mark}', re.IGNORECASE | re.MULTILINE), end)
    for mark, end in _PAIRS
]
_ENDS_ALONE = re.compile(rf'</(?:{_NAMES})>(?:[ \t]*(?:\n|\Z)|(?=\w))', re.IGNORECASE)
_OPENS_ANYWHERE = re.compile(rf'<(?:{_NAMES})>', re.IGNORECASE)
_BEHIND = re.compile(  # a sentence that is the answer
    rf'(?<=[.!?…"”])\s+<(?P<name>{_NAMES})>[^<]*</(?P=name)>\s*\Z', re.IGNORECASE
)
# Around the answer, beside reasoning.
_WRAPPED = re.compile(
    r'\s*(?:<(?P<name>answer|final_answer|solution|output|response)>(?P<a>.*)</(?P=name)>'
    r'|<\|begin_of_solution\|>(?P<b>.*?)(?:<\|end_of_solution\|>|\Z))\s*',
    re.DOTALL | re.IGNORECASE,
)
# OpenAI's Harmony: channels of one turn, of which `final` is the answer.
_CHANNEL = '<|channel|>'
_FINAL = re.compile(
    r'<\|channel\|>final<\|message\|>(.*?)(?:<\|(?:return|end)\|>|\Z)', re.DOTALL
)
_MARKS = ('<', '[T', '[t', '◁')


def without(text: str) -> tuple[str, int]:
    """An answer without its reasoning, and how many pieces were cut.

    '' for reasoning that no end was written of: nothing was answered.
    """
    if not any(mark in text for mark in _MARKS):
        return text, 0
    if text.lstrip().startswith(_CHANNEL):
        final = _FINAL.search(text)
        return (final[1].strip() if final else '', 1)
    left, times = text, 0
    for opens, end in _OPENS:
        while found := _first(opens, left):
            mark = end.format(found['name'])
            at = left.lower().find(mark.lower(), found.end())
            if at < 0 and left[: found.start()].strip():
                break  # below an answer, it may be anything
            rest = left[at + len(mark) :] if at >= 0 else ''
            left = f'{left[: found.start()].rstrip()}\n\n{rest.lstrip()}'.strip()
            times += 1
    if not times and (found := _first(_BEHIND, left)):
        left, times = left[: found.start()], 1
    found = None if times else _first(_ENDS_ALONE, left)
    if found and not _OPENS_ANYWHERE.search(left[: found.start()]):
        left, times = left[found.end() :].strip(), 1
    if times and (wrapped := _WRAPPED.fullmatch(left)):
        left = (wrapped['a'] or wrapped['b'] or '').strip()
    return (left, times) if times else (text, 0)


def _first(mark: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Its first place in a text; None for one behind the beginning of code."""
    found = mark.search(text)
    return None if found and '`' in text[: found.start()] else found
