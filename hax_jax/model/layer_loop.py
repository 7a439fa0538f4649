"""Runs the blocks one after another: unrolled or as a loop, with or without remat."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from hax_jax import errors
from hax_jax.devices import mesh
from hax_jax.model import linear


def _not_gathered(primitive: Any, *_: Any, **__: Any) -> bool:
    return primitive.name != 'linear_call'  # `own_rows.gather`


_POLICIES = {
    'none': _not_gathered,
    'block': jax.checkpoint_policies.nothing_saveable,
    'dots': jax.checkpoint_policies.save_only_these_names(linear.PRODUCT),
}


def run(
    blocks: Iterable[nnx.Module],
    x: Float[Array, 'B T D'],
    segment_ids: Int[Array, 'B T'],
    dropout_key: Key[Array, ''] | None,
    *,
    scan: bool,
    remat: str,
    gather: Callable[[nnx.State], nnx.State] | None = None,
) -> Float[Array, 'B T D']:
    """x after each block in turn.

    Unrolled, XLA sees each block. With `scan`, it sees one block in a loop over the
    parameters of all, which are stacked inside the step: names and checkpoints stay.

    `remat` says what the backward pass finds: with 'none' all that it needs; with
    'block' each block's input alone; with 'dots' also the products with kernels. On a
    CPU remat needs `scan`: XLA merges an unrolled recomputation with the first pass.

    `gather` makes a block's parameters whole where devices hold parts of them. It is
    called when the block begins, and in the backward pass anew.
    """

    def run_block(graphdef: Any, state: nnx.State, x: jax.Array, i: Any) -> jax.Array:
        x = mesh.constrain(x, 'batch', None, None)
        key = None if dropout_key is None else jax.random.fold_in(dropout_key, i + 1)
        block = nnx.merge(graphdef, state if gather is None else gather(state))
        return block(x, segment_ids, key)[0]

    run_one = run_block
    if remat != 'none' or gather is not None:
        run_one = jax.checkpoint(
            run_block, policy=_POLICIES[remat], prevent_cse=not scan, static_argnums=0
        )
    if not scan:
        # Blocks that are alike are traced and lowered once; XLA inlines the calls.
        alike = jax.jit(run_one, static_argnums=0)
        for i, block in enumerate(blocks):
            x = alike(*nnx.split(block), x, i)
        return x
    (graphdef, *_), states = zip(*map(nnx.split, blocks), strict=True)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    x, _ = jax.lax.scan(
        lambda x, xs: (run_one(graphdef, xs[0], x, xs[1]), None),
        x,
        (stacked, jnp.arange(len(states))),
    )
    return x


def check_alike(blocks: Iterable[nnx.Module]) -> None:
    """Raises InputError if `scan` can't loop over the blocks, because they differ.

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
            'differ from h.0, by their adapters or their scale of attention; name '
            'layers of all blocks in lora.targets, or give '
            '--config.model.scan_layers=false.'
        )
