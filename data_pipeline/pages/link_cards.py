"""Pictures and link previews that stand as lines in a chat post's text.

A picture is the line `image`. A preview has a title, perhaps a description and a site,
mostly below such a line:

    image
    Opinion | Nobody reads the manual
    A field study in four kitchens.
    example.com
"""

import dataclasses
import itertools
import re

from data_pipeline.pages import clean, parsed

_MOST_LINES = 4  # of one preview, the longest seen has three
_LONGEST_LINE = 300  # characters; beyond it, it is somebody's paragraph
# Up to three words for the section, three or more for the title.
_SECTION_TITLE = re.compile(
    r'(?=.{1,200}$)[A-Z][\w’\'&.-]{2,20}(?: [\w’\'&.-]{1,20}){0,2} \| \S+(?: \S+){2,}'
)
# Below a picture a title may be a word, and an author or a section stand alone.
_ANY_TITLE = re.compile(r'(?=.{1,200}$)[A-Z][\w’\'&. -]{1,40} \| \S.*')
_AUTHOR = re.compile(r'By [A-Z][\w.’\'-]+(?: [A-Z][\w.’\'-]+){1,4}\b.*')
_SECTION = re.compile(r'(?=.{1,30}$)[A-Z][\w’&-]*(?: (?:[A-Z&][\w’-]*|and)){0,2}')
_SITE = re.compile(r'(?:https?://)?(?:[\w-]+\.)+[a-z]{2,}(?:/\S*)?', re.IGNORECASE)
_TWO_SENTENCES = re.compile(r'.*\S[.!?]+["”’\')]* +["“‘\'(]?[A-Z].*[.!?]["”’\')]*')
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
    to be one, reads like sentences, or is all that the guest says.
    """
    cards = []
    for image, below, says_more in _below_images(pieces):
        cards.append(_take([pieces[image]], 'image'))
        lines = [pieces[i] for i in below]
        text = clean.line(lines[0].text) if lines else ''
        if says_more and _is_preview(lines) and not _TWO_SENTENCES.fullmatch(text):
            cards.append(_take(lines, 'link card'))
        elif lines:
            cards.append(_kept(lines[0]))
    return cards + _mark_titles(pieces, alone=False)


def mark_in_answer(pieces: list[parsed.Piece]) -> list[Card]:
    """Marks pictures, previews and a last `(click for more)` in the columnist's text.

    The columnist does post pictures, and writes below them: only lines that look like
    a preview by themselves are taken for one, down to the next blank line.
    """
    cards = []
    for image, below, says_more in _below_images(pieces):
        cards.append(_take([pieces[image]], 'image'))
        lines = [pieces[i] for i in _without_gap(below)]
        if _is_preview(lines) and _looks_like_preview(lines, below_text=says_more):
            cards.append(_take(lines, 'link card'))
        elif lines and says_more:
            cards.append(_kept(lines[0]))
    cards += _mark_titles(pieces, alone=True)
    left = _filled(pieces)
    if len(left) > 1 and clean.line(pieces[left[-1]].text).lower() in _CONTROLS:
        cards.append(_take([pieces[left[-1]]], 'click for more line'))
    return cards


def _below_images(pieces: list[parsed.Piece]) -> list[tuple[int, list[int], bool]]:
    """Each `image`, the lines from it to the next, and whether text stands above it."""
    filled = _filled(pieces)
    images = [i for i in filled if clean.line(pieces[i].text) == 'image']
    others = [i for i in filled if i not in set(images)]
    first = others[0] if others else len(pieces)
    found, at = [], 0
    for image, following in itertools.zip_longest(images, images[1:]):
        while at < len(others) and others[at] < image:
            at += 1
        begin = at
        while at < len(others) and (following is None or others[at] < following):
            at += 1
        found.append((image, others[begin:at], first < image))
    return found


def _without_gap(below: list[int]) -> list[int]:
    """The first of these lines, and those that follow it with no blank line between."""
    end = 1
    while end < len(below) and below[end] == below[end - 1] + 1:
        end += 1
    return below[:end]


def _is_preview(lines: list[parsed.Piece]) -> bool:
    return 0 < len(lines) <= _MOST_LINES and all(
        len(piece.text) <= _LONGEST_LINE for piece in lines
    )


def _looks_like_preview(lines: list[parsed.Piece], *, below_text: bool) -> bool:
    """A section's title, an author or a site; or a title without a full stop, and more.

    The last only `below_text`: who says nothing else says this.
    """
    texts = [clean.line(piece.text) for piece in lines]
    return any(
        pattern.fullmatch(text)
        for pattern in (_ANY_TITLE, _AUTHOR, _SITE)
        for text in texts
    ) or (below_text and len(texts) > 1 and texts[0][-1] not in '.!?…"”):;,')


def _mark_titles(pieces: list[parsed.Piece], *, alone: bool) -> list[Card]:
    """Marks section titles with no `image` above: first, last or between blank lines.

    Below the last one its section may stand. With `alone` a text of titles alone is
    none.
    """
    filled = _filled(pieces)
    titles = {i for i in filled if _SECTION_TITLE.fullmatch(clean.line(pieces[i].text))}
    if not titles or (not alone and titles == set(filled)):
        return []
    cards = []
    last = clean.line(pieces[filled[-1]].text)
    if len(filled) > 1 and filled[-2] in titles and _SECTION.fullmatch(last):
        cards.append(_take([pieces[filled.pop()]], 'link card'))
    opening = list(itertools.takewhile(titles.__contains__, filled))
    closing = list(itertools.takewhile(titles.__contains__, reversed(filled)))
    known = set(filled)
    between = [i for i in filled if i in titles and not {i - 1, i + 1} & known]
    taken = sorted({*opening, *closing, *between})
    return [_take([pieces[i]], 'link card') for i in taken] + cards


def _filled(pieces: list[parsed.Piece]) -> list[int]:
    """Where text stands that is still the question's or the answer's."""
    return [i for i, p in enumerate(pieces) if p.kind in _KINDS and p.text.strip()]


def _take(pieces: list[parsed.Piece], kind: str) -> Card:
    for piece in pieces:
        piece.kind = kind
    return Card(kind, pieces[0].line, pieces[0].text)


def _kept(piece: parsed.Piece) -> Card:
    return Card('text below image', piece.line, piece.text, kept=True)
