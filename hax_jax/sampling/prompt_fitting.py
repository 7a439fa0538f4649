"""Questions to prompts that fit into a model's positions, with room for an answer."""

import dataclasses
from collections.abc import Sequence

from hax_jax import counted, errors
from hax_jax.data import text
from hax_jax.sampling import prompts


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Questions, the ids of their prompts and stems, and notes on the cuts."""

    questions: list[prompts.Question]
    prompts: list[text.Prompt]
    stems: list[list[int]]
    notes: list[str]


def fit(
    questions: Sequence[prompts.Question],
    tokenizer: text.Tokenizer,
    *,
    n_positions: int,
    max_new_tokens: int,
) -> Fitted:
    """The prompt of each question, with room for its stem and `max_new_tokens`.

    A sequence has room for n_positions + 1 tokens: the last one is never read. A long
    question loses its middle. If even its shortest form leaves less room than
    max_new_tokens, the prompt keeps half of the positions and its answer ends early, at
    n_positions; a note gives the largest max_new_tokens that would fit.

    Raises:
      InputError: names each question whose shortest form leaves room for no token.
    """
    pieces = text.template(tokenizer)
    num_replaced = tokenizer.num_replaced
    encoded = tokenizer.encode([question.text for question in questions])
    stems = tokenizer.encode([question.stem for question in questions])
    fixed = len(pieces.head) + len(pieces.tail)
    fitted: list[text.Prompt] = []
    longest, problems = 0, []  # longest is the length of a shortest form
    for question, ids, stem in zip(questions, encoded, stems, strict=True):
        shortest = min(len(ids), len(pieces.cut) + text.MIN_QUESTION_TOKENS)
        shortest += fixed + len(stem)
        longest = max(longest, shortest)
        if shortest > n_positions:
            with_stem = f' with the {len(stem)} of its stem' if stem else ''
            problems.append(
                f'{question.place}: the question has {len(ids)} tokens and its prompt, '
                f'shortened as far as it may be, {shortest}{with_stem}; '
                f'n_positions={n_positions} '
                f'leaves no room for max_new_tokens={max_new_tokens}, nor for 1. Ask '
                f'in at most {max(n_positions - fixed - len(stem), 0)} tokens, or take '
                'a model of more positions.'
            )
            continue
        room = n_positions + 1 - len(stem)
        prompt = text.prompt(pieces, ids, max_length=room - max_new_tokens)
        if prompt is None:
            half = max(shortest, (n_positions + 1) // 2) - len(stem)
            prompt = text.prompt(pieces, ids, max_length=half)
        fitted.append(prompt)
    if problems:
        raise errors.InputError('\n'.join(problems))
    notes = _notes(fitted, stems, n_positions, max_new_tokens, longest)
    replaced = tokenizer.num_replaced - num_replaced
    if replaced:
        notes.append(f'{counted.of(replaced, "characters")} U+2581 read as "_".')
    return Fitted(list(questions), fitted, stems, notes)


def _notes(
    fitted: list[text.Prompt],
    stems: list[list[int]],
    n_positions: int,
    max_new_tokens: int,
    longest: int,
) -> list[str]:
    """Notes on cut questions and on answers with less room than `max_new_tokens`.

    `longest` is the longest of the prompts' shortest forms.
    """
    rooms = [
        n_positions + 1 - len(prompt.ids) - len(stem)
        for prompt, stem in zip(fitted, stems, strict=True)
    ]
    total = counted.of(len(fitted), 'questions')
    notes = []
    cut = [prompt.num_cut for prompt in fitted if prompt.num_cut]
    if cut:
        notes.append(
            f'{len(cut)} of {total} shortened to leave room for the answer in '
            f'n_positions={n_positions}: {counted.of(sum(cut), "tokens")} cut from the '
            'middle.'
        )
    too_small = [room for room in rooms if room < max_new_tokens]
    if too_small:
        notes.append(
            f'max_new_tokens={max_new_tokens} does not fit beside {len(too_small)} of '
            f'{total} in n_positions={n_positions}: an answer may end after '
            f"{min(too_small)} tokens, finish_reason 'n_positions'. The largest "
            f'max_new_tokens that fits beside all is {n_positions + 1 - longest}.'
        )
    return notes
