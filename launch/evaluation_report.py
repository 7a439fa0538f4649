"""Prints what launch.evaluate found of one model or two, and makes JSON of it."""

from __future__ import annotations

import dataclasses
from typing import Any

from hax_jax import errors
from hax_jax.evaluation import evaluate, scoring
from hax_jax.program import later
from launch import evaluation_rows, pair_groups

with later.imports():
    from hax_jax.evaluation import paired  # and scipy with it: for two models alone

_NAMED = 5  # ids printed of each kind; --output has all


def show(
    letter: str, rows: evaluation_rows.WithRows, scored: scoring.Scored, split: str
) -> None:
    """Prints the table of one model; `letter` A or B names it, or '' if it is alone."""
    candidate, cache = rows.candidate, rows.cache
    counts = cache.meta['splits'][split]
    ledger = cache.meta['ledger'][split]
    print(f'{letter + ": " if letter else ""}{candidate.name} ({candidate.why})')
    print(
        f'{rows.data.path}, {split}: {len(scored.evaluation.pairs)} pairs in '
        f'{counts["rows"]} rows of {cache.seq_len}; {len(ledger["dropped_ids"])} '
        f'dropped, {len(ledger["shortened_ids"])} shortened, '
        f'{len(ledger["split_ids"])} split'
    )
    for note in rows.notes + scored.notes:
        print(f'note: {note}')
    print(f'loss {scored.evaluation.loss:.4f} (as training weighs it)')
    print('\n'.join(lines(scored.evaluation.by)) + '\n', flush=True)


def compare(
    rows: list[evaluation_rows.WithRows],
    scored: list[scoring.Scored],
    *,
    split: str,
    seed: int,
) -> paired.Comparison:
    """Compares A with B, pair by pair, and prints the differences.

    Raises:
      InputError: they have no pair in common.
    """
    same = len({row.candidate.tokenizer.fingerprint for row in rows}) == 1
    if not same:
        print(
            'the tokenizers differ, and so do their tokens: compared in bits per byte'
        )
    groups = pair_groups.of(rows[0].data.path, split)
    a, b = (one.evaluation.pairs for one in scored)
    found = paired.compare(a, b, same_tokenizer=same, groups=groups, seed=seed)
    for ids, what in (
        (found.only_a, 'in the rows of A alone'),
        (found.only_b, 'in the rows of B alone'),
        (found.unlike, 'in both, but with answers cut or spelt differently'),
    ):
        if ids:
            named = ', '.join(ids[:_NAMED]) + (', ...' if len(ids) > _NAMED else '')
            print(f'note: {len(ids)} pairs are {what}, not compared ({named})')
    if not found.by:
        raise errors.InputError(
            'the models have no pair in common to compare; give a larger --seq_len.'
        )
    told = {name: each for name, each in found.by.items() if each.is_known}
    for source, difference in told.items():
        print(f'{source}: {paired.in_words(difference)}')
        print(
            f'  (by the formula: {difference.formula_low:+.4f} to '
            f'{difference.formula_high:+.4f}, A minus B)'
        )
    small = [
        f'{name} ({each.num_groups})'
        for name, each in found.by.items()
        if name not in told and name != 'all'
    ]
    if small:
        print(
            f'too few groups to tell, {paired.FEWEST_GROUPS} the least: '
            + ', '.join(small)
        )
    names = (row.candidate.name for row in rows)
    print(paired.verdict(found.by['all'], *names), flush=True)
    return found


def as_json(
    rows: list[evaluation_rows.WithRows],
    scored: list[scoring.Scored],
    comparison: paired.Comparison | None,
    *,
    seed: int,
) -> dict[str, Any]:
    """The models and their comparison, for --output."""
    models = [
        {
            'path': row.candidate.path,
            'step': row.candidate.step,
            'step_reason': row.candidate.why,
            'data': dataclasses.asdict(row.data),
            'tokenizer': row.candidate.tokenizer.fingerprint,
            'dataset': row.cache.fingerprint,
            'notes': row.notes + one.notes,
            'loss': one.evaluation.loss,
            'by': one.evaluation.by,
            'pairs': [_pair_row(pair) for pair in one.evaluation.pairs],
        }
        for row, one in zip(rows, scored, strict=True)
    ]
    if comparison is None:
        return {'models': models}
    compared = dataclasses.asdict(comparison) | {'seed': seed}
    for source, difference in comparison.by.items():
        compared['by'][source]['better'] = difference.better
    return {'models': models, 'comparison': compared}


def lines(by: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """`evaluate.Evaluation.by` as a table, and a line for the ends of answers."""
    width = max(20, *map(len, by))
    out = [
        f'{"source":<{width}} {"part":<9}{"tokens":>9}{"nll":>9}{"perplexity":>12}'
        f'{"bits/byte":>11}{"accuracy":>10}'
    ]
    for source, parts in by.items():
        for part in evaluate.PARTS:
            found = parts[part]
            out.append(
                f'{source:<{width}} {part:<9}{found["tokens"]:>9,}{found["nll"]:>9.4f}'
                f'{found["perplexity"]:>12.2f}{found["bits_per_byte"]:>11.4f}'
                f'{found["accuracy"]:>10.1%}'
            )
    for source, parts in by.items():
        if 'eos' in parts:
            eos = parts['eos']
            out.append(
                f'{source:<{width}} EOS at the end of {eos["answers"]:,} answers: '
                f'probability {eos["probability"]:.4f}, nll {eos["nll"]:.4f}, '
                f'likeliest in {eos["likeliest"]:.1%}'
            )
    return out


def _pair_row(pair: evaluate.PairScore) -> dict[str, Any]:
    """A pair's sums as one flat row of JSON."""
    row: dict[str, Any] = {'id': pair.id, 'source': pair.source}
    for name, part in (
        ('question', pair.question),
        ('answer', pair.answer),
        ('eos', pair.eos),
    ):
        row[f'{name}_nats'] = part.nats
        row[f'{name}_tokens'] = part.tokens
        if name != 'eos':
            row[f'{name}_bytes'] = part.bytes
    return row
