"""What one device draws for its own rows; test_mesh.py has all else that it does."""

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
import pytest

from hax_jax.model import own_rows


@pytest.mark.parametrize('shape', [(2, 3), (2, 3, 5), (1, 2, 3, 4)])
def test_a_device_draws_for_its_rows_what_one_device_draws_for_all(
    shape: tuple[int, ...],
) -> None:
    key = jax.random.key(7)
    everything = (4 * shape[0], *shape[1:])
    expected = jax.random.bernoulli(jax.random.fold_in(key, 3), 0.5, everything)
    parts = [
        jax.random.bernoulli(
            jax.random.fold_in(own_rows.key_of(key, jnp.int32(place)), 3), 0.5, shape
        )
        for place in range(4)
    ]
    np.testing.assert_array_equal(jnp.concatenate(parts), expected)


def test_its_numbers_go_beyond_32_bits() -> None:
    key, row, size = jax.random.key(7), 40_000, 131_075
    numbers = row * size + np.arange(size, dtype=np.uint64)  # from 5.2e9 on
    words = numbers >> np.uint64(32), numbers & np.uint64(2**32 - 1)
    first, second = jax.extend.random.threefry2x32_p.bind(
        *(jnp.full(size, word) for word in jax.random.key_data(key)),
        *(jnp.asarray(word.astype(np.uint32)) for word in words),
    )
    found = jax.random.bits(own_rows.key_of(key, jnp.int32(row)), (1, size))
    np.testing.assert_array_equal(found[0], first ^ second)
