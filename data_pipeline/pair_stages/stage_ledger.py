"""How many pairs each stage took, changed and dropped, why, and examples of each.

Ledgers of parts, made anywhere and merged, equal the ledger of the whole.
"""

import bisect
import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

from data_pipeline.pair_stages import outcomes
from hax_jax.data import records

NUM_EXAMPLES = 5


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

    def record(
        self, stage: str, pair: records.QaPair, outcome: outcomes.Outcome
    ) -> None:
        """Counts what became of `pair`, given as it came into the stage."""
        self.open(stage)
        counts = self._stages[stage]
        counts.num_in += 1
        if isinstance(outcome, outcomes.Dropped):
            reason = counts.dropped.setdefault(outcome.reason, _Reason())
            reason.add(
                f'{stage}\ndropped\n{outcome.reason}', pair, 1, _drop_example, outcome
            )
            return
        counts.num_out += 1
        counts.num_changed += bool(outcome.changes)
        by_name: dict[str, list[outcomes.Change]] = {}
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

    def passed(self, stage: str, pairs: int) -> None:
        """Counts pairs that a stage gave as they were, without looking at them."""
        self.open(stage)
        counts = self._stages[stage]
        counts.num_in += pairs
        counts.num_out += pairs

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

    def as_json(self, *, keys: bool = False) -> list[dict[str, Any]]:
        """A dictionary a stage, in their order, of JSON's types.

        With `keys`, examples have the keys that merging needs.

        Raises:
          ValueError: a stage does not add up, which is a defect of ours.
        """
        return [
            counts.as_json(name, keys=keys) for name, counts in self._stages.items()
        ]

    @classmethod
    def from_json(cls, stages: list[dict[str, Any]]) -> 'Ledger':
        """The ledger that wrote itself with `as_json(keys=True)`."""
        ledger = cls()
        for row in stages:
            ledger.open(row['stage'])
            counts = ledger._stages[row['stage']]
            counts.num_in, counts.num_out = row['in'], row['out']
            counts.num_changed = row['changed_pairs']
            for kind in ('dropped', 'changed', 'noted'):
                for name, values in row[kind].items():
                    getattr(counts, kind)[name] = _Reason.from_json(values)
        return ledger

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
        describe: Callable[[records.QaPair, Any], dict[str, str]],
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

    def as_json(self, *, keys: bool) -> dict[str, Any]:
        # In one order of names, whichever way the example came here.
        examples = [dict(sorted(example.items())) for _, _, example in self.examples]
        values = {'pairs': self.pairs, 'times': self.times, 'examples': examples}
        return (
            {**values, 'keys': [key for key, _, _ in self.examples]} if keys else values
        )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> '_Reason':
        reason = cls()
        reason.pairs, reason.times = values['pairs'], values['times']
        reason.examples = [
            (key, records.canonical_json(example), example)
            for key, example in zip(values['keys'], values['examples'], strict=True)
        ]
        return reason


@dataclasses.dataclass
class _StageCounts:
    num_in: int = 0
    num_out: int = 0
    num_changed: int = 0
    dropped: dict[str, _Reason] = dataclasses.field(default_factory=dict)
    changed: dict[str, _Reason] = dataclasses.field(default_factory=dict)
    noted: dict[str, _Reason] = dataclasses.field(default_factory=dict)

    def as_json(self, name: str, *, keys: bool) -> dict[str, Any]:
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
            'dropped': _sorted(self.dropped, keys=keys),
            'changed': _sorted(self.changed, keys=keys),
            'noted': _sorted(self.noted, keys=keys),
        }


def _sorted(reasons: dict[str, _Reason], *, keys: bool) -> dict[str, Any]:
    return {name: reasons[name].as_json(keys=keys) for name in sorted(reasons)}


def _drop_example(pair: records.QaPair, dropped: outcomes.Dropped) -> dict[str, str]:
    return {
        'id': pair.id,
        'detail': outcomes.excerpt(dropped.detail),
        'question': outcomes.excerpt(pair.question),
        'answer': outcomes.excerpt(pair.answer),
    }


def _change_example(pair: records.QaPair, change: outcomes.Change) -> dict[str, str]:
    before, after = outcomes.difference(change.before, change.after)
    return {'id': pair.id, 'field': change.field, 'before': before, 'after': after}


def _note_example(pair: records.QaPair, note: outcomes.Note) -> dict[str, str]:
    return {'id': pair.id, 'text': outcomes.excerpt(note.text)}
