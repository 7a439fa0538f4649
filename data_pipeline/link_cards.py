"""Pictures and link previews that stand as lines in a chat post's text.

A picture is the line `image`. A preview has a title, perhaps a description and a site,
mostly below such a line:

    image
    Opinion | Nobody reads the manual
    A field study in four kitchens.
    example.com
"""

import dataclasses
import re

from data_pipeline import clean, parsed

_MOST_LINES = 4  # of one preview, the longest seen has three
_LONGEST_LINE = 300  # characters; beyond it, it is somebody's paragraph
# One or two words for the section, three or more for the title.
_SECTION_TITLE = re.compile(
    r'[A-Z][\w’\'&-]{2,20}(?: [\w’\'&-]{1,20})? \| \S+(?: \S+)+ \S*[^.\s]'
)
_SITE = re.compile(r'(?:https?://)?(?:[\w-]+\.)+[a-z]{2,}(?:/\S*)?', re.IGNORECASE)
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
    for i, piece in enumerate(pieces):
        if clean.line(piece.text) != 'image':
            continue
        cards.append(_take([piece], 'image'))
        below = _filled(pieces[i + 1 :])
        previews = [p for p in below if clean.line(p.text) != 'image']
        if _is_preview(previews):
            cards.append(_take(previews, 'link card'))
        elif previews:
            cards.append(_kept(previews[0]))
    return cards + _mark_titles(pieces)


def mark_in_answer(pieces: list[parsed.Piece]) -> list[Card]:
    """Marks pictures, previews and a last `(click for more)` in the columnist's text.

    The columnist does post pictures, and writes below them: only lines that look like
    a preview by themselves are taken for one.
    """
    cards = []
    for i, piece in enumerate(pieces):
        if clean.line(piece.text) != 'image':
            continue
        above, below = _filled(pieces[:i]), _filled(pieces[i + 1 :])
        cards.append(_take([piece], 'image'))
        if above and _is_preview(below) and _looks_like_preview(below):
            cards.append(_take(below, 'link card'))
        elif above and below and clean.line(below[0].text) != 'image':
            cards.append(_kept(below[0]))
    cards += _mark_titles(pieces)
    filled = _filled(pieces)
    if len(filled) > 1 and clean.line(filled[-1].text).lower() in _CONTROLS:
        cards.append(_take([filled[-1]], 'click for more line'))
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
    cards = []
    for end in (0, -1):
        while len(filled := _filled(pieces)) > 1:
            if not _SECTION_TITLE.fullmatch(clean.line(filled[end].text)):
                break
            cards.append(_take([filled[end]], 'link card'))
    return cards


def _filled(pieces: list[parsed.Piece]) -> list[parsed.Piece]:
    kinds = (parsed.QUESTION, parsed.ANSWER)
    return [p for p in pieces if p.text.strip() and p.kind in kinds]


def _take(pieces: list[parsed.Piece], kind: str) -> Card:
    for piece in pieces:
        piece.kind = kind
    return Card(kind, pieces[0].line, pieces[0].text)


def _kept(piece: parsed.Piece) -> Card:
    return Card('text below image', piece.line, piece.text, kept=True)
