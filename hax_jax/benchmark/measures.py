"""How long a part of a run takes, and what a machine can do at most.

Times are of the wall clock, the devices waited for.
"""

import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from hax_jax.data import input_pipeline
from hax_jax.devices import mesh as mesh_lib
from hax_jax.evaluation import eval_step, evaluate
from hax_jax.guards import state_check
from hax_jax.model import param_tree
from hax_jax.runs import checkpoint, saved_steps
from hax_jax.training import run_setup
from hax_jax.training import train_state as ts
from hax_jax.watch import flops


@dataclasses.dataclass(frozen=True)
class Spread:
    """Seconds of repeated runs."""

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> 'Spread':
        return cls(statistics.median(seconds), min(seconds), max(seconds))


def timed(go: Callable[[], Any]) -> tuple[Any, float]:
    """(what `go` gives, which is waited for, its seconds)."""
    begun = time.monotonic()
    made = jax.block_until_ready(go())
    return made, time.monotonic() - begun


def seconds_of(go: Callable[[], Any]) -> float:
    """The time of one call of `go`, whose result is waited for."""
    return timed(go)[1]


def step_flops(setup: run_setup.Setup) -> float:
    """FLOPs of a train step on whole rows (flops.py), padding counted too."""
    abstract, run = setup.blueprint.state, setup.run
    trained, frozen = (
        {name: tuple(leaf.shape) for name, leaf in param_tree.named(tree).items()}
        for tree in (abstract.params, abstract.frozen)
    )
    length = run.data.seq_len
    each = flops.flops_per_token(
        trained, frozen, n_embd=run.model.n_embd, seq_len=length
    )
    return run.train.batch_size * length * each


def batches(setup: run_setup.Setup, *, reader: str) -> Iterator[dict[str, jax.Array]]:
    return iter(
        input_pipeline.train_batches(
            setup.cache,
            sharding=mesh_lib.batch_sharding(setup.mesh),
            batch_size=setup.run.train.batch_size,
            stream=setup.stream,
            num_batches=10**9,
            reader=reader,
        )
    )


def evaluation(
    setup: run_setup.Setup, state: ts.TrainState, *, repeats: int
) -> tuple[Spread, float]:
    """(seconds of a whole validation split, its compile time)."""
    step = eval_step.make_eval_step(setup.blueprint.model, mesh=setup.mesh)
    run = setup.run.train

    def go() -> evaluate.Evaluation:
        return evaluate.evaluate(
            lambda batch: step(state.params, state.frozen, batch),
            setup.cache,
            'validation',
            sharding=mesh_lib.batch_sharding(setup.mesh),
            batch_size=run.batch_size // run.grad_accum_steps,
        )

    with jax.set_mesh(setup.mesh):
        first = seconds_of(go)
        times = Spread.of([seconds_of(go) for _ in range(repeats)])
    return times, max(first - times.median, 0.0)


def input_rate(setup: run_setup.Setup, *, reader: str, num_batches: int) -> float:
    """Batches a second that a reader gives, when nothing else is done."""
    stream = batches(setup, reader=reader)
    next(stream)
    begun = time.monotonic()
    for _ in range(num_batches):
        jax.block_until_ready(next(stream))
    return num_batches / (time.monotonic() - begun)


def checkpointing(
    setup: run_setup.Setup, state: ts.TrainState, folder: pathlib.Path, *, repeats: int
) -> dict[str, Spread]:
    """Seconds of a checkpoint.

    `finite`: each number is looked at, which a save begins with; `blocked`: the state
    is copied off the devices, meanwhile nothing trains; `saved`: it is whole on disk,
    with its digests; `verified`: every byte is compared with them; `restored`.
    """
    finite, blocked, whole, verified, restored = [], [], [], [], []
    blueprint, step = setup.blueprint, int(state.step)
    for number in range(repeats):
        own = folder / str(number)
        with checkpoint.Checkpoints(own, keep_last=1) as checkpoints:
            begun = time.monotonic()
            state_check.not_finite((state.params, state.opt_state))
            finite.append(time.monotonic() - begun)
            begun = time.monotonic()
            checkpoints.save(step, ts.checkpointed(state), metadata={})
            blocked.append(time.monotonic() - begun)
            checkpoints.wait()
            whole.append(time.monotonic() - begun)
            begun = time.monotonic()
            saved, _ = saved_steps.first_whole(saved_steps.list_steps(own, ''))
            verified.append(time.monotonic() - begun)
            begun = time.monotonic()
            jax.block_until_ready(
                checkpoint.restore(saved.path, ts.checkpointed(blueprint.state))
            )
            restored.append(time.monotonic() - begun)
    return {
        'finite': Spread.of(finite),
        'blocked': Spread.of(blocked),
        'saved': Spread.of(whole),
        'verified': Spread.of(verified),
        'restored': Spread.of(restored),
    }
