"""The eval step: scores of every target, without dropout."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh

from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import abstract, loss, param_tree

Batch = dict[str, jax.Array]  # records.FEATURES, each [B, T]


def make_eval_step(
    described: abstract.AbstractModel, *, mesh: Mesh
) -> Callable[[Any, Any, Batch], Batch]:
    """The jitted evaluation: (params, frozen, batch) -> scores.

    The scores are `nll` and `is_likeliest` (no other id is likelier than the target),
    both [B, T].
    """

    def eval_step(params: Any, frozen: Any, batch: Batch) -> Batch:
        model = nnx.merge(described.graphdef, params, frozen)
        hidden = model(batch['inputs'], batch['positions'], batch['segment_ids'])
        features, table = model.head(hidden)
        nll, is_likeliest = loss.token_scores(
            features, table, batch['targets'], vocab_size=model.model.vocab_size
        )
        return {'nll': nll, 'is_likeliest': is_likeliest}

    return jax.jit(
        eval_step,
        in_shardings=(
            param_tree.shardings(described.params),
            param_tree.shardings(described.frozen),
            mesh_lib.batch_sharding(mesh),
        ),
        out_shardings=mesh_lib.replicated(mesh),
    )
