"""The blocks one after another: unrolled or looped over, and what is computed again."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from hax_jax import errors
from hax_jax.model import linear

_POLICIES = {
    'block': jax.checkpoint_policies.nothing_saveable,
    'dots': jax.checkpoint_policies.save_only_these_names(linear.PRODUCT),
}


def run(
    blocks: Iterable[nnx.Module],
    call: Callable[[Any, jax.Array, Any], jax.Array],
    x: jax.Array,
    *,
    scan: bool,
    remat: str,
) -> jax.Array:
    """x after `call(block, x, i)` of each block in turn.

    Unrolled, XLA sees each block; with `scan`, one of them in a loop over all their
    parameters, which the step stacks: they keep their own names and places in between.

    `remat` is what the backward pass finds: 'none', all that it needs; 'block', each
    block's input alone; 'dots', that and what the products with kernels gave. Unrolled
    on a CPU it is without effect: XLA merges what is computed again with the first.
    """
    graphdefs, states = zip(*map(nnx.split, blocks), strict=True)

    def layer(graphdef: Any) -> Callable[..., jax.Array]:
        def run_one(x: jax.Array, state: Any, i: Any) -> jax.Array:
            return call(nnx.merge(graphdef, state), x, i)

        if remat == 'none':
            return run_one
        return jax.checkpoint(run_one, policy=_POLICIES[remat], prevent_cse=not scan)

    if not scan:
        for i, (graphdef, state) in enumerate(zip(graphdefs, states, strict=True)):
            x = layer(graphdef)(x, state, i)
        return x
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    run_one = layer(graphdefs[0])
    x, _ = jax.lax.scan(
        lambda x, xs: (run_one(x, *xs), None), x, (stacked, jnp.arange(len(states)))
    )
    return x


def check_alike(blocks: Iterable[nnx.Module]) -> None:
    """Raises InputError if the blocks are not so alike that `scan` can loop over them.

    Adapters in some of them make them differ.
    """
    first, *others = map(nnx.split, blocks)
    different = [
        f'h.{i + 1}'
        for i, (graphdef, state) in enumerate(others)
        if graphdef != first[0]
        or jax.tree.map(jnp.shape, state) != jax.tree.map(jnp.shape, first[1])
    ]
    if different:
        raise errors.InputError(
            f'model.scan_layers=True needs blocks that are alike, and {different} '
            'differ from h.0, by their adapters; name layers of all blocks in '
            'lora.targets, or set model.scan_layers=False.'
        )
