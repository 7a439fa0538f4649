"""Runs of eight words as 64-bit hashes, to find passages that texts share."""

import hashlib
from collections.abc import Sequence

import numpy as np

LENGTH = 8  # words
_MOST_WORDS = 1_000_000  # with remembered hashes
_SAMPLED = 4  # keep one of so many runs
_FACTORS = np.random.Philox(11).random_raw(LENGTH) | np.uint64(1)


def of(texts: Sequence[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """(runs, owners): the hash of each run of each text, and the index of its text.

    A text of 10 words has 3 runs; one of under 8 words has none.
    """
    words, owners = [], []
    for owner, text in enumerate(texts):
        words += [*text, '']  # a run ends where its text does
        owners += [owner] * (len(text) + 1)
    if len(words) < LENGTH:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    if len(_numbers) > _MOST_WORDS:
        _numbers.clear()
    hashes = np.fromiter(map(_numbers.__getitem__, words), np.uint64, len(words))
    windows = np.lib.stride_tricks.sliding_window_view(hashes, LENGTH)
    whole = (windows != 0).all(axis=1)
    runs = sum(windows[:, i] * _FACTORS[i] for i in range(LENGTH))
    return runs[whole], np.array(owners[: len(runs)], np.int64)[whole]


def sample(texts: Sequence[list[str]]) -> tuple[int, ...]:
    """The distinct runs whose hash falls into one fourth: the same runs in any text."""
    runs, _ = of(texts)
    # Not the lowest bits, which depend on the parity of the factors.
    return tuple(np.unique(runs[(runs >> np.uint64(40)) % _SAMPLED == 0]).tolist())


class _Numbers(dict[str, int]):
    """64 bits of each word's hash; 0 for no word."""

    def __missing__(self, word: str) -> int:
        digest = hashlib.blake2b(
            word.encode('utf-8', 'surrogatepass'), digest_size=8
        ).digest()
        self[word] = int.from_bytes(digest, 'little') if word else 0
        return self[word]


_numbers = _Numbers()
