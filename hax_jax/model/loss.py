"""Next-token loss per position, without ever holding logits [B, T, V] whole."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from hax_jax.devices import mesh
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
    logsumexp, chosen = _over_vocabulary(
        _chunk_nll, hidden, table, targets, vocab_size, chunk
    )
    return logsumexp - chosen, logsumexp


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
    logsumexp, chosen, best = _over_vocabulary(
        _chunk_scores, hidden, table, targets, vocab_size, chunk
    )
    return logsumexp - chosen, chosen >= best


def _over_vocabulary(
    of_chunk: Callable[..., tuple[jax.Array, ...]],
    hidden: jax.Array,
    table: jax.Array,
    targets: jax.Array,
    vocab_size: int | None,
    chunk: int,
) -> tuple[jax.Array, ...]:
    """(logsumexp, the target's logit and, of scores, the largest), each [B, T].

    Where the tensor axis splits the table, each device makes the three of its own rows,
    and they come together after the loop over chunks, not in it.
    """
    axis, num_rows = mesh.RULES['vocab'], table.shape[0]
    if vocab_size is not None and vocab_size >= num_rows:
        vocab_size = None
    if mesh.num_parts(axis, num_rows) == 1:
        return _over_chunks(of_chunk, hidden, table, targets, vocab_size, chunk)

    def of_part(
        hidden: jax.Array, table: jax.Array, targets: jax.Array
    ) -> tuple[jax.Array, ...]:
        first = jax.lax.axis_index(axis) * table.shape[0]
        own = targets - first
        inside = (own >= 0) & (own < table.shape[0])
        real = None if vocab_size is None else vocab_size - first
        logsumexp, chosen, *best = _over_chunks(
            of_chunk, hidden, table, jnp.where(inside, own, 0), real, chunk
        )
        chosen = jnp.where(inside, chosen, -jnp.inf)
        return tuple(x[None] for x in (logsumexp, chosen, *best))

    parts = jax.shard_map(
        of_part,
        in_specs=(PartitionSpec(), PartitionSpec(axis), PartitionSpec()),
        out_specs=PartitionSpec(axis),
        axis_names={axis},
        check_vma=False,
    )(hidden, table, targets)  # each [parts, B, T]
    combine = (jax.nn.logsumexp, jnp.max, jnp.max)
    return tuple(f(x, axis=0) for f, x in zip(combine, parts, strict=False))


def _over_chunks(
    of_chunk: Callable[..., tuple[jax.Array, ...]],
    hidden: jax.Array,
    table: jax.Array,
    targets: jax.Array,
    vocab_size: jax.Array | int | None,
    chunk: int,
) -> tuple[jax.Array, ...]:
    length = hidden.shape[1]
    num_chunks = -(-length // chunk)
    padding = num_chunks * chunk - length
    if num_chunks == 1:
        return of_chunk(hidden, table, targets, vocab_size)
    if padding:
        hidden = jnp.pad(hidden, ((0, 0), (0, padding), (0, 0)))
        targets = jnp.pad(targets, ((0, 0), (0, padding)))

    again = jax.checkpoint(
        lambda hidden, table, targets: of_chunk(hidden, table, targets, vocab_size)
    )

    def one(
        _: None, xs: tuple[jax.Array, jax.Array]
    ) -> tuple[None, tuple[jax.Array, ...]]:
        return None, again(xs[0], table, xs[1])

    chunks = (_chunked(hidden, num_chunks), _chunked(targets, num_chunks))
    _, found = jax.lax.scan(one, None, chunks)  # each [C, B, chunk]
    rows = (-1, num_chunks * chunk)
    return tuple(x.swapaxes(0, 1).reshape(rows)[:, :length] for x in found)


def _chunked(x: jax.Array, num_chunks: int) -> jax.Array:
    x = x.reshape(x.shape[0], num_chunks, -1, *x.shape[2:])  # [B, C, chunk, ...]
    return x.swapaxes(0, 1)  # [C, B, chunk, ...]


def _chunk_nll(
    hidden: jax.Array,
    table: jax.Array,
    targets: jax.Array,
    vocab_size: jax.Array | int | None,
) -> tuple[jax.Array, jax.Array]:
    logits = _logits(hidden, table, vocab_size)
    return jax.nn.logsumexp(logits, axis=-1), _chosen(logits, targets)


def _chunk_scores(
    hidden: jax.Array,
    table: jax.Array,
    targets: jax.Array,
    vocab_size: jax.Array | int | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    logits = _logits(hidden, table, vocab_size)
    # logsumexp takes the largest logit too, so XLA has it already.
    best = jnp.max(logits, axis=-1)
    return jax.nn.logsumexp(logits, axis=-1), _chosen(logits, targets), best


def _logits(
    hidden: jax.Array, table: jax.Array, vocab_size: jax.Array | int | None
) -> jax.Array:
    """Of the table's rows, -inf from `vocab_size` on."""
    logits = linear.product_by_rows(hidden, table)
    if vocab_size is not None:
        real = jnp.arange(table.shape[0]) < vocab_size
        logits = jnp.where(real, logits, -jnp.inf)
    return logits


def _chosen(logits: jax.Array, targets: jax.Array) -> jax.Array:
    return jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
