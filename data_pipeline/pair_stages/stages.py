"""Runs pairs through named stages, which a ledger counts.

    ledger = stage_ledger.Ledger()
    kept = list(stages.run(pairs, [clean_stage, quality_stage], ledger))
    ledger.as_json()   # in, out, dropped and changed by reason, with examples

A stage is a pure function of one pair: what becomes of a pair does not depend on those
before it.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

from data_pipeline.pair_stages import outcomes, stage_ledger
from hax_jax.data import records


@dataclasses.dataclass(frozen=True)
class Stage:
    """A step of the preparation and its name in the ledger."""

    name: str
    apply: Callable[[records.QaPair], outcomes.Outcome]


@dataclasses.dataclass(frozen=True)
class TextRule:
    """A pure function of a text: the new text, and how often it was changed."""

    name: str
    apply: Callable[[str], tuple[str, int]]


def run(
    pairs: Iterable[records.QaPair],
    sequence: Sequence[Stage],
    ledger: stage_ledger.Ledger,
    *,
    on_drop: Callable[[records.QaPair, str, outcomes.Dropped], None] | None = None,
) -> Iterator[records.QaPair]:
    """The pairs that pass every stage, in their order, one at a time.

    `on_drop` is told of each pair, as it came in, that does not, and of the stage.
    """
    for stage in sequence:
        ledger.open(stage.name)
    for first in pairs:
        pair = first
        for stage in sequence:
            outcome = stage.apply(pair)
            ledger.record(stage.name, pair, outcome)
            if isinstance(outcome, outcomes.Dropped):
                if on_drop is not None:
                    on_drop(first, stage.name, outcome)
                break
            pair = outcome.pair
        else:
            yield pair


def rewrite(
    pair: records.QaPair,
    rules: Sequence[TextRule],
    *,
    fields: Sequence[str] = ('topic', 'question', 'answer'),
) -> outcomes.Outcome:
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
                changes.append(outcomes.Change(rule.name, field, value, after, times))
            value = after
        if field != 'topic' and not value.strip():
            return outcomes.Dropped(
                f'nothing is left of the {field}', getattr(pair, field)
            )
        texts[field] = value
    if not changes:
        return outcomes.Kept(pair)
    return outcomes.Kept(dataclasses.replace(pair, **texts), tuple(changes))
