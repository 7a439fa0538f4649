"""Whether a state is worth saving: all of it finite, its loss not diverged."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hax_jax.model import param_tree

_NAMED = 3
_FAR = 2.0


def not_finite(trees: Any) -> list[str]:
    """The dotted names of the arrays in which a number is NaN or infinite.

    Each device looks at its own part; one truth value for each array comes back.
    """
    leaves = {
        name: leaf
        for name, leaf in param_tree.named(trees).items()
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    }
    finite = jax.device_get(_all_finite(list(leaves.values())))
    return [name for name, good in zip(leaves, finite, strict=True) if not good]


@jax.jit
def _all_finite(leaves: list[jax.Array]) -> jax.Array:
    return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves])


def highest_loss(vocab_size: int, loss_before: float | None) -> float:
    """The training loss in nats over which a run counts as diverged.

    Twice ln(vocab_size), the loss of a model that calls all ids equally likely, or
    twice the loss before training where that is higher. Measured on rows that are
    trained on, so memorising them lowers it, a warm-up begins near ln(vocab_size) at
    most, and a model over it is worse on them than one that has learned nothing.
    """
    return _FAR * max(math.log(vocab_size), loss_before or 0.0)


def median_loss(nll: np.ndarray, weights: np.ndarray) -> float:
    """The median over the rows of nll [B, T] of each row's mean where it has weight.

    A row that is not finite counts as infinite: one row with damaged ids, or a damaged
    weight, makes no state a bad one. 0.0 if no row has weight.
    """
    losses = []
    for values, weighted in zip(np.asarray(nll, np.float64), weights > 0, strict=True):
        if weighted.any():
            losses.append(values[weighted].mean())
    losses = [loss if math.isfinite(loss) else math.inf for loss in losses]
    return float(np.median(losses)) if losses else 0.0


def problem(names: list[str], loss: float, highest: float) -> str:
    """Why a state with these `not_finite` arrays and this loss is bad; '' if it is not.

    `loss` is `median_loss` of rows of the train split.
    """
    if names:
        shown = ', '.join(names[:_NAMED]) + (', ...' if len(names) > _NAMED else '')
        return f'{len(names)} arrays of it hold numbers that are not finite ({shown})'
    if not loss <= highest:
        return (
            f'its loss on rows that it trains on is {loss:.4g}, over {highest:.4g}, '
            'twice that of a model that has learned nothing'
        )
    return ''
