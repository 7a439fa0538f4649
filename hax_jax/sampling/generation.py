"""Fitted prompts to answers, from a queue to a full batch, or one answer as a stream.

A row that is done leaves its slot in the batch to the queue's next row.
"""

import dataclasses
from collections.abc import Callable, Iterator, Set

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

_CHECK_EVERY_TOKENS = 16  # between two searches for stop strings


@dataclasses.dataclass(frozen=True)
class Sample:
    """One answer; `text` begins with the question's stem and has no stop string.

    `num_tokens` counts its new tokens, including EOS and the tokens of a stop string.
    `finish_reason` is 'eos', 'stop' (a stop string), 'length' (max_new_tokens),
    'n_positions' (the model's positions ended before that) or 'interrupted'.
    `prompt_tokens` is the length of prompt and stem, without the `prompt_tokens_cut`
    tokens cut from the question's middle. `logprobs` are the log probabilities (nats)
    of `token_ids`, the new tokens, in the model's own distribution, before penalties
    and temperature; empty unless requested.
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
    """Answers with one model; `ShardedModel` says how it may be sharded."""

    def __init__(
        self, model: gpt2.Gpt2, tokenizer: text.Decoder, *, mesh: Mesh
    ) -> None:
        """Raises InputError if the tokenizer has ids that the model lacks."""
        self._model = sharded_model.ShardedModel(model, tokenizer, mesh=mesh)
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
    ) -> Iterator[Sample]:
        """The answers, `num_samples` to each question, in the questions' order.

        Rows are batched by length, so an answer may wait for later ones.

        Raises:
          InputError: the model's logits are not finite.
        """
        rows = _rows(fitted, num_samples)
        size = self._batch_size(batch_size, len(rows))
        done: dict[int, Sample] = {}
        next_index = 0
        for queue in prompt_batches.in_windows([row.length for row in rows], size):
            chosen = [rows[i] for i in queue]
            for answers in self._run(chosen, settings, size, logprobs=logprobs):
                done.update((queue[number], one) for number, one in answers.items())
                while next_index in done:
                    yield done.pop(next_index)
                    next_index += 1

    def as_finished(
        self,
        fitted: prompt_fitting.Fitted,
        settings: schema.SamplingConfig,
        *,
        num_samples: int = 1,
        batch_size: int = 8,
        logprobs: bool = False,
        have: Set[tuple[str, int]] = frozenset(),
    ) -> Iterator[list[Sample]]:
        """The same answers, some at a time as they end, longer prompts begun first.

        Answers (question id, sample) in `have` are not made.

        Raises:
          InputError: the model's logits are not finite.
        """
        rows = [
            row
            for row in _rows(fitted, num_samples)
            if (row.question.id, row.sample) not in have
        ]
        size = self._batch_size(batch_size, len(rows))
        for queue in prompt_batches.queues([row.length for row in rows], size):
            chosen = [rows[i] for i in queue]
            for answers in self._run(chosen, settings, size, logprobs=logprobs):
                yield list(answers.values())

    def stream(
        self,
        row: prompt_batches.Row,
        settings: schema.SamplingConfig,
        *,
        on_text: Callable[[str], bool],
    ) -> Sample:
        """One answer, passed to `on_text` piece by piece as its tokens are drawn.

        A piece is text that no later token can change: whole characters, without the
        beginning of a stop string. `on_text` returns whether to continue.
        """
        given = 0

        def show(ids: list[int]) -> bool:
            nonlocal given
            whole = self._tokenizer.decode(row.stem + ids)
            piece = stop_strings.certain(whole, settings.stop)[given:]
            given += len(piece)
            return on_text(piece)

        [answers] = self._run([row], settings, self._batch_size(1, 1), on_tokens=show)
        [sample] = answers.values()
        on_text(sample.text[given:])
        return sample

    def _batch_size(self, batch_size: int, num_rows: int) -> int:
        """The one batch size of a call: small for few rows, divisible by the shards."""
        size = min(batch_size, 1 << max(num_rows - 1, 0).bit_length())
        return size + -size % mesh_lib.num_batch_shards(self._model.mesh)

    def _run(
        self,
        rows: list[prompt_batches.Row],
        settings: schema.SamplingConfig,
        size: int,
        *,
        logprobs: bool = False,
        on_tokens: Callable[[list[int]], bool] | None = None,
    ) -> Iterator[dict[int, Sample]]:
        """Answers by row number, as rows end; `on_tokens` is for a single row."""
        shape = prompt_batches.shape(
            rows,
            settings,
            size=size,
            shards=mesh_lib.num_batch_shards(self._model.mesh),
            n_positions=self.config.n_positions,
        )
        steps = shape.new_places  # more than any row takes
        if on_tokens is not None:
            steps = 1
        elif settings.stop:
            steps = _CHECK_EVERY_TOKENS
        batch = prompt_batches.Batch(
            self._model,
            rows,
            settings,
            next_token.drawing(
                settings,
                eos_id=self._tokenizer.eos_id,
                vocab_size=self._tokenizer.vocab_size,
            ),
            shape,
            logprobs=logprobs,
        )
        searches = [
            stop_strings.Search(self._tokenizer, settings, row.stem) for row in rows
        ]
        going = True
        while batch.fill():
            ids = batch.go_on(steps)
            ended = [
                number
                for number in ids
                if searches[number].look(ids[number]) or batch.is_done(number)
            ]
            if on_tokens is not None and not ended:
                going = on_tokens(ids[0])
                ended = [] if going else [0]
            if not ended:
                continue
            nats = batch.leave(ended)
            yield {
                number: self._sample(
                    rows[number],
                    settings,
                    ids[number],
                    nats[number],
                    searches[number].found,
                    going,
                )
                for number in ended
            }

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
