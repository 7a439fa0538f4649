"""A run's answers to the same few questions at each evaluation, in samples.jsonl.

The questions come from the packed rows of the validation split. Random bits depend on
the pair's id alone, so only the model changes the answers from one step or run to the
next. Sampling does not change the training state.
"""

import collections
import dataclasses
import json
import pathlib

import jax
from flax import nnx

from hax_jax import errors, json_lines
from hax_jax.config import schema
from hax_jax.data import records, text
from hax_jax.evaluation import diversity
from hax_jax.sampling import generation, prompt_fitting, prompts
from hax_jax.training import run_setup
from hax_jax.training import train_state as ts
from hax_jax.watch import metrics

FILE = 'samples.jsonl'


class RunSamples:
    """samples.jsonl of a run that starts or resumes at step `start`."""

    def __init__(
        self, setup: run_setup.Setup, workdir: pathlib.Path, *, start: int
    ) -> None:
        """Removes the samples after `start`, which a killed run makes again."""
        self._setup = setup
        self._log = json_lines.Log(workdir / FILE)
        self._is_main = jax.process_index() == 0
        if self._is_main and self._log.path.exists():
            self._log.keep(lambda line: start > 0 and self._step(line) <= start)
        if not setup.run.train.num_sample_questions:
            return
        self._tokenizer = text.of_cache(setup.cache)
        self._settings = schema.SamplingConfig(
            max_new_tokens=setup.run.train.sample_max_new_tokens
        )
        self._fitted = _of_run(setup, self._tokenizer)

    def write(self, state: ts.TrainState, report: metrics.Report) -> None:
        """Answers the questions with the state's parameters, and reports on them.

        Every process of a run takes part; the first one writes.
        """
        if not self._setup.run.train.num_sample_questions:
            return
        step = int(state.step)
        graphdef = self._setup.blueprint.model.graphdef
        model = nnx.merge(graphdef, state.params, state.frozen)
        # A new one each time: it must not keep parameters that a step donates.
        generator = generation.Generator(model, self._tokenizer, mesh=self._setup.mesh)
        count = len(self._fitted.questions)
        samples = list(
            generator.samples(self._fitted, self._settings, batch_size=count)
        )
        figures = diversity.describe(
            [diversity.words(sample.text) for sample in samples],
            [sample.finish_reason == 'eos' for sample in samples],
            lengths=[sample.num_tokens for sample in samples],
        )
        report.samples(step, figures, {sample.id: sample.text for sample in samples})
        report.note(in_words(step, figures))
        if self._is_main:
            drawn = dataclasses.asdict(self._settings)
            del drawn['seed']  # a sample has its own
            with self._log.open() as log:
                log.append(
                    {'step': step, **dataclasses.asdict(sample), **drawn}
                    for sample in samples
                )

    def _step(self, line: json_lines.Line) -> int:
        try:
            return json.loads(line.raw)['step']
        except (ValueError, KeyError, TypeError) as error:
            raise errors.InputError(
                f'{self._log.path}, line {line.number}, is no sample ({error}); a kill '
                'tears only the last line, so something else changed the file. Move it '
                'away to continue.'
            ) from error


def asked(setup: run_setup.Setup) -> tuple[text.Tokenizer | None, dict[str, list[int]]]:
    """The rows' tokenizer, if it lies beside them, and a run's prompts by pair's id."""
    folder = setup.cache.path / records.TOKENIZER
    if not (folder.is_dir() and any(folder.iterdir())):
        return None, {}
    tokenizer = text.of_cache(setup.cache)
    if not setup.run.train.num_sample_questions:
        return tokenizer, {}
    fitted = _of_run(setup, tokenizer)
    both = zip(fitted.questions, fitted.prompts, strict=True)
    return tokenizer, {question.id: prompt.ids for question, prompt in both}


def _of_run(setup: run_setup.Setup, tokenizer: text.Tokenizer) -> prompt_fitting.Fitted:
    """The `questions` of a run, as many as its config asks for."""
    train = setup.run.train
    room = setup.run.model.n_positions + 1 - train.sample_max_new_tokens
    number = train.num_sample_questions
    return questions(setup.cache, tokenizer, number=number, room=room)


def questions(
    cache: records.PackedCache, tokenizer: text.Tokenizer, *, number: int, room: int
) -> prompt_fitting.Fitted:
    """The first `number` questions of the validation split, source by source in turn.

    Questions whose prompts have at most `room` tokens come first. The prompt ids are
    those of the packed rows, with the cuts that packing made. A conversation's question
    is its last one, with the turns before it.
    """
    inputs = cache.features('validation')['inputs']
    shortest: dict[int, records.Segment] = {}
    for segment in cache.segments('validation'):
        best = shortest.setdefault(segment.ordinal, segment)
        # The prompt of a later part of a split answer holds the end of the part before.
        if _prompt_tokens(segment) < _prompt_tokens(best):
            shortest[segment.ordinal] = segment
    ranks: collections.Counter[tuple[bool, str]] = collections.Counter()
    ranked = []
    for ordinal, segment in sorted(shortest.items()):
        too_long = _prompt_tokens(segment) > room
        rank = ranks[too_long, segment.source]
        ranks[too_long, segment.source] += 1
        ranked.append((too_long, rank, ordinal, segment))
    chosen, fitted = [], []
    for _, _, _, segment in sorted(ranked, key=lambda entry: entry[:3])[:number]:
        place = slice(segment.start, segment.start + _prompt_tokens(segment))
        ids = [int(i) for i in inputs[segment.row, place]]
        letter = _in_words(ids, tokenizer)
        place_in_words = f'pair {segment.id} of the validation split'
        chosen.append(prompts.Question(segment.id, letter, place_in_words))
        fitted.append(text.Prompt(ids, 0))
    return prompt_fitting.Fitted(chosen, fitted, [[] for _ in chosen], [])


def _prompt_tokens(segment: records.Segment) -> int:
    # The prompt's last token is the input whose target is the last answer's first.
    return segment.learned[-1][0] - segment.start + 1


def _in_words(ids: list[int], tokenizer: text.Tokenizer) -> str:
    """The question; of a conversation the turns before it too, by blank lines."""
    turns: list[list[int]] = [[]]
    for i in ids:
        if i == tokenizer.eos_id:
            turns.append([])
        else:
            turns[-1].append(i)
    said = '\n\n'.join(tokenizer.decode(turn) for turn in turns)
    return said.removeprefix(text.HEAD).removesuffix(text.TAIL)


def in_words(step: int, figures: dict[str, float]) -> str:
    """'step 100 samples: 2 of 3 ended by EOS, 181 tokens each, ...'."""
    ended = round(figures['eos_share'] * figures['answers'])
    return (
        f'step {step} samples: {ended} of {figures["answers"]} ended by EOS, '
        f'{figures["mean_length"]:.0f} tokens each, repetition '
        f'{figures["repetition_4"]:.2f}, distinct-2 {figures["distinct_2"]:.2f} '
        f'({FILE})'
    )
