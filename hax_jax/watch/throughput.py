"""The floating-point operations of a step, and what share of the peak they are."""

import math

import jax

# Dense bfloat16 peak of one JAX device in FLOP/s, by the words that its device_kind
# begins with; the longest that fits is taken. A kind that is not here has no MFU.
# Sources: TPUs, cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e}, "peak compute per chip
# (bf16)"; NVIDIA's data sheets of A100, H100, H200, L4 and T4 without sparsity (half of
# what they print with it), and its GA102 and Ada whitepapers for the RTX cards
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
# What begins as one of these and is another device, whose peak is not here.
_OTHERS = (
    'TPU v4 lite',
    'NVIDIA GeForce RTX 3090 Ti',
    'NVIDIA GeForce RTX 3090 Laptop',
    'NVIDIA GeForce RTX 4090 D',
    'NVIDIA GeForce RTX 4090 Laptop',
)

Shapes = dict[str, tuple[int, ...]]


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


def flops_per_token(
    trained: Shapes, frozen: Shapes, *, n_embd: int, seq_len: int
) -> float:
    """FLOPs that training on one position needs, forward and backward.

    6N + 12 * n_layer * n_embd * seq_len, with N the weights of matrix products:
    kernels, adapters and the head's table; lookups, biases and norms cost nothing.
    Source: PaLM, arXiv:2204.02311, appendix B, where attention counts each pair of
    positions, masked or not. Of the 6, 2 are the forward pass, 2 the gradient of the
    weight and 2 that of its input. A frozen weight has no gradient of its own, and
    nothing flows below the lowest block that has something to train: with LoRA on every
    block a frozen weight costs 4, and beneath the lowest trained block 2. What is
    computed again for memory's sake is not counted, nor what DoRA adds.
    """
    shapes = trained | frozen
    head = 'lm_head.embedding' if 'lm_head.embedding' in shapes else 'wte.embedding'
    lowest = min((_depth(name) for name in trained), default=math.inf)
    total = 0.0
    for name, shape in shapes.items():
        if name == head or name.endswith(('.kernel', '.lora_a', '.lora_b')):
            flows = name == head or _depth(name) >= lowest
            each = 2 + 2 * (name in trained) + 2 * flows
            total += each * math.prod(shape)
    for depth in {_depth(name) for name in shapes if name.startswith('h.')}:
        # Forward: queries on keys, weights on values, 2 FLOPs each; backward twice.
        total += (12 if depth >= lowest else 4) * n_embd * seq_len
    return total


def _depth(name: str) -> float:
    """How far above the input a parameter acts: wte -1, h.0 0, ln_f infinitely."""
    first, _, rest = name.partition('.')
    if first in ('wte', 'wpe'):
        return -1.0
    return float(rest.split('.')[0]) if first == 'h' else math.inf
