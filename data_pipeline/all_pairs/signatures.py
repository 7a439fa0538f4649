"""MinHash signatures of texts, and the bands by which near texts are found.

Source: Broder, On the resemblance and containment of documents (1997); Leskovec et al.,
Mining of Massive Datasets, 3.4 (bands).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from data_pipeline import settings
from hax_jax.program import later

with later.imports():
    import datasketch  # which imports scipy, and only near duplicates need it

_SHINGLE = 3  # words
_SEED = 1
_SCHEME = 'affine32'
# Missing a duplicate costs more than a comparison too many: candidates are checked.
_WEIGHTS = (0.2, 0.8)  # of false positives and negatives, in the choice of the bands


def signature(folded: str, num_perm: int) -> bytes:
    """[num_perm] uint32 as bytes: the signature of a folded text's words in threes."""
    words = folded.split()
    shingles = {
        ' '.join(words[i : i + _SHINGLE])
        for i in range(max(1, len(words) - _SHINGLE + 1))
    }
    made = _blank(num_perm).copy()
    made.update_batch([each.encode() for each in sorted(shingles)])
    return np.asarray(made.hashvalues, np.uint32).tobytes()


def matrix(made: Sequence[bytes], num_perm: int) -> np.ndarray:
    """[N, num_perm] uint32: signatures as an array."""
    return np.frombuffer(b''.join(made), np.uint32).reshape(-1, num_perm)


def bands(made: Sequence[bytes], chosen: settings.DuplicateSettings) -> np.ndarray:
    """[N, bands] uint64: two texts may be near if they share a value in one column.

    datasketch's index chooses the number and the width of the bands by the threshold.
    """
    count, width = _band_shape(chosen.threshold, chosen.num_perm)
    rows = matrix(made, chosen.num_perm)[:, : count * width]
    rows = rows.reshape(len(made), count, width).astype(np.uint64)
    odd = np.random.Generator(np.random.Philox(7)).bit_generator.random_raw(width) | 1
    return (rows * odd).sum(axis=2, dtype=np.uint64)


@functools.cache
def _band_shape(threshold: float, num_perm: int) -> tuple[int, int]:
    index = datasketch.MinHashLSH(
        threshold=threshold, num_perm=num_perm, weights=_WEIGHTS
    )
    return index.b, index.r


@functools.cache
def _blank(num_perm: int) -> datasketch.MinHash:
    return datasketch.MinHash(num_perm=num_perm, seed=_SEED, scheme=_SCHEME)
