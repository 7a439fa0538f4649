"""The stream of rows: each row of an epoch once, however the batches are cut."""

import random

import numpy as np
import pytest

from hax_jax.data import row_stream


def philox(key: tuple[int, int], num: int) -> list[int]:
    """Philox4x64-10. Source: Salmon et al. 2011, "Parallel Random Numbers"."""
    mask = 2**64 - 1
    drawn: list[int] = []
    for counter in range(1, num // 4 + 2):
        x = [counter, 0, 0, 0]
        k = list(key)
        for _ in range(10):
            p0, p1 = 0xD2E7470EE14C6C93 * x[0], 0xCA5A826395121157 * x[2]
            x = [
                (p1 >> 64) ^ x[1] ^ k[0],
                p1 & mask,
                (p0 >> 64) ^ x[3] ^ k[1],
                p0 & mask,
            ]
            k = [(k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask]
        drawn += x
    return drawn[:num]


@pytest.mark.parametrize(('seed', 'epoch'), [(0, 0), (0, 3), (2**32 - 1, 1)])
def test_an_epoch_is_in_the_order_of_philoxs_bits(seed: int, epoch: int) -> None:
    bits = philox((seed, epoch), 50)
    expected = sorted(range(50), key=lambda row: bits[row])
    assert row_stream.permutation(seed, epoch, 50).tolist() == expected


def test_each_epoch_and_each_seed_has_an_order_of_its_own() -> None:
    orders = {
        tuple(row_stream.permutation(seed, epoch, 20).tolist())
        for seed in range(5)
        for epoch in range(5)
    }
    assert len(orders) == 25
    assert all(sorted(order) == list(range(20)) for order in orders)


@pytest.mark.parametrize(('batch_size', 'num_rows'), [(4, 7), (8, 3), (5, 5), (3, 1)])
def test_the_stream_is_one_permutation_after_the_other(
    batch_size: int, num_rows: int
) -> None:
    rows = row_stream.RowStream(num_rows, seed=3)
    found = [rows.batch(index, batch_size) for index in range(7 * num_rows)]
    expected = [
        row_stream.permutation(3, epoch, num_rows) for epoch in range(7 * batch_size)
    ]
    assert np.concatenate(found).tolist() == np.concatenate(expected).tolist()


def test_a_batch_far_along_is_as_good_as_the_first() -> None:
    far = 10**8
    rows = row_stream.RowStream(6, seed=0).batch(far, 4)
    places = range(4 * far, 4 * far + 4)
    expected = [row_stream.permutation(0, p // 6, 6)[p % 6] for p in places]
    assert rows.tolist() == expected


@pytest.mark.parametrize('case', range(50))
def test_every_row_of_three_epochs_comes_once_whatever_changes(case: int) -> None:
    """A run is stopped and goes on with other batch sizes and other seeds."""
    chance = random.Random(case)
    num_rows = chance.randint(1, 60)
    begin, seed, found, seeds = 0, 0, [], {}
    while begin < 3 * num_rows:
        # An epoch has the seed of the call in which its first row is trained.
        stream = row_stream.RowStream(
            num_rows, seed=chance.randint(0, 2), start=begin, begun_seed=seed
        )
        batch_size, num_batches = chance.randint(1, 20), chance.randint(0, 5)
        for index in range(num_batches):
            found += stream.batch(index, batch_size).tolist()
        for row in range(begin, begin + num_batches * batch_size):
            if row % num_rows == 0:
                seeds[row // num_rows] = stream.seed
        begin = stream.consumed(num_batches * batch_size)
        seed = stream.seed_at(begin)
        assert begin == len(found)
    for epoch in range(3):
        rows = found[epoch * num_rows : (epoch + 1) * num_rows]
        assert sorted(rows) == list(range(num_rows))
        order = row_stream.permutation(seeds[epoch], epoch, num_rows)
        assert rows == order.tolist()


@pytest.mark.parametrize('case', range(20))
def test_rows_to_skip_are_left_out_and_all_others_come_once(case: int) -> None:
    chance = random.Random(case)
    num_rows, start = 30, chance.randint(0, 40)
    bounds = sorted(chance.sample(range(100), 6))
    skip = tuple(zip(bounds[::2], bounds[1::2], strict=True))
    stream = row_stream.RowStream(num_rows, seed=1, start=start, skip=skip[::-1])
    kept = [
        row
        for row in range(start, 200)
        if not any(first <= row <= last for first, last in skip)
    ]
    whole = row_stream.RowStream(num_rows, seed=1)
    for index in range(10):
        expected = whole.cache_rows(np.array(kept[7 * index : 7 * index + 7]))
        np.testing.assert_array_equal(stream.batch(index, 7), expected)
    assert stream.consumed(0) == start
    for count in range(1, 60):
        assert stream.consumed(count) == kept[count - 1] + 1
    for end in range(120):
        assert stream.left(end) == sum(row < end for row in kept)
