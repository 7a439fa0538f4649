"""Numbers of a run's own records: steps, layers, evaluations, answers."""

import statistics
from typing import Any

import numpy as np

from hax_jax.curves import run_record
from hax_jax.data import records
from hax_jax.measures import measure_data
from hax_jax.reference import rates

_MOST_TOKENS = 2_000_000  # of the training rows that answers are compared with
_EDGE = 5  # steps whose losses are averaged at a curve's ends
_COPY_TOKENS = 32  # of an answer and of training, in a row, are no accident, and
_COPY_BYTES = 128  # what they spell: unlike letters share a greeting, a proverb


def measure(record: run_record.RunRecord) -> dict[str, Any]:
    """What the run's rows say, in numbers; a name whose rows are absent is absent."""
    run = record.config
    numbers: dict[str, Any] = {
        'pretrained': bool(run.model.pretrained),
        'is_lora': bool(run.lora.rank),
        'steps': record.last_step(),
        'vocab_size': run.model.vocab_size,
    }
    steps, losses = record.series('train', 'loss')
    if losses:
        numbers |= _of_losses(losses)
        # A call that was stopped, and another that went on: the losses beside the seam.
        seams = {
            row['step']
            for kind in ('call', 'summary')
            for row in record.rows.get(kind, [])
        }
        jumps = {}
        for seam in sorted(seams):
            before = [
                loss for step, loss in zip(steps, losses, strict=True) if step <= seam
            ]
            after = [
                loss for step, loss in zip(steps, losses, strict=True) if step > seam
            ]
            if len(before) >= 2 and after:
                jumps[str(seam)] = statistics.fmean(after[:_EDGE]) - statistics.fmean(
                    before[-_EDGE:]
                )
        numbers['jumps'] = jumps
    evaluated = record.series('evaluation', 'eval_loss')
    if losses and evaluated[1] and evaluated[0][0] == 0:
        numbers['before_training'] = evaluated[1][0]
    numbers |= _of_rates(record)
    numbers |= _of_layers(record)
    _, norms = record.series('train', 'grad_norm')
    if norms and run.optimizer.clip_norm:
        numbers['clip_norm'] = run.optimizer.clip_norm
        numbers['clip_share'] = run.optimizer.clip_norm / max(
            statistics.median(norms), 1e-12
        )
    _, lost = record.series('train', 'lost_updates')
    if lost:
        numbers['lost_updates'] = statistics.median(lost)
    for name in ('repetition_4', 'eos_share', 'mean_length'):
        _, values = record.series('samples', name)
        if values:
            numbers[name] = values[-1]
    _, ends = record.series('evaluation', 'by', 'all', 'eos', 'nll')
    if len(ends) > 1:
        numbers |= {'eos_nll_first': ends[0], 'eos_nll_last': ends[-1]}
    numbers['unread_lines'] = record.num_unread
    if record.num_checkpoints is not None:
        numbers['checkpoints'] = record.num_checkpoints
        numbers['is_saved'] = record.is_saved
        numbers['save_every'] = run.train.checkpoint_every_steps
    return numbers | of_bad_steps(record.bad_steps, last_step=record.last_step())


def of_bad_steps(rows: list[dict[str, Any]], *, last_step: int) -> dict[str, Any]:
    """Of a run whose last known step is `last_step`."""
    numbers: dict[str, Any] = {'bad_steps': len(rows), 'last_step': last_step}
    if rows:
        last = {'kind': 'not said', 'action': 'not said'} | rows[-1]
        numbers |= {
            'bad_step': last['step'],
            'bad_kind': last['kind'],
            'bad_action': last['action'],
        }
    return numbers


def copied(record: run_record.RunRecord, cache: records.PackedCache) -> dict[str, Any]:
    """The longest run of tokens of the last step's answers that training has too."""
    rows = [row for row in record.answers if row.get('token_ids')]
    last = max((row['step'] for row in rows), default=0)
    features = cache.features('train')
    most = max(1, _MOST_TOKENS // cache.seq_len)
    known = ''.join(map(chr, np.asarray(features['targets'][:most]).ravel().tolist()))
    longest, size = 0, 1
    for row in rows:
        if row['step'] != last:
            continue
        said = ''.join(map(chr, row['token_ids']))
        for start in range(len(said)):
            while start + longest < len(said) and (
                said[start : start + longest + 1] in known
            ):
                longest, size = longest + 1, len(said)
    if not rows:
        return {}
    least = max(_COPY_TOKENS, measure_data.tokens_of(cache, _COPY_BYTES))
    return {'longest_copy': longest, 'longest_copy_of': size, 'copy_tokens': least}


def _of_losses(losses: list[float]) -> dict[str, Any]:
    first = statistics.fmean(losses[: min(_EDGE, len(losses))])
    last = statistics.fmean(losses[-_EDGE:])
    best, highest = min(losses), max(losses)
    return {
        'first_loss': losses[0],
        'first_losses': first,
        'last_losses': last,
        'lowest_loss': best,
        'highest_loss': highest,
        'logged': len(losses),
    }


def _of_rates(record: run_record.RunRecord) -> dict[str, Any]:
    """The largest difference of the rates from the config's, by the config's peak.

    Of the newest call alone: those before may have had another length or rate.
    """
    calls, summaries = (record.rows.get(kind, []) for kind in ('call', 'summary'))
    begun = [row['step'] for row in calls]
    if not begun:  # of an earlier version, which wrote how calls ended alone
        begun = [row['step'] for row in summaries if row['step'] < record.last_step()]
    rows = [
        row
        for row in record.rows.get('train', [])
        if 'learning_rate' in row and row['step'] > max(begun, default=0)
    ]
    told = [row['num_steps'] for row in (*summaries, *calls)]
    total = record.config.train.num_steps or (told[-1] if told else 0)
    if not rows or not total or record.bad_steps:
        return {}
    settings = record.config.optimizer
    off = {
        str(row['step']): row['learning_rate']
        - rates.rate(settings, row['step'] - 1, num_steps=total)
        for row in rows
    }
    worst = max(off, key=lambda step: abs(off[step]))
    return {
        'rate_off_step': int(worst),
        'rate_off': off[worst] / settings.learning_rate,
        'rate_last': rows[-1]['learning_rate'],
        'rate_peak': max(row['learning_rate'] for row in rows),
    }


def _of_layers(record: run_record.RunRecord) -> dict[str, Any]:
    rows = [row['by'] for row in record.rows.get('layers', [])]
    if not rows:
        return {}
    ratio = {
        name: statistics.median(
            row[name]['update_ratio'] for row in rows if name in row
        )
        for name in rows[-1]
    }
    still = [
        name
        for name in rows[-1]
        if all(row.get(name, {}).get('update_norm', 1.0) == 0 for row in rows)
    ]
    return {'update_ratio': ratio, 'still_layers': still}
