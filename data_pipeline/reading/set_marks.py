"""The old trainer's marks: a set of pairs, and how often it is wanted in training.

    QUESTION: text
    ANSWER: text
    OVERSAMPLE_WEIGHT: 3 <END_OF_SET>        for all pairs since the mark before it

Pairs below the last mark have the weight 1.
"""

import bisect
import collections.abc
import dataclasses
import itertools
import math
import re

from data_pipeline.reading import clean, parsed

MARK = 'trainer mark'
_NAME, _END = 'OVERSAMPLE_WEIGHT', '<END_OF_SET>'
_MARK = re.compile(rf'{_NAME}\s{{0,9}}:\s{{0,9}}[^\s<]{{0,40}}\s{{0,9}}{_END}|{_END}')
_WEIGHT = re.compile(rf'{_NAME} ?: ?([^ <]*) ?(?:{_END})?')


def split(lines: collections.abc.Iterable[parsed.Piece]) -> list[parsed.Piece]:
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


def weigh(result: parsed.Parsed, *, layout: str) -> None:
    """Gives each pair its set's weight, and counts those that have one.

    A mark without its other half, or whose weight is no finite number over 0, is
    reported, and leaves its pairs at 1.
    """
    ends: list[tuple[int, float | None]] = []
    for piece, following in _with_following(result.pieces):
        text = clean.line(piece.text)
        if piece.kind != MARK or text == _END:
            if piece.kind == MARK:
                ends.append((piece.line, None))
            continue
        match = _WEIGHT.fullmatch(text)
        weight = _number(match[1] if match else '')
        ended = text.endswith(_END) or following == _END
        if ended and weight is not None:
            ends.append((piece.line, weight))
            continue
        why = 'its weight is no number over 0' if ended else f'no {_END} follows'
        result.unknown.append((piece.line, piece.text, f'left out, {why}'))
        if text.endswith(_END):
            ends.append((piece.line, None))
    if not ends:
        return
    result.unknown.sort()
    lines = [line for line, _ in ends]
    for i, pair in enumerate(result.pairs):
        # A mark glued above a question shares its line, and is not its own.
        at = bisect.bisect_right(lines, pair.line)
        weight = ends[at][1] if at < len(ends) else None
        if weight is not None:
            result.pairs[i] = dataclasses.replace(pair, weight=weight)
            result.counts[f'{layout} pairs weighted'] += 1


def _with_following(
    pieces: list[parsed.Piece],
) -> collections.abc.Iterator[tuple[parsed.Piece, str]]:
    """Each piece that is not blank, and the text of the next such mark."""
    filled = [piece for piece in pieces if piece.text.strip()]
    for piece, below in itertools.pairwise([*filled, parsed.Piece(0, '', '')]):
        yield piece, clean.line(below.text) if below.kind == MARK else ''


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 and '_' not in text else None
