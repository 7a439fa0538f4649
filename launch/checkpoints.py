"""Lists a run's checkpoints, looks into them, verifies, deletes and compacts them.

    python -m launch.checkpoints --workdir=runs/lora
    python -m launch.checkpoints --workdir=runs/lora --inspect=500 --output=step.json
    python -m launch.checkpoints --workdir=runs/lora --verify
    python -m launch.checkpoints --workdir=runs/lora --delete=100,200
    python -m launch.checkpoints --workdir=runs/lora --compact=runs/small --step=500

The list compares every byte with its digest and says which steps are whole. --inspect
shows the tensors of a step. --verify looks at the run's other files too, and exits with
1 if anything is damaged. --delete takes steps away, but never the last whole one,
nor one that another run stands on, without --force; it is refused while launch.train
writes the run. --compact writes another run: one step of this one without the
optimizer's moments, which sample, evaluate, export and train read; training goes on
from it with moments of zero.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from absl import flags

from hax_jax import errors, files, json_lines, near_names, places
from hax_jax.program import entry, later, output_file, progress, results
from launch import shared_flags

with later.imports():
    import jax

    from hax_jax.runs import (
        compact,
        only_writer,
        restore,
        run_folder,
        saved_steps,
        step_facts,
    )

_OURS = re.compile(rb'\{\s*"workdir":')  # how a report begins
_SHOWN = 24  # tensors on the screen

_WORKDIR = flags.DEFINE_string('workdir', '', "The run's folder.")
_INSPECT = flags.DEFINE_integer('inspect', None, 'The step to look into.')
_VERIFY = flags.DEFINE_bool('verify', False, 'Compare every file with its digest.')
_DELETE = flags.DEFINE_list('delete', [], 'Steps to delete, with commas.')
_FORCE = flags.DEFINE_bool(
    'force', False, '--delete the last whole step, or a base, too.'
)
_COMPACT = flags.DEFINE_string(
    'compact', '', 'The folder to make of one step, without moments.'
)
_STEP = shared_flags.define_step()
_OUTPUT = flags.DEFINE_string(
    'output', '', 'JSON file to write with all that the list, or --inspect, knows.'
)


def main() -> int:
    _check()
    workdir = places.path(_WORKDIR.value)
    if not (places.is_remote(workdir) or (workdir / run_folder.CHECKPOINTS).is_dir()):
        run_folder.read_run(workdir)  # whether it is one, before JAX is imported
    jax.config.update('jax_platforms', 'cpu')  # a run may be using the accelerator
    if _VERIFY.value:
        return _verify(workdir)
    if _DELETE.value:
        return _delete(workdir, [int(step) for step in _DELETE.value])
    if _COMPACT.value:
        return _compact(workdir, pathlib.Path(_COMPACT.value))
    if _INSPECT.value is not None:
        report = _inspect(workdir, _INSPECT.value)
    else:
        report = _list(workdir)
    results.give(report)
    if _OUTPUT.value:
        files.write_json(_OUTPUT.value, report)
        entry.say(f'wrote {_OUTPUT.value}')
    return 0


def _check() -> None:
    """Raises InputError, naming every flag that is wrong, before anything is read."""
    problems = []
    if not _WORKDIR.value:
        problems.append('--workdir is missing; give the folder of a run.')
    given = {
        '--inspect': _INSPECT.value is not None,
        '--verify': _VERIFY.value,
        '--delete': bool(_DELETE.present),
        '--compact': bool(_COMPACT.present),
    }
    actions = [name for name, is_given in given.items() if is_given]
    if len(actions) > 1:
        problems.append(f'{" and ".join(actions)} are given; give one of them.')
    problems += [
        f'{name}= is empty; give {what}.'
        for name, what, flag in (
            ('--delete', 'steps, such as --delete=100,200', _DELETE),
            ('--compact', 'the folder to make', _COMPACT),
        )
        if flag.present and not flag.value
    ]
    problems += [
        f'--delete={step!r} is not a step; give numbers such as --delete=100,200.'
        for step in _DELETE.value
        if not step.isdecimal()
    ]
    for flag, action in ((_FORCE, '--delete'), (_STEP, '--compact')):
        if flag.value not in (None, False) and not given[action]:
            problems.append(f'--{flag.name} goes with {action} alone; remove it.')
    if _OUTPUT.value:
        if set(actions) - {'--inspect'}:
            problems.append(
                '--output goes with the list and --inspect alone; remove it.'
            )
        path = pathlib.Path(_OUTPUT.value)
        problems += output_file.problems('output', path) or output_file.foreign(
            'output', path, _OURS.match, 'report of launch.checkpoints'
        )
    if _COMPACT.value:
        problems += output_file.new_folder('compact', pathlib.Path(_COMPACT.value))
    errors.refuse(problems)


def _steps(workdir: pathlib.Path) -> list[saved_steps.StepInfo]:
    run = run_folder.read_run(workdir)
    return saved_steps.list_steps(workdir / run_folder.CHECKPOINTS, run['id'])


def _list(workdir: pathlib.Path) -> dict[str, Any]:
    """Prints a line for each step; returns all that is known of them."""
    losses = _training_losses(workdir)
    rows = []
    for info in _steps(workdir):
        damage = info.damage()
        if info.is_gone():  # the run has just deleted it
            continue
        seconds = max(0.0, time.time() - info.path.stat().st_mtime)
        rows.append(
            {
                'step': info.step,
                'bytes': step_facts.size(info.path),
                'training_loss': losses.get(info.step),
                'validation_loss': info.validation_loss,
                'age_seconds': round(seconds),
                'damage': damage,
                'has_digests': info.digests is not None,
                'metadata': info.metadata,
            }
        )
    print(f'{"step":>8} {"size":>10} {"training":>9} {"validation":>10} {"age":>7}')
    for row in rows:
        print(
            f'{row["step"]:>8} {row["bytes"] / 1e6:>7,.1f} MB '
            f'{_number(row["training_loss"]):>9} '
            f'{_number(row["validation_loss"]):>10} '
            f'{progress.duration(row["age_seconds"]):>7}  {_state(row)}'
        )
    whole = [row['step'] for row in rows if not row['damage']]
    size = sum(row['bytes'] for row in rows)
    print(f'{len(whole)} of {len(rows)} steps are whole; {size / 1e6:,.1f} MB')
    aside = list((workdir / run_folder.DAMAGED).glob('*'))
    if aside:
        print(f'{len(aside)} more in {workdir / run_folder.DAMAGED}, moved aside')
    return {'workdir': str(workdir), 'steps': rows}


def _state(row: dict[str, Any]) -> str:
    if row['damage']:
        return f'DAMAGED: {row["damage"]}'
    return 'whole' if row['has_digests'] else 'of an older version, without digests'


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.4f}'


def _training_losses(workdir: pathlib.Path) -> dict[int, float]:
    """The loss of the lines in metrics.jsonl that end at a step; a save ends a line."""
    rows = json_lines.Log(workdir / 'metrics.jsonl').objects()
    return {row['step']: row['loss'] for row in rows if row.get('kind') == 'train'}


def _inspect(workdir: pathlib.Path, step: int) -> dict[str, Any]:
    """Prints a screen about a step; returns all that is known of it."""
    info = restore.find_step(workdir, step).info
    found = step_facts.tensors(info.path)
    losses = _number(info.validation_loss)
    print(f'step {step} of {workdir}, whole; validation loss {losses}')
    for name, value in info.metadata.items():
        line = json.dumps(value)
        print(f'{name}: {line if len(line) <= 200 else line[:200] + "..."}')
    trees = collections.defaultdict(list)
    for tensor in found:
        trees[tensor.tree].append(tensor)
    for tree, own in trees.items():
        dtypes = ', '.join(sorted({tensor.dtype for tensor in own}))
        print(
            f'{tree}: {len(own)} tensors, {sum(t.bytes for t in own) / 1e6:,.1f} MB '
            f'of {dtypes}, norm {step_facts.norm(own):.6g}, '
            f'{sum(t.not_finite for t in own)} values not finite'
        )
    # What is wrong comes first, then the parameters before the moments.
    ranked = sorted(found, key=lambda tensor: -tensor.not_finite)
    print(f'{"norm":>12} {"largest":>12} {"not finite":>10}  tensor')
    for tensor in ranked[:_SHOWN]:
        shape = 'x'.join(map(str, tensor.shape)) or 'scalar'
        print(
            f'{tensor.norm:>12.6g} {tensor.largest:>12.6g} {tensor.not_finite:>10}  '
            f'{tensor.tree}: {tensor.name} {shape} {tensor.dtype}'
        )
    if len(ranked) > _SHOWN:
        print(f'{len(ranked) - _SHOWN} more tensors: --output=FILE has them all')
    return {
        'workdir': str(workdir),
        'step': step,
        'validation_loss': info.validation_loss,
        'metadata': info.metadata,
        'tensors': [dataclasses.asdict(tensor) for tensor in found],
    }


def _verify(workdir: pathlib.Path) -> int:
    """Prints what is damaged, a line each; 1 if anything is."""
    folder = workdir / run_folder.CHECKPOINTS
    damaged, run_id = [], ''
    try:
        run = run_folder.read_run(workdir)
    except errors.InputError as error:
        if not folder.is_dir():
            raise  # it is no run
        damaged.append(str(error))
    else:
        run_id = run['id']
        damaged += _other_damage(workdir, run)
    steps = saved_steps.list_steps(folder, run_id)
    if not steps and not (workdir / run_folder.UNSAVED).exists():
        damaged.append(f'{workdir} has no checkpoint; copy {folder} from a backup.')
    size = 0
    for info in list(steps):
        damage = info.damage()
        if info.is_gone():  # the run has just deleted it
            steps.remove(info)
            continue
        size += step_facts.size(info.path)
        if damage:
            damaged.append(f'step {info.step} is damaged: {damage}')
    for line in damaged:
        print(line)
    without = [info.step for info in steps if info.digests is None and not info.problem]
    if without:
        print(
            f'{len(without)} steps are of an older version and have no digests: '
            'nothing vouches for them'
        )
    whole = len(steps) - len(without) - sum(bool(info.damage()) for info in steps)
    print(f'{whole} of {len(steps)} steps are whole; {size / 1e6:,.1f} MB were read')
    results.give({'steps': len(steps), 'whole': whole, 'damaged': damaged})
    return 1 if damaged else 0


def _other_damage(workdir: pathlib.Path, run: dict[str, Any]) -> Iterator[str]:
    """What is damaged of a run beside run.json and its steps."""
    looks: list[Callable[[], Any]] = [lambda: run_folder.read_config(workdir)]
    if not run['id']:  # of an older version: read_run had no digests to compare
        looks.append(lambda: run_folder.load_tokenizer(workdir, run))
    if (workdir / run_folder.OWN_BASE).is_dir():
        looks.append(lambda: restore.load_run_base(workdir))
    for look in looks:
        try:
            look()
        except errors.InputError as error:
            yield str(error)


def _delete(workdir: pathlib.Path, wanted: list[int]) -> int:
    run_folder.read_run(workdir)
    with only_writer.held(workdir):
        steps = {info.step: info for info in _steps(workdir)}
        unknown = sorted(set(wanted) - steps.keys())
        if unknown:
            raise errors.InputError(
                f'{workdir} has no checkpoint of step {_joined(unknown)}; '
                f'{near_names.steps(unknown[0], steps)}. Nothing was deleted.'
            )
        needed = {
            step: runs
            for step in sorted(set(wanted))
            if (runs := saved_steps.kept_for(steps[step].path))
        }
        if needed and not _FORCE.value:
            raise errors.InputError(
                '\n'.join(
                    f'step {step} is the base of {", ".join(runs)}'
                    for step, runs in needed.items()
                )
                + '\nNothing was deleted; say --force if you no longer need those.'
            )
        whole = {step for step, info in steps.items() if not info.damage()}
        left = whole - set(wanted)
        if whole and not left and not _FORCE.value:
            raise errors.InputError(
                f'without step {_joined(whole)} the run has no whole checkpoint, so '
                'nothing was deleted; leave one, or say --force: launch.train then '
                'refuses the folder until --restart.'
            )
        best = restore.by_worth([steps[step] for step in whole])[:1]
        if left and best and best[0].step in wanted:
            print(
                f'step {best[0].step} was {restore.in_words(best[0])}; samples and '
                'exports take the best of what is left'
            )
        for step in sorted(set(wanted)):
            size = step_facts.size(steps[step].path)
            saved_steps.delete(steps[step].path)
            print(f'deleted step {step} ({size / 1e6:,.1f} MB)')
    print(f'whole steps left: {_joined(left) or "none"}')
    results.give({'deleted': sorted(set(wanted)), 'whole': sorted(left)})
    return 0


def _joined(steps: Any) -> str:
    return ', '.join(map(str, sorted(steps)))


def _compact(workdir: pathlib.Path, output: pathlib.Path) -> int:
    step = compact.write(workdir, output, step=_STEP.value)
    folders = (workdir, output)
    sizes = [
        step_facts.size(folder / run_folder.CHECKPOINTS / str(step)) / 1e6
        for folder in folders
    ]
    print(
        f'wrote {output}: step {step} of {workdir} in {sizes[1]:,.1f} MB, with its '
        f'moments {sizes[0]:,.1f} MB'
    )
    results.give({'output': output, 'step': step, 'bytes': round(sizes[1] * 1e6)})
    return 0


if __name__ == '__main__':
    entry.run(main, in_one_process=True)
