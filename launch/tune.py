"""Finds a learning rate and other settings by short runs, and writes a config of them.

    python -m launch.tune --config=configs/gpt2_lora.py \\
        --config.data.path=data/advice --config.model.pretrained=/path/to/gpt2 \\
        --output=tuned/advice
    python -m launch.train --config=tuned/advice/recommended.py --workdir=runs/tuned

A range test raises the learning rate step by step, on a copy of the start; short runs
then sweep the rate, and at the best one weight decay, the weight of questions and the
number of epochs. Half of the values go on to the next, longer rung. A value replaces
the config's only if it is better pair by pair, by more than a second seed moves the
loss; else the config's stays, and a line says so.

Ctrl-C and --minutes stop it (exit codes 130 and 75); the same command goes on, and no
trial that has ended is trained again. --max_steps makes trials shorter. --dry_run
prints the plan and its time alone.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import shlex
import sys

from absl import flags

from hax_jax import errors, files
from hax_jax.config import convert, schema
from hax_jax.program import entry, later, progress, results
from launch import shared_flags, tuning_flags

with later.imports():
    from data_pipeline import pack
    from hax_jax.data import dataset_folder, records
    from hax_jax.devices import runtime
    from hax_jax.planning import trials_time
    from hax_jax.report import figures
    from hax_jax.training import run_setup
    from hax_jax.tuning import page, range_test, recommended, search, sweep, trials
    from hax_jax.watch import text_plot
    from launch import pair_groups, run_rows

shared_flags.CONFIG.define()
_OUTPUT, _MAX_STEPS, _MINUTES, _DRY_RUN = tuning_flags.define()
_RANGE_STEPS = flags.DEFINE_integer('range_steps', 100, 'Steps of the range test.')
_MOST_RANGE = 500
_RATE_RUNS = 6.75  # full trials of the sweep of rates, at most: sweep.num_runs


def main() -> int:
    given = shared_flags.CONFIG.value()
    found = errors.gathered(
        _check_flags, lambda: dataset_folder.read_manifest(given.data.path)
    )
    errors.refuse(found)  # before JAX is imported
    output = pathlib.Path(_OUTPUT.value)
    runtime.start()
    run, tokenizer, cache = run_rows.find(given)
    setup = run_setup.prepare(run, cache)
    plan, steps = _plan(setup)
    if _DRY_RUN.value:
        return 0
    tested = _range(setup, output)
    stages = sweep.stages(
        rate=run.optimizer.learning_rate,
        suggested=tested.choice.rate,
        decay=run.optimizer.weight_decay,
        question_weight=run.data.question_weight,
    )[: len(plan)]
    done = trials.Trials(
        output, planned=round(steps * sweep.num_runs(stages)), minutes=_MINUTES.value
    )

    def rows_of(data: schema.DataConfig) -> records.PackedCache:
        return records.open_cache(pack.ensure_packed(data, tokenizer))

    try:
        found = search.Search(
            train=done.run,
            run=run,
            rows_of=rows_of,
            groups=pair_groups.of(run.data.path, 'validation'),
            steps=steps,
            full_steps=setup.num_steps,
        ).over(stages)
    except trials.StoppedEarlyError as error:
        return tuning_flags.stopped(error)
    _give(given, found, tested, output)
    return 0


def _check_flags() -> None:
    """Raises InputError, naming every flag that is wrong by itself."""
    found = errors.gathered(
        lambda: tuning_flags.check(_OUTPUT, _MAX_STEPS, _MINUTES, _DRY_RUN)
    )
    if not 10 <= _RANGE_STEPS.value <= _MOST_RANGE:
        found.append(
            f'--range_steps={_RANGE_STEPS.value} is not accepted; use 10 to '
            f'{_MOST_RANGE}.'
        )
    least = math.ceil(tuning_flags.LEAST_STEPS * _RATE_RUNS) + _RANGE_STEPS.value
    if 0 < _MAX_STEPS.value < least:
        steps = int(max(_MAX_STEPS.value - _RANGE_STEPS.value, 0) / _RATE_RUNS)
        found.append(
            f'--max_steps={_MAX_STEPS.value} makes trials of {steps} steps, and each '
            f'needs {tuning_flags.LEAST_STEPS}; give {least} or more.'
        )
    errors.refuse(found)


def _stages(run: schema.Config) -> list[sweep.Stage]:
    """The stages of a plan: their rates are as many as can be."""
    rate = run.optimizer.learning_rate
    return sweep.stages(
        rate=rate,
        suggested=rate * 100,  # far away, so that no candidate is the config's
        decay=run.optimizer.weight_decay,
        question_weight=run.data.question_weight,
    )


def _plan(setup: run_setup.Setup) -> tuple[list[sweep.Stage], int]:
    """The stages and the steps of a full trial, printed."""
    stages, steps = sweep.affordable(
        _stages(setup.run),
        setup.num_steps,
        max(_MAX_STEPS.value - _RANGE_STEPS.value, 1) if _MAX_STEPS.value else 0,
    )
    total = round(steps * sweep.num_runs(stages)) + _RANGE_STEPS.value
    names = ', '.join(stage.field for stage in stages)
    count = sweep.num_trials(stages)
    seconds, time = trials_time.of(
        setup,
        steps=total,
        num_trials=count,
        evaluations=trials.EVALUATIONS + 1,
        num_programs=count,
    )
    if steps < setup.num_steps:
        print(
            f'note: a full trial has {steps} steps, not the {setup.num_steps} of the '
            f'config: --max_steps={_MAX_STEPS.value}. The best rate of a longer run is '
            'often lower, and epochs are not tried'
        )
    print(
        f'a range test of {_RANGE_STEPS.value} steps, then {names}; full trials of '
        f'{steps:,} steps: {total:,} steps in {count} trials at most; {time}',
        flush=True,
    )
    results.give({'steps': total, 'seconds': seconds})
    return stages, steps


@dataclasses.dataclass(frozen=True)
class _Tested:
    rates: list[float]
    losses: list[float]
    choice: range_test.Choice


def _range(setup: run_setup.Setup, output: pathlib.Path) -> _Tested:
    """The range test, made now unless it is in `output`; printed with its plot."""
    what = [convert.to_dict(setup.run), setup.cache.fingerprint, _RANGE_STEPS.value]
    path = output / 'trials' / f'range-{records.sha256(what)[:8]}.json'
    if path.exists():
        row = files.read_json_object(path)
        rates, losses = row['rates'], row['losses']
        losses = [math.nan if loss is None else loss for loss in losses]
    else:
        with progress.Progress('range test', _RANGE_STEPS.value, 'step') as shown:
            rates, losses = range_test.run(
                setup,
                steps=_RANGE_STEPS.value,
                on_step=lambda loss: shown.add(1, f'loss {loss:.4f}'),
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [loss if math.isfinite(loss) else None for loss in losses]
        files.write_json(path, {'rates': rates, 'losses': kept})
    choice = range_test.choose(rates, losses)
    finite = [loss for loss in losses if math.isfinite(loss)]
    plot = text_plot.draw_log_x(
        [(rates[: len(finite)], range_test.smoothed(finite))],
        x_label='rate',
        plain=not sys.stdout.isatty(),
    )
    end = f'diverged at {choice.diverged:.2g}' if choice.diverged else 'did not diverge'
    print(
        f'range test, smoothed training loss by rate:\n{plot}\nlowest at '
        f'{choice.at_lowest:.2g}, {end}; a sweep around {choice.rate:.2g}, a tenth of '
        'the lowest',
        flush=True,
    )
    return _Tested(rates, losses, choice)


def _give(
    given: schema.Config, found: search.Found, tested: _Tested, output: pathlib.Path
) -> None:
    """Writes the config, the page and the JSON; prints the verdict."""
    config = output / 'recommended.py'
    lines = [found.sentence, *(each.sentence for each in found.decisions)]
    made = sweep.recommended(given, found.values)
    said = [f'Recommended by hax tune: {found.sentence}.', *lines[1:]]
    files.write_text(config, recommended.text(made, said=said))
    rows = [
        (field, f'{value:g}', f'{each.loss:.4f}', str(each.best_step), str(each.steps))
        for field, last in found.tried
        for value, each in sorted(last.items())
    ]
    written = page.write(
        output / 'tune.html',
        title='What tuning gives',
        verdicts=lines,
        curves=_curves(found, tested),
        tables=[
            page.Table(
                'Trials of the last rung of each stage',
                ('field', 'value', 'loss', 'best step', 'of'),
                rows,
            )
        ],
        notes=[
            f'two seeds are {found.noise:.4f} nats per answer token apart',
            f'dataset: {given.data.path}',
        ],
    )
    told = {
        'gain': found.gain,
        'noise': found.noise,
        'values': found.values,
        'decisions': [dataclasses.asdict(each) for each in found.decisions],
        'range': dataclasses.asdict(tested.choice),
        'config': str(config),
        'page': str(written),
    }
    files.write_json(output / 'tune.json', told)
    print('\n'.join(lines))
    print(
        f'page: {written}\nnext: python -m launch.train '
        f'--config={shlex.quote(str(config))} --workdir=runs/tuned',
        flush=True,
    )
    results.give(told)


def _curves(found: search.Found, tested: _Tested) -> list[tuple[str, figures.Figure]]:
    """The page's figures: the range test, and the rates of the last rung."""
    finite = [loss for loss in tested.losses if math.isfinite(loss)]
    at = tested.rates[: len(finite)]
    range_test_points = [
        page.points('smoothed', at, range_test.smoothed(finite)),
        page.points('step', at, finite, mode='markers', colour='#999999'),
    ]
    swept = {v: r.loss for v, r in found.tried[0][1].items() if math.isfinite(r.loss)}
    rates = sorted(swept)
    trial_points = [page.points('trials', rates, [swept[rate] for rate in rates])]
    return [
        (
            'Range test: training loss by learning rate',
            page.log_x('nats per unit of weight', 'learning rate', range_test_points),
        ),
        (
            'Last rung: validation loss by learning rate',
            page.log_x('nats per answer token', 'learning rate', trial_points),
        ),
    ]


if __name__ == '__main__':
    entry.run(
        main,
        prepare=shared_flags.CONFIG.check,
        check=_check_flags,
        smaller='lower --config.train.batch_size',
        in_one_process=True,
    )
