"""How far each layer moves: norms of gradient, update and weight, inside the step."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hax_jax.model import param_tree

_NORMS = ('grad_norm', 'update_norm', 'weight_norm')


def groups(params: Any) -> dict[str, list[str]]:
    """The trained parameters' names by layer.

    A block is one layer (`h.0`), and so are `wte`, `wpe`, `ln_f` and `lm_head`; an
    adapter's layer is what it adapts: `h.0.attn.c_attn`.
    """
    out: dict[str, list[str]] = {}
    for name in param_tree.named(params):
        path, _, leaf = name.rpartition('.')
        if not leaf.startswith('lora_'):
            path = '.'.join(name.split('.')[: 2 if name.startswith('h.') else 1])
        out.setdefault(path, []).append(name)
    return out


def norms(grads: Any, updates: Any, params: Any) -> Float[Array, 'layers 3']:
    """The norm over each of `groups`, of gradient, update and weight.

    Every step computes the norms, few steps are read. Under `lax.cond`, XLA's CPU
    compiler copies the donated state, or keeps the update whole, which costs more.
    """

    def by_group(tree: Any) -> jax.Array:
        leaves = param_tree.named(tree)
        squares = [
            sum(jnp.sum(jnp.square(leaves[name].astype(jnp.float32))) for name in names)
            for names in groups(tree).values()
        ]
        return jnp.sqrt(jnp.stack(squares))

    return jnp.stack([by_group(grads), by_group(updates), by_group(params)], axis=1)


def by_layer(names: Iterable[str], values: np.ndarray) -> dict[str, dict[str, float]]:
    """The norms [layers, 3] by layer, with `update_ratio`, the update by the weight.

    A layer whose weights are all zero has no ratio: 0.0 stands there.
    """
    out = {}
    for name, row in zip(names, values, strict=True):
        layer = dict(zip(_NORMS, map(float, row), strict=True))
        weight = layer['weight_norm']
        ratio = layer['update_norm'] / weight if weight else 0.0
        out[name] = {**layer, 'update_ratio': ratio}
    return out
