"""Two runs compared pair by pair, from the scores that training left in their folders.

Source: hax_jax/evaluation/paired.py has the statistics.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from hax_jax import errors, places
from hax_jax.curves import run_record
from hax_jax.evaluation import saved_scores

_REMEDY = 'python -m launch.evaluate --workdir={} --workdir={}'


@dataclasses.dataclass(frozen=True)
class RunDifference:
    """What a page says of runs `a` and `b`, each with its step.

    `verdict` names the better one, or says why they are not compared. `rows` has a row
    for 'all' and each source with groups enough for an interval, its numbers A minus B.
    """

    a: str
    b: str
    verdict: str
    better: str = ''  # 'A' or 'B'
    unit: str = ''
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def of(
    a: run_record.RunRecord, b: run_record.RunRecord, *, groups: Mapping[str, str]
) -> RunDifference:
    """The paired difference of the validation scores at the best step of each.

    `groups` maps a pair's id to its group; without any, each pair is its own.
    """
    from hax_jax.evaluation import paired  # and scipy with it: for two runs alone

    command = _REMEDY.format(*map(shlex.quote, (a.place, b.place)))
    try:
        x, y = (saved_scores.read(places.path(each.place)) for each in (a, b))
    except errors.InputError as error:
        why = f'{a.name} and {b.name} are not compared: '
        lost = [each.name for each in (a, b) if each.num_checkpoints == 0]
        if lost:
            why += f'{" and ".join(lost)} have no checkpoint, so nothing can be scored'
            return RunDifference(a.name, b.name, why)
        why += f'{error}.'
        return RunDifference(
            a.name, b.name, f'{why.rstrip(".")}. To score both: {command}'
        )
    names = f'{a.name} at step {x.step}', f'{b.name} at step {y.step}'
    same = x.tokenizer == y.tokenizer
    found = paired.compare(x.pairs, y.pairs, same_tokenizer=same, groups=groups)
    if not found.by:
        return RunDifference(
            *names,
            f'{a.name} and {b.name} are not compared: their validation splits have no '
            f'pair in common. To score both on one dataset: {command} --data=FOLDER',
        )
    told = {name: each for name, each in found.by.items() if each.is_known}
    notes = _on_rows(a.name, x, y, groups, command)
    for ids, what in (
        (found.only_a, f'validation of {a.name} alone'),
        (found.only_b, f'validation of {b.name} alone'),
        (found.unlike, 'both, but their answers were cut differently'),
    ):
        if ids:
            notes.append(f'{len(ids):,} pairs are not compared: they are in {what}')
    small = [name for name in found.by if name not in told and name != 'all']
    if small:
        notes.append(f'too few groups for an interval: {", ".join(small)}')
    return RunDifference(
        *names,
        paired.verdict(found.by['all'], *names),
        better=found.by['all'].better,
        unit=found.by['all'].unit,
        rows=[
            {'source': name, 'better': each.better, **dataclasses.asdict(each)}
            for name, each in told.items()
        ],
        notes=notes,
    )


def _on_rows(
    a_name: str,
    x: saved_scores.SavedScores,
    y: saved_scores.SavedScores,
    groups: Mapping[str, str],
    command: str,
) -> list[str]:
    """How the rows of A's scores `x` and B's `y` differ; `command` scores both anew."""
    same = x.tokenizer == y.tokenizer
    notes = []
    alone = sum(pair.id not in groups for pair in x.pairs)
    if alone:
        notes.append(
            f'the groups of {alone:,} pairs are not known (the dataset of {a_name} is '
            'not there or has changed): each counts as its own, and the interval may '
            'be too narrow'
        )
    if not same:
        notes.append('the tokenizers differ, so the unit is bits per byte')
    if x.seq_len != y.seq_len:
        notes.append(
            f'rows of {x.seq_len} and of {y.seq_len} tokens: long questions were cut '
            f'differently. To score both on equal rows: {command}'
        )
    elif same and x.rows != y.rows:
        notes.append(
            'the rows differ (another dataset, or other data settings): the pairs that '
            f'both have are compared. To score both on one dataset: {command} '
            '--data=FOLDER'
        )
    return notes
