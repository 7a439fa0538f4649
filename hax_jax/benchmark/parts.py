"""The parts that launch.benchmark times, each as figures for one line of JSON."""

import dataclasses
import os
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import Any

import jax

from hax_jax.benchmark import measures, workloads
from hax_jax.config import schema
from hax_jax.devices import peaks
from hax_jax.runs import origin
from hax_jax.watch import profiling


def train(training: workloads.Training, *, repeats: int) -> dict[str, Any]:
    """Seconds of a step, and its share of the FLOP/s that a large product reaches."""
    setup = training.setup
    dtype = origin.compute_dtype(setup.run)
    size = 2048 if jax.default_backend() == 'cpu' else 8192
    peak = peaks.matmul_flops(dtype, size=size, repeats=repeats)
    peak *= setup.mesh.size
    step = measures.Spread.of([training.step() for _ in range(repeats)])
    positions = setup.run.train.batch_size * setup.run.data.seq_len
    return {
        'step_seconds': dataclasses.asdict(step),
        'positions_per_second': positions / step.median,
        'compile_seconds': training.compile_seconds,
        'matmul_flops_per_second': peak,
        'share_of_matmul_peak': measures.step_flops(setup) / step.median / peak,
        'peak_memory_bytes': workloads.peak_memory(),
    }


def profile(training: workloads.Training, folder: pathlib.Path) -> dict[str, Any]:
    """Traces 3 steps into the folder; the operations that take most of their time."""
    with jax.profiler.trace(str(folder)):
        for _ in range(3):
            training.step()
    shares = profiling.costliest(folder, count=25)
    return {'folder': str(folder), 'share_of_device_time': shares}


def evaluation(training: workloads.Training, *, repeats: int) -> dict[str, Any]:
    setup = training.setup
    seconds, compiled = measures.evaluation(setup, training.state, repeats=repeats)
    positions = setup.cache.num_rows('validation') * setup.run.data.seq_len
    return {
        'seconds': dataclasses.asdict(seconds),
        'positions_per_second': positions / seconds.median,
        'compile_seconds': compiled,
    }


def checkpoint(
    training: workloads.Training, folder: pathlib.Path, *, repeats: int
) -> dict[str, Any]:
    """Seconds to save and restore, at most 3 times."""
    times = measures.checkpointing(
        training.setup, training.state, folder, repeats=min(repeats, 3)
    )
    size = sum(x.nbytes for x in jax.tree.leaves(training.state.params))
    spreads = {name: dataclasses.asdict(spread) for name, spread in times.items()}
    return spreads | {'parameter_bytes': size}


def generate(
    run: schema.Config,
    batch_sizes: Iterable[int],
    *,
    prompt_tokens: int,
    new_tokens: int,
    repeats: int,
) -> Iterator[dict[str, Any]]:
    """Seconds of a batch of answers, at most 5 times for each size."""
    model = workloads.random_model(run.model, dtype=origin.compute_dtype(run))
    for batch_size in batch_sizes:
        generation = workloads.Generation(
            model,
            batch_size=batch_size,
            prompt_tokens=prompt_tokens,
            new_tokens=new_tokens,
        )
        seconds = measures.Spread.of([generation.run() for _ in range(min(repeats, 5))])
        yield {
            'batch_size': batch_size,
            'prompt_tokens': prompt_tokens,
            'new_tokens': new_tokens,
            'seconds': dataclasses.asdict(seconds),
            'new_tokens_per_second': batch_size * new_tokens / seconds.median,
            'compile_seconds': generation.compile_seconds - seconds.median,
        }


def startup(command: list[str]) -> dict[str, Any]:
    """Wall clock of a process that does one step, with an empty compile cache and full.

    `command` starts it.
    """
    seconds = []
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, 'JAX_COMPILATION_CACHE_DIR': compiled}
        for _ in range(3):
            begun = time.monotonic()
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, env=environment
            )
            seconds.append(time.monotonic() - begun)
    return {'cold': seconds[0], 'warm': seconds[1:]}
