"""One attention function, four implementations.

`xla` holds all scores [B, N, T, S]: short rows, and decoding. `blockwise` builds scores
and mask for one block of queries at a time and keeps none of them for the backward
pass: long rows. `cudnn` is NVIDIA's fused kernel, `splash` the TPU's. In all of them a
token attends to itself and to what stands before it in its own segment, never further.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from hax_jax import errors
from hax_jax.model import blockwise

IMPLEMENTATIONS = ('xla', 'blockwise', 'cudnn', 'splash')
LONG_ROW = 512  # from this length on, 'auto' takes blockwise on a CPU


def resolve(
    name: str,
    *,
    seq_len: int,
    attn_pdrop: float,
    compute_dtype: str,
    platform: str | None = None,
) -> str:
    """The implementation that 'auto' means on `platform`; a name is checked.

    `platform` is 'cpu', 'gpu' or 'tpu'; None is that of this process's devices.

    Raises:
      InputError: the implementation can't do what the config asks here.
    """
    backend = platform or jax.default_backend()
    fused = {'gpu': 'cudnn', 'tpu': 'splash'}.get(backend)
    if name == 'auto':
        able = fused and attn_pdrop == 0 and compute_dtype == 'bfloat16'
        if able and (fused != 'splash' or seq_len % 128 == 0):
            return fused
        return 'blockwise' if seq_len >= LONG_ROW else 'xla'
    if name in ('cudnn', 'splash'):
        if attn_pdrop > 0:
            raise errors.InputError(
                f'model.attention={name!r} has no dropout, and model.attn_pdrop='
                f'{attn_pdrop}; set it to 0.0 or use xla or blockwise.'
            )
        if fused != name:
            raise errors.InputError(
                f'model.attention={name!r} does not run on {backend}; use auto, xla or '
                'blockwise here.'
            )
        if name == 'cudnn' and compute_dtype != 'bfloat16':
            raise errors.InputError(
                "model.attention='cudnn' computes in bfloat16 alone, and "
                f'train.compute_dtype={compute_dtype!r}; change one of them.'
            )
        if name == 'splash' and seq_len % 128:
            raise errors.InputError(
                f"model.attention='splash' needs rows of a multiple of 128, and "
                f'data.seq_len={seq_len}; change one of them.'
            )
    return name


def attend(
    q: Float[Array, 'B T N H'],
    k: Float[Array, 'B S N H'],
    v: Float[Array, 'B S N H'],
    *,
    q_segment_ids: Int[Array, 'B T'],
    kv_segment_ids: Int[Array, 'B S'],
    q_start: Int[Array, ''] | int = 0,
    implementation: str = 'xla',
    dropout_rate: float = 0.0,
    dropout_key: Key[Array, ''] | None = None,
) -> Float[Array, 'B T N H']:
    """Causal attention within segments, softmax in float32, scores over sqrt(H).

    Query t stands at place `q_start` + t of the S keys; it sees the keys of its own
    segment at that place and before. `q_start` other than 0 (decoding) is for 'xla'.

    Raises:
      ValueError: `implementation` is none of them; `resolve` says what 'auto' means.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f'implementation={implementation!r}: not in {IMPLEMENTATIONS}.'
        )
    if implementation == 'blockwise':
        return blockwise.attend(q, k, v, q_segment_ids, dropout_rate, dropout_key)
    if implementation == 'splash':
        return _splash(q, k, v, q_segment_ids, kv_segment_ids)
    place = q_start + jnp.arange(q.shape[1])
    causal = place[:, None] >= jnp.arange(k.shape[1])  # [T, S]
    same = q_segment_ids[:, :, None] == kv_segment_ids[:, None, :]  # [B, T, S]
    mask = (causal & same)[:, None]  # [B, 1, T, S]
    if implementation == 'cudnn':
        return jax.nn.dot_product_attention(q, k, v, mask=mask, implementation='cudnn')
    q = q * q.shape[-1] ** -0.5
    scores = jnp.einsum('btnh,bsnh->bnts', q, k, preferred_element_type=jnp.float32)
    scores = jnp.where(mask, scores, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)  # [B, N, T, S]
    if dropout_rate > 0 and dropout_key is not None:
        keep = jax.random.bernoulli(dropout_key, 1 - dropout_rate, weights.shape)
        weights = jnp.where(keep, weights / (1 - dropout_rate), 0)
    return jnp.einsum('bnts,bsnh->btnh', weights, v)


def _splash(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    q_segment_ids: jax.Array,
    kv_segment_ids: jax.Array,
) -> jax.Array:
    """The TPU's flash attention, with segment ids; each device takes its own rows."""
    from jax.experimental.pallas.ops.tpu.splash_attention import (
        splash_attention_kernel,
        splash_attention_mask,
    )
    from jax.sharding import PartitionSpec

    from hax_jax.devices import mesh as mesh_lib

    def local(
        q: jax.Array, k: jax.Array, v: jax.Array, q_seg: jax.Array, kv_seg: jax.Array
    ) -> jax.Array:
        num_heads, length = q.shape[1], q.shape[2]  # [B, N, T, H]
        causal = splash_attention_mask.CausalMask((length, length))
        kernel = splash_attention_kernel.make_splash_mha(
            mask=splash_attention_mask.MultiHeadMask([causal] * num_heads),
            head_shards=1,
            q_seq_shards=1,
        )
        segments = splash_attention_kernel.SegmentIds(q=q_seg, kv=kv_seg)
        return jax.vmap(kernel)(q, k, v, segments)

    q, k, v = (
        x.swapaxes(1, 2) for x in (q * q.shape[-1] ** -0.5, k, v)
    )  # [B, N, T, H]
    mesh = jax.sharding.get_abstract_mesh()
    if not mesh.empty:
        axis = mesh_lib.RULES['heads']
        whole = q.shape[1] % mesh.shape[axis]  # 25 heads on tensor=2: all on each
        free = [name for name in mesh.axis_names if name not in mesh.manual_axes]
        batch = tuple(name for name in mesh_lib.BATCH if name in free)
        heads = PartitionSpec(batch, None if whole else axis)
        rows = PartitionSpec(batch)
        local = jax.shard_map(
            local,
            in_specs=(heads, heads, heads, rows, rows),
            out_specs=heads,
            axis_names=set(free),
            check_vma=False,
        )
    return local(q, k, v, q_segment_ids, kv_segment_ids).swapaxes(1, 2)
