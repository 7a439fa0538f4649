"""What a parser makes of one file: pairs, and an account of every piece of its text."""

import collections
import dataclasses
from collections.abc import Iterable

from hax_jax.data import records

# The kinds of text that stand in a pair; every other kind is left out, and counted.
QUESTION, ANSWER = 'question', 'answer'
# What such text becomes where its post makes no pair.
WITHOUT_PAIR = {
    QUESTION: 'question without pair',
    ANSWER: 'answer without pair',
}
UNKNOWN = 'unknown'


@dataclasses.dataclass
class Piece:
    """A line of the file, or a part of one, and what it was taken for."""

    line: int
    text: str
    kind: str


@dataclasses.dataclass
class Parsed:
    """The outcome of one file.

    `pieces` is the whole file in its order: nothing of it is in no piece, and the words
    of the pairs are those of the pieces of kind question and answer.
    `unknown` holds (line, text, where the text went) for what no rule explains,
    `dropped` (line, name, kind) for each post that made no pair.
    """

    pieces: list[Piece]
    pairs: list[records.QaPair] = dataclasses.field(default_factory=list)
    counts: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    unknown: list[tuple[int, str, str]] = dataclasses.field(default_factory=list)
    dropped: list[tuple[int, str, str]] = dataclasses.field(default_factory=list)


def raw_lines(text: str) -> list[Piece]:
    """The lines of a file as pieces of no known kind, numbered from 1."""
    lines = text.replace('\r\n', '\n').replace('\r', '\n').split('\n')
    return [Piece(i, line, UNKNOWN) for i, line in enumerate(lines, start=1)]


def join(pieces: Iterable[Piece], kind: str) -> str:
    """The raw text of the pieces of one kind, a line each."""
    return '\n'.join(piece.text for piece in pieces if piece.kind == kind)


def leave_without_pair(pieces: Iterable[Piece]) -> None:
    """Says of a post's questions and answers that they stand in no pair."""
    for piece in pieces:
        piece.kind = WITHOUT_PAIR.get(piece.kind, piece.kind)


def words(pieces: Iterable[Piece]) -> collections.Counter[str]:
    """How many words (runs without blanks) each kind holds."""
    counts: collections.Counter[str] = collections.Counter()
    for piece in pieces:
        counts[piece.kind] += len(piece.text.split())
    return counts


def content_hash(question: str, answer: str) -> str:
    """Twelve hex digits that depend on the two texts alone."""
    return records.sha256([question, answer])[:12]
