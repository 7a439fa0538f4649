"""Damages one file of everything on disk at a time, and uses what it belongs to.

    python tests/fuzz_corruption.py --cases=400 --seed=0 --folder=/tmp/fuzz
    python tests/fuzz_corruption.py --folder=/tmp/fuzz --seed=0 --only=17,230

Runs on a base or not, packed rows, a dataset and exports (everything_on_disk.py): a
file of each kind in turn gets a bit flipped, is cut, emptied, deleted, swapped with one
of its kind from elsewhere, gets a run of zero bytes, or another file comes beside it;
folders are swapped too. Then one use of it runs, and all that comes out is compared
with what comes out of the undamaged files. A case is well when the use

    refused    with one error whose first line names the file or its folder (exit
               code 2); below it may stand one line for each step of a run
    equal      gave the same: the file is not used for it, or was made again
    back       gave the same as without the damaged step, and said so

and a failure when it gave anything else in silence, or ended by a traceback, a crash of
the interpreter or not at all. Reports are damaged too, and may change nothing:
metrics.jsonl, samples.jsonl, tensorboard/, README.md, generation_config.json,
ledger.json, dropped.jsonl, report.html. Exit code 1 if a case fails.
"""

import argparse
import collections
import contextlib
import dataclasses
import io
import itertools
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from typing import Any

if __name__ == '__main__':  # as pytest finds them
    sys.path[:0] = [str(pathlib.Path(__file__).parents[n]) for n in (0, 1)]

import conftest  # noqa: F401 (sets how JAX compiles)
import everything_on_disk

from hax_jax import errors

DAMAGES = ('flipped', 'cut', 'emptied', 'deleted', 'swapped', 'zeroed')
ADDED, GROUP = 'added', 'folder swapped'
_SECONDS = 300  # that a case may take


@dataclasses.dataclass(frozen=True)
class Case:
    """A use of a unit with one of its files damaged; `file` is a path in the unit."""

    number: int
    unit: str
    use: str
    file: str
    damage: str

    @property
    def kind(self) -> str:
        return kind_of(self.file)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """`verdict` is 'refused', 'equal' or 'back', or a failure in a word."""

    case: Case
    verdict: str
    said: str

    @property
    def is_well(self) -> bool:
        return self.verdict in ('refused', 'equal', 'back')


def kind_of(file: str) -> str:
    """checkpoints/4/params/d/0a1b... -> checkpoints/#/params/d/#"""
    return re.sub(r'\b[0-9a-f]{16,}\b|\d+', '#', file)


def cases(
    units: list[everything_on_disk.Unit], count: int, *, seed: int
) -> Iterator[Case]:
    """`count` cases: kinds of files in turn, and for each its damages in turn."""
    rng = random.Random(seed)
    turns = []
    for unit in units:
        kinds = collections.defaultdict(list)
        for path in sorted(unit.root.rglob('*')):
            name = path.relative_to(unit.root).as_posix()
            if path.is_file() and path.stat().st_size and path.suffix != '.lock':
                kinds[kind_of(name)].append(name)
        uses = itertools.cycle(rng.sample(sorted(unit.uses), len(unit.uses)))
        for files in kinds.values():
            damages = rng.sample(DAMAGES, len(DAMAGES))
            turns.append(_turn(unit, files, damages, uses, rng))
        if unit.extras:
            turns.append(_turn(unit, sorted(unit.extras), [ADDED], uses, rng))
        groups = [
            path.relative_to(unit.root).as_posix()
            for pattern in unit.groups
            for path in sorted(unit.root.glob(pattern))
            if path.is_dir()
        ]
        if groups:
            turns.append(_turn(unit, groups, [GROUP], uses, rng))
    rng.shuffle(turns)
    for number, turn in zip(range(count), itertools.cycle(turns), strict=False):
        yield dataclasses.replace(next(turn), number=number)


def _turn(
    unit: everything_on_disk.Unit,
    files: list[str],
    damages: list[str],
    uses: Iterator[str],
    rng: random.Random,
) -> Iterator[Case]:
    for damage in itertools.cycle(damages):
        yield Case(0, unit.name, next(uses), rng.choice(files), damage)


class Fuzz:
    """Cases on units; what the undamaged files give is computed once for each use.

    `expected` computes it; `run` does where it needs it.
    """

    def __init__(self, units: list[everything_on_disk.Unit], *, seed: int) -> None:
        self._units = {unit.name: unit for unit in units}
        self._seed = seed
        self._expected: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def find(self, name: str, pattern: str) -> str:
        """The first path in a unit that matches, or the path itself where none is."""
        root = self._units[name].root
        found = sorted(root.glob(pattern))
        return found[0].relative_to(root).as_posix() if found else pattern

    def run(self, case: Case) -> Outcome:
        unit = self._units[case.unit]
        with _copy(unit) as copy:
            rng = random.Random(f'{self._seed}/{case.number}')
            what = damage(unit, copy, case, rng)
            found, said = _use(unit, case.use, copy)
            expected = []
            if isinstance(found, dict):
                expected = self.expected(case.unit, case.use)
            verdict = _verdict(copy, case, found, said, expected)
        return Outcome(case, verdict, f'{what}: {said[-2000:]}')

    def expected(self, name: str, use: str) -> list[dict[str, Any]]:
        """What a use gives, then what it gives without one of the run's steps."""
        unit = self._units[name]
        if (unit.name, use) in self._expected:
            return self._expected[unit.name, use]
        checkpoints = unit.root / 'checkpoints'
        steps = sorted(p.name for p in checkpoints.glob('*') if p.name.isdigit())
        found = []
        for step in ['', *steps]:
            with _copy(unit) as copy:
                if step:
                    shutil.rmtree(copy / 'checkpoints' / step)
                result, said = _use(unit, use, copy)
            if not isinstance(result, dict) and not step:
                raise RuntimeError(f'{unit.name}, {use}, undamaged: {said}')
            found.append(result)
        self._expected[unit.name, use] = found
        return found


@contextlib.contextmanager
def _copy(unit: everything_on_disk.Unit) -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix='hax_jax_fuzz_') as folder:
        copy = pathlib.Path(folder) / unit.root.name
        shutil.copytree(unit.root, copy)
        yield copy


def _use(
    unit: everything_on_disk.Unit, use: str, copy: pathlib.Path
) -> tuple[dict[str, Any] | BaseException, str]:
    """(what a use gives or raises, what it printed and the error in words)."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            found = unit.uses[use](copy)
        return json.loads(json.dumps(found)), printed.getvalue()
    except (errors.InputError, OSError) as error:  # one line, exit code 2: entry.py
        return error, str(error)
    except (Exception, SystemExit) as error:
        return error, traceback.format_exc()


def _verdict(
    copy: pathlib.Path,
    case: Case,
    found: dict[str, Any] | BaseException,
    said: str,
    expected: list[dict[str, Any]],
) -> str:
    path = copy / case.file
    folders = [folder for folder in path.parents if folder.is_relative_to(copy)]
    names = [path.name, *map(str, folders)]
    if isinstance(found, errors.InputError | OSError):
        first = said.split('\n')[0]
        is_named = any(name in first for name in names)
        return 'refused' if is_named else 'refused without its name'
    if isinstance(found, BaseException):
        return 'traceback'
    if found == expected[0]:
        return 'equal'
    if found in expected[1:]:
        is_named = any(name in said for name in names)
        return 'back' if is_named else 'back in silence'
    return 'different'


def damage(
    unit: everything_on_disk.Unit, copy: pathlib.Path, case: Case, rng: random.Random
) -> str:
    """Damages the copy as the case says; the damage in words."""
    path = copy / case.file
    if case.damage == ADDED:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(unit.extras[case.file], path)
        return f'{case.file} added'
    if case.damage == GROUP:
        other = rng.choice(_others(unit, case.file, want_folders=True))
        shutil.rmtree(path)
        shutil.copytree(other, path)
        return f'{case.file} swapped with {other}'
    whole = path.read_bytes()
    others = [
        other
        for other in _others(unit, case.file, want_folders=False)
        if other.read_bytes() != whole
    ]
    if case.damage == 'deleted':
        path.unlink()
        return f'{case.file} deleted'
    if case.damage == 'emptied':
        path.write_bytes(b'')
        return f'{case.file} emptied'
    if case.damage == 'cut':
        size = rng.randrange(len(whole))
        path.write_bytes(whole[:size])
        return f'{case.file} cut to {size} of {len(whole)} bytes'
    if case.damage == 'swapped' and others:
        other = rng.choice(others)
        shutil.copyfile(other, path)
        return f'{case.file} swapped with {other}'
    start = rng.randrange(len(whole))
    if case.damage == 'zeroed' and any(whole[start : start + 64]):
        size = min(64, len(whole) - start)
        path.write_bytes(whole[:start] + bytes(size) + whole[start + size :])
        return f'{case.file}: {size} bytes from {start} on are zero'
    bit = rng.randrange(8)
    changed = bytes([whole[start] ^ 1 << bit])
    path.write_bytes(whole[:start] + changed + whole[start + 1 :])
    return f'{case.file}: bit {bit} of byte {start} flipped'


def _others(
    unit: everything_on_disk.Unit, file: str, *, want_folders: bool
) -> list[pathlib.Path]:
    """The files, or folders, of one kind elsewhere: in the unit and in its twin."""
    return [
        path
        for root in filter(None, (unit.root, unit.twin))
        for path in sorted(root.rglob('*'))
        if path.is_dir() == want_folders
        and kind_of(path.relative_to(root).as_posix()) == kind_of(file)
        and path != unit.root / file
    ] or ([unit.root] if want_folders else [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--cases', type=int, default=400)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folder', required=True, help='for the files; may be reused')
    parser.add_argument('--only', default='', help='numbers of cases, with commas')
    parser.add_argument('--log', help='for the child process alone')
    values = parser.parse_args()
    folder = pathlib.Path(values.folder).absolute()
    only = {int(number) for number in values.only.split(',') if number}
    if values.log:
        _child(folder, pathlib.Path(values.log), values.cases, values.seed, only)
        return 0
    wanted = only or set(range(values.cases))
    outcomes = _watched(folder, max(values.cases, *wanted) + 1, values.seed, wanted)
    return _report(outcomes)


def _child(
    folder: pathlib.Path, log: pathlib.Path, count: int, seed: int, only: set[int]
) -> None:
    """Runs the cases `only`; a line in the log as each begins and as it ends."""
    units = everything_on_disk.make(folder)
    fuzz = Fuzz(units, seed=seed)
    with open(log, 'a') as file:
        chosen = [c for c in cases(units, count, seed=seed) if c.number in only]
        for case in chosen:  # fails at once where whole files are refused
            fuzz.expected(case.unit, case.use)
        for case in chosen:
            begun = dataclasses.asdict(case)
            print(json.dumps({'begun': begun}), file=file, flush=True)
            ended = fuzz.run(case)
            row = {'case': begun, 'verdict': ended.verdict, 'said': ended.said}
            print(json.dumps(row), file=file, flush=True)


def _watched(
    folder: pathlib.Path, count: int, seed: int, wanted: set[int]
) -> list[Outcome]:
    """The outcomes of all wanted cases, in child processes that may crash or hang."""
    everything = [sys.executable, __file__, f'--folder={folder}', f'--seed={seed}']
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as temporary:
        log = pathlib.Path(temporary) / 'log'
        while wanted:
            log.write_text('')
            names = ','.join(map(str, sorted(wanted)))
            child = subprocess.Popen(
                [*everything, f'--cases={count}', f'--only={names}', f'--log={log}']
            )
            rows: list[dict[str, Any]] = []
            since, ended = time.monotonic(), False
            while not ended:
                ended = child.poll() is not None
                lines = log.read_text().splitlines(keepends=True)
                for line in lines[len(rows) :]:
                    if not line.endswith('\n'):
                        break
                    rows.append(json.loads(line))
                    since = time.monotonic()
                    if 'verdict' in rows[-1]:
                        case = Case(**rows[-1].pop('case'))
                        outcomes.append(Outcome(case, **rows[-1]))
                        _show(outcomes[-1])
                if rows and time.monotonic() - since > _SECONDS:
                    child.kill()
                time.sleep(0.5)
            if not rows:
                raise RuntimeError('the files could not be made; see above')
            if 'begun' in rows[-1]:
                case = Case(**rows[-1]['begun'])
                outcomes.append(Outcome(case, 'crash', f'code {child.returncode}'))
                _show(outcomes[-1])
            elif child.returncode:
                raise RuntimeError(f'the child ended with code {child.returncode}')
            wanted = wanted - {each.case.number for each in outcomes}
    return outcomes


def _show(outcome: Outcome) -> None:
    case = outcome.case
    print(
        f'{case.number}: {case.unit}, {case.use}, {case.kind}, {case.damage}: '
        f'{outcome.verdict}'
    )
    print('    ' + outcome.said.replace('\n', '\n    '), flush=True)


def _report(outcomes: list[Outcome]) -> int:
    table: collections.Counter[tuple[str, str, str]] = collections.Counter()
    for each in outcomes:
        table[each.case.unit, each.case.damage, each.verdict] += 1
    for (unit, how, verdict), number in sorted(table.items()):
        print(f'{unit:10} {how:15} {verdict:25} {number}')
    verdicts = collections.Counter(each.verdict for each in outcomes)
    bad = sorted(each.case.number for each in outcomes if not each.is_well)
    print(f'{len(outcomes)} cases: {dict(verdicts)}')
    if bad:
        print(f'to repeat: --only={",".join(map(str, bad))}')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
