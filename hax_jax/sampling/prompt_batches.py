"""Batches of rows of similar length, as padded arrays of few shapes.

Prompt and cache lengths come from a few buckets, so a run compiles only a few shapes,
however many batches it has.
"""

import dataclasses

import numpy as np

from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.sampling import decode, next_token, prompts

_SHORTEST_BUCKET = 32  # prompt tokens; each further bucket is twice as long
_NEW_TOKENS_BUCKET = 64  # the places for new tokens are a multiple of this
_WINDOW = 16  # batches whose rows are sorted by length together


@dataclasses.dataclass(frozen=True)
class Row:
    """One answer to make: its question, the ids of prompt and stem, the sample."""

    question: prompts.Question
    prompt: text.Prompt
    stem: list[int]
    sample: int

    @property
    def length(self) -> int:
        return len(self.prompt.ids) + len(self.stem)

    def seed(self, settings: schema.SamplingConfig) -> int:
        own = self.question.seed
        return settings.seed if own is None else own


def by_length(lengths: list[int], size: int) -> list[list[int]]:
    """Row numbers, batch by batch, longest rows first; only the last is not full.

    by_length([5, 9, 4, 8, 6], 2) -> [[1, 3], [4, 0], [2]].
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return [order[i : i + size] for i in range(0, len(order), size)]


def in_windows(lengths: list[int], size: int) -> list[list[int]]:
    """As `by_length`, but sorts only `_WINDOW` batches together.

    The first rows of a long list thus get their answers early.
    """
    batches = []
    for start in range(0, len(lengths), _WINDOW * size):
        window = lengths[start : start + _WINDOW * size]
        batches += [[start + i for i in batch] for batch in by_length(window, size)]
    return batches


def arrays(
    rows: list[Row], settings: schema.SamplingConfig, size: int, n_positions: int
) -> decode.Rows:
    """A batch of `size` rows, padded by rows of limit 0."""
    places = _prompt_bucket(
        max(row.length for row in rows), n_positions + 1 - settings.max_new_tokens
    )
    batch = decode.Rows(
        inputs=np.zeros((size, places), np.int32),
        lengths=np.zeros(size, np.int32),
        limits=np.zeros(size, np.int32),
        seeds=np.zeros(size, np.uint32),
        prompt_numbers=np.zeros(size, np.uint32),
        samples=np.zeros(size, np.uint32),
    )
    for i, row in enumerate(rows):
        batch.inputs[i, places - row.length :] = row.prompt.ids + row.stem
        batch.lengths[i] = row.length
        room = n_positions + 1 - row.length
        batch.limits[i] = min(settings.max_new_tokens, room)
        batch.seeds[i] = row.seed(settings)
        batch.prompt_numbers[i] = next_token.prompt_number(row.question.id)
        batch.samples[i] = row.sample
    return batch


def new_places(batch: decode.Rows) -> int:
    """The places for new tokens: the largest limit, rounded up."""
    places = int(batch.limits.max())
    return places + -places % _NEW_TOKENS_BUCKET


def _prompt_bucket(length: int, longest: int) -> int:
    """The places for prompts of `length`: 32, 64, 128, ..., at most `longest`."""
    bucket = _SHORTEST_BUCKET
    while bucket < length:
        bucket *= 2
    return max(length, min(bucket, longest))
