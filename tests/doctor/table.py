"""Plants each fault, runs 50 steps, and prints which were named, when and by what.

    PYTHONPATH=. python tests/doctor/table.py --folder=FOLDER
    PYTHONPATH=. python tests/doctor/table.py --folder=FOLDER --only='rate|LoRA'
    PYTHONPATH=. python tests/doctor/table.py --folder=FOLDER --healthy
    PYTHONPATH=. python tests/doctor/table.py --folder=FOLDER --print

--healthy takes thirty healthy runs instead; --print shows what is done so far.
The base is trained once and lies in the folder; results are kept there, one JSON line a
run, and a run that is there is not made again.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import shutil
import time
from typing import Any

import faults
import harness
import healthy
import unseen

from hax_jax import errors
from hax_jax.curves import after_training
from hax_jax.doctor import diagnosis, examine
from hax_jax.guards import stops
from hax_jax.planning import full_examination
from hax_jax.training import run_setup


def examined(
    folder: pathlib.Path, plant: Any, words: Any, *, train: bool = True
) -> dict[str, Any]:
    """The findings of every run, of `hax doctor` in full, and after 50 steps."""
    work = folder / 'work'
    shutil.rmtree(work, ignore_errors=True)
    rows = harness.cache(
        work / 'rows', plant.made, words, plant.run.data, plant.edit_rows
    )
    plant.after_rows()
    out: dict[str, Any] = {}
    begun = time.perf_counter()
    setup = run_setup.prepare(plant.run, rows)
    found, numbers = full_examination.of(setup, pairs=plant.made['train'])
    out['full'], out['numbers'] = _plain(found), numbers
    out['full_seconds'] = time.perf_counter() - begun
    out['every'], out['after'] = _plain(examine.judged(_cheap(numbers))), []
    if train:
        try:
            harness.train(plant.run, rows, work / 'run')
        except (errors.InputError, stops.StoppedError) as error:
            out['refused'] = str(error)
        out['every'] = _plain(diagnosis.read(work / 'run'))
        if 'refused' not in out or out['every']:
            out['after'] = _plain(after_training.of(str(work / 'run')))
    return out


def _cheap(numbers: dict[str, Any]) -> dict[str, Any]:
    """The numbers that every run measures."""
    alone = ('rms', 'loss_without', 'loss_repaired', 'slope', 'noise_tokens')
    alone += ('overfit_before', 'range', 'rows_compared')
    return {name: x for name, x in numbers.items() if name not in alone}


def _plain(found: list[diagnosis.Finding]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(each) for each in found]


def named(result: dict[str, Any], expected: tuple[str, ...]) -> tuple[str, str]:
    """(when the cause was named, by what evidence); '' where it was not."""
    if any(word in result.get('refused', '') for word in expected):
        return 'every run, step 0', result['refused'][:120]
    for part, when in (
        ('every', 'every run, step 0'),
        ('full', 'hax doctor, step 0'),
        ('after', 'within 50 steps'),
    ):
        for each in result[part]:
            is_bad = each['verdict'] != diagnosis.OK
            if is_bad and any(word in each['cause'] for word in expected):
                return when, f'{each["id"]}: {each["evidence"]}'
    return '', ''


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--folder', type=pathlib.Path, required=True)
    parser.add_argument('--only', default='.')
    parser.add_argument('--healthy', action='store_true')
    parser.add_argument('--first', action='store_true', help='one strength each')
    parser.add_argument('--print', action='store_true')
    parser.add_argument('--no_training', action='store_true')
    parser.add_argument('--unseen', action='store_true', help='faults of unseen.py')
    parser.add_argument('--setting', choices=harness.SETTINGS, default='first')
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    log = given.folder / ('healthy.jsonl' if given.healthy else 'faults.jsonl')
    done = [json.loads(line) for line in log.open()] if log.exists() else []
    if not given.print:
        made = {(each['name'], each['strength']) for each in done}
        setting = harness.SETTINGS[given.setting]
        words = harness.tokenizer(given.folder / 'words', setting)
        base = harness.base(given.folder, words, setting)
        for name, strength, plan in _plans(given, base, setting):
            if (name, strength) in made or not re.search(given.only, name):
                continue
            try:
                with plan as plant:
                    result = examined(
                        given.folder, plant, words, train=not given.no_training
                    )
            except Exception as error:  # the others are still worth their time
                print(f'{name}: {error!r}')
                continue
            done.append({'name': name, 'strength': strength, **result})
            with log.open('a') as file:
                file.write(json.dumps(done[-1], default=_number) + '\n')
    print(healthy.table(done) if given.healthy else table(done))


def _number(value: Any) -> Any:
    return value.item() if hasattr(value, 'item') else str(value)


def _plans(
    given: argparse.Namespace, base: pathlib.Path, setting: harness.Setting
) -> Any:
    if given.healthy:
        yield from healthy.plans(base, setting)
        return
    for fault in unseen.FAULTS if given.unseen else faults.FAULTS:
        strengths = fault.strengths[-1:] if given.first else fault.strengths
        for strength in strengths:
            changes = {'optimizer__learning_rate': setting.rate}
            run = harness.on(harness.config(setting, **changes), base)
            if fault.kind == 'lora':
                run = harness.lora(run)
            made = harness.splits(setting.pattern(fault.data))
            yield fault.name, strength, faults.planted(fault, made, run, strength)


def said(result: dict[str, Any]) -> str:
    """What was found instead of the cause."""
    bad = [x for part in ('full', 'after') for x in result[part]]
    named = [f'{x["id"]} ({x["cause"]})' for x in bad if x['verdict'] != diagnosis.OK]
    return '; '.join(named)[:300] or 'silent'


def table(done: list[dict[str, Any]]) -> str:
    by_name = {each.name: each for each in (*faults.FAULTS, *unseen.FAULTS)}
    lines = ['| fault | strength | named | evidence |', '|---|---|---|---|']
    good, cheap, tried = set(), set(), set()
    for each in done:
        fault = by_name.get(each['name'])
        if fault is None:
            continue
        when, evidence = named(each, fault.expected)
        tried.add(fault.name)
        if when == 'every run, step 0' and each['strength'] == fault.strengths[-1]:
            cheap.add(fault.name)
        if when and each['strength'] == fault.strengths[-1]:
            good.add(fault.name)
        star = '*' if fault.before else ''
        lines.append(
            f'| {fault.name}{star} | {each["strength"]:g} | {when or "not named"} | '
            f'{evidence[:150] or said(each)} |'
        )
    seconds = [each['full_seconds'] for each in done]
    lines.append(
        f'\n{len(good)} of {len(tried)} named at their full strength, {len(cheap)} by '
        'what every run looks at; not by that: '
        f'{", ".join(sorted(tried - cheap)) or "none"}; `hax '
        f'doctor` took {sum(seconds) / max(len(seconds), 1):.1f} s on average'
    )
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
