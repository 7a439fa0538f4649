"""What a step keeps in memory beside its state, by formula: activations and logits."""

import math

from hax_jax.model import blockwise, loss

# Arrays of width D that a layer keeps a token for the backward pass, by what XLA's CPU
# compiler asked for with jaxlib 0.10.2. Of them the norms' and the residual stream's
# are whole on each device, the others are split over the mesh's tensor axis.
_WHOLE, _SPLIT = 7, 12
_MLP = 2  # of those that are split, as many as are MLP's width, 4 * n_embd: 8
_DROPOUT = 6.5  # more of them with dropout on the residual stream
_SCORES = 2  # arrays [B, N, T, T] a layer that 'xla' attention keeps
_BLOCKWISE = 2.5  # more arrays of width D a layer that 'blockwise' keeps
_BLOCK_SCORES = 5  # arrays [B, N, blockwise.BLOCK, T] that 'blockwise' needs at a time
_IN_WORK = 8  # more arrays of width D for the layer that is being computed
_LOGITS = 2  # arrays [B, chunk, V] alive at one time


def activation_bytes(
    *,
    rows: int,
    seq_len: int,
    tensor: int,
    n_layer: int,
    n_head: int,
    n_embd: int,
    mlp_width: int,
    implementation: str,
    dropout: bool,
    itemsize: int,
    scan_layers: bool,
    remat: str,
    stacked_bytes: int,
) -> int:
    """What the forward pass keeps for the backward pass, on one device.

    rows * seq_len * n_layer * itemsize * (width + scores), where width is n_embd times
    7 + 12 / tensor (6.5 more with dropout; 8 of the 12 are an MLP of 4 * n_embd), and
    scores are those of the attention: 'xla' keeps 2 * n_head * seq_len / tensor, and
    needs as many once, for the layer in work;
    'blockwise' keeps queries, keys, values and outputs a second time, 2.5 * n_embd /
    tensor, and needs once, for the blocks in work, 5 * rows * n_head * 128 * seq_len *
    4 / tensor; fused ones nothing. The layer in work needs 8 * n_embd more.
    With remat 'block' each layer keeps its input, n_embd, and one layer at a time the
    rest; with 'dots' each keeps the products too, n_embd * (2 + 3 / tensor) +
    mlp_width / tensor. With `scan_layers` there is a copy of all blocks' parameters,
    `stacked_bytes`.
    Within 20% of what XLA's CPU compiler asked for, 8 layers of width 256 and 768,
    unrolled and looped over; on accelerators, not yet compared.
    """
    width = n_embd * (_WHOLE + _SPLIT / tensor + _DROPOUT * dropout)
    width += _MLP * (mlp_width - 4 * n_embd) / tensor
    products = n_embd * (2 + 3 / tensor) + mlp_width / tensor
    scores, once = 0.0, 0.0
    if implementation == 'xla':
        scores = _SCORES * n_head * seq_len / tensor
        once = _SCORES * 4 * rows * seq_len * n_head * seq_len / tensor
    elif implementation == 'blockwise':
        block = min(seq_len, blockwise.BLOCK)
        scores = _BLOCKWISE * n_embd / tensor
        once = _BLOCK_SCORES * 4 * rows * n_head * block * seq_len / tensor
    layer = width + scores
    if scan_layers:
        once += stacked_bytes
    once += rows * seq_len * itemsize * _IN_WORK * n_embd
    kept, in_work = {
        'none': (layer, 0.0),
        'block': (n_embd, layer),
        'dots': (products, layer - products + n_embd),
    }[remat]
    return int(rows * seq_len * itemsize * (n_layer * kept + in_work) + once)


def logits_bytes(*, rows: int, seq_len: int, tensor: int, num_table_rows: int) -> int:
    """Float32 logits of a chunk and their gradient: [rows, chunk, V / tensor] each."""
    chunk = min(seq_len, loss.CHUNK)
    return _LOGITS * 4 * rows * chunk * math.ceil(num_table_rows / tensor)
