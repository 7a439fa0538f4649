"""What a run needs of disk and memory, against what there is, and what would fit.

Figures of a setting that was not compiled are estimates; messages say "about".
"""

import contextlib
import math
import pathlib
import re
import traceback
from collections.abc import Iterator
from typing import Any

import jax

from hax_jax import errors, places
from hax_jax.config import schema
from hax_jax.data import records
from hax_jax.devices import mesh as mesh_lib
from hax_jax.program import failures
from hax_jax.runs import disk_room, run_folder, step_facts
from hax_jax.training import run_setup
from hax_jax.training import train_state as ts

_SURE = 0.95  # of the free memory, for an estimate to count as one that fits
_AT = {  # what was running, by the function that ran out of memory
    'first_state': 'its state was made',
    'compiled': 'its step was compiled',
    'evaluated': 'it was evaluated',
    'save': 'it was saved',
}
_PAGE_BYTES = 6_000_000  # report.html holds the program that draws it
_LOGGED_BYTES = 1000  # a logged step in metrics.jsonl and TensorBoard, about


def checkpoint_counts(
    train: schema.TrainConfig, done: int, num_steps: int
) -> tuple[int, int]:
    """Scheduled checkpoints of the steps left, and those only a best evaluation adds.

    Every N steps and at the last is ceil(num_steps / N) times, of which done // N are
    behind.
    """

    def times(every: int) -> int:
        return -(-num_steps // every) - done // every if done < num_steps else 0

    saves, evaluations = train.checkpoint_every_steps, train.eval_every_steps
    both = times(math.lcm(saves, evaluations))
    return times(saves), times(evaluations) - both if train.keep_best else 0


def kept_checkpoints(train: schema.TrainConfig, num_steps: int) -> int:
    """The checkpoints of a run that are on disk at one time, at most."""
    return min(
        train.keep_last + train.keep_best, sum(checkpoint_counts(train, 0, num_steps))
    )


def checkpoint_bytes(blueprint: ts.Blueprint) -> int:
    state = blueprint.state
    return sum(map(bytes_of, (state.params, state.opt_state, state.average)))


def bytes_of(tree: Any) -> int:
    return sum(
        math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)
    )


def bytes_on_a_device(tree: Any) -> int:
    """The bytes of an abstract tree that one device holds."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def disk_bytes(setup: run_setup.Setup) -> int:
    """The most that a run has on its disk: while one more checkpoint is saved."""
    logged = setup.num_steps // setup.run.train.log_every_steps
    each = checkpoint_bytes(setup.blueprint)
    return _checkpoints_at_once(setup) * each + logged * _LOGGED_BYTES + _PAGE_BYTES


def check_disk(setup: run_setup.Setup, workdir: pathlib.Path) -> None:
    """Raises InputError if the disk of `workdir` can't hold the run's checkpoints."""
    if places.is_remote(workdir):
        return
    there = step_facts.size(workdir / run_folder.CHECKPOINTS)
    free = disk_room.free(workdir)
    needed, each = disk_bytes(setup), checkpoint_bytes(setup.blueprint)
    if needed - there <= free:
        return
    train = setup.run.train
    fits = (free + there - _PAGE_BYTES) // each - 1
    now = kept_checkpoints(train, setup.num_steps)
    remedy = ''
    if 1 <= fits < now:
        remedy = (
            f', or keep fewer: --config.train.keep_last={fits} '
            '--config.train.keep_best=0'
        )
    raise errors.InputError(
        f'the run needs {disk_room.size(needed - there)} more on the disk of {workdir}:'
        f' {_checkpoints_at_once(setup)} checkpoints of {disk_room.size(each)} at one '
        f'time, and its page; {disk_room.size(free)} are free. Make room, or give a '
        f'--workdir on another disk{remedy}.'
    )


def _checkpoints_at_once(setup: run_setup.Setup) -> int:
    """At most, while one more is saved than is kept."""
    kept = kept_checkpoints(setup.run.train, setup.num_steps)
    return min(kept + 1, sum(checkpoint_counts(setup.run.train, 0, setup.num_steps)))


def state_bytes(setup: run_setup.Setup) -> int:
    """Bytes of parameters and moments on one device."""
    return bytes_on_a_device(setup.blueprint.state)


def check_state(setup: run_setup.Setup) -> None:
    """Raises InputError, before it is made, if the state does not fit a device.

    Nor does it where a step's rows surely do not fit beside it: their compilation alone
    may take all memory.
    """
    free, needed = setup.free_memory, state_bytes(setup)
    if free is None:
        return
    if needed <= free:
        _check_rows(setup, free - needed)
        return
    run, state = setup.run, setup.blueprint.state
    parameters = bytes_on_a_device(state.params) + bytes_on_a_device(state.frozen)
    moments = bytes_on_a_device(state.opt_state)
    options = _more_sharded(setup, needed, 0)
    if run.optimizer.moment_dtype != 'bfloat16':
        options.append(('optimizer.moment_dtype=bfloat16', parameters + moments / 2))
    if run.model.pretrained and not run.lora.rank:
        options.append(('lora.rank=8', 1.05 * parameters))
    raise errors.InputError(
        f'the state of the run needs {disk_room.size(needed)} on each device '
        f'(parameters {disk_room.size(parameters)}, moments {disk_room.size(moments)}),'
        f' and {disk_room.size(free)} are free. {_remedy(options, free)}'
    )


def _check_rows(setup: run_setup.Setup, free: int) -> None:
    """Raises InputError if the least that a step's rows take is more than `free`.

    That is the numbers of the batch, and of rows that are computed together the hidden
    states of one layer in two bytes: what is frozen below keeps no more.
    """
    run = setup.run
    places = run.data.seq_len / (setup.mesh.shape['data'] * setup.mesh.shape['fsdp'])
    of_ids = 4 * len(records.FEATURES) * places
    of_hidden = 2 * run.model.n_embd * places
    needed = of_ids * run.train.batch_size + of_hidden * setup.microbatch_size
    if needed <= free:
        return
    most = int(_SURE * free / (of_ids + of_hidden / run.train.grad_accum_steps))
    raise errors.InputError(
        f'the rows of a step need {disk_room.size(int(needed))} or more on each device '
        f'({run.train.batch_size:,} rows a step, {setup.microbatch_size:,} computed '
        f'together), and {disk_room.size(free)} are free beside the state. Give a '
        f'--config.train.batch_size under {max(most, 2):,}, or a larger '
        '--config.train.grad_accum_steps.'
    )


def check_step(
    setup: run_setup.Setup, temporary_bytes: int, *, has_state: bool
) -> None:
    """Raises InputError if the compiled step does not fit a device beside its state.

    `has_state` says that the state is on the devices already.
    """
    free, state = setup.free_memory, state_bytes(setup)
    if free is None:
        return
    free += state * has_state
    if state + temporary_bytes <= free:
        return
    raise errors.InputError(
        f'a step needs {disk_room.size(state + temporary_bytes)} on each device (state '
        f'{disk_room.size(state)}, gradients and activations '
        f'{disk_room.size(temporary_bytes)}), and {disk_room.size(free)} are free. '
        + _remedy(_smaller_steps(setup, temporary_bytes), free)
    )


def over_memory(setup: run_setup.Setup, said: str) -> errors.InputError:
    """What to say where the compiler found that a step fits no device.

    It names the bytes used, '27.65G' or '300.00M'; the state is among them or not.
    """
    state, described = state_bytes(setup), setup.described
    found = re.search(r'(?:Used |temporaries \()([\d.]+)([GM])', said)
    used = float(found[1]) * (2**30 if found[2] == 'G' else 2**20) if found else 0
    temporary = int(used) - state * ('temporaries' not in said)
    remedy = _remedy(_smaller_steps(setup, max(temporary, 0)), described.memory_bytes)
    return errors.InputError(
        f'a step DOES NOT FIT a {described.device_kind} of {described.name}, which has '
        f'{disk_room.size(described.memory_bytes)} for a program; its compiler says: '
        f'{" ".join(said.split())[:200]} {remedy}'
    )


@contextlib.contextmanager
def told(setup: run_setup.Setup) -> Iterator[None]:
    """Turns running out of memory while training into one InputError."""
    try:
        yield
    except Exception as error:
        if not failures.out_of_memory(error):
            raise
        frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        at = next((_AT[n] for n in reversed(frames) if n in _AT), 'a step was computed')
        said = ' '.join(str(error).split())[:200] or 'MemoryError'
        steps = [f'train.grad_accum_steps={k}' for k in _finer(setup)[:1]]
        more = [*steps, *_remat(setup), 'a smaller train.batch_size']
        raise errors.InputError(
            f'the run was out of memory when {at}, with {setup.microbatch_size} rows '
            f'computed together ({said}). Try '
            + ', or '.join(f'--config.{each}' if '=' in each else each for each in more)
            + ', or more devices (--config.mesh.fsdp).'
        ) from error


def _smaller_steps(
    setup: run_setup.Setup, temporary_bytes: int
) -> list[tuple[str, float]]:
    """Settings with less in memory, each with the bytes that it needs, about.

    Activations are proportional to the rows computed together; with accumulation
    there is a second set of gradients. Recomputing blocks keeps each block's input and
    the activations of one block.
    """
    run, state = setup.run, state_bytes(setup)
    moving, _ = setup.blueprint.split_held(setup.blueprint.state.params)
    gradients = bytes_on_a_device(moving)
    now = run.train.grad_accum_steps
    activations = max(0, temporary_bytes - gradients * (1 + (now > 1)))
    options = [
        (f'train.grad_accum_steps={k}', state + 2 * gradients + activations * now / k)
        for k in _finer(setup)
    ]
    model = run.model
    rows = setup.microbatch_size / (setup.mesh.shape['data'] * setup.mesh.shape['fsdp'])
    inputs = 4 * rows * run.data.seq_len * model.n_embd * model.n_layer
    recomputed = state + temporary_bytes - activations * (1 - 2 / model.n_layer)
    options += [(name, recomputed + inputs) for name in _remat(setup)]
    return options + _more_sharded(setup, state, temporary_bytes)


def _finer(setup: run_setup.Setup) -> list[int]:
    """The numbers of microbatches over the present one that the mesh can share."""
    train, mesh = setup.run.train, setup.mesh.shape
    shares = train.grad_accum_steps, mesh['data'] * mesh['fsdp']
    return [
        k
        for k in range(shares[0] + 1, train.batch_size // shares[1] + 1)
        if train.batch_size % (k * shares[1]) == 0
    ]


def _remat(setup: run_setup.Setup) -> list[str]:
    if setup.run.train.remat != 'none':
        return []
    unrolled = setup.platform == 'cpu' and not setup.run.model.scan_layers
    scan = ' --config.model.scan_layers=true' if unrolled else ''
    return [f'train.remat=block{scan}']


def _more_sharded(
    setup: run_setup.Setup, state: int, temporary_bytes: int
) -> list[tuple[str, float]]:
    """The state cut over all devices of a slice's data axis, if it is not yet."""
    data = setup.mesh.shape['data'] // mesh_lib.num_slices(setup.mesh)
    if data == 1:
        return []
    fsdp = data * setup.mesh.shape['fsdp']
    return [(f'mesh.fsdp={fsdp}', state / data + temporary_bytes)]


def _remedy(options: list[tuple[str, float]], free: int) -> str:
    """What to type; of several numbers of one field, the first that fits."""
    fitting: dict[str, str] = {}
    for option, needed in options:
        if option and needed <= _SURE * free:
            text = f'--config.{option} (about {disk_room.size(int(needed))})'
            fitting.setdefault(option.partition('=')[0], text)
    if not fitting:
        return (
            'Neither accumulation, remat nor mesh makes it fit here: take a smaller '
            'model or data.seq_len, or more or larger devices.'
        )
    return f'Give {" or ".join(fitting.values())}.'
