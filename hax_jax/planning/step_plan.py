"""What a run's train step needs, by its compiler or by formula, in words."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from hax_jax.devices import collectives, compiled, peaks, xla_log
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import loss, param_tree
from hax_jax.planning import estimate, planner
from hax_jax.program import failures, progress
from hax_jax.runs import disk_room
from hax_jax.training import capacity, run_setup, run_step


def dry_run(
    setup: run_setup.Setup,
    workdir: pathlib.Path | None,
    *,
    price: float | None,
    notes: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Prints the plan with a compiled or an estimated step, its time, and its cost.

    `price` is of an hour of all devices; None prints no cost. `notes` are lines of the
    table's end. The plan is printed whatever goes wrong. Returns its figures.

    Raises:
      InputError: the run does not fit its devices, or the disk of `workdir`.
    """
    needed, more = None, []
    try:
        capacity.check_state(setup)
        step = None
        if setup.described is None or setup.described.compiles:
            step = compiled_step(setup)
            needed = temporary_bytes(setup, step)
        else:
            needed = estimate.temporary_bytes(estimated_step(setup))
        more = step_lines(setup, step)
    finally:
        plan = planner.make_plan(setup, temporary_bytes=needed)
        seconds, basis = step_time(setup, plan, workdir)
        more += time_lines(plan, seconds, basis, price)
        print(planner.render(plan, [*more, *notes]), flush=True)
    capacity.check_step(setup, needed, has_state=False)
    if workdir:
        capacity.check_disk(setup, workdir)
    said = {'seconds_per_step': seconds, 'basis': basis, 'notes': dict(notes)}
    return dataclasses.asdict(plan) | said


def compiled_step(setup: run_setup.Setup) -> compiled.Compiled:
    """What the run's train step needs, by its compiler.

    Compiling takes as long as it does when the run begins. Nothing runs, and no array
    is made.

    Raises:
      InputError: the compiler of described devices says that it does not fit them.
    """
    batch = run_step.described_batch(setup)
    with jax.set_mesh(setup.mesh):
        step = run_step.step_function(setup).lower(setup.blueprint.state, batch)
        try:
            return compiled.measured(
                step, num_devices=setup.mesh.size, quiet=setup.described is not None
            )
        except jax.errors.JaxRuntimeError as error:
            if setup.described is None or not failures.out_of_memory(error):
                raise
            raise capacity.over_memory(setup, str(error)) from error


def temporary_bytes(setup: run_setup.Setup, step: compiled.Compiled) -> int:
    """The bytes that the compiled train step needs on a device beside its state.

    Those of a recheck, which holds gradients twice, are added, at most.
    """
    needed = step.temporary_bytes
    if setup.run.train.recheck_every_steps:
        needed += run_step.recheck_of(setup).bytes_on_a_device
    return needed


def estimated_step(setup: run_setup.Setup) -> estimate.Step:
    """The sizes of the run's train step, for the formulas of `estimate`."""
    run, mesh, state = setup.run, setup.mesh, setup.blueprint.state
    moving, _ = setup.blueprint.split_held(state.params)
    trained = param_tree.named(moving)
    parameters = [
        estimate.Parameter(
            math.prod(leaf.shape),
            leaf.dtype.itemsize,
            name in trained,
            tuple(axis for axis in leaf.sharding.spec if axis),
            name.startswith('h.'),
        )
        for tree in (state.params, state.frozen)
        for name, leaf in param_tree.named(tree).items()
    ]
    model = setup.blueprint.model
    return estimate.Step(
        model=model.config,
        parameters=tuple(parameters),
        mesh=dict(mesh.shape),
        seq_len=run.data.seq_len,
        rows=setup.microbatch_size // mesh_lib.num_batch_shards(mesh),
        num_microbatches=run.train.grad_accum_steps,
        compute_bytes=jnp.dtype(model.compute_dtype).itemsize,
        attention=model.config.attention,
        remat=run.train.remat,
        loss_chunk=loss.CHUNK,
    )


def step_lines(
    setup: run_setup.Setup, step: compiled.Compiled | None
) -> list[tuple[str, str]]:
    """Lines for `render`: where a step's figures are from, its fit, its collectives.

    `step` None is a step that can't be compiled here.
    """
    size, described = disk_room.size, setup.described
    sizes = estimated_step(setup)
    needed = estimate.needed_traffic(sizes)
    lines = []
    if step is None:
        temporary = estimate.temporary_bytes(sizes)
        total = capacity.state_bytes(setup) + temporary
        lines.append(
            (
                'by formula',
                f"a step for {described.name} can't be compiled here: its memory and "
                'collectives are estimates (memory: within 15% of five plans that TPU '
                'compilers made)',
            )
        )
        traffic = needed
    else:
        total, traffic = step.peak_bytes, step.traffic.by_kind
        lines.append(
            (
                'compiled',
                f'in {step.seconds:.1f} s; arguments {size(step.argument_bytes)}, '
                f'outputs {size(step.output_bytes)} (in the same place '
                f'{size(step.shared_bytes)}), temporary {size(step.temporary_bytes)}, '
                f'program {size(step.program_bytes)}: {size(total)} a device at most',
            )
        )
    if described:
        fits = 'fits' if total <= described.memory_bytes else 'DOES NOT FIT'
        lines.append(
            (
                'fit',
                f'{fits}: {size(total)} of the {size(described.memory_bytes)} that a '
                f'program has on {described.device_kind} ({described.share})',
            )
        )
    if setup.mesh.size > 1:
        lines += _traffic_lines(traffic, needed, step)
    if step and step.rematerialized:
        lines.append(('resharding', xla_log.advice(step.rematerialized)))
    return lines


def _traffic_lines(
    traffic: dict[str, collectives.Traffic],
    needed: dict[str, collectives.Traffic],
    step: compiled.Compiled | None,
) -> list[tuple[str, str]]:
    size = disk_room.size
    lines = [
        (
            'collectives' * (i == 0),
            f'{kind} of {size(each.bytes)} in {each.count:,} a step',
        )
        for i, (kind, each) in enumerate(traffic.items())
    ]
    least = sum(each.sent for each in needed.values())
    sent = sum(each.sent for each in traffic.values())
    text = f'a device sends {size(sent)} a step'
    if step:
        text += f'; by formula the mesh needs {size(least)}'
        if step.traffic.unknown_loops:
            text += (
                f' ({step.traffic.unknown_loops} loops of unknown length are counted '
                'once)'
            )
    return [*lines, ('', text)]


def step_time(
    setup: run_setup.Setup, plan: planner.Plan, workdir: pathlib.Path | None
) -> tuple[float | None, str]:
    """Seconds of a step, and what they rest on; None, and why they are not known.

    The rate is the run's own, where `workdir` has one (--quick makes one) and the
    devices are not described; else it is estimated.
    """
    described = setup.described
    rate = estimate.measured_rate(workdir) if workdir and not described else None
    if rate:
        basis = f'by the {rate:,.0f} tokens/s that this run measured'
        return plan.tokens_per_step / rate, basis
    share, unit = estimate.MFU, 'at an assumed MFU of {:.0%} of {:,.0f} TFLOP/s'
    peak = described.peak_flops if described else peaks.peak_of_all_devices()
    if not peak and setup.platform == 'cpu':
        share = estimate.CPU_SHARE
        unit = 'at {:.0%} of the {:,.2f} TFLOP/s of matrix products here, now'
        peak = peaks.matmul_flops('float32', size=1024, repeats=5)
    if not peak:
        kind = setup.mesh.devices.flat[0].device_kind
        return None, (
            f'not known: the peak FLOP/s of {kind} is not, and no step of the run was '
            'measured; give --topology, or the --workdir of a run'
        )
    positions = plan.positions_per_step
    seconds = estimate.seconds_a_step(
        setup.flops_per_token, positions, peak, share=share
    )
    return seconds, (
        f'an estimate by formula: {setup.flops_per_token * positions:.3g} FLOPs a step '
        + unit.format(share, peak / 1e12)
    )


def time_lines(
    plan: planner.Plan, seconds: float | None, basis: str, price: float | None
) -> list[tuple[str, str]]:
    """Lines for `render`: the time of a step and of the steps left, and their cost.

    `price` is of an hour of all devices; None gives no cost.
    """
    if seconds is None:
        return [('time', basis)]
    left = max(plan.num_steps - plan.steps_done, 0)
    each = f'{seconds:.2g} s' if seconds < 10 else progress.duration(seconds)
    lines = [
        (
            'time',
            f'about {each} a step, {progress.duration(left * seconds)} for '
            f'{left:,} steps ({basis}; without starting, evaluating and saving)',
        )
    ]
    if price is not None:
        hours = left * seconds / 3600
        text = f'about {hours * price:,.2f} for {hours:,.2f} h at {price:g} an hour'
        lines.append(('cost', text))
    return lines
