"""How many pairs each stage took, changed and dropped, why, and examples of each.

Ledgers of parts, made by any process and merged, equal the ledger of the whole.
"""

import bisect
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from data_pipeline.pair_stages import stages
from hax_jax.data import records

NUM_EXAMPLES = 5
KINDS = ('dropped', 'changed', 'noted')
EXCERPT = 160  # characters of a text that an example shows
_AROUND = 40  # characters shown on either side of a change


@dataclasses.dataclass
class Reason:
    """The number of pairs and of times, and the examples with the lowest keys.

    An example is (key, fields), its fields sorted by name. The key is a hash of stage,
    reason and pair, so the choice does not depend on the order of the pairs.
    """

    pairs: int = 0
    times: int = 0
    examples: list[tuple[str, dict[str, str]]] = dataclasses.field(default_factory=list)

    def add(self, key: str, times: int, example: Callable[[], dict[str, str]]) -> None:
        self.pairs += 1
        self.times += times
        if len(self.examples) < NUM_EXAMPLES or key <= self.examples[-1][0]:
            self._insert((key, dict(sorted(example().items()))))

    def merge(self, other: 'Reason') -> None:
        self.pairs += other.pairs
        self.times += other.times
        for each in other.examples:
            self._insert(each)

    def _insert(self, each: tuple[str, dict[str, str]]) -> None:
        bisect.insort(self.examples, each, key=records.canonical_json)
        del self.examples[NUM_EXAMPLES:]


@dataclasses.dataclass
class StageCounts:
    """The counts of one stage; `reasons` by kind, then by name."""

    num_in: int = 0
    num_out: int = 0
    num_changed: int = 0
    reasons: dict[str, dict[str, Reason]] = dataclasses.field(
        default_factory=lambda: {kind: {} for kind in KINDS}
    )


@dataclasses.dataclass
class Ledger:
    """The counts of each stage by its name, in the order of the stages."""

    by_stage: dict[str, StageCounts] = dataclasses.field(default_factory=dict)

    def open(self, stage: str) -> StageCounts:
        """The counts of a stage, which is listed even if no pair reaches it."""
        return self.by_stage.setdefault(stage, StageCounts())

    def run(
        self, pairs: Sequence[records.QaPair], sequence: Sequence[stages.Stage]
    ) -> list[tuple[records.QaPair, str]]:
        """For each pair, it after every stage and '', or the reason for dropping it.

        A dropped pair is given as it came into its last stage: (pair, 'STAGE: REASON').
        """
        results = [(pair, '') for pair in pairs]
        places = list(range(len(results)))  # of the pairs that are still here
        for stage in sequence:
            taken = [results[i][0] for i in places]
            staying = []
            for i, pair, outcome in zip(
                places, taken, stage.outcomes(taken), strict=True
            ):
                self.record(stage.name, pair, outcome)
                if isinstance(outcome, stages.Dropped):
                    results[i] = pair, f'{stage.name}: {outcome.reason}'
                else:
                    results[i] = outcome.pair, ''
                    staying.append(i)
            places = staying
        return results

    def record(self, stage: str, pair: records.QaPair, outcome: stages.Outcome) -> None:
        """Counts the outcome of a stage for `pair`, given as it entered the stage."""
        counts = self.open(stage)
        counts.num_in += 1
        if isinstance(outcome, stages.Kept) and not (outcome.changes or outcome.notes):
            counts.num_out += 1
            return
        found: list[tuple[str, str, int, Any]] = []
        if isinstance(outcome, stages.Dropped):
            found.append(('dropped', outcome.reason, 1, outcome))
        else:
            counts.num_out += 1
            counts.num_changed += bool(outcome.changes)
            by_name: dict[str, list[stages.Change]] = {}
            for change in outcome.changes:
                by_name.setdefault(change.name, []).append(change)
            for name, changes in by_name.items():
                times = sum(change.times for change in changes)
                found.append(('changed', name, times, changes[0]))
            found += [('noted', note.name, 1, note) for note in outcome.notes]
        for kind, name, times, what in found:
            salted = f'{stage}\n{kind}\n{name}\n{pair.id}\n{pair.file}\n{pair.line}'
            key = hashlib.blake2b(
                salted.encode('utf-8', 'surrogatepass'), digest_size=8
            ).hexdigest()
            reason = counts.reasons[kind].setdefault(name, Reason())
            reason.add(key, times, functools.partial(_example, pair, what))

    def passed(self, stage: str, pairs: int) -> None:
        """Counts pairs that a stage kept unchanged, without looking at them."""
        counts = self.open(stage)
        counts.num_in += pairs
        counts.num_out += pairs

    def merge(self, other: 'Ledger') -> None:
        """Adds the counts and examples of another part of the same build."""
        for stage, theirs in other.by_stage.items():
            mine = self.open(stage)
            mine.num_in += theirs.num_in
            mine.num_out += theirs.num_out
            mine.num_changed += theirs.num_changed
            for kind, reasons in theirs.reasons.items():
                for name, reason in reasons.items():
                    mine.reasons[kind].setdefault(name, Reason()).merge(reason)

    def as_json(self) -> list[dict[str, Any]]:
        """A dictionary for each stage, in their order, of JSON's types.

        Raises:
          ValueError: a stage does not add up, which is a defect of this program.
        """
        return [_stage_json(name, counts) for name, counts in self.by_stage.items()]


def _stage_json(name: str, counts: StageCounts) -> dict[str, Any]:
    num_dropped = sum(reason.pairs for reason in counts.reasons['dropped'].values())
    if counts.num_in != counts.num_out + num_dropped:
        raise ValueError(
            f'{counts.num_in} pairs came into {name!r}, {counts.num_out} came out and '
            f'{num_dropped} were dropped.'
        )
    values = {
        'stage': name,
        'in': counts.num_in,
        'out': counts.num_out,
        'changed_pairs': counts.num_changed,
    }
    for kind in KINDS:
        values[kind] = {
            reason: {
                'pairs': found.pairs,
                'times': found.times,
                'examples': [fields for _, fields in found.examples],
            }
            for reason, found in sorted(counts.reasons[kind].items())
        }
    return values


def _example(
    pair: records.QaPair, what: stages.Dropped | stages.Change | stages.Note
) -> dict[str, str]:
    if isinstance(what, stages.Change):
        before, after = difference(what.before, what.after)
        return {'id': pair.id, 'field': what.field, 'before': before, 'after': after}
    if isinstance(what, stages.Note):
        return {'id': pair.id, 'text': _excerpt(what.text)}
    return {
        'id': pair.id,
        'detail': _excerpt(what.detail),
        'question': _excerpt(pair.question),
        'answer': _excerpt(pair.answer),
    }


def _excerpt(text: str) -> str:
    return text if len(text) <= EXCERPT else text[:EXCERPT] + '…'


def difference(before: str, after: str) -> tuple[str, str]:
    """The differing part of two texts, with a little of the text around it.

    Shows ('I *do* care', 'I do care') whole; of long texts, the parts that differ.
    """
    head = same_start(before, after)
    tail = same_start(before[head:][::-1], after[head:][::-1])
    start = max(0, head - _AROUND)

    def shown(text: str) -> str:
        stop = min(len(text) - tail + _AROUND, len(text), start + 2 * EXCERPT)
        return '…' * (start > 0) + text[start:stop] + '…' * (stop < len(text))

    return shown(before), shown(after)


def same_start(one: Sequence[str], other: Sequence[str]) -> int:
    """The number of characters, or of words, that both begin with."""
    least, most = 0, min(len(one), len(other))
    while least < most:  # the first `least` are equal, no more than `most` can be
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least
