"""Times each part of a run on synthetic packed rows, and prints one JSON line each.

    python -m launch.benchmark --config=tests/benchmarks/gpt2_124m.py
    python -m launch.benchmark --config=tests/benchmarks/gpt2_124m.py --only=train \\
        --config.data.seq_len=1024 --config.train.batch_size=2

Weights and tokens are random, so any config whose sizes are known can be timed:
model.pretrained gives sizes alone. The first line says what machine it is.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import jax
from absl import flags

from hax_jax import errors
from hax_jax.benchmark import benchmark, timing
from hax_jax.config import convert, schema
from hax_jax.data import records
from hax_jax.devices import runtime
from hax_jax.program import entry
from hax_jax.runs import run_folder
from hax_jax.training import run_setup
from hax_jax.watch import profiling
from launch import flags as launch_flags

PARTS = ('train', 'evaluation', 'generation', 'input', 'checkpoint', 'startup')

_NO_DATA = '--config.data.path=synthetic'

launch_flags.CONFIG.define()
_ONLY = flags.DEFINE_list(
    'only', [], f'Parts to time, of {", ".join(PARTS)}; by default all.'
)
_REPEATS = flags.DEFINE_integer(
    'repeats', 10, 'Timed runs of each part, after one that is not timed.'
)
_WHOLE_ROWS = flags.DEFINE_bool(
    'whole_rows', False, 'Rows of one segment each, instead of packed letters.'
)
_BATCH_SIZES = flags.DEFINE_list(
    'generation_batch_sizes', ['1', '8'], 'Batch sizes of generation.'
)
_PROMPT = flags.DEFINE_integer(
    'prompt_tokens', 64, 'Tokens of each prompt in generation.'
)
_NEW = flags.DEFINE_integer('new_tokens', 128, 'Tokens of each answer in generation.')
_PROFILE = flags.DEFINE_string(
    'profile',
    '',
    'A folder for a trace of 3 steps; what they spend most on is printed.',
)
_FIRST_STEP = flags.DEFINE_string(
    'first_step',
    '',
    'For the startup part: its processes do one step on this packed cache.',
)


def main() -> None:
    batch_sizes = _check()
    run = benchmark.with_sizes(launch_flags.CONFIG.value())
    _check_room(run)
    runtime.start()
    if _FIRST_STEP.value:
        _first_step(run, pathlib.Path(_FIRST_STEP.value))
        return
    _print('machine', runtime.environment() | {'config': convert.to_dict(run)})
    wanted = _ONLY.value or list(PARTS)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        cache = benchmark.synthetic_cache(
            folder / 'cache',
            run,
            num_rows=4 * run.train.batch_size,
            whole_rows=_WHOLE_ROWS.value,
        )
        setup = run_setup.prepare(run, cache)
        if {'train', 'evaluation', 'checkpoint'} & set(wanted) or _PROFILE.value:
            _training(setup, folder, wanted)
        if 'generation' in wanted:
            _generation(run, batch_sizes)
        if 'input' in wanted:
            for reader in schema.READERS:
                rate = timing.input_rate(setup, reader=reader, num_batches=200)
                _print('input', {'reader': reader, 'batches_per_second': rate})
        if 'startup' in wanted:
            _startup(cache.path)


def _check() -> list[int]:
    """The batch sizes of generation. Raises InputError for each flag that is wrong."""
    problems = [
        f'--only={name} is not a part; use some of {", ".join(PARTS)}.'
        for name in _ONLY.value
        if name not in PARTS
    ]
    problems += launch_flags.under_one(_REPEATS, _PROMPT, _NEW)
    sizes = _BATCH_SIZES.value
    problems += [
        f'--generation_batch_sizes: {size!r} is not an integer from 1 on.'
        for size in sizes
        if not size.isdigit() or int(size) < 1
    ]
    if problems:
        raise errors.InputError('\n'.join(problems))
    if _PROFILE.value:  # JAX would refuse it only after the timing
        pathlib.Path(_PROFILE.value).mkdir(parents=True, exist_ok=True)
    return [int(size) for size in sizes]


def _prepare(argv: list[str]) -> list[str]:
    """As `launch_flags.CONFIG.check`; no dataset is read, so none has to be named."""
    named = any(a.lstrip('-').startswith('config.data.path') for a in argv)
    return launch_flags.CONFIG.check(argv if named else [*argv, _NO_DATA])


def _check_room(run: schema.Config) -> None:
    asked, room = _PROMPT.value + _NEW.value, run.model.n_positions
    if asked > room and 'generation' in (_ONLY.value or PARTS):
        raise errors.InputError(
            f'--prompt_tokens={_PROMPT.value} and --new_tokens={_NEW.value} are over '
            f'the {room} positions of the model; lower them.'
        )


def _training(setup: run_setup.Setup, folder: pathlib.Path, wanted: list[str]) -> None:
    run, repeats = setup.run, _REPEATS.value
    positions = run.train.batch_size * run.data.seq_len
    training = benchmark.Training(setup)
    if 'train' in wanted:
        size = 2048 if jax.default_backend() == 'cpu' else 8192
        peak = timing.matmul_flops(setup.compute_dtype, size=size, repeats=repeats)
        peak *= setup.mesh.size
        step = timing.Spread.of([training.step() for _ in range(repeats)])
        flops = timing.step_flops(setup)
        values = {
            'step_seconds': dataclasses.asdict(step),
            'positions_per_second': positions / step.median,
            'compile_seconds': training.compile_seconds,
            'matmul_flops_per_second': peak,
            'share_of_matmul_peak': flops / step.median / peak,
            'peak_memory_bytes': benchmark.peak_memory(),
        }
        _print('train', values)
    if _PROFILE.value:
        _profile(training, pathlib.Path(_PROFILE.value))
    if 'evaluation' in wanted:
        seconds, compiled = timing.evaluation(setup, training.state, repeats=repeats)
        rows = setup.cache.num_rows('validation')
        _print(
            'evaluation',
            {
                'seconds': dataclasses.asdict(seconds),
                'positions_per_second': rows * run.data.seq_len / seconds.median,
                'compile_seconds': compiled,
            },
        )
    if 'checkpoint' in wanted:
        size = sum(x.nbytes for x in jax.tree.leaves(training.state.params))
        times = timing.checkpointing(
            setup, training.state, folder / 'checkpoints', repeats=min(repeats, 3)
        )
        _print(
            'checkpoint',
            {name: dataclasses.asdict(spread) for name, spread in times.items()}
            | {'parameter_bytes': size},
        )


def _profile(training: benchmark.Training, folder: pathlib.Path) -> None:
    with jax.profiler.trace(str(folder)):
        for _ in range(3):
            training.step()
    shares = profiling.costliest(folder, count=25)
    _print('profile', {'folder': str(folder), 'share_of_device_time': shares})


def _generation(run: schema.Config, batch_sizes: list[int]) -> None:
    model = benchmark.random_model(run.model, dtype=run_folder.compute_dtype(run))
    for batch_size in batch_sizes:
        generation = benchmark.Generation(
            model,
            batch_size=batch_size,
            prompt_tokens=_PROMPT.value,
            new_tokens=_NEW.value,
        )
        repeats = min(_REPEATS.value, 5)
        seconds = timing.Spread.of([generation.run() for _ in range(repeats)])
        _print(
            'generation',
            {
                'batch_size': batch_size,
                'prompt_tokens': _PROMPT.value,
                'new_tokens': _NEW.value,
                'seconds': dataclasses.asdict(seconds),
                'new_tokens_per_second': batch_size * _NEW.value / seconds.median,
                'compile_seconds': generation.compile_seconds - seconds.median,
            },
        )


def _first_step(run: schema.Config, cache: pathlib.Path) -> None:
    """From a start to a finished step, as launch.train does it."""
    setup = run_setup.prepare(run, records.open_cache(cache))
    training = benchmark.Training(setup, reader=run.data.reader)
    _print('first_step', {'compile_seconds': training.compile_seconds})


def _startup(cache: pathlib.Path) -> None:
    """Wall clock of processes that do one step: the first fills a compile cache."""
    for reader in schema.READERS:
        command = [
            sys.executable,
            '-m',
            'launch.benchmark',
            *[a for a in sys.argv[1:] if a.startswith('--config')],
            f'--config.data.reader={reader}',
            f'--first_step={cache}',
        ]
        seconds = []
        with tempfile.TemporaryDirectory() as compiled:
            environment = {**os.environ, 'JAX_COMPILATION_CACHE_DIR': compiled}
            for _ in range(3):
                begun = time.monotonic()
                subprocess.run(
                    command, check=True, stdout=subprocess.DEVNULL, env=environment
                )
                seconds.append(time.monotonic() - begun)
        _print('startup', {'reader': reader, 'cold': seconds[0], 'warm': seconds[1:]})


def _print(part: str, values: dict[str, Any]) -> None:
    print(json.dumps({'benchmark': part, **values}), flush=True)


if __name__ == '__main__':
    entry.run(main, prepare=_prepare)
