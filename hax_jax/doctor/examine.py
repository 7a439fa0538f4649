"""A run at its first step: what else is measured of it, and what the checks find.

In every run that is config, optimizer, the first batch, the cache's ids and what the
first step changed, beside the model's numbers (first_look.py). `full` adds steps on one
batch and at other rates.
"""

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from hax_jax.config import schema
from hax_jax.data import input_pipeline, records, text
from hax_jax.doctor import (
    data_checks,
    diagnosis,
    first_look,
    input_checks,
    model_checks,
    optimizer_checks,
    rate_checks,
    row_checks,
    step_checks,
)
from hax_jax.doctor.subject import Subject, local
from hax_jax.measures import (
    measure_data,
    measure_model,
    measure_optimizer,
    measure_rows,
    measure_trial,
)
from hax_jax.model import lora, param_tree
from hax_jax.reference import rates, row_texts

CHECKS = (
    *row_checks.CHECKS,
    *input_checks.CHECKS,
    *model_checks.CHECKS,
    *step_checks.CHECKS,
    *optimizer_checks.CHECKS,
    *rate_checks.CHECKS,
    *data_checks.CHECKS,
)
_MORE_ROWS = 64  # of each split, looked at beside the first batch
_TIMES = (0.1, 10.0, 100.0)  # the rates of a full examination
_TIMES_STEPS = 8


def told(
    found: first_look.Look, state: Any, metrics: dict[str, Any], *, full: bool = False
) -> list[diagnosis.Finding]:
    """The findings, the worst first, once the first step gave `state` and `metrics`.

    Adds the step's numbers to those of the look.
    """
    begun = time.perf_counter()
    if found.before is not None:
        found.numbers |= _of_step(found, state, jax.device_get(metrics), full=full)
    findings = judged(found.numbers)
    seconds = time.perf_counter() - begun
    found.numbers['seconds'] = found.numbers.get('seconds', 0.0) + seconds
    return findings


def restored(run: schema.Config, state: Any) -> dict[str, Any]:
    """What is measured of a state that a run goes on from, before its next step."""
    numbers = measure_optimizer.restored(state, b2=run.optimizer.b2)
    return numbers and numbers | {'clip_norm': run.optimizer.clip_norm}


def resumed(
    numbers: dict[str, Any], metrics: dict[str, Any]
) -> list[diagnosis.Finding]:
    """The findings of `restored` once the next step gave `metrics`."""
    now = {'step_grad_norm': float(metrics['grad_norm'])}
    return diagnosis.run([step_checks.resumed], {**numbers, **now})


def judged(numbers: diagnosis.Numbers) -> list[diagnosis.Finding]:
    """What all checks find, without what follows from a worse finding."""
    return diagnosis.roots(diagnosis.run(CHECKS, numbers))


def measure(subject: Subject, pairs: Iterable[records.QaPair] = ()) -> dict[str, Any]:
    """The numbers of config, optimizer, rows and data; they need no model.

    `pairs` are training pairs of the dataset, with which the rows are compared.
    """
    run, cache, rows = subject.run, subject.cache, subject.rows
    # That of adapters has no effect on the first step.
    acting = max(run.model.embd_pdrop, run.model.attn_pdrop, run.model.resid_pdrop)
    numbers = {
        'pretrained': bool(run.model.pretrained),
        'is_lora': bool(run.lora.rank),
        'is_imported': subject.is_imported,
        'lora_scale': lora.scale(run.lora) if run.lora.rank else 1.0,
        'lora_alpha': run.lora.alpha,
        'num_steps': subject.num_steps,
        'room_for_longer_rows': run.model.n_positions - run.data.seq_len,
        'grad_accum_steps': run.train.grad_accum_steps,
        'asked_question_weight': run.data.question_weight,
        'long_answers': run.data.long_answers,
        'z_loss': run.train.z_loss,
        'asked_decay': run.optimizer.weight_decay,
        'asked_moments': [run.optimizer.b1, run.optimizer.b2, run.optimizer.eps],
        'asked_rates': rates.rates(run.optimizer, num_steps=subject.num_steps),
        'dropout': max(acting, run.lora.dropout),
        'has_dropout': max(acting, run.lora.dropout) > 0,
        'acting_dropout': acting,
        'ln_vocab': math.log(max(run.model.vocab_size, 2)),
    }
    if subject.validation_loss is not None:
        numbers['validation_loss'] = subject.validation_loss
    asked = rates.steps(run.optimizer, num_steps=subject.num_steps)
    numbers |= measure_optimizer.of_updates(subject.tx, asked)
    numbers |= measure_rows.measure(rows, subject.tokenizer, eos_id=subject.eos_id)
    numbers |= measure_data.measure(cache, subject.tokenizer)
    numbers |= measure_data.entropies(cache)
    trained = param_tree.named(subject.state.params).values()
    numbers['trained_parameters'] = sum(math.prod(leaf.shape) for leaf in trained)
    seen = subject.num_steps * run.train.batch_size
    numbers['epochs'] = seen / max(cache.num_rows('train'), 1)
    for name in ('train', 'validation'):
        _, numbers[f'{name}_rows'] = of_rows(
            cache,
            {key: x[:_MORE_ROWS] for key, x in cache.features(name).items()},
            subject.tokenizer,
            question_weight=run.data.question_weight,
        )
    order, num_rows = subject.row_order, cache.num_rows('train')
    if min(len(order), num_rows) > 7:
        numbers |= measure_rows.of_order(order, num_rows)
    if jax.process_count() == 1:
        numbers |= _as_packed(subject)
    if subject.tokenizer is not None:
        numbers |= measure_rows.of_prompts(
            cache, subject.tokenizer, subject.sampled, n_positions=run.model.n_positions
        )
        numbers |= row_texts.compare(cache, subject.tokenizer, pairs, 'train')
    return numbers


def of_rows(
    cache: records.PackedCache,
    rows: measure_rows.Rows,
    tokenizer: text.Tokenizer | None,
    *,
    question_weight: float,
) -> tuple[list[diagnosis.Finding], dict[str, Any]]:
    """(findings, numbers) of packed rows alone."""
    numbers = measure_rows.measure(rows, tokenizer, eos_id=int(cache.meta['eos_id']))
    numbers['asked_question_weight'] = question_weight
    return diagnosis.roots(diagnosis.run(row_checks.ROWS, numbers)), numbers


def _as_packed(subject: Subject) -> dict[str, Any]:
    """Whether batches of training and evaluation have the rows that are due."""
    cache, order = subject.cache, subject.row_order
    size, few = len(subject.batch['inputs']), subject.microbatch_size
    sharding = next(iter(subject.batch.values())).sharding
    evaluated = input_pipeline.eval_batches(
        cache, 'validation', sharding=sharding, batch_size=few
    )
    # An evaluation's rows behind the last of the split are empty.
    first = np.arange(min(few, cache.num_rows('validation')))
    due = (
        ('as_packed', subject.batch, 'train', order[:size]),
        ('next_as_packed', subject.next_batch, 'train', order[size : 2 * size]),
        ('evaluated_as_packed', next(evaluated, None), 'validation', first),
    )
    return {
        name: measure_rows.as_packed(
            {key: local(array)[: len(rows)] for key, array in batch.items()},
            {key: cache.features(split)[key][rows] for key in batch},
        )
        for name, batch, split, rows in due
        if batch is not None
    }


def _of_step(
    found: first_look.Look, state: Any, metrics: dict[str, Any], *, full: bool
) -> dict[str, Any]:
    """The numbers of the first step; in full those of trial steps too."""
    subject, b1 = found.subject, found.subject.run.optimizer.b1
    scored_loss, batch = found.numbers.get('scored_loss'), subject.rows
    numbers, trial = measure_trial.one(found.before, state, metrics, b1=b1)
    is_odd = scored_loss is not None and abs(numbers['step_loss'] - scored_loss) > 0.05
    if full or is_odd:
        old = found.before.placed(state)
        score = subject.scorer(old)
    if is_odd:
        spans = measure_model.spans_of(batch, subject.tokenizer, subject.eos_id)
        numbers['step_loss_shift'] = measure_model.shifts(score, batch, spans)
    if not full:
        return numbers

    def loss(replaced: Mapping[str, np.ndarray]) -> float:
        weights = np.float64(batch['loss_weights'])
        nll = np.float64(score(replaced, batch))
        return float((nll * weights).sum() / max(weights.sum(), 1e-6))

    found.say('whether a step lowers the loss')
    numbers |= measure_trial.slope(loss, trial, numbers, loss=scored_loss, b1=b1)
    del trial
    step, kept = found.step, found.kept
    numbers |= measure_trial.noise(step, kept, batch)
    if 'rates' in found.numbers:
        at_step = {int(at): rate for at, rate in found.numbers['rates'].items()}
        peak = max(at_step, key=lambda at: at_step[at])
        found.say('trial steps on one batch')
        losses, last = measure_trial.overfit(step, kept, batch, at_count=peak)
        numbers['overfit_losses'] = [each for each in losses if math.isfinite(each)]
        numbers |= {'overfit_before': scored_loss, 'overfit_after': _finite(loss(last))}
        tried = {}
        for times in _TIMES:
            found.say(f'trial steps at {times:g} times the rate')
            _, last = measure_trial.overfit(
                step, kept, batch, at_count=peak, times=times, num_steps=_TIMES_STEPS
            )
            tried[str(times)] = _finite(loss(last))
        numbers |= {'range': tried, 'range_steps': _TIMES_STEPS}
    return numbers


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 1e9
