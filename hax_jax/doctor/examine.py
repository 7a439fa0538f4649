"""A run before its first step: what is measured of it, and what the checks find.

In every run a part is measured that compiles nothing new: the first batch, the cache's
ids, a few scorings with the run's own eval step, one trial step that is undone. `full`
adds the rest: blocks left out, steps on one batch, other rates.
"""

import collections
import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from hax_jax.config import schema
from hax_jax.data import records, text
from hax_jax.devices import mesh as mesh_lib
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
# Finding -> those that follow from it and say nothing new.
_BY_LABELS = (
    *('start', 'blocks', 'head', 'loss by shift', 'one batch', 'EOS', 'loss'),
    'order of weights',
)
_TEXTS = 'rows and pairs'
_BY_IDS = (
    _TEXTS,
    'more rows',
    'template',
    'characters',
    'tokenizer',
    'answers',
    'texts',
    'segments',
)
_BY_WEIGHTS = ('start', 'head', 'blocks', 'loss by shift', 'loss', 'order of weights')
_FOLLOWING = {
    'labels': (*_BY_LABELS, 'loss mask', 'token ids', _TEXTS, 'more rows'),
    'token ids': (*_BY_LABELS, *_BY_IDS, 'formula', 'finite'),
    'prompts': ('segments', 'positions', 'template', _TEXTS),
    'EOS': (_TEXTS,),
    'positions': ('order of weights',),
    'segments': ('isolation',),
    'adapters': ('gradients',),
    'weights': (*_BY_WEIGHTS, 'arrays'),
    'arrays': (
        *(*_BY_WEIGHTS, 'position embeddings', 'update size', 'one batch'),
        'gradients',
    ),
    'position embeddings': ('start', 'loss by shift', 'order of weights'),
    'order of weights': ('start', 'blocks', 'loss by shift'),
    'causality': ('formula',),
    'isolation': ('formula',),
    'alignment': ('formula',),
    'repeatable': ('formula', 'causality', 'isolation', 'alignment'),
    'formula': (*_BY_WEIGHTS, 'context', 'one batch'),
    'head': ('start', 'order of weights'),
    'blocks': ('start',),
    'update size': ('one batch', 'decay'),
    'direction': ('one batch', 'schedule'),
    'variety': ('answers',),
    'gradients': ('one batch',),
    'start': ('blocks', 'loss by shift'),
    'moments': ('one batch',),
    'microbatches': ('loss',),
    'batches': ('loss mask', 'labels', 'EOS', 'positions', 'segments'),
    'characters': (
        'blocks',
        'start',
        'order of weights',
    ),  # the base knows no such text
}
_MORE_ROWS = 64  # of each split, looked at beside the first batch
_SMALL_MODEL = 2**26  # bytes of parameters
_REPAIR_ROWS = 16
_LARGEST_MODEL = 2**31  # bytes of parameters that every run reads with NumPy too
_LARGEST_STATE = 2**32  # bytes of a state that a run copies to its host for a trial
_TIMES = (0.1, 10.0, 100.0)  # the rates of a full examination
_TIMES_STEPS = 8


@dataclasses.dataclass(frozen=True)
class Subject:
    """A run before its first step, with its functions as they are in this process.

    `batch` is the first one, [B, T] as the step gets it; `base` has the pretrained
    parameters, if there are any. `row_order` are the stream's first rows, `sampled` the
    prompts of the run's own samples by the pair's id.
    """

    run: schema.Config
    cache: records.PackedCache
    tokenizer: text.Tokenizer | None
    num_steps: int
    microbatch_size: int
    tx: optax.GradientTransformation
    state: Any
    batch: Mapping[str, jax.Array]
    step: Callable[[Any, Any], tuple[Any, dict[str, Any]]]
    eval_step: Callable[[Any, Any, Any], Mapping[str, jax.Array]]
    base: Mapping[str, np.ndarray] | None
    row_order: np.ndarray
    sampled: Mapping[str, list[int]] = dataclasses.field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, jax.Array]:
        state = self.state
        return param_tree.named(state.params) | param_tree.named(state.frozen)


def examine(
    subject: Subject, *, full: bool = False, pairs: Iterable[records.QaPair] = ()
) -> tuple[Any, dict[str, Any], list[diagnosis.Finding]]:
    """(the state, bit for bit as it was; the numbers; the findings, the worst first).

    The state that was given is donated to the trial step: use the one returned. `pairs`
    are training pairs of the dataset, with which the rows are compared.
    """
    begun = time.perf_counter()
    numbers = measure(subject)
    if subject.tokenizer is not None:
        numbers |= row_texts.compare(subject.cache, subject.tokenizer, pairs, 'train')
    state = subject.state
    if jax.process_count() > 1:
        numbers['left_out'] = 'model and step, as the run has several processes'
    else:
        numbers |= _of_model(subject, full=full)
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        if full or size <= _LARGEST_STATE:
            loss = numbers['scored_loss']
            state, more = _of_trial(subject, loss, full=full)
            numbers |= more
        else:
            numbers['left_out'] = (
                f'a trial step, as the state has {size / 1e9:.1f} GB; hax doctor '
                '--config makes one'
            )
    found = judged(numbers)
    numbers['seconds'] = time.perf_counter() - begun
    return state, numbers, found


def judged(numbers: diagnosis.Numbers) -> list[diagnosis.Finding]:
    """What all checks find, without what follows from a worse finding."""
    found = diagnosis.run(CHECKS, numbers)
    bad = {each.id for each in found if each.verdict == diagnosis.FAIL}
    known = {name for root in bad for name in _FOLLOWING.get(root, ())}
    return [
        each for each in found if each.verdict == diagnosis.OK or each.id not in known
    ]


def measure(subject: Subject) -> dict[str, Any]:
    """The numbers of config, rows and data."""
    run, cache = subject.run, subject.cache
    rows = {name: _local(array) for name, array in subject.batch.items()}
    numbers = {
        'pretrained': bool(run.model.pretrained),
        'is_lora': bool(run.lora.rank),
        'lora_scale': lora.scale(run.lora) if run.lora.rank else 1.0,
        'num_steps': subject.num_steps,
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
    numbers |= measure_rows.measure(rows, subject.tokenizer, eos_id=_eos(cache))
    numbers |= measure_data.measure(cache, subject.tokenizer)
    numbers |= measure_data.entropies(cache)
    trained = param_tree.named(subject.state.params).values()
    numbers['trained_parameters'] = sum(math.prod(leaf.shape) for leaf in trained)
    seen = subject.num_steps * run.train.batch_size
    numbers['epochs'] = seen / max(cache.num_rows('train'), 1)
    for name in ('train', 'validation'):
        numbers[f'{name}_rows'] = measure_rows.measure(
            {key: x[:_MORE_ROWS] for key, x in cache.features(name).items()},
            subject.tokenizer,
            eos_id=_eos(cache),
        ) | {'asked_question_weight': run.data.question_weight}
    order, num_rows = subject.row_order, cache.num_rows('train')
    if min(len(order), num_rows) > 7:
        numbers |= measure_rows.of_order(order, num_rows)
    if jax.process_count() == 1:
        packed = cache.features('train')
        of_batch = order[: len(rows['inputs'])]
        numbers['as_packed'] = measure_rows.as_packed(
            rows, {name: packed[name][of_batch] for name in rows}
        )
    if subject.tokenizer is not None:
        numbers |= measure_rows.of_prompts(
            cache, subject.tokenizer, subject.sampled, n_positions=run.model.n_positions
        )
    return numbers


def _of_model(subject: Subject, *, full: bool) -> dict[str, Any]:
    run = subject.run
    batch = {name: _local(array) for name, array in subject.batch.items()}
    score = scorer(subject)
    spans = measure_model.spans_of(batch, subject.tokenizer, _eos(subject.cache))
    nll, weights = np.float64(score({}, batch)), np.float64(batch['loss_weights'])
    used = measure_model.inside(spans, nll.shape)
    numbers: dict[str, Any] = {
        'batch_loss': measure_model.mean(nll, used),
        'losses_finite': bool(np.isfinite(nll[used]).all()),
        'scored_loss': float((nll * weights).sum() / max(weights.sum(), 1e-6)),
    }
    told, short = measure_model.probe(
        score, batch, spans, vocab_size=run.model.vocab_size
    )
    numbers |= told
    size = sum(leaf.nbytes for leaf in subject.parameters.values())
    if full or size <= _LARGEST_MODEL:
        exact = run.train.compute_dtype != 'bfloat16' and run.train.param_dtype != (
            'bfloat16'
        )
        numbers |= measure_model.against_formula(
            subject.parameters,
            run.model,
            short,
            adapter_scale=lora.scale(run.lora) if run.lora.rank else 1.0,
            is_exact=exact and jax.default_backend() == 'cpu',
        )
    few = {name: x[: subject.microbatch_size] for name, x in batch.items()}
    spans = [each for each in spans if each[0] < subject.microbatch_size]
    if subject.base is not None:
        told = measure_weights.against_file(subject.parameters, subject.base)
        numbers |= {'file_differences': told, 'file_compared': len(subject.base)}
        numbers |= measure_weights.contents(subject.base)
        numbers |= measure_weights.tied(score, few, spans, subject.parameters)
    if full or subject.base is not None:
        two = {name: x[:2] for name, x in few.items()}
        of_two = [each for each in spans if each[0] < 2]
        numbers['loss_shift'] = measure_model.shifts(score, two, of_two)
    if full:
        numbers |= measure_weights.weights(subject.parameters)
        if size <= _SMALL_MODEL:  # then more rows, so that less is left to chance
            some = subject.row_order[:_REPAIR_ROWS]
            packed = subject.cache.features('train')
            few = {name: np.asarray(packed[name][some]) for name in few}
            spans = measure_model.spans_of(few, subject.tokenizer, _eos(subject.cache))
        numbers |= measure_weights.repairs(
            score, few, spans, subject.parameters, run.model
        )
    return numbers


def _of_trial(
    subject: Subject, scored_loss: float, *, full: bool
) -> tuple[Any, dict[str, Any]]:
    run, step = subject.run, subject.step
    batch = {name: _local(array) for name, array in subject.batch.items()}
    sharding = next(iter(subject.batch.values())).sharding

    def placed_step(state: Any, rows: Any) -> Any:
        placed = {name: jax.device_put(x, sharding) for name, x in rows.items()}
        return step(state, placed)

    kept = measure_trial.keep(subject.state)
    numbers = measure_trial.of_optimizer(subject.tx, num_steps=subject.num_steps)
    told, trial = measure_trial.one(
        placed_step, subject.state, kept, batch, b1=run.optimizer.b1
    )
    numbers |= told
    is_odd = abs(numbers['step_loss'] - scored_loss) > 0.05
    if full or is_odd:
        score = scorer(dataclasses.replace(subject, state=kept.placed()))
    if is_odd:
        spans = measure_model.spans_of(batch, subject.tokenizer, _eos(subject.cache))
        numbers['step_loss_shift'] = measure_model.shifts(score, batch, spans)
    k = run.train.grad_accum_steps
    if k > 1:
        numbers |= measure_trial.of_microbatches(
            placed_step, kept, batch, num_microbatches=k
        )
    if not full:
        return kept.placed(), numbers

    def loss(replaced: Mapping[str, np.ndarray]) -> float:
        weights = np.float64(batch['loss_weights'])
        nll = np.float64(score(replaced, batch))
        return float((nll * weights).sum() / max(weights.sum(), 1e-6))

    numbers |= measure_trial.slope(
        loss, trial, told, loss=scored_loss, b1=run.optimizer.b1
    )
    del trial
    numbers |= measure_trial.noise(placed_step, kept, batch)
    if 'rates' in numbers:
        at_step = {int(at): rate for at, rate in numbers['rates'].items()}
        peak = max(at_step, key=lambda at: at_step[at])
        losses, last = measure_trial.overfit(placed_step, kept, batch, at_count=peak)
        numbers['overfit_losses'] = [each for each in losses if math.isfinite(each)]
        numbers |= {'overfit_before': scored_loss, 'overfit_after': _finite(loss(last))}
        tried = {}
        for times in _TIMES:
            _, last = measure_trial.overfit(
                placed_step,
                kept,
                batch,
                at_count=peak,
                times=times,
                num_steps=_TIMES_STEPS,
            )
            tried[str(times)] = _finite(loss(last))
        numbers |= {'range': tried, 'range_steps': _TIMES_STEPS}
    return kept.placed(), numbers


def scorer(subject: Subject) -> measure_model.Score:
    """Scores any number of rows with the run's eval step, a microbatch at a time."""
    state, size = subject.state, subject.microbatch_size
    params, frozen = (param_tree.named(tree) for tree in (state.params, state.frozen))
    sharding = mesh_lib.batch_sharding(state.step.sharding.mesh)

    def with_those(named: dict[str, Any], replaced: Mapping[str, np.ndarray]) -> Any:
        return {
            name: jax.device_put(replaced[name].astype(leaf.dtype), leaf.sharding)
            if name in replaced
            else leaf
            for name, leaf in named.items()
        }

    def score(
        replaced: Mapping[str, np.ndarray], rows: measure_rows.Rows
    ) -> np.ndarray:
        trees = (
            param_tree.like(tree, with_those(named, replaced))
            for tree, named in ((state.params, params), (state.frozen, frozen))
        )
        trained, still = trees
        out = []
        for start in range(0, len(rows['inputs']), size):
            part = {
                name: jax.device_put(
                    _dtype(
                        name, np.resize(x[start : start + size], (size, x.shape[1]))
                    ),
                    sharding,
                )
                for name, x in rows.items()
            }
            out.append(np.asarray(subject.eval_step(trained, still, part)['nll']))
        return np.concatenate(out)[: len(rows['inputs'])]

    return score


def _dtype(name: str, rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float32 if name == 'loss_weights' else np.int32)


def _dropout(run: schema.Config) -> float:
    model = run.model
    rates = (model.embd_pdrop, model.attn_pdrop, model.resid_pdrop, run.lora.dropout)
    return max(rates)


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
