"""What validation and test share with train: runs of eight words.

A loss on text that was trained on tells nothing. Groups keep known copies together;
this looks whether that was enough.
"""

import collections
import collections.abc
import dataclasses

import numpy as np

from data_pipeline import dedupe, pair_store
from hax_jax import config, records

_LENGTH = 8  # words
_MOST_WORDS = 1_000_000  # whose hashes are remembered
_NAMED = 10


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
    held = _held_out(store)
    found = {split: np.zeros(len(runs), bool) for split, runs in held.items()}
    for _, runs in _runs(store, ['train']):
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
            f'{split} shares {each.shared:,} of its {each.runs:,} runs of {_LENGTH} '
            f'words with train ({each.share:.1%}; split.max_shared_ngrams={limit:g}):'
        )
        lines += [
            f'  {one} has {count} of them in common with {other}'
            for one, other, count in _pairs(store, split)[:_NAMED]
        ]
    lines.append(
        'A loss on such pairs says little. They are copies that were not known as '
        'such: lower duplicates.threshold (--config.duplicates.threshold=0.5), take '
        'the files that hold them twice out of --input, or raise '
        '--config.split.max_shared_ngrams.'
    )
    raise config.InputError('\n'.join(lines))


def _pairs(store: pair_store.PairStore, split: str) -> list[tuple[str, str, int]]:
    """(id there, id in train, runs in common) of the pairs that share most."""
    owners: dict[int, list[str]] = collections.defaultdict(list)
    for pair, runs in _runs(store, [split]):
        for run in runs.tolist():
            owners[run].append(pair.id)
    known = np.array(sorted(owners), np.uint64)
    common: collections.Counter[tuple[str, str]] = collections.Counter()
    for pair, runs in _runs(store, ['train']):
        _, same = _look_up(known, runs)
        for run in runs[same].tolist():
            for owner in owners[run][:_NAMED]:
                common[owner, pair.id] += 1
    ranked = sorted(common.items(), key=lambda item: (-item[1], item[0]))
    return [(one, other, count) for (one, other), count in ranked]


def _held_out(store: pair_store.PairStore) -> dict[str, np.ndarray]:
    """The distinct runs of each held-out split, sorted."""
    return {
        split: np.unique(
            np.concatenate(
                [np.zeros(0, np.uint64), *(runs for _, runs in _runs(store, [split]))]
            )
        )
        for split in records.SPLITS
        if split != 'train'
    }


def _look_up(known: np.ndarray, runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each run would stand among the sorted known ones, and whether it does."""
    if not len(known):
        return np.zeros(len(runs), np.int64), np.zeros(len(runs), bool)
    places = np.minimum(np.searchsorted(known, runs), len(known) - 1)
    return places, known[places] == runs


def _runs(
    store: pair_store.PairStore, splits: collections.abc.Sequence[str]
) -> collections.abc.Iterator[tuple[records.QaPair, np.ndarray]]:
    """Each pair of the splits with the 64-bit hashes of its distinct runs, sorted."""
    numbers: dict[str, int] = {}
    factors = np.random.Philox(11).random_raw(_LENGTH) | np.uint64(1)
    wanted = ', '.join(f"'{split}'" for split in splits)
    query = (
        'SELECT {pair} FROM kept AS pairs JOIN home ON home.grp = pairs.grp '
        f'WHERE home.split IN ({wanted})'
    )
    for (pair,) in store.found(query):
        runs = []
        for text in (pair.question, pair.answer):
            words = dedupe.folded(text).split()
            if len(words) < _LENGTH:
                continue
            if len(numbers) > _MOST_WORDS:
                numbers.clear()
            ids = np.array([_number(word, numbers) for word in words], np.uint64)
            windows = np.lib.stride_tricks.sliding_window_view(ids, _LENGTH)
            runs.append((windows * factors).sum(axis=1, dtype=np.uint64))
        yield pair, np.unique(np.concatenate([np.zeros(0, np.uint64), *runs]))


def _number(word: str, numbers: dict[str, int]) -> int:
    """64 bits of a word's hash; `numbers` remembers."""
    found = numbers.get(word)
    if found is None:
        digest = records.sha256(word)[:16]
        found = numbers[word] = int(digest, 16)
    return found
