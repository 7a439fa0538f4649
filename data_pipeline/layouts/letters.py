"""Letters to a columnist and the replies, as newspapers print them, to pairs.

    DEAR ABBY: My neighbour sings. -- TIRED IN TEXAS
    DEAR TIRED: Ask him to hum.           or GENTLE READER:

The columnist is the name that most letters begin with. Both salutations are labels; a
signature belongs to its letter.
"""

import collections
import itertools
import re
from collections.abc import Sequence

from data_pipeline.layouts import labelled
from data_pipeline.pages import page

SOURCE = 'letters'
_NAME = r'(?P<name>[^\W\d_][\w .&’\'“”"()-]{0,60}?)'
_CAPITALS = re.compile(
    rf'\s{{0,3}}[*_]{{0,3}}(?:DEAR|(?=GENTLE READER)) ?{_NAME}[*_]{{0,3}}\s?[:,]'
    r'[*_]{0,3} ?'
)
_SMALL = re.compile(rf'\s{{0,3}}[*_]{{0,3}}Dear {_NAME}[*_]{{0,3}}\s?[:,][*_]{{0,3}} ?')


def are_letters(text: str) -> bool:
    """Whether letters to one name, each with a reply to another name, make the text."""
    return bool(_pattern(text.split('\n')))


def parse(text: str, *, file: str) -> page.Page:
    """The pairs of one file of letters; `file` names it in the records."""
    found = page.Page(file)
    pieces = page.raw_lines(text)
    pattern = _pattern([piece.text for piece in pieces]) or _CAPITALS
    columnist = _columnist([piece.text for piece in pieces], pattern)
    ends = _ends(columnist)
    between: list[page.Piece] = []
    letters: list[tuple[list[page.Piece], list[page.Piece]]] = []
    running = between
    kind = page.UNKNOWN
    for piece in pieces:
        match = None if piece.is_code else pattern.match(piece.text)
        name = _folded(match['name']) if match else ''
        parts = [piece]
        if match and (name == columnist or (letters and not letters[-1][1])):
            kind = page.QUESTION if name == columnist else page.ANSWER
            parts = piece.cut([(match.end(), 'label'), (len(piece.text), kind)])
            if kind == page.QUESTION:
                letters.append(([], []))
            running = letters[-1][kind == page.ANSWER]
            running.append(parts[1])
        elif kind == page.ANSWER and (
            (match and name.startswith('reader')) or ends.match(piece.text)
        ):
            # A word to all readers, or of the newspaper: it answers no letter.
            running, kind = between, page.UNKNOWN
            running.append(piece)
        else:
            piece.kind = kind
            running.append(piece)
        found.pieces += parts
    found.leave_out(between)
    for letter, reply in letters:
        labelled.add(letter, reply, topic='', source=SOURCE, found=found)
    found.unknown.sort()
    return found


def _pattern(lines: Sequence[str]) -> re.Pattern[str] | None:
    """The salutation by which a text is letters: in capitals, or else in small ones.

    Small ones open any letter, so the first line below headings must be one.
    """
    for pattern in (_CAPITALS, _SMALL):
        names = [
            _folded(match['name']) for line in lines if (match := pattern.match(line))
        ]
        columnist = _columnist(lines, pattern)
        answered = any(
            name == columnist and other != columnist
            for name, other in itertools.pairwise(names)
        )
        texts = (line for line in lines if not page.HEADING.match(line))
        first = next(filter(str.strip, texts), '')
        if answered and (pattern is _CAPITALS or pattern.match(first)):
            return pattern
    return None


def _columnist(lines: Sequence[str], pattern: re.Pattern[str]) -> str:
    """The commonest name, the first of several; all readers may have one name."""
    names = [_folded(match['name']) for line in lines if (match := pattern.match(line))]
    counts = collections.Counter(names)
    return max(counts, key=lambda name: counts[name]) if counts else ''


def _ends(columnist: str) -> re.Pattern[str]:
    """Lines below a reply: a word to one reader without a letter, the paper's own."""
    name = rf'(?:dear )?{re.escape(columnist)}'
    return re.compile(
        r'\W{0,6}(?:CONFIDENTIAL TO\b|(?i:(?:write|email|contact|send|questions for)'
        rf'.{{0,40}}\b{name}\b.{{0,60}}(?:\bat\b|@|\bto\b)'
        rf'|{name} (?:is|was) (?:written|founded)\b))'
    )


def _folded(name: str) -> str:
    return ' '.join(name.lower().split())
