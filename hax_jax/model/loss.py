"""Next-token loss per position, without ever holding logits [B, T, V] whole."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hax_jax.model import linear

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
    return _over_chunks(_chunk_nll, hidden, table, targets, vocab_size, chunk)


def token_scores(
    hidden: Float[Array, 'B T D'],
    table: Float[Array, 'V D'],
    targets: Int[Array, 'B T'],
    *,
    vocab_size: int | None = None,
    chunk: int = CHUNK,
) -> tuple[Float[Array, 'B T'], Bool[Array, 'B T']]:
    """As `token_nll`: nll, and whether no other id is likelier than the target.

    For evaluation: the second has no gradient. Where ids tie for the first place, each
    of them counts as the likeliest.
    """
    return _over_chunks(_chunk_scores, hidden, table, targets, vocab_size, chunk)


def _over_chunks(
    of_chunk: Callable[..., tuple[jax.Array, jax.Array]],
    hidden: jax.Array,
    table: jax.Array,
    targets: jax.Array,
    vocab_size: int | None,
    chunk: int,
) -> tuple[jax.Array, jax.Array]:
    length = hidden.shape[1]
    num_chunks = -(-length // chunk)
    padding = num_chunks * chunk - length
    if num_chunks == 1:
        return of_chunk(hidden, table, targets, vocab_size)
    if padding:
        hidden = jnp.pad(hidden, ((0, 0), (0, padding), (0, 0)))
        targets = jnp.pad(targets, ((0, 0), (0, padding)))

    again = jax.checkpoint(of_chunk, static_argnums=3)

    def one(
        _: None, xs: tuple[jax.Array, jax.Array]
    ) -> tuple[None, tuple[jax.Array, jax.Array]]:
        return None, again(xs[0], table, xs[1], vocab_size)

    chunks = (_chunked(hidden, num_chunks), _chunked(targets, num_chunks))
    _, (first, second) = jax.lax.scan(one, None, chunks)  # each [C, B, chunk]
    rows = (-1, num_chunks * chunk)
    first = first.swapaxes(0, 1).reshape(rows)[:, :length]
    return first, second.swapaxes(0, 1).reshape(rows)[:, :length]


def _chunked(x: jax.Array, num_chunks: int) -> jax.Array:
    x = x.reshape(x.shape[0], num_chunks, -1, *x.shape[2:])  # [B, C, chunk, ...]
    return x.swapaxes(0, 1)  # [C, B, chunk, ...]


def _chunk_nll(
    hidden: jax.Array, table: jax.Array, targets: jax.Array, vocab_size: int | None
) -> tuple[jax.Array, jax.Array]:
    logits = _logits(hidden, table, vocab_size)
    logsumexp = jax.nn.logsumexp(logits, axis=-1)
    return logsumexp - _chosen(logits, targets), logsumexp


def _chunk_scores(
    hidden: jax.Array, table: jax.Array, targets: jax.Array, vocab_size: int | None
) -> tuple[jax.Array, jax.Array]:
    logits = _logits(hidden, table, vocab_size)
    chosen = _chosen(logits, targets)
    # logsumexp takes the largest logit too, so XLA has it already.
    is_likeliest = chosen >= jnp.max(logits, axis=-1)
    return jax.nn.logsumexp(logits, axis=-1) - chosen, is_likeliest


def _logits(hidden: jax.Array, table: jax.Array, vocab_size: int | None) -> jax.Array:
    logits = linear.product_by_rows(hidden, table)
    if vocab_size is not None and vocab_size < table.shape[0]:
        real = jnp.arange(table.shape[0]) < vocab_size
        logits = jnp.where(real, logits, -jnp.inf)
    return logits


def _chosen(logits: jax.Array, targets: jax.Array) -> jax.Array:
    return jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
