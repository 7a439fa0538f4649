"""The bad steps of a run, with the rows and pairs of their batches: bad_steps.jsonl."""

import collections
import dataclasses
import json
import math
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from hax_jax import errors, json_lines
from hax_jax.data import records
from hax_jax.guards import judge

FILE = 'bad_steps.jsonl'


@dataclasses.dataclass(frozen=True)
class Found:
    """A bad step: its number, its kind and what was done, in the words of `judge`."""

    step: int
    kind: str
    action: str
    loss: float
    grad_norm: float

    def __str__(self) -> str:
        return (
            f'step {self.step} is bad, {self.kind}: loss {self.loss:.4g}, gradient '
            f'norm {self.grad_norm:.4g}'
        )


def of_metrics(step: int, values: dict[str, float]) -> Found | None:
    """The bad step in a step's metrics, as numbers; None if it is good."""
    if not values['bad']:
        return None
    return Found(
        step=step,
        kind=judge.KINDS[int(values['bad'])],
        action=judge.ACTIONS[int(values['action'])],
        loss=values['loss'],
        grad_norm=values['grad_norm'],
    )


class BadStepsFile:
    """bad_steps.jsonl of a run that goes on from a step; one line for each bad step.

    A line has `step`, `kind`, `action`, `loss`, `grad_norm`, `rows` (of the packed
    train split) and `pairs` (each with `row`, `id` and `source`); where the run was
    rolled back, `skip`, the first and last row of the stream that it leaves out since.
    A number that is not finite is text: "nan", "inf". The file is made with its first
    line.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        cache: records.PackedCache,
        rows_of: Callable[[int], np.ndarray],
        *,
        start: int,
        skip: tuple[tuple[int, int], ...] = (),
    ) -> None:
        """Removes the lines after step `start`, but not those whose rows are in `skip`.

        `rows_of` gives a step's rows [B].
        """
        self._log = json_lines.Log(workdir / FILE)
        self._cache, self._rows_of = cache, rows_of
        self._pairs: dict[int, list[tuple[str, str]]] | None = None
        if self._log.path.exists():
            self._log.keep_through(start, also=lambda line: _is_left_out(line, skip))

    def write(
        self, found: Iterable[Found], *, rolled_back: tuple[int, int] | None = None
    ) -> None:
        """Appends lines; the last one's rows of the stream are left out from now on."""
        lines = [self._line(each) for each in found]
        if rolled_back:
            lines[-1] |= {'action': 'rolled back', 'skip': list(rolled_back)}
        with self._log.open() as log:
            log.append(lines)

    def _line(self, found: Found) -> dict[str, Any]:
        if self._pairs is None:
            self._pairs = collections.defaultdict(list)
            for segment in self._cache.segments('train'):
                self._pairs[segment.row].append((segment.id, segment.source))
        rows = [int(row) for row in self._rows_of(found.step)]
        return {
            'step': found.step,
            'kind': found.kind,
            'action': found.action,
            'loss': in_json(found.loss),
            'grad_norm': in_json(found.grad_norm),
            'rows': rows,
            'pairs': [
                {'row': row, 'id': pair, 'source': source}
                for row in rows
                for pair, source in self._pairs.get(row, [])
            ],
        }


def _is_left_out(line: dict[str, Any], skip: tuple[tuple[int, int], ...]) -> bool:
    first, last = line.get('skip', (-1, -1))
    return any(begin <= first and last <= end for begin, end in skip)


def in_json(value: float) -> float | str:
    """The number, or its name where JSON has none: 'nan', 'inf', '-inf'."""
    return value if math.isfinite(value) else str(value)


def read_rows(workdir: pathlib.Path, step: int) -> list[int] | None:
    """The rows of a step that bad_steps.jsonl has a line of; else None.

    Raises:
      InputError: a line of the file is damaged.
    """
    for line in json_lines.Log(workdir / FILE).lines():
        try:
            found = json.loads(line.raw)
            if found['step'] == step:
                return [int(row) for row in found['rows']]
        except (ValueError, KeyError, TypeError) as error:
            raise errors.InputError(
                f'{workdir / FILE}, line {line.number}, is no bad step ({error}); move '
                'the file away to find the rows by their order.'
            ) from error
    return None
