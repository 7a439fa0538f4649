"""The one sequence of stages: pairs as they were read to pairs worth training on.

`each` does what a pair needs by itself, anywhere; `gather` what needs all of them.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from data_pipeline import settings
from data_pipeline.all_pairs import (
    exact_duplicates,
    facts,
    groups,
    mix,
    near_duplicates,
    overlap,
    pair_store,
    split,
)
from data_pipeline.pair_stages import (
    cleaning,
    outcomes,
    personal_data,
    quality,
    quotes,
    stage_ledger,
    stages,
)
from hax_jax import errors
from hax_jax.data import records

EXACT, NEAR = 'exact duplicates', 'near duplicates'


@dataclasses.dataclass(frozen=True)
class Gathered:
    """What was found in all pairs together, in JSON's types, and what to say of it."""

    account: dict[str, Any]
    notes: list[str]


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


def each(
    pairs: Iterable[records.QaPair],
    each_pair: Sequence[stages.Stage],
    chosen: settings.Settings,
    ledger: stage_ledger.Ledger,
) -> tuple[list[facts.Row], list[pair_store.Gone]]:
    """The rows of the pairs that pass the stages, and the pairs that don't."""
    rows, gone = [], []

    def drop(pair: records.QaPair, stage: str, dropped: outcomes.Dropped) -> None:
        gone.append(pair_store.Gone(pair.id, f'{stage}: {dropped.reason}'))

    for raw in pairs:
        for pair in stages.run([raw], each_pair, ledger, on_drop=drop):
            rows.append(facts.row(raw, pair, chosen.duplicates))
    return rows, gone


def gather(
    store: pair_store.PairStore,
    chosen: settings.Settings,
    ledger: stage_ledger.Ledger,
    *,
    shares: Mapping[str, float],
) -> Gathered:
    """Drops duplicates and what is over a cap, splits, checks the splits, weighs train.

    Raises:
      InputError: nothing is left, a source that is named is not there, the pairs can't
        be split, or the splits share too much.
    """
    mix.check(store, chosen.mix)
    if not store.number('SELECT count(*) FROM kept'):
        reasons = store.rows(
            'SELECT reason, count(*) FROM never GROUP BY reason ORDER BY 2 DESC, 1'
        )
        why = '; '.join(f'{count:,} {reason}' for reason, count in reasons)
        raise errors.InputError(
            f'no pair is left: {why}. Loosen what dropped them (--config.quality...., '
            'see data_pipeline/settings.py), or give other files.'
        )
    _counted(store, ledger, EXACT, lambda: exact_duplicates.drop(store))
    found = near_duplicates.find(store, chosen.duplicates)
    _counted(store, ledger, NEAR, lambda: near_duplicates.drop(store))
    if chosen.mix.caps:
        _counted(store, ledger, mix.CAPS, lambda: mix.cap(store, chosen.mix))
    joined, notes = groups.join(store)
    notes = notes + split.assign(store, shares=shares)
    shared = overlap.check(store, limit=chosen.split.max_shared_ngrams)
    weighed: dict[str, dict[str, int]] = {}

    def weigh() -> None:
        weighed.update(mix.weigh(store, chosen.mix))

    _counted(store, ledger, mix.WEIGHTS, weigh)
    return Gathered(
        {
            'near': found,
            'groups': joined,
            'shared_ngrams': {
                name: dataclasses.asdict(each) | {'share': round(each.share, 6)}
                for name, each in shared.items()
            },
            'train_by_weight': weighed,
        },
        notes,
    )


def _counted(
    store: pair_store.PairStore,
    ledger: stage_ledger.Ledger,
    stage: str,
    act: Callable[[], None],
) -> None:
    """Acts, and counts what that drops."""
    before = store.number('SELECT count(*) FROM kept')
    known = store.number('SELECT count(*) FROM gone')
    store.sql.execute('CREATE TABLE seen AS SELECT ordinal FROM gone')
    act()
    ledger.passed(stage, before - store.number('SELECT count(*) FROM gone') + known)
    query = (
        'SELECT {pair}, gone.reason, other.id FROM gone ANTI JOIN seen USING (ordinal) '
        'JOIN pairs ON pairs.ordinal = gone.ordinal '
        'LEFT JOIN pairs AS other ON other.ordinal = gone.kept'
    )
    for pair, reason, kept_id in store.found(query):
        detail = f'of {kept_id}' if kept_id else ''
        ledger.record(stage, pair, outcomes.Dropped(reason, detail))
    store.sql.execute('DROP TABLE seen')
