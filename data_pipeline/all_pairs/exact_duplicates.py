"""Exact duplicates in a store: pairs of one id, then pairs of one text."""

from data_pipeline.all_pairs import pair_store

_BY = (('id', 'same id'), ('text', 'same text'))


def drop(store: pair_store.PairStore) -> None:
    """Drops all but the best of each; `facts.Row.text` is equal where texts are.

    A post that was saved again after its body was removed is never the best.
    """
    for column, reason in _BY:
        store.sql.execute(
            f"INSERT INTO gone SELECT ordinal, '{reason}', best FROM (SELECT ordinal, "
            f'first_value(ordinal) OVER (PARTITION BY {column} ORDER BY body_removed, '
            f'{pair_store.RANK}) AS best FROM kept) WHERE ordinal != best'
        )
