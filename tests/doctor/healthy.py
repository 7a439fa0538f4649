"""Thirty healthy runs: three seeds of ten kinds."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import harness
import plants
import pytest

from hax_jax.config import schema

SEEDS = (0, 1, 2)


def _kinds(
    base: pathlib.Path, setting: harness.Setting
) -> dict[str, tuple[schema.Config, str, int | None]]:
    """Name -> (config, files of the corpus, the most pairs)."""
    rate = {'optimizer__learning_rate': setting.rate}
    fine = harness.on(harness.config(setting, **rate), base)

    def with_(run: schema.Config, **changes: object) -> schema.Config:
        plant = plants.Plant(pytest.MonkeyPatch(), {}, run, 1.0, [])
        plant.set(**changes)
        return plant.run

    letters, others, everything = map(
        setting.pattern, ('column_*.md', '[rc][eh]*.md', '*.md')
    )
    return {
        'full': (fine, letters, None),
        'LoRA': (
            harness.lora(with_(fine, optimizer__learning_rate=4 * setting.rate)),
            letters,
            None,
        ),
        'DoRA with dropout': (
            harness.lora(fine, dora=True, dropout=0.1, rank=4),
            letters,
            None,
        ),
        'scratch': (harness.config(setting), others, None),
        'scratch, dropout, large': (
            harness.config(
                setting,
                model__embd_pdrop=0.1,
                model__resid_pdrop=0.1,
                model__n_embd=2 * setting.n_embd,
            ),
            everything,
            None,
        ),
        # More epochs learn ten letters by heart, which the doctor says.
        'tiny data': (with_(fine, train__num_steps=20), letters, 12),
        'bfloat16': (with_(fine, train__compute_dtype='bfloat16'), letters, None),
        'linear, accumulated': (
            with_(fine, optimizer__schedule='linear', train__grad_accum_steps=2),
            letters,
            None,
        ),
        'wsd, answers alone': (
            with_(fine, optimizer__schedule='wsd', data__question_weight=0.0),
            letters,
            None,
        ),
        'split answers, short rows': (
            with_(fine, data__seq_len=256, data__long_answers='split'),
            letters,
            None,
        ),
    }


@contextlib.contextmanager
def _plan(made: harness.Splits, run: schema.Config) -> Iterator[plants.Plant]:
    with pytest.MonkeyPatch.context() as patch:
        yield plants.Plant(patch, made, run, 0.0, [])


def plans(
    base: pathlib.Path, setting: harness.Setting
) -> Iterator[tuple[str, int, Any]]:
    """(name, seed, the plant of no fault) of each run."""
    for seed in SEEDS:
        for name, (run, files, most) in _kinds(base, setting).items():
            train = dataclasses.replace(run.train, seed=seed)
            yield (
                name,
                seed,
                _plan(
                    harness.splits(files, most=most),
                    dataclasses.replace(run, train=train),
                ),
            )


def table(done: list[dict[str, Any]]) -> str:
    lines = ['| run | seed | fail | warn |', '|---|---|---|---|']
    total = {'fail': 0, 'warn': 0}
    for each in done:
        # A check that speaks twice, before the first step and in full, counts once.
        found = {
            (row['id'], row['verdict'])
            for part in ('every', 'full', 'after')
            for row in each[part]
        }
        said = {
            verdict: [name for name, which in sorted(found) if which == verdict]
            for verdict in total
        }
        for verdict, names in said.items():
            total[verdict] += len(names)
        lines.append(
            f'| {each["name"]} | {each["strength"]} | {", ".join(said["fail"]) or 0} | '
            f'{", ".join(said["warn"]) or 0} |'
        )
    return '\n'.join(
        [*lines, f'\n{len(done)} runs: {total["fail"]} fails, {total["warn"]} warns']
    )
