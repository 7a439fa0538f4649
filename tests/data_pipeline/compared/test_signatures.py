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
        starts = range(max(1, len(words) - 2))
        made = datasketch.MinHash(num_perm=num_perm, seed=1, scheme='affine32')
        made.update_batch([' '.join(words[i : i + 3]).encode() for i in starts])
        found = np.frombuffer(signatures.signature(text, num_perm), np.uint32)
        assert np.array_equal(found, made.hashvalues)


@pytest.mark.parametrize('num_perm', [16, 100, 128])
def test_the_bands_are_those_of_datasketchs_index(num_perm: int) -> None:
    for threshold in (0.01, 0.3, 0.5, 0.7, 0.85, 0.999):
        # The index itself refuses a single band, as 0.999 asks for.
        shape = datasketch.lsh._optimal_param(threshold, num_perm, 0.2, 0.8)
        assert signatures.band_shape(threshold, num_perm) == shape
