"""The old trainer's marks: a set of pairs, and how often it is wanted in training.

    QUESTION: text
    ANSWER: text
    OVERSAMPLE_WEIGHT: 3 <END_OF_SET>        for all pairs since the mark before it

Pairs below the last mark have the weight 1. In a file that begins with such a mark and
ends with pairs each mark is for those below it; a weight whose <END_OF_SET> comes later
is for what stands between the two.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Iterator

from data_pipeline.pages import clean, parsed

MARK = 'trainer mark'
_NAME, _END = 'OVERSAMPLE_WEIGHT', '<END_OF_SET>'
_MARK = re.compile(rf'{_NAME}\s{{0,9}}:\s{{0,9}}[^\s<]{{0,40}}\s{{0,9}}{_END}|{_END}')
_WEIGHT = re.compile(rf'{_NAME} ?: ?([^ <]*) ?(?:{_END})?')


def split(lines: Iterable[parsed.Piece]) -> list[parsed.Piece]:
    """The lines, with marks in pieces of their own.

    'Three. OVERSAMPLE_WEIGHT: 3 <END_OF_SET>' -> 'Three. ', and the mark
    """
    pieces: list[parsed.Piece] = []
    for piece in lines:
        if _NAME not in piece.text and _END not in piece.text:
            pieces.append(piece)
        elif _WEIGHT.fullmatch(clean.line(piece.text)):
            pieces.append(parsed.Piece(piece.line, piece.text, MARK))
        else:
            pieces += _parts(piece)
    return pieces


def _parts(piece: parsed.Piece) -> list[parsed.Piece]:
    parts, at = [], 0
    for match in _MARK.finditer(piece.text):
        if before := piece.text[at : match.start()]:
            parts.append(parsed.Piece(piece.line, before, piece.kind))
        parts.append(parsed.Piece(piece.line, match[0], MARK))
        at = match.end()
    if rest := piece.text[at:]:
        parts.append(parsed.Piece(piece.line, rest, piece.kind))
    return parts


@dataclasses.dataclass(frozen=True)
class _Mark:
    """A weight (None where it is no number over 0), the end of a set, or both."""

    piece: parsed.Piece
    has_weight: bool
    weight: float | None
    ends: bool

    @property
    def line(self) -> int:
        return self.piece.line


def weigh(result: parsed.Parsed, *, layout: str) -> None:
    """Gives each pair its set's weight, and counts those that have one.

    A mark without its other half, without pairs, or whose weight is no finite number
    over 0, is reported, and leaves its pairs at 1.
    """
    marks = _marks(result.pieces)
    if not marks:
        return
    lines = [pair.line for pair in result.pairs]
    weighted = 0
    for (start, end), mark in _sets(marks, lines):
        # A mark glued above a question shares its line, and is not its own.
        inside = [i for i, line in enumerate(lines) if start <= line < end]
        why = '' if inside else 'no pair is of it'
        if end == start:
            why = f'no {_END} follows'
        if mark.weight is None:
            why = 'its weight is no number over 0'
        if why or mark.weight is None:
            where = (mark.line, mark.piece.text, f'left out, {why}')
            result.unknown.append(where)
            continue
        for i in inside:
            result.pairs[i] = dataclasses.replace(result.pairs[i], weight=mark.weight)
        weighted += len(inside)
    result.unknown.sort()
    if weighted:
        result.counts[f'{layout} pairs weighted'] += weighted


def _marks(pieces: list[parsed.Piece]) -> list[_Mark]:
    """The marks in their order; of two that stand together, weight and end, one."""
    marks: list[_Mark] = []
    filled = [piece for piece in pieces if piece.text.strip()]
    for above, piece in itertools.pairwise([parsed.Piece(0, '', ''), *filled]):
        if piece.kind != MARK:
            continue
        text = clean.line(piece.text)
        match = _WEIGHT.fullmatch(text)
        if match:
            marks.append(_Mark(piece, True, _number(match[1]), text.endswith(_END)))
        elif marks and above is marks[-1].piece and not marks[-1].ends:
            marks[-1] = dataclasses.replace(marks[-1], ends=True)
        else:
            marks.append(_Mark(piece, False, None, True))
    return marks


def _sets(
    marks: list[_Mark], pairs: list[int]
) -> Iterator[tuple[tuple[int, int], _Mark]]:
    """(lines [start, end) of the pairs that each weight is for, its mark).

    `pairs` are the lines of the pairs; a weight without its end has no lines.
    """
    lead = bool(pairs) and marks[0].line <= pairs[0] and marks[-1].line <= pairs[-1]
    lead = lead and marks[0].has_weight
    since = 0
    for mark, below in itertools.zip_longest(marks, marks[1:]):
        if not mark.has_weight:
            pass
        elif not mark.ends:
            closed = below is not None and not below.has_weight
            yield (mark.line, below.line if closed else mark.line), mark
        elif lead:
            yield (mark.line, below.line if below else pairs[-1] + 1), mark
        else:
            yield (since, mark.line), mark
        since = mark.line if mark.ends else since


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 and '_' not in text else None
