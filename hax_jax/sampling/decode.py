"""The compiled half of sampling: prefill and decode of one batch.

`decode` may be called for a few tokens at a time; a `State` lies between two calls, and
the tokens are those of one call. Prompts are padded on the left, so that all rows write
one cache slot a step. The padding has segment 0, which no token of a prompt sees;
position 0 is a prompt's first token.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Int32

from hax_jax.config import schema
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import gpt2, linear
from hax_jax.sampling import next_token


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """A batch. A row of limit 0 is padding."""

    inputs: Any  # [B, T] prompts, padded on the left
    lengths: Any  # [B] of the prompts
    limits: Any  # [B] new tokens at most
    seeds: Any  # [B]; a row's random bits depend on this and the next two
    prompt_numbers: Any  # [B]
    samples: Any  # [B]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """A batch after some of its new tokens."""

    number: Any  # new tokens of each row so far, including rows that are done
    last: Any  # [B] the newest token
    done: Any  # [B] met EOS, its limit, or was stopped
    finite: Any  # [B] whether all logits were finite
    counts: Any  # [B] new tokens before the row was done
    tokens: Any  # [B, M]
    logprobs: Any  # [B, M] of `tokens`, or None
    context: Any  # [B, T + M] prompt and new tokens if a setting needs them, or None
    cache: Any  # gpt2.Cache


@functools.partial(jax.jit, static_argnums=1)
def cast_matrices(params: Any, dtype: jnp.dtype) -> Any:
    return jax.tree.map(lambda x: x.astype(dtype) if x.ndim == 2 else x, params)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def empty_cache(
    model: schema.ModelConfig, size: int, length: int, dtype: jnp.dtype
) -> gpt2.Cache:
    return _spread_cache(
        gpt2.make_cache(model, batch_size=size, length=length, dtype=dtype)
    )


@functools.partial(
    jax.jit,
    static_argnames=('graphdef', 'new_places', 'logprobs'),
    donate_argnames='cache',
)
def prefill(
    graphdef: Any,
    params: Any,
    rows: Rows,
    cache: gpt2.Cache,
    *,
    drawing: next_token.Drawing,
    new_places: int,
    logprobs: bool,
) -> State:
    """The batch after the first new token of each row.

    Values of an earlier batch in the cache are overwritten, or lie after `length` where
    no query looks.
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
    context = None
    if drawing.needs_context:
        context = jnp.full((B, T + new_places), next_token.NO_TOKEN, jnp.int32)
        context = write(
            context, jnp.where(place >= 0, rows.inputs, next_token.NO_TOKEN)
        )
    state = State(
        number=jnp.int32(0),
        last=jnp.zeros(B, jnp.int32),
        done=rows.limits < 1,
        finite=jnp.ones(B, bool),
        counts=jnp.zeros(B, jnp.int32),
        tokens=jnp.zeros((B, new_places), jnp.int32),
        logprobs=jnp.zeros((B, new_places)) if logprobs else None,
        context=context,
        cache=cache,
    )
    return _spread(_next(model, hidden[:, -1], rows, state, drawing))


@functools.partial(jax.jit, static_argnames='graphdef', donate_argnames='state')
def decode(
    graphdef: Any,
    params: Any,
    rows: Rows,
    state: State,
    stopped: Bool[Array, 'B'],
    until: Int32[Array, ''],
    *,
    drawing: next_token.Drawing,
) -> State:
    """The batch after `until` new tokens, or once every row is done.

    A row is done at EOS, at its limit, or once it is `stopped`.
    """
    model = nnx.merge(graphdef, params)
    B = rows.lengths.shape[0]
    state = dataclasses.replace(state, done=state.done | stopped)

    def unfinished(state: State) -> jax.Array:
        return ~jnp.all(state.done) & (state.number < until)

    def step(state: State) -> State:
        # Rows that are done run on beside the others, at any valid position.
        positions = rows.lengths + state.number - 1
        positions = jnp.minimum(positions, model.model.n_positions - 1)[:, None]
        hidden, cache = model.decode(
            state.last[:, None], positions, jnp.ones((B, 1), jnp.int32), state.cache
        )  # [B, 1, D]
        state = dataclasses.replace(state, cache=cache)
        return _spread(_next(model, hidden[:, 0], rows, state, drawing))

    return _spread(jax.lax.while_loop(unfinished, step, state))


def _next(
    model: gpt2.Gpt2,
    hidden: jax.Array,
    rows: Rows,
    state: State,
    drawing: next_token.Drawing,
) -> State:
    """The state after one more token of each row, from its hidden state [B, D]."""
    logits = _logits(model, hidden, drawing.vocab_size)
    number = state.number
    end = rows.inputs.shape[1] + number  # the place of the new token in `context`
    tokens = next_token.next_tokens(
        next_token.processed(logits, state.context, end, number, drawing),
        next_token.row_keys(rows.seeds, rows.prompt_numbers, rows.samples),
        rows.lengths + number,
        drawing,
    )

    def put(whole: jax.Array, column: jax.Array, place: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice(whole, column[:, None], (0, place))

    logprobs, context = state.logprobs, state.context
    if logprobs is not None:
        chosen = jnp.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
        chosen -= jax.nn.logsumexp(logits, axis=-1)
        logprobs = put(logprobs, chosen, number)
    if context is not None:
        context = put(context, tokens, end)
    counts = state.counts + ~state.done
    good = jnp.isfinite(jnp.max(logits, axis=-1))
    return State(
        number=number + 1,
        last=tokens,
        done=state.done | (tokens == drawing.eos_id) | (counts >= rows.limits),
        finite=state.finite & (good | state.done),
        counts=counts,
        tokens=put(state.tokens, tokens, number),
        logprobs=logprobs,
        context=context,
        cache=state.cache,
    )


def _logits(model: gpt2.Gpt2, hidden: jax.Array, vocab_size: int) -> jax.Array:
    """Logits [B, V] of hidden states [B, D]; -inf for ids the tokenizer lacks."""
    features, table = model.head(hidden)
    logits = linear.product_by_rows(features, table)
    logits = mesh_lib.constrain(logits, 'batch', None)
    if vocab_size < table.shape[0]:  # ids that only round the model's size up
        logits = jnp.where(jnp.arange(table.shape[0]) < vocab_size, logits, -jnp.inf)
    return logits


def _spread(state: State) -> State:
    """Pins a state's arrays on the mesh, the same before and after each step."""

    def rows(x: jax.Array) -> jax.Array:
        return mesh_lib.constrain(x, *('batch', None)[: x.ndim])

    spread = jax.tree.map(rows, dataclasses.replace(state, cache=None))
    return dataclasses.replace(spread, cache=_spread_cache(state.cache))


def _spread_cache(cache: gpt2.Cache) -> gpt2.Cache:
    def layers(arrays: list[jax.Array]) -> list[jax.Array]:
        return [mesh_lib.constrain(x, 'batch', None, 'heads', None) for x in arrays]

    return gpt2.Cache(
        keys=layers(cache.keys),
        values=layers(cache.values),
        segment_ids=mesh_lib.constrain(cache.segment_ids, 'batch', None),
        length=cache.length,
    )
