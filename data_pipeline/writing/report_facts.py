"""The report's facts about the pairs themselves, gathered in one pass over them.

Memory does not grow with the number of pairs. Samples follow from the hashes of the
pairs' ids, not from chance.
"""

import collections
import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from data_pipeline.compared import described_pairs
from data_pipeline.writing import oddness, report_text, stream_counts
from hax_jax.data import packing, records, text

NUM_PAIRS = 5  # shown at random, and of the oddest
TOKEN_SAMPLE = 20_000  # pairs a split whose tokens are counted
ROWS = (512, 1024)  # lengths of packed rows
NUM_TOPICS = 20
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


class Collector:
    """Takes each pair of each split and gives the report's facts about them.

    `wanted` are the ids of pairs that the report shows (the kept ones of clusters).
    """

    def __init__(
        self, *, tokenizer: text.Tokenizer | None = None, wanted: Collection[str] = ()
    ) -> None:
        self._tokenizer = tokenizer
        self._wanted: dict[str, records.QaPair | None] = dict.fromkeys(wanted)
        self._words: dict[str, tuple[collections.Counter[int], ...]] = {}
        self._tokens: dict[str, stream_counts.Lowest[tuple[int, int]]] = {}
        self._topics = stream_counts.TopCounts()
        self._title_words = stream_counts.TopCounts()
        self._random = stream_counts.Lowest[tuple[str, records.QaPair]](NUM_PAIRS)
        self._odd = oddness.Odd()

    def of(self, split: str) -> Callable[[described_pairs.Described], None]:
        """The function that takes the pairs of `split`."""
        counts = self._words[split] = collections.Counter(), collections.Counter()
        sample = self._tokens[split] = stream_counts.Lowest(TOKEN_SAMPLE)

        def add(some: described_pairs.Described) -> None:
            for count, words in zip(counts, some.plain_words, strict=True):
                count.update(words)
            keys = np.array(some.id_hashes, np.uint64) >> np.uint64(12)
            if self._tokenizer is not None:
                self._count_tokens(some, keys, sample)
            for place in self._random.open_to(keys):
                key, name = int(keys[place]), some.ids[place]
                if self._random.wants(key, name):
                    shown = split, report_text.shortened(some.pair(place))
                    self._random.add(key, name, shown)
            for name in self._wanted.keys() & set(some.ids):
                pair = some.pair(some.ids.index(name))
                self._wanted[name] = report_text.shortened(pair)
            self._odd.add(some, split=split)
            self._topics.add(filter(None, some.topics))
            words = itertools.chain.from_iterable(map(str.split, some.title_words))
            self._title_words.add(words)

        return add

    def _count_tokens(
        self,
        some: described_pairs.Described,
        keys: np.ndarray,
        sample: stream_counts.Lowest[tuple[int, int]],
    ) -> None:
        """Puts the drawn pairs' lengths in tokens into the sample."""
        for place in sample.open_to(keys):
            key, name = int(keys[place]), some.ids[place]
            if sample.wants(key, name):
                whole = some.pair(place).as_one()
                encoded = self._tokenizer.encode([whole.question, whole.answer])
                sample.add(key, name, tuple(map(len, encoded)))

    def facts(self) -> dict[str, Any]:
        """All facts, without the lengths of splits that have no pairs."""
        # Without a tokenizer, every sample is empty.
        tokens = {split: sample.values() for split, sample in self._tokens.items()}
        of_tokens = {
            split: [
                collections.Counter(lengths) for lengths in zip(*sample, strict=True)
            ]
            for split, sample in tokens.items()
        }
        return {
            'lengths': [
                {'split': split, 'field': field, 'unit': unit, **_spread(counts)}
                for unit, by_split in (('words', self._words), ('tokens', of_tokens))
                for split, fields in by_split.items()
                for field, counts in zip(('question', 'answer'), fields, strict=False)
                if counts
            ],
            'tokenizer': self._tokenizer is not None,
            'fill': [
                {'split': split, 'row': row, **fill_of(sample, self._tokenizer, row)}
                for split, sample in tokens.items()
                if sample
                for row in ROWS
            ],
            'topics': _top(self._topics),
            'title_words': _top(self._title_words),
            'random': [
                {'split': split, 'pair': pair} for split, pair in self._random.values()
            ],
            'oddest': self._odd.oddest(NUM_PAIRS),
            'wanted': {
                name: pair for name, pair in self._wanted.items() if pair is not None
            },
        }


def fill_of(
    lengths: Sequence[tuple[int, int]], tokenizer: text.Tokenizer, row: int
) -> dict[str, Any]:
    """How full rows of `row` tokens would be with pairs of these lengths.

    A length is (question tokens, answer tokens) without the template's. As in packing
    with long_answers='drop', cuts a question that is too long and drops a pair whose
    answer leaves no space for a question.
    """
    pieces = text.template(tokenizer)
    placed, num_shortened = [], 0
    for question, answer in lengths:
        prompt = text.prompt(pieces, [0] * question, max_length=row - answer)
        if prompt is None:
            continue
        num_shortened += prompt.num_cut > 0
        placed.append(len(prompt.ids) + answer)  # and EOS, less one by the shift
    rows = packing.best_fit(placed, row)
    return {
        'pairs': len(lengths),
        'rows': len(rows),
        'filled': sum(placed) / max(len(rows) * row, 1),
        'shortened': num_shortened,
        'dropped': len(lengths) - len(placed),
    }


def _spread(counts: collections.Counter[int]) -> dict[str, Any]:
    """Quantiles, mean and a histogram whose bins grow with the lengths."""
    total = sum(counts.values())
    edges = [0, 1, 2, 4]
    while edges[-1] <= max(counts):
        edges += [edges[-1] * 3 // 2, edges[-1] * 2]
    bins = []
    for low, high in itertools.pairwise(edges):
        inside = sum(count for n, count in counts.items() if low <= n < high)
        bins.append({'low': low, 'high': high - 1, 'count': inside})
    while bins and not bins[-1]['count']:
        bins.pop()
    while len(bins) > 1 and not bins[0]['count']:
        bins.pop(0)
    return {
        'total': total,
        'quantiles': [stream_counts.quantile(counts, share) for share in QUANTILES],
        'mean': sum(n * count for n, count in counts.items()) / total,
        'histogram': bins,
    }


def _top(counts: stream_counts.TopCounts) -> dict[str, Any]:
    return {
        'rows': counts.top(NUM_TOPICS),
        'different': len(counts),
        'exact': counts.exact,
    }
