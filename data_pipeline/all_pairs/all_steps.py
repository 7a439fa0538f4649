"""The steps over all pairs: duplicates, weights, caps, groups, split, overlap."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from data_pipeline import settings
from data_pipeline.all_pairs import (
    caps_and_weights,
    components,
    equal_ids,
    exact_duplicates,
    near_duplicates,
    overlap,
    pair_store,
    split,
    standing,
)
from data_pipeline.pair_stages import stage_ledger, stages
from hax_jax import errors

Result = TypeVar('Result')


@dataclasses.dataclass(frozen=True)
class Account:
    """The ledger's entry for all pairs together, in JSON's types, and its notes.

    `standing_lines` are the hashes of the lines that were cut.
    """

    gathered: dict[str, Any]
    notes: list[str]
    standing_lines: set[int] = dataclasses.field(default_factory=set)


def run(
    store: pair_store.PairStore,
    chosen: settings.Settings,
    ledger: stage_ledger.Ledger,
    *,
    shares: Mapping[str, float],
) -> Account:
    """Drops duplicates and pairs over a cap, splits, checks the splits, weighs train.

    Raises:
      InputError: no pair is left, a setting names a source without pairs, the pairs
        can't be split, or the splits share too much.
    """
    caps_and_weights.check(store, chosen.mix)
    if not store.number('SELECT count(*) FROM kept'):
        reasons = store.rows(
            'SELECT reason, count(*) FROM never GROUP BY reason ORDER BY 2 DESC, 1'
        )
        why = '; '.join(f'{count:,} {reason}' for reason, count in reasons)
        raise errors.InputError(
            f'no pair is left: {why}. Loosen the settings that dropped them '
            '(--config.quality...., --config.clean....; data_pipeline/settings.py has '
            'them all), or give other files.'
        )

    def counted(stage: str, step: Callable[[], Result]) -> Result:
        return _counted(store, ledger, stage, step)

    lines: set[int] = set()
    if chosen.clean.cut_standing:
        lines = standing.cut(store, chosen, ledger)
    equal_ids.tell_apart(store, ledger)
    counted('exact duplicates', lambda: exact_duplicates.drop(store))
    near = near_duplicates.find(store, chosen.duplicates)
    counted('near duplicates', lambda: near_duplicates.drop(store))
    caps_and_weights.inherit(store, ledger)
    if chosen.mix.caps:
        counted('caps', lambda: caps_and_weights.cap(store, chosen.mix))
    fewest = standing.least(store, chosen.split)
    joined, notes = components.join(store, standing=fewest)
    notes = notes + split.assign(store, shares=shares)
    shared, passages = overlap.check(
        store, limit=chosen.split.max_shared_ngrams, standing=fewest
    )
    notes = notes + passages
    weighed = counted('weights', lambda: caps_and_weights.weigh(store, chosen.mix))
    gathered = {
        'near': near,
        'groups': joined,
        'shared_ngrams': {
            name: dataclasses.asdict(each) | {'share': round(each.share, 6)}
            for name, each in shared.items()
        },
        'train_by_weight': weighed,
    }
    return Account(gathered, notes, lines)


def _counted(
    store: pair_store.PairStore,
    ledger: stage_ledger.Ledger,
    stage: str,
    step: Callable[[], Result],
) -> Result:
    """Runs a step and counts the pairs that it drops."""
    known = store.number('SELECT count(*) FROM gone')
    result = step()
    ledger.passed(stage, store.number('SELECT count(*) FROM kept'))
    query = (
        'SELECT {pair}, gone.reason, other.id FROM gone '
        'JOIN pairs ON pairs.ordinal = gone.ordinal '
        'LEFT JOIN pairs AS other ON other.ordinal = gone.kept '
        f'WHERE gone.rowid >= {known}'  # rows are only ever appended
    )
    for pair, reason, kept_id in store.found(query):
        detail = f'of {kept_id}' if kept_id else ''
        ledger.record(stage, pair, stages.Dropped(reason, detail))
    return result
