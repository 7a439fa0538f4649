"""The floating-point operations of a train step."""

import math

Shapes = dict[str, tuple[int, ...]]


def flops_per_token(
    trained: Shapes, frozen: Shapes, *, n_embd: int, seq_len: int
) -> float:
    """FLOPs of training on one position, forward and backward.

    6N + 12 * n_layer * n_embd * seq_len, with N the weights of matrix products:
    kernels, adapters and the head's table; lookups, biases and norms cost nothing.
    Source: PaLM, arXiv:2204.02311, appendix B, where attention counts each pair of
    positions, masked or not. Of the 6, 2 are the forward pass, 2 the gradient of the
    weight and 2 that of its input. A frozen weight has no gradient, and no gradient
    flows below the lowest trained block: with LoRA on every block a frozen weight costs
    4, below the lowest trained block 2. Excludes rematerialization and DoRA's extra
    operations.
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
