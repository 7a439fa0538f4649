"""The split of each pair, by whole components in the order of their hashes.

A component (components.py) never spans two splits: its pairs share names, a story or a
host's mood, so its validation pairs would repeat what was trained on.
"""

import collections
import hashlib
import math
import sys
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from data_pipeline.all_pairs import pair_store
from hax_jax import counted, errors
from hax_jax.data import records

SALT = 'hax_jax'
HELD_OUT = ('validation', 'test')


def assign(
    store: pair_store.PairStore, *, shares: Mapping[str, float], salt: str = SALT
) -> list[str]:
    """Gives each group of the store's `home` its split, for any order of the pairs.

    Components are sorted by sha256(salt, name). Validation chooses first, then test,
    each in four steps; train gets the rest:

    1. from each source, components up to the split's share of that source's pairs;
    2. from each kind of source ('reddit' for 'reddit:advice'), up to its share;
    3. from all that are left, up to its share of all pairs;
    4. if it is still empty, the smallest component.

    The source of a component is that of most of its pairs. Steps 1 to 3 take a
    component if that brings the split nearer to its share, so a split never reaches
    twice its share: 200 pairs never go where 10 are wanted. The last component left is
    train's. Returns a sentence for each difference from the shares.

    100 posts of 1 pair and 3 chats of 20, at 0.05 for validation (8 of 160 pairs): 5
    posts; no chat (20 is not nearer to 3 than 0 is); then 3 posts more.

    Raises:
      InputError: a share is out of range, or validation or train would be empty.
    """
    check_shares(shares)
    names, sources, sizes = _components(store, salt)
    if len(names) < 2:
        pairs = int(sizes.sum())
        why = 'SELECT reason, count(*) AS n FROM gone GROUP BY reason ORDER BY n DESC'
        gone = ', '.join(f'{n:,} {reason}' for reason, n in store.rows(why))
        raise errors.InputError(
            f'{counted.of(pairs, "pairs")} in {counted.of(len(names), "groups")}'
            f'{f" (dropped: {gone})" if gone else ""} cannot be split: a '
            'group (one Reddit post, one chat file, all pairs of one answer) stays '
            'whole, and train and '
            'validation need one each. Give more files with --input' + _cut(sources)
        )
    homes = _homes(sources, sizes, shares)
    splits = np.array(records.SPLITS)[homes]
    store.sql.execute(
        'CREATE OR REPLACE TABLE assigned (component VARCHAR, split VARCHAR,'
        ' place BIGINT)'
    )
    store.insert(
        'assigned',
        pa.table({'component': names, 'split': splits, 'place': np.arange(len(names))}),
    )
    store.sql.execute(
        'CREATE OR REPLACE TABLE home AS SELECT grp, component, assigned.split, '
        'assigned.place FROM home JOIN assigned USING (component)'
    )
    return _notes(sources, sizes, homes, shares)


def check_shares(shares: Mapping[str, float]) -> None:
    """Raises InputError unless the shares are in range and leave one for train."""
    problems = []
    if not 0 < shares['validation'] < 1:
        problems.append(
            f'--validation_share={shares["validation"]:g} is not accepted; use a number'
            ' over 0 and under 1, such as 0.05 (training needs a validation split).'
        )
    if not 0 <= shares['test'] < 1:
        problems.append(
            f'--test_share={shares["test"]:g} is not accepted; use a number from 0 (no '
            'test split) to under 1.'
        )
    if not problems and shares['validation'] + shares['test'] >= 1:
        problems.append(
            f'--validation_share={shares["validation"]:g} and --test_share='
            f'{shares["test"]:g} leave nothing to train on; lower them to under 1 '
            'together.'
        )
    if problems:
        raise errors.InputError('\n'.join(problems))


def _components(
    store: pair_store.PairStore, salt: str
) -> tuple[list[str], list[str], np.ndarray]:
    """Names, sources and numbers of pairs of the components, in their hashes' order."""
    most: dict[str, tuple[int, str]] = {}
    sizes: collections.Counter[str] = collections.Counter()
    query = (
        'SELECT component, source, count(*) FROM kept JOIN home USING (grp) '
        'GROUP BY ALL ORDER BY component, source'
    )
    for name, source, count in store.rows(query):
        sizes[name] += count
        if count > most.get(name, (0, ''))[0]:
            most[name] = (count, sys.intern(source))
    names = sorted(
        sizes, key=lambda name: hashlib.sha256(f'{salt}\n{name}'.encode()).hexdigest()
    )
    return (
        names,
        [most[name][1] for name in names],
        np.array([sizes[name] for name in names], np.int64),
    )


def _homes(
    sources: list[str], sizes: np.ndarray, shares: Mapping[str, float]
) -> np.ndarray:
    """[C] the index in `records.SPLITS` for each component; train is 0."""
    by_source = collections.defaultdict(list)
    by_kind = collections.defaultdict(list)
    for i, source in enumerate(sources):
        by_source[source].append(i)
        by_kind[records.kind(source)].append(i)
    everything = list(range(len(sources)))
    pairs = sizes.tolist()  # numbers of Python's, which a loop reads faster
    homes = [0] * len(sources)
    left = len(sources)
    for split in HELD_OUT:
        index = records.SPLITS.index(split)
        for candidates in [*by_source.values(), *by_kind.values(), everything]:
            room = shares[split] * sum(pairs[i] for i in candidates)
            room -= sum(pairs[i] for i in candidates if homes[i] == index)
            for i in candidates:
                if 2 * room <= 1:  # no component is that small
                    break
                if not homes[i] and pairs[i] < 2 * room and left > 1:
                    homes[i], left = index, left - 1
                    room -= pairs[i]
        if shares[split] > 0 and index not in homes and left > 1:
            free = [i for i in everything if not homes[i]]
            homes[min(free, key=lambda i: pairs[i])], left = index, left - 1
    return np.array(homes, np.int8)


def _notes(
    sources: list[str],
    sizes: np.ndarray,
    homes: np.ndarray,
    shares: Mapping[str, float],
) -> list[str]:
    """A sentence for each way in which the splits differ from their shares."""
    total = int(sizes.sum())
    kinds = np.array([records.kind(source) for source in sources])
    found = []
    for split in HELD_OUT:
        mine = homes == records.SPLITS.index(split)
        count, target = int(sizes[mine].sum()), shares[split] * total
        if shares[split] > 0 and not count:
            found.append(f'{split} is empty: there are too few groups for it.')
            continue
        if count > 2 * target or count < target / 2:
            found.append(
                f'{split} has {count} of {total} pairs '
                f'({count / total:.1%}), --{split}_share={shares[split]:g} '
                f'asked for {target:.1f}: groups stay whole. Give more files'
                + (', or --test_share=0' if split == 'test' else '')
                + _cut(sources)
            )
        if shares[split] > 0:
            for kind in sorted(set(kinds) - set(kinds[mine])):
                found.append(_none_of(kind, sizes[kinds == kind], split, shares[split]))
    for kind in sorted(set(kinds) - set(kinds[homes == 0])):
        found.append(
            f'train has no pair of {kind}: give more files of it' + _cut([kind])
        )
    return found


def _cut(sources: Iterable[str]) -> str:
    """The end of an advice to give more files; with chats, one file may hold twenty."""
    if 'chat' not in map(records.kind, sources):
        return '.'
    return '; cut a file that holds several chats into one file for each.'


def _none_of(kind: str, sizes: np.ndarray, split: str, share: float) -> str:
    smallest, total = int(sizes.min()), int(sizes.sum())
    if len(sizes) == 1 or smallest < 2 * share * total:
        return f'{split} has no pair of {kind}: give more files of it' + _cut([kind])
    enough = (math.floor(50 * smallest / total) + 1) / 100
    return (
        f'{split} has no pair of {kind}: its smallest group is {smallest} of '
        f'{total} pairs, too many for a share of {share:g}; '
        f'--{split}_share={enough:g} would take it.'
    )
