"""Next-token loss per position, without ever holding logits [B, T, V] whole."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

CHUNK = 128  # positions whose logits exist at one time, per row


def token_nll(
    hidden: Float[Array, 'B T D'],
    table: Float[Array, 'V D'],
    targets: Int[Array, 'B T'],
    *,
    vocab_size: int | None = None,
    chunk: int = CHUNK,
) -> tuple[Float[Array, 'B T'], Float[Array, 'B T']]:
    """Negative log-likelihood in nats of each target, and logsumexp of its logits.

    Targets are aligned with hidden: they were shifted when the pairs were packed, and
    nothing is shifted here. Rows of the table from `vocab_size` on, if given, are
    padding: they have no share in it, nor a gradient. Logits are float32, made chunk by
    chunk along T, in the backward pass anew. Callers weight and sum.
    """
    length = hidden.shape[1]
    num_chunks = -(-length // chunk)
    padding = num_chunks * chunk - length
    if num_chunks == 1:
        return _chunk_nll(hidden, table, targets, vocab_size)
    if padding:
        hidden = jnp.pad(hidden, ((0, 0), (0, padding), (0, 0)))
        targets = jnp.pad(targets, ((0, 0), (0, padding)))

    chunk_nll = jax.checkpoint(_chunk_nll, static_argnums=3)

    def one(
        _: None, xs: tuple[jax.Array, jax.Array]
    ) -> tuple[None, tuple[jax.Array, jax.Array]]:
        return None, chunk_nll(xs[0], table, xs[1], vocab_size)

    chunks = (_chunked(hidden, num_chunks), _chunked(targets, num_chunks))
    _, (nll, logsumexp) = jax.lax.scan(one, None, chunks)  # each [C, B, chunk]
    rows = (-1, num_chunks * chunk)
    nll = nll.swapaxes(0, 1).reshape(rows)[:, :length]
    return nll, logsumexp.swapaxes(0, 1).reshape(rows)[:, :length]


def _chunked(x: jax.Array, num_chunks: int) -> jax.Array:
    x = x.reshape(x.shape[0], num_chunks, -1, *x.shape[2:])  # [B, C, chunk, ...]
    return x.swapaxes(0, 1)  # [C, B, chunk, ...]


def _chunk_nll(
    hidden: jax.Array,
    table: jax.Array,
    targets: jax.Array,
    vocab_size: int | None,
) -> tuple[jax.Array, jax.Array]:
    logits = jnp.einsum(
        'btd,vd->btv',
        hidden,
        table.astype(hidden.dtype),
        preferred_element_type=jnp.float32,
    )
    if vocab_size is not None and vocab_size < table.shape[0]:
        real = jnp.arange(table.shape[0]) < vocab_size
        logits = jnp.where(real, logits, -jnp.inf)
    logsumexp = jax.nn.logsumexp(logits, axis=-1)
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return logsumexp - chosen, logsumexp
