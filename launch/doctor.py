"""Says what is wrong with a run, or with what it would be made of, and why.

    python -m launch.doctor --config=configs/gpt2_full.py --config.data.path=data
    python -m launch.doctor --workdir=runs/full
    python -m launch.doctor --folder=exported          # a Hugging Face GPT-2 folder
    python -m launch.doctor --folder=exported --data=data/advice  # on its own texts
    python -m launch.doctor --folder=gpt2 --adapter=exported_adapter
    python -m launch.doctor --legacy_log=OUTPUT.txt    # a log of the old project

With --config, as `launch.train` takes it, a run is examined before its first step: its
rows, its weights, its train step, its rate. Nothing is kept. Each finding has its
numbers, a cause and a remedy, the worst first; --all shows what is well too. The exit
code is 1 if something is wrong.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import re
import shlex
import time
from typing import Any

from absl import flags

from hax_jax import errors, places
from hax_jax.program import entry, later, progress, results
from launch import old_variables, shared_flags

with later.imports():
    from data_pipeline import dataset
    from hax_jax.curves import after_training, curve_checks, legacy_log
    from hax_jax.data import dataset_folder
    from hax_jax.devices import runtime
    from hax_jax.doctor import diagnosis, examine_folder
    from hax_jax.formats import hf_folder, peft_config
    from hax_jax.planning import full_examination
    from hax_jax.runs import run_folder, saved_steps
    from hax_jax.training import run_setup
    from launch import run_rows

_WORKDIR = flags.DEFINE_multi_string('workdir', [], "A run's folder. Repeat it.")
_LOG = flags.DEFINE_multi_string(
    'legacy_log', [], 'A training log of the old project. Repeat it.'
)
_FOLDER = flags.DEFINE_string(
    'folder', '', 'A Hugging Face GPT-2 folder, or a hub name; with --adapter its base.'
)
_ADAPTER = flags.DEFINE_string('adapter', '', 'A PEFT adapter folder on --folder.')
_DATA = flags.DEFINE_string(
    'data',
    '',
    "A folder that data_pipeline.build made: in place of the config's data.path, or "
    'texts like those that the model of --folder learned.',
)
_ALL = flags.DEFINE_bool('all', False, 'Show what is well too.')
_BASE = shared_flags.define_base()
shared_flags.CONFIG.define()
_BEGUN = time.monotonic()
_TEXTS = 8  # pairs of --data that a model reads
# A remedy's flag, but those with which a run goes on.
_CHANGES = re.compile(r'--config\.(?!train\.(?:num|checkpoint_every)_steps\b)')
flags.declare_key_flag('from_env')


def main() -> int:
    _check_flags()
    found: dict[str, list[diagnosis.Finding]] = {}
    if flags.FLAGS.config is not None:
        found['before step 1'] = _of_config()
    for place in _WORKDIR.value:
        runtime.start(alone=True)
        found[place] = diagnosis.ordered([*after_training.of(place), *_bytes(place)])
    if _FOLDER.value:
        adapter = pathlib.Path(_ADAPTER.value).expanduser() if _ADAPTER.value else None
        folder = hf_folder.local_folder(_FOLDER.value, field='--folder')
        runtime.start(alone=True)
        found[_ADAPTER.value or _FOLDER.value], _ = examine_folder.examine(
            folder, adapter, _texts(), say=_say
        )
    for name in _LOG.value:
        curve = legacy_log.read(pathlib.Path(name).expanduser())
        found[name] = curve_checks.check(curve)
    for name, findings in found.items():
        print(name)
        _print(findings)
        bad = [each for each in findings if each.verdict != diagnosis.OK]
        if name in _WORKDIR.value and any(_CHANGES.search(x.remedy) for x in bad):
            print(
                '  a remedy that changes the config begins a run: give another '
                '--workdir, or --restart, which moves this one aside'
            )
    results.give(
        {name: [dataclasses.asdict(x) for x in each] for name, each in found.items()}
    )
    worst = [x.verdict for each in found.values() for x in each]
    return 1 if diagnosis.FAIL in worst else 0


def _check_flags() -> None:
    """Raises InputError for flags that name nothing, or not what they are for."""
    if _ADAPTER.value and not _FOLDER.value:
        raise errors.InputError(
            f'--adapter={_ADAPTER.value} stands on a base; give the base as '
            '--folder=FOLDER.'
        )
    if flags.FLAGS.config is None and not (
        _WORKDIR.value or _LOG.value or _FOLDER.value
    ):
        raise errors.InputError(
            'nothing to look at is given; give --config=FILE of a run to begin, '
            '--workdir=FOLDER of a run, --folder=FOLDER of a model '
            '(with --adapter=FOLDER of one on it), or '
            '--legacy_log=FILE of the old project.'
        )
    if _BASE.value and flags.FLAGS.config is None:
        raise errors.InputError(
            f'--base={_BASE.value} has no effect without --config=FILE of a run to '
            'begin; leave it out.'
        )
    if _ADAPTER.value:
        _check_adapter(places.path(_ADAPTER.value))
    if _FOLDER.value and (places.path(_FOLDER.value) / peft_config.FILE).exists():
        raise errors.InputError(
            f'--folder={_FOLDER.value} is an adapter; give it as --adapter, and the '
            'folder of its base as --folder.'
        )
    if _DATA.value and flags.FLAGS.config is None and not _FOLDER.value:
        raise errors.InputError(
            f'--data={_DATA.value} has no effect without --config=FILE of a run to '
            'begin, or --folder=FOLDER of a model; give one of them.'
        )
    if _DATA.value:  # before JAX is imported
        dataset_folder.read_manifest(_DATA.value)
    if _FOLDER.value and (places.path(_FOLDER.value) / 'run.json').exists():
        raise errors.InputError(
            f'--folder={_FOLDER.value} is a run of launch.train; give it as --workdir, '
            'or export it first and give the folder that was made.'
        )
    for folder in map(places.path, _WORKDIR.value):  # before JAX is imported
        if not (folder / run_folder.UNSAVED).exists():
            run_folder.read_run(folder, takes_step=False)


def _bytes(place: str) -> list[diagnosis.Finding]:
    """Whether every file of a run's steps has its digest; none for an unsaved run."""
    folder = places.path(place)
    if (folder / run_folder.UNSAVED).exists():
        return []
    run = run_folder.read_run(folder)
    place_of_steps = folder / run_folder.CHECKPOINTS
    steps = saved_steps.list_steps(place_of_steps, run['id'])
    damage = {info.path: said for info in steps if (said := info.damage())}
    there = saved_steps.step_folders(place_of_steps)  # a run at work deletes some
    damage = {path: said for path, said in damage.items() if path in there}
    source = 'the SHA-256 in each step.json'
    vouched = sum(info.digests is not None for info in steps)
    if not damage and not vouched:
        return []  # no step yet, or all of an older version
    if not damage:
        told = f'every file of {vouched} steps has the digest of its bytes'
        if vouched < len(steps):
            told += f'; {len(steps) - vouched} of an older version have none'
        return [diagnosis.Finding('bytes', diagnosis.OK, told, '', '', source)]
    remedy = 'copy it from a backup'
    if len(damage) < len(there):
        remedy += (
            ', or delete it: python -m launch.checkpoints '
            f'--workdir={shlex.quote(place)} '
            f'--delete={",".join(path.name for path in damage)}'
        )
    return [
        diagnosis.Finding(
            'bytes',
            diagnosis.FAIL,
            '; '.join(
                f'step {p.name} is damaged: {said}' for p, said in damage.items()
            ),
            'A disk, or a copy of the run, changed bytes. Every program passes over '
            'such a step and takes the best of the others.',
            remedy,
            source,
        )
    ]


def _print(findings: list[diagnosis.Finding]) -> None:
    for each in findings:
        if each.verdict != diagnosis.OK or _ALL.value or len(findings) < 4:
            print(f'  {each.verdict.upper():<5}{each.id}: {each.evidence}')
        if each.verdict != diagnosis.OK:
            print(f'       cause: {each.cause}\n       remedy: {each.remedy}')
    passed = sum(each.verdict == diagnosis.OK for each in findings)
    print(f'  {passed} of {len(findings)} checks found nothing wrong')


def _check_adapter(folder: Any) -> None:
    """Raises InputError unless the folder can be one of an adapter."""
    if (folder / 'run.json').exists():
        raise errors.InputError(
            f'--adapter={folder} is a run of launch.train; give it as --workdir, or '
            f'export its adapter: hax export --workdir={folder} --format=peft '
            '--output=FOLDER.'
        )
    if not folder.is_dir():
        raise errors.InputError(
            f'--adapter={folder} is no folder; give one that peft or hax export wrote.'
        )
    if not (folder / peft_config.FILE).exists():
        raise errors.InputError(
            f'--adapter={folder} has no {peft_config.FILE}; give one that peft or hax '
            'export wrote, or this one as --folder if it is a whole model.'
        )


def _texts() -> list[str]:
    """Validation pairs of --data, or training pairs where there are none."""
    if not _DATA.value:
        return []
    manifest = dataset_folder.read_manifest(_DATA.value)
    split = 'validation' if manifest['splits']['validation']['pairs'] else 'train'
    pairs = dataset.read_pairs(_DATA.value, split)
    return [
        f'{each.question}\n\n{each.answer}' for each in itertools.islice(pairs, _TEXTS)
    ]


def _of_config() -> list[diagnosis.Finding]:
    run = shared_flags.CONFIG.value()
    if _BASE.value and not run.model.pretrained:
        raise errors.InputError(
            f'--base={_BASE.value} has no effect: model.pretrained is not set. Leave '
            'it out.'
        )
    dataset_folder.read_manifest(run.data.path)  # before JAX is imported
    runtime.start(alone=True)
    _say('the rows of the dataset')
    run, _, cache = run_rows.find(run)
    found, _ = full_examination.of(
        run_setup.prepare(run, cache),
        base=_BASE.value,
        say=_say,
        pairs=dataset.read_pairs(run.data.path, 'train'),
    )
    return found


def _say(what: str) -> None:
    """Says on standard error what is looked at: in full it takes minutes."""
    entry.say(f'looking at: {what} ({progress.duration(time.monotonic() - _BEGUN)})')


def _arguments(argv: list[str]) -> list[str]:
    """The command line as absl reads it; without --config there is nothing to check."""
    if any('config' in argument.partition('=')[0] for argument in argv[1:]):
        argv = _with_data(old_variables.with_fields(argv))
        return shared_flags.CONFIG.check(argv)
    return argv


def _with_data(argv: list[str]) -> list[str]:
    """The command line with --data as the config's data.path too."""
    given = [argument.lstrip('-').partition('=') for argument in argv]
    for (name, equals, value), following in zip(given, [*argv[1:], ''], strict=True):
        if name == 'data':
            if any(name == 'config.data.path' for name, _, _ in given):
                raise errors.InputError(
                    '--data and --config.data.path are both given; give one of them.'
                )
            return [*argv, f'--config.data.path={value if equals else following}']
    return argv


if __name__ == '__main__':
    entry.run(main, prepare=_arguments, in_one_process=True)
