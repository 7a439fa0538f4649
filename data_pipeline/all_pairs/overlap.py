"""What validation and test share with train: runs of eight words.

A loss on text that was trained on tells nothing. Groups keep known copies together;
this looks whether that was enough.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from data_pipeline.all_pairs import pair_store, word_runs
from data_pipeline.pair_stages import folding
from hax_jax import errors
from hax_jax.data import records

_NAMED = 10
_BATCH = 1_000  # pairs
_NONE = np.zeros(0, np.uint64)


@dataclasses.dataclass(frozen=True)
class Shared:
    """Of the distinct runs of a split, how many stand in train too."""

    runs: int
    shared: int

    @property
    def share(self) -> float:
        return self.shared / self.runs if self.runs else 0.0


def measure(store: pair_store.PairStore) -> dict[str, Shared]:
    """The runs of each held-out split, and how many of them are in train.

    Held in memory: eight bytes a run of the held-out splits.
    """
    held = {
        split: np.unique(
            np.concatenate([_NONE, *(runs for _, runs, _ in _runs(store, split))])
        )
        for split in records.SPLITS
        if split != 'train'
    }
    found = {split: np.zeros(len(runs), bool) for split, runs in held.items()}
    for _, runs, _ in _runs(store, 'train'):
        for split, known in held.items():
            places, same = _look_up(known, runs)
            found[split][places[same]] = True
    return {split: Shared(len(held[split]), int(found[split].sum())) for split in held}


def check(store: pair_store.PairStore, *, limit: float) -> dict[str, Shared]:
    """What `measure` finds.

    Raises:
      InputError: a split shares more than `limit` of its runs; it names the pairs.
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
        'A loss on such pairs says little. Where they have many in common, they are '
        'copies that were not known as such: lower duplicates.threshold '
        '(--config.duplicates.threshold=0.5) or take the files that hold them twice '
        'out of --input. Where they have few, they are phrases of a large corpus: '
        'raise --config.split.max_shared_ngrams.'
    )
    raise errors.InputError('\n'.join(lines))


def _pairs(store: pair_store.PairStore, split: str) -> list[tuple[str, str, int]]:
    """(id there, id in train, runs in common) of the pairs that share most."""
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
            # Of a phrase that very many have, some stand for all.
            for holder in sorted(holders[run])[:_NAMED]:
                common[holder, ids[owner]] += 1
    ranked = sorted(common.items(), key=lambda item: (-item[1], item[0]))
    return [(one, other, count) for (one, other), count in ranked]


def _look_up(known: np.ndarray, runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each run would stand among the sorted known ones, and whether it does."""
    if not len(known):
        return np.zeros(len(runs), np.int64), np.zeros(len(runs), bool)
    places = np.minimum(np.searchsorted(known, runs), len(known) - 1)
    return places, known[places] == runs


def _runs(
    store: pair_store.PairStore, split: str
) -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
    """(ids, runs, owners) of some pairs of a split at a time.

    `runs` holds a 64-bit hash of each run, `owners` which of the ids it is of.
    """
    query = (
        'SELECT {pair} FROM kept AS pairs JOIN home USING (grp) '
        f"WHERE home.split = '{split}' ORDER BY ordinal"
    )
    found = (pair for (pair,) in store.found(query))
    while batch := list(itertools.islice(found, _BATCH)):
        texts = [
            folding.folded(text).split()
            for pair in batch
            for text in (pair.question, pair.answer)
        ]
        runs, owners = word_runs.of(texts)
        yield [pair.id for pair in batch], runs, owners // 2
