"""Queues of rows of similar length, and batches of them as padded arrays of few shapes.

The rows of a queue share one cache, whose length comes from a few buckets, so a run
compiles only a few shapes, however many rows it has.
"""

import collections
import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.sampling import decode, next_token, prompts, sharded_model

_SHORTEST_BUCKET = 32  # prompt tokens; each further bucket is twice as long
_NEW_TOKENS_BUCKET = 64  # the places for new tokens are a multiple of this
_WINDOW = 16  # batches whose rows are sorted by length together
_REFILLS = 8  # a refill is this part of a batch: fewer and larger ones idle more slots


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


@dataclasses.dataclass(frozen=True)
class Shape:
    """The shapes of a queue's batches, of which all are made of the same programs."""

    size: int  # rows of a batch
    refill: int  # rows of a refill
    prompt_places: int
    new_places: int
    cache_places: int


def queues(lengths: list[int], size: int) -> list[list[int]]:
    """Row numbers, longest rows first, cut where shorter prompts share a shorter cache.

    A queue has a whole batch of rows at least, but the last.
    queues([5, 90, 4, 70, 6], 2) -> [[1, 3], [4, 0, 2]].
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    cut: list[list[int]] = []
    for i in order:
        longest = lengths[cut[-1][0]] if cut else 0
        if not cut or (len(cut[-1]) >= size and _bucket(lengths[i]) < _bucket(longest)):
            cut.append([])
        cut[-1].append(i)
    return cut


def in_windows(lengths: list[int], size: int) -> list[list[int]]:
    """As `queues`, but sorts only `_WINDOW` batches together.

    The first rows of a long list thus get their answers early.
    """
    found = []
    for start in range(0, len(lengths), _WINDOW * size):
        window = lengths[start : start + _WINDOW * size]
        found += [[start + i for i in queue] for queue in queues(window, size)]
    return found


def shape(
    rows: Sequence[Row],
    settings: schema.SamplingConfig,
    *,
    size: int,
    shards: int,
    n_positions: int,
) -> Shape:
    """The shapes that suit all of the rows; `shards` divide a batch."""
    longest = max(row.length for row in rows)
    prompt_places = max(
        longest, min(_bucket(longest), n_positions + 1 - settings.max_new_tokens)
    )
    new_places = max(_limit(row, settings, n_positions) for row in rows)
    new_places += -new_places % _NEW_TOKENS_BUCKET
    refill = max(size // _REFILLS, 1)
    return Shape(
        size=size,
        refill=refill + -refill % shards,
        prompt_places=prompt_places,
        new_places=new_places,
        # No row has more tokens than that to keep: the last one is never read.
        cache_places=min(prompt_places + new_places, n_positions),
    )


def arrays(
    rows: Sequence[Row],
    settings: schema.SamplingConfig,
    *,
    size: int,
    prompt_places: int,
    n_positions: int,
) -> tuple[np.ndarray, decode.Rows]:
    """Prompts [size, prompt_places], padded on the left, and their rows.

    Rows of limit 0 fill the batch up.
    """
    inputs = np.zeros((size, prompt_places), np.int32)
    batch = decode.Rows(
        lengths=np.zeros(size, np.int32),
        limits=np.zeros(size, np.int32),
        seeds=np.zeros(size, np.uint32),
        prompt_numbers=np.zeros(size, np.uint32),
        samples=np.zeros(size, np.uint32),
    )
    for i, row in enumerate(rows):
        inputs[i, prompt_places - row.length :] = row.prompt.ids + row.stem
        batch.lengths[i] = row.length
        batch.limits[i] = _limit(row, settings, n_positions)
        batch.seeds[i] = row.seed(settings)
        batch.prompt_numbers[i] = next_token.prompt_number(row.question.id)
        batch.samples[i] = row.sample
    return inputs, batch


class Batch:
    """Rows of a queue in the slots of a batch, from one `fill` to the next."""

    def __init__(
        self,
        model: sharded_model.ShardedModel,
        rows: Sequence[Row],
        settings: schema.SamplingConfig,
        drawing: next_token.Drawing,
        shape: Shape,
        *,
        logprobs: bool,
    ) -> None:
        self._model, self._rows, self._settings = model, rows, settings
        self._drawing, self._shape, self._logprobs = drawing, shape, logprobs
        self._queue = collections.deque(range(len(rows)))
        self._slots: dict[int, int] = {}  # row number -> slot
        self._state: decode.State | None = None
        self._done = np.zeros(shape.size, bool)

    def fill(self) -> bool:
        """Gives free slots to the queue's next rows; whether a slot has a row.

        The slots of an empty batch are filled at once, others `refill` at a time.
        """
        shape = self._shape
        taken = set(self._slots.values())
        free = [slot for slot in range(shape.size) if slot not in taken]
        if self._state is not None and not taken:
            self._model.keep_cache(self._state)
            self._state = None
        if self._state is None and self._queue:
            inputs, rows = self._next_rows(free, shape.size)
            self._state = self._model.start(
                inputs,
                rows,
                self._drawing,
                new_places=shape.new_places,
                cache_places=shape.cache_places,
                logprobs=self._logprobs,
            )
            return True
        while self._queue and len(free) >= self._enough():
            slots = np.full(shape.refill, shape.size, np.int32)  # past the last
            slots[: len(free)] = free[: shape.refill]
            inputs, rows = self._next_rows(free[: shape.refill], shape.refill)
            self._state = self._model.refill(
                self._state, inputs, rows, self._drawing, slots=slots
            )
            free = free[shape.refill :]
        return bool(self._slots)

    def go_on(self, steps: int) -> dict[int, list[int]]:
        """The new tokens of each row, by its number, after at most `steps` more.

        Fewer if as many rows are done as the next `fill` can replace.
        """
        stopped = np.ones(self._shape.size, bool)
        stopped[list(self._slots.values())] = False
        self._state = self._model.go_on(
            self._state,
            self._drawing,
            stopped=stopped,
            enough=self._enough(),
            steps=steps,
        )
        tokens, counts, self._done = self._model.look(self._state)
        return {
            number: tokens[slot, : counts[slot]].tolist()
            for number, slot in self._slots.items()
        }

    def is_done(self, number: int) -> bool:
        return bool(self._done[self._slots[number]])

    def leave(self, numbers: Iterable[int]) -> dict[int, list[float]]:
        """Frees the rows' slots; the log probabilities of their tokens, if asked."""
        slots = {number: self._slots.pop(number) for number in numbers}
        if not self._logprobs:
            return {number: [] for number in slots}
        nats = sharded_model.on_host(self._state.logprobs)
        return {number: nats[slot].tolist() for number, slot in slots.items()}

    def _enough(self) -> int:
        """The free slots for which `fill` fetches rows; without a queue, all."""
        if not self._queue:
            return self._shape.size
        return min(self._shape.refill, len(self._queue))

    def _next_rows(self, slots: list[int], size: int) -> tuple[np.ndarray, decode.Rows]:
        numbers = [self._queue.popleft() for _ in slots[: len(self._queue)]]
        self._slots.update(zip(numbers, slots, strict=False))
        return arrays(
            [self._rows[number] for number in numbers],
            self._settings,
            size=size,
            prompt_places=self._shape.prompt_places,
            n_positions=self._model.config.n_positions,
        )


def _limit(row: Row, settings: schema.SamplingConfig, n_positions: int) -> int:
    return min(settings.max_new_tokens, n_positions + 1 - row.length)


def _bucket(length: int) -> int:
    """32, 64, 128, ...: the first that is no less than `length`."""
    bucket = _SHORTEST_BUCKET
    while bucket < length:
        bucket *= 2
    return bucket
