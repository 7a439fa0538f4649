"""Exact duplicates: pairs with one id, then pairs with one text."""

from data_pipeline.all_pairs import pair_store


def drop(store: pair_store.PairStore) -> None:
    """Drops all but the best of each; `compared_row.Row.text` is equal for equal texts.

    A post saved again after its body was removed is never the best.
    """
    for column in ('id', 'text'):
        store.sql.execute(
            f"INSERT INTO gone SELECT ordinal, 'same {column}', best FROM (SELECT "
            f'ordinal, first_value(ordinal) OVER (PARTITION BY {column} ORDER BY '
            f'body_removed, {pair_store.RANK}) AS best FROM kept) WHERE ordinal != best'
        )
