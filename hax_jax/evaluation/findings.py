"""One model or two scored on a split, and compared: as tables, and as JSON."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from hax_jax import errors
from hax_jax.evaluation import evaluate, paired, same_rows, scoring
from hax_jax.program import progress

_NAMED = 5  # ids printed of each kind; `to_json` has all


@dataclasses.dataclass(frozen=True)
class Findings:
    """What was found of the models on a split, A first; `str` gives it as tables.

    `scored[i].evaluation` has model i's `loss` (nats per weighted token, as training
    weighs them), `by[source][part]` and a score of each pair. `comparison` is None for
    one model; in it, a mean over 0 says that B is better.
    """

    split: str
    rows: list[same_rows.WithRows]
    scored: list[scoring.Scored]
    comparison: paired.Comparison | None
    has_groups: bool
    seed: int

    def __str__(self) -> str:
        letters = 'AB' if len(self.rows) > 1 else ' '
        parts = [
            _table(letter.strip(), *model, self.split)
            for letter, *model in zip(letters, self.rows, self.scored, strict=True)
        ]
        if self.comparison:
            parts.append(self._compared(self.comparison))
        return '\n\n'.join(parts)

    def _compared(self, found: paired.Comparison) -> str:
        lines = []
        if not _same_tokenizer(self.rows):
            lines.append(
                'the tokenizers differ, and so do their tokens: compared in bits per '
                'byte'
            )
        if not self.has_groups:
            lines.append(
                'note: no groups of pairs are known here, so each pair is its own group'
            )
        for ids, what in (
            (found.only_a, 'in the rows of A alone'),
            (found.only_b, 'in the rows of B alone'),
            (found.unlike, 'in both, but with answers cut or spelt differently'),
        ):
            if ids:
                named = ', '.join(ids[:_NAMED]) + (', ...' if len(ids) > _NAMED else '')
                lines.append(
                    f'note: {len(ids)} pairs are {what}, not compared ({named})'
                )
        told = {name: each for name, each in found.by.items() if each.is_known}
        for source, difference in told.items():
            lines.append(f'{source}: {paired.in_words(difference)}')
            lines.append(
                f'  (by the formula: {difference.formula_low:+.4f} to '
                f'{difference.formula_high:+.4f}, A minus B)'
            )
        small = [
            f'{name} ({each.num_groups})'
            for name, each in found.by.items()
            if name not in told and name != 'all'
        ]
        if small:
            lines.append(
                f'too few groups to tell, {paired.FEWEST_GROUPS} the least: '
                + ', '.join(small)
            )
        names = (row.candidate.name for row in self.rows)
        lines.append(paired.verdict(found.by['all'], *names))
        return '\n'.join(lines)

    def to_json(self) -> dict[str, Any]:
        """The models, with a row of each pair, and their comparison, as JSON has it."""
        models = [
            {
                'path': row.candidate.path,
                'step': row.candidate.step,
                'step_reason': row.candidate.why,
                'data': dataclasses.asdict(row.data),
                'tokenizer': row.candidate.tokenizer.fingerprint,
                'dataset': row.cache.fingerprint,
                'notes': row.notes + one.notes,
                'warnings': row.warnings,
                'loss': one.evaluation.loss,
                'by': one.evaluation.by,
                'pairs': [_pair_row(pair) for pair in one.evaluation.pairs],
            }
            for row, one in zip(self.rows, self.scored, strict=True)
        ]
        found: dict[str, Any] = {'split': self.split, 'models': models}
        if self.comparison:
            compared = dataclasses.asdict(self.comparison) | {'seed': self.seed}
            for source, difference in self.comparison.by.items():
                compared['by'][source]['better'] = difference.better
            found['comparison'] = compared
        return found


def find(
    rows: list[same_rows.WithRows],
    split: str,
    *,
    batch_size: int = 0,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
    say: Callable[[str], Any] = print,
    here: bool = True,
) -> Findings:
    """Scores each model on its rows, and compares two pair by pair.

    `batch_size` 0 is each run's own. `groups` maps a pair's id to its group; without
    it, each pair is a group of its own. `seed` is of the bootstrap. `say` gets a line
    of each model, and the progress unless a bar is drawn `here`.

    Raises:
      InputError: two models have no pair in common.
    """
    scored = [_scored(each, split, batch_size, say, here) for each in rows]
    comparison = None
    if len(rows) > 1:
        a, b = (one.evaluation.pairs for one in scored)
        comparison = paired.compare(
            a, b, same_tokenizer=_same_tokenizer(rows), groups=groups or {}, seed=seed
        )
        if not comparison.by:
            raise errors.InputError(
                'the models have no pair in common to compare; give a larger seq_len.'
            )
    return Findings(split, rows, scored, comparison, bool(groups), seed)


def _scored(
    rows: same_rows.WithRows,
    split: str,
    batch_size: int,
    say: Callable[[str], Any],
    here: bool,
) -> scoring.Scored:
    model = rows.candidate
    total = scoring.num_batches(model, rows.cache, split, batch_size=batch_size)
    say(f'evaluating {model.name} ({model.why}): {total} batches')
    with progress.Progress('evaluating', total, 'batch', say=say, here=here) as shown:
        return scoring.score(
            model, rows.cache, split, batch_size=batch_size, on_batch=shown.add
        )


def _same_tokenizer(rows: list[same_rows.WithRows]) -> bool:
    return len({row.candidate.tokenizer.fingerprint for row in rows}) == 1


def _table(
    letter: str, rows: same_rows.WithRows, scored: scoring.Scored, split: str
) -> str:
    """One model's table; `letter` A or B names it, or '' if it is alone."""
    candidate, cache = rows.candidate, rows.cache
    counts = cache.meta['splits'][split]
    ledger = cache.meta['ledger'][split]
    return '\n'.join(
        [
            f'{letter + ": " if letter else ""}{candidate.name} ({candidate.why})',
            f'{rows.data.path}, {split}: {len(scored.evaluation.pairs)} pairs in '
            f'{counts["rows"]} rows of {cache.seq_len}; {len(ledger["dropped_ids"])} '
            f'dropped, {len(ledger["shortened_ids"])} shortened, '
            f'{len(ledger["split_ids"])} split',
            *(f'warning: {warning}' for warning in rows.warnings),
            *(f'note: {note}' for note in rows.notes + scored.notes),
            f'loss {scored.evaluation.loss:.4f} (as training weighs it)',
            *lines(scored.evaluation.by),
        ]
    )


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
