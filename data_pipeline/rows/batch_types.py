"""A piece of the input that one worker reads, and what came of it."""

import collections
import dataclasses
import json
import re
from typing import Any

from data_pipeline.pages import clean
from data_pipeline.rows import field_map
from hax_jax.data import records

# Of what is shown to people of one odd line.
_LONGEST_SHOWN = 200
# Of the lines for people that a batch gives, of each kind; the others are counted.
_MOST = {'unknown': 1_000, 'dropped': 1_000, 'warnings': 20}
# Cleaning may change a text that has any other character.
_MAY_CHANGE = re.compile("[^\t\n\r -%'-~\u00c0-\u024f\u2010-\u2027]")


@dataclasses.dataclass(frozen=True)
class Batch:
    """A piece of one input, the same whatever the number of workers; small to pickle.

    A batch of JSON Lines is the bytes [start, end) of the file, whose first line is
    number `line`; one of CSV has its `rows` too, and one of a named data set only them,
    as it has no `path`; any other is the whole file, in a `layout` that is '' until it
    is read. `ordinal` counts all batches, `first` and `last` are within the input.
    `stem` is the file's name in ids, `source` that of pairs whose rows name none, ''
    for the layout. `columns` names the cells of CSV rows; `fields` says which of a
    row's fields make a pair.
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

    @property
    def prefix(self) -> str:
        """What ids begin with: 'pairs:a' of a.jsonl, a named data set's own name."""
        return f'{self.layout}:{self.stem}' if self.path else self.name


@dataclasses.dataclass
class BatchRead:
    """What came of one batch: its pairs and the account of all that is in it.

    `unknown`, `dropped` and `warnings` are lines for people that name file and line;
    `more` counts those that `capped` left out, by kind. Without its pairs, `num_pairs`,
    `sources` and `flags` still tell of them.
    """

    pairs: list[records.QaPair] = dataclasses.field(default_factory=list)
    counts: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    words: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    unknown: list[str] = dataclasses.field(default_factory=list)
    dropped: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    more: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    num_pairs: int = 0
    sources: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    flags: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )

    def capped(self) -> 'BatchRead':
        """The same with the first lines of each kind, and with its pairs counted."""
        kept = {kind: getattr(self, kind)[:most] for kind, most in _MOST.items()}
        more = {kind: len(getattr(self, kind)) - len(kept[kind]) for kind in kept}
        return dataclasses.replace(
            self,
            **kept,
            more=collections.Counter({kind: n for kind, n in more.items() if n}),
            num_pairs=len(self.pairs),
            sources=collections.Counter(pair.source for pair in self.pairs),
            flags=collections.Counter(f for pair in self.pairs for f in pair.flags),
        )

    def without_pairs(self) -> 'BatchRead':
        """The account alone."""
        return dataclasses.replace(self, pairs=[])

    def to_json(self) -> str:
        """All of it as one line of JSON, in ASCII."""
        pairs = [dataclasses.asdict(pair) for pair in self.pairs]
        return json.dumps({**vars(self), 'pairs': pairs}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> 'BatchRead':
        """What `to_json` was called on."""
        values = json.loads(text)
        pairs = [
            records.QaPair(**{**pair, 'flags': tuple(pair['flags'])})
            for pair in values.pop('pairs')
        ]
        for name in ('counts', 'words', 'more', 'sources', 'flags'):
            values[name] = collections.Counter(values[name])
        return cls(pairs=pairs, **values)


def shown(text: str) -> str:
    """An odd line as it is shown: stripped, cut where it is long."""
    text = text.strip()
    if len(text) <= _LONGEST_SHOWN:
        return text
    return f'{text[:_LONGEST_SHOWN]}… ({len(text):,} characters)'


def count_changes(result: BatchRead, *raw: str) -> None:
    """Counts what cleaning will change of the characters of raw texts."""
    for text in filter(_MAY_CHANGE.search, raw):
        for kind, number in clean.census(text).items():
            result.counts[f'characters: {kind}'] += number
