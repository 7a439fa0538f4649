"""The loss and the gradient of each pair of a batch, one pair at a time."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from hax_jax.data import records
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import abstract, loss, param_tree


@dataclasses.dataclass(frozen=True)
class PairGradient:
    """One segment of a batch.

    `loss` is in nats per unit of weight, 0.0 without any; `grad_norm` is the norm of
    what the pair adds to the gradient of the batch's mean loss.
    """

    row: int
    id: str
    source: str
    weight: float
    loss: float
    grad_norm: float


@dataclasses.dataclass(frozen=True)
class BatchGradient:
    """A batch, as the sum of its pairs; without dropout and z-loss."""

    loss: float
    grad_norm: float
    pairs: list[PairGradient]


def of_batch(
    model: abstract.AbstractModel,
    split_held: Callable[[Any], tuple[Any, Any]],
    params: Any,
    frozen: Any,
    rows: list[int],
    cache: records.PackedCache,
    *,
    mesh: Mesh,
) -> BatchGradient:
    """Loss and gradient of each segment in these rows of the train split.

    A segment is computed alone in its row, so one that is not finite touches no other;
    its numbers are those that it has among the others.
    """
    features = cache.features('train')
    total_weight = max(float(features['loss_weights'][rows].sum()), 1e-6)
    moving, held = split_held(params)
    sharding, num_rows = mesh_lib.batch_sharding(mesh), mesh_lib.num_batch_shards(mesh)

    def weighted_nll(moving: Any, held: Any, frozen: Any, batch: Any) -> jax.Array:
        merged = nnx.merge(model.graphdef, nnx.merge_state(moving, held), frozen)
        hidden = merged(batch['inputs'], batch['positions'], batch['segment_ids'])
        features, table = merged.head(hidden)
        total, _ = loss.weighted_sum(
            features,
            table,
            batch['targets'],
            batch['loss_weights'],
            vocab_size=merged.model.vocab_size,
        )
        return total

    @jax.jit
    def add(total: Any, *args: Any) -> tuple[Any, jax.Array, jax.Array]:
        value, grads = jax.value_and_grad(weighted_nll)(*args)
        grads = jax.tree.map(lambda g: g.astype(jnp.float32) / total_weight, grads)
        return jax.tree.map(jnp.add, total, grads), value, optax.tree.norm(grads)

    def alone(segment: records.Segment) -> dict[str, jax.Array]:
        """The segment at its place, all else empty as padding is."""
        place, batch = slice(segment.start, segment.end), {}
        for name in records.FEATURES:
            dtype = np.float32 if name == 'loss_weights' else np.int32
            array = np.zeros((num_rows, cache.seq_len), dtype)
            array[0, place] = features[name][segment.row, place]
            batch[name] = param_tree.place(array, sharding)
        return batch

    total = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), moving)
    pairs, summed = [], 0.0
    for segment in _segments(cache, rows):
        total, value, norm = add(total, moving, held, frozen, alone(segment))
        place = slice(segment.start, segment.end)
        weight = float(features['loss_weights'][segment.row, place].sum())
        summed += float(value)
        pairs.append(
            PairGradient(
                row=segment.row,
                id=segment.id,
                source=segment.source,
                weight=weight,
                loss=float(value) / weight if weight else 0.0,
                grad_norm=float(norm),
            )
        )
    return BatchGradient(summed / total_weight, float(optax.tree.norm(total)), pairs)


def _segments(cache: records.PackedCache, rows: list[int]) -> Iterator[records.Segment]:
    """The segments of each row, as often as the row is there."""
    found: dict[int, list[records.Segment]] = {row: [] for row in rows}
    for segment in cache.segments('train'):
        if segment.row in found:
            found[segment.row].append(segment)
    for row in rows:
        yield from found[row]
