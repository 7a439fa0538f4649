"""What a run will be and cost, before its first step."""

import dataclasses
import math
from typing import Any

import jax

from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import param_tree
from hax_jax.training import memory, optimizer, run_setup
from hax_jax.training import train_state as ts


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run in numbers; `render` puts them into words.

    Bytes are those of one device. Parameters, moments and gradients are exact: their
    shapes and places are known. Activations and logits come from a formula (memory.py).
    With a mesh they are the first device's, as every device has an equal share.
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


def make_plan(setup: run_setup.Setup) -> Plan:
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
    saves, evaluations = train.checkpoint_every_steps, train.eval_every_steps
    due = _times(saves, setup.num_steps)
    both = _times(math.lcm(saves, evaluations), setup.num_steps)
    best = _times(evaluations, setup.num_steps) - both if train.keep_best else 0
    rows = train.batch_size // train.grad_accum_steps // mesh_lib.num_batch_shards(mesh)
    platform = mesh.devices.flat[0].platform
    parameters = param_tree.named(abstract.params) | param_tree.named(abstract.frozen)
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
        scheduled_checkpoints=due,
        best_checkpoints=best,
        kept_checkpoints=min(train.keep_last + train.keep_best, due + best),
        checkpoint_bytes=_bytes(abstract.params) + _bytes(abstract.opt_state),
        parameter_bytes=_local_bytes(abstract.params, places.params)
        + _local_bytes(abstract.frozen, places.frozen),
        moment_bytes=moment_bytes,
        # While microbatches are summed, the sum and the newest exist.
        gradient_bytes=trained_bytes * (1 if train.grad_accum_steps == 1 else 2),
        activation_bytes=memory.activation_bytes(
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
        logits_bytes=memory.logits_bytes(
            **sizes, num_table_rows=run.model.num_table_rows
        ),
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


def _times(every: int, num_steps: int) -> int:
    """How often in a run what is due every so many steps, and at the last, is done.

    _times(4, 10) -> 3: at 4, 8 and 10.
    """
    return -(-num_steps // every)


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
    leaves = param_tree.named(abstract.params) | param_tree.named(abstract.frozen)
    where = param_tree.named(places.params) | param_tree.named(places.frozen)
    inside = [name for name in leaves if name.startswith('h.')]
    return _local_bytes([leaves[n] for n in inside], [where[n] for n in inside])


def _size(count: int) -> str:
    """1_500_000 -> '1.5 MB'."""
    for unit, size in (('GB', 1e9), ('MB', 1e6)):
        if count >= size:
            return f'{count / size:.1f} {unit}'
    return f'{count / 1e3:.1f} kB'
