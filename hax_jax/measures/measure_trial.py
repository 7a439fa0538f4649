"""Numbers of the run's first step, and of trial steps that are undone bit for bit.

The first step is the run's own: its parameters go to the host before it. For trial
steps all of the state does, so no second copy of it lies on a device.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from hax_jax.measures import measure_optimizer
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
    return Before(copied, int(state.step), measure_optimizer.counts(state.opt_state))


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
    counts = measure_optimizer.counts(state.opt_state)
    numbers['schedule_count'] = max(
        (counts[name] - count for name, count in before.counts.items()), default=1
    )
    means = jax.device_get(measure_optimizer.means(state.opt_state))
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
    state = dataclasses.replace(
        state, opt_state=measure_optimizer.counted(state.opt_state, start)
    )
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


def _float32(leaf: np.ndarray) -> np.ndarray:
    return np.asarray(leaf, np.float32)


def _norm(leaf: np.ndarray) -> float:
    return float(np.linalg.norm(_float32(leaf).ravel()))


def _rms(leaf: np.ndarray) -> float:
    return _norm(leaf) / max(leaf.size, 1) ** 0.5
