"""The lines that stand between nearly all pairs of a page: its frame, no text of it.

    Below is an instruction.  <|endoftext|>   Reply With Quote   - 3 -
    ### Instruction:          Question: Why?  Question: Why?     Dear Carolyn: Why?

A line that ends a few texts alone is one of them, and so is one that ends texts which
are otherwise alike. A signature below all answers is the author's own.
"""

import collections
import math
import re
from collections.abc import Iterable, Sequence

from data_pipeline.pages import chat_grammar, glued_topics, page

FRAME = 'frame between pairs'
_FEWEST, _SHARE = 3, 0.9  # places that a line of a frame ends, of those it can end
_MOST_LINES = 12  # of a frame
_TEXTS = (page.ANSWER, f'{page.ANSWER} without pair', page.UNKNOWN)
_LINK = re.compile(r'\[([^\[\]]{1,60})\]\([^()\s]*\)')
_PAGE_NUMBER = re.compile(r'[-–—]\s?\d{1,4}\s?[-–—]')
# 'Ann', 'Fair winds, Captain Ann', '-- Ann'; a control has such words and no name.
_SIGNED = re.compile(
    r'[*_]{0,3}(?:(?:.{1,40},\s)?[A-Z][\w.’\'-]*(?: [A-Z][\w.’\'-]*){0,3}'
    r'|(?:--?|[–—~])\s?\w.{0,40})[*_.]{0,3}'
)
_OF_CONTROL = re.compile(
    r'\b(?:with|to|the|this|your|from|of|and|for|more|all|a|an|next|previous|questions?'
    r'|answers?|repl(?:y|ies)|comments?|read|share|posts?|page|quote|report|like|back'
    r'|top|end|stop)\b',
    re.IGNORECASE,
)
_ITEM = re.compile(r'(?:[-*•+]|\(?\w{1,3}[.)])\s')  # the last of a list
_Line = tuple[int, str, bool]  # its number and text, and whether it may be a frame's


def find(found: page.Page) -> dict[int, str]:
    """The lines of a page's frame by their numbers."""
    above, *answers = _places(found.pieces)
    if len(answers) < _FEWEST:
        return {}
    left = [*answers]
    known: set[str] = set()
    for _ in range(_MOST_LINES):
        forms = [_end(lines) for lines in left]
        times = collections.Counter(filter(None, [*forms, _top(above)]))
        form, count = max(times.items(), key=lambda each: each[1], default=('', 0))
        if count < max(_FEWEST, math.ceil(_SHARE * (len(answers) - 1))):
            break
        known.add(form)
        left = [
            lines[:-1] if end == form else lines
            for lines, end in zip(left, forms, strict=True)
        ]
        if form == _top(above):
            above = above[:-1]
    texts = {' '.join(text for _, text, _ in lines) for lines in left}
    if not known or 2 * len(texts) < len(left):
        return {}
    return _ends_of_form(_places(found.pieces), known)


def without(text: str, lines: Iterable[int]) -> str:
    """The text with blank lines in place of these."""
    made = [piece.text for piece in page.raw_lines(text)]
    for line in lines:
        made[line - 1] = ''
    return '\n'.join(made)


def put_back(found: page.Page, lines: dict[int, str]) -> None:
    """Marks and counts the lines of a frame in a page that was read without them."""
    blank = {piece.line: piece for piece in found.pieces if piece.line in lines}
    for line, text in lines.items():
        blank[line].text, blank[line].kind = text, FRAME
        shown = _form(text)
        found.counts[f'lines {shown!r} between pairs, left out'] += 1


def _places(pieces: Sequence[page.Piece]) -> list[list[_Line]]:
    """The lines with text above the first pair, and of each answer and below it."""
    by_line: dict[int, list[page.Piece]] = {}
    for piece in pieces:
        by_line.setdefault(piece.line, []).append(piece)
    places: list[list[_Line]] = [[]]
    is_answer = True
    for line, parts in by_line.items():
        kinds = [part.kind for part in parts]
        has_answer = any(each.startswith(page.ANSWER) for each in kinds)
        is_labelled = any(
            part.kind == 'label' and part.text.strip(' >\t') for part in parts
        )
        if has_answer and (is_labelled or not is_answer):
            is_answer = True
            places.append([])
        elif any(each.startswith(page.QUESTION) for each in kinds):
            is_answer = False
        filled = [part for part in parts if part.text.strip()]
        texts = [part for part in filled if part.kind in _TEXTS]
        if is_answer and texts:
            is_whole = len(filled) == 1 and not texts[0].is_code
            places[-1].append((line, texts[0].text, is_whole and not _is_own(texts[0])))
    return places


def _is_own(piece: page.Piece) -> bool:
    """Whether a line that ends all texts is theirs: a signature, an item, a count."""
    line = piece.clean
    if _PAGE_NUMBER.fullmatch(line):
        return False
    is_signed = _SIGNED.fullmatch(line) and not _OF_CONTROL.search(line)
    is_signed = _ITEM.match(line) or (is_signed and not line.isupper())
    is_closing = glued_topics.is_closing(line)
    is_count = chat_grammar.is_number(line)
    return bool(is_signed or is_closing or is_count or page.is_rule(line))


def _form(text: str) -> str:
    """A line as it is compared: pages have numbers and links places of their own."""
    line = ' '.join(text.split())
    if link := _LINK.fullmatch(line):
        return f'[{link[1]}]()'
    return '- 0 -' if _PAGE_NUMBER.fullmatch(line) else line


def _end(lines: Sequence[_Line]) -> str:
    """The last line of an answer as it is compared; '' where it is all, or its own."""
    return _form(lines[-1][1]) if len(lines) > 1 and lines[-1][2] else ''


def _top(lines: Sequence[_Line]) -> str:
    """The same of the lines above the first pair, which may all be of a frame."""
    return _form(lines[-1][1]) if lines and lines[-1][2] else ''


def _ends_of_form(places: Sequence[list[_Line]], known: set[str]) -> dict[int, str]:
    """The lines of these forms that end a place, each number with its text."""
    found: dict[int, str] = {}
    for i, lines in enumerate(places):
        end = _end if i else _top
        while end(lines) in known:
            line, text, _ = lines[-1]
            found[line] = text
            lines = lines[:-1]
    return found
