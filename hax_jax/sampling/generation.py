"""Questions to answers: all samples of a list of prompts that fit."""

import dataclasses
from collections.abc import Callable, Iterator, Set

import numpy as np
from jax.sharding import Mesh

from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import gpt2
from hax_jax.sampling import (
    next_token,
    prompt_batches,
    prompt_fitting,
    sharded_model,
    stop_strings,
)

_CHECK_EVERY_TOKENS = 16  # between two looks for stop strings


@dataclasses.dataclass(frozen=True)
class Sample:
    """One answer; `text` begins with the question's stem and has no stop string.

    `num_tokens` counts its new tokens, with EOS where it ended itself, and with those
    of a stop string. `finish_reason` is 'eos', 'stop' (a stop string), 'length'
    (max_new_tokens), 'n_positions' (the model's positions were used up before that) or
    'interrupted'. `prompt_tokens` is the length of prompt and stem after
    `prompt_tokens_cut` tokens of the question's middle were left out. `logprobs` are
    nats of `token_ids`, the new tokens, in the model's own distribution: before
    penalties, temperature and what else changes it; empty unless asked for.
    """

    id: str
    sample: int
    prompt: str
    stem: str
    text: str
    finish_reason: str
    num_tokens: int
    prompt_tokens: int
    prompt_tokens_cut: int
    seed: int
    token_ids: list[int]
    logprobs: list[float]


class Generator:
    """Answers with one model; see `engine.Engine` for where it may lie."""

    def __init__(
        self, model: gpt2.Gpt2, tokenizer: text.Decoder, *, mesh: Mesh
    ) -> None:
        """Raises InputError if the tokenizer has ids that the model has not."""
        self._engine = sharded_model.Engine(model, tokenizer, mesh=mesh)
        self._tokenizer = tokenizer
        self.config = model.model

    def samples(
        self,
        fitted: prompt_fitting.Fitted,
        settings: schema.SamplingConfig,
        *,
        num_samples: int = 1,
        batch_size: int = 8,
        logprobs: bool = False,
        on_batch: Callable[[int, int], None] = lambda rows, tokens: None,
    ) -> Iterator[Sample]:
        """The answers, `num_samples` to each question, in the questions' order.

        Rows are batched by length, so an answer may wait for later ones. `on_batch` is
        called after each batch with the numbers of its samples and of their tokens.

        Raises:
          InputError: the model's logits are not finite.
        """
        rows = _rows(fitted, num_samples)
        size = self._batch_size(batch_size, len(rows))
        done: dict[int, Sample] = {}
        next_index = 0
        for indices in prompt_batches.in_windows([row.length for row in rows], size):
            answers = self._run(
                [rows[i] for i in indices], settings, size, logprobs=logprobs
            )
            done.update(zip(indices, answers, strict=True))
            on_batch(len(answers), sum(answer.num_tokens for answer in answers))
            while next_index in done:
                yield done.pop(next_index)
                next_index += 1

    def batches(
        self,
        fitted: prompt_fitting.Fitted,
        settings: schema.SamplingConfig,
        *,
        num_samples: int = 1,
        batch_size: int = 8,
        logprobs: bool = False,
        have: Set[tuple[str, int]] = frozenset(),
    ) -> Iterator[list[Sample]]:
        """The same answers, a list as soon as its batch is done, the longest first.

        The whole list is sorted by length. Answers (question id, sample) that `have`
        holds are not made.

        Raises:
          InputError: the model's logits are not finite.
        """
        rows = [
            row
            for row in _rows(fitted, num_samples)
            if (row.question.id, row.sample) not in have
        ]
        size = self._batch_size(batch_size, len(rows))
        for indices in prompt_batches.by_length([row.length for row in rows], size):
            chosen = [rows[i] for i in indices]
            yield self._run(chosen, settings, size, logprobs=logprobs)

    def stream(
        self,
        row: prompt_batches.Row,
        settings: schema.SamplingConfig,
        *,
        on_text: Callable[[str], bool],
    ) -> Sample:
        """One answer, given to `on_text` piece by piece as its tokens are drawn.

        A piece is text that no later token takes back: whole characters, and no
        beginning of a stop string. `on_text` returns whether to go on.
        """
        given = 0

        def show(ids: list[int]) -> bool:
            nonlocal given
            whole = self._tokenizer.decode(row.stem + ids)
            piece = stop_strings.certain(whole, settings.stop)[given:]
            given += len(piece)
            return on_text(piece)

        [sample] = self._run(
            [row], settings, self._batch_size(1, 1), chunk=1, on_tokens=show
        )
        on_text(sample.text[given:])
        return sample

    def _batch_size(self, batch_size: int, num_rows: int) -> int:
        """A few rows get a small batch; every batch of a run has one size."""
        size = min(batch_size, 1 << max(num_rows - 1, 0).bit_length())
        return size + -size % mesh_lib.num_batch_shards(self._engine.mesh)

    def _run(
        self,
        rows: list[prompt_batches.Row],
        settings: schema.SamplingConfig,
        size: int,
        *,
        logprobs: bool = False,
        chunk: int = _CHECK_EVERY_TOKENS,
        on_tokens: Callable[[list[int]], bool] | None = None,
    ) -> list[Sample]:
        """One batch; without stop strings and `on_tokens`, in one call of decode."""
        batch = prompt_batches.arrays(rows, settings, size, self.config.n_positions)
        places = prompt_batches.new_places(batch)
        if not settings.stop and on_tokens is None:
            chunk = places
        drawing = next_token.drawing(settings)
        batch, state = self._engine.start(
            batch, drawing, new_places=places, logprobs=logprobs
        )
        stopped, going, number = np.zeros(size, bool), True, 1
        found: dict[int, tuple[int, str]] = {}  # row -> where a stop string ended it
        seen = [0] * len(rows)
        while True:
            number = min(number + chunk, places)
            state = self._engine.go_on(
                batch, state, drawing, stopped=stopped, until=number
            )
            tokens, counts, done = sharded_model.on_host(
                (state.tokens, state.counts, state.done)
            )
            new = [
                ids[:count].tolist()
                for ids, count in zip(tokens[: len(rows)], counts, strict=False)
            ]
            for i in range(len(rows)) if settings.stop else ():
                if i not in found and len(new[i]) > seen[i]:
                    hit = self._stop(rows[i], settings, new[i], seen[i])
                    seen[i] = len(new[i])
                    if hit is not None:
                        found[i], stopped[i] = hit, True
            if (done | stopped).all() or number == places:
                break
            if on_tokens is not None:
                going = on_tokens(new[0])
                if not going:
                    break
        self._engine.finish(state)
        nats = [[]] * len(rows)
        if logprobs:
            nats = sharded_model.on_host(state.logprobs).tolist()
        return [
            self._sample(row, settings, new[i], nats[i], found.get(i), going)
            for i, row in enumerate(rows)
        ]

    def _stop(
        self,
        row: prompt_batches.Row,
        settings: schema.SamplingConfig,
        ids: list[int],
        seen: int,
    ) -> tuple[int, str] | None:
        return stop_strings.find(
            self._tokenizer,
            ids,
            settings.stop,
            stem=row.stem,
            seen=seen,
            min_new_tokens=settings.min_new_tokens,
        )

    def _sample(
        self,
        row: prompt_batches.Row,
        settings: schema.SamplingConfig,
        ids: list[int],
        logprobs: list[float],
        stop: tuple[int, str] | None,
        going: bool,
    ) -> Sample:
        whole = self._tokenizer.decode(row.stem + ids)
        if stop is not None:
            count, whole = stop
            ids, finish_reason = ids[:count], 'stop'
        elif ids[-1] == self._tokenizer.eos_id:
            finish_reason = 'eos'
        elif len(ids) == settings.max_new_tokens:
            finish_reason = 'length'
        else:
            finish_reason = 'n_positions' if going else 'interrupted'
        return Sample(
            id=row.question.id,
            sample=row.sample,
            prompt=row.question.text,
            stem=row.question.stem,
            text=whole,
            finish_reason=finish_reason,
            num_tokens=len(ids),
            prompt_tokens=row.length,
            prompt_tokens_cut=row.prompt.num_cut,
            seed=row.seed(settings),
            token_ids=ids,
            logprobs=logprobs[: len(ids)],
        )


def _rows(fitted: prompt_fitting.Fitted, num_samples: int) -> list[prompt_batches.Row]:
    return [
        prompt_batches.Row(question, prompt, stem, sample)
        for question, prompt, stem in zip(
            fitted.questions, fitted.prompts, fitted.stems, strict=True
        )
        for sample in range(num_samples)
    ]
