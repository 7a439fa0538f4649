"""MinHash signatures of texts, and the bands by which near texts are found.

Source: Broder, On the resemblance and containment of documents (1997); Leskovec et al.,
Mining of Massive Datasets, 3.4 (bands).
"""

import functools

import numpy as np

from data_pipeline import settings
from data_pipeline.pair_stages import word_runs

_SHINGLE = 3  # words
_SEED = 1
_BLOCK = 256  # shingles at a time, whose numbers stay in the processor's cache
_REMEMBERED = 64  # texts: the answers to one question follow each other
# Missing a duplicate costs more than a comparison too many: candidates are checked.
_WEIGHTS = (0.2, 0.8)  # of false positives and negatives, in the choice of the bands


@functools.lru_cache(_REMEMBERED)
def signature(folded: str, num_perm: int) -> bytes:
    """[num_perm] uint32 as bytes: the signature of a folded text's words in threes.

    The same numbers as datasketch's MinHash (`affine32`), which takes twice as long.
    A shingle's hash is the upper half of `word_runs.combined`.
    """
    words = word_runs.numbers(folded)
    shingles = word_runs.combined(words, max(1, min(_SHINGLE, len(words))))
    hashes = (shingles >> np.uint64(32)).astype(np.uint32)
    # MurmurHash3's finalizer, then a * h + b for each permutation, modulo 2**32.
    hashes = (hashes ^ (hashes >> 16)) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> 13)) * np.uint32(0xC2B2AE35)
    hashes = hashes ^ (hashes >> 16)
    factors, offsets = _permutations(num_perm)
    lowest = np.full(num_perm, 0xFFFFFFFF, np.uint32)
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK, None] * factors
        block += offsets
        np.minimum(lowest, block.min(axis=0), out=lowest)
    return lowest.tobytes()


def bands(made: np.ndarray, chosen: settings.DuplicateSettings) -> np.ndarray:
    """[N, num_perm] uint32 -> [N, bands] uint64; near texts share one column's value.

    `band_shape` chooses the number and the width of the bands by the threshold.
    """
    count, width = band_shape(chosen.threshold, chosen.num_perm)
    rows = made[:, : count * width].reshape(len(made), count, width)
    odd = np.random.Generator(np.random.Philox(7)).bit_generator.random_raw(width) | 1
    return (rows * odd).sum(axis=2, dtype=np.uint64)


@functools.cache
def band_shape(threshold: float, num_perm: int) -> tuple[int, int]:
    """The number and the width of the bands, as datasketch's index chooses them.

    Two texts that share s of their shingles share a band with the chance
    1 - (1 - s**width)**count. The shape with the least error, a weighted sum of that
    chance below the threshold and of its complement above, is chosen; of equal ones the
    first. datasketch asks scipy for each integral, whose import takes most of a second.
    """
    shapes = np.array(
        [
            (count, width)
            for count in range(1, num_perm + 1)
            for width in range(1, num_perm // count + 1)
        ]
    )
    # Exact: the chance is a polynomial of s of degree `num_perm` at most.
    nodes, weights = np.polynomial.legendre.leggauss(num_perm // 2 + 1)
    nodes, weights = (nodes + 1) / 2, weights / 2  # from [-1, 1] to [0, 1]

    def missed(low: float, high: float) -> np.ndarray:
        """[shapes] the integral of the chance to share no band."""
        shared = low + (high - low) * nodes
        powers = shared ** shapes[:, 1:]
        return (high - low) * (1 - powers) ** shapes[:, :1] @ weights

    false_positives = threshold - missed(0.0, threshold)
    errors = _WEIGHTS[0] * false_positives + _WEIGHTS[1] * missed(threshold, 1.0)
    count, width = shapes[np.argmin(errors)].tolist()
    return count, width


@functools.cache
def _permutations(num_perm: int) -> tuple[np.ndarray, np.ndarray]:
    """([num_perm], [num_perm]) uint32: datasketch's odd factors, and its offsets."""
    drawn = np.random.RandomState(_SEED)
    factors = drawn.randint(0, 2**31, num_perm, np.uint32) * np.uint32(2) + np.uint32(1)
    return factors, drawn.randint(0, 2**32, num_perm, np.uint32)
