"""Runs of tokens, by which copied text is told from text that is alike by chance."""

import math
from collections.abc import Sequence

import numpy as np

LEAST_TOKENS = 12  # in a row, that two letters share only by copying, and
LEAST_BYTES = 44  # that they spell at least: a token may be one letter
COPIED = 0.5  # of a text's runs: where more stand elsewhere, it is a near copy


def length(num_tokens: int, num_bytes: int) -> int:
    """Tokens of a run in texts of so many tokens, which spell so many bytes."""
    return max(LEAST_TOKENS, math.ceil(LEAST_BYTES * num_tokens / max(num_bytes, 1)))


def of_texts(texts: Sequence[np.ndarray], run: int) -> tuple[np.ndarray, np.ndarray]:
    """(number of the text, a hash) of each run of `run` tokens."""
    ids = np.concatenate([np.zeros(0, np.int64), *texts])
    owners = np.repeat(np.arange(len(texts)), [len(each) for each in texts])
    return of_tokens(ids, owners, run)


def of_tokens(
    ids: np.ndarray, owners: np.ndarray, run: int
) -> tuple[np.ndarray, np.ndarray]:
    """(owner, a hash) of each run of `run` tokens of one owner; both are [N].

    An owner's tokens are neighbours. Equal tokens have equal hashes, in any call.
    """
    ids = ids.astype(np.uint64)
    count = max(len(ids) - run + 1, 0)
    hashes = np.zeros(count, np.uint64)
    for i in range(run):  # uint64 wraps around
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + ids[i : i + count] + 1
        hashes ^= hashes >> np.uint64(29)
    whole = owners[:count] == owners[run - 1 :]
    return owners[:count][whole], hashes[whole]


def shares(owners: np.ndarray, found: np.ndarray, count: int) -> np.ndarray:
    """[count]: of each text the share of its runs that were found; NaN of no runs."""
    with np.errstate(invalid='ignore'):
        return np.bincount(owners, found, count) / np.bincount(owners, minlength=count)
