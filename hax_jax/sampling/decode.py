"""The compiled half of sampling: prefill, refill and decode of a batch.

All rows write one place of the cache a step, so each prompt is padded on the left and
ends where the next step writes. A row that is done may leave: `refill` puts another
prompt into its slot, ending at the place that the others have reached. Padding, and
what the slot held before, has segment 0, which no token of a prompt sees; position 0 is
a prompt's first token. A `State` lies between two calls, and the tokens are those of
one call.
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
    """What a batch answers, without the prompts. A row of limit 0 is padding."""

    lengths: Any  # [B] of the prompts
    limits: Any  # [B] new tokens at most
    seeds: Any  # [B]; a row's random bits depend on this and the next two
    prompt_numbers: Any  # [B]
    samples: Any  # [B]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """A batch after some of its new tokens. T is the places for prompts, M for those.

    But for the cache, row b of each array is the state of slot b.
    """

    rows: Rows
    last: Any  # [B] the newest token
    done: Any  # [B] met EOS, its limit, or was stopped
    finite: Any  # [B] whether all logits were finite
    counts: Any  # [B] new tokens so far
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
    inputs: Int32[Array, 'B T'],
    rows: Rows,
    cache: gpt2.Cache,
    *,
    drawing: next_token.Drawing,
    new_places: int,
    logprobs: bool,
) -> State:
    """The batch after the first new token of each row.

    `inputs` are the prompts, padded on the left. An earlier batch may have left values
    in the cache; they get segment 0.
    """
    model = nnx.merge(graphdef, params)
    state = _begun(
        model, inputs, rows, drawing, new_places=new_places, logprobs=logprobs
    )
    own = state.cache

    def write(whole: jax.Array, part: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice(whole, part, (0,) * whole.ndim)

    cache = gpt2.Cache(
        keys=jax.tree.map(write, cache.keys, own.keys),
        values=jax.tree.map(write, cache.values, own.values),
        segment_ids=write(jnp.zeros_like(cache.segment_ids), own.segment_ids),
        length=own.length,
    )
    return _spread(dataclasses.replace(state, cache=cache))


@functools.partial(jax.jit, static_argnames='graphdef', donate_argnames='state')
def refill(
    graphdef: Any,
    params: Any,
    state: State,
    inputs: Int32[Array, 'R T'],
    rows: Rows,
    slots: Int32[Array, ' R'],
    *,
    drawing: next_token.Drawing,
) -> State:
    """The batch with R other rows in `slots`, after the first new token of each.

    T is that of `prefill`. A slot past the last one drops its row. The other rows keep
    every bit.
    """
    model = nnx.merge(graphdef, params)
    new = _begun(
        model,
        inputs,
        rows,
        drawing,
        new_places=state.tokens.shape[1],
        logprobs=state.logprobs is not None,
    )
    cache, own = state.cache, new.cache
    B, S = cache.segment_ids.shape
    R, T = inputs.shape

    def put(whole: jax.Array, part: jax.Array) -> jax.Array:
        return whole.at[slots].set(part, mode='drop')

    def put_in_ring(whole: jax.Array, part: jax.Array, axis: int) -> jax.Array:
        # The prompt's last token goes to the newest place, where all rows have one.
        room = [(0, S - T if i == axis else 0) for i in range(part.ndim)]
        return put(whole, jnp.roll(jnp.pad(part, room), cache.length - T, axis))

    def layers(rings: list[jax.Array], parts: list[jax.Array]) -> list[jax.Array]:
        N, _, H = rings[0].shape[-3:]
        return [
            put_in_ring(
                ring.reshape(B, N, S, H), part.reshape(R, N, T, H), axis=2
            ).reshape(ring.shape)
            for ring, part in zip(rings, parts, strict=True)
        ]

    merged = jax.tree.map(
        put,
        dataclasses.replace(state, cache=None),
        dataclasses.replace(new, cache=None),
    )
    cache = gpt2.Cache(
        keys=layers(cache.keys, own.keys),
        values=layers(cache.values, own.values),
        segment_ids=put_in_ring(cache.segment_ids, own.segment_ids, axis=1),
        length=cache.length,
    )
    return _spread(dataclasses.replace(merged, cache=cache))


@functools.partial(jax.jit, static_argnames='graphdef', donate_argnames='state')
def decode(
    graphdef: Any,
    params: Any,
    state: State,
    stopped: Bool[Array, ' B'],
    enough: Int32[Array, ''],
    steps: Int32[Array, ''],
    *,
    drawing: next_token.Drawing,
) -> State:
    """The batch after at most `steps` more tokens, once `enough` of its rows are done.

    A row is done at EOS, at its limit, or once it is `stopped`.
    """
    model = nnx.merge(graphdef, params)
    B = state.last.shape[0]
    state = dataclasses.replace(state, done=state.done | stopped)
    end = state.cache.length + steps

    def unfinished(state: State) -> jax.Array:
        return (jnp.sum(state.done) < enough) & (state.cache.length < end)

    def step(state: State) -> State:
        # Rows that are done run on beside the others, at any valid position.
        positions = state.rows.lengths + state.counts - 1
        positions = jnp.clip(positions, 0, model.model.n_positions - 1)[:, None]
        hidden, cache = model.decode(
            state.last[:, None], positions, jnp.ones((B, 1), jnp.int32), state.cache
        )  # [B, 1, D]
        state = dataclasses.replace(state, cache=cache)
        return _spread(_next(model, hidden[:, 0], state, drawing))

    return _spread(jax.lax.while_loop(unfinished, step, state))


def _begun(
    model: gpt2.Gpt2,
    inputs: jax.Array,
    rows: Rows,
    drawing: next_token.Drawing,
    *,
    new_places: int,
    logprobs: bool,
) -> State:
    """Rows after their first new token; the cache has the T places of `inputs` alone.

    So attention scores are [T, T], not [T, S].
    """
    B, T = inputs.shape
    place = jnp.arange(T) - (T - rows.lengths[:, None])  # [B, T]
    hidden, cache = model.decode(
        inputs,
        jnp.maximum(place, 0),
        (place >= 0).astype(jnp.int32),
        gpt2.make_cache(model.model, batch_size=B, length=T, dtype=model.wte.dtype),
    )  # [B, T, D]
    context = None
    if drawing.needs_context:
        context = jnp.where(place >= 0, inputs, next_token.NO_TOKEN)
        context = jnp.pad(
            context, ((0, 0), (0, new_places)), constant_values=next_token.NO_TOKEN
        )
    state = State(
        rows=rows,
        last=jnp.zeros(B, jnp.int32),
        done=rows.limits < 1,
        finite=jnp.ones(B, bool),
        counts=jnp.zeros(B, jnp.int32),
        tokens=jnp.zeros((B, new_places), jnp.int32),
        logprobs=jnp.zeros((B, new_places)) if logprobs else None,
        context=context,
        cache=cache,
    )
    return _next(model, hidden[:, -1], state, drawing)


def _next(
    model: gpt2.Gpt2, hidden: jax.Array, state: State, drawing: next_token.Drawing
) -> State:
    """The state after one more token of each row, from its hidden state [B, D].

    Of a row that is done, the token falls behind those that count.
    """
    logits = _logits(model, hidden, drawing.vocab_size)
    rows, number = state.rows, state.counts
    logprobs, context = state.logprobs, state.context
    # The place of the new token in `context`.
    end = number if context is None else _prompt_places(state) + number
    tokens = next_token.next_tokens(
        next_token.processed(logits, context, end, number, drawing),
        next_token.row_keys(rows.seeds, rows.prompt_numbers, rows.samples),
        rows.lengths + number,
        drawing,
    )

    def put(whole: jax.Array, column: jax.Array, places: jax.Array) -> jax.Array:
        here = jnp.arange(whole.shape[1]) == places[:, None]
        return jnp.where(here, column[:, None], whole)

    if logprobs is not None:
        chosen = jnp.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
        chosen -= jax.nn.logsumexp(logits, axis=-1)
        logprobs = put(logprobs, chosen, number)
    if context is not None:
        context = put(context, tokens, end)
    counts = number + ~state.done
    good = jnp.isfinite(jnp.max(logits, axis=-1))
    return State(
        rows=rows,
        last=tokens,
        done=state.done | (tokens == drawing.eos_id) | (counts >= rows.limits),
        finite=state.finite & (good | state.done),
        counts=counts,
        tokens=put(state.tokens, tokens, number),
        logprobs=logprobs,
        context=context,
        cache=state.cache,
    )


def _prompt_places(state: State) -> int:
    return state.context.shape[1] - state.tokens.shape[1]


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
    def layers(rings: list[jax.Array]) -> list[jax.Array]:
        axes = ('batch', 'heads', None, None)
        return [mesh_lib.constrain(x, *axes[-x.ndim :]) for x in rings]

    return gpt2.Cache(
        keys=layers(cache.keys),
        values=layers(cache.values),
        segment_ids=mesh_lib.constrain(cache.segment_ids, 'batch', None),
        length=cache.length,
    )
