"""Equal values of an array, against a plain loop over all pairs."""

import itertools
import random

import numpy as np
import pytest

from data_pipeline.all_pairs import components, equal_values


def test_equal_values_are_found_two_by_two() -> None:
    rng = np.random.default_rng(0)
    for size, most in ((0, 3), (1, 3), (5, 99), (40, 9), (200, 3), (3, 1)):
        values = rng.integers(0, most, size).astype(np.uint64)
        places, sizes = equal_values.groups(values)
        found = [
            tuple(sorted(pair))
            for one, other in equal_values.pairs(places, sizes)
            for pair in zip(one.tolist(), other.tolist(), strict=True)
        ]
        both = itertools.combinations(range(size), 2)
        assert sorted(found) == [(i, j) for i, j in both if values[i] == values[j]]
    places, sizes = equal_values.groups(np.array([7, 3, 7, 5, 3, 7], np.uint64))
    assert (places.tolist(), sizes.tolist()) == ([1, 4, 0, 2, 5], [2, 3])


def test_pairs_meet_once_for_each_rare_run_that_they_share() -> None:
    held = {0: [5, 5, 6], 1: [5, 8], 2: [6, 8, 8], 3: [9], 4: [8]}
    runs = np.array([run for of in held.values() for run in of], np.uint64)
    owners = np.repeat(np.arange(5), [len(of) for of in held.values()])
    stories = np.array([10, 11, 12, 13, 12], np.uint64)

    def met(standing: int) -> list[tuple[int, int]]:
        found = components._met(runs, owners, stories, standing)
        return sorted(divmod(each, 5) for each in found.tolist())

    assert met(99) == [(0, 1), (0, 2), (1, 2), (1, 4), (2, 4)]
    # Three pairs of two stories hold run 8; two of two stories the others.
    assert met(3) == [(0, 1), (0, 2), (1, 2), (1, 4), (2, 4)]
    assert met(2) == []


@pytest.mark.parametrize('count', [0, 1, 2, 3, 1000])
def test_places_are_those_of_a_search_through_all(count: int) -> None:
    chance = random.Random(count)
    last = 2**64 - 1
    hashes = {chance.getrandbits(64) for _ in range(count)}
    near = {0, 1, last, last - 1} | {min(each + 1, last) for each in hashes}
    for held in (hashes, hashes | {0, last}):
        known = sorted(held)
        places = equal_values.Places(np.array(known, np.uint64))
        wanted = [*held, *near, *(chance.getrandbits(64) for _ in range(50))]
        found, at = places.find(np.array(wanted, np.uint64))
        expected = [(i, known.index(w)) for i, w in enumerate(wanted) if w in held]
        assert [*zip(found.tolist(), at.tolist(), strict=True)] == expected
