"""Next-token loss, without ever holding logits [B, T, V] whole."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from hax_jax.devices import mesh
from hax_jax.model import linear

CHUNK = 128  # positions whose logits exist at one time, per row

_Sums = tuple[Float[Array, ''], tuple[Float[Array, ''], Float[Array, '']]]


def weighted_sum(
    hidden: Float[Array, 'B T D'],
    table: Float[Array, 'V D'],
    targets: Int[Array, 'B T'],
    weights: Float[Array, 'B T'],
    *,
    z_loss: float = 0.0,
    vocab_size: int | None = None,
    chunk: int = CHUNK,
) -> _Sums:
    """The weighted sum of `token_nll` and `z_loss` times logsumexp squared.

    Returns it, which has a gradient, and its two addends, which have none. The gradient
    is made with the sum, while a chunk's logits are there, so that they are made once.
    Source: Hsu et al. 2024, arXiv:2410.10989, 3.2.
    """
    if mesh.num_parts(mesh.RULES['vocab'], table.shape[0]) > 1:
        # A part's gradient asks for the logsumexp of all parts, which comes later.
        found = token_nll(hidden, table, targets, vocab_size=vocab_size, chunk=chunk)
        return _weighted(*found, weights, z_loss)
    return _summed(hidden, table, targets, weights, z_loss, vocab_size, chunk)


def _weighted(
    nll: jax.Array, logsumexp: jax.Array, weights: jax.Array, z_loss: float
) -> _Sums:
    total, extra = jnp.sum(nll * weights), jnp.zeros(())
    if z_loss:
        extra = z_loss * jnp.sum(logsumexp**2 * weights)
    return total + extra, jax.lax.stop_gradient((total, extra))


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def _summed(
    hidden: jax.Array,
    table: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    z_loss: float,
    vocab_size: int | None,
    chunk: int,
) -> _Sums:
    found = token_nll(hidden, table, targets, vocab_size=vocab_size, chunk=chunk)
    return _weighted(*found, weights, z_loss)


def _summed_forward(
    hidden: jax.Array,
    table: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    z_loss: float,
    vocab_size: int | None,
    chunk: int,
) -> tuple[_Sums, tuple[jax.Array, jax.Array]]:
    """(the sums, the gradient by hidden and by the table)."""

    def of_chunk(
        hidden: jax.Array, table: jax.Array, targets: jax.Array, weights: jax.Array
    ) -> _Sums:
        logsumexp, chosen = _chunk_nll(hidden, table, targets, vocab_size)
        return _weighted(logsumexp - chosen, logsumexp, weights, z_loss)

    def one(
        d_table: jax.Array, rows: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, tuple[_Sums, jax.Array]]:
        sums, (d_hidden, d_own) = jax.value_and_grad(
            of_chunk, argnums=(0, 1), has_aux=True
        )(rows[0], table, *rows[1:])
        return d_table + d_own, (sums, d_hidden)

    length = hidden.shape[1]
    num_chunks = -(-length // chunk)
    rows = tuple(_chunked(x, num_chunks) for x in (hidden, targets, weights))
    d_table, (sums, d_hidden) = jax.lax.scan(one, jnp.zeros_like(table), rows)
    sums = jax.tree.map(jnp.sum, sums)
    return sums, (_whole(d_hidden, length), d_table)


def _summed_backward(
    z_loss: float,
    vocab_size: int | None,
    chunk: int,
    kept: tuple[jax.Array, jax.Array],
    d_sums: _Sums,
) -> tuple[jax.Array, jax.Array, None, None]:
    by_hidden, by_table = (each * d_sums[0].astype(each.dtype) for each in kept)
    return by_hidden, by_table, None, None


_summed.defvjp(_summed_forward, _summed_backward)


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
    if num_chunks == 1:
        return of_chunk(hidden, table, targets, vocab_size)

    again = jax.checkpoint(
        lambda hidden, table, targets: of_chunk(hidden, table, targets, vocab_size)
    )

    def one(
        _: None, xs: tuple[jax.Array, jax.Array]
    ) -> tuple[None, tuple[jax.Array, ...]]:
        return None, again(xs[0], table, xs[1])

    chunks = (_chunked(hidden, num_chunks), _chunked(targets, num_chunks))
    _, found = jax.lax.scan(one, None, chunks)  # each [C, B, chunk]
    return tuple(_whole(x, length) for x in found)


def _chunked(x: jax.Array, num_chunks: int) -> jax.Array:
    """[B, T, ...] -> [C, B, chunk, ...], the last chunk filled with zeros."""
    chunk = -(-x.shape[1] // num_chunks)
    padding = [(0, 0)] * x.ndim
    padding[1] = (0, num_chunks * chunk - x.shape[1])
    x = jnp.pad(x, padding).reshape(x.shape[0], num_chunks, chunk, *x.shape[2:])
    return x.swapaxes(0, 1)


def _whole(x: jax.Array, length: int) -> jax.Array:
    """[C, B, chunk, ...] -> [B, T, ...], as it was before `_chunked`."""
    x = x.swapaxes(0, 1)
    return x.reshape(x.shape[0], -1, *x.shape[3:])[:, :length]


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
