"""Pictures and link previews that stand as lines in a chat post's text.

A picture is the line `image`. A preview has a title, perhaps a description and a site,
mostly below such a line:

    image
    Opinion | Nobody reads the manual
    A field study in four kitchens.
    example.com
"""

import bisect
import collections
import dataclasses
import re

from data_pipeline.reading import clean, parsed

_MOST_LINES = 4  # of one preview, the longest seen has three
_TOO_MANY = _MOST_LINES + 1
_LONGEST_LINE = 300  # characters; beyond it, it is somebody's paragraph
# Up to three words for the section, three or more for the title.
_SECTION_TITLE = re.compile(
    r'(?=.{1,200}$)[A-Z][\w’\'&.-]{2,20}(?: [\w’\'&.-]{1,20}){0,2} \| \S+(?: \S+){2,}'
)
_SITE = re.compile(r'(?:https?://)?(?:[\w-]+\.)+[a-z]{2,}(?:/\S*)?', re.IGNORECASE)
_KINDS = (parsed.QUESTION, parsed.ANSWER)
_CONTROLS = ('(click for more)', 'click for more')


@dataclasses.dataclass(frozen=True)
class Card:
    """A picture, a preview or a control; `kept` where its text stays in the post."""

    kind: str  # 'image', 'link card', 'click for more line', 'text below image'
    line: int
    text: str
    kept: bool = False


def mark_in_question(pieces: list[parsed.Piece]) -> list[Card]:
    """Marks pictures and previews in a guest's text, which they close.

    Guests can post no pictures: below `image` stands a preview, unless it is too long
    to be one.
    """
    cards = []
    images = _images(pieces)
    others = [i for i in _filled(pieces) if i not in images]
    for i in sorted(images):
        cards.append(_take([pieces[i]], 'image'))
        below = [pieces[at] for at in others[bisect.bisect(others, i) :][:_TOO_MANY]]
        if _is_preview(below):
            cards.append(_take(below, 'link card'))
            others = []
        elif below:
            cards.append(_kept(below[0]))
    return cards + _mark_titles(pieces)


def mark_in_answer(pieces: list[parsed.Piece]) -> list[Card]:
    """Marks pictures, previews and a last `(click for more)` in the columnist's text.

    The columnist does post pictures, and writes below them: only lines that look like
    a preview by themselves are taken for one.
    """
    cards = []
    filled, images = _filled(pieces), _images(pieces)
    first = next((i for i in filled if i not in images), len(pieces))
    for i in sorted(images):
        if pieces[i].kind not in _KINDS:
            continue  # it closed the card of an image above
        cards.append(_take([pieces[i]], 'image'))
        at = bisect.bisect(filled, i)
        below = [pieces[j] for j in filled[at : at + _TOO_MANY]]
        if first < i and _is_preview(below) and _looks_like_preview(below):
            cards.append(_take(below, 'link card'))
        elif first < i and below and filled[at] not in images:
            cards.append(_kept(below[0]))
    cards += _mark_titles(pieces)
    left = _filled(pieces)
    if len(left) > 1 and clean.line(pieces[left[-1]].text).lower() in _CONTROLS:
        cards.append(_take([pieces[left[-1]]], 'click for more line'))
    return cards


def _is_preview(lines: list[parsed.Piece]) -> bool:
    return 0 < len(lines) <= _MOST_LINES and all(
        len(piece.text) <= _LONGEST_LINE for piece in lines
    )


def _looks_like_preview(lines: list[parsed.Piece]) -> bool:
    """A section's title, a site, or a title without a full stop above more lines."""
    texts = [clean.line(piece.text) for piece in lines]
    return any(
        _SECTION_TITLE.fullmatch(text) or _SITE.fullmatch(text) for text in texts
    ) or (len(texts) > 1 and texts[0][-1] not in '.!?…"”):;,')


def _mark_titles(pieces: list[parsed.Piece]) -> list[Card]:
    """Marks section titles that open or close a text with no `image` above them."""
    filled = collections.deque(_filled(pieces))
    cards = []
    for end, pop in ((0, filled.popleft), (-1, filled.pop)):
        while len(filled) > 1:
            if not _SECTION_TITLE.fullmatch(clean.line(pieces[filled[end]].text)):
                break
            cards.append(_take([pieces[pop()]], 'link card'))
    return cards


def _filled(pieces: list[parsed.Piece]) -> list[int]:
    """Where text stands that is still the question's or the answer's."""
    return [i for i, p in enumerate(pieces) if p.kind in _KINDS and p.text.strip()]


def _images(pieces: list[parsed.Piece]) -> set[int]:
    return {i for i in _filled(pieces) if clean.line(pieces[i].text) == 'image'}


def _take(pieces: list[parsed.Piece], kind: str) -> Card:
    for piece in pieces:
        piece.kind = kind
    return Card(kind, pieces[0].line, pieces[0].text)


def _kept(piece: parsed.Piece) -> Card:
    return Card('text below image', piece.line, piece.text, kept=True)
