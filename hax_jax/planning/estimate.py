"""A train step by formula, where it can't be compiled: memory, collectives, time."""

import dataclasses
import math
import pathlib
import statistics

from hax_jax import json_lines
from hax_jax.config import schema
from hax_jax.devices import collectives

MFU = 0.35  # assumed of an accelerator; README.md says where measured ones are printed
# Of the rate of matrix products, assumed on a CPU: 0.45 with 4 layers of width 256,
# 0.64 with the 124M.
CPU_SHARE = 0.5
_CHUNK_COPIES = 3  # logits of a chunk, their softmax and its gradient


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter; `axes` are the mesh axes that split it ('fsdp', 'tensor')."""

    count: int
    itemsize: int
    is_trained: bool
    axes: tuple[str, ...]
    in_block: bool = False


@dataclasses.dataclass(frozen=True)
class Step:
    """A train step's sizes. `rows` are those that one device computes together."""

    model: schema.ModelConfig
    parameters: tuple[Parameter, ...]
    mesh: dict[str, int]
    seq_len: int
    rows: int
    num_microbatches: int
    compute_bytes: int  # of a number in the compute dtype
    attention: str
    remat: str
    loss_chunk: int


def temporary_bytes(step: Step) -> int:
    """Bytes on a device beside the state: gradients, activations, logits, copies.

    Activations of a layer by Korthikanti et al. 2022 (arXiv:2205.05198, 4.1 and 4.2.1)
    without masks of dropout: 4 numbers of width n_embd a position whole and 12 (an MLP
    of 4 widths) split over tensor, and T * n_head scores twice with 'xla' attention.
    Gradients are float32, twice with microbatches; outside the blocks they and the
    table in the compute dtype are whole but for tensor. A scan over layers copies the
    device's parts of all blocks.
    """
    tensor, model = step.mesh['tensor'], step.model
    positions = step.rows * step.seq_len
    wide = 4 + 2 * model.mlp_width / model.n_embd  # q, k, v, attended; MLP twice
    layer = positions * model.n_embd * (4 + wide / tensor)
    if step.attention == 'xla':
        layer += 2 * positions * model.n_head * step.seq_len / tensor
    inputs = positions * model.n_embd
    kept = {
        'none': model.n_layer * layer,
        # Each block's input, and all of one block.
        'block': model.n_layer * inputs + layer,
        # Also the products with kernels: q, k, v, the MLP's first, and two of n_embd.
        'dots': model.n_layer
        * inputs
        * (3 + (3 + model.mlp_width / model.n_embd) / tensor)
        + layer,
    }[step.remat]
    chunk = step.rows * min(step.loss_chunk, step.seq_len)
    logits = _CHUNK_COPIES * 4 * chunk * model.num_table_rows / tensor
    gradients = sum(
        4 * (_local if each.in_block else _gathered)(each, step.mesh)
        for each in step.parameters
        if each.is_trained
    )
    table = step.compute_bytes * model.num_table_rows * model.n_embd / tensor
    if step.num_microbatches > 1:
        gradients *= 2
    stacked = sum(
        each.itemsize * _local(each, step.mesh)
        for each in step.parameters
        if model.scan_layers and each.in_block
    )
    activations = step.compute_bytes * kept
    return round(activations + logits + table + gradients + stacked)


def needed_traffic(step: Step) -> dict[str, collectives.Traffic]:
    """The collectives that the mesh needs in a step, and no more.

    fsdp: a split parameter of a block is gathered in the compute dtype for the forward
    and for the backward pass of each microbatch, and its float32 gradient is summed and
    scattered in each, so that no device ever holds all blocks; parameters outside the
    blocks are gathered, and theirs scattered, once. data, and fsdp for what it does not
    split: gradients are summed once, after all microbatches. tensor: each block sums
    its activations twice in each pass, the head and the lookup once, and the loss three
    numbers a position.
    """
    mesh, found = step.mesh, {}

    def add(kind: str, size: int, axes: tuple[str, ...], times: int = 1) -> None:
        group = math.prod(mesh[axis] for axis in axes)
        if group > 1 and size:
            each = collectives.traffic(kind, size, group) * times
            found[kind] = found.get(kind, collectives.Traffic()) + each

    for each in step.parameters:
        whole = _gathered(each, mesh)
        passes = step.num_microbatches if each.in_block else 1
        if 'fsdp' in each.axes:
            times = 2 * passes if each.in_block else 1
            add('all-gather', step.compute_bytes * whole, ('fsdp',), times)
        if each.is_trained and 'fsdp' in each.axes:
            add('reduce-scatter', 4 * whole, ('fsdp',), passes)
            add('all-reduce', 4 * _local(each, mesh), ('data',))
        elif each.is_trained:
            add('all-reduce', 4 * whole, ('data', 'fsdp'))
    sums = 4 * step.model.n_layer + 2  # the lookup's and the head's are the last two
    positions = step.rows * step.seq_len * step.num_microbatches
    activations = step.compute_bytes * positions * step.model.n_embd
    add('all-reduce', activations, ('tensor',), sums)
    add('all-reduce', 4 * positions, ('tensor',), 3)
    return found


def measured_rate(workdir: pathlib.Path) -> float | None:
    """Tokens a second of the run in `workdir`: the median of its last 10 intervals.

    None where metrics.jsonl has none.
    """
    rows = json_lines.Log(workdir / 'metrics.jsonl').objects()
    rates = [row['tokens_per_second'] for row in rows if row.get('kind') == 'train']
    return statistics.median(rates[-10:]) if rates else None


def _local(parameter: Parameter, mesh: dict[str, int]) -> int:
    return parameter.count // math.prod(mesh[axis] for axis in parameter.axes)


def _gathered(parameter: Parameter, mesh: dict[str, int]) -> int:
    """The numbers that a device has of it once fsdp has gathered it."""
    return _local(parameter, mesh) * (mesh['fsdp'] if 'fsdp' in parameter.axes else 1)


def seconds_a_step(
    flops_per_token: float, positions: int, peak_flops: float, *, share: float = MFU
) -> float:
    """The time of a step at a share of `peak_flops`, the peak of all devices.

    6e9 FLOPs a token, 1e6 positions, 1e17 FLOP/s: 0.17 s.
    """
    return flops_per_token * positions / (peak_flops * share)
