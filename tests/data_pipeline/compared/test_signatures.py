import hashlib
import random

import datasketch
import numpy as np
import pytest

from data_pipeline.compared import signatures


@pytest.mark.parametrize('num_perm', [16, 128])
def test_a_signature_is_datasketchs_minhash_of_words_in_threes(num_perm: int) -> None:
    rng = random.Random(0)
    vocabulary = ['the', 'café', '你好', *(f'w{i}' for i in range(200))]
    texts = ['', 'one', 'one two', 'one two three', '!?', '!!\n??', 'ab ' * 700]
    texts += [' '.join(rng.choices(vocabulary, k=k)) for k in (5, 255, 258, 259, 1500)]
    for text in texts:
        words = text.split()
        threes = [words[i : i + 3] for i in range(len(words) - 2)] or [words][
            : len(text)
        ]
        made = datasketch.MinHash(
            num_perm=num_perm, seed=1, scheme='affine32', hashfunc=_hash
        )
        made.update_batch(threes)
        found = np.frombuffer(signatures.signature(text, num_perm), np.uint32)
        assert np.array_equal(found, made.hashvalues)


def _hash(words: list[str]) -> int:
    """The upper half of the sum of BLAKE2b of each word, times its place's factor."""
    factors = np.random.Philox(11).random_raw(8) | np.uint64(1)
    total = 0
    for word, factor in zip(words, factors.tolist(), strict=False):
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        total += int.from_bytes(digest, 'little') * factor
    return (total >> 32) % 2**32


@pytest.mark.parametrize('num_perm', [16, 100, 128])
def test_the_bands_are_those_of_datasketchs_index(num_perm: int) -> None:
    for threshold in (0.01, 0.3, 0.5, 0.7, 0.85, 0.999):
        # The index itself refuses a single band, as 0.999 asks for.
        shape = datasketch.lsh._optimal_param(threshold, num_perm, 0.2, 0.8)
        assert signatures.band_shape(threshold, num_perm) == shape
