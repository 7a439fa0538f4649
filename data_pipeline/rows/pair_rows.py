"""Rows with fields of any names to pairs: JSON Lines, CSV and named data sets."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from data_pipeline.chat_texts import media_marks
from data_pipeline.exports import forum_topics
from data_pipeline.fields import answer_lists, cells, field_map, numbers, verdicts
from data_pipeline.layouts import spreadsheet_cells
from data_pipeline.pages import characters, page, reddit
from data_pipeline.rows import (
    batches,
    chat_shapes,
    json_rows,
    preferred,
    row_exchanges,
    row_values,
    two_answers,
)
from hax_jax.data import records

NEEDS_MEDIA = 'that need a picture or a sound'
FORMULA = 'with a formula in place of a text'
NOT_LEARNED = 'marked as not to be learned'
REMOVED = 'whose answer says that it was removed'
UNKNOWN_CHOICE = 'whose answer names no choice for certain'
_WORD = re.compile(r'\w+')
_SHOWN = 60  # characters of a row without an id that made no pair
_SHORT = 8  # words of a question: below that, near questions make no component
_NO_FIELDS = field_map.FieldMap({})


def read_lines(batch: batches.Batch, result: batches.BatchRead) -> None:
    """Adds the pairs of a batch of JSON Lines."""
    for line, value, text in json_rows.rows(batch, result):
        add(value, text=text, line=line, batch=batch, result=result)


def add(
    row: dict[str, Any],
    *,
    text: str,
    line: int,
    batch: batches.Batch,
    result: batches.BatchRead,
) -> None:
    """Counts one row and its words, and adds its pair; people are shown `text` of it.

    An id begins with the batch's kind and name; without one it is a hash of the texts.
    """
    if batch.preferences:
        preferred.add(row, add, text=text, line=line, batch=batch, result=result)
        return
    fields = batch.fields or _NO_FIELDS
    is_other = fields.is_guessed and _has_other_names(row, fields)
    if is_other and (own := field_map.of_row(row)):
        fields = own
        result.counts['rows with other names of fields than the first rows'] += 1
    kind, counts, at = batch.layout, result.counts, f'{batch.name}:{line}'
    counts[f'{kind} rows'] += 1
    asked, answered = (fields.parts.get(name, ()) for name in ('question', 'answer'))
    row, is_unnamed = _with_choice(row, fields, counts)
    row = _with_one_answer(row, asked, answered, fields.packed, result)
    texts = [
        row_values.text(row_values.without_placeholders(row, asked, counts), asked),
        row_values.text(row, answered),
    ]
    raw, problem = row_exchanges.of_row(row, texts[0][0], texts[1][0], fields)
    if problems := [each for _, each in (*texts, ('', problem)) if each]:
        result.leave_out(at, text, '; '.join(problems))
        return
    earlier = row_exchanges.earlier(row, (*asked, *answered), texts[0][0], result)
    raw = row_exchanges.without_links(raw, result)
    if batch.marks:
        earlier, raw = (
            row_exchanges.unmarked(each, batch, result) for each in (earlier, raw)
        )
    result.count_changes(*row_exchanges.texts([*earlier, *raw]))
    needs_media = any(map(media_marks.holds_one, row_exchanges.texts([*earlier, *raw])))
    turns = [row_exchanges.cleaned(each) for each in raw]
    labels = {
        target: row_values.label(row, fields.parts.get(target, ()))
        for target in field_map.TARGETS[2:]
    }
    reason = NEEDS_MEDIA if needs_media else ''
    if any(map(spreadsheet_cells.is_formula, row_exchanges.texts(raw))):
        reason = FORMULA
    reason = UNKNOWN_CHOICE if is_unnamed else reason
    _count_unread(row, fields, counts)
    undecided = next((f'with {key}' for key in two_answers.UNDECIDED if key in row), '')
    reason = reason or undecided or _why_not_learned(row, fields, labels)
    question, answer = turns[0].question, turns[0].answer
    reason = reason or (REMOVED if reddit.is_removed(answer) else '')
    suffix = '' if question and answer else ' without pair'
    turns = [
        *map(row_exchanges.cleaned, earlier),
        *row_exchanges.until_empty(turns, result),
    ]
    if not turns[-1].weight:
        reason = reason or NOT_LEARNED
    _count_words(
        row, asked, answered, (*earlier, *raw[1:]), reason or suffix, result=result
    )
    if suffix and not undecided and not is_unnamed:
        missing = 'question' if answer else 'answer' if question else 'text'
        reason = f'without {missing}'
    if reason:
        counts[f'{kind} rows {reason}'] += 1
        shown = labels['id'] or _opening(question or answer)
        result.dropped.append(f'{at}: {shown} ({kind} rows {reason})')
        return
    if len(turns) > 1:
        counts['conversations'] += 1
        counts['conversations exchanges'] += len(turns)
    flags = _flags(row) if fields.is_ours else ()
    pair = _pair(labels, turns, is_ours=fields.is_ours, batch=batch, result=result)
    result.pairs.append(dataclasses.replace(pair, line=line, flags=flags))


def _with_choice(
    row: dict[str, Any], fields: field_map.FieldMap, counts: batches.Counts
) -> tuple[dict[str, Any], bool]:
    """(the row with the text of the choice that its answer names, if it is unknown)."""
    if not fields.choice or not answer_lists.is_mark(row.get(fields.choice)):
        return row, False
    chosen = answer_lists.chosen(row, fields.choice, fields.first_choice)
    counts['answers that name a choice, read as its text'] += bool(chosen)
    return {**row, fields.choice: chosen}, not chosen


def _count_words(
    row: dict[str, Any],
    asked: tuple[str, ...],
    answered: tuple[str, ...],
    others: Sequence[records.Exchange],
    left_out: str,
    *,
    result: batches.BatchRead,
) -> None:
    """Counts a row's words; `others` are its exchanges beside the row's own fields."""
    in_question = row_values.num_words(row, asked)
    in_answer = row_values.num_words(
        row, [name for name in answered if name not in asked]
    )
    in_question += json_rows.num_words([each.question for each in others])
    in_answer += json_rows.num_words([each.answer for each in others])
    place = ' without pair' if left_out else ''
    result.words[f'question{place}'] += in_question
    result.words[f'answer{place}'] += in_answer
    rest = json_rows.num_words(row) - in_question - in_answer
    result.words['in fields not read'] += rest


def _opening(text: str) -> str:
    line = characters.clean_line(text)
    return f'{line[:_SHOWN]}…' if len(line) > _SHOWN else line


def _has_other_names(row: dict[str, Any], fields: field_map.FieldMap) -> bool:
    """Whether a row lacks all fields of a text, or has nothing in any of both texts'.

    An empty answer alone is no reason to look for one in another field.
    """
    texts = [fields.parts.get(name, ()) for name in ('question', 'answer')]
    return not all(any(name in row for name in names) for names in texts) or not any(
        row.get(name) for names in texts for name in names
    )


def _pair(
    labels: dict[str, str],
    turns: list[records.Exchange],
    *,
    is_ours: bool,
    batch: batches.Batch,
    result: batches.BatchRead,
) -> records.QaPair:
    """The pair of a row's labels and turns, without its line and its flags."""
    kind, pair_id = batch.layout, labels['id']
    group = labels['group'] or _group_of(turns)
    if not (is_ours and pair_id):
        name = pair_id or page.content_hash(*row_exchanges.texts(turns))
        pair_id = f'{batch.prefix}:{name}'
    return records.QaPair(
        id=pair_id,
        group=group or pair_id,
        source=labels['source'] or batch.source or kind,
        file=batch.name,
        line=0,
        topic=labels['topic'],
        time=row_values.day(labels['time']),
        question='',
        answer='',
        score=row_values.score(labels['score'], kind, result),
        weight=row_values.weight(labels['weight'], kind, result),
    ).with_exchanges(turns)


def _group_of(turns: Sequence[records.Exchange]) -> str:
    """The group of answers to one short question without an id; '' for others.

    A split keeps it whole. Longer questions are found again by their words.
    """
    question = turns[0].question
    if len(turns) > 1 or len(question.split(maxsplit=_SHORT)) >= _SHORT:
        return ''
    words = _WORD.findall(question.lower())
    return f'question:{page.content_hash(" ".join(words))}' if words else ''


def _with_one_answer(
    row: dict[str, Any],
    asked: tuple[str, ...],
    answered: tuple[str, ...],
    packed: tuple[str, ...],
    result: batches.BatchRead,
) -> dict[str, Any]:
    """The row with one text for each field of several answers; counts all others.

    The others stand in a field of their own, so that their words are counted. Of a
    question that is an object, the text is taken; `packed` are lists within a text.
    """
    counts = result.counts
    chat_shapes.count_rejected(row, result)
    counts[forum_topics.OTHERS] += len(row.get(forum_topics.OTHERS, ()))
    for name in (*asked, *answered):
        value = row.get(name)
        if isinstance(value, str) and (
            name in packed or name.lower() in answer_lists.MANY
        ):
            value = answer_lists.of_cell(value)
            if name in packed and isinstance(value, str):
                row = {**row, name: value}
        elif isinstance(value, str) and name in answered and value[:1] == '[':
            is_list = isinstance(cells.in_cell(value), list)
            counts['answers that are lists, learned as they stand'] += is_list
        is_list = isinstance(value, list) and name in (*answered, *packed)
        if isinstance(value, dict) or is_list:
            text, others = answer_lists.best(value)
            if text is not None:
                row = {**row, name: text, f'other {name}': others}
                counts['answers beside the best, left out'] += len(others)
    return row


def _count_unread(
    row: dict[str, Any], fields: field_map.FieldMap, counts: batches.Counts
) -> None:
    """Counts a row for each verdict that says neither yes nor no, and passed text."""
    marks = fields.parts.get('learn', ())
    for name in (*fields.unread, *marks):
        value = field_map.value_at(row, name)
        is_filled = value not in (None, '', field_map.MISSING)
        is_read = name in marks and verdicts.is_read(value, name)
        if is_filled and not is_read and not fields.is_given:
            counts[f'rows with {name!r}, of which no verdict was read'] += 1
    for name in fields.passed:
        counts[f'rows with a text in {name!r}, which was not read'] += bool(
            row.get(name)
        )


def _why_not_learned(
    row: dict[str, Any], fields: field_map.FieldMap, labels: dict[str, str]
) -> str:
    """What a field of the row says against learning its answer, or ''."""
    marks = fields.parts.get('learn', ())
    if any(verdicts.says_no(field_map.value_at(row, name), name) for name in marks):
        return NOT_LEARNED
    return 'of weight 0' if numbers.number(labels['weight'] or '1') == 0 else ''


def _flags(row: dict[str, Any]) -> tuple[str, ...]:
    flags = row.get('flags')
    texts = flags if isinstance(flags, list) else []
    return tuple(characters.clean_line(flag) for flag in texts if isinstance(flag, str))
