"""The choice of a learning rate from a range test, and the test itself."""

import math
import pathlib

import numpy as np
import pytest
import tiny_runs

from hax_jax.training import run_setup
from hax_jax.tuning import range_test


def test_the_rate_is_a_tenth_of_that_at_the_lowest_smoothed_loss() -> None:
    rates = range_test.rates(1e-6, 1.0, 61)  # ten steps a decade
    x = np.log10(rates)
    losses = 3 + 0.2 * (x + 2) ** 2  # lowest at 1e-2
    found = range_test.choose(rates.tolist(), losses.tolist())
    # The mean of the last ten lags about nine steps behind.
    assert found.at_lowest == pytest.approx(10 ** (-2 + 0.85), rel=0.3)
    assert found.rate == found.at_lowest / 10
    assert found.diverged is None


def test_a_loss_that_is_no_number_ends_the_test_and_is_not_chosen() -> None:
    found = range_test.choose([1e-3, 1e-2, 1e-1], [4.0, 3.0, math.nan])
    assert found.at_lowest == 1e-2
    assert found.diverged == 1e-1


def test_smoothing_forgets_a_tenth_each_step() -> None:
    assert range_test.smoothed([4.0, 2.0]) == [4.0, (0.9 * 4 + 2) / 1.9]
    assert range_test.diverged([4.0, 2.0, 30.0])
    assert not range_test.diverged([4.0, 2.0, 2.1])


def test_adapters_are_tested_at_higher_rates() -> None:
    lora, full = range_test.bounds(8), range_test.bounds(0)
    np.testing.assert_allclose(lora, np.multiply(full, 10))


def test_the_test_raises_the_rate_step_by_step_and_writes_nothing(
    tmp_path: pathlib.Path,
) -> None:
    cache = tiny_runs.write_cache(tmp_path / 'rows')
    setup = run_setup.prepare(tiny_runs.make_config(), cache)
    seen: list[float] = []
    rates, losses = range_test.run(setup, steps=20, on_step=seen.append)
    assert losses == seen
    np.testing.assert_allclose(rates, np.geomspace(1e-6, 0.3, 20)[: len(rates)])
    assert losses[0] == pytest.approx(math.log(tiny_runs.VOCAB), rel=0.15)
    assert min(losses) < losses[0] - 0.1  # so the rate does reach the update
    assert sorted(path.name for path in tmp_path.iterdir()) == ['rows']
