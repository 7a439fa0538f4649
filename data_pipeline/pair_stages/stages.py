"""The type of a stage, and the decisions that it may take about a pair.

A stage is a pure function of one pair: no decision depends on the pairs before it.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

from hax_jax.data import records

FIELDS = ('topic', 'question', 'answer')


@dataclasses.dataclass(frozen=True)
class Change:
    """A change of one field of a pair by one rule, which applied `times` times."""

    name: str
    field: str
    before: str
    after: str
    times: int = 1


@dataclasses.dataclass(frozen=True)
class Note:
    """A remark about a pair that stays as it is."""

    name: str
    text: str


@dataclasses.dataclass(frozen=True)
class Kept:
    """A pair that stays, with all changes and remarks."""

    pair: records.QaPair
    changes: tuple[Change, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclasses.dataclass(frozen=True)
class Dropped:
    """The reason for dropping a pair; its example in the ledger shows `detail`."""

    reason: str
    detail: str = ''


Outcome = Kept | Dropped


@dataclasses.dataclass(frozen=True)
class Stage:
    """A step of the preparation and its name in the ledger.

    `apply_all`, for a stage that is faster over many pairs, gives what `apply` gives
    for each of them.
    """

    name: str
    apply: Callable[[records.QaPair], Outcome]
    apply_all: Callable[[Sequence[records.QaPair]], list[Outcome]] | None = None

    def outcomes(self, pairs: Sequence[records.QaPair]) -> list[Outcome]:
        """The outcome of each pair, in their order."""
        if self.apply_all is not None:
            return self.apply_all(pairs)
        return [self.apply(pair) for pair in pairs]


@dataclasses.dataclass(frozen=True, eq=False)  # so that its hash is quick
class TextRule:
    """A pure function from a text to the new text and the number of changes.

    `fields` are those of a pair that it is for.
    """

    name: str
    apply: Callable[[str], tuple[str, int]]
    fields: tuple[str, ...] = FIELDS


def rewrite(pair: records.QaPair, rules: Sequence[TextRule]) -> Outcome:
    """The pair after each rule, in their order, on the fields that it is for.

    Drops a pair whose question or answer is then empty, and cuts a conversation there,
    as `cut` does.
    """
    changes: list[Change] = []

    def rewritten(field: str, text: str) -> str:
        own = tuple(rule for rule in rules if field in rule.fields)
        after, changed = _rewritten(text, own)
        for name, *how in changed:
            changes.append(Change(name, field, *how))
        return after

    topic = rewritten('topic', pair.topic)
    if changes:
        pair = dataclasses.replace(pair, topic=topic)
    turns: list[records.Exchange] = []
    for turn in pair.exchanges:
        texts = {}
        for field in FIELDS[1:]:
            before = getattr(turn, field)
            texts[field] = rewritten(field, before)
            if not texts[field].strip():
                reason = Dropped(f'nothing is left of the {field}', before)
                return cut(pair, turns, reason, tuple(changes))
        turns.append(dataclasses.replace(turn, **texts) if changes else turn)
    if not changes:
        return Kept(pair)
    return Kept(pair.with_exchanges(turns), tuple(changes))


def cut(
    pair: records.QaPair,
    turns: Sequence[records.Exchange],
    reason: Dropped,
    changes: tuple[Change, ...] = (),
) -> Outcome:
    """The conversation with `turns` alone, for a reason that the next one gives.

    Exchanges at the end that are not learned go too; without any, the pair is dropped.
    """
    kept = list(turns)
    while kept and not kept[-1].weight:
        kept.pop()
    if not kept:
        return reason
    lost = pair.exchanges[len(kept) :]
    name = f'conversation cut: {reason.reason}'
    change = Change(name, 'answer', lost[0].question, '', len(lost))
    return Kept(pair.with_exchanges(kept), (*changes, change))


# The answers to one question follow each other, and topics are few.
@functools.lru_cache(64)
def _rewritten(
    text: str, rules: tuple[TextRule, ...]
) -> tuple[str, list[tuple[str, str, str, int]]]:
    """The text after each rule, and (rule, before, after, times) of each change."""
    changed = []
    for rule in rules:
        after, times = rule.apply(text)
        if after != text:
            changed.append((rule.name, text, after, times))
        text = after
    return text, changed
