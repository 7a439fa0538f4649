"""Numbers of an optimizer: what its updates show of it, and what its state holds."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hax_jax.model import param_tree


def of_updates(
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
            state = counted(tx.init(zeros), lambda _: count)
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


def counted(opt_state: Any, count: Callable[[Any], Any]) -> Any:
    """The optimizer state with the schedule at another step: count(the old one)."""
    kind = optax.ScaleByScheduleState
    return jax.tree.map(
        lambda leaf: kind(count=count(leaf.count)) if isinstance(leaf, kind) else leaf,
        opt_state,
        is_leaf=lambda leaf: isinstance(leaf, kind),
    )


def counts(opt_state: Any) -> dict[str, int]:
    """The counts of steps in an optimizer's state, by dotted name."""
    return {
        name: int(leaf)
        for name, leaf in param_tree.named(opt_state).items()
        if leaf.ndim == 0 and np.issubdtype(leaf.dtype, np.integer)
    }


def means(opt_state: Any) -> dict[str, jax.Array]:
    """Adam's means by parameter: after a first step (1 - b1) times the gradients."""
    return {
        name: leaf
        for each in _adams(opt_state)[:1]
        for name, leaf in param_tree.named(each.mu).items()
    }


def _schedules(opt_state: Any) -> list[optax.ScaleByScheduleState]:
    kind = optax.ScaleByScheduleState
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda x: isinstance(x, kind))
    return [leaf for leaf in leaves if isinstance(leaf, kind)]


def _adams(opt_state: Any) -> list[optax.ScaleByAdamState]:
    kind = optax.ScaleByAdamState
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda x: isinstance(x, kind))
    return [leaf for leaf in leaves if isinstance(leaf, kind)]
