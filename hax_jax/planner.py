"""What a run will be and cost, before its first step."""

import dataclasses
import math
from typing import Any

import jax

from hax_jax import blockwise, loss, optimizer, preflight
from hax_jax import mesh as mesh_lib
from hax_jax import train_state as ts

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


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run in numbers; `render` puts them into words.

    Bytes are those of one device. Parameters, moments and gradients are exact: their
    shapes and places are known. Activations and logits come from a formula (see
    `activation_bytes`, `logits_bytes`). With a mesh they are the first device's, as
    every device has an equal share.
    """

    trainable_parameters: int
    frozen_parameters: int
    num_rows: int
    batch_size: int
    seq_len: int
    tokens_per_step: float  # positions that are no padding, on average
    steps_per_epoch: float
    num_epochs: float
    num_steps: int
    padding_share: float
    loss_share: float  # positions that carry loss
    scheduled_checkpoints: int
    best_checkpoints: int  # at most, beside the scheduled ones
    kept_checkpoints: int  # at most
    checkpoint_bytes: int
    parameter_bytes: int
    moment_bytes: int
    gradient_bytes: int
    activation_bytes: int
    logits_bytes: int
    num_devices: int
    platform: str
    mesh: dict[str, int]
    attention: str
    compute_dtype: str
    undivided: list[str]  # parameters that a mesh axis should split and can't
    multipliers: list[tuple[optimizer.Multiplier, int]]  # and how many parameters

    @property
    def positions_per_step(self) -> int:
        return self.batch_size * self.seq_len

    @property
    def device_bytes(self) -> int:
        return (
            self.parameter_bytes
            + self.moment_bytes
            + self.gradient_bytes
            + self.activation_bytes
            + self.logits_bytes
        )


def make_plan(setup: preflight.Setup) -> Plan:
    """The plan of a run; computes nothing on a device."""
    run, mesh, train = setup.run, setup.mesh, setup.run.train
    abstract, places = setup.blueprint.abstract, setup.blueprint.shardings
    counts = setup.cache.meta['splits']['train']
    positions = counts['positions']
    prompt = counts['prompt'] if run.data.question_weight > 0 else 0
    moving, held = setup.blueprint.split_held(abstract.params)
    moving_places, _ = setup.blueprint.split_held(places.params)
    trained_bytes = _local_bytes(moving, moving_places)
    moment_bytes = _local_bytes(abstract.opt_state, places.opt_state)
    due = _multiples(train.checkpoint_every_steps, setup.num_steps)
    evaluated = _multiples(train.eval_every_steps, setup.num_steps)
    best = len(evaluated - due) if train.keep_best else 0
    rows = train.batch_size // train.grad_accum_steps // mesh_lib.num_batch_shards(mesh)
    platform = mesh.devices.flat[0].platform
    parameters = ts.named(abstract.params) | ts.named(abstract.frozen)
    sizes = {
        'rows': rows,
        'seq_len': run.data.seq_len,
        'tensor': mesh.shape['tensor'],
    }
    return Plan(
        trainable_parameters=_count(moving),
        frozen_parameters=_count(held) + _count(abstract.frozen),
        num_rows=counts['rows'],
        batch_size=train.batch_size,
        seq_len=run.data.seq_len,
        tokens_per_step=train.batch_size
        * run.data.seq_len
        * (1 - counts['padding'] / positions),
        steps_per_epoch=counts['rows'] / train.batch_size,
        num_epochs=setup.num_steps * train.batch_size / counts['rows'],
        num_steps=setup.num_steps,
        padding_share=counts['padding'] / positions,
        loss_share=(counts['answer'] + prompt) / positions,
        scheduled_checkpoints=len(due),
        best_checkpoints=best,
        kept_checkpoints=min(train.keep_last + train.keep_best, len(due) + best),
        checkpoint_bytes=_bytes(abstract.params) + _bytes(abstract.opt_state),
        parameter_bytes=_local_bytes(abstract.params, places.params)
        + _local_bytes(abstract.frozen, places.frozen),
        moment_bytes=moment_bytes,
        # While microbatches are summed, the sum and the newest exist.
        gradient_bytes=trained_bytes * (1 if train.grad_accum_steps == 1 else 2),
        activation_bytes=activation_bytes(
            **sizes,
            n_layer=run.model.n_layer,
            n_head=run.model.n_head,
            n_embd=run.model.n_embd,
            mlp_width=run.model.mlp_width,
            implementation=setup.attention,
            dropout=run.model.resid_pdrop > 0,
            scan_layers=run.model.scan_layers,
            remat=run.train.remat,
            stacked_bytes=_block_bytes(abstract, places),
            # XLA's CPU compiler keeps bfloat16 values as float32.
            itemsize=2
            if setup.compute_dtype == 'bfloat16' and platform != 'cpu'
            else 4,
        ),
        logits_bytes=logits_bytes(**sizes, num_table_rows=run.model.num_table_rows),
        num_devices=mesh.size,
        platform=platform,
        mesh=dict(mesh.shape),
        attention=setup.attention,
        compute_dtype=setup.compute_dtype,
        undivided=mesh_lib.undivided(
            mesh, {name: leaf.shape for name, leaf in parameters.items()}
        ),
        multipliers=[
            (row, sum(math.prod(parameters[name].shape) for name in row.names))
            for row in setup.blueprint.multipliers
        ],
    )


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


def render(plan: Plan) -> str:
    """The plan as a table for people."""
    shape = 'x'.join(str(size) for size in plan.mesh.values())
    axes = ', '.join(plan.mesh)
    devices = f'{plan.num_devices} {plan.platform} device' + 's' * (
        plan.num_devices > 1
    )
    checkpoints = f'{plan.scheduled_checkpoints}'
    if plan.best_checkpoints:
        checkpoints += (
            f' and up to {plan.best_checkpoints} where an evaluation is the best so far'
        )
    lines = [
        ('devices', f'{devices}, mesh {shape} ({axes}), {plan.compute_dtype}'),
        (
            'parameters',
            f'{plan.trainable_parameters:,} trained, {plan.frozen_parameters:,} frozen',
        ),
        *_multiplier_lines(plan),
        (
            'a step',
            f'{plan.batch_size} rows of {plan.seq_len:,}: {plan.positions_per_step:,} '
            f'positions, {plan.tokens_per_step:,.0f} tokens per step',
        ),
        (
            'the run',
            f'{plan.num_steps:,} steps; {plan.steps_per_epoch:.1f} steps per epoch, '
            f'{plan.num_epochs:.2f} epochs of {plan.num_rows:,} rows',
        ),
        (
            'positions',
            f'{plan.padding_share:.1%} padding, {plan.loss_share:.1%} carry loss',
        ),
        (
            'checkpoints',
            f'{checkpoints}, {plan.kept_checkpoints} of them kept at most, '
            f'{_size(plan.checkpoint_bytes)} each',
        ),
        ('memory', f'{_size(plan.device_bytes)} a device, of which'),
        ('  parameters', _size(plan.parameter_bytes)),
        ('  moments', _size(plan.moment_bytes)),
        ('  gradients', _size(plan.gradient_bytes)),
        ('  activations', f'{_size(plan.activation_bytes)} (about; {plan.attention})'),
        ('  logits', f'{_size(plan.logits_bytes)} (about)'),
        *(('not split', line) for line in plan.undivided),
    ]
    return '\n'.join(f'{name:<14}{text}' for name, text in lines)


def _multiplier_lines(plan: Plan) -> list[tuple[str, str]]:
    """What each pattern of `optimizer.lr_multipliers` takes; none if there is none."""
    if len(plan.multipliers) == 1:
        return []
    width = max(len(row.pattern) for row, _ in plan.multipliers)
    width = max(width, len('all others'))
    return [
        (
            '' if i else 'learning rate',
            f'{row.pattern or "all others":<{width}} times {row.factor:g}'
            + ' (frozen)' * (row.factor == 0)
            + f': {len(row.names)} tensors, {count:,} parameters',
        )
        for i, (row, count) in enumerate(plan.multipliers)
    ]


def _multiples(every: int, num_steps: int) -> set[int]:
    """The steps at which something is due that is due every so often and at the end."""
    return {*range(every, num_steps + 1, every), num_steps}


def _count(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _bytes(tree: Any) -> int:
    return sum(
        math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)
    )


def _local_bytes(tree: Any, places: Any) -> int:
    """The bytes of a tree that one device holds."""
    leaves = zip(jax.tree.leaves(tree), jax.tree.leaves(places), strict=True)
    return sum(
        math.prod(place.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf, place in leaves
    )


def _block_bytes(abstract: ts.TrainState, places: ts.TrainState) -> int:
    """The bytes of the blocks' parameters that one device holds."""
    leaves = ts.named(abstract.params) | ts.named(abstract.frozen)
    where = ts.named(places.params) | ts.named(places.frozen)
    inside = [name for name in leaves if name.startswith('h.')]
    return _local_bytes([leaves[n] for n in inside], [where[n] for n in inside])


def _size(count: int) -> str:
    """1_500_000 -> '1.5 MB'."""
    for unit, size in (('GB', 1e9), ('MB', 1e6)):
        if count >= size:
            return f'{count / size:.1f} {unit}'
    return f'{count / 1e3:.1f} kB'
