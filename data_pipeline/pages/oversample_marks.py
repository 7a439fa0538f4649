"""The old trainer's marks: a set of pairs, and its weight in training.

    QUESTION: text
    ANSWER: text
    OVERSAMPLE_WEIGHT: 3 <END_OF_SET>        for all pairs since the mark before it

Pairs below the last mark have the weight 1. In a file that begins with such a mark and
ends with pairs, each mark is for the pairs below it. A weight whose <END_OF_SET> comes
later is for the pairs between the two. <BEGIN_EXAMPLE> and <END OF SET> are marks too.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Iterator

from data_pipeline.pages import page

MARK = 'trainer mark'
_NAME, _END = 'OVERSAMPLE_WEIGHT', '<END_OF_SET>'
_MARK = re.compile(rf'{_NAME}\s{{0,9}}:\s{{0,9}}[^\s<]{{0,40}}\s{{0,9}}{_END}|{_END}')
# A line that begins or ends a set, in other forms that people give it.
_EDGE = re.compile(
    r'</?(?:BEGIN|START|END)[ _-](?:OF[ _-])?(?:SET|EXAMPLE|PAIR|SAMPLE|ENTRY|ITEM)>'
)
_WEIGHT = re.compile(rf'{_NAME} ?: ?([^ <]*) ?(?:{_END})?')


@dataclasses.dataclass(frozen=True)
class _Mark:
    """A weight as it is written, or None; the end of a set; or both."""

    piece: page.Piece
    weight: str | None
    ends: bool

    @property
    def line(self) -> int:
        return self.piece.line


def split(lines: Iterable[page.Piece]) -> list[page.Piece]:
    """The lines, with marks in pieces of their own.

    'Three. OVERSAMPLE_WEIGHT: 3 <END_OF_SET>' -> 'Three. ', and the mark
    """
    pieces: list[page.Piece] = []
    for piece in lines:
        if _EDGE.fullmatch(piece.clean) and not piece.is_code:
            pieces.append(page.Piece(piece.line, piece.text, MARK))
        elif _NAME not in piece.text and _END not in piece.text:
            pieces.append(piece)
        elif _WEIGHT.fullmatch(piece.clean):
            pieces.append(page.Piece(piece.line, piece.text, MARK))
        else:
            ends: list[tuple[int, str]] = []
            for match in _MARK.finditer(piece.text):
                ends += [(match.start(), piece.kind), (match.end(), MARK)]
            ends.append((len(piece.text), piece.kind))
            pieces += [part for part in piece.cut(ends) if part.text]
    return pieces


def weigh(found: page.Page, *, layout: str) -> None:
    """Gives each pair its set's weight, and counts the pairs that have one.

    Reports a mark that has no other half, no pairs, or no finite weight over 0; its
    pairs keep the weight 1.
    """
    marks = _marks(found.pieces)
    if not marks:
        return
    lines = [pair.line for pair in found.pairs]
    weighted = 0
    for start, end, mark in _sets(marks, lines):
        # A mark glued above a question shares its line, and is not for it.
        inside = [i for i, line in enumerate(lines) if start <= line < end]
        weight = _number(mark.weight)
        if weight is None:
            found.note(mark.piece, 'left out, its weight is no number over 0')
        elif end == start:
            found.note(mark.piece, f'left out, no {_END} follows')
        elif not inside:
            found.note(mark.piece, 'left out, no pair belongs to it')
        else:
            for i in inside:
                found.pairs[i] = dataclasses.replace(found.pairs[i], weight=weight)
            weighted += len(inside)
    found.unknown.sort()
    if weighted:
        found.counts[f'{layout} pairs weighted'] += weighted


def _marks(pieces: list[page.Piece]) -> list[_Mark]:
    """The marks in their order; a weight and an end next to each other are one."""
    marks: list[_Mark] = []
    above = None
    for piece in pieces:
        if piece.kind == MARK:
            if match := _WEIGHT.fullmatch(piece.clean):
                marks.append(_Mark(piece, match[1], match[0].endswith(_END)))
            elif marks and above is marks[-1].piece and not marks[-1].ends:
                marks[-1] = dataclasses.replace(marks[-1], ends=True)
            else:
                marks.append(_Mark(piece, None, ends=True))
        if piece.text.strip():
            above = piece
    return marks


def _sets(marks: list[_Mark], pairs: list[int]) -> Iterator[tuple[int, int, _Mark]]:
    """(start, end, mark): each weight's mark, for the pairs in lines [start, end).

    `pairs` are the lines of the pairs; a weight without its end has no lines.
    """
    leads = marks[0].weight is not None and bool(pairs)
    leads = leads and marks[0].line <= pairs[0] and marks[-1].line <= pairs[-1]
    since = 0
    for mark, below in itertools.zip_longest(marks, marks[1:]):
        if mark.weight is not None:
            if not mark.ends:
                closed = below is not None and below.weight is None
                yield mark.line, below.line if closed else mark.line, mark
            elif leads:
                yield mark.line, below.line if below else pairs[-1] + 1, mark
            else:
                yield since, mark.line, mark
        since = mark.line if mark.ends else since


def _number(text: str | None) -> float | None:
    try:
        number = float(text or '')
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 and '_' not in text else None
