"""Loss over a whole split: by pair, by source and by part of the text."""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable

import jax
import numpy as np
from jax.sharding import NamedSharding

from hax_jax import errors
from hax_jax.data import input_pipeline, records
from hax_jax.devices import mesh as mesh_lib

PARTS = ('answer', 'question', 'all')
_NAMED = 5  # ids in a message; the rest are counted
_LARGEST_EXPONENT = 700.0  # e**710 is no float

ScoreStep = Callable[[dict[str, jax.Array]], dict[str, jax.Array | np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Part:
    """Sums over some targets: `nats` of nll, and how many were the `likeliest` id.

    `bytes` is the UTF-8 length of the text that the targets spell.
    """

    nats: float = 0.0
    tokens: int = 0
    bytes: int = 0
    likeliest: int = 0

    def __add__(self, other: 'Part') -> 'Part':
        return Part(
            self.nats + other.nats,
            self.tokens + other.tokens,
            self.bytes + other.bytes,
            self.likeliest + other.likeliest,
        )


@dataclasses.dataclass(frozen=True)
class PairScore:
    """The scores of one pair, all its segments together.

    `answer` counts EOS too, as training does. `eos` is EOS alone, where the answer
    ends: one token, or none if the split lacks the answer's last part.
    `end_probability` is the probability of EOS there.

    Of a conversation, `answer` is every learned answer, `eos` and `end_probability` sum
    over their ends, and `question` is all else, such as an answer of weight 0.0.
    """

    id: str
    source: str
    question: Part = Part()
    answer: Part = Part()
    eos: Part = Part()
    end_probability: float = 0.0


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """`loss` is weighted as in training; `pairs` are in the order of the rows.

    `by[source][part]` has nats per token (`nll`), `perplexity`, `bits_per_byte`,
    `accuracy` (the share of tokens that were the likeliest) and `tokens`, for each of
    PARTS; source 'all' is every source together. `by[source]['eos']` has, over the ends
    of answers, the mean `probability` of EOS there, its mean `nll`, how often it was
    the `likeliest` id, and the number of `answers`; it is absent where no answer ends.
    """

    loss: float
    by: dict[str, dict[str, dict[str, float]]]
    pairs: list[PairScore]


def evaluate(
    score_step: ScoreStep,
    cache: records.PackedCache,
    split: str,
    *,
    sharding: NamedSharding,
    batch_size: int,
) -> Evaluation:
    """Evaluates every row of a split; `score_step` is eval_step's, bound to parameters.

    Bit-equal when repeated, and without effect on training: no random numbers, every
    row once, sums in float64 in the order of the rows.

    Raises:
      InputError: the split has no rows.
      FloatingPointError: the loss of a pair is not finite.
    """
    require_rows(cache, split)
    num_rows = cache.num_rows(split)
    shards = mesh_lib.num_batch_shards(sharding.mesh)
    enough = -(-num_rows // shards) * shards  # a larger batch would be padding
    batches = input_pipeline.eval_batches(
        cache, split, sharding=sharding, batch_size=min(batch_size, enough)
    )
    scores = [jax.device_get(score_step(batch)) for batch in batches]
    nll, is_likeliest = (
        np.concatenate([score[name] for score in scores])[:num_rows]
        for name in ('nll', 'is_likeliest')
    )
    features = cache.features(split)
    pairs = pair_scores(
        nll,
        is_likeliest,
        np.asarray(features['targets']),
        cache.segments(split),
        eos_id=cache.meta['eos_id'],
    )
    return summarize(pairs, nll, features['loss_weights'])


def require_rows(cache: records.PackedCache, split: str) -> None:
    """Raises InputError if a split is not there, or is empty."""
    if split not in cache.meta['splits']:
        raise errors.InputError(
            f'{split!r} is not a split of {cache.path}; use one of '
            f'{", ".join(cache.meta["splits"])}.'
        )
    if not cache.num_rows(split):
        raise errors.InputError(
            f'the {split} split of {cache.path} is empty, so there is nothing to '
            f'evaluate; build the dataset with a larger --{split}_share or more text, '
            'or pack it with a larger data.seq_len if its pairs were dropped.'
        )


def pair_scores(
    nll: np.ndarray,
    is_likeliest: np.ndarray,
    targets: np.ndarray,
    segments: Iterable[records.Segment],
    *,
    eos_id: int,
) -> list[PairScore]:
    """Joins nll, is_likeliest and targets, each [R, T], with the segment table.

    Raises:
      FloatingPointError: names the pairs whose nll is not finite.
    """
    nll = nll.astype(np.float64)
    scores: dict[int, PairScore] = {}
    for segment in segments:
        found = nll[segment.row], is_likeliest[segment.row]
        question = answer = eos = Part()
        probability, place = 0.0, segment.start
        for start, end in segment.learned:
            question += _part(*found, place, start)
            answer += _part(*found, start, end)
            if targets[segment.row, end - 1] == eos_id:
                eos += _part(*found, end - 1, end)
                probability += math.exp(-found[0][end - 1])
            place = end
        before = scores.get(segment.ordinal, PairScore(segment.id, segment.source))
        scores[segment.ordinal] = PairScore(
            segment.id,
            segment.source,
            before.question + question + Part(bytes=segment.question_bytes),
            before.answer + answer + Part(bytes=segment.answer_bytes),
            before.eos + eos,
            before.end_probability + probability,
        )
    pairs = list(scores.values())
    bad = [p.id for p in pairs if not math.isfinite(p.question.nats + p.answer.nats)]
    if bad:
        named = ', '.join(bad[:_NAMED]) + (', ...' if len(bad) > _NAMED else '')
        raise FloatingPointError(
            f'the loss of {len(bad)} of {len(pairs)} pairs is not finite ({named}): '
            "the model's parameters are damaged or its training diverged; take an "
            'earlier checkpoint, or lower --config.optimizer.learning_rate.'
        )
    return pairs


def _part(nll: np.ndarray, is_likeliest: np.ndarray, start: int, end: int) -> Part:
    """The sums over places start to end of a row."""
    return Part(
        nats=float(nll[start:end].sum()),
        tokens=end - start,
        likeliest=int(is_likeliest[start:end].sum()),
    )


def summarize(
    pairs: list[PairScore], nll: np.ndarray, weights: np.ndarray
) -> Evaluation:
    """Adds pairs up; `nll` and `weights` [R, T] give the loss as training weighs it.

    bits per byte = nats / ln 2 / bytes.
    """
    sums: dict[str, dict[str, Part]] = {}
    probability: collections.Counter[str] = collections.Counter()
    for pair in pairs:
        for source in {pair.source, 'all'}:  # one source may have that name
            parts = sums.setdefault(source, {})
            for name, part in (
                ('question', pair.question),
                ('answer', pair.answer),
                ('all', pair.question + pair.answer),
                ('eos', pair.eos),
            ):
                parts[name] = parts.get(name, Part()) + part
            probability[source] += pair.end_probability
    by: dict[str, dict[str, dict[str, float]]] = {}
    for source, parts in sorted(sums.items()):
        by[source] = {name: _described(parts[name]) for name in sorted(PARTS)}
        eos = parts['eos']
        if eos.tokens:
            by[source]['eos'] = {
                'probability': probability[source] / eos.tokens,
                'nll': eos.nats / eos.tokens,
                'likeliest': eos.likeliest / eos.tokens,
                'answers': eos.tokens,
            }
    nll = nll.astype(np.float64)
    weights = np.asarray(weights, np.float64)
    loss = float((nll * weights).sum() / weights.sum())
    return Evaluation(loss, by, pairs)


def _described(part: Part) -> dict[str, float]:
    tokens = max(part.tokens, 1)
    mean = part.nats / tokens
    return {
        'nll': mean,
        'perplexity': math.exp(min(mean, _LARGEST_EXPONENT)),
        'bits_per_byte': part.nats / math.log(2) / max(part.bytes, 1),
        'accuracy': part.likeliest / tokens,
        'tokens': part.tokens,
    }
