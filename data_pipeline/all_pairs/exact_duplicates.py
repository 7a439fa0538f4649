"""Exact duplicates: pairs with one id, with one text, and beginnings of longer ones."""

from data_pipeline.all_pairs import pair_store


def drop(store: pair_store.PairStore) -> None:
    """Drops all but the best of each; `compared_row.Row.text` is equal for equal texts.

    A post saved again after its body was removed is never the best. Of equal texts the
    one with the fewest faults is (`compared/untidy.py`). Then drops each pair or
    conversation that is the beginning of a longer conversation, which is kept.
    """
    for column, rank in (('id', pair_store.RANK), ('text', pair_store.TIDY_RANK)):
        store.sql.execute(
            f"INSERT INTO gone SELECT ordinal, 'same {column}' || if('{column}' = "
            "'text' AND untidy > least, ', less tidy', ''), best FROM (SELECT ordinal, "
            'untidy, first_value(ordinal) OVER first AS best, first_value(untidy) OVER '
            f'first AS least FROM kept WINDOW first AS (PARTITION BY {column} ORDER BY '
            f'body_removed, {rank})) WHERE ordinal != best'
        )
    store.sql.execute(
        "INSERT INTO gone SELECT DISTINCT ordinal, 'beginning of a conversation', "
        'first_value(longer) OVER (PARTITION BY ordinal ORDER BY more DESC, place)'
        ' FROM kept JOIN (SELECT ordinal AS longer, unnest(beginnings) AS text, '
        'len(beginnings) AS more, row_number() OVER (ORDER BY '
        f'{pair_store.RANK}) AS place FROM kept WHERE len(beginnings) > 0) USING (text)'
    )
