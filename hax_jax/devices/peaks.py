"""The peak FLOP/s of accelerators, and what products reach on any device."""

import time

import jax
import jax.numpy as jnp

# Dense bfloat16 peak of one JAX device in FLOP/s, by the words that its device_kind
# begins with; the longest that fits is taken. A kind that is not here has no MFU.
# Sources: TPUs, cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e}, "peak compute per chip
# (bf16)"; NVIDIA's data sheets of A100, H100, H200, L4 and T4 without sparsity (half
# of the figure printed with it), and its GA102 and Ada whitepapers for the RTX cards
# (bfloat16 summed in float32). The T4 has no bfloat16 units: its float16 peak stands.
PEAK_FLOPS = {
    'TPU v4': 275e12,
    'TPU v5 lite': 197e12,  # v5e
    'TPU v5e': 197e12,
    'TPU v5': 459e12,  # v5p, by either name
    'TPU v5p': 459e12,
    'TPU v6 lite': 918e12,  # v6e
    'TPU v6e': 918e12,
    'NVIDIA A100': 312e12,
    'NVIDIA H100': 989.4e12,  # SXM
    'NVIDIA H100 PCIe': 756e12,
    'NVIDIA H100 NVL': 835e12,
    'NVIDIA H200': 989.4e12,  # SXM
    'NVIDIA H200 NVL': 835e12,
    'NVIDIA L4': 121e12,
    'Tesla T4': 65e12,
    'NVIDIA T4': 65e12,
    'NVIDIA GeForce RTX 3090': 71e12,
    'NVIDIA GeForce RTX 4090': 165.2e12,
}
# Other devices, whose names begin as one of these and whose peak is not known.
_OTHERS = (
    'TPU v4 lite',
    'NVIDIA GeForce RTX 3090 Ti',
    'NVIDIA GeForce RTX 3090 Laptop',
    'NVIDIA GeForce RTX 4090 D',
    'NVIDIA GeForce RTX 4090 Laptop',
)


def peak_flops(device_kind: str) -> float:
    """The peak of one device in FLOP/s; 0.0 where it is not known (any CPU).

    'NVIDIA A100-SXM4-80GB' -> 312e12; 'NVIDIA L40S' -> 0.0: it is no L4.
    """
    fitting = [
        kind
        for kind in (*PEAK_FLOPS, *_OTHERS)
        if device_kind == kind or device_kind.startswith((f'{kind} ', f'{kind}-'))
    ]
    return PEAK_FLOPS.get(max(fitting, key=len), 0.0) if fitting else 0.0


def peak_of_all_devices() -> float:
    """The peak of all devices of the run together; starts the backend."""
    return peak_flops(jax.devices()[0].device_kind) * jax.device_count()


def matmul_flops(dtype: str, *, size: int, repeats: int) -> float:
    """FLOP/s of square matrix products in `dtype`, the most that a step can reach."""
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32))
    jax.block_until_ready(product(a, a))
    seconds = []
    for _ in range(repeats):
        begun = time.monotonic()
        jax.block_until_ready(product(a, a))
        seconds.append(time.monotonic() - begun)
    return 2 * size**3 / min(seconds)
