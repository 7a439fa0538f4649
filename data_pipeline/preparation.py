"""The one sequence of stages: pairs as they were read to pairs worth training on."""

import collections.abc
import dataclasses

from data_pipeline import (
    cleaning,
    dedupe,
    near_duplicates,
    outcomes,
    personal_data,
    quality,
    quotes,
    settings,
    stage_ledger,
    stages,
)
from hax_jax import records

EXACT, NEAR = 'exact duplicates', 'near duplicates'


@dataclasses.dataclass(frozen=True)
class Gone:
    """A pair that a stage dropped; the reason opens with the stage's name."""

    id: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What is left, what went and why, and the account of every stage."""

    pairs: list[records.QaPair]
    gone: list[Gone]
    duplicates: list[dedupe.Duplicate]
    ledger: stage_ledger.Ledger


def sequence(chosen: settings.Settings) -> list[stages.Stage]:
    """The stages of one pair, in their order.

    Cleaning comes first, as it shows which links were only targets; quality looks at
    what is left of a text.

    Raises:
      InputError: a setting names a tokenizer, region or language that there is not.
    """
    return [
        cleaning.stage(chosen.clean),
        personal_data.stage(chosen.personal_data),
        quality.stage(chosen.quality),
        quotes.stage(chosen.duplicates),
    ]


def prepare(
    pairs: collections.abc.Iterable[records.QaPair],
    each_pair: collections.abc.Sequence[stages.Stage],
    chosen: settings.Settings,
) -> Prepared:
    """Runs the stages of `sequence`, then drops exact and near duplicates."""
    ledger = stage_ledger.Ledger()
    gone: list[Gone] = []

    def drop(pair: records.QaPair, stage: str, dropped: outcomes.Dropped) -> None:
        gone.append(Gone(pair.id, f'{stage}: {dropped.reason}'))

    alone = list(stages.run(pairs, each_pair, ledger, on_drop=drop))
    unique, same = dedupe.exact(alone)
    _record(ledger, EXACT, alone, unique, same)
    kept, near = near_duplicates.near(unique, chosen.duplicates)
    _record(ledger, NEAR, unique, kept, near)
    return Prepared(kept, gone, [*same, *near], ledger)


def _record(
    ledger: stage_ledger.Ledger,
    stage: str,
    before: collections.abc.Sequence[records.QaPair],
    kept: collections.abc.Sequence[records.QaPair],
    dropped: collections.abc.Sequence[dedupe.Duplicate],
) -> None:
    """Counts what became of each pair; kept and dropped ones stand in their order."""
    ledger.open(stage)
    left = {id(pair) for pair in kept}
    why = iter(dropped)
    for pair in before:
        outcome: outcomes.Outcome = outcomes.Kept(pair)
        if id(pair) not in left:
            duplicate = next(why)
            detail = f'of {duplicate.kept_id}'
            outcome = outcomes.Dropped(duplicate.reason, detail)
        ledger.record(stage, pair, outcome)
