"""Attention that never holds all scores: a block of queries, or of keys, at a time.

The forward pass keeps the outputs and the logarithm of each row's sum of exponents; the
backward pass makes the weights again from them, block by block, as FlashAttention does
(Dao et al. 2022, arXiv:2205.14135; Dao 2023, arXiv:2307.08691). It makes them the other
way round, keys before queries: XLA would merge the very same product with the forward
pass's and keep all of them after all, and three of the four products that follow read
them row by row so.

Temporary memory is [B, N, BLOCK, T], not [B, N, T, T]; on a CPU only with the flag that
runtime.py sets, as XLA's own schedule runs all blocks at the same time.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

BLOCK = 128  # queries (forward) or keys (backward) at a time


def attend(
    q: Float[Array, 'B T N H'],
    k: Float[Array, 'B T N H'],
    v: Float[Array, 'B T N H'],
    segment_ids: Int[Array, 'B T'],
    dropout_rate: float,
    dropout_key: Key[Array, ''] | None,
) -> Float[Array, 'B T N H']:
    """Causal attention within segments; `attention.attend` says what it gives."""
    rate = 0.0 if dropout_key is None else dropout_rate
    q, k, v = (x.swapaxes(1, 2) for x in (q * q.shape[-1] ** -0.5, k, v))
    return _attend(q, k, v, segment_ids, dropout_key, rate).swapaxes(1, 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _attend(
    q: Float[Array, 'B N T H'],
    k: Float[Array, 'B N T H'],
    v: Float[Array, 'B N T H'],
    segment_ids: jax.Array,
    dropout_key: jax.Array | None,
    dropout_rate: float,
) -> jax.Array:
    return _forward(q, k, v, segment_ids, dropout_key, dropout_rate)[0]


def _forward(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    segment_ids: jax.Array,
    dropout_key: jax.Array | None,
    dropout_rate: float,
) -> tuple[jax.Array, tuple[jax.Array | None, ...]]:
    outs, logsumexps = [], []
    for start, end in _blocks(q.shape[2]):
        scores = jnp.einsum(
            'bnth,bnsh->bnts',
            q[:, :, start:end],
            k[:, :, :end],
            preferred_element_type=jnp.float32,
        )
        seen = _seen(segment_ids, start, end, 0, end)[:, None]
        scores = jnp.where(seen, scores, -jnp.inf)  # none is empty: it sees itself
        logsumexp = jax.nn.logsumexp(scores, axis=-1)
        weights = jnp.exp(scores - logsumexp[..., None])
        if dropout_rate > 0:
            kept = _kept(dropout_key, start, weights.shape, dropout_rate)
            weights = jnp.where(kept, weights / (1 - dropout_rate), 0)
        outs.append(
            jnp.einsum('bnts,bnsh->bnth', weights.astype(v.dtype), v[:, :, :end])
        )
        logsumexps.append(logsumexp)
    out = jnp.concatenate(outs, axis=2)
    kept = (q, k, v, segment_ids, dropout_key, out, jnp.concatenate(logsumexps, axis=2))
    return out, kept


def _backward(
    dropout_rate: float, kept: tuple[jax.Array | None, ...], d_out: jax.Array
) -> tuple[jax.Array | None, ...]:
    q, k, v, segment_ids, dropout_key, out, logsumexp = kept
    exact = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    # The sum over a row of weights times their gradients, with or without dropout.
    common = jnp.sum(d_out.astype(jnp.float32) * out, axis=-1)  # [B, N, T]
    d_q = jnp.zeros(q.shape, jnp.float32)
    d_ks, d_vs = [], []
    for start, end in _blocks(q.shape[2]):
        q_on, d_out_on = q[:, :, start:], d_out[:, :, start:]  # who may see the block
        keys, values = k[:, :, start:end], v[:, :, start:end]
        scores = exact('bnsh,bnth->bnst', keys, q_on)
        seen = _seen(segment_ids, start, q.shape[2], start, end)
        scores = jnp.where(seen.swapaxes(1, 2)[:, None], scores, -jnp.inf)
        weights = jnp.exp(scores - logsumexp[:, :, None, start:])
        d_weights = exact('bnsh,bnth->bnst', values, d_out_on)
        dropped = weights
        if dropout_rate > 0:
            bits = _kept_keys(
                dropout_key, start, end, weights.shape[:2] + q.shape[2:3], dropout_rate
            )
            dropped = jnp.where(bits, weights / (1 - dropout_rate), 0)
            d_weights = jnp.where(bits, d_weights / (1 - dropout_rate), 0)
        d_vs.append(exact('bnst,bnth->bnsh', dropped.astype(v.dtype), d_out_on))
        d_scores = weights * (d_weights - common[:, :, None, start:])
        d_scores = d_scores.astype(q.dtype)
        d_ks.append(exact('bnst,bnth->bnsh', d_scores, q_on))
        d_q = d_q.at[:, :, start:].add(exact('bnst,bnsh->bnth', d_scores, keys))
    d_k, d_v = (jnp.concatenate(parts, axis=2) for parts in (d_ks, d_vs))
    return d_q.astype(q.dtype), d_k.astype(k.dtype), d_v.astype(v.dtype), None, None


_attend.defvjp(_forward, _backward)


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, BLOCK):
        yield start, min(start + BLOCK, length)


def _seen(
    segment_ids: jax.Array, t_start: int, t_end: int, s_start: int, s_end: int
) -> jax.Array:
    """True where queries [t_start, t_end) see keys [s_start, s_end): [B, t, s]."""
    causal = jnp.arange(t_start, t_end)[:, None] >= jnp.arange(s_start, s_end)
    queries, keys = segment_ids[:, t_start:t_end], segment_ids[:, s_start:s_end]
    return causal & (queries[:, :, None] == keys[:, None, :])


def _kept(key: jax.Array, start: int, shape: tuple[int, ...], rate: float) -> jax.Array:
    """True where dropout keeps a weight, for the block of queries at `start`."""
    return jax.random.bernoulli(jax.random.fold_in(key, start), 1 - rate, shape)


def _kept_keys(
    key: jax.Array, s_start: int, s_end: int, shape: tuple[int, int, int], rate: float
) -> jax.Array:
    """The same bits, for the keys [s_start, s_end): [B, N, s, T - s_start]."""
    parts = []
    for start, end in _blocks(shape[2]):
        if end > s_start:
            bits = _kept(key, start, (*shape[:2], end - start, end), rate)
            parts.append(bits[..., s_start:s_end])
    return jnp.concatenate(parts, axis=2).swapaxes(2, 3)
