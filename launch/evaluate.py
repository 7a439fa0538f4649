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
import sys
from typing import Any

import jax
import tqdm
from absl import flags

from data_pipeline import dataset, output_file, pack, program
from hax_jax import config, evaluate, files, paired, records, runtime, scorer
from launch import score_table

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
_BASE = flags.DEFINE_string(
    'base', '', 'Where the pretrained model lies now, if it moved since the run began.'
)
_SEED = flags.DEFINE_integer('seed', 0, "Of the bootstrap's resamples.")
_OUTPUT = flags.DEFINE_string(
    'output', '', 'JSON file to write, with the scores of each pair; replaced if there.'
)
_NAMED = 5  # ids printed of each kind; --output has all


def main() -> None:
    _check()
    runtime.start()
    candidates = _with_rows(_candidates())
    scored = [_score(candidate) for candidate in candidates]
    letters = 'AB' if len(candidates) > 1 else ' '
    for letter, candidate, one in zip(letters, candidates, scored, strict=True):
        _print(letter.strip(), candidate, one)
    comparison = None
    if len(candidates) > 1:
        comparison = _compare(candidates, scored)
    if _OUTPUT.value and jax.process_index() == 0:
        files.write_json(_OUTPUT.value, _report(candidates, scored, comparison))
        _say(f'wrote {_OUTPUT.value}')


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
        raise config.InputError('\n'.join(problems))


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
        raise config.InputError(
            f'both models are {candidates[0].path}'
            + (f' at step {candidates[0].step}' if candidates[0].step else '')
            + ', which differs in nothing from itself; give another, or another --step.'
        )
    return candidates


@dataclasses.dataclass(frozen=True)
class _WithRows:
    """A model and the packed rows that it is evaluated on."""

    candidate: scorer.Candidate
    data: config.DataConfig
    cache: records.PackedCache
    notes: list[str]


def _with_rows(candidates: list[scorer.Candidate]) -> list[_WithRows]:
    """Packs the dataset for each: the same pairs and lengths, each its own tokens.

    Raises:
      InputError: there is no dataset, or the runs have not the same one, or it has no
        rows.
    """
    owns = [c.run.data for c in candidates if c.step is not None]
    own = owns[0] if owns else candidates[0].run.data
    path = _DATA.value or _own_dataset(owns)
    lengths = [c.run.data.seq_len for c in candidates]
    seq_len = _SEQ_LEN.value or min(lengths)
    if seq_len != max(lengths) and not _SEQ_LEN.value:
        _say(f'note: rows of {seq_len} for both, the smaller of {lengths}')
    out = []
    for candidate in candidates:
        n_positions = candidate.run.model.n_positions
        if seq_len > n_positions:
            raise config.InputError(
                f'--seq_len={seq_len} is over the {n_positions} positions of '
                f'{candidate.path}; lower it.'
            )
        data = dataclasses.replace(
            candidate.run.data,
            path=path,
            seq_len=seq_len,
            long_answers=own.long_answers,
        )
        cache = records.open_cache(pack.ensure_packed(data, candidate.tokenizer))
        cache.verify()
        evaluate.require_rows(cache, _SPLIT.value)
        notes = []
        if not _DATA.value and candidate.dataset not in ('', cache.fingerprint):
            notes.append(
                f'these are not the rows that the run was trained with: {path}, '
                'data.seq_len or data.long_answers differs now, so its metrics.jsonl '
                'has other numbers'
            )
        out.append(_WithRows(candidate, data, cache, notes))
    return out


def _own_dataset(owns: list[config.DataConfig]) -> str:
    """The one dataset of the runs."""
    hashes = {}
    for own in owns:
        try:
            hashes[own.path] = dataset.read_manifest(own.path)['sha256']
        except config.InputError as error:
            raise config.InputError(
                f"the run's own dataset is not where it was: {error}\n"
                'If it moved, or for another, give --data=FOLDER.'
            ) from error
    if len(set(hashes.values())) > 1:
        raise config.InputError(
            f'the runs were trained on different datasets ({", ".join(hashes)}), whose '
            'pairs differ; say with --data=FOLDER on which to compare them.'
        )
    return owns[0].path


def _score(rows: _WithRows) -> scorer.Scored:
    total = scorer.num_batches(
        rows.candidate, rows.cache, _SPLIT.value, batch_size=_BATCH_SIZE.value
    )
    _say(f'evaluating {rows.candidate.name} ({rows.candidate.why}): {total} batches')
    with tqdm.tqdm(total=total, unit='batch', leave=False, disable=None) as bar:
        return scorer.score(
            rows.candidate,
            rows.cache,
            _SPLIT.value,
            batch_size=_BATCH_SIZE.value,
            on_batch=bar.update,
        )


def _print(letter: str, rows: _WithRows, scored: scorer.Scored) -> None:
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


def _compare(rows: list[_WithRows], scored: list[scorer.Scored]) -> paired.Comparison:
    same = len({row.candidate.tokenizer.fingerprint for row in rows}) == 1
    if not same:
        print(
            'the tokenizers differ, so tokens are not the same things: compared in '
            'bits per byte'
        )
    groups = _groups(rows[0].data.path)
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
        raise config.InputError(
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


def _groups(path: str) -> dict[str, str]:
    """Pair id -> group, where the dataset's own files are there."""
    if not (pathlib.Path(path) / 'tfds').is_dir():
        print(f'note: {path} has packed rows alone, so each pair is its own group')
        return {}
    try:
        return {pair.id: pair.group for pair in dataset.read_pairs(path, _SPLIT.value)}
    except ImportError as error:
        print(f'note: {error}, so each pair is its own group')
        return {}


def _report(
    rows: list[_WithRows],
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


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == '__main__':
    program.run(main)
