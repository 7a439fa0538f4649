"""Times each part of a run on synthetic packed rows, and prints one JSON line each.

    python -m launch.benchmark --config=tests/benchmarks/gpt2_124m.py
    python -m launch.benchmark --config=tests/benchmarks/gpt2_124m.py --only=train \\
        --config.data.seq_len=1024 --config.train.batch_size=2

Weights and tokens are random, so any config whose sizes are known can be timed:
model.pretrained gives sizes alone. The first line says what machine it is.
"""

from __future__ import annotations

import json
import pathlib
import sys
import tempfile
from typing import Any

from absl import flags

from hax_jax import errors
from hax_jax.config import convert, schema
from hax_jax.program import entry, later, results
from launch import shared_flags

with later.imports():
    from hax_jax.benchmark import measures, parts, workloads
    from hax_jax.data import records
    from hax_jax.devices import runtime
    from hax_jax.training import run_setup

PARTS = ('train', 'evaluation', 'generation', 'input', 'checkpoint', 'startup')

_NO_DATA = '--config.data.path=synthetic'

shared_flags.CONFIG.define()
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
    'A folder for a trace of 3 steps; the costliest operations are printed.',
)
_FIRST_STEP = flags.DEFINE_string(
    'first_step',
    '',
    'For the startup part: its processes do one step on this packed cache.',
)


_RESULT: list[dict[str, Any]] = []  # for --json


def main() -> None:
    batch_sizes = _check()
    run = workloads.with_sizes(shared_flags.CONFIG.value())
    _check_room(run)
    runtime.start()
    if _FIRST_STEP.value:
        _first_step(run, pathlib.Path(_FIRST_STEP.value))
        return
    _print('machine', runtime.environment() | {'config': convert.to_dict(run)})
    wanted = _ONLY.value or list(PARTS)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        cache = workloads.synthetic_cache(
            folder / 'cache',
            run,
            num_rows=4 * run.train.batch_size,
            whole_rows=_WHOLE_ROWS.value,
        )
        setup = run_setup.prepare(run, cache)
        if {'train', 'evaluation', 'checkpoint'} & set(wanted) or _PROFILE.value:
            _training(setup, folder, wanted)
        if 'generation' in wanted:
            for figures in parts.generate(
                run,
                batch_sizes,
                prompt_tokens=_PROMPT.value,
                new_tokens=_NEW.value,
                repeats=_REPEATS.value,
            ):
                _print('generation', figures)
        if 'input' in wanted:
            for reader in schema.READERS:
                if reader == 'tf_data':
                    import tensorflow  # noqa: F401 (else NumPy reads meanwhile)
                rate = measures.input_rate(setup, reader=reader, num_batches=200)
                _print('input', {'reader': reader, 'batches_per_second': rate})
        for reader in schema.READERS if 'startup' in wanted else ():
            _print('startup', _startup(cache.path, reader))


def _check() -> list[int]:
    """The batch sizes of generation. Raises InputError for each flag that is wrong."""
    problems = [
        f'--only={name} is not a part; use some of {", ".join(PARTS)}.'
        for name in _ONLY.value
        if name not in PARTS
    ]
    problems += shared_flags.no_sizes(_REPEATS, _PROMPT, _NEW)
    sizes = _BATCH_SIZES.value
    problems += [
        f'--generation_batch_sizes: {size!r} is not an integer from 1 on.'
        for size in sizes
        if not size.isdigit() or int(size) < 1
    ]
    errors.refuse(problems)
    if _PROFILE.value:  # JAX would refuse it only after the timing
        pathlib.Path(_PROFILE.value).mkdir(parents=True, exist_ok=True)
    return [int(size) for size in sizes]


def _prepare(argv: list[str]) -> list[str]:
    """As `shared_flags.CONFIG.check`; no dataset is read, so none has to be named."""
    named = any(a.lstrip('-').startswith('config.data.path') for a in argv)
    return shared_flags.CONFIG.check(argv if named else [*argv, _NO_DATA])


def _check_room(run: schema.Config) -> None:
    asked, room = _PROMPT.value + _NEW.value, run.model.n_positions
    if asked > room and 'generation' in (_ONLY.value or PARTS):
        raise errors.InputError(
            f'--prompt_tokens={_PROMPT.value} and --new_tokens={_NEW.value} are over '
            f'the {room} positions of the model; lower them.'
        )


def _training(setup: run_setup.Setup, folder: pathlib.Path, wanted: list[str]) -> None:
    repeats = _REPEATS.value
    training = workloads.Training(setup)
    if 'train' in wanted:
        _print('train', parts.train(training, repeats=repeats))
    if _PROFILE.value:
        _print('profile', parts.profile(training, pathlib.Path(_PROFILE.value)))
    if 'evaluation' in wanted:
        _print('evaluation', parts.evaluation(training, repeats=repeats))
    if 'checkpoint' in wanted:
        saved = folder / 'checkpoints'
        _print('checkpoint', parts.checkpoint(training, saved, repeats=repeats))


def _first_step(run: schema.Config, cache: pathlib.Path) -> None:
    """From a start to a finished step, as launch.train does it."""
    setup = run_setup.prepare(run, records.open_cache(cache))
    training = workloads.Training(setup, reader=run.data.reader)
    _print('first_step', {'compile_seconds': training.compile_seconds})


def _startup(cache: pathlib.Path, reader: str) -> dict[str, Any]:
    config = [a for a in sys.argv[1:] if a.startswith('--config')]
    command = [sys.executable, '-m', 'launch.benchmark', *config]
    command += [f'--config.data.reader={reader}', f'--first_step={cache}']
    return {'reader': reader, **parts.startup(command)}


def _print(part: str, values: dict[str, Any]) -> None:
    print(json.dumps({'benchmark': part, **values}), flush=True)
    _RESULT.append({'benchmark': part, **values})
    results.give({'parts': _RESULT})


if __name__ == '__main__':
    entry.run(
        main,
        prepare=_prepare,
        in_one_process=True,
        smaller='lower --config.train.batch_size, or raise '
        '--config.train.grad_accum_steps',
    )
