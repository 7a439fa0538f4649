"""Components: groups of pairs that a split must not separate, joined by reasons.

A chat's pairs are one group, and so are a post's. This module joins groups that tell
one story: reposts, updates and the posts that they follow.
"""

import collections
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from data_pipeline.all_pairs import disjoint_sets, near_duplicates, pair_store

_LEAST_TITLE_WORDS = 4  # 'Help please' names no story
_LARGE_SHARE = 0.1  # of all pairs: a note names a component that large
_NUM_EXAMPLES = 5
_SHARED_RUNS = 3  # in the sample: about 12 in all, nineteen words in a row
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
    return store.rows(
        'WITH runs AS (SELECT ordinal, unnest(sample) AS run FROM kept), counted AS '
        '(SELECT run, count(*) AS pairs FROM runs GROUP BY run HAVING count(*) BETWEEN '
        f'2 AND {_LARGE}), standing AS (SELECT run FROM runs JOIN counted USING (run) '
        f'JOIN kept USING (ordinal) WHERE counted.pairs >= {standing} GROUP BY run '
        f'HAVING count(DISTINCT ({pair_store.STORY})) >= {standing}), rare AS '
        '(SELECT run FROM counted ANTI JOIN standing USING (run)), shared AS '
        '(SELECT a.ordinal AS one, b.ordinal AS other FROM '
        'runs AS a JOIN rare USING (run) JOIN runs AS b USING (run) WHERE '
        f'a.ordinal < b.ordinal GROUP BY ALL HAVING count(*) >= {_SHARED_RUNS}) '
        'SELECT DISTINCT least(a.grp, b.grp), greatest(a.grp, b.grp) FROM shared '
        'JOIN pairs AS a ON a.ordinal = one JOIN pairs AS b ON b.ordinal = other '
        'WHERE a.grp != b.grp ORDER BY ALL'
    )


def _same_exchange(store: pair_store.PairStore) -> Iterator[tuple[str, str]]:
    """Groups with a question and its answer in common, as conversations may have."""
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
