"""The train step and the eval step."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from hax_jax.devices import allocator
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import loss, param_tree
from hax_jax.training import train_state as ts
from hax_jax.watch import layer_metrics

Batch = dict[str, jax.Array]  # records.FEATURES, each [B, T]
Metrics = dict[str, jax.Array]  # float32 scalars, and `layers` [layers, 3]


def make_train_step(
    blueprint: ts.Blueprint,
    tx: optax.GradientTransformation,
    schedule: optax.Schedule,
    *,
    mesh: Mesh,
    grad_accum_steps: int,
    seed: int,
    z_loss: float = 0.0,
    with_layers: bool = False,
) -> Callable[[ts.TrainState, Batch], tuple[ts.TrainState, Metrics]]:
    """The compiled update: (state, batch) -> (state, metrics). The state is donated.

    The loss is the sum of weighted nll over the sum of weights of the whole batch, also
    with several microbatches and on several devices; `z_loss` times logsumexp squared
    is weighted as nll is (Chowdhery et al. 2022, arXiv:2204.02311, 5). Metrics: `loss`
    (nats per unit of weight, without the z-loss), `weight` (the sum of weights),
    `tokens` (positions that are no padding), `grad_norm` (before clipping),
    `learning_rate`; `z_loss` (what it adds to the loss) if there is one; and
    `lost_updates` (the share of updates that left their parameter as it was, of those
    not 0) where a trained parameter is bfloat16; `with_layers` also `layers`, the norms
    of layer_metrics.py, of what moves.
    """
    factors = blueprint.factors
    multiplied = any(factor != 1 for factor in factors.values())
    moving_leaves = jax.tree.leaves(blueprint.split_held(blueprint.abstract.params)[0])
    rounded = any(leaf.dtype == jnp.bfloat16 for leaf in moving_leaves)

    def objective(
        moving: Any, held: Any, frozen: Any, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        params = nnx.merge_state(moving, held)
        nll, logsumexp = _nll(blueprint.graphdef, params, frozen, batch, key)
        total = jnp.sum(nll * batch['loss_weights'])
        if z_loss == 0:
            return total, {'loss': total}
        extra = z_loss * jnp.sum(logsumexp**2 * batch['loss_weights'])
        return total + extra, {'loss': total, 'z_loss': extra}

    def step(state: ts.TrainState, batch: Batch) -> tuple[ts.TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        moving, held = blueprint.split_held(state.params)
        value_and_grad = functools.partial(
            jax.value_and_grad(objective, has_aux=True), moving, held, state.frozen
        )
        if grad_accum_steps == 1:
            (_, sums), grads = value_and_grad(batch, key)
        else:
            no_sums = (0.0, dict.fromkeys(['loss'] + ['z_loss'] * bool(z_loss), 0.0))
            (_, sums), grads = _accumulate(
                value_and_grad, (no_sums, moving), batch, key, grad_accum_steps
            )
        weight = jnp.sum(batch['loss_weights'])
        scale = 1 / jnp.maximum(weight, 1e-6)
        grads = jax.tree.map(lambda grad: grad.astype(jnp.float32) * scale, grads)
        updates, opt_state = tx.update(grads, state.opt_state, moving)
        if multiplied:  # decay too, as it is times the learning rate
            updates = jax.tree_util.tree_map_with_path(
                lambda path, update: update * factors[param_tree.dotted(path)], updates
            )
        # A batch without weights moves nothing: not by decay or momentum either.
        updates = jax.tree.map(lambda update: update * (weight > 0), updates)
        moved = optax.apply_updates(moving, updates)
        metrics = {
            **{name: total * scale for name, total in sums.items()},
            'weight': weight,
            'tokens': jnp.sum(batch['segment_ids'] > 0).astype(jnp.float32),
            'grad_norm': optax.tree.norm(grads),
            'learning_rate': jnp.asarray(schedule(state.step), jnp.float32),
        }
        if rounded:
            metrics['lost_updates'] = _lost_updates(moving, updates, moved)
        if with_layers:
            metrics['layers'] = layer_metrics.norms(grads, updates, moving)
        params = nnx.merge_state(moved, held)
        return ts.TrainState(state.step + 1, params, state.frozen, opt_state), metrics

    rows = mesh_lib.batch_sharding(mesh)
    return jax.jit(
        step,
        in_shardings=(blueprint.shardings, rows),
        out_shardings=(blueprint.shardings, mesh_lib.replicated(mesh)),
        donate_argnums=0,
    )


def compiled(step: Any, state: ts.TrainState, batch: Batch) -> Any:
    """The train step compiled for such a state and batch, before it takes memory."""
    ready = step.lower(state, batch).compile()
    allocator.give_back()
    return ready


def make_eval_step(
    blueprint: ts.Blueprint, *, mesh: Mesh
) -> Callable[[Any, Any, Batch], Batch]:
    """The compiled evaluation: (params, frozen, batch) -> scores, without dropout.

    They are `nll` and `is_likeliest` (no other id is likelier than the target), [B, T].
    """

    def step(params: Any, frozen: Any, batch: Batch) -> Batch:
        features, table, vocab_size = _head(
            blueprint.graphdef, params, frozen, batch, None
        )
        nll, is_likeliest = loss.token_scores(
            features, table, batch['targets'], vocab_size=vocab_size
        )
        return {'nll': nll, 'is_likeliest': is_likeliest}

    return jax.jit(
        step,
        in_shardings=(
            blueprint.shardings.params,
            blueprint.shardings.frozen,
            mesh_lib.batch_sharding(mesh),
        ),
        out_shardings=mesh_lib.replicated(mesh),
    )


def _nll(
    graphdef: Any, params: Any, frozen: Any, batch: Batch, key: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """nll and logsumexp, each [B, T]."""
    features, table, vocab_size = _head(graphdef, params, frozen, batch, key)
    return loss.token_nll(features, table, batch['targets'], vocab_size=vocab_size)


def _head(
    graphdef: Any, params: Any, frozen: Any, batch: Batch, key: jax.Array | None
) -> tuple[jax.Array, jax.Array, int]:
    """Features [B, T, K] and a table [V, K], whose first rows are the vocabulary."""
    model = nnx.merge(graphdef, params, frozen)
    hidden = model(
        batch['inputs'], batch['positions'], batch['segment_ids'], dropout_key=key
    )
    features, table = model.head(hidden, dropout_key=key)
    return features, table, model.model.vocab_size


def _lost_updates(before: Any, updates: Any, after: Any) -> jax.Array:
    """The share of updates, of those not 0, that left their parameter as it was."""
    leaves = zip(*map(jax.tree.leaves, (before, updates, after)), strict=True)
    given, lost = jnp.zeros(()), jnp.zeros(())
    for old, update, new in leaves:
        meant = update != 0
        given += jnp.sum(meant, dtype=jnp.float32)
        lost += jnp.sum(meant & (old == new), dtype=jnp.float32)
    return lost / jnp.maximum(given, 1)


def _accumulate(
    value_and_grad: Callable[[Batch, jax.Array], Any],
    like: Any,
    batch: Batch,
    key: jax.Array,
    num_microbatches: int,
) -> Any:
    """The sum of `value_and_grad` over microbatches of the rows, in float32.

    It gives a tree of the shapes of `like`.
    Microbatch i takes rows i, i + k, i + 2k, ..., so each device keeps its own rows.
    """

    def split(x: jax.Array) -> jax.Array:
        x = x.reshape(-1, num_microbatches, *x.shape[1:])  # [B / k, k, T]
        x = x.swapaxes(0, 1)  # [k, B / k, T]
        return mesh_lib.constrain(x, None, 'batch', None)

    def add(total: Any, xs: tuple[jax.Array, Batch]) -> tuple[Any, None]:
        index, microbatch = xs
        out = value_and_grad(microbatch, jax.random.fold_in(key, index))
        return jax.tree.map(jnp.add, total, out), None

    xs = (jnp.arange(num_microbatches), jax.tree.map(split, batch))
    zero = jax.tree.map(lambda leaf: jnp.zeros(jnp.shape(leaf), jnp.float32), like)
    total, _ = jax.lax.scan(add, zero, xs)
    return total
