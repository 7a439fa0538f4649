"""Loss over a whole split, by source and by part of the text."""

import collections
import collections.abc
import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from hax_jax import input_pipeline, records

PARTS = ('answer', 'question', 'all')


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """`loss` is weighted as in training. `by[source][part]` has nats per token (`nll`),
    `perplexity`, `bits_per_byte`, `tokens`; source 'all' is every source together.
    """

    loss: float
    by: dict[str, dict[str, dict[str, float]]]


def evaluate(
    nll_step: collections.abc.Callable[[dict[str, jax.Array]], jax.Array],
    cache: records.PackedCache,
    split: str,
    *,
    sharding: NamedSharding,
    batch_size: int,
) -> Evaluation:
    """Evaluates every row of a split; `nll_step` maps a batch to nll [B, T].

    Bit-equal when repeated, and without effect on training: no random numbers, every
    row once, sums in float64 in the order of the rows.
    """
    batches = input_pipeline.eval_batches(
        cache, split, sharding=sharding, batch_size=batch_size
    )
    nll = np.concatenate([np.asarray(nll_step(batch)) for batch in batches])
    nll = nll[: cache.num_rows(split)]
    weights = cache.features(split)['loss_weights']
    return summarize(nll, weights, cache.segments(split))


def summarize(
    nll: np.ndarray, weights: np.ndarray, segments: list[records.Segment]
) -> Evaluation:
    """Joins nll [R, T] with the segment table. bits per byte = nats / ln 2 / bytes."""
    nll = nll.astype(np.float64)
    nats: collections.Counter[tuple[str, str]] = collections.Counter()
    tokens: collections.Counter[tuple[str, str]] = collections.Counter()
    num_bytes: collections.Counter[tuple[str, str]] = collections.Counter()
    for segment in segments:
        for part, start, end, size in (
            ('question', segment.start, segment.prompt_end, segment.question_bytes),
            ('answer', segment.prompt_end, segment.end, segment.answer_bytes),
        ):
            total = float(nll[segment.row, start:end].sum())
            for source in (segment.source, 'all'):
                for key in ((source, part), (source, 'all')):
                    nats[key] += total
                    tokens[key] += end - start
                    num_bytes[key] += size
    by: dict[str, dict[str, Any]] = {}
    for source, part in sorted(nats):
        mean = nats[source, part] / max(tokens[source, part], 1)
        by.setdefault(source, {})[part] = {
            'nll': mean,
            'perplexity': math.exp(min(mean, 700.0)),
            'bits_per_byte': nats[source, part]
            / math.log(2)
            / max(num_bytes[source, part], 1),
            'tokens': tokens[source, part],
        }
    weights = np.asarray(weights, np.float64)
    return Evaluation(float((nll * weights).sum() / weights.sum()), by)
