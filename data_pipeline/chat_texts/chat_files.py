"""The conversations of a text file that a trainer reads, each as a row.

<|im_start|>user Why?<|im_end|> <|im_start|>assistant So.<|im_end|> and so on
<|user|>Why?<|end|><|assistant|>So.<|end|>
<|startoftext|>Question: Why? Answer: So.<|endoftext|>

A conversation begins at a system's turn, behind a token that ends a text, at one that
begins it, or else below a blank line. Without any of these each question begins one.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Any

from data_pipeline.chat_texts import transcripts

_READ_SHARE = 0.9  # of a file's conversations that must have a question and answer
_MOST_ASKED = 8  # of one whose turns have labels alone
_BEGIN = r'<\|(?:startoftext|begin_of_text)\|>|<s>|<bos>|<｜begin▁of▁sentence｜>'
_ENDED = r'<\|(?:endoftext|end_of_text)\|>'
_BEGINS = re.compile(_BEGIN)
_ENDS = re.compile(_ENDED)
# Tokens between texts that have labels, and one of them in the line of a text.
_SEALED = re.compile(rf'\s*(?:(?:{_BEGIN}|{_ENDED}|</s>|<eos>)\s*)+')
_IN_LINE = re.compile(
    rf'\A\s*(?:{_BEGIN})[ \t]*\S|\S[ \t]*(?:{_ENDED}|</s>|<eos>)\s*\Z'
)
# Vicuna's and Alpaca's words above a question, which no mark opens.
_PREAMBLE = re.compile(
    r'\s*[A-Z][^"{}<>|\[\]]{0,1500}[.:]\s+(?:USER:\s|###[ \t]?Instruction:)'
)
_TOKEN = re.compile(r'\s*<\|\w{1,40}\|>')
NOTE = 'nothing parts its conversations, so each question begins one'


def opens_with_token(text: str) -> bool:
    """Whether a text opens with a token such as <|user|>, so it is no table of '|'."""
    return bool(_TOKEN.match(text))


def may_be(head: str) -> bool:
    """Whether a file's first characters may be those of conversations, quick to ask."""
    if _PREAMBLE.match(head):
        return True
    bare = _SEALED.sub('', head, count=1) if _SEALED.match(head) else head
    has_token = _SEALED.search(head) or transcripts.marks(head)
    return bool(has_token) and (transcripts.opens(head) or transcripts.opens(bare))


def rows(text: str) -> tuple[list[dict[str, Any]], str]:
    """(a row for each conversation of a file, a note); none of a file of other text.

    One without a question and an answer is a row of its text.
    """
    text = text.replace('\r\n', '\n')
    parts, note = _by_marks(text)
    said = [transcripts.turns(part) for part in parts]
    if not parts and _IN_LINE.search(text):
        parts = [part for part in _SEALED.split(text) if part.strip()]
        said = [transcripts.turns(part) for part in parts]
        if len(parts) < 2 or not all(map(_is_short, said)):
            return [], ''  # a page of labels that has such tokens
    if not parts or sum(map(bool, said)) < _READ_SHARE * len(parts):
        return [], ''
    made = [
        {'messages': [{'role': role, 'content': words} for role, words in turns]}
        if turns
        else {'text': part}
        for part, turns in zip(parts, said, strict=True)
    ]
    return made, note


def _is_short(turns: Sequence[tuple[str, str]]) -> bool:
    """Whether turns are those of one conversation, and not of a page of pairs."""
    return 0 < sum(role == 'user' for role, _ in turns) <= _MOST_ASKED


def _by_marks(text: str) -> tuple[list[str], str]:
    """(the text cut where the marks of a template begin conversations, a note)."""
    marks = transcripts.marks(text)
    roles = [mark for mark, role in marks if role]
    if not roles or not _is_template(text, roles[0]):
        return [], ''
    found = _candidates(text, marks)
    starts, note = [at for at, _ in found], ''
    for sign in ('told', 'sealed', 'blank'):
        chosen = [at for at, signs in found if sign in signs]
        if chosen and (sign != 'blank' or len(chosen) < len(found)):
            starts = [at for at, signs in found if {sign, 'sealed'} & signs]
            break
    else:
        note = NOTE if found else ''
    ends = [0, *starts, len(text)]
    return [text[a:b].strip() for a, b in itertools.pairwise(ends)], note


def _is_template(text: str, first: re.Match[str]) -> bool:
    """Whether a template's mark opens a text; Vicuna's may stand below a preamble."""
    if 'USER:' in first[0]:
        return '</s>' in text
    return not text[: first.start()].strip()


def _candidates(
    text: str, marks: Sequence[tuple[re.Match[str], str]]
) -> list[tuple[int, set[str]]]:
    """(the place, the signs) of each turn below an assistant's that may begin a text.

    The signs: 'told' of a system's words, 'sealed' of a token that begins or ends a
    text, 'blank' of a blank line above it.
    """
    found: list[tuple[int, set[str]]] = []
    spoke, end, is_closed, ended = '', 0, False, False
    for mark, role in marks:
        between = text[end : mark.start()]
        if spoke == 'assistant' and role in ('user', 'system'):
            said = between.strip() if is_closed else ''
            above = text[max(0, end - 1) : mark.start()]  # a mark may end its line
            begins = '\n' in above and _BEGINS.match(mark[0].lstrip())
            signs = {
                'told': role == 'system' or bool(said),
                'sealed': ended or bool(begins),
                'blank': '\n\n' in between,
            }
            own = {sign for sign, is_there in signs.items() if is_there}
            if '\n' in above or own:
                found.append((end if is_closed else mark.start(), own))
        spoke, end = role or spoke, mark.end()
        is_closed = not role
        ended = is_closed and (ended or bool(_ENDS.search(mark[0])))
    return found
