"""Near duplicates: pairs whose questions and answers are both almost equal.

A repost of a question with another answer is no near duplicate, as its answer is new;
`same_story` lists such pairs, which stay on one side of a split. Bands of the texts'
signatures find candidates on the disk; their signatures are then compared. The module
`copies` chooses which of near pairs stays.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from data_pipeline import settings
from data_pipeline.all_pairs import copies, disjoint_sets, pair_store, signatures
from data_pipeline.pair_stages import folding
from hax_jax.data import records

_LARGE = 64  # a bucket of up to this many texts is compared text by text
_MOST_RESIDUE = 30  # words that a copy adds
_TOPICS = "SELECT DISTINCT topic FROM pairs WHERE topic != ''"
_LEAST_WORDS = 8  # a shorter text does not put two groups on one side


def find(
    store: pair_store.PairStore, chosen: settings.DuplicateSettings
) -> dict[str, int]:
    """Fills the store's table `near` with pairs whose questions or answers are near.

    In a bucket of over 64 texts, compares each with the best one alone: 'Help!' asked
    ten thousand times would need too many comparisons. Two pairs with that question are
    still found by their answers. Returns the number of comparisons and of such buckets.
    """
    if not chosen.near:
        return {'compared': 0, 'large buckets': 0}
    store.sql.execute(
        'CREATE TABLE bands (bucket UBIGINT, ordinal BIGINT, field TINYINT)'
    )
    for batch in store.batches(
        'SELECT ordinal, question_signature, answer_signature FROM kept', size=20_000
    ):
        ordinals, *texts = batch.columns
        for number, made in enumerate(texts):
            values = signatures.bands(made.to_pylist(), chosen)
            count = values.shape[1]
            # Equal values of two bands fall into different buckets.
            places = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            store.insert(
                'bands',
                pa.table(
                    {
                        'bucket': (values ^ places).reshape(-1),
                        'ordinal': np.repeat(ordinals.to_numpy(), count),
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
    """Drops all but the best of each cluster; `copies` says which, by which rule.

    If a is near b and b near c, all three are one cluster. An answer that adds residue
    alone to another one of the same question is near it, however short both are.
    """
    topics = {folding.folded(name) for (name,) in store.rows(_TOPICS)}
    clusters = disjoint_sets.DisjointSets()
    for edge in store.rows('SELECT one, other FROM near WHERE question AND answer'):
        clusters.join(*edge)
    for one, other, longer, shorter in _with_residue(store):
        if copies.is_residue_alone(longer, shorter, topics):
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
    found = store.found(
        'SELECT {pair}, root, ordinal, row_number() OVER (ORDER BY '
        f'{pair_store.RANK}) AS rank FROM kept AS pairs JOIN clusters USING (ordinal) '
        'ORDER BY root, rank'
    )
    gone: list[dict[str, object]] = []
    for _, rows in itertools.groupby(found, key=lambda row: row[1]):
        cluster = [
            copies.Copy(ordinal, pair.as_one(), rank) for pair, _, ordinal, rank in rows
        ]
        best, others = copies.decide(cluster, topics)
        gone += [
            {
                'ordinal': copy.ordinal,
                'reason': f'near duplicate {rule}',
                'kept': best.ordinal,
            }
            for copy, rule in others
        ]
    if gone:
        store.insert('gone', pa.Table.from_pylist(gone))


def _with_residue(
    store: pair_store.PairStore,
) -> Iterator[tuple[int, int, records.QaPair, records.QaPair]]:
    """(ordinal, ordinal, pair, pair): the longer answer may add residue to the other.

    Their questions are near and their answers, which are not, begin alike.
    """
    rows = store.found(
        'SELECT {pair}, one, other FROM (SELECT one, other, unnest([one, other]) AS '
        'ordinal FROM near JOIN kept AS a ON a.ordinal = one JOIN kept AS b ON '
        'b.ordinal = other WHERE question AND NOT answer AND a.opening = b.opening AND '
        f'abs(a.answer_words - b.answer_words) BETWEEN 1 AND {_MOST_RESIDUE}) '
        'JOIN pairs USING (ordinal) ORDER BY one, other, answer_words DESC'
    )
    for edge, both in itertools.groupby(rows, key=lambda row: row[1:]):
        longer, shorter = (pair.as_one() for pair, *_ in both)
        yield *edge, longer, shorter


def same_story(store: pair_store.PairStore) -> Iterator[tuple[str, str]]:
    """Two groups at a time with near questions, or answers, of eight words or more.

    Dropped pairs count: the other pairs of their groups tell the same story.
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
    """Puts the candidates into `near` whose signatures agree up to the threshold."""
    query = (
        'SELECT one, other, a.question_signature, b.question_signature, '
        'a.answer_signature, b.answer_signature FROM candidates '
        'JOIN pairs AS a ON a.ordinal = one JOIN pairs AS b ON b.ordinal = other'
    )
    for batch in store.batches(query, size=20_000):
        one, other, *made = batch.columns
        rows = [signatures.matrix(each.to_pylist(), chosen.num_perm) for each in made]
        question = np.mean(rows[0] == rows[1], axis=1) >= chosen.threshold
        answer = np.mean(rows[2] == rows[3], axis=1) >= chosen.threshold
        near = pa.table(
            {'one': one, 'other': other, 'question': question, 'answer': answer}
        )
        store.insert('near', near.filter(pa.array(question | answer)))
