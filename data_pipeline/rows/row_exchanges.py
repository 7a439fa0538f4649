"""The exchanges of a row: its question and answer, its later turns, its history."""

from collections.abc import Sequence
from typing import Any

from data_pipeline.fields import field_map
from data_pipeline.layouts import html_text, source_marks, spreadsheet_cells
from data_pipeline.pages import characters
from data_pipeline.rows import batches, chat_shapes
from hax_jax.data import records

MOST_WEIGHT = 1e6  # of an answer in the loss
_HISTORIES = ('history', 'chat_history', 'conversation_history', 'dialogue_history')


def of_row(
    row: dict[str, Any], question: str, answer: str, fields: field_map.FieldMap
) -> tuple[list[records.Exchange], str]:
    """(the exchanges of a row, the problem of one whose turns are damaged)."""
    more = (row.get('more') or []) if fields.has_turns else []
    weights = (row.get('answer_weights') or []) if fields.has_turns else []
    if not isinstance(more, list) or not all(isinstance(each, str) for each in more):
        return [], "'more' is no list of texts"
    texts = [question, answer, *more]
    weights = weights or [1.0] * (len(texts) // 2)
    if not isinstance(weights, list) or 2 * len(weights) != len(texts):
        return [], "'more' and 'answer_weights' are not question, answer and weight"
    is_number = [type(w) in (int, float) and 0 <= w <= MOST_WEIGHT for w in weights]
    if not all(is_number):
        return [], "'answer_weights' has one that is no number of 0 or above"
    return [*map(records.Exchange, texts[::2], texts[1::2], map(float, weights))], ''


def earlier(
    row: dict[str, Any], read: tuple[str, ...], question: str, result: batches.BatchRead
) -> list[records.Exchange]:
    """The exchanges of a row's history before its question.

    None, counted, if a text of it is missing.
    """
    name = next((name for name in _HISTORIES if row.get(name)), '')
    if not name or name in read:
        return []
    given = chat_shapes.history(row[name], question)
    turns = [records.Exchange(*each) for each in given or []]
    if given is None or not all(map(characters.clean, texts(turns))):
        result.counts['rows with a history, which was left out'] += 1
        return []
    return turns


def without_links(
    turns: list[records.Exchange], result: batches.BatchRead
) -> list[records.Exchange]:
    """The turns with the texts of links that are formulas; counts them."""
    if not any(text.lstrip()[:1] == '=' for text in texts(turns)):
        return turns
    made = []
    for each in turns:
        question, answer = map(spreadsheet_cells.linked, texts([each]))
        links = (question != each.question) + (answer != each.answer)
        result.counts['fields that are =HYPERLINK(…), read as its text'] += links
        made.append(records.Exchange(question, answer, each.weight))
    return made


def unmarked(
    turns: Sequence[records.Exchange], batch: batches.Batch, result: batches.BatchRead
) -> list[records.Exchange]:
    """The turns without the marks of their source; counts the texts."""
    made = []
    for each in turns:
        question, answer, changes = source_marks.apply(
            batch.marks or source_marks.Marks(), each.question, each.answer
        )
        result.counts.update(changes)
        made.append(records.Exchange(question, answer, each.weight))
    return made


def until_empty(
    turns: list[records.Exchange], result: batches.BatchRead
) -> list[records.Exchange]:
    """The turns before the first later one without text, up to an answer to learn."""
    ends = (i for i, each in enumerate(turns) if i and not all(texts([each])))
    end = next(ends, len(turns))
    while end > 1 and not turns[end - 1].weight:
        end -= 1
    result.counts['conversations cut at a turn without text'] += end < len(turns)
    return turns[:end]


def cleaned(turn: records.Exchange) -> records.Exchange:
    raw = map(html_text.with_escapes, texts([turn]))
    question, answer = map(characters.clean, raw)
    return records.Exchange(question, answer, turn.weight)


def texts(turns: Sequence[records.Exchange]) -> list[str]:
    return [text for each in turns for text in (each.question, each.answer)]
