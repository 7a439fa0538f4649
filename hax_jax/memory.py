"""What a step keeps in memory beside its state, by formula: activations and logits."""

import math

from hax_jax import attention, loss

# Arrays of width D that a layer keeps a token for the backward pass, by what XLA's CPU
# compiler asked for with jaxlib 0.10.2. Of them the norms' and the residual stream's
# are whole on each device, the others are split over the mesh's tensor axis.
_WHOLE, _SPLIT = 8, 17
_MLP = 3  # of those that are split, as many as are MLP's width, 4 * n_embd: 12
_DROPOUT = 4  # more of them with dropout on the residual stream
_SCORES = 2  # arrays [B, N, T, T] a layer that 'xla' attention keeps
_BLOCK_SCORES = 8  # arrays [B, N, QUERY_BLOCK, T] that 'blockwise' needs at a time
_LOOPED = 14  # more arrays of width D a layer where XLA loops over layers
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
    8 + 17 / tensor (4 more with dropout; 12 of the 17 are an MLP of 4 * n_embd), and
    scores are those of the attention: 'xla' keeps 2 * n_head * seq_len / tensor;
    'blockwise' keeps its keys and values as the blocks saw them,
    n_embd * (seq_len / 128 + 1) / tensor, and needs once, for the
    block in work, 8 * rows * n_head * 128 * seq_len * 4 / tensor; fused ones nothing.
    With remat 'block' each layer keeps its input, n_embd, and one layer at a time the
    rest; with 'dots' each keeps the products too, n_embd * (2 + 3 / tensor) +
    mlp_width / tensor. With `scan_layers` there is a copy of all blocks' parameters,
    `stacked_bytes`, and without remat 14 * n_embd more a layer.
    Within 15% of what XLA's CPU compiler asked for, from 4 layers of 256 to GPT-2
    (looped over: 6 layers of 256 and 512); on accelerators, not yet compared.
    """
    width = n_embd * (_WHOLE + _SPLIT / tensor + _DROPOUT * dropout)
    width += _MLP * (mlp_width - 4 * n_embd) / tensor
    products = n_embd * (2 + 3 / tensor) + mlp_width / tensor
    scores, once = 0.0, 0.0
    if implementation == 'xla':
        scores = _SCORES * n_head * seq_len / tensor
    elif implementation == 'blockwise':
        block = min(seq_len, attention.QUERY_BLOCK)
        scores = n_embd * (math.ceil(seq_len / block) + 1) / tensor
        once = _BLOCK_SCORES * 4 * rows * n_head * block * seq_len / tensor
    layer = width + scores
    if scan_layers:
        once += stacked_bytes
        layer += _LOOPED * n_embd * (remat == 'none')
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
