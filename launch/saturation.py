"""Says whether more data would help, by training on parts of the data there is.

    python -m launch.saturation --config=configs/gpt2_lora.py \\
        --config.data.path=data/advice --config.model.pretrained=/path/to/gpt2 \\
        --output=saturation/advice

It trains on 1/8, 1/4, 1/2 and all of the train split (nested, by whole groups), each
part for as many tokens as the config's run, and on all with a second seed; draws the
law L(D) = E + A D^-alpha through the losses at each part's best step; and says what
twice and ten times the data would give. --tuned=FOLDER of `hax tune` weighs that
against what tuning gives.

Ctrl-C and --minutes stop it (exit codes 130 and 75); the same command goes on, and no
trial that has ended is trained again. --dry_run prints the plan and its time alone.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from typing import Any

from absl import flags

from hax_jax import errors, files
from hax_jax.program import entry, later, results
from launch import shared_flags, tuning_flags

with later.imports():
    from data_pipeline import dataset, pack
    from hax_jax.config import schema
    from hax_jax.data import dataset_folder, records, text
    from hax_jax.devices import runtime
    from hax_jax.planning import trials_time
    from hax_jax.report import figures
    from hax_jax.training import run_setup
    from hax_jax.tuning import page, part_runs, saturation, shares, trials
    from hax_jax.watch import text_plot, verdicts
    from launch import pair_groups, run_rows

shared_flags.CONFIG.define()
_OUTPUT, _MAX_STEPS, _MINUTES, _DRY_RUN = tuning_flags.define()
_TUNED = flags.DEFINE_string(
    'tuned', '', "The output of `hax tune`: a gain of data is weighed against tuning's."
)
_SEED = flags.DEFINE_integer('seed', 0, 'Which groups are in the parts.')
_SHARES = (0.125, 0.25, 0.5, 1.0)
_FEWEST = 3  # parts that a law of three numbers is drawn through


def main() -> int:
    run = shared_flags.CONFIG.value()
    found = errors.gathered(
        _check_flags, lambda: dataset_folder.read_manifest(run.data.path)
    )
    errors.refuse(found)  # before JAX is imported
    output, tuning = pathlib.Path(_OUTPUT.value), _tuning_gain()
    runtime.start()
    run, tokenizer, cache = run_rows.find(run)
    setup = run_setup.prepare(run, cache)
    chosen, notes = _chosen(run.data.path)
    steps = _steps(setup.num_steps, len(chosen))
    planned = part_runs.num_steps(len(chosen), steps)
    if steps < setup.num_steps:
        notes.append(
            f'each trial has {steps} steps, not the {setup.num_steps} of the config: '
            f'--max_steps={_MAX_STEPS.value}'
        )
    for note in notes:
        print(f'note: {note}')
    seconds, time = trials_time.of(
        setup,
        steps=planned,
        num_trials=len(chosen) + 1,
        evaluations=trials.EVALUATIONS + 1,
        num_programs=2,  # one for all parts, and one for the second seed
    )
    print(
        f'{len(chosen)} parts and a second seed, {steps:,} steps each: {planned:,} '
        f'steps, up to twice as many where parts are best before their end; {time}',
        flush=True,
    )
    if _DRY_RUN.value:
        results.give({'steps': planned, 'seconds': seconds})
        return 0
    caches = _caches(chosen, cache, run, tokenizer, output)
    done = trials.Trials(
        output, planned=planned, max_steps=_MAX_STEPS.value, minutes=_MINUTES.value
    )
    try:
        found = part_runs.train(
            done, run, caches, steps=steps, full_steps=setup.num_steps
        )
    except trials.StoppedEarlyError as error:
        return tuning_flags.stopped(error)
    diverged = [result.label for result in found.results if not result.pairs]
    if diverged:
        raise errors.InputError(
            f'no loss of {"; ".join(diverged)}: the trial diverged before its first '
            'evaluation. Lower --config.optimizer.learning_rate; hax tune finds one.'
        )
    fitted = saturation.find(
        found.measured,
        groups=pair_groups.of(run.data.path, 'validation'),
        noise=found.noise,
        tuning=tuning,
        unlearned=verdicts.unigram_entropy(cache),
    )
    _give(fitted, found, output, notes, run)
    return 0


def _steps(asked: int, num_parts: int) -> int:
    """The steps of a trial: the config's, or what --max_steps leaves each.

    Raises:
      InputError: --max_steps is not enough.
    """
    planned = part_runs.num_steps(num_parts, asked)
    if not _MAX_STEPS.value or _MAX_STEPS.value >= planned:
        return asked
    least = part_runs.num_steps(num_parts, tuning_flags.LEAST_STEPS)
    if _MAX_STEPS.value < least:
        raise errors.InputError(
            f'--max_steps={_MAX_STEPS.value} is not enough for {num_parts} parts and a '
            f'second seed; give {least} or more, {tuning_flags.LEAST_STEPS} for each.'
        )
    return _MAX_STEPS.value // (num_parts + 1)


def _check_flags() -> None:
    """Raises InputError, naming every flag that is wrong by itself."""
    found = errors.gathered(
        lambda: tuning_flags.check(_OUTPUT, _MAX_STEPS, _MINUTES, _DRY_RUN),
        _tuning_gain,
    )
    errors.refuse(found)


def _tuning_gain() -> float | None:
    """The gain in nats that `hax tune` found; None without --tuned."""
    if not _TUNED.value:
        return None
    path = pathlib.Path(_TUNED.value) / 'tune.json'
    try:
        gain = files.read_json_object(path).get('gain')
        why = f'{path} has no number as "gain"'
    except (OSError, ValueError) as error:
        gain, why = None, errors.cause(error)
    if type(gain) not in (int, float):
        raise errors.InputError(
            f'--tuned={_TUNED.value} is no output of hax tune ({why}); give the '
            '--output of one that has ended, or leave --tuned out.'
        )
    return float(gain)


def _chosen(path: str) -> tuple[dict[float, set[str]], list[str]]:
    """Share -> its groups of the train split; and notes.

    Raises:
      InputError: the pairs are not here, or are of too few groups.
    """
    sizes: dict[str, tuple[str, int]] = {}
    for pair in dataset.read_pairs(path, 'train'):
        source, size = sizes.get(pair.group, (records.kind(pair.source), 0))
        sizes[pair.group] = (source, size + len(pair.answer))
    chosen = shares.nested(sizes, _SHARES, seed=_SEED.value)
    kept: dict[float, set[str]] = {}
    for share, part in chosen.items():
        if part and part not in kept.values():
            kept[share] = part
    if len(kept) < _FEWEST:
        raise errors.InputError(
            f'{path} has {len(sizes)} groups in its train split, which make '
            f'{len(kept)} different parts; {_FEWEST} are the least that a law is drawn '
            'through. Build it with more text (data_pipeline.build --input=...).'
        )
    notes = [
        f'no part for the share of {share:.3g}: it has the groups of a smaller one, or '
        'none'
        for share in chosen.keys() - kept.keys()
    ]
    return kept, notes + shares.absent(sizes, kept)


def _caches(
    chosen: dict[float, set[str]],
    whole: records.PackedCache,
    run: schema.Config,
    tokenizer: text.Tokenizer,
    output: pathlib.Path,
) -> dict[float, records.PackedCache]:
    """Share -> its packed rows, under `output`; all of the data are there already."""
    caches = {1.0: whole}
    for share in sorted(chosen.keys() - {1.0}):
        key = records.sha256([sorted(chosen[share]), whole.fingerprint])[:8]
        folder = output / 'rows' / f'share-{share:.3g}-{key}'
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = pack.pack_part(folder, run.data, tokenizer, groups=chosen[share])
        caches[share] = records.open_cache(made)
        caches[share].verify()
    return caches


def _give(
    fitted: saturation.Saturation,
    found: part_runs.Found,
    output: pathlib.Path,
    notes: list[str],
    run: schema.Config,
) -> None:
    """Prints the verdict and the plot; writes page and JSON."""
    head = ('share', 'answer tokens', 'loss (95% interval)', 'best step', 'of')
    rows = [
        (f'{m.share:.3g}', f'{m.tokens:,}', str(loss), str(r.best_step), str(r.steps))
        for m, loss, r in zip(
            found.measured, fitted.losses, found.results[:-1], strict=True
        )
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print('  '.join(f'{c:<{w}}' for c, w in zip(row, widths, strict=True)).rstrip())
    lines = [
        fitted.sentence,
        *(
            f'{times:g} times the data: the loss falls by {gain}'
            for times, gain in fitted.gains.items()
        ),
        f'L(D) = E + A D^-alpha: E {fitted.E}, A {fitted.A:.4f}, alpha {fitted.alpha}, '
        'D in units of all the data; four points hold three numbers loosely, so the '
        'intervals count',
    ]
    if found.results[len(rows) - 1].best_step == found.results[len(rows) - 1].steps:
        lines.append(
            'all the data was best at its last step: more steps may lower the loss too'
        )
    if fitted.tuning is None:
        lines.append(
            'what tuning gives was not measured: hax tune with the same flags does, '
            'then --tuned=ITS_OUTPUT here'
        )
    x = [float(size) for size in fitted.sizes]
    ahead = [x[-1] * times for times in saturation.TIMES]
    told = [fitted.losses[-1].value - gain.value for gain in fitted.gains.values()]
    y = [loss.value for loss in fitted.losses]
    plot = text_plot.draw_log_x(
        [(x + ahead, y + told)], x_label='answer tokens', plain=not sys.stdout.isatty()
    )
    print(f'loss by answer tokens; the last two points are the law:\n{plot}')
    for line in lines:
        print(line)
    written = page.write(
        output / 'saturation.html',
        title=f'Would more data help? {fitted.verdict}',
        verdicts=lines[:3],
        curves=[('Loss by answer tokens', _figure(fitted, x, y, ahead, told))],
        tables=[page.Table('Parts', head, rows)],
        notes=[*lines[3:], *notes, f'dataset: {run.data.path}'],
    )
    made: dict[str, Any] = dataclasses.asdict(fitted) | {'page': str(written)}
    files.write_json(output / 'saturation.json', made)
    print(f'page: {written}', flush=True)
    results.give(made)


def _figure(
    fitted: saturation.Saturation,
    x: list[float],
    y: list[float],
    ahead: list[float],
    told: list[float],
) -> figures.Figure:
    gains = fitted.gains.values()
    last = fitted.losses[-1].value
    measured = page.points(
        'measured',
        x,
        y,
        low=[loss.low for loss in fitted.losses],
        high=[loss.high for loss in fitted.losses],
    )
    law = page.points(
        'by the law',
        ahead,
        told,
        low=[last - gain.high for gain in gains],
        high=[last - gain.low for gain in gains],
        colour=figures.COLOURS[1],
    )
    return page.log_x('nats per answer token', 'answer tokens', [measured, law])


if __name__ == '__main__':
    entry.run(
        main,
        prepare=shared_flags.CONFIG.check,
        check=_check_flags,
        smaller='lower --config.train.batch_size',
        in_one_process=True,
    )
