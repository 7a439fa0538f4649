"""A run at its first step: what is measured of it, and what the checks find.

In every run a part is measured that needs no program of its own: the first batch, the
cache's ids, a few scorings with the run's own eval step, and what the first step
changed. Parts of it are left out where the look would take more than 2% of the run.
`full` adds the rest: blocks left out, steps on one batch, other rates.
"""

import collections
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import optax

from hax_jax.config import schema
from hax_jax.data import input_pipeline, records, text
from hax_jax.doctor import (
    data_checks,
    diagnosis,
    input_checks,
    measure_data,
    measure_model,
    measure_rows,
    measure_trial,
    measure_weights,
    model_checks,
    rate_checks,
    row_checks,
    step_checks,
)
from hax_jax.model import lora, param_tree
from hax_jax.reference import rates, row_texts

CHECKS = (
    *row_checks.CHECKS,
    *input_checks.CHECKS,
    *model_checks.CHECKS,
    *step_checks.CHECKS,
    *rate_checks.CHECKS,
    *data_checks.CHECKS,
)
_MORE_ROWS = 64  # of each split, looked at beside the first batch
_SMALL_MODEL = 2**26  # bytes of parameters
_REPAIR_ROWS = 16
_SHIFTED_ROWS = 2  # scored at each shift of their labels
_LARGEST_MODEL = 2**31  # bytes of parameters that every run reads with NumPy too
_LARGEST_STATE = 2**32  # bytes of a state that a run copies to its host for trials
_SHARE = 0.02  # of a run's time, for what every run looks at
_LEAST_SECONDS = 1.5  # a look that takes so long is not cut short
_IN_FULL = 'hax doctor --config=... looks in full'
_STEP_SCORINGS = 3.0  # a step takes as long as scoring its rows so many times
_BYTES_A_SECOND = 5e8  # of parameters that are copied and compared
_TIMES = (0.1, 10.0, 100.0)  # the rates of a full examination
_TIMES_STEPS = 8


@dataclasses.dataclass(frozen=True)
class Subject:
    """A run before its first step, with its functions as they are in this process.

    `batch` is the first one, [B, T] as the step gets it, `next_batch` the second, if
    there is one; `base` has the pretrained parameters, if there are any. `row_order`
    are the stream's first rows, batch by batch, `sampled` the
    prompts of the run's own samples by the pair's id. `elapsed` are the seconds of the
    run so far, `row_seconds` those that scoring one row takes. `validation_loss` is
    that before training, if it was measured.
    """

    run: schema.Config
    cache: records.PackedCache
    tokenizer: text.Tokenizer | None
    num_steps: int
    microbatch_size: int
    tx: optax.GradientTransformation
    state: Any
    batch: Mapping[str, jax.Array]
    eval_step: Callable[[Any, Any, Any], Mapping[str, jax.Array]]
    base: Mapping[str, np.ndarray] | None
    row_order: np.ndarray
    next_batch: Mapping[str, jax.Array] | None = None
    sampled: Mapping[str, list[int]] = dataclasses.field(default_factory=dict)
    is_imported: bool = False  # its parameters were trained elsewhere
    elapsed: float = 0.0
    row_seconds: float = 0.0
    validation_loss: float | None = None

    @property
    def parameters(self) -> dict[str, jax.Array]:
        state = self.state
        return param_tree.named(state.params) | param_tree.named(state.frozen)

    def readable(self, *, full: bool) -> Mapping[str, Any] | None:
        """The parameters on the host; None of a large model, but in full."""
        if not full and _size(self.parameters) > _LARGEST_MODEL:
            return None
        return {name: np.asarray(leaf) for name, leaf in self.parameters.items()}


@dataclasses.dataclass
class Look:
    """What was measured before the first step; `state` is the one to step from.

    `before` has what the step is compared with, if it is; `step` is the run's own, once
    it is compiled; `scoring` are the seconds of scoring the first batch. `say` hears
    what is looked at next.
    """

    subject: Subject
    state: Any
    numbers: dict[str, Any]
    scoring: float = 0.0
    step: measure_trial.Step | None = None
    before: measure_trial.Before | None = None
    kept: measure_trial.Kept | None = None  # the state, for trial steps
    say: Callable[[str], None] = lambda _: None


class _Budget:
    """What a look may cost a run: 2% of its time, or 1.5 s; in full, any time.

    `waited` gives the seconds for which the run has waited for the look.
    """

    def __init__(self, found: Look, waited: Callable[[], float], *, full: bool) -> None:
        self._found, self._waited, self._full = found, waited, full
        self._begun = time.perf_counter()
        self._too_long: list[str] = []
        self._limit = ''

    def allows(self, part: str, scorings: float, seconds: float = 0.0) -> bool:
        """Whether a part fits that scores the batch so often, and takes so long beside.

        One that does not is noted.
        """
        if self._full:
            return True
        subject, scoring = self._found.subject, self._found.scoring
        of_run = subject.elapsed + time.perf_counter() - self._begun
        of_run += subject.num_steps * _STEP_SCORINGS * scoring
        most = max(_LEAST_SECONDS, _SHARE * of_run)
        if self._waited() + scorings * scoring + seconds <= most:
            return True
        self._too_long.append(part)
        self._limit = f'{most:.1f} s of a run of some {of_run:.0f} s'
        return False

    def end(self) -> None:
        """Adds a sentence with the parts that did not fit to what was left out."""
        if self._too_long:
            parts = ', '.join(self._too_long)
            self._found.numbers['left_out'].append(
                f'{parts}, as the look would take over {self._limit}; {_IN_FULL}'
            )


def look(
    subject: Subject,
    *,
    full: bool = False,
    waited: Callable[[], float] = lambda: 0.0,
    say: Callable[[str], None] = lambda _: None,
) -> Look:
    """Measures the model of a run before its step is compiled.

    `waited` gives the seconds for which the run has waited for it: a look beside other
    work leaves nothing out for the time of that work.
    """
    begun = time.perf_counter()
    found = Look(subject, subject.state, {'left_out': []}, say=say)
    if jax.process_count() > 1:
        found.numbers['left_out'] = ['model and step, as the run has several processes']
    else:
        _of_model(found, _Budget(found, waited, full=full), full=full)
    found.subject = dataclasses.replace(subject, base=None)  # not kept for the step
    found.numbers['look_seconds'] = time.perf_counter() - begun
    return found


def compiled(
    found: Look,
    step: Callable[[Any, Any], tuple[Any, dict[str, Any]]],
    taught: Mapping[str, bool],
    *,
    full: bool = False,
    waited: Callable[[], float] = lambda: 0.0,
) -> None:
    """Adds what the step's program shows to a look.

    `taught` says by parameter whether the step can teach it (guards.reach). The state
    that was given may be donated: go on from `found.state`, which is the same bit for
    bit.
    """
    found.numbers['taught'] = dict(taught)
    sharding = next(iter(found.subject.batch.values())).sharding

    def placed(state: Any, rows: measure_rows.Rows) -> tuple[Any, dict[str, Any]]:
        return step(state, {n: jax.device_put(x, sharding) for n, x in rows.items()})

    found.step = placed
    in_parts = full or found.subject.run.train.grad_accum_steps > 1
    if jax.process_count() == 1 and in_parts:
        budget = _Budget(found, waited, full=full)
        if budget.allows('gradients by microbatch', 2 * _STEP_SCORINGS):
            found.say('gradients by microbatch')
            _of_microbatches(found, full=full)
        budget.end()


def told(
    found: Look, state: Any, metrics: dict[str, Any], *, full: bool = False
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
    numbers = measure_trial.restored(state, b2=run.optimizer.b2)
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
    run, cache = subject.run, subject.cache
    rows = {name: _local(array) for name, array in subject.batch.items()}
    numbers = {
        'pretrained': bool(run.model.pretrained),
        'is_lora': bool(run.lora.rank),
        'is_imported': subject.is_imported,
        'lora_scale': lora.scale(run.lora) if run.lora.rank else 1.0,
        'num_steps': subject.num_steps,
        'room_for_longer_rows': run.model.n_positions - run.data.seq_len,
        'grad_accum_steps': run.train.grad_accum_steps,
        'asked_question_weight': run.data.question_weight,
        'long_answers': run.data.long_answers,
        'asked_decay': run.optimizer.weight_decay,
        'asked_moments': [run.optimizer.b1, run.optimizer.b2, run.optimizer.eps],
        'asked_rates': rates.rates(run.optimizer, num_steps=subject.num_steps),
        'dropout': _dropout(run),
        'has_dropout': _dropout(run) > 0,
        'ln_vocab': math.log(max(run.model.vocab_size, 2)),
    }
    if subject.validation_loss is not None:
        numbers['validation_loss'] = subject.validation_loss
    asked = rates.steps(run.optimizer, num_steps=subject.num_steps)
    numbers |= measure_trial.of_optimizer(subject.tx, asked)
    numbers |= measure_rows.measure(rows, subject.tokenizer, eos_id=_eos(cache))
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
    numbers = measure_rows.measure(rows, tokenizer, eos_id=_eos(cache))
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
            {key: _local(array)[: len(rows)] for key, array in batch.items()},
            {key: cache.features(split)[key][rows] for key in batch},
        )
        for name, batch, split, rows in due
        if batch is not None
    }


def _of_model(found: Look, budget: _Budget, *, full: bool) -> None:
    """Adds the numbers of the model, part by part while the look has time."""
    subject, batch = found.subject, _batch(found.subject)
    spans = measure_model.spans_of(batch, subject.tokenizer, _eos(subject.cache))
    rows = _Scored(batch, _scorer(subject, subject.state), spans)
    evaluated = subject.row_seconds * len(batch['inputs'])
    if _size(subject.parameters) > _SMALL_MODEL:  # as the evaluation took, until known
        found.scoring = evaluated
    for name, scorings, more, part in _parts(found, full=full):
        if budget.allows(name, scorings, more):
            found.say(name)
            now = time.perf_counter()
            part(found, rows, full)
            if part is _of_batch:
                # Beside tracing it takes longer than it does alone.
                found.scoring = min(time.perf_counter() - now, evaluated or math.inf)
    budget.end()


@dataclasses.dataclass(frozen=True)
class _Scored:
    batch: measure_rows.Rows
    score: measure_model.Score
    spans: measure_model.Spans

    @functools.cached_property
    def nll(self) -> np.ndarray:
        """[B, T], in float64."""
        return np.float64(self.score({}, self.batch))


def _scorer(subject: Subject, state: Any) -> measure_model.Score:
    return measure_model.scorer(subject.eval_step, state, size=subject.microbatch_size)


def _before_step(found: Look, rows: _Scored, full: bool) -> None:
    size = _size(found.state.params)
    if not full and size > _LARGEST_MODEL:
        found.numbers['left_out'].append(
            f'what the first step changes, as {size / 1e9:.1f} GB learn; {_IN_FULL}'
        )
        return
    found.before = measure_trial.before(found.state)


def _of_batch(found: Look, rows: _Scored, full: bool) -> None:
    nll, weights = rows.nll, np.float64(rows.batch['loss_weights'])
    used = measure_model.inside(rows.spans, nll.shape)
    found.numbers |= {
        'batch_loss': measure_model.mean(nll, used),
        'losses_finite': bool(np.isfinite(nll[used]).all()),
        'scored_loss': float((nll * weights).sum() / max(weights.sum(), 1e-6)),
    }


def _of_losses(found: Look, rows: _Scored, full: bool) -> None:
    subject, run, numbers = found.subject, found.subject.run, found.numbers
    told, short = measure_model.probe(
        rows.score, rows.batch, rows.nll, rows.spans, vocab_size=run.model.vocab_size
    )
    numbers |= told
    arrays = subject.readable(full=full)
    if arrays is not None:
        exact = run.train.compute_dtype != 'bfloat16' and run.train.param_dtype != (
            'bfloat16'
        )
        numbers |= measure_model.against_formula(
            arrays,
            run.model,
            short,
            adapter_scale=lora.scale(run.lora) if run.lora.rank else 1.0,
            is_exact=exact and jax.default_backend() == 'cpu',
        )


def _of_base(found: Look, rows: _Scored, full: bool) -> None:
    subject, numbers = found.subject, found.numbers
    few, of_few = _few(rows.batch, rows.spans, subject.microbatch_size)
    if subject.base is not None:
        ours = subject.readable(full=full) or subject.parameters
        told = measure_weights.against_file(ours, subject.base)
        numbers |= {'file_differences': told, 'file_compared': len(subject.base)}
        numbers |= measure_weights.contents(subject.base)
        numbers |= measure_weights.tied(rows.score, few, of_few, subject.parameters)
    # A loss by the formula shifts nothing.
    if full or not measure_model.is_by_formula(numbers):
        two, of_two = _few(few, of_few, _SHIFTED_ROWS)
        numbers['loss_shift'] = measure_model.shifts(rows.score, two, of_two)


def _of_microbatches(found: Look, *, full: bool) -> None:
    if found.before is None:
        return
    size = _size(found.state)
    if not full and size > _LARGEST_STATE:
        found.numbers['left_out'].append(
            f'gradients by microbatch, as the state has {size / 1e9:.1f} GB; {_IN_FULL}'
        )
        return
    found.kept = measure_trial.keep(found.state)
    k = found.subject.run.train.grad_accum_steps
    if k > 1:
        found.numbers |= measure_trial.of_microbatches(
            found.step,
            found.state,
            found.kept,
            _batch(found.subject),
            num_microbatches=k,
        )
        found.state = found.kept.placed()


def _of_weights(found: Look, rows: _Scored, full: bool) -> None:
    subject, numbers = found.subject, found.numbers
    few, spans = _few(rows.batch, rows.spans, subject.microbatch_size)
    numbers |= measure_weights.weights(subject.parameters)
    # Of a small model more rows, so that less is left to chance.
    if _size(subject.parameters) <= _SMALL_MODEL:
        some = subject.row_order[:_REPAIR_ROWS]
        packed = subject.cache.features('train')
        few = {name: np.asarray(packed[name][some]) for name in few}
        spans = measure_model.spans_of(few, subject.tokenizer, _eos(subject.cache))
    numbers |= measure_weights.repairs(
        rows.score, few, spans, subject.parameters, subject.run.model
    )


def _parts(
    found: Look, *, full: bool
) -> Iterator[tuple[str, float, float, Callable[[Look, _Scored, bool], None]]]:
    """(what it looks at, its scorings of the first batch, more seconds, what adds it).

    Parts of more worth come first.
    """
    subject, size = found.subject, found.subject.run.train.batch_size
    learning = _size(subject.state.params) / _BYTES_A_SECOND
    everything = _size(subject.parameters) / _BYTES_A_SECOND
    yield 'what the first step changes', 0.0, learning, _before_step
    yield 'the loss of the first batch', 1.0, 0.0, _of_batch
    probed = max(1.0, measure_model.PROBED / size)
    yield 'what losses depend on', probed, everything, _of_losses
    if full or subject.base is not None:
        shifted = max(1.0, _SHIFTED_ROWS * len(measure_model.SHIFTS) / size)
        if measure_model.is_by_formula(found.numbers):
            shifted = 0.0
        yield 'the pretrained weights', shifted, 0.0, _of_base
    if full:
        yield 'repairs of weights', 0.0, 0.0, _of_weights


def _few(
    rows: measure_rows.Rows, spans: measure_model.Spans, size: int
) -> tuple[measure_rows.Rows, measure_model.Spans]:
    few = {name: x[:size] for name, x in rows.items()}
    return few, [each for each in spans if each[0] < size]


def _of_step(
    found: Look, state: Any, metrics: dict[str, Any], *, full: bool
) -> dict[str, Any]:
    """The numbers of the first step; in full those of trial steps too."""
    subject, b1 = found.subject, found.subject.run.optimizer.b1
    scored_loss, batch = found.numbers.get('scored_loss'), _batch(subject)
    numbers, trial = measure_trial.one(found.before, state, metrics, b1=b1)
    is_odd = scored_loss is not None and abs(numbers['step_loss'] - scored_loss) > 0.05
    if full or is_odd:
        old = found.before.placed(state)
        score = _scorer(subject, old)
    if is_odd:
        spans = measure_model.spans_of(batch, subject.tokenizer, _eos(subject.cache))
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


def _batch(subject: Subject) -> measure_rows.Rows:
    return {name: _local(array) for name, array in subject.batch.items()}


def _dropout(run: schema.Config) -> float:
    model = run.model
    rates = (model.embd_pdrop, model.attn_pdrop, model.resid_pdrop, run.lora.dropout)
    return max(rates)


def _size(tree: Any) -> int:
    """Its bytes."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def _eos(cache: records.PackedCache) -> int:
    return int(cache.meta['eos_id'])


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 1e9


def _local(array: Any) -> np.ndarray:
    """The rows of a batch that this process holds, each once."""
    if not isinstance(array, jax.Array) or array.is_fully_addressable:
        return np.asarray(array)
    shards = collections.OrderedDict(
        (str(shard.index), shard.data) for shard in array.addressable_shards
    )
    return np.concatenate([np.asarray(each) for each in shards.values()])
