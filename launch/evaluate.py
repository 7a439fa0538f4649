"""Evaluates a model on a whole split, or compares two, pair by pair.

    python -m launch.evaluate --workdir=runs/lora
    python -m launch.evaluate --pretrained=/path/to/gpt2 --data=data/advice --split=test
    python -m launch.evaluate --workdir=runs/full --workdir=runs/lora --output=both.json
    python -m launch.evaluate --workdir=runs/lora --step=500 --step=1000

Of two models A is the first, and the pretrained one where there is a run beside it; the
difference is taken pair by pair, with its 95% interval. A run is read at its best step,
with its own dataset, unless --step or --data says otherwise.
"""

import dataclasses
import pathlib
from typing import Any

import jax
from absl import flags

from hax_jax import errors, files
from hax_jax.data import records
from hax_jax.devices import runtime
from hax_jax.evaluation import paired, scorer
from hax_jax.program import entry, output_file, progress
from launch import evaluation_rows, score_table
from launch import flags as launch_flags

_WORKDIR = flags.DEFINE_multi_string(
    'workdir', [], "A run's folder. May be given twice."
)
_PRETRAINED = flags.DEFINE_multi_string(
    'pretrained', [], 'A Hugging Face folder or hub name. May be given twice.'
)
_STEP = flags.DEFINE_multi_integer(
    'step',
    [],
    'Which checkpoint; the best by validation loss, else the latest. For two runs give '
    'it twice; twice with one run compares its steps.',
)
_DATA = flags.DEFINE_string(
    'data', '', "A folder that data_pipeline.build made; '' is the run's own."
)
_SPLIT = flags.DEFINE_enum(
    'split', 'validation', records.SPLITS, 'What to evaluate on.'
)
_SEQ_LEN = flags.DEFINE_integer(
    'seq_len',
    0,
    "Positions in a row; 0 is the run's, or min(1024, n_positions); of two models the "
    'smaller.',
)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 0, "Rows at a time; 0 is the run's, and 8 of a Hugging Face folder."
)
_BASE = launch_flags.define_base()
_SEED = flags.DEFINE_integer('seed', 0, "Of the bootstrap's resamples.")
_OUTPUT = flags.DEFINE_string(
    'output', '', "JSON file to write, with each pair's scores; an earlier one goes."
)
_NAMED = 5  # ids printed of each kind; --output has all


def main() -> None:
    _check()
    runtime.start()
    candidates = evaluation_rows.pack_for(
        _candidates(),
        data=_DATA.value,
        split=_SPLIT.value,
        seq_len=_SEQ_LEN.value,
    )
    scored = [_score(candidate) for candidate in candidates]
    letters = 'AB' if len(candidates) > 1 else ' '
    for letter, candidate, one in zip(letters, candidates, scored, strict=True):
        _print(letter.strip(), candidate, one)
    comparison = None
    if len(candidates) > 1:
        comparison = _compare(candidates, scored)
    if _OUTPUT.value and jax.process_index() == 0:
        files.write_json(_OUTPUT.value, _report(candidates, scored, comparison))
        entry.say(f'wrote {_OUTPUT.value}')


def _check() -> None:
    """Raises InputError, naming every flag that is wrong, before anything is read."""
    problems = []
    models = len(_WORKDIR.value) + len(_PRETRAINED.value)
    steps = len(_STEP.value)
    if not models:
        problems.append(
            '--workdir or --pretrained is missing; give the folder of a run, or of a '
            'Hugging Face model.'
        )
    if models > 2:
        problems.append(f'{models} models are given; give one, or two to compare them.')
    if steps and not _WORKDIR.value:
        problems.append('--step is of a run, and no --workdir is given; leave it out.')
    elif steps and steps != len(_WORKDIR.value) and not (steps == 2 and models == 1):
        problems.append(
            f'--step is given {steps} times and --workdir {len(_WORKDIR.value)} times; '
            'give one for each, or two for one run, or none.'
        )
    for flag, least in ((_SEQ_LEN, 8), (_BATCH_SIZE, 1)):
        if flag.value and flag.value < least:
            problems.append(
                f'--{flag.name}={flag.value} is not accepted; use {least} or more, or '
                "0 for the model's own."
            )
    if _SEED.value < 0:
        problems.append(f'--seed={_SEED.value} is not accepted; use 0 or more.')
    if not _WORKDIR.value and _PRETRAINED.value and not _DATA.value:
        problems.append(
            '--data is missing: a Hugging Face folder has no dataset of its own; give '
            'a folder that data_pipeline.build made.'
        )
    if _OUTPUT.value:
        output = pathlib.Path(_OUTPUT.value)
        problems += output_file.problems('output', output) or _replacing(output)
    if problems:
        raise errors.InputError('\n'.join(problems))


def _replacing(output: pathlib.Path) -> list[str]:
    """What is wrong with replacing a file: it is no earlier report."""
    if not output.exists():
        return []
    try:
        earlier = {'split', 'models'} <= set(files.read_json_object(output))
    except (OSError, ValueError):
        earlier = False
    if earlier:
        return []
    return [
        f'--output={output} is there and holds something else than a report of '
        'launch.evaluate; give another name.'
    ]


def _candidates() -> list[scorer.Candidate]:
    """The models, A first, before a weight is read."""
    steps = _STEP.value or [None] * len(_WORKDIR.value)
    workdirs = _WORKDIR.value * (len(steps) if len(_WORKDIR.value) == 1 else 1)
    candidates = [
        scorer.of_pretrained(path, batch_size=_BATCH_SIZE.value or 8)
        for path in _PRETRAINED.value
    ] + [
        scorer.of_run(path, step=step, base=_BASE.value)
        for path, step in zip(workdirs, steps, strict=True)
    ]
    named = {(pathlib.Path(c.path).resolve(), c.step) for c in candidates}
    if len(named) < len(candidates):
        raise errors.InputError(
            f'both models are {candidates[0].path}'
            + (f' at step {candidates[0].step}' if candidates[0].step else '')
            + ', which differs in nothing from itself; give another, or another --step.'
        )
    return candidates


def _score(rows: evaluation_rows.WithRows) -> scorer.Scored:
    total = scorer.num_batches(
        rows.candidate, rows.cache, _SPLIT.value, batch_size=_BATCH_SIZE.value
    )
    entry.say(
        f'evaluating {rows.candidate.name} ({rows.candidate.why}): {total} batches'
    )
    with progress.Progress(
        'evaluating', total=total, unit='batch', say=entry.say
    ) as shown:
        return scorer.score(
            rows.candidate,
            rows.cache,
            _SPLIT.value,
            batch_size=_BATCH_SIZE.value,
            on_batch=shown.add,
        )


def _print(letter: str, rows: evaluation_rows.WithRows, scored: scorer.Scored) -> None:
    """The table of one model."""
    candidate, cache = rows.candidate, rows.cache
    counts = cache.meta['splits'][_SPLIT.value]
    ledger = cache.meta['ledger'][_SPLIT.value]
    print(f'{letter + ": " if letter else ""}{candidate.name} ({candidate.why})')
    print(
        f'{rows.data.path}, {_SPLIT.value}: {len(scored.evaluation.pairs)} pairs in '
        f'{counts["rows"]} rows of {cache.seq_len}; {len(ledger["dropped_ids"])} '
        f'dropped, {len(ledger["shortened_ids"])} shortened, '
        f'{len(ledger["split_ids"])} split'
    )
    for note in rows.notes + scored.notes:
        print(f'note: {note}')
    print(f'loss {scored.evaluation.loss:.4f} (as training weighs it)')
    print('\n'.join(score_table.lines(scored.evaluation.by)) + '\n', flush=True)


def _compare(
    rows: list[evaluation_rows.WithRows], scored: list[scorer.Scored]
) -> paired.Comparison:
    same = len({row.candidate.tokenizer.fingerprint for row in rows}) == 1
    if not same:
        print(
            'the tokenizers differ, so tokens are not the same things: compared in '
            'bits per byte'
        )
    groups = evaluation_rows.groups(rows[0].data.path, _SPLIT.value)
    a, b = (one.evaluation.pairs for one in scored)
    found = paired.compare(a, b, same_tokenizer=same, groups=groups, seed=_SEED.value)
    for ids, what in (
        (found.only_a, 'in the rows of A alone'),
        (found.only_b, 'in the rows of B alone'),
        (found.unlike, 'in both with answers cut or spelt otherwise'),
    ):
        if ids:
            named = ', '.join(ids[:_NAMED]) + (', ...' if len(ids) > _NAMED else '')
            print(f'note: {len(ids)} pairs are {what}, not compared ({named})')
    if not found.by:
        raise errors.InputError(
            'the models have no pair in common to compare; give a larger --seq_len.'
        )
    for source, difference in found.by.items():
        print(f'{source}: {paired.in_words(difference)}')
        if difference.is_known:
            print(
                f'  (by the formula: {difference.formula_low:+.4f} to '
                f'{difference.formula_high:+.4f}, A minus B)'
            )
    return found


def _report(
    rows: list[evaluation_rows.WithRows],
    scored: list[scorer.Scored],
    comparison: paired.Comparison | None,
) -> dict[str, Any]:
    """What --output holds."""
    models = [
        {
            'path': row.candidate.path,
            'step': row.candidate.step,
            'step_reason': row.candidate.why,
            'data': dataclasses.asdict(row.data),
            'tokenizer': row.candidate.tokenizer.fingerprint,
            'dataset': row.cache.fingerprint,
            'notes': row.notes + one.notes,
            'loss': one.evaluation.loss,
            'by': one.evaluation.by,
            'pairs': [score_table.pair_row(pair) for pair in one.evaluation.pairs],
        }
        for row, one in zip(rows, scored, strict=True)
    ]
    report = {'split': _SPLIT.value, 'models': models}
    if comparison is not None:
        report['comparison'] = dataclasses.asdict(comparison) | {'seed': _SEED.value}
        for source, difference in comparison.by.items():
            report['comparison']['by'][source]['better'] = difference.better
    return report


if __name__ == '__main__':
    entry.run(main)
