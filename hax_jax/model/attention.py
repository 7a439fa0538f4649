"""One attention function, five implementations; and attention over a cache.

`xla` holds all scores [B, N, T, T]: short rows. `blockwise` builds scores
and mask for one block of queries at a time and keeps none of them for the backward
pass: long rows. `splash` is the TPU's kernel, `triton` the GPU's (kernels.py); `cudnn`
is NVIDIA's, which takes a packed row as a dense mask [B, 1, T, S] and so is never taken
unless it is named. In all of them a token attends to itself and to what stands before
it in its own segment, never further.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from hax_jax import errors
from hax_jax.model import blockwise, kernels

IMPLEMENTATIONS = ('xla', 'blockwise', 'cudnn', 'triton', 'splash')
LONG_ROW = 512  # from this length on, 'auto' takes blockwise where no kernel fits
_HOMES = {'cudnn': 'gpu', 'triton': 'gpu', 'splash': 'tpu'}


class Choice(NamedTuple):
    """An implementation, and in words why this run takes it."""

    name: str
    reason: str


def resolve(
    name: str,
    *,
    seq_len: int,
    head_dim: int,
    attn_pdrop: float,
    compute_dtype: str,
    device: Any = None,
) -> Choice:
    """The implementation that 'auto' means on `device`; a name is checked.

    `device` may be a described one; None is the first of this process.

    Raises:
      InputError: the implementation can't do what the config asks here.
    """
    device = jax.devices()[0] if device is None else device
    asked = {
        'seq_len': seq_len,
        'head_dim': head_dim,
        'attn_pdrop': attn_pdrop,
        'compute_dtype': compute_dtype,
    }
    if name == 'auto':
        return _auto(device, **asked)
    if name in _HOMES and (problem := _problem(name, device, **asked)):
        raise errors.InputError(f'model.attention={name!r} {problem}.')
    more = '; it holds a mask [T, T] of each row' * (name == 'cudnn')
    return Choice(name, f'model.attention names it{more}')


def _auto(
    device: Any, *, seq_len: int, head_dim: int, attn_pdrop: float, compute_dtype: str
) -> Choice:
    if device.platform == 'gpu':
        wanted, reason = kernels.gpu_choice(_capability(device))
    elif device.platform == 'tpu':
        wanted, reason = 'splash', "the TPU's kernel"
    else:
        wanted, reason = 'blockwise', f'a {device.platform} has no kernel of its own'
    if wanted in _HOMES:
        problem = _problem(
            wanted,
            device,
            seq_len=seq_len,
            head_dim=head_dim,
            attn_pdrop=attn_pdrop,
            compute_dtype=compute_dtype,
        )
        if not problem:
            return Choice(wanted, reason)
        reason = f'{wanted} {problem}'
    if seq_len >= LONG_ROW:
        return Choice('blockwise', reason)
    return Choice('xla', f'rows are shorter than {LONG_ROW}; {reason}')


def _problem(
    name: str,
    device: Any,
    *,
    seq_len: int,
    head_dim: int,
    attn_pdrop: float,
    compute_dtype: str,
) -> str:
    """Why a kernel can't do this, with a remedy; '' if it can."""
    if attn_pdrop > 0:
        return (
            f'has no dropout, and model.attn_pdrop={attn_pdrop}; set it to 0.0 or use '
            'xla or blockwise'
        )
    if device.platform != _HOMES[name]:
        return f'does not run on {device.platform}; use auto, xla or blockwise here'
    if name == 'triton':
        best, reason = kernels.gpu_choice(_capability(device))
        if best != name:
            return f'does not run here ({reason}); use auto, xla or blockwise'
    if name != 'splash' and compute_dtype != 'bfloat16':
        return (
            f'computes in bfloat16 alone, and train.compute_dtype={compute_dtype!r}; '
            'change one of them'
        )
    if name != 'cudnn' and seq_len % kernels.LANES:
        return (
            f'needs rows of a multiple of {kernels.LANES}, and data.seq_len={seq_len}; '
            'change one of them'
        )
    least, most = kernels.TRITON_HEAD_DIMS
    if name == 'triton' and not least <= head_dim <= most:
        return (
            f'takes heads of {least} to {most}, and n_embd / n_head={head_dim}; use '
            'auto, blockwise or xla'
        )
    return ''


def _capability(gpu: Any) -> str | None:
    return getattr(gpu, 'compute_capability', None)


def attend(
    q: Float[Array, 'B T N H'],
    k: Float[Array, 'B T N H'],
    v: Float[Array, 'B T N H'],
    segment_ids: Int[Array, 'B T'],
    *,
    implementation: str = 'xla',
    dropout_rate: float = 0.0,
    dropout_key: Key[Array, ''] | None = None,
) -> Float[Array, 'B T N H']:
    """Causal attention within segments, softmax in float32, scores over sqrt(H).

    Raises:
      ValueError: `implementation` is none of them; `resolve` says what 'auto' means.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f'implementation={implementation!r}: not in {IMPLEMENTATIONS}.'
        )
    if implementation == 'blockwise':
        return blockwise.attend(q, k, v, segment_ids, dropout_rate, dropout_key)
    if implementation == 'splash':
        return kernels.splash(q, k, v, segment_ids)
    if implementation == 'triton':
        return kernels.triton(q, k, v, segment_ids)
    mask = _mask(segment_ids, segment_ids, 0)
    if implementation == 'cudnn':
        return jax.nn.dot_product_attention(q, k, v, mask=mask, implementation='cudnn')
    q = q * q.shape[-1] ** -0.5
    scores = jnp.einsum('btnh,bsnh->bnts', q, k, preferred_element_type=jnp.float32)
    weights = _weights(scores, mask, v.dtype)
    if dropout_rate > 0 and dropout_key is not None:
        keep = jax.random.bernoulli(dropout_key, 1 - dropout_rate, weights.shape)
        weights = jnp.where(keep, weights / (1 - dropout_rate), 0)
    return jnp.einsum('bnts,bsnh->btnh', weights, v)


def attend_cached(
    q: Float[Array, 'B T N H'],
    keys: Float[Array, '*B N S H'],
    values: Float[Array, '*B N S H'],
    *,
    q_segment_ids: Int[Array, 'B T'],
    kv_segment_ids: Int[Array, 'B S'],
    q_start: Int[Array, ''] | int,
) -> Float[Array, 'B T N H']:
    """The same attention over a cache: query t stands at its place `q_start` + t.

    `keys` and `values` of one row may lack the axis of rows (gpt2.Cache).
    """
    B, T, N, H = q.shape
    q = q.swapaxes(1, 2).reshape(*keys.shape[:-2], T, H) * H**-0.5
    scores = jnp.einsum(
        '...th,...sh->...ts', q, keys, preferred_element_type=jnp.float32
    )
    mask = _mask(q_segment_ids, kv_segment_ids, q_start)
    weights = _weights(scores.reshape(B, N, T, -1), mask, values.dtype)
    out = jnp.einsum('...ts,...sh->...th', weights.reshape(scores.shape), values)
    return out.reshape(B, N, T, H).swapaxes(1, 2)


def _mask(
    q_segment_ids: Int[Array, 'B T'],
    kv_segment_ids: Int[Array, 'B S'],
    q_start: Int[Array, ''] | int,
) -> Bool[Array, 'B 1 T S']:
    """What query t sees: the keys of its segment at its place and before."""
    place = q_start + jnp.arange(q_segment_ids.shape[1])
    causal = place[:, None] >= jnp.arange(kv_segment_ids.shape[1])  # [T, S]
    same = q_segment_ids[:, :, None] == kv_segment_ids[:, None, :]  # [B, T, S]
    return (causal & same)[:, None]


def _weights(
    scores: Float[Array, 'B N T S'], mask: Bool[Array, 'B 1 T S'], dtype: jnp.dtype
) -> Float[Array, 'B N T S']:
    scores = jnp.where(mask, scores, jnp.finfo(jnp.float32).min)
    return jax.nn.softmax(scores, axis=-1).astype(dtype)
