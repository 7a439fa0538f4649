"""Components: groups of pairs that a split must not separate, joined by reasons.

A chat's pairs are one group, and so are a post's. This module joins groups that tell
one story: reposts, updates and the posts that they follow.
"""

import collections
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.all_pairs import (
    disjoint_sets,
    equal_values,
    near_duplicates,
    pair_store,
)
from data_pipeline.pair_stages import word_runs

_LEAST_TITLE_WORDS = 4  # 'Help please' names no story
_LARGE_SHARE = 0.1  # of all pairs: a note names a component that large
_NUM_EXAMPLES = 5
_SHARED_RUNS = 3  # in the sample: about 12 in all, nineteen words in a row
_BATCH = 4_000  # pairs
_AT_ONCE = 2**25  # runs, of which a fourth is sampled: 128 MB with their pairs
_LARGE = 64  # a run in more pairs than that is a phrase, and joins nothing


def join(
    store: pair_store.PairStore, *, standing: int = sys.maxsize
) -> tuple[dict[str, Any], list[str]]:
    """Fills the store's `home` with components; returns their account, and notes.

    A passage that `standing` pairs hold joins none of them.
    """
    groups = disjoint_sets.DisjointSets()
    reasons: collections.Counter[str] = collections.Counter()
    examples: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)
    for reason, edges in (
        ('duplicates', _duplicates(store)),
        ('near texts', near_duplicates.same_story(store)),
        ('runs of words in common', _copied(store, standing)),
        ('an exchange in common', _same_exchange(store)),
        ('an update links the other', _linked(store)),
        ('an update has the other title', _titled(store)),
    ):
        for edge in edges:
            if groups.join(*edge):
                reasons[reason] += 1
                if len(examples[reason]) < _NUM_EXAMPLES:
                    examples[reason].append(edge)
    roots = groups.roots()
    columns = {
        'grp': pa.array(roots.keys(), pa.string()),
        'component': pa.array(roots.values(), pa.string()),
    }
    store.sql.execute('CREATE TABLE joined (grp VARCHAR, component VARCHAR)')
    store.insert('joined', pa.table(columns))
    store.sql.execute(
        'INSERT INTO home SELECT grp, coalesce(component, grp), NULL, NULL FROM '
        '(SELECT DISTINCT grp FROM kept) LEFT JOIN joined USING (grp)'
    )
    whole = store.number('SELECT count(*) FROM kept')
    largest = store.number(
        'SELECT max(pairs) FROM (SELECT count(*) AS pairs FROM kept JOIN home '
        'USING (grp) GROUP BY component)'
    )
    account = {
        'groups': store.number('SELECT count(*) FROM home'),
        'components': store.number('SELECT count(DISTINCT component) FROM home'),
        'joined': {
            reason: {'times': reasons[reason], 'examples': examples[reason]}
            for reason in sorted(reasons)
        },
        'largest_component': {'pairs': largest},
    }
    notes = []
    if roots and largest > max(_LARGE_SHARE * whole, 10):
        notes.append(
            f'{largest:,} of {whole:,} pairs are one story by their near texts, '
            'updates or titles, and stay on one side; if they are not, raise '
            'duplicates.threshold, or cut the lines that many answers share '
            '(--config.clean.cut_standing=true).'
        )
    return account, notes


def _copied(store: pair_store.PairStore, standing: int) -> Iterator[tuple[str, str]]:
    """Groups of pairs with a passage in common, such as a body below a new title."""
    ordinals, first, count, stories = store.arrays(
        f'SELECT ordinal, first_run, num_runs, hash({pair_store.STORY}) FROM kept '
        'ORDER BY ordinal'
    )
    # The samples of one part at a time, by the first bits of the hashes.
    num_bits = (int(count.sum()) // _AT_ONCE).bit_length()
    met = [
        _met(*_samples(store, first, count, part, num_bits), stories, standing)
        for part in range(2**num_bits)
    ]
    met, times = np.unique(np.concatenate(met), return_counts=True)
    one, other = np.divmod(met[times >= _SHARED_RUNS], max(len(ordinals), 1))
    store.sql.execute('CREATE OR REPLACE TABLE alike (one BIGINT, other BIGINT)')
    store.insert('alike', pa.table({'one': ordinals[one], 'other': ordinals[other]}))
    yield from store.rows(
        'SELECT DISTINCT least(a.grp, b.grp), greatest(a.grp, b.grp) FROM alike '
        'JOIN pairs AS a ON a.ordinal = one JOIN pairs AS b ON b.ordinal = other '
        'WHERE a.grp != b.grp ORDER BY ALL'
    )
    store.sql.execute('DROP TABLE alike')


def _samples(
    store: pair_store.PairStore,
    first: np.ndarray,
    count: np.ndarray,
    part: int,
    num_bits: int,
) -> tuple[np.ndarray, np.ndarray]:
    """([M] uint64, [M]) the sampled runs of a part, each once a pair; their pairs."""
    runs, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for start in range(0, len(first), _BATCH):
        sizes = count[start : start + _BATCH]
        found = store.runs(first[start : start + _BATCH], sizes)
        wanted = word_runs.is_sampled(found)
        if num_bits:
            wanted &= found >> np.uint64(64 - num_bits) == part
        runs.append(found[wanted])
        pairs = np.repeat(np.arange(start, start + len(sizes)), sizes)
        owners.append(pairs[wanted])
    return np.concatenate(runs), np.concatenate(owners)


def _met(
    runs: np.ndarray, owners: np.ndarray, stories: np.ndarray, standing: int
) -> np.ndarray:
    """one * len(stories) + other for each run that two pairs share, the lower first."""
    places, sizes = equal_values.groups(runs)
    owners = owners[places]
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    # Of a pair with a run twice, the places follow each other.
    again = (np.diff(owners, prepend=-1) == 0) & (np.diff(numbers, prepend=-1) == 0)
    owners, numbers = owners[~again], numbers[~again]
    sizes = np.bincount(numbers, minlength=len(sizes))
    is_rare = (sizes >= 2) & (sizes <= _LARGE)
    for number in np.flatnonzero(is_rare & (sizes >= standing)).tolist():
        start, end = np.searchsorted(numbers, (number, number + 1))
        is_rare[number] = len(set(stories[owners[start:end]].tolist())) < standing
    owners = owners[np.repeat(is_rare, sizes)]
    met = [
        one * len(stories) + other
        for one, other in equal_values.pairs(owners, sizes[is_rare])
    ]
    return np.concatenate([np.zeros(0, np.int64), *met])


def _same_exchange(store: pair_store.PairStore) -> Iterator[tuple[str, str]]:
    """Groups with an exchange, or an opening question, that conversations share."""
    return store.rows(
        'WITH held AS (SELECT grp, unnest(exchanges) AS exchange FROM kept), shared AS '
        '(SELECT exchange, min(grp) AS first FROM held GROUP BY exchange HAVING '
        f'count(*) BETWEEN 2 AND {_LARGE}) SELECT DISTINCT first, grp FROM shared '
        'JOIN held USING (exchange) WHERE first != grp ORDER BY ALL'
    )


def _duplicates(store: pair_store.PairStore) -> Iterator[tuple[str, str]]:
    return store.rows(
        'SELECT DISTINCT a.grp, b.grp FROM gone JOIN pairs AS a USING (ordinal) '
        'JOIN pairs AS b ON b.ordinal = gone.kept WHERE a.grp != b.grp ORDER BY ALL'
    )


def _linked(store: pair_store.PairStore) -> Iterator[tuple[str, str]]:
    return store.rows(
        'SELECT DISTINCT grp, link FROM (SELECT grp, unnest(links) AS link FROM pairs) '
        'WHERE link IN (SELECT grp FROM pairs) AND link != grp ORDER BY ALL'
    )


def _titled(store: pair_store.PairStore) -> Iterator[tuple[str, str]]:
    return store.rows(
        'SELECT DISTINCT a.grp, b.grp FROM pairs AS a JOIN pairs AS b '
        'USING (source, title) WHERE a.is_update AND a.grp != b.grp AND '
        f"len(string_split(a.title, ' ')) >= {_LEAST_TITLE_WORDS} ORDER BY ALL"
    )
