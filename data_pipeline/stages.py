"""Runs pairs through named stages and counts what became of each.

    ledger = stages.Ledger()
    kept = list(stages.run(pairs, [clean_stage, quality_stage], ledger))
    ledger.as_json()   # in, out, dropped and changed by reason, with examples

A stage is a pure function of one pair: what becomes of a pair does not depend on those
before it. So ledgers of parts, made anywhere and merged, equal the ledger of the whole.
"""

import bisect
import collections.abc
import dataclasses
import hashlib
from typing import Any

from hax_jax import records

NUM_EXAMPLES = 5
_EXCERPT = 160  # characters of a text that an example shows
_AROUND = 40  # characters shown on either side of a change


@dataclasses.dataclass(frozen=True)
class Change:
    """One thing that a stage did to one field of a pair, `times` times."""

    name: str
    field: str
    before: str
    after: str
    times: int = 1


@dataclasses.dataclass(frozen=True)
class Note:
    """Something to know of a pair that goes on as it is."""

    name: str
    text: str


@dataclasses.dataclass(frozen=True)
class Kept:
    """A pair that goes on, with all that was done to it."""

    pair: records.QaPair
    changes: tuple[Change, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclasses.dataclass(frozen=True)
class Dropped:
    """Why a pair goes no further; `detail` is what its example says of it."""

    reason: str
    detail: str = ''


Outcome = Kept | Dropped


@dataclasses.dataclass(frozen=True)
class Stage:
    """A step of the preparation and its name in the ledger."""

    name: str
    apply: collections.abc.Callable[[records.QaPair], Outcome]


@dataclasses.dataclass(frozen=True)
class TextRule:
    """A pure function of a text: the new text, and how often it was changed."""

    name: str
    apply: collections.abc.Callable[[str], tuple[str, int]]


def run(
    pairs: collections.abc.Iterable[records.QaPair],
    sequence: collections.abc.Sequence[Stage],
    ledger: 'Ledger',
    *,
    on_drop: collections.abc.Callable[[records.QaPair, Dropped], None] | None = None,
) -> collections.abc.Iterator[records.QaPair]:
    """The pairs that pass every stage, in their order, one at a time.

    `on_drop` is told of each pair, as it came in, that does not.
    """
    for stage in sequence:
        ledger.open(stage.name)
    for first in pairs:
        pair = first
        for stage in sequence:
            outcome = stage.apply(pair)
            ledger.record(stage.name, pair, outcome)
            if isinstance(outcome, Dropped):
                if on_drop is not None:
                    on_drop(first, outcome)
                break
            pair = outcome.pair
        else:
            yield pair


def rewrite(
    pair: records.QaPair,
    rules: collections.abc.Sequence[TextRule],
    *,
    fields: collections.abc.Sequence[str] = ('topic', 'question', 'answer'),
) -> Outcome:
    """The pair with each rule applied to each field, in the order of the rules.

    A pair whose question or answer is emptied by them is dropped.
    """
    changes = []
    texts = {}
    for field in fields:
        value = getattr(pair, field)
        for rule in rules:
            after, times = rule.apply(value)
            if after != value:
                changes.append(Change(rule.name, field, value, after, times))
            value = after
        if field != 'topic' and not value.strip():
            return Dropped(f'nothing is left of the {field}', getattr(pair, field))
        texts[field] = value
    if not changes:
        return Kept(pair)
    return Kept(dataclasses.replace(pair, **texts), tuple(changes))


class Ledger:
    """The counts of each stage, and a few examples of each reason.

    Which examples are kept follows from the pairs alone, not from their order: those
    whose hash of (stage, reason, pair) is lowest.
    """

    def __init__(self) -> None:
        self._stages: dict[str, _StageCounts] = {}

    def open(self, stage: str) -> None:
        """Lists a stage in this place, even if nothing will reach it."""
        self._stages.setdefault(stage, _StageCounts())

    def record(self, stage: str, pair: records.QaPair, outcome: Outcome) -> None:
        """Counts what became of `pair`, given as it came into the stage."""
        self.open(stage)
        counts = self._stages[stage]
        counts.num_in += 1
        if isinstance(outcome, Dropped):
            reason = counts.dropped.setdefault(outcome.reason, _Reason())
            reason.add(
                f'{stage}\ndropped\n{outcome.reason}', pair, 1, _drop_example, outcome
            )
            return
        counts.num_out += 1
        counts.num_changed += bool(outcome.changes)
        by_name: dict[str, list[Change]] = {}
        for change in outcome.changes:
            by_name.setdefault(change.name, []).append(change)
        for name, changes in by_name.items():
            reason = counts.changed.setdefault(name, _Reason())
            times = sum(change.times for change in changes)
            reason.add(
                f'{stage}\nchanged\n{name}', pair, times, _change_example, changes[0]
            )
        for note in outcome.notes:
            reason = counts.noted.setdefault(note.name, _Reason())
            reason.add(f'{stage}\nnoted\n{note.name}', pair, 1, _note_example, note)

    def merge(self, other: 'Ledger') -> None:
        """Adds the counts and examples of another part of the same run."""
        for name, theirs in other._stages.items():
            self.open(name)
            mine = self._stages[name]
            mine.num_in += theirs.num_in
            mine.num_out += theirs.num_out
            mine.num_changed += theirs.num_changed
            for kind in ('dropped', 'changed', 'noted'):
                reasons = getattr(mine, kind)
                for reason, counts in getattr(theirs, kind).items():
                    reasons.setdefault(reason, _Reason()).merge(counts)

    def as_json(self) -> list[dict[str, Any]]:
        """A dictionary a stage, in their order, of JSON's types.

        Raises:
          ValueError: a stage does not add up, which is a defect of ours.
        """
        return [counts.as_json(name) for name, counts in self._stages.items()]

    def summary(self) -> str:
        """A line a stage, and one below it for each reason, for people."""
        lines = []
        for row in self.as_json():
            gone = row['in'] - row['out']
            lines.append(
                f'{row["stage"]}: {row["in"]:,} in, {row["out"]:,} out'
                f' ({row["changed_pairs"]:,} changed, {gone:,} dropped)'
            )
            for kind in ('dropped', 'changed', 'noted'):
                for reason, found in row[kind].items():
                    often = ''
                    if found['times'] != found['pairs']:
                        often = f' ({found["times"]:,} times)'
                    lines.append(f'  {found["pairs"]:>8,} {kind}: {reason}{often}')
        return '\n'.join(lines)


class _Reason:
    """How many pairs, how many times, and the examples with the lowest keys."""

    def __init__(self) -> None:
        self.pairs = 0
        self.times = 0
        self.examples: list[tuple[str, str, dict[str, str]]] = []

    def add(
        self,
        salt: str,
        pair: records.QaPair,
        times: int,
        describe: collections.abc.Callable[[records.QaPair, Any], dict[str, str]],
        what: Any,
    ) -> None:
        self.pairs += 1
        self.times += times
        name = f'{salt}\n{pair.id}\n{pair.file}\n{pair.line}'
        key = hashlib.blake2b(
            name.encode('utf-8', 'surrogatepass'), digest_size=8
        ).hexdigest()
        full = len(self.examples) == NUM_EXAMPLES
        if full and key > self.examples[-1][0]:
            return
        example = describe(pair, what)
        self._insert((key, records.canonical_json(example), example))

    def merge(self, other: '_Reason') -> None:
        self.pairs += other.pairs
        self.times += other.times
        for entry in other.examples:
            self._insert(entry)

    def _insert(self, entry: tuple[str, str, dict[str, str]]) -> None:
        bisect.insort(self.examples, entry, key=lambda each: each[:2])
        del self.examples[NUM_EXAMPLES:]

    def as_json(self) -> dict[str, Any]:
        examples = [example for _, _, example in self.examples]
        return {'pairs': self.pairs, 'times': self.times, 'examples': examples}


@dataclasses.dataclass
class _StageCounts:
    num_in: int = 0
    num_out: int = 0
    num_changed: int = 0
    dropped: dict[str, _Reason] = dataclasses.field(default_factory=dict)
    changed: dict[str, _Reason] = dataclasses.field(default_factory=dict)
    noted: dict[str, _Reason] = dataclasses.field(default_factory=dict)

    def as_json(self, name: str) -> dict[str, Any]:
        num_dropped = sum(reason.pairs for reason in self.dropped.values())
        if self.num_in != self.num_out + num_dropped:
            raise ValueError(
                f'{self.num_in} pairs came into {name!r}, {self.num_out} came out and '
                f'{num_dropped} were dropped.'
            )
        return {
            'stage': name,
            'in': self.num_in,
            'out': self.num_out,
            'changed_pairs': self.num_changed,
            'dropped': _sorted(self.dropped),
            'changed': _sorted(self.changed),
            'noted': _sorted(self.noted),
        }


def _sorted(reasons: dict[str, _Reason]) -> dict[str, Any]:
    return {name: reasons[name].as_json() for name in sorted(reasons)}


def _drop_example(pair: records.QaPair, dropped: Dropped) -> dict[str, str]:
    return {
        'id': pair.id,
        'detail': excerpt(dropped.detail),
        'question': excerpt(pair.question),
        'answer': excerpt(pair.answer),
    }


def _change_example(pair: records.QaPair, change: Change) -> dict[str, str]:
    before, after = difference(change.before, change.after)
    return {'id': pair.id, 'field': change.field, 'before': before, 'after': after}


def _note_example(pair: records.QaPair, note: Note) -> dict[str, str]:
    return {'id': pair.id, 'text': excerpt(note.text)}


def excerpt(text: str) -> str:
    """The text's beginning, marked where it goes on."""
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + '…'


def difference(before: str, after: str) -> tuple[str, str]:
    """What differs in two texts, with a little of what stands around it.

    ('I *do* care', 'I do care') are shown whole; of long texts, the places that differ.
    """
    head = _shared(before, after)
    tail = _shared(before[head:][::-1], after[head:][::-1])
    start = max(0, head - _AROUND)

    def shown(text: str) -> str:
        stop = min(len(text), len(text) - tail + _AROUND)
        lead, trail = '…' * (start > 0), ''
        if stop - start > 2 * _EXCERPT:
            stop, trail = start + 2 * _EXCERPT, '…'
        return lead + text[start:stop] + (trail or '…' * (stop < len(text)))

    return shown(before), shown(after)


def _shared(one: str, other: str) -> int:
    """How many characters the two texts begin with in common."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
