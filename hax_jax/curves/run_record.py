"""What a run's folder tells of it: its config, its figures, its answers."""

import dataclasses
import json
from typing import Any

from hax_jax import errors, json_lines, places
from hax_jax.config import schema
from hax_jax.evaluation import history
from hax_jax.guards import bad_steps
from hax_jax.runs import run_folder, saved_steps
from hax_jax.training import eval_samples, run_summary

_METRICS = 'metrics.jsonl'


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run as its folder has it.

    `rows` are the lines of metrics.jsonl by their kind, each with its step; `answers`
    are the samples by step. `num_unread` counts lines of both that can't be read.
    """

    name: str
    place: str
    run_id: str
    config: schema.Config
    rows: dict[str, list[dict[str, Any]]]
    answers: list[dict[str, Any]]
    bad_steps: list[dict[str, Any]]
    environments: list[tuple[int, dict[str, Any]]]  # (first step kept with it, facts)
    num_unread: int
    num_checkpoints: int | None = None  # None if nobody has looked
    is_saved: bool = True  # False of a run that ended before its first checkpoint

    def series(self, kind: str, *keys: str) -> tuple[list[int], list[float]]:
        """(steps, numbers) of the rows of a kind that hold the keys, one in another."""
        steps, values = [], []
        for row in self.rows.get(kind, []):
            value: Any = row
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, int | float):
                steps.append(row['step'])
                values.append(value)
        return steps, values

    def sources(self) -> list[str]:
        """The sources of the validation split, the one with the most tokens first."""
        last = self.rows.get('evaluation', [])[-1:]
        by = last[0]['by'] if last else {}
        return sorted(by.keys() - {'all'}, key=lambda name: -by[name]['all']['tokens'])

    def last_step(self) -> int:
        return max(
            (row['step'] for rows in self.rows.values() for row in rows), default=0
        )

    def summary(self) -> run_summary.Summary | None:
        """How the newest call of `train` ended; None if none did since its last row."""
        rows = self.rows.get('summary', [])
        if not rows or rows[-1]['step'] < self.last_step():
            return None
        names = {field.name for field in dataclasses.fields(run_summary.Summary)}
        values = {name: value for name, value in rows[-1].items() if name in names}
        values['history'] = history.History(**values['history'])
        return run_summary.Summary(**values)


def read(place: str, *, name: str = '') -> RunRecord:
    """The record of the run at a path or gs:// place.

    A run without a checkpoint yet has its figures too.

    Raises:
      InputError: there is no run, or it has no metrics yet.
    """
    folder = places.path(place)
    identity, config = {'id': ''}, run_folder.read_unsaved(folder)
    is_saved = config is None
    if config is None:
        identity, config = run_folder.read_run(folder), run_folder.read_config(folder)
    metrics, unread = _lines(folder / _METRICS)
    if not metrics:
        found = f'{_METRICS} is missing or empty'
        if unread:
            found = f'the {unread} lines of {_METRICS} are cut or damaged'
        raise errors.InputError(
            f'{place} has no figures yet ({found}); train it for a step or more.'
        )
    answers, more = _lines(folder / eval_samples.FILE)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in metrics:
        if row['kind'] == 'evaluation' and 'loss' in row:  # an earlier version's
            row['eval_loss'] = row.pop('loss')
        rows.setdefault(row['kind'], []).append(row)
    return RunRecord(
        name=name or folder.name,
        place=str(folder),
        run_id=identity['id'],
        config=config,
        rows=rows,
        answers=answers,
        bad_steps=bad_steps_of(folder),
        environments=_environments(folder / run_folder.CHECKPOINTS, identity['id']),
        num_unread=unread + more,
        num_checkpoints=len(saved_steps.step_folders(folder / run_folder.CHECKPOINTS)),
        is_saved=is_saved,
    )


def bad_steps_of(folder: Any) -> list[dict[str, Any]]:
    """The lines of a run's bad_steps.jsonl; none where there is no such file."""
    return _lines(folder / bad_steps.FILE)[0]


def _lines(path: Any) -> tuple[list[dict[str, Any]], int]:
    """(the objects of a log of JSON lines, how many lines are none)."""
    found, unread = [], 0
    for line in json_lines.Log(path).lines():
        try:
            value = json.loads(line.raw, parse_constant=_refused)
        except ValueError:
            value = None
        if isinstance(value, dict) and isinstance(value.get('step'), int):
            found.append(value)
        else:
            unread += 1
    return found, unread


def _refused(name: str) -> None:
    raise ValueError(f'{name} is not JSON; no line of ours has it')


def _environments(folder: Any, run_id: str) -> list[tuple[int, dict[str, Any]]]:
    """The environments of the checkpoints that are left, each with its first step."""
    found: list[tuple[int, dict[str, Any]]] = []
    for info in saved_steps.list_steps(folder, run_id):
        facts = info.metadata.get('environment', {})
        if facts and (not found or found[-1][1] != facts):
            found.append((info.step, facts))
    return found
