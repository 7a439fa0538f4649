"""The eval step: scores of every target, without dropout."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh

from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import abstract, loss, own_rows, param_tree

Batch = dict[str, jax.Array]  # records.FEATURES, each [B, T]


def make_eval_step(
    described: abstract.AbstractModel, *, mesh: Mesh
) -> Callable[[Any, Any, Batch], Batch]:
    """The jitted evaluation: (params, frozen, batch) -> scores.

    The scores are `nll` and `is_likeliest` (no other id is likelier than the target),
    both [B, T].
    """

    def eval_step(params: Any, frozen: Any, batch: Batch) -> Batch:
        params, frozen = map(described.gather_outside_blocks, (params, frozen))
        model = nnx.merge(described.graphdef, params, frozen)
        hidden = model(
            batch['inputs'],
            batch['positions'],
            batch['segment_ids'],
            gather_block=described.gather_block,
        )
        features, table = model.head(hidden)
        nll, is_likeliest = loss.token_scores(
            features, table, batch['targets'], vocab_size=model.model.vocab_size
        )
        return {'nll': nll, 'is_likeliest': is_likeliest}

    rows = mesh_lib.batch_sharding(mesh).spec
    in_specs = (*map(own_rows.own_parts, (described.params, described.frozen)), rows)
    return jax.jit(
        own_rows.run(eval_step, mesh, in_specs=in_specs, out_specs=rows),
        in_shardings=(
            param_tree.shardings(described.params),
            param_tree.shardings(described.frozen),
            mesh_lib.batch_sharding(mesh),
        ),
        out_shardings=mesh_lib.replicated(mesh),
    )
