"""Runs of eight words as 64-bit hashes, to find passages that texts share."""

import functools
import hashlib

import numpy as np

LENGTH = 8  # words
_MOST_WORDS = 250_000  # with remembered hashes, about 45 MB
_SAMPLED = 4  # keep one of so many runs, a power of two
_FACTORS = np.random.Philox(11).random_raw(LENGTH) | np.uint64(1)
_REMEMBERED = 2048  # texts, about 5 MB each


@functools.lru_cache(_REMEMBERED)
def numbers(folded: str) -> np.ndarray:
    """[words] uint64: the hash of each word of a folded text, in order."""
    words = folded.split()
    if len(_numbers) > _MOST_WORDS:
        _numbers.clear()
    made = np.fromiter(map(_numbers.__getitem__, words), np.uint64, len(words))
    made.flags.writeable = False  # the next caller gets the same array
    return made


@functools.lru_cache(_REMEMBERED)
def of(folded: str) -> np.ndarray:
    """[runs] uint64: the hash of each run of a folded text, in order.

    A text of 10 words has 3 runs; one of under 8 words has none.
    """
    runs = combined(numbers(folded), LENGTH)
    runs.flags.writeable = False
    return runs


def combined(words: np.ndarray, length: int) -> np.ndarray:
    """[words] uint64 -> [words - length + 1] uint64: a hash of each `length` words."""
    if len(words) < length:
        return words[:0]  # np.correlate would exchange the two
    return np.correlate(words, _FACTORS[:length], 'valid')


def num_words(folded: str) -> int:
    """The number of words of a folded text."""
    return len(numbers(folded))


def is_sampled(runs: np.ndarray) -> np.ndarray:
    """Whether the hash falls into one fourth: the same runs in any text."""
    # Not the lowest bits, which depend on the parity of the factors.
    return runs & np.uint64((_SAMPLED - 1) << 40) == 0


def distinct(values: np.ndarray) -> np.ndarray:
    """[N] -> [M] the different values, sorted; faster than the hashes of np.unique."""
    values = np.sort(values)
    return values[np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]]


def hash64(text: str) -> int:
    """64 bits of a text's hash, the same in any process."""
    digest = hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=8)
    return int.from_bytes(digest.digest(), 'little')


class _Numbers(dict[str, int]):
    """64 bits of each word's hash."""

    def __missing__(self, word: str) -> int:
        self[word] = hash64(word)
        return self[word]


_numbers = _Numbers()
