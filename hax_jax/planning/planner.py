"""A run in numbers before its first step: its length, its sizes, its memory."""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import jax

from hax_jax import counted
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import param_tree
from hax_jax.runs import disk_room, step_facts
from hax_jax.training import capacity, optimizer, run_setup


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run in numbers; `render` puts them into words.

    Bytes are those of one device; with a mesh every device has an equal share. Those of
    parameters and moments follow from shapes and shardings. `temporary_bytes`, for
    gradients, activations and logits, are the compiled step's own figure; None is not
    yet compiled.
    """

    trainable_parameters: int
    frozen_parameters: int
    num_rows: int
    batch_size: int
    seq_len: int
    tokens_per_step: float  # positions that are no padding, on average
    num_steps: int  # of the whole run
    steps_done: int
    rows_done: int
    rows_ahead: int  # that the steps left train
    padding_share: float
    loss_share: float  # positions that carry loss
    scheduled_checkpoints: int  # of the steps left
    best_checkpoints: int  # at most, beside the scheduled ones
    kept_checkpoints: int  # at most
    checkpoint_bytes: int
    disk_bytes: int  # at most, while one more is saved
    packed_bytes: int  # of the rows, which are in the dataset's folder
    parameter_bytes: int
    moment_bytes: int
    average_bytes: int
    temporary_bytes: int | None
    num_devices: int
    platform: str
    mesh: dict[str, int]
    attention: str
    attention_reason: str
    compute_dtype: str
    undivided: list[str]  # parameters that a mesh axis should split and can't
    multipliers: list[tuple[optimizer.Multiplier, int]]  # and how many parameters

    @property
    def positions_per_step(self) -> int:
        return self.batch_size * self.seq_len

    @property
    def steps_per_epoch(self) -> float:
        return self.num_rows / self.batch_size

    @property
    def num_epochs(self) -> float:
        """The passes over the rows at the end of the run."""
        return (self.rows_done + self.rows_ahead) / self.num_rows


def make_plan(setup: run_setup.Setup, *, temporary_bytes: int | None = None) -> Plan:
    """The plan of a run; computes nothing on a device."""
    run, mesh, blueprint = setup.run, setup.mesh, setup.blueprint
    state = blueprint.state
    counts = setup.cache.meta['splits']['train']
    positions = counts['positions']
    prompt = counts['prompt'] if run.data.question_weight > 0 else 0
    moving, held = blueprint.split_held(state.params)
    begin = setup.begin
    end = setup.progress(max(setup.num_steps, begin.step))
    due, best = capacity.checkpoint_counts(run.train, begin.step, setup.num_steps)
    parameters = param_tree.named(state.params) | param_tree.named(state.frozen)
    return Plan(
        trainable_parameters=_count(moving),
        frozen_parameters=_count(held) + _count(state.frozen),
        num_rows=counts['rows'],
        batch_size=run.train.batch_size,
        seq_len=run.data.seq_len,
        tokens_per_step=run.train.batch_size
        * run.data.seq_len
        * (1 - counts['padding'] / positions),
        num_steps=setup.num_steps,
        steps_done=begin.step,
        rows_done=begin.rows,
        rows_ahead=end.rows - begin.rows,
        padding_share=counts['padding'] / positions,
        loss_share=(counts['answer'] + prompt) / positions,
        scheduled_checkpoints=due,
        best_checkpoints=best,
        kept_checkpoints=capacity.kept_checkpoints(run.train, setup.num_steps),
        checkpoint_bytes=capacity.checkpoint_bytes(blueprint),
        disk_bytes=capacity.disk_bytes(setup),
        packed_bytes=step_facts.size(setup.cache.path),
        parameter_bytes=capacity.bytes_on_a_device(state.params)
        + capacity.bytes_on_a_device(state.frozen),
        moment_bytes=capacity.bytes_on_a_device(state.opt_state),
        average_bytes=capacity.bytes_on_a_device(state.average),
        temporary_bytes=temporary_bytes,
        num_devices=mesh.size,
        platform=mesh.devices.flat[0].platform,
        mesh=dict(mesh.shape),
        attention=blueprint.model.config.attention,
        attention_reason=setup.attention_reason,
        compute_dtype=blueprint.model.compute_dtype,
        undivided=mesh_lib.undivided(
            mesh, {name: leaf.shape for name, leaf in parameters.items()}
        ),
        multipliers=[
            (row, sum(math.prod(parameters[name].shape) for name in row.names))
            for row in blueprint.multipliers
        ],
    )


def render(plan: Plan, more: Sequence[tuple[str, str]] = ()) -> str:
    """The plan as a table for people, then the lines of `more`."""
    shape = 'x'.join(str(size) for size in plan.mesh.values())
    axes = ', '.join(plan.mesh)
    devices = counted.of(plan.num_devices, f'{plan.platform} devices')
    checkpoints = f'{plan.scheduled_checkpoints}'
    if plan.best_checkpoints:
        checkpoints += (
            f' and up to {plan.best_checkpoints} where an evaluation is the best so far'
        )
    lines = [
        ('devices', f'{devices}, mesh {shape} ({axes}), {plan.compute_dtype}'),
        ('attention', f'{plan.attention}: {plan.attention_reason}'),
        (
            'parameters',
            f'{plan.trainable_parameters:,} trained, {plan.frozen_parameters:,} frozen',
        ),
        *_multiplier_lines(plan),
        (
            'a step',
            f'{counted.of(plan.batch_size, "rows")} of {plan.seq_len:,}: '
            f'{plan.positions_per_step:,} positions, '
            f'{plan.tokens_per_step:,.0f} tokens per step',
        ),
        (
            'the run',
            f'{counted.of(plan.num_steps, "steps")}; '
            f'{plan.steps_per_epoch:.1f} steps per epoch, '
            f'{plan.num_epochs:.2f} epochs of {plan.num_rows:,} rows, '
            f'{plan.rows_done + plan.rows_ahead:,} in all',
        ),
        *_progress_lines(plan),
        (
            'positions',
            f'{plan.padding_share:.1%} padding, {plan.loss_share:.1%} carry loss',
        ),
        (
            'checkpoints',
            f'{checkpoints}, {plan.kept_checkpoints} of them kept at most, '
            f'{disk_room.size(plan.checkpoint_bytes)} each; the run takes up to '
            f'{disk_room.size(plan.disk_bytes)} on disk'
            + f', its packed rows {disk_room.size(plan.packed_bytes)}'
            * (plan.packed_bytes > 0),
        ),
        ('memory', _memory(plan)),
        *_undivided_lines(plan),
        *more,
    ]
    return '\n'.join(f'{name:<14}{text}' for name, text in lines)


def _undivided_lines(plan: Plan) -> list[tuple[str, str]]:
    """The parameters that a mesh axis can't split, and the cure for a vocabulary."""
    lines = [('not split', line) for line in plan.undivided]
    tensor = plan.mesh['tensor']
    of_vocab = re.compile(rf'(wte|lm_head)\..* by tensor={tensor}$')
    if any(map(of_vocab.match, plan.undivided)):
        cure = f'--config.model.pad_vocab_to_multiple_of={math.lcm(128, tensor)}'
        text = f'give {cure}, and tensor={tensor} splits the table; exports drop it'
        if plan.steps_done:
            text = f'only a new run can split its table, with {cure}'
        lines.append(('', text))
    return lines


def _progress_lines(plan: Plan) -> list[tuple[str, str]]:
    """What is done and what is left of a run that goes on; [] for a new one."""
    if not plan.steps_done:
        return []
    left = max(plan.num_steps - plan.steps_done, 0)
    return [
        (
            'goes on',
            f'{plan.steps_done:,} steps ({plan.rows_done:,} rows) are done, {left:,} '
            f'steps ({plan.rows_ahead:,} rows) are left',
        )
    ]


def _multiplier_lines(plan: Plan) -> list[tuple[str, str]]:
    """The parameters of each pattern in `optimizer.lr_multipliers`; [] without any."""
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


def _memory(plan: Plan) -> str:
    size = disk_room.size
    state = plan.parameter_bytes + plan.moment_bytes + plan.average_bytes
    words = (
        f'{size(state)} a device for the state (parameters '
        f'{size(plan.parameter_bytes)}, moments {size(plan.moment_bytes)}'
        + f', average {size(plan.average_bytes)}' * (plan.average_bytes > 0)
        + ')'
    )
    if plan.temporary_bytes is None:
        return f"{words}; the step's own is known once it is compiled (--dry_run)"
    total = size(state + plan.temporary_bytes)
    return (
        f'{total} a device: {words.replace(" a device", "")}, and '
        f'{size(plan.temporary_bytes)} for a step (gradients, activations, logits; '
        f'{plan.attention} attention)'
    )


def _count(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
