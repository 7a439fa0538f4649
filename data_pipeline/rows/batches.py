"""A batch, the piece of an input that one worker reads, and the outcome of one."""

import collections
import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from data_pipeline.fields import field_map
from data_pipeline.layouts import source_marks
from data_pipeline.pages import characters
from hax_jax.data import records

Counts = collections.Counter[str]
_LONGEST_SHOWN = 200  # characters of a line that was left out
_LOST = 'texts with characters that were lost before and stand as \ufffd'
# The lines of each kind that a batch keeps to show people; it counts the others.
_MOST = {'unknown': 1_000, 'dropped': 1_000, 'warnings': 20}


@dataclasses.dataclass(frozen=True)
class Batch:
    """A piece of one input, the same for any number of workers; small to pickle.

    A batch of JSON Lines is the bytes [start, end) of the file, whose first line is
    number `line`. A batch of CSV also has its `rows`, with `columns` naming their
    cells. A batch of a named data set has `rows` and no `path`. Any other batch is a
    whole file, with `layout` '' until it is read.

    `ordinal` counts all batches; `first` and `last` are within the input. `stem` is the
    file's name in ids, `source` the source of pairs whose rows name none, '' for the
    layout. `fields` says which of a row's fields make a pair. `problem` says why
    nothing of the input can be read. With `preferences`, a read batch has `answers`.
    `marks` are those of all texts of its input.
    """

    ordinal: int
    name: str
    path: str
    layout: str
    stem: str = ''
    source: str = ''
    first: bool = True
    last: bool = True
    start: int = 0
    end: int = 0
    line: int = 1
    columns: tuple[str, ...] = ()
    rows: tuple[Any, ...] = ()
    fields: field_map.FieldMap | None = None
    problem: str = ''
    preferences: bool = False
    marks: source_marks.Marks | None = None

    @property
    def prefix(self) -> str:
        """The first part of ids: 'pairs:a' for a.jsonl, or a named data set's name."""
        return f'{self.layout}:{self.stem}' if self.path else self.name


ALONE = -1  # the row of an answer that is compared with those of other rows
NO_PAIR = records.QaPair('', '', '', '', 0, '', '', '', '')


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer that is preferred to another one of the same `row`, or is the worse.

    Answers whose `row` is ALONE are compared if their prompts are equal.
    `pair` ends with it. Either the row says which is better (`is_chosen`), or `score`
    (votes) and `time` (seconds since 1970) do, which are None where unknown. `reason`
    says why the reader left the answer out. `is_chat` is for the turns of a chat.
    """

    pair: records.QaPair
    row: int
    score: float | None = None
    time: float | None = None
    is_chosen: bool | None = None
    is_chat: bool = False
    reason: str = ''


@dataclasses.dataclass
class BatchRead:
    """The pairs of one batch, and the account of all that is in it.

    `unknown`, `dropped` and `warnings` are lines for people that name file and line;
    `more` counts the lines that `capped` removed, by kind. `num_pairs`, `sources` and
    `flags` describe the pairs after `without_pairs`. `problem` names the file and says
    why nothing of it could be read. `answers` are for preferences, if they are wanted;
    some are those of `pairs`.
    """

    pairs: list[records.QaPair] = dataclasses.field(default_factory=list)
    counts: Counts = dataclasses.field(default_factory=Counts)
    words: Counts = dataclasses.field(default_factory=Counts)
    unknown: list[str] = dataclasses.field(default_factory=list)
    dropped: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    more: Counts = dataclasses.field(default_factory=Counts)
    num_pairs: int = 0
    sources: Counts = dataclasses.field(default_factory=Counts)
    flags: Counts = dataclasses.field(default_factory=Counts)
    problem: str = ''
    answers: list[Answer] = dataclasses.field(default_factory=list)

    def leave_out(self, at: str, text: str, problem: str) -> None:
        """Reports a line of which nothing was read, `at` file:line, and its words."""
        self.words['in lines left out'] += len(text.split())
        shown = text.strip()
        if len(shown) > _LONGEST_SHOWN:
            shown = f'{shown[:_LONGEST_SHOWN]}… ({len(shown):,} characters)'
        self.unknown.append(f'{at}: {shown} (left out: {problem})')

    def count_changes(self, *raw: str) -> None:
        """Counts the characters of raw texts that cleaning will change, by kind."""
        for text in raw:
            for kind, number in characters.census(text).items():
                self.counts[f'characters: {kind}'] += number

    def capped(self) -> 'BatchRead':
        """The same with the first lines of each kind, and with its pairs counted."""
        kept = {kind: getattr(self, kind)[:most] for kind, most in _MOST.items()}
        lost = sum('\ufffd' in f'{pair.question}{pair.answer}' for pair in self.pairs)
        more = {kind: len(getattr(self, kind)) - len(kept[kind]) for kind in kept}
        return dataclasses.replace(
            self,
            **kept,
            counts=self.counts + Counts({_LOST: lost}),
            more=collections.Counter({kind: n for kind, n in more.items() if n}),
            num_pairs=len(self.pairs),
            sources=collections.Counter(pair.source for pair in self.pairs),
            flags=collections.Counter(f for pair in self.pairs for f in pair.flags),
        )

    def without_pairs(self) -> 'BatchRead':
        """The account alone."""
        return dataclasses.replace(self, pairs=[], answers=[])


def pieces(
    rows: Iterable[Any],
    size: Callable[[Any], int],
    *,
    most: int,
    most_rows: int = sys.maxsize,
) -> Iterator[tuple[Any, ...]]:
    """The rows in pieces: each ends at `most` characters or at `most_rows` rows."""
    held: list[Any] = []
    total = 0
    for row in rows:
        held.append(row)
        total += size(row)
        if total >= most or len(held) == most_rows:
            yield tuple(held)
            held, total = [], 0
    if held:
        yield tuple(held)
