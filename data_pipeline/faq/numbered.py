"""Numbered headings of plain text, known by the contents in which they stand too.

    2.1. Who stays?              contents: each heading with its number
    2.2. I cannot come. What
         then?
    …
    2.2. I cannot come. What     the section: the same words, in the same order
    then?

    Say so.

Old FAQs of newsgroups have 'Subject: 2.2. …' in the section. A list in an answer has
numbers too, but no contents.
"""

import dataclasses
import re
from collections.abc import Sequence

from data_pipeline.faq import questions
from data_pipeline.pages import page

_LINE = re.compile(
    r'\s{0,20}(?:(?:Subject:|Chapter|Section|Part|[?*•o+-])\s+)?'
    r'(?P<number>\d{1,3}(?:\.\d{1,3}){0,3})[.:)]?\s+(?:[-–—]\s+)?(?P<text>\S.*?)\s*',
    re.IGNORECASE,
)
_MOST_LINES = 6  # of a heading


@dataclasses.dataclass(frozen=True)
class Heading:
    """A heading: the places of its first line and of the line behind it, its text."""

    start: int
    end: int
    number: tuple[int, ...]
    at: int  # where the text starts in its first line
    text: str


def headings(pieces: Sequence[page.Piece]) -> list[Heading]:
    """The headings of sections that stand in the text's contents too, in their order.

    [] for fewer than three, or if their numbers do not rise.
    """
    seen: dict[tuple[tuple[int, ...], str], list[Heading]] = {}
    for i, piece in enumerate(pieces):
        found = _LINE.fullmatch(piece.text) if not piece.is_code else None
        if found:
            each = _heading(pieces, i, found)
            seen.setdefault((each.number, each.text.casefold()), []).append(each)
    again = [found for found in seen.values() if len(found) > 1]
    first = min((found[-1].start for found in again), default=0)
    made = sorted(
        # What stands twice within the sections is in no contents: 127.0.0.1 localhost.
        (found[-1] for found in again if found[0].start < first),
        key=lambda each: each.start,
    )
    numbers = [each.number for each in made]
    rises = numbers == sorted(numbers) and len({*numbers}) == len(numbers)
    return made if len(made) >= questions.FEWEST and rises else []


def _heading(pieces: Sequence[page.Piece], start: int, found: re.Match[str]) -> Heading:
    """The heading that a line opens, up to a blank line, a rule or another number."""
    end = start + 1
    while end < min(len(pieces), start + _MOST_LINES):
        text = pieces[end].text
        if not text.strip() or page.is_rule(text) or _LINE.fullmatch(text):
            break
        end += 1
    lines = [found['text'], *(piece.text for piece in pieces[start + 1 : end])]
    number = tuple(map(int, found['number'].split('.')))
    text = ' '.join(' '.join(lines).split())
    return Heading(start, end, number, found.start('text'), text)


def joined(pieces: list[page.Piece]) -> list[page.Piece]:
    """The lines, one for each such heading of several lines."""
    made, at = [], 0
    for each in headings(pieces):
        first = pieces[each.start]
        whole = dataclasses.replace(first, text=first.text[: each.at] + each.text)
        made += [*pieces[at : each.start], whole]
        at = each.end
    return [*made, *pieces[at:]]
