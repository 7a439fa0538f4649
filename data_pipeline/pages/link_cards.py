"""Pictures and link previews that stand as lines in a chat post's text.

A picture is the line `image`. A preview has a title, perhaps a description and a site,
mostly below such a line:

    image
    Opinion | Nobody reads the manual
    A field study in four kitchens.
    example.com

Other text below a picture stays in the post and is reported.
"""

import bisect
import itertools
import re
from collections.abc import Sequence

from data_pipeline.pages import page

MOST_LINES = 4  # of one preview; the longest known one has three
_LONGEST_LINE = 300  # characters; a longer line is a paragraph
# Up to three words for the section, three or more for the title.
_SECTION_TITLE = re.compile(
    r'(?=.{1,200}$)[A-Z][\w’\'&.-]{2,20}(?: [\w’\'&.-]{1,20}){0,2} \| \S+(?: \S+){2,}'
)
_SECTION = re.compile(r'(?=.{1,30}$)[A-Z][\w’&-]*(?: (?:[A-Z&][\w’-]*|and)){0,2}')
_SITE = re.compile(r'(?i:(?:https?://)?(?:[\w-]+\.)+[a-z]{2,}(?:/\S*)?)')
# Below a picture a preview may be one title of a word, an author or a site.
_PREVIEW_LINE = re.compile(
    r'(?=.{1,200}$)[A-Z][\w’\'&. -]{1,40} \| \S.*'
    r'|By [A-Z][\w.’\'-]+(?: [A-Z][\w.’\'-]+){1,4}\b.*'
    rf'|{_SITE.pattern}'
)
_TWO_SENTENCES = re.compile(r'.*\S[.!?]+["”’\')]* +["“‘\'(]?[A-Z].*[.!?]["”’\')]*')
_KINDS = (page.QUESTION, page.ANSWER)
_CONTROLS = ('(click for more)', 'click for more')


def is_preview(line: str) -> bool:
    """Whether a line looks like a section's title, an author or a site by itself."""
    return bool(_PREVIEW_LINE.fullmatch(line)) or line == '[URL]'


def is_description(line: str) -> bool:
    """Whether a line is short enough for a preview and has one sentence at most."""
    return len(line) <= _LONGEST_LINE and not _TWO_SENTENCES.fullmatch(line)


def start_at_end(lines: Sequence[str]) -> int:
    """Where a preview below the line `image` begins that ends a text; else its end."""
    last = lines[-MOST_LINES - 2 :]
    if 'image' not in last:
        return len(lines)
    at = len(lines) - last[::-1].index('image')
    below = [line.strip() for line in lines[at:] if line.strip()]
    is_card = any(map(is_preview, below)) and all(map(is_description, below))
    return at - 1 if is_card else len(lines)


def mark_in_question(pieces: list[page.Piece], found: page.Page) -> None:
    """Marks pictures and previews in a guest's text, which they close.

    Guests can post no pictures: below `image` stands a preview, unless the lines are
    too long, read like sentences, or are all that the guest says.
    """
    for image, below, says_more in _images(pieces):
        _mark([image], 'image', found)
        lines = [pieces[i] for i in below]
        sentences = lines and _TWO_SENTENCES.fullmatch(lines[0].clean)
        if says_more and _is_short(lines) and not sentences:
            _mark(lines, 'link card', found)
        elif lines:
            _keep(lines[0], found)
    _mark_titles(pieces, found, alone=False)


def mark_in_answer(pieces: list[page.Piece], found: page.Page) -> None:
    """Marks pictures, previews and a last `(click for more)` in the columnist's text.

    The columnist does post pictures, and writes below them: only lines that look like
    a preview by themselves are taken for one, down to the next blank line.
    """
    for image, below, says_more in _images(pieces):
        _mark([image], 'image', found)
        lines = [pieces[i] for at, i in enumerate(below) if i == below[0] + at]
        if _is_short(lines) and _looks_like_preview(lines, below_text=says_more):
            _mark(lines, 'link card', found)
        elif lines and says_more:
            _keep(lines[0], found)
    _mark_titles(pieces, found, alone=True)
    left = _filled(pieces)
    if len(left) > 1 and pieces[left[-1]].clean.lower() in _CONTROLS:
        _mark([pieces[left[-1]]], 'click for more line', found)


def mark_last_site(pieces: list[page.Piece], found: page.Page) -> None:
    """Marks a preview that ends a text without `image`: a title, up to a site's name.

    The title has no full stop; between the two a description may stand.
    """
    lines = [pieces[i] for i in _filled(pieces)[-MOST_LINES - 1 :]]
    if not lines or not _SITE.fullmatch(lines[-1].clean):
        return
    for start in range(len(lines) - 2, 0, -1):
        line = lines[start].clean
        if not is_description(line):
            return
        if line[-1] not in '.!?…"”):;,':
            _mark(lines[start:], 'link card', found)
            return


def _images(pieces: list[page.Piece]) -> list[tuple[page.Piece, list[int], bool]]:
    """Each `image`, the lines from it to the next, and whether text stands above it."""
    filled = _filled(pieces)
    images = [i for i in filled if pieces[i].clean == 'image']
    others = sorted(set(filled) - set(images))
    return [
        (
            pieces[image],
            others[bisect.bisect(others, image) : bisect.bisect(others, end)],
            bool(others) and others[0] < image,
        )
        for image, end in itertools.pairwise([*images, len(pieces)])
    ]


def _is_short(lines: list[page.Piece]) -> bool:
    return 0 < len(lines) <= MOST_LINES and all(
        len(piece.text) <= _LONGEST_LINE for piece in lines
    )


def _looks_like_preview(lines: list[page.Piece], *, below_text: bool) -> bool:
    """Whether a line is a section's title, an author or a site.

    Below text, two or more lines also do if the first ends without a full stop.
    """
    texts = [piece.clean for piece in lines]
    return any(map(_PREVIEW_LINE.fullmatch, texts)) or (
        below_text and len(texts) > 1 and texts[0][-1] not in '.!?…"”):;,'
    )


def _mark_titles(pieces: list[page.Piece], found: page.Page, *, alone: bool) -> None:
    """Marks section titles without `image`: first, last or between blank lines.

    Below the last title its section may stand. `alone` allows a text of titles only.
    """
    filled = _filled(pieces)
    titles = {i for i in filled if _SECTION_TITLE.fullmatch(pieces[i].clean)}
    if not titles or (not alone and titles == set(filled)):
        return
    if (
        len(filled) > 1
        and filled[-2] in titles
        and _SECTION.fullmatch(pieces[filled[-1]].clean)
    ):
        _mark([pieces[filled.pop()]], 'link card', found)
    opening = itertools.takewhile(titles.__contains__, filled)
    closing = itertools.takewhile(titles.__contains__, reversed(filled))
    known = set(filled)
    between = [i for i in titles if not {i - 1, i + 1} & known]
    for i in {*opening, *closing, *between}:
        _mark([pieces[i]], 'link card', found)


def _filled(pieces: list[page.Piece]) -> list[int]:
    """The places of text that is still the question's or the answer's."""
    return [i for i, p in enumerate(pieces) if p.kind in _KINDS and p.text.strip()]


def _mark(pieces: list[page.Piece], kind: str, found: page.Page) -> None:
    found.counts[f'chat {kind}s'] += 1
    for piece in pieces:
        piece.kind = kind


def _keep(piece: page.Piece, found: page.Page) -> None:
    found.counts['chat text below images'] += 1
    found.note(piece, 'kept in the text')
