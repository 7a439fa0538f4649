"""When a state is not worth saving, and when it is."""

import math

import jax.numpy as jnp
import numpy as np

from hax_jax.guards import state_check


def test_each_array_that_is_not_finite_is_named() -> None:
    trees = {
        'params': {'a': jnp.ones(3), 'b': jnp.array([1.0, jnp.nan])},
        'moments': [jnp.array(2), jnp.array([[-jnp.inf]], jnp.bfloat16)],
    }
    assert state_check.not_finite(trees) == ['moments.1', 'params.b']
    assert state_check.not_finite(trees['params']['a']) == []


def test_one_damaged_row_makes_no_state_a_bad_one_and_most_rows_do() -> None:
    nll = np.full((3, 4), 2.0)
    weights = np.ones((3, 4))
    nll[0, 0], weights[2] = np.nan, 0.0
    assert state_check.median_loss(nll, weights) == math.inf  # one of two
    weights[2, 1] = np.inf
    assert state_check.median_loss(nll, weights) == 2.0
    assert state_check.median_loss(nll, np.zeros((3, 4))) == 0.0


def test_twice_the_loss_of_knowing_nothing_is_diverged() -> None:
    highest = state_check.highest_loss(50257, 3.5)
    assert math.isclose(highest, 2 * math.log(50257))
    assert state_check.highest_loss(50257, None) == highest
    # A base that was worse at the start may stay so.
    assert state_check.highest_loss(50257, 14.0) == 28.0
    for loss, good in ((21.6, True), (21.7, False), (math.inf, False)):
        assert (state_check.problem([], loss, highest) == '') == good
    assert 'wte, wpe, ln_f, ...' in state_check.problem(
        ['wte', 'wpe', 'ln_f', 'h'], 2.0, highest
    )
