"""Compares two runs' folders bit by bit: what was logged, answered and learned."""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from hax_jax.runs import checkpoint, run_folder, saved_steps

# Of a line in metrics.jsonl: the clock, not the run, decides them.
_CLOCK = {'seconds', 'tokens_per_second', 'trained_tokens_per_second', 'mfu'}
_METRICS = 'metrics.jsonl'
_OF_CALLS = ('call', 'summary')  # lines that describe a call, not the run


@dataclasses.dataclass(frozen=True)
class Difference:
    """The first place where two runs differ, with the value that each has there.

    `step` is None for a file whose lines have none.
    """

    file: str
    step: int | None
    what: str
    unbroken: str
    killed: str

    def __str__(self) -> str:
        at = '' if self.step is None else f', step {self.step}'
        return (
            f'{self.file}{at}: {self.what} is {self.unbroken} in the unbroken run and '
            f'{self.killed} in the killed one'
        )


@dataclasses.dataclass
class Compared:
    """What was found equal, up to the first difference."""

    losses: int = 0
    evaluations: int = 0
    samples: int = 0
    tensors: int = 0
    bytes: int = 0
    checkpoints: list[int] = dataclasses.field(default_factory=list)
    difference: Difference | None = None


def compare(unbroken: pathlib.Path, killed: pathlib.Path) -> Compared:
    """Compares the folders of two runs that have ended, and stops at a difference.

    All lines of metrics.jsonl by step, but for what a clock decides; the other files of
    JSON lines, byte for byte; then of each checkpoint that both runs have, the newest
    first, parameters, moments and metadata. Their newest steps must be the same.
    """
    done = Compared()
    done.difference = next(_differences(unbroken, killed, done), None)
    return done


def _differences(
    unbroken: pathlib.Path, killed: pathlib.Path, done: Compared
) -> Iterator[Difference]:
    yield from _metrics(unbroken, killed, done)
    names = {
        path.name for folder in (unbroken, killed) for path in folder.glob('*.jsonl')
    }
    for name in sorted(names - {_METRICS}):
        both = itertools.zip_longest(_lines(unbroken / name), _lines(killed / name))
        for number, (ours, theirs) in enumerate(both, 1):
            if ours != theirs:
                place = f'line {number}'
                if ours and theirs:
                    for field, *values in _fields(json.loads(ours), json.loads(theirs)):
                        yield Difference(name, None, f'{place}, {field},', *values)
                values = (_short(line or 'missing') for line in (ours, theirs))
                yield Difference(name, None, place, *values)
            done.samples += name == 'samples.jsonl'
    yield from _checkpoints(unbroken, killed, done)


def _metrics(
    unbroken: pathlib.Path, killed: pathlib.Path, done: Compared
) -> Iterator[Difference]:
    both = itertools.zip_longest(_rows(unbroken), _rows(killed), fillvalue={})
    for ours, theirs in both:
        step = min(row['step'] for row in (ours, theirs) if row)
        place = [(row.get('step'), row.get('kind')) for row in (ours, theirs)]
        if place[0] != place[1]:
            words = [
                'no further line' if p[0] is None else f'{p[1]} of step {p[0]}'
                for p in place
            ]
            yield Difference(_METRICS, step, 'the next line', *words)
        for name, *values in _fields(ours, theirs):
            yield Difference(_METRICS, step, f'{ours["kind"]}.{name}', *values)
        done.losses += ours.get('kind') == 'train'
        done.evaluations += ours.get('kind') == 'evaluation'


def _rows(folder: pathlib.Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, without what a clock decides, by step and kind.

    A step's own line comes before its evaluation.
    """
    rows = map(json.loads, _lines(folder / _METRICS))
    kept = [
        {name: value for name, value in row.items() if name not in _CLOCK}
        for row in rows
        if row['kind'] not in _OF_CALLS
    ]
    return sorted(
        kept, key=lambda row: (row['step'], row['kind'] != 'train', row['kind'])
    )


def _checkpoints(
    unbroken: pathlib.Path, killed: pathlib.Path, done: Compared
) -> Iterator[Difference]:
    one, other = _whole(unbroken), _whole(killed)
    newest = [str(max(steps, default='none')) for steps in (one, other)]
    if newest[0] != newest[1]:
        what = 'the newest whole step'
        yield Difference(run_folder.CHECKPOINTS, None, what, *newest)
    for step in sorted(one.keys() & other.keys(), reverse=True):
        both = one[step], other[step]
        file = f'{run_folder.CHECKPOINTS}/{step}'
        facts = [
            {'validation_loss': info.validation_loss, **info.metadata} for info in both
        ]
        for name, *values in _fields(*facts):
            yield Difference(file, step, name, *values)
        parts = [checkpoint.parts(info.path) for info in both]
        if parts[0] != parts[1]:
            yield Difference(file, step, 'its trees', *map(_short, parts))
        for part in parts[0]:
            ours, theirs = (checkpoint.load_part(info.path, part) for info in both)
            for name in sorted(ours.keys() | theirs.keys()):
                found = tensor_difference(ours.get(name), theirs.get(name))
                if found:
                    place, *values = found
                    yield Difference(file, step, f'{part}.{name}{place}', *values)
                done.tensors += 1
                done.bytes += ours[name].nbytes
        done.checkpoints.append(step)


def _whole(workdir: pathlib.Path) -> dict[int, saved_steps.StepInfo]:
    steps = saved_steps.list_steps(workdir / run_folder.CHECKPOINTS, '')
    return {info.step: info for info in steps if not info.damage()}


def _fields(
    ours: dict[str, Any], theirs: dict[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Each field that differs: {'a': {'b': 1}}, {'a': {'b': 2}} -> 'a.b', '1', '2'."""
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = (each.get(name, 'missing') for each in (ours, theirs))
        if isinstance(one, dict) and isinstance(other, dict):
            for below, *values in _fields(one, other):
                yield f'{name}.{below}', *values
        elif one != other:
            yield name, _short(one), _short(other)


def tensor_difference(
    ours: np.ndarray | None, theirs: np.ndarray | None
) -> tuple[str, str, str] | None:
    """(place, our value, their value) of the first other bit of two arrays, or None.

    [1.0, 2.0] and [1.0, nan] -> ('[1]', '2.0', 'nan (1 of 2 values differ)').
    """
    described = [
        'missing' if array is None else f'{array.dtype}{list(array.shape)}'
        for array in (ours, theirs)
    ]
    if described[0] != described[1]:
        return '', described[0], described[1]
    if ours is None or theirs is None or ours.tobytes() == theirs.tobytes():
        return None
    size = ours.itemsize
    bits = [
        np.frombuffer(a.tobytes(), np.uint8).reshape(-1, size) for a in (ours, theirs)
    ]
    differ = np.flatnonzero((bits[0] != bits[1]).any(axis=1))
    place = np.unravel_index(differ[0], ours.shape)
    index = f'[{", ".join(map(str, place))}]' if place else ''
    count = f' ({differ.size} of {ours.size} values differ)'
    return index, str(ours[place]), str(theirs[place]) + count


def _lines(path: pathlib.Path) -> list[str]:
    if not path.exists():
        return []
    return path.read_text(encoding='utf-8').removesuffix('\n').split('\n')


def _short(value: Any) -> str:
    """The value in a few words."""
    text = value if isinstance(value, str) else json.dumps(value)
    text = text.replace('\n', ' ')
    return text if len(text) <= 100 else text[:100] + '...'
