"""Overlap of validation and test with train, in runs of eight words.

A loss on text seen in training tells nothing. Components keep known copies on one side;
this module checks the result.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from data_pipeline.all_pairs import pair_store
from data_pipeline.pair_stages import word_runs
from hax_jax import errors
from hax_jax.data import records

_NAMED = 10
_BATCH = 1_000  # pairs
_FILTER_BITS = 22
_FILTER_SHIFT = np.uint64(64 - _FILTER_BITS)


@dataclasses.dataclass(frozen=True)
class Shared:
    """The distinct runs of a split, and how many of them train has too."""

    runs: int
    shared: int

    @property
    def share(self) -> float:
        return self.shared / self.runs if self.runs else 0.0


def measure(store: pair_store.PairStore) -> dict[str, Shared]:
    """The overlap of each held-out split with train.

    Holds eight bytes for each run of the held-out splits in memory.
    """
    none = np.zeros(0, np.uint64)
    held = {
        split: np.unique(
            np.concatenate([none, *(runs for _, runs, _ in _runs(store, split))])
        )
        for split in records.SPLITS
        if split != 'train'
    }
    found = {split: np.zeros(len(runs), bool) for split, runs in held.items()}
    # Most runs are in no other split: one look at this table says so.
    may_be_held = np.zeros(1 << _FILTER_BITS, bool)
    for known in held.values():
        may_be_held[known >> _FILTER_SHIFT] = True
    for _, runs, _ in _runs(store, 'train'):
        runs = runs[may_be_held[runs >> _FILTER_SHIFT]]
        for split, known in held.items():
            places, same = _look_up(known, runs)
            found[split][places[same]] = True
    return {split: Shared(len(held[split]), int(found[split].sum())) for split in held}


def check(store: pair_store.PairStore, *, limit: float) -> dict[str, Shared]:
    """The result of `measure`.

    Raises:
      InputError: a split shares more than `limit` of its runs; names the pairs.
    """
    measured = measure(store)
    over = [split for split, each in measured.items() if each.share > limit]
    if not over:
        return measured
    lines = []
    for split in over:
        each = measured[split]
        lines.append(
            f'{split} shares {each.shared:,} of its {each.runs:,} runs of '
            f'{word_runs.LENGTH} words with train ({each.share:.1%}; '
            f'split.max_shared_ngrams={limit:g}):'
        )
        lines += [
            f'  {one} has {count} of them in common with {other}'
            for one, other, count in _pairs(store, split)[:_NAMED]
        ]
    lines.append(
        'A loss on such pairs says little. Pairs with many runs in common are copies '
        'that no rule has found: lower duplicates.threshold '
        '(--config.duplicates.threshold=0.5) or take the files that hold them twice '
        'out of --input. Few runs in common are phrases of a large corpus: raise '
        '--config.split.max_shared_ngrams.'
    )
    raise errors.InputError('\n'.join(lines))


def _pairs(store: pair_store.PairStore, split: str) -> list[tuple[str, str, int]]:
    """(id there, id in train, runs in common) of all such pairs, most runs first."""
    holders: dict[int, set[str]] = collections.defaultdict(set)
    for ids, runs, owners in _runs(store, split):
        for run, owner in zip(runs.tolist(), owners.tolist(), strict=True):
            holders[run].add(ids[owner])
    known = np.array(sorted(holders), np.uint64)
    common: collections.Counter[tuple[str, str]] = collections.Counter()
    for ids, runs, owners in _runs(store, 'train'):
        _, same = _look_up(known, runs)
        shared = set(zip(runs[same].tolist(), owners[same].tolist(), strict=True))
        for run, owner in shared:
            # For a phrase in very many pairs, a few of them are enough.
            for holder in sorted(holders[run])[:_NAMED]:
                common[holder, ids[owner]] += 1
    found = [(one, other, count) for (one, other), count in common.items()]
    return sorted(found, key=lambda each: (-each[2], *each))


def _look_up(known: np.ndarray, runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place of each run among the sorted known ones, and whether it is known."""
    if not len(known):
        return np.zeros(len(runs), np.int64), np.zeros(len(runs), bool)
    places = np.minimum(np.searchsorted(known, runs), len(known) - 1)
    return places, known[places] == runs


def _runs(
    store: pair_store.PairStore, split: str
) -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
    """(ids, runs, owners) of a batch of a split's pairs at a time.

    `runs` are 64-bit hashes, `owners` the index in `ids` of each run's pair.
    """
    found = store.runs(
        'SELECT {runs}, id FROM kept AS pairs JOIN home USING (grp) '
        f"WHERE home.split = '{split}' ORDER BY ordinal"
    )
    while batch := list(itertools.islice(found, _BATCH)):
        runs = [each for each, _ in batch]
        sizes = [len(each) for each in runs]
        ids = [name for _, (name,) in batch]
        yield ids, np.concatenate(runs), np.repeat(np.arange(len(batch)), sizes)
