"""The train step and the eval step."""

import collections.abc
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from hax_jax import layer_metrics, loss
from hax_jax import mesh as mesh_lib
from hax_jax import train_state as ts

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
    with_layers: bool = False,
) -> collections.abc.Callable[[ts.TrainState, Batch], tuple[ts.TrainState, Metrics]]:
    """The compiled update: (state, batch) -> (state, metrics). The state is donated.

    The loss is the sum of weighted nll over the sum of weights of the whole batch, also
    with several microbatches and on several devices. Metrics: `loss` (nats per unit of
    weight), `weight` (the sum of weights), `tokens` (positions that are no padding),
    `grad_norm` (before clipping), `learning_rate`; `with_layers` also `layers`, the
    norms of layer_metrics.py.
    """

    def weighted_nll(
        params: Any, frozen: Any, batch: Batch, key: jax.Array
    ) -> jax.Array:
        nll = _nll(blueprint.graphdef, params, frozen, batch, key)
        return jnp.sum(nll * batch['loss_weights'])

    def step(state: ts.TrainState, batch: Batch) -> tuple[ts.TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        value_and_grad = jax.value_and_grad(weighted_nll)
        if grad_accum_steps == 1:
            total, grads = value_and_grad(state.params, state.frozen, batch, key)
        else:
            total, grads = _accumulate(
                functools.partial(value_and_grad, state.params, state.frozen),
                (jnp.zeros(()), jax.tree.map(jnp.zeros_like, state.params)),
                batch,
                key,
                grad_accum_steps,
            )
        weight = jnp.sum(batch['loss_weights'])
        scale = 1 / jnp.maximum(weight, 1e-6)
        grads = jax.tree.map(lambda grad: grad * scale, grads)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        # A batch without weights moves nothing: not by decay or momentum either.
        updates = jax.tree.map(lambda update: update * (weight > 0), updates)
        params = optax.apply_updates(state.params, updates)
        metrics = {
            'loss': total * scale,
            'weight': weight,
            'tokens': jnp.sum(batch['segment_ids'] > 0).astype(jnp.float32),
            'grad_norm': optax.tree.norm(grads),
            'learning_rate': jnp.asarray(schedule(state.step), jnp.float32),
        }
        if with_layers:
            metrics['layers'] = layer_metrics.norms(grads, updates, state.params)
        return ts.TrainState(state.step + 1, params, state.frozen, opt_state), metrics

    rows = mesh_lib.batch_sharding(mesh)
    return jax.jit(
        step,
        in_shardings=(blueprint.shardings, rows),
        out_shardings=(blueprint.shardings, mesh_lib.replicated(mesh)),
        donate_argnums=0,
    )


def make_eval_step(
    blueprint: ts.Blueprint, *, mesh: Mesh
) -> collections.abc.Callable[[Any, Any, Batch], jax.Array]:
    """The compiled evaluation: (params, frozen, batch) -> nll [B, T], no dropout."""

    def step(params: Any, frozen: Any, batch: Batch) -> jax.Array:
        return _nll(blueprint.graphdef, params, frozen, batch, None)

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
) -> jax.Array:
    model = nnx.merge(graphdef, params, frozen)
    hidden = model(
        batch['inputs'], batch['positions'], batch['segment_ids'], dropout_key=key
    )
    features, table = model.head(hidden, dropout_key=key)
    nll, _ = loss.token_nll(
        features, table, batch['targets'], vocab_size=model.model.vocab_size
    )
    return nll


def _accumulate(
    value_and_grad: collections.abc.Callable[[Batch, jax.Array], Any],
    zero: Any,
    batch: Batch,
    key: jax.Array,
    num_microbatches: int,
) -> Any:
    """The sum of `value_and_grad` over microbatches of the rows.

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
    total, _ = jax.lax.scan(add, zero, xs)
    return total
