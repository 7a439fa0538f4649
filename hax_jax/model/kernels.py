"""Attention kernels of accelerators, and which of them a device takes.

`splash` is the TPU's, `triton` the GPU's; both come with JAX, take packed rows by their
segment ids, skip the blocks above the diagonal and keep no scores [T, T].
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from hax_jax.devices import mesh as mesh_lib

# True runs both kernels in Pallas's interpreter: for tests and checks on a CPU.
INTERPRET = False

LANES = 128  # the rows of both kernels are a multiple of it
SPLASH_BLOCK = 512
# Head widths that fit the blocks below into 99 KiB, the shared memory that a block of
# threads may have on the smallest cards below (8.6, 8.9, 12.0); under 16 Triton has no
# product. Source: CUDA C++ Programming Guide, "Compute Capabilities".
TRITON_HEAD_DIMS = (16, 64)

# Queries and keys of a block. Sources: forward, the default of JAX's kernel; backward,
# the Triton tutorial that it follows (06-fused-attention.py: 32, 128, 128, 32), since
# its default of 32 x 32 reads each key four times as often.
TRITON_BLOCKS = {
    'block_q': 128,
    'block_k': 128,
    'block_q_dkv': 32,
    'block_kv_dkv': 128,
    'block_q_dq': 128,
    'block_kv_dq': 32,
}

# The attention of bfloat16 rows by compute capability: from this one on, what 'auto'
# takes and why. Nothing here was timed on a card by us.
# - cuDNN takes a packed row only as a dense mask [B, 1, T, T] by JAX's public API, and
#   skips nothing then; without one it was measured at 1.7 to 2.3 times torch's SDPA on
#   9.0 (H100), but at 0.82 to 0.93 on 8.0, 8.6 and 12.0 (A100, A10G, RTX PRO):
#   github.com/huggingface/transformers/pull/48163.
# - tokamax's public function has no packed rows but by a dense mask either (0.0.17).
# - jax's tests of the Triton kernel ask for 8.0: tests/pallas/gpu_ops_test.py.
GPUS = (
    ((8, 0), 'triton', "JAX's own kernel skips what lies above the diagonal"),
    ((0, 0), 'blockwise', 'Triton has no bfloat16 products below 8.0'),
)


def gpu_choice(compute_capability: str | None) -> tuple[str, str]:
    """(implementation, reason) for a GPU: '9.0' -> ('triton', 'JAX's own kernel...')"""
    if compute_capability is None or not compute_capability[:1].isdigit():
        return 'blockwise', f'no NVIDIA compute capability ({compute_capability})'
    found = tuple(int(part) for part in compute_capability.split('.'))
    for least, name, reason in GPUS:
        if found >= least:
            return name, f'compute capability {compute_capability}: {reason}'
    raise AssertionError('the last row of GPUS takes every card')


def splash_block(length: int) -> int:
    """Queries, and keys, of one block of splash on rows of `length`, which it divides.

    | length | 128 | 256 | 384 | 512 | 640 | 768 | 896 | 1,024 | 1,152 | 1,280 | 2,048 |
    | block  | 128 | 256 | 384 | 512 | 640 | 768 | 896 |   512 |   384 |   640 |   512 |

    The least multiple of 128 from 512 to 1,024 that divides it, else the largest below.
    Source of 512, in all of its kernels, the backward ones not fused: MaxText's
    base.yml (sa_block_*: 512, sa_use_fused_bwd_kernel: False) and levanter's
    _tpu_splash_attention; JAX's default of 128 is named a placeholder in its source.
    """
    fitting = [n for n in range(LANES, 2 * SPLASH_BLOCK + 1, LANES) if not length % n]
    return next((n for n in fitting if n >= SPLASH_BLOCK), fitting[-1])


def splash(
    q: jax.Array, k: jax.Array, v: jax.Array, segment_ids: jax.Array
) -> jax.Array:
    """The TPU's flash attention [B, T, N, H]."""
    from jax.experimental.pallas.ops.tpu.splash_attention import (
        splash_attention_kernel,
        splash_attention_mask,
    )

    size = splash_block(q.shape[1])
    sizes = splash_attention_kernel.BlockSizes(
        block_q=size,
        block_kv=size,
        block_kv_compute=size,
        block_q_dkv=size,
        block_kv_dkv=size,
        block_kv_dkv_compute=size,
        block_q_dq=size,
        block_kv_dq=size,
    )

    def local(
        q: jax.Array, k: jax.Array, v: jax.Array, segment_ids: jax.Array
    ) -> jax.Array:
        q, k, v = (
            x.swapaxes(1, 2) for x in (q * q.shape[-1] ** -0.5, k, v)
        )  # [B, N, T, H]
        num_heads, length = q.shape[1:3]
        causal = splash_attention_mask.CausalMask((length, length))
        kernel = splash_attention_kernel.make_splash_mha(
            mask=splash_attention_mask.MultiHeadMask([causal] * num_heads),
            block_sizes=sizes,
            head_shards=1,
            q_seq_shards=1,
            interpret=INTERPRET,
        )
        segments = splash_attention_kernel.SegmentIds(q=segment_ids, kv=segment_ids)
        return jax.vmap(kernel)(q, k, v, segments).swapaxes(1, 2)

    return _on_each_device(local, num_heads=q.shape[2])(q, k, v, segment_ids)


def triton(
    q: jax.Array, k: jax.Array, v: jax.Array, segment_ids: jax.Array
) -> jax.Array:
    """JAX's flash attention for NVIDIA GPUs [B, T, N, H]; T is a multiple of 128."""
    from jax.experimental.pallas.ops.gpu import attention as gpu_attention

    kernel = functools.partial(
        gpu_attention.mha,
        sm_scale=1 / math.sqrt(q.shape[-1]),
        causal=True,
        block_sizes=gpu_attention.BlockSizes(**TRITON_BLOCKS),
        interpret=INTERPRET,
    )
    segment_ids = segment_ids.astype(jnp.int32)
    return _on_each_device(kernel, num_heads=q.shape[2])(q, k, v, segment_ids)


def _on_each_device(
    kernel: Callable[..., jax.Array], *, num_heads: int
) -> Callable[..., jax.Array]:
    """`kernel` on a device's own rows and heads, as XLA can't split a kernel itself.

    Heads that `tensor` does not divide (25 by 2) are computed whole on each device.
    Inside a shard_map, the axes that it has split already are left to it.
    """
    mesh = jax.sharding.get_abstract_mesh()
    free = frozenset(mesh.axis_names) - frozenset(mesh.manual_axes)
    if not free:
        return kernel
    batch = tuple(axis for axis in mesh_lib.BATCH if axis in free)
    axis = mesh_lib.RULES['heads']
    split = axis in free and num_heads % mesh.shape[axis] == 0
    whole = PartitionSpec(batch or None, None, axis if split else None)  # [B, T, N, H]
    return jax.shard_map(
        kernel,
        in_specs=(whole, whole, whole, PartitionSpec(batch or None)),
        out_specs=whole,
        axis_names=free,
        check_vma=False,
    )
