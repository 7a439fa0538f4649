"""Rows that say or show which of several answers is better, to `batches.Answer`.

{"prompt": "Why?", "chosen": "So.", "rejected": "No."}         also lists of turns
{"prompt": {"text": "Why?", "replies": [{"text": "So.", "rank": 0}, …]}}      OASST
{"question": "Why?", "answers": [{"text": "So.", "score": 9, "time": 1700000000}, …]}
{"question": "Why?", "completions": [{"response": "So.", "overall_score": 7}, …]}
{"question": "Why?", "answer": "So.", "score": 9, "time": 1700000000}  and more such

Each answer is read as if it were the row's only one, so that all are cleaned alike.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

from data_pipeline.exports import reply_trees
from data_pipeline.fields import answer_lists, numbers
from data_pipeline.rows import batches, chat_shapes, json_rows, nested_rows
from hax_jax.data import records

_BESIDE = 'answers beside the best, left out'
# The columns by which a known layout of comparisons is recognised, and how it is read.
_KNOWN = (
    ('human_ref_A human_ref_B', 'SHP: the better of human_ref_A and human_ref_B is the '
     'one that labels names'),
    ('response_0 response_1 better_response_id', 'PKU-SafeRLHF: the better of '
     'response_0 and response_1 is the one that better_response_id names'),
    ('response1 response2 overall_preference', 'HelpSteer3: the better of response1 '
     'and response2 is the one that overall_preference names'),
    ('conversation_a conversation_b winner', 'Chatbot Arena: the better of '
     'conversation_a and conversation_b is the one that winner names'),
    ('response_a response_b winner_model_a', 'Chatbot Arena: the better of response_a '
     'and response_b is the one whose winner_model is 1'),
    ('response_j response_k', 'stack-exchange-paired: response_j is the better answer, '
     'response_k the worse'),
    ('answer_0 answer_1 score_0 score_1', 'WebGPT: the better of answer_0 and answer_1 '
     'is the one of the higher score'),
    ('preferred_output non_preferred_output', 'OpenAI: preferred_output is the better '
     'answer, non_preferred_output the worse'),
    ('chosen_messages rejected_messages', 'LLaMA-Factory: chosen_messages end with the '
     'better answer, rejected_messages with the worse'),
    ('rejected_response', 'ms-swift and others: rejected_response is the worse answer'),
    ('chosen rejected', '{}: chosen is the better answer, rejected the worse'),
)  # fmt: skip


def layout(row: dict[str, Any]) -> str:
    """The layout of comparisons that a row as it stands in its file has; '' for none.

    'SHP: the better of human_ref_A and human_ref_B is the one that labels names'
    """
    row = nested_rows.in_small_letters(row)
    for columns, said in _KNOWN:
        if set(columns.split()) <= set(row):
            opening = str(row.get('prompt') or row.get('chosen')).lstrip()
            return said.format('HH-RLHF' if opening.startswith('Human:') else 'TRL')
    if reply_trees.ranked(row):
        return 'OASST: of the replies to a turn, the one of rank 0 is the best'
    name = next((n for n in answer_lists.MANY if answer_lists.judged(row.get(n))), '')
    if not name:
        return ''
    is_ranked = 'rank' in row[name][0]
    by = 'rank' if is_ranked else 'ratings'
    source = 'Nectar' if is_ranked else 'UltraFeedback'
    return f'{source}: the best of {name} is the one of the best {by}'


class Reader(Protocol):
    """`message_rows.add` or `pair_rows.add`."""

    def __call__(
        self,
        row: dict[str, Any],
        /,
        *,
        text: str,
        line: int,
        batch: batches.Batch,
        result: batches.BatchRead,
    ) -> None: ...


@dataclasses.dataclass(frozen=True)
class _Form:
    """A row with one of its answers, and what tells it from the others."""

    row: dict[str, Any]
    score: float | None
    time: float | None = None
    is_chosen: bool | None = None
    part: int = 0  # answers of one part are compared


def add(
    row: dict[str, Any],
    read: Reader,
    *,
    text: str,
    line: int,
    batch: batches.Batch,
    result: batches.BatchRead,
) -> None:
    """Adds the row's pair as without preferences, and then its answers."""
    alone = dataclasses.replace(batch, preferences=False)
    known = len(result.pairs)
    before = result.counts[_BESIDE], +result.words
    read(row, text=text, line=line, batch=alone, result=result)
    left_out = result.counts.pop(chat_shapes.LEFT_OUT, 0)
    result.counts['rows with a rejected answer, for preferences'] += left_out
    if any(key in row and not row[key] for key in chat_shapes.REJECTED):
        result.counts['rows whose rejected answer is empty: no preference'] += 1
    groups = [pair.group for pair in result.pairs[known:]]
    number = len(result.answers)
    forms = [*_forms(row, batch)]
    if not forms and groups:
        result.answers += _alone(row, result.pairs[-1], batch)
    read_here: list[str] = []  # the answers that are no part of the row's own pair
    own = {turn.answer for pair in result.pairs[known:] for turn in pair.exchanges}
    for form in forms:
        found = batches.BatchRead()
        read(form.row, text='', line=line, batch=alone, result=found)
        reason = '' if found.pairs else _why_none(found)
        pair = found.pairs[0] if found.pairs else batches.NO_PAIR
        # Without ids, a pair's group is a hash of its answer too.
        group = groups[0] if groups else pair.group
        answer = batches.Answer(
            dataclasses.replace(pair, group=group),
            number + form.part,
            score=form.score,
            time=form.time,
            is_chosen=form.is_chosen,
            is_chat=chat_shapes.turns(form.row) is not None,
            reason=reason,
        )
        result.answers.append(answer)
        last = pair.exchanges[-1].answer
        read_here += [last] if last not in own else []
    if forms:
        _count_as_read(read_here, *before, result)


def _count_as_read(
    answers: list[str], beside: int, words: batches.Counts, result: batches.BatchRead
) -> None:
    """Counts the row's other answers, and their words, as read for preferences.

    `beside` and `words` are the counts before the row.
    """
    result.counts['answers beside the best, for preferences'] += (
        result.counts[_BESIDE] - beside
    )
    result.counts[_BESIDE] = beside
    left = json_rows.num_words(answers)
    for kind in ('in fields not read', 'in turns and fields not read'):
        moved = min(left, result.words[kind] - words[kind])
        result.words[kind] -= moved
        result.words['other answers, for preferences'] += moved
        left -= moved


def _alone(
    row: dict[str, Any], pair: records.QaPair, batch: batches.Batch
) -> list[batches.Answer]:
    """The row's one answer, if it has a score: other rows may have the question too."""
    parts = batch.fields.parts if batch.fields else {}
    score, time = (
        next((row[name] for name in parts.get(key, (key,)) if name in row), None)
        for key in ('score', 'time')
    )
    if (votes := numbers.number(score)) is None:
        return []
    return [
        batches.Answer(
            pair,
            batches.ALONE,
            score=votes,
            time=numbers.seconds(time),
            is_chat=chat_shapes.turns(row) is not None,
        )
    ]


def _forms(row: dict[str, Any], batch: batches.Batch) -> Iterator[_Form]:
    """The row with each of its answers; nothing for a row of one answer."""
    answered = batch.fields.parts.get('answer', ()) if batch.fields else ()
    worse = next((key for key in chat_shapes.REJECTED if row.get(key)), '')
    better = next((key for key in chat_shapes.CHOSEN if key in row), '')
    if worse:
        is_chat = chat_shapes.turns(row) is not None
        own = next(iter(answered), '')
        better = better or own
        has_other_names = better in row and own not in row
        target = better if is_chat or better in answered or has_other_names else own
        if not target:
            return
        rest = {key: row[key] for key in row if key not in chat_shapes.REJECTED}
        yield _Form(
            {**rest, target: row[better]},
            chat_shapes.score(row, better),
            is_chosen=True,
        )
        for each in _texts(row[worse]):
            yield _Form(
                {**rest, target: each}, chat_shapes.score(row, worse), is_chosen=False
            )
    elif trees := reply_trees.ranked(row):
        for part, (asked, answers) in enumerate(trees):
            best = reply_trees.rank(answers[0])
            for each in answers:
                made = {**row, 'prompt': asked, 'completion': [each]}
                is_best = reply_trees.rank(each) == best
                yield _Form(made, None, is_chosen=is_best, part=part)
    elif name := next((n for n in (*answered, *answer_lists.MANY) if n in row), ''):
        if judged := answer_lists.judged(row[name]):
            best = max(rating for _, rating in judged)
            for text, rating in judged:
                made = {**row, name: text}
                yield _Form(
                    made, rating if rating >= 0 else None, is_chosen=rating == best
                )
            return
        several = answer_lists.scored(row[name])
        for text, score, time in several if len(several) > 1 else ():
            yield _Form({**row, name: text}, score, time)


def _texts(value: Any) -> list[Any]:
    """Each of several texts; any other value as the one of it."""
    is_texts = isinstance(value, list) and all(isinstance(v, str) for v in value)
    return value if is_texts else [value]


def _why_none(found: batches.BatchRead) -> str:
    """The reason that a form of a row gave no pair."""
    for line in (*found.dropped, *found.unknown):
        *_, reason = line.rpartition('(')
        return reason.rstrip(')').partition(': ')[2] or reason.rstrip(')')
    return 'no pair'
