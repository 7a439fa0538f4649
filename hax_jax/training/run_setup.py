"""A run before its first step: checked against its rows and its devices."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optax
from jax.sharding import Mesh

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import records, row_stream
from hax_jax.devices import memory, runtime, topology
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import attention, naming, param_tree
from hax_jax.runs import disk_room, origin
from hax_jax.training import optimizer
from hax_jax.training import train_state as ts
from hax_jax.watch import flops

_MOST_STEPS = 2**31 - 1  # a state counts them in an int32


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a run has trained: updates, and rows of the stream. A checkpoint stores it.

    `row_seed` is the seed of the epoch that row `rows` lies in, None before the first
    step. `skip` are the stream's rows that are left out (`row_stream.RowStream`). It
    `is_imported` where the parameters were trained elsewhere, as a run's that was
    compacted, and here not yet: there are no moments.
    """

    step: int = 0
    rows: int = 0
    row_seed: int | None = None
    skip: tuple[tuple[int, int], ...] = ()
    is_imported: bool = False

    def to_metadata(self) -> dict[str, Any]:
        """The fields of a checkpoint's metadata; the step is the checkpoint's own."""
        skip = [list(each) for each in self.skip]
        return {'rows': self.rows, 'row_seed': self.row_seed, 'skip': skip}


@dataclasses.dataclass(frozen=True)
class Setup:
    """A run before its first step: known without touching a weight.

    `begin` is what the run has trained before this call, `num_steps` the steps of the
    whole run. `attention_reason` says why the blueprint has its attention.
    `described` are the devices of a run that is only planned.
    """

    run: schema.Config
    cache: records.PackedCache
    mesh: Mesh
    schedule: optax.Schedule
    blueprint: ts.Blueprint
    num_steps: int
    begin: Progress
    attention_reason: str
    described: topology.Topology | None = None

    @property
    def average_weight(self) -> Callable[[Any], Any] | None:
        """Of a step in the weights' average; None where there is no average."""
        return optimizer.average_weight(self.run.train, num_steps=self.num_steps)

    @property
    def platform(self) -> str:
        return self.mesh.devices.flat[0].platform

    @property
    def free_memory(self) -> int | None:
        """Bytes that are free on a device; None where that is not known."""
        return _free(self.mesh, self.described)

    @property
    def flops_per_token(self) -> float:
        trained, frozen = (
            {name: tuple(leaf.shape) for name, leaf in param_tree.named(tree).items()}
            for tree in (self.blueprint.state.params, self.blueprint.state.frozen)
        )
        return flops.flops_per_token(
            trained, frozen, n_embd=self.run.model.n_embd, seq_len=self.run.data.seq_len
        )

    @property
    def microbatch_size(self) -> int:
        """Rows that are computed together."""
        return self.run.train.batch_size // self.run.train.grad_accum_steps

    @property
    def stream(self) -> row_stream.RowStream:
        """The rows that this call trains."""
        return _stream(self.run, self.cache, self.begin)

    def rows_of(self, step: int) -> np.ndarray:
        """The rows [B] of the train split that step number `step` of this call has."""
        return self.stream.batch(step - 1 - self.begin.step, self.run.train.batch_size)

    def skip_with(self, step: int) -> tuple[tuple[int, int], ...]:
        """The rows of the stream that are left out once those of a step are, too.

        The last range is that of the step, and of what was left out within it.
        """
        size = self.run.train.batch_size
        before = (step - 1 - self.begin.step) * size
        first = self.stream.consumed(before)
        last = self.stream.consumed(before + size) - 1
        others = [each for each in self.begin.skip if not first <= each[0] <= last]
        return (*others, (first, last))

    def progress(self, step: int) -> Progress:
        """What the run has trained once this call has done step number `step`."""
        stream = self.stream
        count = (step - self.begin.step) * self.run.train.batch_size
        rows = stream.consumed(count)
        return Progress(step, rows, stream.seed_at(rows), self.begin.skip)


def prepare(
    run: schema.Config,
    cache: records.PackedCache,
    *,
    begin: Progress | None = None,
    described: topology.Topology | None = None,
) -> Setup:
    """Checks a config (sizes resolved) against the cache and the devices.

    A run that goes on has trained `begin` already. With `described` devices none of
    this machine is asked for.

    Raises:
      InputError: the run can't be trained, said before anything slow starts.
    """
    if run.data.seq_len != cache.seq_len:
        raise errors.InputError(
            f'data.seq_len={run.data.seq_len}, but {cache.path} has rows of '
            f'{cache.seq_len}; pack the dataset again.'
        )
    mesh = mesh_lib.make_mesh(run.mesh, described and described.devices)
    platform = mesh.devices.flat[0].platform
    _check_remat(run, platform)
    _check_parameters(run, mesh, _free(mesh, described))
    begin = begin or Progress()
    num_steps = _num_steps(run, cache, begin)
    dtype = origin.compute_dtype(run, platform=platform)
    choice = attention.resolve(
        run.model.attention,
        seq_len=run.data.seq_len,
        head_dim=run.model.n_embd // run.model.n_head,
        attn_pdrop=run.model.attn_pdrop,
        compute_dtype=dtype,
        device=mesh.devices.flat[0],
    )
    blueprint = ts.make_blueprint(
        dataclasses.replace(run.model, attention=choice.name),
        run.lora,
        optimizer.make_optimizer(run.optimizer, num_steps=num_steps),
        compute_dtype=dtype,
        mesh=mesh,
        param_dtype=run.train.param_dtype,
        remat=run.train.remat,
        lr_multipliers=run.optimizer.lr_multipliers,
        average=run.train.average != 'off',
    )
    schedule = optimizer.schedule(run.optimizer, num_steps=num_steps)
    setup = Setup(
        run,
        cache,
        mesh,
        schedule,
        blueprint,
        num_steps,
        begin,
        choice.reason,
        described,
    )
    mesh_lib.check_batch_size(
        mesh, setup.microbatch_size, field='train.batch_size / train.grad_accum_steps'
    )
    return setup


def beginning_at(setup: Setup, begin: Progress) -> Setup:
    """`setup`, made again if it is of a run that has trained another part."""
    if begin == setup.begin:
        return setup
    return prepare(setup.run, setup.cache, begin=begin, described=setup.described)


def _free(mesh: Mesh, described: topology.Topology | None) -> int | None:
    return described.memory_bytes if described else memory.free(mesh.local_devices[0])


def _check_parameters(run: schema.Config, mesh: Mesh, free: int | None) -> None:
    """Raises InputError if the parameters alone do not fit: in a second, by their size.

    Making the blueprint of a model of hundreds of blocks takes minutes.
    """
    count = sum(map(math.prod, naming.parameter_shapes(run.model).values()))
    needed = count * (2 if run.train.param_dtype == 'bfloat16' else 4)
    needed //= mesh.shape['fsdp'] * mesh.shape['tensor']
    if free is not None and needed > free:
        raise errors.InputError(
            f'the model has {count:,} parameters, {disk_room.size(needed)} on each '
            f'device, and {disk_room.size(free)} are free; lower '
            '--config.model.n_layer, n_embd or vocab_size, or cut them over more '
            'devices with --config.mesh.fsdp.'
        )


def _check_remat(run: schema.Config, platform: str) -> None:
    on_cpu = platform == 'cpu'
    if on_cpu and run.train.remat != 'none' and not run.model.scan_layers:
        raise errors.InputError(
            f'train.remat={run.train.remat!r} has no effect on a CPU where layers are '
            'unrolled, as XLA merges the recomputation with the first pass; give '
            '--config.model.scan_layers=true, or --config.train.remat=none.'
        )


def rows_asked(run: schema.Config, cache: records.PackedCache) -> int:
    """The rows of the stream in `train.num_epochs`; 0 where `num_steps` is set."""
    return math.ceil(run.train.num_epochs * cache.num_rows('train'))


def _stream(
    run: schema.Config, cache: records.PackedCache, begin: Progress
) -> row_stream.RowStream:
    return row_stream.RowStream(
        num_rows=cache.num_rows('train'),
        seed=run.train.seed,
        start=begin.rows,
        begun_seed=begin.row_seed,
        skip=begin.skip,
    )


def _num_steps(run: schema.Config, cache: records.PackedCache, begin: Progress) -> int:
    """The steps of the whole run: `num_steps`, or what the rows left make.

    The last batch of `num_epochs` is filled with the next epoch's first rows.
    """
    left = _stream(run, cache, begin).left(rows_asked(run, cache))
    num_steps = run.train.num_steps or begin.step + -(-left // run.train.batch_size)
    if num_steps > _MOST_STEPS:
        raise errors.InputError(
            f'train.num_steps={run.train.num_steps} and train.num_epochs='
            f'{run.train.num_epochs} make {num_steps} steps; use {_MOST_STEPS} at '
            'most.'
        )
    traced = schema.profile_range(run.train.profile_steps)
    if traced and traced[1] > num_steps:
        raise errors.InputError(
            f'train.profile_steps={run.train.profile_steps!r} reaches past the '
            f'{num_steps} steps of the run; name steps of it, or train longer.'
        )
    return num_steps


def environment(setup: Setup) -> dict[str, Any]:
    """The facts that bit-equal continuation needs; each checkpoint stores them."""
    model = setup.blueprint.model
    return {
        **runtime.environment(),
        'compute_dtype': model.compute_dtype,
        'attention': model.config.attention,
        'mesh': dict(setup.mesh.shape),
    }
