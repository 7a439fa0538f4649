"""Updates of bad steps are not applied, and those of good steps are what they were."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_train_step
import tiny_steps

from hax_jax.guards import judge
from hax_jax.training import train_state as ts
from hax_jax.training import train_step

SKIP = {'on_bad_step': 'skip', 'on_spike': 'skip'}


def poisoned(seed: int) -> train_step.Batch:
    batch = test_train_step.batch_of(seed=seed)
    weights = batch['loss_weights'].at[3, 0].set(jnp.inf)
    return batch | {'loss_weights': weights}


def with_known(state: ts.TrainState, *, loss: float, norm: float) -> ts.TrainState:
    """The state as if all steps of the window had had this loss and norm."""
    guard = dataclasses.replace(
        state.guard,
        losses=jnp.full_like(state.guard.losses, loss),
        grad_norms=jnp.full_like(state.guard.grad_norms, norm),
        num_known=jnp.full_like(state.guard.num_known, judge.WINDOW),
    )
    return dataclasses.replace(state, guard=guard)


def run(
    trained: test_train_step.Trainer,
    batches: list[train_step.Batch],
    state: ts.TrainState | None = None,
) -> tuple[ts.TrainState, list[tuple[str, str]]]:
    state, seen = state or trained.fresh(), []
    for batch in batches:
        state, metrics = trained.step(state, batch)
        kind, action = int(metrics['bad']), int(metrics['action'])
        seen.append((judge.KINDS[kind], judge.ACTIONS[action]))
    return state, seen


def learned(state: ts.TrainState) -> dict[str, np.ndarray]:
    """All that updates change: parameters, moments, the schedule's count."""
    return tiny_steps.named({'params': state.params, 'moments': state.opt_state})


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


GOOD = [test_train_step.batch_of(seed=seed) for seed in range(3)]


def test_a_healthy_step_is_bit_for_bit_that_of_a_step_without_the_guard(
    monkeypatch: pytest.MonkeyPatch, own_emitters: None
) -> None:
    trained = test_train_step.trainer.__wrapped__()
    found, seen = run(trained, GOOD)
    assert seen == [('', 'applied')] * 3

    def blind(guard: judge.Guard, *_: object, **__: object) -> tuple[object, ...]:
        return jnp.int32(0), jnp.int32(judge.APPLIED), guard  # XLA drops all of it

    monkeypatch.setattr(judge, 'judge', blind)
    unguarded = test_train_step.trainer.__wrapped__()
    expected, _ = run(unguarded, GOOD)
    assert same(learned(found), learned(expected))


def test_a_skipped_update_changes_nothing_and_the_run_goes_on_as_if_it_was_not() -> (
    None
):
    trained = test_train_step.trainer(**SKIP)
    expected, _ = run(trained, GOOD)
    found, seen = run(trained, [GOOD[0], poisoned(7), *GOOD[1:]])
    assert seen[1] == ('loss not finite', 'skipped')
    assert same(learned(found), learned(expected))
    assert (int(found.step), int(expected.step)) == (4, 3)
    assert int(found.guard.num_skipped) == 1
    # The rate is that of the updates so far, in the update and in its metric.
    _, metrics = trained.step(found, GOOD[0])
    np.testing.assert_allclose(
        metrics['learning_rate'], test_train_step.learning_rate(3), rtol=1e-6
    )


def test_a_stop_holds_for_every_step_after_it() -> None:
    trained = test_train_step.trainer()
    expected, _ = run(trained, GOOD[:1])
    found, seen = run(trained, [GOOD[0], poisoned(7), *GOOD])
    assert seen[1] == ('loss not finite', 'stopped')
    assert seen[2:] == [('', 'stopped')] * 3
    assert int(found.step) == 1
    expected = tiny_steps.named(expected)
    assert same(tiny_steps.named(ts.released(found)), expected)


def test_a_spike_is_trained_on_by_default_and_skipped_where_asked() -> None:
    plain, skipping = test_train_step.trainer(), test_train_step.trainer(**SKIP)
    expected, _ = run(plain, GOOD[:1])
    for loss, norm, kind in (
        (0.5, 1e3, 'loss spike'),  # the batch's loss is about ln(64), 4.2
        (10.0, 1e-3, 'gradient spike'),
    ):
        known = with_known(plain.fresh(), loss=loss, norm=norm)
        found, seen = run(plain, GOOD[:1], known)
        assert seen == [(kind, 'applied')]
        assert same(learned(found), learned(expected))
        known = with_known(skipping.fresh(), loss=loss, norm=norm)
        before = tiny_steps.named(known.guard)
        found, seen = run(skipping, GOOD[:1], known)
        assert seen == [(kind, 'skipped')]
        assert same(learned(found), learned(skipping.fresh()))
        after = tiny_steps.named(found.guard)
        assert {n for n in after if not np.array_equal(after[n], before[n])} == {
            'num_skipped',
            'skipped_in_a_row',
        }
