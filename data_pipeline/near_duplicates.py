"""Near duplicates: pairs whose question and answer are almost those of another.

A repost of a question with another answer is none: its answer is somebody's own. Texts
are compared as sets of three words that follow each other, without case and
punctuation; what is kept of a text is its MinHash signature alone.

    index = near_duplicates.Index(chosen)
    for ordinal, pair in enumerate(pairs): index.add(ordinal, pair)
    index.duplicates()     # {ordinal that goes: ordinal kept in its place}

Source: Broder, On the resemblance and containment of documents (1997).
"""

import collections
import collections.abc
import dataclasses

import datasketch
import numpy as np

from data_pipeline import dedupe, settings
from hax_jax import records

REASON = 'near duplicate'
_SHINGLE = 3  # words
_SEED = 1
_SCHEME = 'affine32'
# Missing a duplicate costs more than a comparison too many: those are checked.
_WEIGHTS = (0.2, 0.8)  # of false positives and negatives, as the bands are chosen


@dataclasses.dataclass(frozen=True)
class _Entry:
    """What is remembered of a pair: its rank in a cluster and its signatures."""

    rank: tuple[int, int, str, str, int]
    question: np.ndarray  # [num_perm] uint32
    answer: np.ndarray  # [num_perm] uint32


class Index:
    """The signatures of the pairs so far and which of them are near one another."""

    def __init__(self, chosen: settings.DuplicateSettings) -> None:
        self._threshold = chosen.threshold
        self._blank = datasketch.MinHash(
            num_perm=chosen.num_perm, seed=_SEED, scheme=_SCHEME
        )
        self._lsh = datasketch.MinHashLSH(
            threshold=chosen.threshold, num_perm=chosen.num_perm, weights=_WEIGHTS
        )
        self._entries: dict[int, _Entry] = {}
        self._parents: dict[int, int] = {}

    def add(self, ordinal: int, pair: records.QaPair) -> None:
        """Compares a pair with all before it; `ordinal` is any number of its own."""
        question, answer = self._signature(pair.question), self._signature(pair.answer)
        entry = _Entry(
            (-pair.score, -len(pair.answer), pair.id, pair.file, pair.line),
            question.hashvalues,
            answer.hashvalues,
        )
        self._parents[ordinal] = ordinal
        for other in self._lsh.query(question):
            near = self._entries[other]
            if (
                np.mean(near.question == entry.question) >= self._threshold
                and np.mean(near.answer == entry.answer) >= self._threshold
            ):
                self._join(ordinal, other)
        self._lsh.insert(ordinal, question)
        self._entries[ordinal] = entry

    def clusters(self) -> list[list[int]]:
        """The clusters of two or more, best pair first: score, then length, then id.

        If a is near b and b near c, all three are one cluster.
        """
        members = collections.defaultdict(list)
        for ordinal in self._parents:
            members[self._root(ordinal)].append(ordinal)
        found = [
            sorted(cluster, key=lambda each: self._entries[each].rank)
            for cluster in members.values()
            if len(cluster) > 1
        ]
        return sorted(found, key=lambda cluster: self._entries[cluster[0]].rank)

    def duplicates(self) -> dict[int, int]:
        """Each ordinal that goes, and the one kept in its place."""
        return {gone: cluster[0] for cluster in self.clusters() for gone in cluster[1:]}

    def _signature(self, text: str) -> datasketch.MinHash:
        words = dedupe.folded(text).split()
        shingles = {
            ' '.join(words[i : i + _SHINGLE])
            for i in range(max(1, len(words) - _SHINGLE + 1))
        }
        signature = self._blank.copy()
        signature.update_batch([each.encode() for each in sorted(shingles)])
        return signature

    def _root(self, ordinal: int) -> int:
        root = ordinal
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[ordinal] != root:
            self._parents[ordinal], ordinal = root, self._parents[ordinal]
        return root

    def _join(self, one: int, other: int) -> None:
        low, high = sorted((self._root(one), self._root(other)))
        self._parents[high] = low


def near(
    pairs: collections.abc.Sequence[records.QaPair],
    chosen: settings.DuplicateSettings,
) -> tuple[list[records.QaPair], list[dedupe.Duplicate]]:
    """The pairs without near duplicates, in their order, and what was dropped.

    Neither depends on the order of the pairs.
    """
    if not chosen.near:
        return list(pairs), []
    index = Index(chosen)
    for ordinal, pair in enumerate(pairs):
        index.add(ordinal, pair)
    gone = index.duplicates()
    kept = [pair for i, pair in enumerate(pairs) if i not in gone]
    return kept, [
        dedupe.Duplicate(pairs[i].id, pairs[gone[i]].id, REASON) for i in sorted(gone)
    ]
