"""Questions to prompts that fit into a model's positions, with room for an answer."""

import dataclasses
from collections.abc import Sequence

from hax_jax import errors
from hax_jax.data import text
from hax_jax.sampling import prompts


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Questions, the ids of their prompts and stems, and what was cut, in words."""

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
    """The prompt of each question, with room for its stem and, where that can be,
    `max_new_tokens` behind it.

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
    stems = tokenizer.encode([question.stem for question in questions])
    room = n_positions + 1 - max_new_tokens
    fixed = len(pieces.head) + len(pieces.tail)
    fitted: list[text.Prompt] = []
    shortest_forms, new_tokens, problems = [0], [max_new_tokens], []
    for question, ids, stem in zip(questions, encoded, stems, strict=True):
        shortest = min(len(ids), len(pieces.cut) + text.MIN_QUESTION_TOKENS)
        shortest += fixed + len(stem)
        shortest_forms.append(shortest)
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
        prompt = text.prompt(pieces, ids, max_length=room - len(stem))
        if prompt is None:
            more_room = max(shortest, (n_positions + 1) // 2) - len(stem)
            prompt = text.prompt(pieces, ids, max_length=more_room)
            new_tokens.append(n_positions + 1 - len(prompt.ids) - len(stem))
        fitted.append(prompt)
    if problems:
        raise errors.InputError('\n'.join(problems))
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
    return Fitted(list(questions), fitted, stems, notes)


def _counted(number: int, noun: str) -> str:
    return f'{number:,} {noun}' + 's' * (number != 1)
