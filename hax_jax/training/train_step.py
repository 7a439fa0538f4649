"""The train step: forward, loss, gradients, update, metrics."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, PartitionSpec

from hax_jax.devices import allocator, xla_log
from hax_jax.devices import mesh as mesh_lib
from hax_jax.guards import judge
from hax_jax.model import abstract, loss, own_rows, param_tree
from hax_jax.training import optimizer
from hax_jax.training import train_state as ts
from hax_jax.watch import layer_metrics

Batch = dict[str, jax.Array]  # records.FEATURES, each [B, T]
Metrics = dict[str, jax.Array]  # float32 scalars, and `layers` [layers, 3]


def make_train_step(
    blueprint: ts.Blueprint,
    schedule: optax.Schedule,
    *,
    mesh: Mesh,
    grad_accum_steps: int,
    seed: int,
    z_loss: float = 0.0,
    with_layers: bool = False,
    on_bad_step: str = 'stop',
    on_spike: str = 'note',
    average_weight: Callable[[Any], Any] | None = None,
) -> Callable[[ts.TrainState, Batch], tuple[ts.TrainState, Metrics]]:
    """The jitted update: (state, batch) -> (state, metrics). The state is donated.

    The loss is the sum of weighted nll over the sum of weights of the whole batch, also
    with several microbatches and on several devices; `z_loss` times logsumexp squared
    is weighted as nll is (Chowdhery et al. 2022, arXiv:2204.02311, 5). Metrics: `loss`
    (nats per unit of weight, without the z-loss), `weight` (the sum of weights),
    `tokens` (positions that are no padding), `grad_norm` (before clipping),
    `learning_rate`, `bad` and `action` (places in judge.KINDS and ACTIONS); `z_loss`
    (its addend to the loss) if there is one; `lost_updates` (the share of nonzero
    updates that left their parameter unchanged) where a trained parameter is bfloat16;
    `layers` (layer_metrics.norms of what moves) `with_layers`.

    The update of a step that `judge` skips or stops is not applied: parameters, moments
    and schedule stay as they are. A stopped step is not counted either, nor any after
    it. `average_weight` is optimizer.average_weight's.
    """
    parameters = jax.tree.leaves(blueprint.split_held(blueprint.state.params)[0])
    is_rounded = any(leaf.dtype == jnp.bfloat16 for leaf in parameters)

    gradients = gradients_function(
        blueprint, grad_accum_steps=grad_accum_steps, seed=seed, z_loss=z_loss
    )

    def train_step(state: ts.TrainState, batch: Batch) -> tuple[ts.TrainState, Metrics]:
        grads, (mean_loss, extra) = gradients(state, batch)
        moving, held = blueprint.split_held(state.params)
        weight = jnp.sum(batch['loss_weights'])
        updates, opt_state = blueprint.tx.update(grads, state.opt_state, moving)
        updates = optimizer.multiplied(updates, blueprint.factors)
        # A batch without weights moves nothing: not by decay or momentum either.
        updates = jax.tree.map(lambda update: update * (weight > 0), updates)
        moved = optax.apply_updates(moving, updates)

        grad_norm = optax.tree.norm(grads)
        kind, action, guard = judge.judge(
            state.guard,
            mean_loss,
            grad_norm,
            weight,
            on_bad_step=on_bad_step,
            on_spike=on_spike,
        )
        good = action == judge.APPLIED
        after, opt_state = jax.tree.map(
            lambda new, old: jnp.where(good, new, old),
            (moved, opt_state),
            (moving, state.opt_state),
        )
        params = nnx.merge_state(after, held)

        num_updates = state.step - state.guard.num_skipped
        metrics = {
            'loss': mean_loss,
            'weight': weight,
            'tokens': jnp.sum(batch['segment_ids'] > 0).astype(jnp.float32),
            'grad_norm': grad_norm,
            'learning_rate': jnp.asarray(schedule(num_updates), jnp.float32),
            'bad': kind.astype(jnp.float32),
            'action': action.astype(jnp.float32),
        }
        if z_loss:
            metrics['z_loss'] = extra
        if is_rounded:
            metrics['lost_updates'] = _lost_updates(moving, updates, moved)
        if with_layers:
            metrics['layers'] = layer_metrics.norms(grads, updates, moving)
        step = state.step + (action != judge.STOPPED)
        average = state.average
        if average_weight is not None:
            w = jnp.where(step > state.step, average_weight(state.step + 1), 0.0)
            average = jax.tree.map(lambda a, p: (1 - w) * a + w * p, average, after)
        state = ts.TrainState(step, params, state.frozen, opt_state, guard, average)
        return state, metrics

    state_shardings = param_tree.shardings(blueprint.state)
    return jax.jit(
        train_step,
        in_shardings=(state_shardings, mesh_lib.batch_sharding(mesh)),
        out_shardings=(state_shardings, mesh_lib.replicated(mesh)),
        donate_argnums=0,
    )


def gradients_function(
    blueprint: ts.Blueprint, *, grad_accum_steps: int, seed: int, z_loss: float = 0.0
) -> Callable[[ts.TrainState, Batch], tuple[Any, tuple[jax.Array, jax.Array]]]:
    """(state, batch) -> (float32 gradients of what moves, (loss, z-loss's addend)).

    All are of the mean over the weights of the batch. Not jitted.
    """
    loss_sum = functools.partial(_loss_sum, blueprint.model, z_loss)

    def summed(moving: Any, held: Any, frozen: Any, batch: Batch, key: Any) -> Any:
        of_rows = functools.partial(
            jax.grad(loss_sum, has_aux=True), moving, held, frozen
        )
        if grad_accum_steps == 1:
            return of_rows(batch, key)
        return _over_microbatches(
            of_rows, (moving, (0.0, 0.0)), batch, key, grad_accum_steps
        )

    mesh = blueprint.state.step.sharding.mesh
    if mesh_lib.num_batch_shards(mesh) > 1:
        summed = _on_own_rows(blueprint, summed)

    def gradients(
        state: ts.TrainState, batch: Batch
    ) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        moving, held = blueprint.split_held(state.params)
        # A sum with weights that sum to 1 is the mean: no pass over the gradients.
        weights, weight = batch['loss_weights'], jnp.sum(batch['loss_weights'])
        share = weights / jnp.maximum(weight, 1e-6)
        share = jnp.where(jnp.isfinite(weight), share, jnp.nan)  # not 0, by infinity
        batch = {**batch, 'loss_weights': share}
        grads, means = summed(moving, held, state.frozen, batch, key)
        return jax.tree.map(lambda grad: grad.astype(jnp.float32), grads), means

    return gradients


def _on_own_rows(blueprint: ts.Blueprint, summed: Callable[..., Any]) -> Any:
    """`summed`, (moving, held, frozen, batch, key) -> (gradients, sums), over devices.

    Each device computes its own rows. Parameters outside the blocks are gathered once,
    the blocks' by each block; a device's gradients of all microbatches are summed over
    devices once, but for those of split blocks, which each block sums over fsdp.
    """
    model, mesh = blueprint.model, blueprint.state.step.sharding.mesh
    rows = PartitionSpec(mesh_lib.BATCH)
    state = blueprint.state
    moving, held, frozen = map(
        own_rows.own_parts, (*blueprint.split_held(state.params), state.frozen)
    )

    def over_devices(grads: Any) -> Any:
        leaves = param_tree.named(grads)
        split = {name: leaf for name, leaf in leaves.items() if name in model.split}
        whole = {name: leaf for name, leaf in leaves.items() if name not in model.split}
        if mesh.shape['data'] > 1:
            split = jax.lax.psum(split, 'data')
        return param_tree.like(grads, split | jax.lax.psum(whole, mesh_lib.BATCH))

    def local(
        moving: Any, held: Any, frozen: Any, batch: Batch, key: Any, place: Any
    ) -> Any:
        # Gradients of bfloat16 parameters are summed in float32 too.
        moving = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), moving)
        whole, scatter = jax.vjp(model.gather_outside_blocks, moving)
        held, frozen = map(model.gather_outside_blocks, (held, frozen))
        key = own_rows.key_of(key, place[0])
        grads, sums = summed(whole, held, frozen, batch, key)
        (grads,) = scatter(grads)
        return over_devices(grads), jax.lax.psum(sums, mesh_lib.BATCH)

    each = own_rows.run(
        local,
        mesh,
        in_specs=(moving, held, frozen, rows, PartitionSpec(), rows),
        out_specs=(moving, PartitionSpec()),
    )
    num_places = mesh_lib.num_batch_shards(mesh)
    return lambda *args: each(*args, jnp.arange(num_places))


def compiled(lowered: jax.stages.Lowered, mesh: Mesh) -> Any:
    """The lowered train step compiled, before it takes memory.

    Process 0 prints what XLA says of shardings that cost more than the mesh needs.
    """
    if mesh.size == 1:
        ready = lowered.compile()
    else:
        with xla_log.rematerialized() as arrays:
            ready = lowered.compile()
        told = xla_log.advice(arrays)
        if told and jax.process_index() == 0:
            print(told, flush=True)
    allocator.give_back()
    return ready


def _loss_sum(
    described: abstract.AbstractModel,
    z_loss: float,
    moving: Any,
    held: Any,
    frozen: Any,
    batch: Batch,
    key: jax.Array,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """The objective of some rows, a sum over positions: (loss + extra, (loss, extra)).

    The extra is the z-loss. Parameters are what moves, what is held still and what is
    frozen, three disjoint parts of one model.
    """
    model = nnx.merge(described.graphdef, nnx.merge_state(moving, held), frozen)
    hidden = model(
        batch['inputs'],
        batch['positions'],
        batch['segment_ids'],
        dropout_key=key,
        gather_block=described.gather_block,
    )
    features, table = model.head(hidden, dropout_key=key)
    return loss.weighted_sum(
        features,
        table,
        batch['targets'],
        batch['loss_weights'],
        z_loss=z_loss,
        vocab_size=model.model.vocab_size,
    )


def _lost_updates(before: Any, updates: Any, after: Any) -> jax.Array:
    """The share of the nonzero updates that left their parameter unchanged."""
    leaves = zip(*map(jax.tree.leaves, (before, updates, after)), strict=True)
    given, lost = jnp.zeros(()), jnp.zeros(())
    for old, update, new in leaves:
        meant = update != 0
        given += jnp.sum(meant, dtype=jnp.float32)
        lost += jnp.sum(meant & (old == new), dtype=jnp.float32)
    return lost / jnp.maximum(given, 1)


def _over_microbatches(
    gradients: Callable[[Batch, jax.Array], Any],
    like: Any,
    batch: Batch,
    key: jax.Array,
    num_microbatches: int,
) -> Any:
    """The sum of `gradients(microbatch, key)` over the microbatches, in float32.

    `gradients` returns a tree of the shapes of `like`.
    Microbatch i takes rows i, i + k, i + 2k, ..., so each device keeps its own rows.
    """

    def split(x: jax.Array) -> jax.Array:
        x = x.reshape(-1, num_microbatches, *x.shape[1:])  # [B / k, k, T]
        x = x.swapaxes(0, 1)  # [k, B / k, T]
        return mesh_lib.constrain(x, None, 'batch', None)

    def add(total: Any, xs: tuple[jax.Array, Batch]) -> tuple[Any, None]:
        index, microbatch = xs
        out = gradients(microbatch, jax.random.fold_in(key, index))
        return jax.tree.map(jnp.add, total, out), None

    xs = (jnp.arange(num_microbatches), jax.tree.map(split, batch))
    zero = jax.tree.map(lambda leaf: jnp.zeros(jnp.shape(leaf), jnp.float32), like)
    total, _ = jax.lax.scan(add, zero, xs)
    return total
