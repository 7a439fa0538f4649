"""A conversation: earlier turns in the one template, an answer that streams.

A follow-up's prompt is the earlier turns, each as the model was trained on it,

    QUESTION: {q} ANSWER: {a} <EOS>

one after the other, and then the new question. Training never shows two turns in one
segment, but each is of the form it knows, and EOS stands between them, as between
documents of GPT-2's own training. Penalties and n-grams look at all turns.
"""

import dataclasses
from collections.abc import Callable

from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.sampling import generation, prompt_batches, prompt_fitting, prompts


@dataclasses.dataclass(frozen=True)
class Turn:
    """A question, what was answered, and how the answer ended."""

    question: str
    answer: str
    finish_reason: str


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The next answer's row, and what it can't see."""

    row: prompt_batches.Row
    num_forgotten: int  # earliest turns that found no room
    question_tokens_cut: int  # of the new question's middle


class Conversation:
    """The turns so far."""

    def __init__(self, tokenizer: text.Tokenizer, *, n_positions: int) -> None:
        self.turns: list[Turn] = []
        self._tokenizer = tokenizer
        self._pieces = text.template(tokenizer)
        self._n_positions = n_positions

    def prepare(
        self, question: str, settings: schema.SamplingConfig, *, sample: int
    ) -> Prepared:
        """The prompt of `question` with as many of the latest turns as find room.

        Room is left for max_new_tokens; where that is over half of the positions, for
        half of them. The random bits are those of this sample of the question's text.

        Raises:
          InputError: the question is empty, no Unicode, or too long in any form.
        """
        [asked] = prompts.from_texts([question]).questions
        most = min(settings.max_new_tokens, (self._n_positions + 1) // 2)
        fitted = prompt_fitting.fit(
            [asked],
            self._tokenizer,
            n_positions=self._n_positions,
            max_new_tokens=most,
        )
        [prompt] = fitted.prompts
        room = self._n_positions + 1 - most - len(prompt.ids)
        earlier: list[int] = []
        kept = 0
        for turn in reversed(self.turns):
            ids = self._turn_ids(turn)
            if len(earlier) + len(ids) > room:
                break
            earlier, kept = ids + earlier, kept + 1
        return Prepared(
            row=prompt_batches.Row(
                question=asked,
                prompt=dataclasses.replace(prompt, ids=earlier + prompt.ids),
                stem=[],
                sample=sample,
            ),
            num_forgotten=len(self.turns) - kept,
            question_tokens_cut=prompt.num_cut,
        )

    def answer(
        self,
        generator: generation.Generator,
        prepared: Prepared,
        settings: schema.SamplingConfig,
        *,
        on_text: Callable[[str], bool],
    ) -> generation.Sample:
        """The answer, streamed to `on_text`, which says whether to go on; now a turn.

        An answer that was interrupted is a turn too, as far as it came.
        """
        sample = generator.stream(prepared.row, settings, on_text=on_text)
        self.turns.append(Turn(sample.prompt, sample.text, sample.finish_reason))
        return sample

    def transcript(self) -> str:
        """The turns as Markdown."""
        parts = []
        for number, turn in enumerate(self.turns, start=1):
            parts.append(f'## Question {number}\n\n{turn.question}\n')
            parts.append(
                f'## Answer {number} ({turn.finish_reason})\n\n{turn.answer}\n'
            )
        return '\n'.join(parts)

    def _turn_ids(self, turn: Turn) -> list[int]:
        question, answer = self._tokenizer.encode([turn.question, turn.answer])
        pieces = self._pieces
        return [
            *pieces.head,
            *question,
            *pieces.tail,
            *answer,
            self._tokenizer.eos_id,
        ]
