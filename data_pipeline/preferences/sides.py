"""Answers after the stages of preparation, as sides of preference pairs."""

import dataclasses
from collections.abc import Mapping, Sequence

import msgspec

from data_pipeline.pair_stages import stage_ledger, stages, word_runs
from data_pipeline.rows import batches
from hax_jax.data import records


@dataclasses.dataclass(frozen=True)
class Side:
    """A prepared answer. Answers of one `row` are compared with each other alone, those
    of the row `batches.ALONE` by their prompts.

    `prompt` has the turns before the answer: a question, or question, answer, …,
    question. `prompt_hash` and `answer_hash` are 64 bits of each text. `score`, `time`,
    `is_chosen` and `is_chat` are those of `batches.Answer`. A side with a `reason` was
    dropped for it, and has no texts.
    """

    row: int
    id: str
    group: str
    source: str
    prompt: tuple[str, ...]
    answer: str
    prompt_hash: int
    answer_hash: int
    score: float | None
    time: float | None
    is_chosen: bool | None
    is_chat: bool
    reason: str = ''


def prepare(
    answers: Sequence[batches.Answer],
    sequence: Sequence[stages.Stage],
    *,
    known: Mapping[records.QaPair, tuple[records.QaPair, str]],
) -> list[Side]:
    """The sides of a batch's answers, in their order.

    `known` has the outcome of pairs that went through the stages already: the pair
    after them, and the reason if it was dropped.
    """
    others = [a.pair for a in answers if not a.reason and a.pair not in known]
    ledger = stage_ledger.Ledger()  # the dataset's own counts pairs alone
    made = dict(zip(others, ledger.run(others, sequence), strict=True))
    sides = []
    for each in answers:
        if each.reason:
            sides.append(_side(each, each.pair, f'read: {each.reason}'))
            continue
        pair, reason = known.get(each.pair) or made[each.pair]
        if not reason and len(pair.more) != len(each.pair.more):
            reason = 'the conversation was cut before the answer'
        sides.append(_side(each, pair, reason))
    return sides


def _side(given: batches.Answer, pair: records.QaPair, reason: str) -> Side:
    *prompt, answer = ('', '') if reason else (pair.question, pair.answer, *pair.more)
    return Side(
        row=given.row,
        id=given.pair.id,
        group=given.pair.group,
        source=given.pair.source,
        prompt=tuple(prompt),
        answer=answer,
        **hashes(prompt, answer),
        score=given.score,
        time=given.time,
        is_chosen=given.is_chosen,
        is_chat=given.is_chat,
        reason=reason,
    )


def hashes(prompt: Sequence[str], answer: str) -> dict[str, int]:
    """`prompt_hash` and `answer_hash`."""
    turns = msgspec.json.encode(list(prompt)).decode()
    return {
        'prompt_hash': word_runs.hash64(turns),
        'answer_hash': word_runs.hash64(answer),
    }
