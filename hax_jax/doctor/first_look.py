"""What is measured of a run's model before its first step.

In every run a part is measured that needs no program of its own: a few scorings with
the run's own eval step. Parts of it are left out where the look would take more than 2%
of the run. `full` adds the rest, such as each block left out.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from hax_jax.config import schema
from hax_jax.doctor.subject import Subject, size_of
from hax_jax.measures import measure_model, measure_rows, measure_trial, measure_weights

_SMALL_MODEL = 2**26  # bytes of parameters
_REPAIR_ROWS = 16
_SHIFTED_ROWS = 2  # scored at each shift of their labels
_LARGEST_TRAINED = 2**31  # bytes of trained parameters that a run copies to its host
_LARGEST_STATE = 2**32  # bytes of a state that a run copies to its host for trials
_SHARE = 0.02  # of a run's time, for what every run looks at
_LEAST_SECONDS = 1.5  # a look that takes so long is not cut short
_IN_FULL = 'hax doctor --config=... looks in full'
_STEP_SCORINGS = 3.0  # a step takes as long as scoring its rows so many times
_BYTES_A_SECOND = 5e8  # of parameters that are copied and compared


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

    def allows(
        self,
        part: str,
        scorings: float,
        seconds: float = 0.0,
        *,
        is_extra: bool = False,
    ) -> bool:
        """Whether a part fits that scores the batch so often, and takes so long beside.

        What is extra has no seconds of its own in a short run. A part that does not fit
        is noted.
        """
        if self._full:
            return True
        subject, scoring = self._found.subject, self._found.scoring
        of_run = subject.elapsed + time.perf_counter() - self._begun
        of_run += subject.num_steps * _STEP_SCORINGS * scoring
        most = max(0.0 if is_extra else _LEAST_SECONDS, _SHARE * of_run)
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
    taught: Callable[[], Mapping[str, bool]],
    *,
    full: bool = False,
    waited: Callable[[], float] = lambda: 0.0,
) -> None:
    """Adds what the step's program shows to a look.

    `taught` says by parameter whether the step can teach it (guards.reach), or raises
    NotImplementedError: a run does not end by what is only looked at. The state
    that was given may be donated: go on from `found.state`, which is the same bit for
    bit.
    """
    try:
        found.numbers['taught'] = dict(taught())
    except NotImplementedError as error:
        found.numbers['left_out'].append(f'what the step can teach, as {error}')
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


def _of_model(found: Look, budget: _Budget, *, full: bool) -> None:
    """Adds the numbers of the model, part by part while the look has time."""
    subject, batch = found.subject, found.subject.rows
    spans = measure_model.spans_of(batch, subject.tokenizer, subject.eos_id)
    rows = _Scored(batch, subject.scorer(subject.state), spans)
    evaluated = subject.row_seconds * len(batch['inputs'])
    if (
        size_of(subject.parameters) > _SMALL_MODEL
    ):  # as the evaluation took, until known
        found.scoring = evaluated
    for name, scorings, more, part in _parts(found, full=full):
        if budget.allows(name, scorings, more, is_extra=part is _of_adapters):
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


def _before_step(found: Look, rows: _Scored, full: bool) -> None:
    size = size_of(found.state.params)
    if not full and size > _LARGEST_TRAINED:
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
    subject, run = found.subject, found.subject.run
    arrays = subject.readable(full=full)

    def against(short: measure_rows.Rows) -> dict[str, Any]:
        if arrays is None:
            return {}
        return measure_model.against_formula(
            arrays, run.model, run.lora, short, is_exact=_is_exact(run)
        )

    found.numbers |= measure_model.probe(
        rows.score,
        rows.batch,
        rows.nll,
        rows.spans,
        vocab_size=run.model.vocab_size,
        full=full,
        against=against,
    )


def _is_exact(run: schema.Config) -> bool:
    """Whether two right computations differ by float32's rounding alone."""
    types = run.train.compute_dtype, run.train.param_dtype
    return 'bfloat16' not in types and jax.default_backend() == 'cpu'


def _of_adapters(found: Look, rows: _Scored, full: bool) -> None:
    subject, run = found.subject, found.subject.run
    arrays = subject.readable(full=full)
    if arrays is not None:
        found.numbers |= measure_model.of_adapters(
            rows.score, rows.batch, rows.spans, arrays, run.model, run.lora
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
    size = size_of(found.state)
    if not full and size > _LARGEST_STATE:
        found.numbers['left_out'].append(
            f'gradients by microbatch, as the state has {size / 1e9:.1f} GB; {_IN_FULL}'
        )
        return
    found.kept = measure_trial.keep(found.state)
    k = found.subject.run.train.grad_accum_steps
    if k > 1:
        found.numbers |= measure_trial.of_microbatches(
            found.step, found.state, found.kept, found.subject.rows, num_microbatches=k
        )
        found.state = found.kept.placed()


def _of_weights(found: Look, rows: _Scored, full: bool) -> None:
    subject, numbers = found.subject, found.numbers
    few, spans = _few(rows.batch, rows.spans, subject.microbatch_size)
    numbers |= measure_weights.weights(subject.parameters)
    # Of a small model more rows, so that less is left to chance.
    if size_of(subject.parameters) <= _SMALL_MODEL:
        some = subject.row_order[:_REPAIR_ROWS]
        packed = subject.cache.features('train')
        few = {name: np.asarray(packed[name][some]) for name in few}
        spans = measure_model.spans_of(few, subject.tokenizer, subject.eos_id)
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
    few = subject.microbatch_size  # rows that are scored at a time
    learning = size_of(subject.state.params) / _BYTES_A_SECOND
    everything = size_of(subject.parameters) / _BYTES_A_SECOND
    yield 'what the first step changes', 0.0, learning, _before_step
    yield 'the loss of the first batch', 1.0, 0.0, _of_batch
    probed = max(few, measure_model.PROBED) / size
    yield 'what losses depend on', probed, everything, _of_losses
    if full or subject.base is not None:
        shifted = max(few, _SHIFTED_ROWS * len(measure_model.SHIFTS)) / size
        if measure_model.is_by_formula(found.numbers):
            shifted = 0.0
        yield 'the pretrained weights', shifted, 0.0, _of_base
    if subject.run.lora.rank:
        yield 'what adapters add', few / size, everything, _of_adapters
    if full:
        yield 'repairs of weights', 0.0, 0.0, _of_weights


def _few(
    rows: measure_rows.Rows, spans: measure_model.Spans, size: int
) -> tuple[measure_rows.Rows, measure_model.Spans]:
    few = {name: x[:size] for name, x in rows.items()}
    return few, [each for each in spans if each[0] < size]
