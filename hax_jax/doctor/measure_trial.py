"""Numbers of trial steps: taken with the run's own step, then undone bit for bit.

The state goes to the host before the first one and comes back after the last, so no
second copy of it lies on a device.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

from hax_jax.doctor.measure_rows import Rows
from hax_jax.model import param_tree

# (state, batch of rows [B, T]) -> (state, metrics): the run's step, which donates.
Step = Callable[[Any, Rows], tuple[Any, dict[str, Any]]]
NUM_OVERFIT = 20


@dataclasses.dataclass(frozen=True)
class Kept:
    """A train state on the host, to be placed on its devices any number of times."""

    values: Any
    shardings: Any

    def placed(self) -> Any:
        return jax.tree.map(jax.device_put, self.values, self.shardings)


def keep(state: Any) -> Kept:
    """Copies a state, all of which this process can read, to the host."""
    values = jax.tree.map(lambda leaf: np.array(leaf), state)
    return Kept(values, jax.tree.map(lambda leaf: leaf.sharding, state))


def one(step: Step, kept: Kept, batch: Rows, *, b1: float) -> dict[str, Any]:
    """What one step changes: gradients, updates and counts, parameter by parameter."""
    before = kept.values
    after, metrics = step(kept.placed(), batch)
    after, metrics = jax.device_get((after, metrics))
    numbers: dict[str, Any] = {
        'step_loss': float(metrics['loss']),
        'step_grad_norm': float(metrics['grad_norm']),
        'step_rate': float(metrics['learning_rate']),
        'step_count': int(after.step) - int(before.step),
    }
    if 'lost_updates' in metrics:
        numbers['lost_updates'] = float(metrics['lost_updates'])
    counts = _counts(before.opt_state), _counts(after.opt_state)
    numbers['schedule_count'] = max(
        (counts[1][name] - counts[0][name] for name in counts[0]), default=1
    )
    gradients = _gradients(after.opt_state, b1)
    old, new = param_tree.named(before.params), param_tree.named(after.params)
    squares = (np.sum(np.square(leaf)) for leaf in gradients.values())
    numbers['clipped_norm'] = float(np.sqrt(sum(squares)))
    numbers['gradient_rms'] = {name: _rms(leaf) for name, leaf in gradients.items()}
    numbers['moved_rms'] = {
        name: _rms(np.float32(new[name]) - np.float32(old[name])) for name in old
    }
    numbers['trained_rms'] = {name: _rms(leaf) for name, leaf in old.items()}
    return numbers


def of_microbatches(
    step: Step, kept: Kept, batch: Rows, *, num_microbatches: int
) -> dict[str, float]:
    """Loss and gradient of one microbatch's rows alone, by those of them repeated.

    Both batches have the same mean over tokens, so both ratios are 1. Microbatch i has
    the rows i, i + k, i + 2k, ....
    """
    k = num_microbatches
    repeated = {
        name: np.repeat(rows[::k], k, axis=0)[: len(rows)]
        for name, rows in batch.items()
    }
    alone = {name: rows.copy() for name, rows in repeated.items()}
    for place in range(1, k):
        alone['loss_weights'][place::k] = 0
    found = []
    for rows in (alone, repeated):
        _, metrics = step(kept.placed(), rows)
        metrics = jax.device_get(metrics)
        found.append((float(metrics['loss']), float(metrics['grad_norm'])))
    (loss, norm), (all_loss, all_norm) = found
    return {
        'microbatch_loss_ratio': loss / all_loss if all_loss else math.nan,
        'microbatch_gradient_ratio': norm / all_norm if all_norm else math.nan,
    }


def noise(step: Step, kept: Kept, batch: Rows) -> dict[str, float]:
    """The gradient's noise scale in tokens, from one batch and each of its rows.

    Where |G_b|^2 is the square of a gradient's norm over b tokens, on average
    |G|^2 + S / b, the noise scale is S / |G|^2: a batch far smaller is all noise, a far
    larger one wastes tokens. At most 8 rows are looked at.

    Source: McCandlish et al. 2018, arXiv:1812.06162, appendix A.1.
    """
    weights = batch['loss_weights']
    squares, sizes = [], []
    for row in range(min(len(weights), 8)):
        alone = np.zeros_like(weights)
        alone[row] = weights[row]
        if alone.any():
            _, metrics = step(kept.placed(), {**batch, 'loss_weights': alone})
            squares.append(float(metrics['grad_norm']) ** 2)
            sizes.append(float(alone.sum()))
    _, metrics = step(kept.placed(), batch)
    whole, total = float(metrics['grad_norm']) ** 2, float(weights.sum())
    if len(sizes) < 2 or total <= 1.01 * np.mean(sizes):
        return {}
    one, size = float(np.mean(squares)), float(np.mean(sizes))
    spread = (one - whole) / (1 / size - 1 / total)
    signal = (total * whole - size * one) / (total - size)
    found = {'batch_tokens': total}
    if signal > 0 and spread > 0:
        found['noise_tokens'] = spread / signal
    return found


def overfit(
    step: Step,
    kept: Kept,
    batch: Rows,
    *,
    at_count: int,
    times: float = 1.0,
    num_steps: int = NUM_OVERFIT,
) -> tuple[list[float], dict[str, np.ndarray]]:
    """Steps on one batch at the rate of step `at_count`, times `times`.

    Returns the loss before each step, and the trained parameters at last. Times
    other than 1 need Adam, whose update is proportional to the rate.
    """

    def start(count: jax.Array) -> jax.Array:
        return jax.device_put(np.full((), at_count, count.dtype), count.sharding)

    state = kept.placed()
    state = dataclasses.replace(state, opt_state=_counted(state.opt_state, start))
    losses = []
    for _ in range(num_steps):
        old = None if times == 1 else jax.tree.map(np.array, state.params)
        state, metrics = step(state, batch)
        losses.append(float(metrics['loss']))
        if old is not None:
            params = jax.tree.map(
                lambda new, was: jax.device_put(
                    (was + times * (np.asarray(new) - was)).astype(was.dtype),
                    new.sharding,
                ),
                state.params,
                old,
            )
            state = dataclasses.replace(state, params=params)
        if not math.isfinite(losses[-1]):
            break
    last = {
        name: np.array(leaf) for name, leaf in param_tree.named(state.params).items()
    }
    return losses, last


def of_optimizer(
    tx: optax.GradientTransformation, *, num_steps: int, num_points: int = 9
) -> dict[str, Any]:
    """The rate and the decay that an optimizer has, seen from its updates alone.

    A fresh Adam's first update of a parameter at 0 is minus the rate; at 1, the decay
    is added. The rate is asked at steps from first to last.
    """
    zeros = {'matrix': np.zeros((2, 2), np.float32), 'bias': np.zeros(2, np.float32)}
    ones = jax.tree.map(np.ones_like, zeros)
    if not _schedules(jax.eval_shape(tx.init, zeros)):
        return {}
    last = num_steps - 1
    steps = sorted({round(i * last / (num_points - 1)) for i in range(num_points)})

    @jax.jit
    def first_updates(counts: jax.Array, params: Any) -> Any:
        def at(count: jax.Array) -> Any:
            state = _counted(tx.init(zeros), lambda _: count)
            updates, _ = tx.update(ones, state, params)
            return {name: -leaf.ravel()[0] for name, leaf in updates.items()}

        return jax.vmap(at)(counts)

    counts = np.asarray(steps, np.int32)
    plain, decayed = (
        jax.device_get(first_updates(counts, each)) for each in (zeros, ones)
    )
    peak = int(np.argmax(plain['bias']))
    rate = max(float(plain['bias'][peak]), 1e-30)
    return {
        'rates': {
            str(at): float(x) for at, x in zip(steps, plain['bias'], strict=True)
        },
        **{
            f'decay_{name}': float(decayed[name][peak] - plain[name][peak]) / rate
            for name in zeros
        },
    }


def _schedules(opt_state: Any) -> list[optax.ScaleByScheduleState]:
    kind = optax.ScaleByScheduleState
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda x: isinstance(x, kind))
    return [leaf for leaf in leaves if isinstance(leaf, kind)]


def _counted(opt_state: Any, count: Callable[[Any], Any]) -> Any:
    """The optimizer state with the schedule at another step: count(the old one)."""
    kind = optax.ScaleByScheduleState
    return jax.tree.map(
        lambda leaf: kind(count=count(leaf.count)) if isinstance(leaf, kind) else leaf,
        opt_state,
        is_leaf=lambda leaf: isinstance(leaf, kind),
    )


def _counts(opt_state: Any) -> dict[str, int]:
    return {
        name: int(leaf)
        for name, leaf in param_tree.named(opt_state).items()
        if np.ndim(leaf) == 0 and np.issubdtype(np.asarray(leaf).dtype, np.integer)
    }


def _gradients(opt_state: Any, b1: float) -> dict[str, np.ndarray]:
    """The clipped gradients of a first step, of which Adam's mean has 1 - b1."""
    kind = optax.ScaleByAdamState
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda x: isinstance(x, kind))
    means = [leaf.mu for leaf in leaves if isinstance(leaf, kind)]
    if not means:
        return {}
    named = param_tree.named(means[0])
    return {name: np.float32(leaf) / (1 - b1) for name, leaf in named.items()}


def _rms(leaf: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(np.float32(leaf))))) if leaf.size else 0.0
