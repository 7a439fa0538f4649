"""Near texts: found by bands of their signatures, out of core, then compared.

Two pairs are near duplicates where question and answer are almost the other's; a repost
of a question with another answer is none, as its answer is somebody's own, but both
stay on one side of a split.

Source: Broder, On the resemblance and containment of documents (1997); Leskovec et al.,
Mining of Massive Datasets, 3.4 (bands).
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from data_pipeline import settings
from data_pipeline.all_pairs import facts, pair_store, union

REASON = 'near duplicate'
_LARGE = 64  # texts that share a band and are all compared with one another
_LEAST_WORDS = 8  # of a text that says where its pair must go


def find(
    store: pair_store.PairStore, chosen: settings.DuplicateSettings
) -> dict[str, int]:
    """Fills the store's table `near`: which texts of two pairs are near.

    Of a bucket of over 64 texts, each is compared with the best of them alone: with
    'Help!' ten thousand times, all pairs would be too many. Such pairs are still found
    where their other text tells them apart. Returns how many were compared so.
    """
    store.sql.execute(
        'CREATE TABLE bands (bucket UBIGINT, ordinal BIGINT, field TINYINT)'
    )
    if not chosen.near:
        return {'compared': 0, 'large buckets': 0}
    fields = ('question_signature', 'answer_signature')
    query = f'SELECT ordinal, {", ".join(fields)} FROM kept'
    for batch in store.batches(query):
        ordinals = batch.column('ordinal').to_numpy()
        for number, field in enumerate(fields):
            values = facts.bands(batch.column(field).to_pylist(), chosen)
            count = values.shape[1]
            # The band's number is part of its bucket.
            places = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            store.insert(
                'bands',
                pa.table(
                    {
                        'bucket': (values ^ places).reshape(-1),
                        'ordinal': np.repeat(ordinals, count),
                        'field': np.full(values.size, number, np.int8),
                    }
                ),
            )
    store.sql.execute(
        'CREATE TABLE buckets AS SELECT bucket, field, count(*) AS size '
        'FROM bands GROUP BY ALL HAVING count(*) > 1;'
        'CREATE TABLE ranked AS SELECT bands.*, buckets.size, row_number() OVER ('
        ' PARTITION BY bands.bucket, bands.field ORDER BY r.rank) AS place'
        ' FROM bands JOIN buckets USING (bucket, field) JOIN ('
        f' SELECT ordinal, row_number() OVER (ORDER BY {pair_store.RANK}) AS rank'
        ' FROM kept) AS r'
        ' USING (ordinal);'
        'CREATE TABLE candidates AS SELECT DISTINCT'
        ' least(a.ordinal, b.ordinal) AS one, greatest(a.ordinal, b.ordinal) AS other'
        ' FROM ranked AS a JOIN ranked AS b USING (bucket, field)'
        f' WHERE a.place < b.place AND (a.size <= {_LARGE} OR a.place = 1);'
    )
    _compare(store, chosen)
    counts = {
        'compared': store.number('SELECT count(*) FROM candidates'),
        'large buckets': store.number(
            f'SELECT count(*) FROM buckets WHERE size > {_LARGE}'
        ),
    }
    store.sql.execute(
        'DROP TABLE bands; DROP TABLE buckets; DROP TABLE ranked; DROP TABLE candidates'
    )
    return counts


def drop(store: pair_store.PairStore) -> None:
    """Drops all but the best of each cluster: score, then length, then id.

    If a is near b and b near c, all three are one cluster.
    """
    clusters = union.Union()
    for one, other in store.rows(
        'SELECT one, other FROM near WHERE question AND answer'
    ):
        clusters.join(one, other)
    roots = clusters.roots()
    table = pa.table(
        {
            'ordinal': pa.array(roots.keys(), pa.int64()),
            'root': pa.array(roots.values(), pa.int64()),
        }
    )
    store.sql.execute('CREATE TABLE clusters (ordinal BIGINT, root BIGINT)')
    store.insert('clusters', table)
    store.sql.execute(
        f"INSERT INTO gone SELECT ordinal, '{REASON}', best FROM ("
        ' SELECT ordinal, first_value(ordinal) OVER (PARTITION BY root ORDER BY '
        f' {pair_store.RANK}) AS best FROM kept JOIN clusters USING (ordinal))'
        ' WHERE ordinal != best'
    )


def sides(store: pair_store.PairStore) -> Iterator[tuple[str, str]]:
    """Two groups each that hold near questions, or near answers, of eight words.

    Dropped pairs count: their groups' other pairs are of the same story.
    """
    enough = ' AND '.join(
        f'(NOT near.{field} OR (a.{field}_words >= {_LEAST_WORDS} AND '
        f'b.{field}_words >= {_LEAST_WORDS}))'
        for field in ('question', 'answer')
    )
    yield from store.rows(
        'SELECT DISTINCT least(a.grp, b.grp), greatest(a.grp, b.grp) FROM near '
        'JOIN pairs AS a ON a.ordinal = one '
        f'JOIN pairs AS b ON b.ordinal = other WHERE a.grp != b.grp AND ({enough}'
        ' OR (near.question AND near.answer)) ORDER BY ALL'
    )


def _compare(store: pair_store.PairStore, chosen: settings.DuplicateSettings) -> None:
    """Keeps the candidates of which a text's signatures agree as often as asked."""
    query = (
        'SELECT one, other, a.question_signature, b.question_signature, '
        'a.answer_signature, b.answer_signature FROM candidates '
        'JOIN pairs AS a ON a.ordinal = one JOIN pairs AS b ON b.ordinal = other'
    )
    for batch in store.batches(query, size=20_000):
        one, other, *signatures = (column for column in batch.columns)
        matrices = [
            np.frombuffer(b''.join(column.to_pylist()), np.uint32).reshape(
                -1, chosen.num_perm
            )
            for column in signatures
        ]
        alike = [
            np.mean(matrices[i] == matrices[i + 1], axis=1) >= chosen.threshold
            for i in (0, 2)
        ]
        near = pa.table(
            {'one': one, 'other': other, 'question': alike[0], 'answer': alike[1]}
        )
        store.insert('near', near.filter(pa.array(alike[0] | alike[1])))
