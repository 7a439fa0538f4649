"""Numbers of the run's first step, and of trial steps that are undone bit for bit.

The first step is the run's own: its parameters go to the host before it. For trial
steps all of the state does, so no second copy of it lies on a device.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hax_jax.measures.measure_rows import Rows
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


@dataclasses.dataclass(frozen=True)
class Before:
    """What a step is compared with: the trained parameters, on the host, and counts."""

    params: dict[str, np.ndarray]
    step: int
    counts: dict[str, int]

    def placed(self, state: Any) -> Any:
        """The later `state` with these parameters in place of its own."""
        leaves = {
            name: jax.device_put(self.params[name], leaf.sharding)
            for name, leaf in param_tree.named(state.params).items()
        }
        params = param_tree.like(state.params, leaves)
        return dataclasses.replace(state, params=params)


def before(state: Any) -> Before:
    params = param_tree.named(state.params)
    copied = {name: np.array(leaf) for name, leaf in params.items()}
    return Before(copied, int(state.step), _counts(state.opt_state))


@dataclasses.dataclass(frozen=True)
class Trial:
    """The trained parameters before and after a step, and its clipped gradients."""

    old: dict[str, np.ndarray]
    new: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]


def one(
    before: Before, state: Any, metrics: dict[str, Any], *, b1: float
) -> tuple[dict[str, Any], Trial]:
    """What one step changed: gradients, updates and counts, parameter by parameter."""
    numbers: dict[str, Any] = {
        'step_loss': float(metrics['loss']),
        'step_grad_norm': float(metrics['grad_norm']),
        'step_rate': float(metrics['learning_rate']),
        'step_count': int(state.step) - before.step,
    }
    if 'lost_updates' in metrics:
        numbers['lost_updates'] = float(metrics['lost_updates'])
    counts = _counts(state.opt_state)
    numbers['schedule_count'] = max(
        (counts[name] - count for name, count in before.counts.items()), default=1
    )
    means = jax.device_get(_means(state.opt_state))
    old, new = before.params, jax.device_get(param_tree.named(state.params))
    norms = {name: _norm(leaf) / (1 - b1) for name, leaf in means.items()}
    numbers['clipped_norm'] = math.hypot(*norms.values())
    numbers['gradient_rms'] = {
        name: norms[name] / max(leaf.size, 1) ** 0.5 for name, leaf in means.items()
    }
    numbers['idle_thirds'] = {
        name: idle for name, leaf in means.items() if (idle := _idle_thirds(name, leaf))
    }
    numbers['moved_rms'] = {
        name: _rms(_float32(new[name]) - _float32(old[name])) for name in old
    }
    numbers['trained_rms'] = {name: _rms(leaf) for name, leaf in old.items()}
    return numbers, Trial(old, new, means)


def _idle_thirds(name: str, gradient: np.ndarray) -> list[str]:
    """Which of c_attn's queries, keys and values have no gradient, where others do."""
    if '.attn.c_attn.' not in name or not name.endswith(('.kernel', '.lora_b')):
        return []
    thirds = np.split(np.asarray(gradient), 3, axis=-1)
    idle = [
        said
        for said, third in zip(('queries', 'keys', 'values'), thirds, strict=True)
        if not third.any()
    ]
    return idle if len(idle) < 3 else []


def slope(
    score: Callable[[dict[str, np.ndarray]], float],
    trial: Trial,
    numbers: dict[str, Any],
    *,
    loss: float,
    b1: float,
) -> dict[str, float]:
    """How far the loss falls along a step, by what its gradient says: 1 if it is right.

    The loss is asked on both sides of the old parameters, at the share of the step that
    should change it by half a percent, so that its curvature has no part in it.
    """
    moved = {
        name: _float32(trial.new[name]) - _float32(trial.old[name])
        for name in trial.gradients
    }
    clipped = numbers['step_grad_norm'] / max(numbers['clipped_norm'], 1e-30)
    falls = sum(
        float(np.vdot(_float32(trial.gradients[name]), each))
        for name, each in moved.items()
    )
    falls *= clipped / (1 - b1)
    if not falls or not math.isfinite(falls):
        return {}
    share = min(100.0, 0.005 * abs(loss) / abs(falls))
    up, down = (
        score(
            {
                name: (_float32(trial.old[name]) + sign * share * each).astype(
                    np.float32
                )
                for name, each in moved.items()
            }
        )
        for sign in (1, -1)
    )
    return {
        'slope': (up - down) / (2 * share * abs(falls)),
        'slope_expected': falls * share,
    }


def restored(state: Any, *, b2: float) -> dict[str, Any]:
    """The count of a restored Adam, and the gradient's norm by its second moments.

    Nothing of another optimizer. The norm is sqrt(sum(nu / (1 - b2^count))): that of
    the clipped gradients of the steps before, on average.
    """
    for adam in _adams(state.opt_state)[:1]:
        count, total = int(adam.count), float(_total(adam.nu))
        left = 1 - b2**count
        return {
            'resumed_step': int(state.step),
            'restored_count': count,
            'restored_norm': (total / left) ** 0.5 if left else total**0.5,
        }
    return {}


@jax.jit
def _total(tree: Any) -> jax.Array:
    return sum(jnp.sum(leaf, dtype=jnp.float32) for leaf in jax.tree.leaves(tree))


def of_microbatches(
    step: Step, state: Any, kept: Kept, batch: Rows, *, num_microbatches: int
) -> dict[str, float]:
    """Loss and gradient of one microbatch's rows alone, by those of them repeated.

    Both batches have the same mean over tokens, so both ratios are 1. Microbatch i has
    the rows i, i + k, i + 2k, .... The `state`, which `kept` copies, is donated.
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
        _, metrics = step(state if rows is alone else kept.placed(), rows)
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
    tx: optax.GradientTransformation, steps: Sequence[int]
) -> dict[str, Any]:
    """Rate, decay and moments that an optimizer has, seen from its updates alone.

    A fresh Adam's first update of a parameter at 0 is minus the rate; at 1, the decay
    is added. The rate is asked at `steps`. A second gradient of 0
    leaves the share b1 of Adam's mean and b2 of its mean of squares, and a smaller
    first gradient shows eps.
    """
    zeros = {'matrix': np.zeros((2, 2), np.float32), 'bias': np.zeros(2, np.float32)}
    ones = jax.tree.map(np.ones_like, zeros)
    if not _schedules(jax.eval_shape(tx.init, zeros)):
        return {}

    @jax.jit
    def first_updates(counts: jax.Array, params: Any, size: jax.Array) -> Any:
        def at(count: jax.Array) -> Any:
            state = _counted(tx.init(zeros), lambda _: count)
            gradients = jax.tree.map(lambda one: one * size, ones)
            updates, state = tx.update(gradients, state, params)
            _, later = tx.update(zeros, state, params)
            moments = [
                [leaf['bias'][0] for leaf in (each.mu, each.nu)]
                for tree in (state, later)
                for each in _adams(tree)[:1]
            ]
            return {name: -leaf.ravel()[0] for name, leaf in updates.items()}, moments

        return jax.vmap(at)(counts)

    counts = np.asarray(steps, np.int32)
    (plain, moments), (decayed, _), (small, few) = (
        jax.device_get(first_updates(counts, params, np.float32(size)))
        for params, size in ((zeros, 1.0), (ones, 1.0), (zeros, 1e-3))
    )
    sign = -1.0 if plain['bias'].sum() < 0 else 1.0
    plain, decayed, small = (
        {name: sign * np.float64(x) for name, x in each.items()}
        for each in (plain, decayed, small)
    )
    peak = int(np.argmax(plain['bias']))
    rate = max(float(plain['bias'][peak]), 1e-30)
    numbers: dict[str, Any] = {'goes_up': sign < 0}
    factor = 1.0
    if len(moments) == 2:
        (mean, square), (later_mean, later_square) = (
            (float(m[peak]), float(v[peak])) for m, v in moments
        )
        b1, b2 = later_mean / (mean or 1.0), later_square / (square or 1.0)
        size, small_size = (
            each[0][0][peak] / max(1 - b1, 1e-6) for each in (moments, few)
        )
        eps = _eps(rate, float(small['bias'][peak]), float(size), float(small_size))
        factor = 1 + eps / max(float(size), 1e-30)
        numbers['moments'] = [b1, b2, eps]
    for name in zeros:
        decay = float(decayed[name][peak] - plain[name][peak])
        numbers[f'decay_{name}'] = decay / (rate * factor)
    numbers['rates'] = {
        str(at): float(x) * factor for at, x in zip(steps, plain['bias'], strict=True)
    }
    return numbers


def _eps(large: float, small: float, size: float, small_size: float) -> float:
    """Adam's eps, from its first updates r g / (g + eps) at two sizes of gradients."""
    if not (0 < small < large and 0 < small_size < 0.9 * size):
        return 0.0
    bottom = 1 / (large * small_size) - 1 / (small * size)
    return (1 / small - 1 / large) / bottom if bottom > 0 else math.inf


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
        if leaf.ndim == 0 and np.issubdtype(leaf.dtype, np.integer)
    }


def _adams(opt_state: Any) -> list[optax.ScaleByAdamState]:
    kind = optax.ScaleByAdamState
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda x: isinstance(x, kind))
    return [leaf for leaf in leaves if isinstance(leaf, kind)]


def _means(opt_state: Any) -> dict[str, jax.Array]:
    """Adam's means by parameter: after a first step (1 - b1) times the gradients."""
    return {
        name: leaf
        for each in _adams(opt_state)[:1]
        for name, leaf in param_tree.named(each.mu).items()
    }


def _float32(leaf: np.ndarray) -> np.ndarray:
    return np.asarray(leaf, np.float32)


def _norm(leaf: np.ndarray) -> float:
    return float(np.linalg.norm(_float32(leaf).ravel()))


def _rms(leaf: np.ndarray) -> float:
    return _norm(leaf) / max(leaf.size, 1) ** 0.5
