"""The compiled half of sampling: prefill and decode of one batch.

Prompts are padded on the left, so all rows write one cache slot a step; the padding is
of segment 0, which no token of a prompt sees, and positions begin at 0 with a prompt's
first token.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int32

from hax_jax import config, gpt2, sampling
from hax_jax import mesh as mesh_lib


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=['inputs', 'lengths', 'limits', 'seeds', 'prompt_numbers', 'samples'],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class Rows:
    """A batch. A row of limit 0 only fills it up."""

    inputs: Any  # [B, T] prompts, padded on the left
    lengths: Any  # [B] of the prompts
    limits: Any  # [B] new tokens at most
    seeds: Any  # [B] and the next two: what a row's random bits follow
    prompt_numbers: Any
    samples: Any


@functools.partial(jax.jit, static_argnums=1)
def cast_matrices(params: Any, dtype: jnp.dtype) -> Any:
    return jax.tree.map(lambda x: x.astype(dtype) if x.ndim == 2 else x, params)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def empty_cache(
    model: config.ModelConfig, size: int, length: int, dtype: jnp.dtype
) -> gpt2.Cache:
    return _spread(gpt2.make_cache(model, batch_size=size, length=length, dtype=dtype))


@functools.partial(
    jax.jit,
    static_argnames=('graphdef', 'top_k', 'vocab_size'),
    donate_argnames='cache',
)
def prefill(
    graphdef: Any,
    params: Any,
    rows: Rows,
    cache: gpt2.Cache,
    *,
    temperature: Float[Array, ''] | None,
    top_k: int,
    top_p: Float[Array, ''] | None,
    vocab_size: int,
) -> tuple[Int32[Array, 'B'], Bool[Array, 'B'], gpt2.Cache]:
    """The first new token of each row, whether its logits are finite, and the cache.

    What an earlier batch left in the cache is overwritten or lies behind `length`,
    where no query looks.
    """
    model = nnx.merge(graphdef, params)
    B, T = rows.inputs.shape
    place = jnp.arange(T) - (T - rows.lengths[:, None])  # [B, T]
    segment_ids = (place >= 0).astype(jnp.int32)
    # A cache of T places: attention scores are [T, T], not [T, S].
    own = gpt2.make_cache(model.model, batch_size=B, length=T, dtype=model.wte.dtype)
    hidden, own = model.decode(
        rows.inputs, jnp.maximum(place, 0), segment_ids, own
    )  # [B, T, D]

    def write(whole: jax.Array, part: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice(whole, part, (0,) * whole.ndim)

    cache = gpt2.Cache(
        keys=jax.tree.map(write, cache.keys, own.keys),
        values=jax.tree.map(write, cache.values, own.values),
        segment_ids=write(jnp.zeros_like(cache.segment_ids), segment_ids),
        length=own.length,
    )
    tokens, finite = _draw(
        model, hidden[:, -1], rows, 0, temperature, top_k, top_p, vocab_size
    )
    return tokens, finite, _spread(cache)


@functools.partial(
    jax.jit,
    static_argnames=('graphdef', 'eos_id', 'new_places', 'top_k', 'vocab_size'),
    donate_argnames='cache',
)
def decode(
    graphdef: Any,
    params: Any,
    rows: Rows,
    first: Int32[Array, 'B'],
    finite: Bool[Array, 'B'],
    cache: gpt2.Cache,
    *,
    eos_id: int,
    new_places: int,
    temperature: Float[Array, ''] | None,
    top_k: int,
    top_p: Float[Array, ''] | None,
    vocab_size: int,
) -> tuple[Int32[Array, 'B M'], Int32[Array, 'B'], Bool[Array, 'B'], gpt2.Cache]:
    """Each row's new tokens, how many of them count, whether all logits were finite.

    Runs until every row has met EOS or its limit. The cache comes back so that its
    memory can serve the next batch.
    """
    model = nnx.merge(graphdef, params)
    B = first.shape[0]
    tokens = jnp.zeros((B, new_places), jnp.int32).at[:, 0].set(first)
    counts = jnp.minimum(rows.limits, 1)
    done = (first == eos_id) | (rows.limits <= 1)

    def unfinished(state: tuple[Any, ...]) -> jax.Array:
        return ~jnp.all(state[2])

    def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
        number, last, done, finite, counts, tokens, cache = state
        # A row that is done runs on beside the others, at any position that exists.
        positions = rows.lengths + number - 1
        positions = jnp.minimum(positions, model.model.n_positions - 1)[:, None]
        hidden, cache = model.decode(
            last[:, None], positions, jnp.ones((B, 1), jnp.int32), cache
        )  # [B, 1, D]
        last, good = _draw(
            model, hidden[:, 0], rows, number, temperature, top_k, top_p, vocab_size
        )
        tokens = jax.lax.dynamic_update_slice(tokens, last[:, None], (0, number))
        counts = counts + ~done
        finite = finite & (good | done)
        done = done | (last == eos_id) | (counts >= rows.limits)
        return number + 1, last, done, finite, counts, tokens, _spread(cache)

    start = (jnp.int32(1), first, done, finite, counts, tokens, cache)
    _, _, _, finite, counts, tokens, cache = jax.lax.while_loop(unfinished, step, start)
    whole = [mesh_lib.constrain(x, *[None] * x.ndim) for x in (tokens, counts, finite)]
    return *whole, cache


def _draw(
    model: gpt2.Gpt2,
    hidden: jax.Array,
    rows: Rows,
    number: jax.Array | int,
    temperature: jax.Array | None,
    top_k: int,
    top_p: jax.Array | None,
    vocab_size: int,
) -> tuple[jax.Array, jax.Array]:
    """New token `number` of each row from its hidden state [B, D]; logits finite?"""
    features, table = model.head(hidden)
    table = table.astype(hidden.dtype)
    logits = jnp.einsum(
        'bd,vd->bv', features, table, preferred_element_type=jnp.float32
    )
    logits = mesh_lib.constrain(logits, 'batch', None)
    if vocab_size < table.shape[0]:  # ids that only round the model's size up
        logits = jnp.where(jnp.arange(table.shape[0]) < vocab_size, logits, -jnp.inf)
    keys = sampling.row_keys(rows.seeds, rows.prompt_numbers, rows.samples)
    tokens = sampling.next_tokens(
        logits,
        keys,
        rows.lengths + number,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
    )
    return tokens, jnp.isfinite(jnp.max(logits, axis=-1))


def _spread(cache: gpt2.Cache) -> gpt2.Cache:
    """Pins the cache's places on the mesh, the same before and after each step."""
    return gpt2.Cache(
        keys=[mesh_lib.constrain(x, 'batch', None, 'heads', None) for x in cache.keys],
        values=[
            mesh_lib.constrain(x, 'batch', None, 'heads', None) for x in cache.values
        ],
        segment_ids=mesh_lib.constrain(cache.segment_ids, 'batch', None),
        length=cache.length,
    )
