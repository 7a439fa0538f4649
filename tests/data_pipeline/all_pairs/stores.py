"""Pairs in a store, and what is in it after something was done there."""

from collections.abc import Sequence

from data_pipeline import settings
from data_pipeline.all_pairs import exact_duplicates, near_duplicates, pair_store
from data_pipeline.compared import compared_row, packed_rows
from hax_jax.data import records

CHOSEN = settings.DuplicateSettings()


def filled(
    pairs: Sequence[records.QaPair], chosen: settings.DuplicateSettings = CHOSEN
) -> pair_store.PairStore:
    """A store in memory that holds the pairs as they are."""
    store = pair_store.PairStore()
    rows = [compared_row.make(pair, pair, chosen) for pair in pairs]
    store.add(packed_rows.packed(rows))
    return store


def drop_all(store: pair_store.PairStore) -> None:
    """Drops exact and near duplicates, as a build does."""
    exact_duplicates.drop(store)
    near_duplicates.find(store, CHOSEN)
    near_duplicates.drop(store)


def kept_ids(store: pair_store.PairStore) -> list[str]:
    return [name for (name,) in store.rows('SELECT id FROM kept ORDER BY id')]


def gone(store: pair_store.PairStore) -> list[tuple[str, str, str]]:
    """(id, kept_id, reason), by reason and id."""
    return [(each.id, each.kept_id, each.reason) for each in store.gone()]
