"""Overlap of validation and test with train, in runs of eight words.

A loss on text seen in training tells nothing. Components keep known copies on one side;
this module checks the result. Standing passages (standing.py) do not count.
"""

import collections
import dataclasses
import math
import re
import sys
from collections.abc import Iterator

import numpy as np

from data_pipeline.all_pairs import equal_values, pair_store
from data_pipeline.pair_stages import folding, word_runs
from hax_jax import errors
from hax_jax.data import records

FEWEST_STANDING = 5  # pairs: fewer can be copies of one story
_NAMED = 10
_LOOKED_AT = 200  # pairs whose passages are quoted, each once
_PASSAGES = 3
_LONGEST_QUOTE = 160  # characters
_WORD = re.compile(r'[^\W_]+')
_BATCH = 1_000  # pairs


@dataclasses.dataclass(frozen=True)
class Shared:
    """The distinct runs of a split, and how many of them train has too.

    Both leave out the runs of standing passages, of which the split has `standing`.
    """

    runs: int
    shared: int
    standing: int = 0

    @property
    def share(self) -> float:
        return self.shared / self.runs if self.runs else 0.0


@dataclasses.dataclass(frozen=True)
class _Held:
    """The distinct runs of the held-out splits, sorted, and who has them.

    `pairs` is the number of pairs of different questions that hold each run, `places`
    has the places of each split's runs, `known` finds those of any.
    """

    known: equal_values.Places
    pairs: np.ndarray
    in_train: np.ndarray
    places: dict[str, np.ndarray]


def measure(
    store: pair_store.PairStore, *, standing: int = sys.maxsize
) -> dict[str, Shared]:
    """The overlap of each held-out split with train.

    A run that `standing` pairs hold counts as none. Holds some twenty bytes for each
    run of the held-out splits in memory.
    """
    return _shared(_held(store), standing)


def check(
    store: pair_store.PairStore, *, limit: float, standing: int = sys.maxsize
) -> tuple[dict[str, Shared], list[str]]:
    """(the result of `measure`, a note of the standing passages).

    Raises:
      InputError: a split shares more than `limit` of its runs; quotes the passages.
    """
    held = _held(store)
    measured = _shared(held, standing)
    total = store.number('SELECT count(*) FROM kept')
    left_out = held.known.values[held.pairs >= standing]
    found = [f'"{q}" ({n:,})' for q, n in _passages(store, held, left_out)]
    notes = [
        f'passages that stand in many of the {total:,} pairs do not count as text that '
        f'splits share (split.standing_share): {", ".join(found)}. '
        '--config.clean.cut_standing=true cuts them off the answers where they are '
        'lines of their own.'
    ]
    notes = notes if found else []
    over = [split for split, each in measured.items() if each.share > limit]
    if not over:
        return measured, notes
    lines = []
    for split in over:
        each = measured[split]
        lines.append(
            f'{split} shares {each.shared:,} of its {each.runs:,} runs of '
            f'{word_runs.LENGTH} words with train ({each.share:.1%}; '
            f'split.max_shared_ngrams={limit:g}):'
        )
        lines += _common(store, held, split, standing)
    raise errors.InputError('\n'.join([*lines, _remedy(held, limit, total)]))


def _remedy(held: _Held, limit: float, total: int) -> str:
    """The end of the error: what to do, each of which works."""
    parts = ['A loss on such pairs says little.']
    if fewest := _enough(held, limit):
        # Rounded down, so that a passage in `fewest` pairs reaches it.
        share = math.floor(fewest / total * 10_000) / 10_000 or 0.0001
        parts.append(
            f'A passage in {fewest:,} pairs or more is a signature or the like: '
            f'--config.split.standing_share={share:g} leaves it out of the count, and '
            'with --config.clean.cut_standing=true cuts it off the answers.'
        )
    parts.append(
        'Pairs with many runs in common are copies that no rule has found: lower '
        'duplicates.threshold (--config.duplicates.threshold=0.5) or take the files '
        'that hold them twice out of --input. Few runs in common are phrases of a '
        'large corpus: raise --config.split.max_shared_ngrams.'
    )
    return ' '.join(parts)


def _enough(held: _Held, limit: float) -> int:
    """The highest number of pairs from which passages must not count; 0 for none."""
    counts = np.unique(held.pairs[held.in_train & (held.pairs >= FEWEST_STANDING)])
    low, high = 0, len(counts)  # a lower count leaves more out
    while low < high:
        middle = (low + high) // 2
        shares = [each.share for each in _shared(held, int(counts[middle])).values()]
        if max(shares) > limit:
            high = middle
        else:
            low = middle + 1
    return int(counts[low - 1]) if low else 0


def _held(store: pair_store.PairStore) -> _Held:
    none = np.zeros(0, np.uint64)
    by_split = {
        split: word_runs.distinct(
            np.concatenate([none, *(each.runs for each in _runs(store, split))])
        )
        for split in records.SPLITS
        if split != 'train'
    }
    runs = word_runs.distinct(np.concatenate([none, *by_split.values()]))
    known = equal_values.Places(runs)
    pairs = np.zeros(len(runs), np.int64)
    in_train = np.zeros(len(runs), bool)
    for split in records.SPLITS:
        for each in _runs(store, split):
            found, places = known.find(each.runs)
            by_story = places.astype(np.int64) * _BATCH + each.stories[found]
            once = word_runs.distinct(by_story) // _BATCH  # a question
            np.add.at(pairs, once, 1)
            if split == 'train':
                in_train[places] = True
    places = {split: known.find(runs)[1] for split, runs in by_split.items()}
    return _Held(known, pairs, in_train, places)


def _shared(held: _Held, standing: int) -> dict[str, Shared]:
    is_standing = held.pairs >= standing
    return {
        split: Shared(
            int((~is_standing[places]).sum()),
            int((held.in_train & ~is_standing)[places].sum()),
            int(is_standing[places].sum()),
        )
        for split, places in held.places.items()
    }


def _common(
    store: pair_store.PairStore, held: _Held, split: str, standing: int
) -> list[str]:
    """Lines for people: the pairs with most in common, each passage quoted once."""
    lines: list[str] = []
    seen: set[str] = set()
    left_out = held.known.values[held.pairs >= standing]
    for one, other, count, runs in _pairs(store, split, left_out):
        found = _passages(store, held, np.array(sorted(runs), np.uint64), pair_id=one)
        quote, pairs = next(found, ('', 0))
        if quote in seen:
            continue
        seen.add(quote)
        lines.append(
            f'  {one} has {count} of them in common with {other}: "{quote}" '
            f'(in {pairs:,} pairs)'
        )
        if len(lines) == _NAMED:
            break
    return lines


def _pairs(
    store: pair_store.PairStore, split: str, left_out: np.ndarray
) -> list[tuple[str, str, int, set[int]]]:
    """(id there, id in train, number of runs in common, the runs), most runs first."""
    holders: dict[int, set[str]] = collections.defaultdict(set)
    ids = _ids(store, split)
    for each in _runs(store, split):
        for run, owner in zip(each.runs.tolist(), each.owners.tolist(), strict=True):
            holders[run].add(ids[owner])
    known = equal_values.Places(
        np.setdiff1d(np.array(sorted(holders), np.uint64), left_out)
    )
    common: dict[tuple[str, str], set[int]] = collections.defaultdict(set)
    ids = _ids(store, 'train')
    for each in _runs(store, 'train'):
        same, _ = known.find(each.runs)
        found = zip(each.runs[same].tolist(), each.owners[same].tolist(), strict=True)
        for run, owner in set(found):
            # For a phrase in very many pairs, a few of them are enough.
            for holder in sorted(holders[run])[:_NAMED]:
                common[holder, ids[owner]].add(run)
    listed = [(one, other, len(runs), runs) for (one, other), runs in common.items()]
    return sorted(listed, key=lambda row: (-row[2], *row[:2]))[:_LOOKED_AT]


def _passages(
    store: pair_store.PairStore, held: _Held, wanted: np.ndarray, pair_id: str = ''
) -> Iterator[tuple[str, int]]:
    """(the words, the number of pairs with them) of the passages that `wanted` make.

    Looks for them in the held-out pairs, or in one of them; yields three at most.
    """
    query = (
        'SELECT {pair} FROM kept AS pairs JOIN home USING (grp) '
        "WHERE home.split != 'train' ORDER BY ordinal"
    )
    num_found = 0
    for (pair,) in store.found(query) if len(wanted) else ():
        if pair_id and pair.id != pair_id:
            continue
        whole = pair.as_one()
        for text in (whole.question, whole.answer):
            runs = word_runs.of(folding.folded(text))
            for start, end in _spans(np.isin(runs, wanted)):
                part = runs[start:end]
                if not np.isin(part, wanted).all():
                    continue  # yielded above
                wanted = np.setdiff1d(wanted, part)
                _, places = held.known.find(part)
                # Of passages that overlap, the one that stands most often.
                counts = held.pairs[places]
                first, last = _spans(counts == counts.max())[0]
                last += word_runs.LENGTH - 1
                yield _quote(text, start + first, start + last), int(counts.max())
                num_found += 1
                if num_found == _PASSAGES or not len(wanted):
                    return


def _spans(are: np.ndarray) -> list[tuple[int, int]]:
    """[start, end) of each row of true values in [N] bool, the longest first."""
    edges = np.flatnonzero(np.diff(are, prepend=False, append=False))
    spans = [(start, end) for start, end in edges.reshape(-1, 2).tolist()]
    return sorted(spans, key=lambda span: span[0] - span[1])


def _quote(text: str, start: int, end: int) -> str:
    """The words [start, end) of a text as they are written, on one line."""
    places = [match.span() for match in _WORD.finditer(text)]
    quote = ' '.join(text[places[start][0] : places[end - 1][1]].split())
    return quote if len(quote) <= _LONGEST_QUOTE else f'{quote[:_LONGEST_QUOTE]}…'


@dataclasses.dataclass(frozen=True)
class _Runs:
    """The runs of a batch of pairs, 64-bit hashes, each with its pair.

    `owners` are places in the split; `stories` number the batch's different questions.
    """

    runs: np.ndarray
    owners: np.ndarray
    stories: np.ndarray


def _runs(store: pair_store.PairStore, split: str) -> Iterator[_Runs]:
    """The runs of a split's pairs, a batch at a time."""
    first, count, story = store.arrays(
        f'SELECT first_run, num_runs, hash({pair_store.STORY}) {_of(split)}'
    )
    for start in range(0, len(first), _BATCH):
        part = slice(start, start + _BATCH)
        sizes = count[part]
        _, stories = np.unique(story[part], return_inverse=True)
        yield _Runs(
            store.runs(first[part], sizes),
            np.repeat(np.arange(start, start + len(sizes)), sizes),
            np.repeat(stories, sizes),
        )


def _ids(store: pair_store.PairStore, split: str) -> list[str]:
    return [name for (name,) in store.rows(f'SELECT id {_of(split)}')]


def _of(split: str) -> str:
    return (
        'FROM kept AS pairs JOIN home USING (grp) '
        f"WHERE home.split = '{split}' ORDER BY ordinal"
    )
