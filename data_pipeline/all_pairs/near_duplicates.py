"""Near duplicates: pairs whose questions and answers are both almost equal.

A repost of a question with another answer is no near duplicate, as its answer is new;
`same_story` lists such pairs, which stay on one side of a split. Bands of the texts'
signatures find candidates on the disk; their signatures are then compared. The module
`copies` chooses which of near pairs stays.
"""

import functools
import itertools
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from data_pipeline import settings
from data_pipeline.all_pairs import copies, disjoint_sets, equal_values, pair_store
from data_pipeline.compared import signatures
from data_pipeline.pair_stages import folding, word_runs
from hax_jax.data import records

_LARGE = 64  # a bucket of up to this many texts is compared text by text
_AT_ONCE = 10_000  # pairs, whose signatures take 10 MB
_MOST_FOUND = 2**22  # candidates before those that were found again go
_MOST_RESIDUE = 300  # words that a copy adds: the next letter may be among them
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
    ordinals, signed = store.arrays('SELECT ordinal, signed FROM kept ORDER BY ordinal')
    candidates, num_large = _candidates(store, signed, chosen)
    _compare(store, ordinals, signed, candidates, chosen)
    return {'compared': len(candidates), 'large buckets': num_large}


def _candidates(
    store: pair_store.PairStore, signed: np.ndarray, chosen: settings.DuplicateSettings
) -> tuple[np.ndarray, int]:
    """([N] uint64, the number of large buckets): one * len(signed) + other, sorted.

    `one` and `other` are places in `signed`, the lower first. Holds eight bytes for
    each candidate, and three numbers a pair; the bands are on the disk.
    """
    count, _ = signatures.band_shape(chosen.threshold, chosen.num_perm)
    total = len(signed)
    ranks = functools.cache(lambda: _ranks(store))
    found = [np.zeros(0, np.uint64)]
    num_found = num_large = 0
    with tempfile.TemporaryFile(dir=store.folder) as file:
        buckets = np.memmap(file, np.uint64, 'w+', shape=(2 * count, max(total, 1)))
        for start in range(0, total, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            made = store.signatures(signed[part], chosen.num_perm)
            for field in range(2):
                values = signatures.bands(made[:, field], chosen)
                buckets[field * count : (field + 1) * count, part] = values.T
        for bucket in buckets:
            for one, other, is_large in _met(np.array(bucket[:total]), ranks):
                num_large += is_large
                both = np.minimum(one, other) * total + np.maximum(one, other)
                found.append(both.astype(np.uint64))
                num_found += len(both)
            if num_found > _MOST_FOUND:
                found = [word_runs.distinct(np.concatenate(found))]
                num_found = 0
    return word_runs.distinct(np.concatenate(found)), num_large


def _ranks(store: pair_store.PairStore) -> np.ndarray:
    """The rank of each pair that is kept, in their order."""
    (ranks,) = store.arrays(
        f'SELECT row_number() OVER (ORDER BY {pair_store.RANK}) FROM kept '
        'ORDER BY ordinal'
    )
    return ranks


def _met(
    values: np.ndarray, ranks: Callable[[], np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """(places, places, whether of one large bucket) of equal values."""
    places, sizes = equal_values.groups(values)
    starts = np.cumsum(sizes) - sizes
    for large in np.flatnonzero(sizes > _LARGE):
        bucket = places[starts[large] : starts[large] + sizes[large]]
        best = bucket[np.argmin(ranks()[bucket])]
        others = bucket[bucket != best]
        yield np.full(len(others), best), others, True
    is_small = sizes <= _LARGE
    places = places[np.repeat(is_small, sizes)]
    for one, other in equal_values.pairs(places, sizes[is_small]):
        yield one, other, False


def drop(store: pair_store.PairStore) -> None:
    """Drops all but the best of each cluster; `copies` says which, by which rule.

    If a is near b and b near c, all three are one cluster. An answer that adds residue
    alone to another one of the same question is near it, however short both are, and so
    is one that the other goes on from.
    """
    topics = {folding.folded(name) for (name,) in store.rows(_TOPICS)}
    clusters = disjoint_sets.DisjointSets()
    for edge in store.rows('SELECT one, other FROM near WHERE question AND answer'):
        clusters.join(*edge)
    for one, other, longer, shorter in _longer_and_shorter(store):
        is_copy = copies.is_residue_alone(longer, shorter, topics)
        if is_copy or copies.is_beginning(longer, shorter):
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
        'SELECT {pair}, root, ordinal, untidy, row_number() OVER (ORDER BY '
        f'{pair_store.TIDY_RANK}) AS rank FROM kept AS pairs '
        'JOIN clusters USING (ordinal) ORDER BY root, rank'
    )
    gone: list[dict[str, object]] = []
    for _, rows in itertools.groupby(found, key=lambda row: row[1]):
        cluster = [
            copies.Copy(ordinal, pair.as_one(), untidy, rank)
            for pair, _, ordinal, untidy, rank in rows
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


def _longer_and_shorter(
    store: pair_store.PairStore,
) -> Iterator[tuple[int, int, records.QaPair, records.QaPair]]:
    """(ordinal, ordinal, pair, pair): the longer answer may hold the other.

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


def _compare(
    store: pair_store.PairStore,
    ordinals: np.ndarray,
    signed: np.ndarray,
    candidates: np.ndarray,
    chosen: settings.DuplicateSettings,
) -> None:
    """Puts the candidates into `near` whose signatures agree up to the threshold."""
    total = np.uint64(max(len(signed), 1))
    for start in range(0, len(candidates), _AT_ONCE):
        part = candidates[start : start + _AT_ONCE]
        one, other = (each.astype(np.int64) for each in (part // total, part % total))
        made = [
            store.signatures(signed[each], chosen.num_perm) for each in (one, other)
        ]
        shares = np.mean(made[0] == made[1], axis=2)  # [n, 2]
        question, answer = (shares >= chosen.threshold).T
        near = pa.table(
            {
                'one': ordinals[one],
                'other': ordinals[other],
                'question': question,
                'answer': answer,
            }
        )
        store.insert('near', near.filter(pa.array(question | answer)))
