"""A conversation: each prompt holds earlier turns, and each answer is streamed.

The prompt of a follow-up is the earlier turns in the template of training,

    QUESTION: {q} ANSWER: {a} <EOS>

one after the other, and then the new question, as packing (hax_jax/data/packing.py)
writes a conversation into one segment. A model that was trained on pairs alone never
saw two turns, but each turn has the trained form, and EOS separates them as it
separates the documents of GPT-2's own training. Penalties and n-grams consider all
turns.
"""

import dataclasses
from collections.abc import Callable

from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.sampling import generation, prompt_batches, prompt_fitting, prompts


@dataclasses.dataclass(frozen=True)
class Turn:
    """A question, its answer, and how the answer ended."""

    question: str
    answer: str
    finish_reason: str


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The row of the next answer, and counts of the parts left out of its prompt."""

    row: prompt_batches.Row
    num_forgotten: int  # earliest turns that did not fit
    question_tokens_cut: int  # from the middle of the new question


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
        """The prompt of `question` after as many of the latest turns as fit.

        Leaves room for max_new_tokens, or half of the positions if that is less. The
        random bits depend on the question's text and on `sample`.

        Raises:
          InputError: the question is empty, not Unicode, or too long in any form.
        """
        [asked] = prompts.from_texts([question]).questions
        most = min(settings.max_new_tokens, (self._n_positions + 1) // 2)
        fitted = prompt_fitting.fit(
            [asked], self._tokenizer, n_positions=self._n_positions, max_new_tokens=most
        )
        [prompt] = fitted.prompts
        room = self._n_positions + 1 - most - len(prompt.ids)
        turns = [self._turn_ids(turn) for turn in self.turns]
        kept = text.num_latest([len(ids) for ids in turns], room)
        earlier = [i for ids in turns[len(turns) - kept :] for i in ids]
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
        """The answer, streamed to `on_text` as `Generator.stream` does.

        Adds the turn, also if the answer was interrupted.
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
        asked = text.asked(self._pieces, question)
        return [*asked, *answer, self._tokenizer.eos_id]
