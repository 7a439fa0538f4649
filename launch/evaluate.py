"""Evaluates a model on a whole split, or compares two, pair by pair.

    python -m launch.evaluate --workdir=runs/lora
    python -m launch.evaluate --pretrained=/path/to/gpt2 --data=data/advice --split=test
    python -m launch.evaluate --workdir=runs/full --workdir=runs/lora --output=both.json
    python -m launch.evaluate --workdir=runs/lora --step=500 --step=1000

The first of two models is A; a pretrained one comes before a run. Their difference is
taken pair by pair, with its 95% interval. A run is read at its best step, with its own
dataset, unless --step or --data says otherwise. Started as several processes, all
devices share the rows; process 0 chooses the steps, prints and writes.
"""

from __future__ import annotations

import pathlib

from absl import flags

from hax_jax import errors, files, places
from hax_jax.config import ranges
from hax_jax.data import records
from hax_jax.program import ending, entry, later, one_process, output_file, results
from launch import shared_flags

with later.imports():
    from data_pipeline import pack
    from hax_jax.data import dataset_folder
    from hax_jax.devices import first_process, peers, runtime, same_run
    from hax_jax.evaluation import findings, same_rows, scoring
    from hax_jax.runs import run_folder
    from launch import pair_groups

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
    'batch_size',
    0,
    "Rows in a batch; 0: the run's own, or 8 for a Hugging Face folder.",
)
_BASE = shared_flags.define_base()
_SEED = flags.DEFINE_integer('seed', 0, "Of the bootstrap's resamples.")
_TWO = flags.DEFINE_bool('two', False, 'Refuse one model; hax compare says so.')
_OUTPUT = flags.DEFINE_string(
    'output',
    '',
    "JSON file to write, with each pair's scores; it replaces an earlier one.",
)


def main() -> None:
    if not one_process.may_be_several():
        _check()  # before JAX is imported
        _check_folders()
    runtime.start()
    ending.print_only_warnings(peers.process())
    first_process.decided(_check, None)
    candidates = _candidates()
    rows = same_rows.of_each(
        candidates,
        data=_DATA.value,
        split=_SPLIT.value,
        seq_len=_SEQ_LEN.value,
        packed=pack.ensure_packed,
    )
    for each in rows:
        same_run.compare(
            {f'the rows of {each.cache.path}': each.cache.fingerprint},
            remedy=same_run.SAME_FILES,
        )
    found = findings.find(
        rows,
        _SPLIT.value,
        batch_size=_BATCH_SIZE.value,
        groups=pair_groups.of(rows[0].data.path, _SPLIT.value)
        if len(rows) > 1
        else None,
        seed=_SEED.value,
        say=entry.say,
        here=first_process.is_here(),
    )
    print(found, flush=True)
    if first_process.is_here():
        report = found.to_json()
        models = [{**model, 'pairs': len(model['pairs'])} for model in report['models']]
        results.give({**report, 'models': models})
        if _OUTPUT.value:
            files.write_json(_OUTPUT.value, report)
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
    elif _TWO.value and models + (steps == 2) < 2:
        problems.append(
            'one model is given; give a second to compare it with, as another '
            '--workdir, --pretrained or --step (hax evaluate scores one alone).'
        )
    if models > 2:
        problems.append(f'{models} models are given; give one, or two to compare them.')
    if steps and not _WORKDIR.value:
        problems.append(
            '--step selects a checkpoint of a run, and no --workdir is given; '
            'remove it.'
        )
    elif steps and steps != len(_WORKDIR.value) and not (steps == 2 and models == 1):
        problems.append(
            f'--step is given {steps} times and --workdir {len(_WORKDIR.value)} times; '
            'give one for each, or two for one run, or none.'
        )
    for flag, least in ((_SEQ_LEN, 8), (_BATCH_SIZE, 1)):
        if flag.value and not least <= flag.value <= ranges.MOST:
            problems.append(
                f'--{flag.name}={flag.value} is not accepted; use from {least} to '
                f"{ranges.MOST:,}, or 0 for the model's own."
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
    errors.refuse(problems)


def _check_folders() -> None:
    """Raises InputError if a --workdir is no run, or --data no dataset."""
    for workdir in map(places.path, _WORKDIR.value):
        if not (_PRETRAINED.value or places.is_remote(workdir)):
            run_folder.read_run(workdir)
    if _DATA.value:
        dataset_folder.read_manifest(_DATA.value)


def _replacing(output: pathlib.Path) -> list[str]:
    """A sentence if the file is there and is no earlier report."""
    if not output.exists():
        return []
    try:
        earlier = {'split', 'models'} <= set(files.read_json_object(output))
    except (OSError, ValueError):
        earlier = False
    if earlier:
        return []
    return [
        f'--output={output} exists and is no report of launch.evaluate; give another '
        'name.'
    ]


def _candidates() -> list[scoring.Candidate]:
    """The models, A first, before a weight is read; process 0 chooses the steps."""
    steps = _STEP.value or [None] * len(_WORKDIR.value)
    workdirs = _WORKDIR.value * (len(steps) if len(_WORKDIR.value) == 1 else 1)
    pretrained = [
        scoring.of_pretrained(path, batch_size=_BATCH_SIZE.value or 8)
        for path in _PRETRAINED.value
    ]
    runs: list[scoring.Candidate] = []

    def choose() -> list[int | None]:
        for path, step in zip(workdirs, steps, strict=True):
            runs.append(scoring.of_run(path, step=step, base=_BASE.value))
        return [candidate.step for candidate in runs]

    chosen = first_process.decided(choose, list[int | None])
    runs = runs or [
        scoring.of_run(path, step=step, base=_BASE.value)
        for path, step in zip(workdirs, chosen, strict=True)
    ]
    return scoring.all_different(pretrained + runs)


if __name__ == '__main__':
    entry.run(main, smaller='lower --batch_size or --seq_len')
