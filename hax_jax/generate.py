"""Questions to answers: prompts that fit, batches of like length, samples in order.

Prompt and cache lengths come from a few buckets, so a run compiles a few shapes, once
each, whatever the number of its batches.
"""

import collections.abc
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from hax_jax import config, decode, gpt2, prompts, sampling, text
from hax_jax import mesh as mesh_lib

_SHORTEST_BUCKET = 32  # prompt tokens; each next bucket is twice as long
_NEW_TOKENS_BUCKET = 64  # room for new tokens is a multiple of it
_WINDOW = 16  # batches whose rows are sorted by length together


@dataclasses.dataclass(frozen=True)
class Sample:
    """One answer. `num_tokens` counts its tokens, with EOS where it ended itself.

    `finish_reason` is 'eos', 'length' (max_new_tokens) or 'n_positions' (the model's
    positions were used up before that). `prompt_tokens` is the prompt's length after
    `prompt_tokens_cut` tokens of the question's middle were left out.
    """

    id: str
    sample: int
    prompt: str
    text: str
    finish_reason: str
    num_tokens: int
    prompt_tokens: int
    prompt_tokens_cut: int
    seed: int


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Questions with their prompts' ids, and what was cut, in words."""

    questions: list[prompts.Question]
    prompts: list[text.Prompt]
    notes: list[str]


@dataclasses.dataclass(frozen=True)
class _Row:
    question: prompts.Question
    prompt: text.Prompt
    sample: int


def fit(
    questions: collections.abc.Sequence[prompts.Question],
    tokenizer: text.Tokenizer,
    *,
    n_positions: int,
    max_new_tokens: int,
) -> Fitted:
    """The prompt of each question, with room for `max_new_tokens` where that can be.

    A sequence has room for n_positions + 1 tokens: the last one is never read. A long
    question loses its middle. If even its shortest form leaves less room than
    max_new_tokens, it keeps half of the positions and its answer ends at n_positions,
    sooner than asked: a note says so, with the largest max_new_tokens that would fit.

    Raises:
      InputError: names each question whose shortest form leaves room for no token.
    """
    pieces = text.template(tokenizer)
    num_replaced = tokenizer.num_replaced
    encoded = tokenizer.encode([question.text for question in questions])
    room = n_positions + 1 - max_new_tokens
    fixed = len(pieces.head) + len(pieces.tail)
    fitted: list[text.Prompt] = []
    shortest_forms, new_tokens, problems = [0], [max_new_tokens], []
    for question, ids in zip(questions, encoded, strict=True):
        shortest = fixed + min(len(ids), len(pieces.cut) + text.MIN_QUESTION_TOKENS)
        shortest_forms.append(shortest)
        if shortest > n_positions:
            problems.append(
                f'{question.place}: the question has {len(ids)} tokens and its prompt, '
                f'shortened as far as it may be, {shortest}; n_positions={n_positions} '
                f'leaves no room for max_new_tokens={max_new_tokens}, nor for 1. Ask '
                f'in at most {max(n_positions - fixed, 0)} tokens, or take a model of '
                'more positions.'
            )
            continue
        prompt = text.prompt(pieces, ids, max_length=room)
        if prompt is None:
            more_room = max(shortest, (n_positions + 1) // 2)
            prompt = text.prompt(pieces, ids, max_length=more_room)
            new_tokens.append(n_positions + 1 - len(prompt.ids))
        fitted.append(prompt)
    if problems:
        raise config.InputError('\n'.join(problems))
    notes = []
    cut = [prompt.num_cut for prompt in fitted if prompt.num_cut]
    if cut:
        notes.append(
            f'{len(cut)} of {_counted(len(questions), "question")} shortened to leave '
            f'room for the answer in n_positions={n_positions}: '
            f'{_counted(sum(cut), "token")} cut from the middle.'
        )
    if len(new_tokens) > 1:
        largest = n_positions + 1 - max(shortest_forms)
        notes.append(
            f'max_new_tokens={max_new_tokens} does not fit beside '
            f'{len(new_tokens) - 1} of {_counted(len(questions), "question")} in '
            f'n_positions={n_positions}: an answer may end after {min(new_tokens)} '
            "tokens, finish_reason 'n_positions'. The largest max_new_tokens that fits "
            f'beside all is {largest}.'
        )
    replaced = tokenizer.num_replaced - num_replaced
    if replaced:
        notes.append(f'{_counted(replaced, "character")} U+2581 read as "_".')
    return Fitted(list(questions), fitted, notes)


class Generator:
    """A model made ready to sample; holds its parameters and one cache.

    The model may hold unmerged adapters and lie sharded on `mesh`; parameters that lie
    elsewhere are copied to each of its devices.
    """

    def __init__(
        self, model: gpt2.Gpt2, tokenizer: text.Tokenizer, *, mesh: Mesh
    ) -> None:
        """Raises InputError if the tokenizer has ids that the model has not."""
        self.config = model.model
        self._tokenizer = tokenizer
        self._mesh = mesh
        self._dtype = model.wte.dtype
        self._cache: gpt2.Cache | None = None
        if tokenizer.vocab_size > self.config.vocab_size:
            raise config.InputError(
                f'the tokenizer has {tokenizer.vocab_size} ids and the model '
                f'vocab_size={self.config.vocab_size}; give the tokenizer that the '
                'model was trained with.'
            )
        self._graphdef, params = nnx.split(model)
        devices = set(mesh.devices.flat)
        whole = mesh_lib.replicated(mesh)
        self._params = jax.tree.map(
            lambda x: (
                x if x.sharding.device_set == devices else jax.device_put(x, whole)
            ),
            params,
        )
        if self._dtype != jnp.float32:
            # Each use would cast them; once is enough, to the same bits.
            self._params = decode.cast_matrices(self._params, self._dtype)

    def samples(
        self,
        fitted: Fitted,
        settings: config.SamplingConfig,
        *,
        num_samples: int = 1,
        batch_size: int = 8,
        on_batch: collections.abc.Callable[[int, int], None] = lambda rows, tokens: (
            None
        ),
    ) -> collections.abc.Iterator[Sample]:
        """The answers, `num_samples` to each question, in the questions' order.

        Rows are batched by length, so an answer may wait for later ones. `on_batch` is
        called after each batch with the numbers of its samples and of their tokens.

        Raises:
          InputError: the model's logits are not finite.
        """
        rows = [
            _Row(question, prompt, sample)
            for question, prompt in zip(fitted.questions, fitted.prompts, strict=True)
            for sample in range(num_samples)
        ]
        # A few rows get a small batch; every batch of a run has one size.
        size = min(batch_size, 1 << max(len(rows) - 1, 0).bit_length())
        shards = mesh_lib.num_batch_shards(self._mesh)
        size += -size % shards
        done: dict[int, Sample] = {}
        next_index = 0
        for indices in _batches([len(row.prompt.ids) for row in rows], size):
            answers = self._batch([rows[i] for i in indices], settings, size)
            done.update(zip(indices, answers, strict=True))
            on_batch(len(answers), sum(answer.num_tokens for answer in answers))
            while next_index in done:
                yield done.pop(next_index)
                next_index += 1

    def _batch(
        self, rows: list[_Row], settings: config.SamplingConfig, size: int
    ) -> list[Sample]:
        longest = max(len(row.prompt.ids) for row in rows)
        places = _prompt_bucket(
            longest, self.config.n_positions + 1 - settings.max_new_tokens
        )
        batch = self._rows(rows, settings, size, places)
        new_places = int(batch.limits.max())
        new_places += -new_places % _NEW_TOKENS_BUCKET
        cache = self._take_cache(size, places + new_places)
        on_rows = mesh_lib.batch_sharding(self._mesh)
        batch = jax.device_put(batch, on_rows)
        greedy = settings.temperature == 0
        drawing = {
            'temperature': None if greedy else jnp.float32(settings.temperature),
            'top_k': settings.top_k,
            'top_p': None if settings.top_p == 1 else jnp.float32(settings.top_p),
            'vocab_size': self._tokenizer.vocab_size,
        }
        with jax.set_mesh(self._mesh):
            first, finite, cache = decode.prefill(
                self._graphdef, self._params, batch, cache, **drawing
            )
            tokens, counts, finite, self._cache = decode.decode(
                self._graphdef,
                self._params,
                batch,
                first,
                finite,
                cache,
                eos_id=self._tokenizer.eos_id,
                new_places=new_places,
                **drawing,
            )
        tokens, counts, finite = jax.device_get((tokens, counts, finite))
        if not finite[: len(rows)].all():
            raise config.InputError(
                'the model gives logits that are not finite: its parameters are '
                'damaged, or its training diverged. Choose an earlier --step.'
            )
        return [
            self._sample(row, settings, ids[:count].tolist())
            for row, ids, count in zip(rows, tokens, counts, strict=False)
        ]

    def _rows(
        self, rows: list[_Row], settings: config.SamplingConfig, size: int, places: int
    ) -> decode.Rows:
        batch = decode.Rows(
            inputs=np.zeros((size, places), np.int32),
            lengths=np.zeros(size, np.int32),
            limits=np.zeros(size, np.int32),
            seeds=np.zeros(size, np.uint32),
            prompt_numbers=np.zeros(size, np.uint32),
            samples=np.zeros(size, np.uint32),
        )
        for i, row in enumerate(rows):
            length = len(row.prompt.ids)
            batch.inputs[i, places - length :] = row.prompt.ids
            batch.lengths[i] = length
            batch.limits[i] = self._limit(row, settings)
            batch.seeds[i] = _seed(row, settings)
            batch.prompt_numbers[i] = sampling.prompt_number(row.question.id)
            batch.samples[i] = row.sample
        return batch

    def _limit(self, row: _Row, settings: config.SamplingConfig) -> int:
        room = self.config.n_positions + 1 - len(row.prompt.ids)
        return min(settings.max_new_tokens, room)

    def _take_cache(self, size: int, length: int) -> gpt2.Cache:
        """The last batch's cache if it has this shape: its memory is written again."""
        cache, self._cache = self._cache, None
        if cache is not None and cache.segment_ids.shape == (size, length):
            return cache
        del cache  # its memory is free before the new one's is taken
        with jax.set_mesh(self._mesh):
            return decode.empty_cache(self.config, size, length, self._dtype)

    def _sample(
        self, row: _Row, settings: config.SamplingConfig, ids: list[int]
    ) -> Sample:
        if ids[-1] == self._tokenizer.eos_id:
            finish_reason = 'eos'
        elif len(ids) == settings.max_new_tokens:
            finish_reason = 'length'
        else:
            finish_reason = 'n_positions'
        return Sample(
            id=row.question.id,
            sample=row.sample,
            prompt=row.question.text,
            text=self._tokenizer.decode(ids),
            finish_reason=finish_reason,
            num_tokens=len(ids),
            prompt_tokens=len(row.prompt.ids),
            prompt_tokens_cut=row.prompt.num_cut,
            seed=_seed(row, settings),
        )


def _seed(row: _Row, settings: config.SamplingConfig) -> int:
    return settings.seed if row.question.seed is None else row.question.seed


def _batches(lengths: list[int], size: int) -> list[list[int]]:
    """Row numbers, batch by batch, rows of like length together, the longest first.

    _batches([5, 9, 4, 8, 6], 2) -> [[1, 3], [4, 0], [2]]. Only `_WINDOW` batches are
    sorted together, so that answers to a long list come soon.
    """
    batches = []
    for start in range(0, len(lengths), _WINDOW * size):
        window = range(start, min(start + _WINDOW * size, len(lengths)))
        by_length = sorted(window, key=lambda i: -lengths[i])
        batches += [by_length[i : i + size] for i in range(0, len(by_length), size)]
    return batches


def _prompt_bucket(length: int, longest: int) -> int:
    """The places that prompts of `length` get: 32, 64, 128, ..., `longest` at most."""
    bucket = _SHORTEST_BUCKET
    while bucket < length:
        bucket *= 2
    return max(length, min(bucket, longest))


def _counted(number: int, noun: str) -> str:
    return f'{number:,} {noun}' + 's' * (number != 1)
