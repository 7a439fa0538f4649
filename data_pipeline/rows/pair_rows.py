"""Rows with fields of any names to pairs: JSON Lines, CSV and named data sets."""

import dataclasses
import datetime
import re
from collections.abc import Sequence
from typing import Any

from data_pipeline.chat_texts import media_marks
from data_pipeline.exports import forum_topics
from data_pipeline.layouts import html_text, source_marks, spreadsheet_cells
from data_pipeline.pages import characters, page, reddit
from data_pipeline.rows import (
    answer_lists,
    batches,
    chat_shapes,
    field_map,
    json_rows,
    nested_rows,
    preferred,
    verdicts,
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
_UNIX_TIMES = (1e8, 1e11)  # seconds: of 1973 to 5138
MOST_WEIGHT = 1e6  # of an answer in the loss
# What programs write for none: pandas, spreadsheets, databases; of a question,
# Self-Instruct too.
_NO_TEXT = frozenset(['nan', '#n/a', '<na>', 'null', r'\n'])
_NOTHING = _NO_TEXT | {'none', 'n/a', '<noinput>'}
_SHORTEST = 8  # characters of a text that is surely not one of those
_NO_FIELDS = field_map.FieldMap({})
_HISTORIES = ('history', 'chat_history', 'conversation_history', 'dialogue_history')


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
    row = _with_one_answer(row, asked, answered, result)
    texts = [_text(_asked(row, asked, counts), asked), _text(row, answered)]
    raw, problem = _exchanges(row, texts[0][0], texts[1][0], fields)
    if problems := [each for _, each in (*texts, ('', problem)) if each]:
        result.leave_out(at, text, '; '.join(problems))
        return
    earlier = _earlier(row, (*asked, *answered), texts[0][0], result)
    raw = _without_links(raw, result)
    if batch.marks:
        earlier, raw = (_unmarked(each, batch, result) for each in (earlier, raw))
    result.count_changes(*_texts([*earlier, *raw]))
    needs_media = any(map(media_marks.holds_one, _texts([*earlier, *raw])))
    turns = [_cleaned(each) for each in raw]
    labels = {
        target: _label(row, fields.parts.get(target, ()))
        for target in field_map.TARGETS[2:]
    }
    reason = NEEDS_MEDIA if needs_media else ''
    if any(map(spreadsheet_cells.is_formula, _texts(raw))):
        reason = FORMULA
    reason = UNKNOWN_CHOICE if is_unnamed else reason
    _count_unread(row, fields, counts)
    undecided = next((f'with {key}' for key in nested_rows.UNDECIDED if key in row), '')
    reason = reason or undecided or _why_not_learned(row, fields, labels)
    question, answer = turns[0].question, turns[0].answer
    reason = reason or (REMOVED if reddit.is_removed(answer) else '')
    suffix = '' if question and answer else ' without pair'
    turns = [*map(_cleaned, earlier), *_until_empty(turns, result)]
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
    in_question = _words(row, asked)
    in_answer = _words(row, [name for name in answered if name not in asked])
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
        pair_id = f'{batch.prefix}:{pair_id or page.content_hash(*_texts(turns))}'
    return records.QaPair(
        id=pair_id,
        group=group or pair_id,
        source=labels['source'] or batch.source or kind,
        file=batch.name,
        line=0,
        topic=labels['topic'],
        time=_time(labels['time']),
        question='',
        answer='',
        score=_score(labels['score'], kind, result),
        weight=weight(labels['weight'], kind, result),
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


def _exchanges(
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


def _earlier(
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
    if given is None or not all(map(characters.clean, _texts(turns))):
        result.counts['rows with a history, which was left out'] += 1
        return []
    return turns


def _without_links(
    turns: list[records.Exchange], result: batches.BatchRead
) -> list[records.Exchange]:
    """The turns with the texts of links that are formulas; counts them."""
    if not any(text.lstrip()[:1] == '=' for text in _texts(turns)):
        return turns
    made = []
    for each in turns:
        question, answer = map(spreadsheet_cells.linked, _texts([each]))
        links = (question != each.question) + (answer != each.answer)
        result.counts['fields that are =HYPERLINK(…), read as its text'] += links
        made.append(records.Exchange(question, answer, each.weight))
    return made


def _unmarked(
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


def _until_empty(
    turns: list[records.Exchange], result: batches.BatchRead
) -> list[records.Exchange]:
    """The turns before the first later one without text, up to an answer to learn."""
    ends = (i for i, each in enumerate(turns) if i and not all(_texts([each])))
    end = next(ends, len(turns))
    while end > 1 and not turns[end - 1].weight:
        end -= 1
    result.counts['conversations cut at a turn without text'] += end < len(turns)
    return turns[:end]


def _cleaned(turn: records.Exchange) -> records.Exchange:
    raw = map(html_text.with_escapes, _texts([turn]))
    question, answer = map(characters.clean, raw)
    return records.Exchange(question, answer, turn.weight)


def _texts(turns: Sequence[records.Exchange]) -> list[str]:
    return [text for each in turns for text in (each.question, each.answer)]


def _with_one_answer(
    row: dict[str, Any],
    asked: tuple[str, ...],
    answered: tuple[str, ...],
    result: batches.BatchRead,
) -> dict[str, Any]:
    """The row with one text for each field of several answers; counts all others.

    The others stand in a field of their own, so that their words are counted. Of a
    question that is an object, the text is taken.
    """
    counts = result.counts
    chat_shapes.count_rejected(row, result)
    counts[forum_topics.OTHERS] += len(row.get(forum_topics.OTHERS, ()))
    for name in (*asked, *answered):
        value = row.get(name)
        if isinstance(value, str) and name.lower() in answer_lists.MANY:
            value = answer_lists.of_cell(value)
        if isinstance(value, dict) or (isinstance(value, list) and name in answered):
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
    return 'of weight 0' if answer_lists.number(labels['weight'] or '1') == 0 else ''


def weight(given: str, kind: str, result: batches.BatchRead) -> float:
    """A row's weight; 1.0 for none, or, counted, for one that is no number above 0."""
    number = answer_lists.number(given) if given else 1.0
    if number is None or number <= 0:
        result.counts[f'{kind} weights that are no number above 0'] += 1
        return 1.0
    return number


def _score(given: str, kind: str, result: batches.BatchRead) -> int:
    """A row's score; 0 for none, or, counted, for one that is no number."""
    number = answer_lists.number(given) if given else 0.0
    if number is None or abs(number) >= 2**53:
        result.counts[f'{kind} scores that are no number'] += 1
        return 0
    return round(number)


def _time(given: str) -> str:
    """The time as it is given; seconds since 1970 as their day in UTC."""
    seconds = answer_lists.number(given)
    if seconds is None or not _UNIX_TIMES[0] <= seconds < _UNIX_TIMES[1]:
        return given
    return str(datetime.datetime.fromtimestamp(seconds, datetime.UTC).date())


def _flags(row: dict[str, Any]) -> tuple[str, ...]:
    flags = row.get('flags')
    texts = flags if isinstance(flags, list) else []
    return tuple(characters.clean_line(flag) for flag in texts if isinstance(flag, str))


def _asked(
    row: dict[str, Any], names: tuple[str, ...], counts: batches.Counts
) -> dict[str, Any]:
    """The row, whose question's fields that say 'NaN' or '<noinput>' are empty.

    So are, counted, those that say '[deleted]' or '[removed]'.
    """
    texts = {
        name: row[name].strip() for name in names if isinstance(row.get(name), str)
    }
    removed = [name for name, text in texts.items() if reddit.is_removed(text)]
    counts['fields of a question that say it was removed, left out'] += len(removed)
    empty = {
        name: ''
        for name, text in texts.items()
        if name in removed or text.lower() in _NOTHING
    }
    return {**row, **empty} if empty else row


def _text(row: dict[str, Any], names: tuple[str, ...]) -> tuple[str, str]:
    """(the fields' texts joined by blank lines, the problem of fields without text)."""
    texts = []
    for name in names:
        value = _value(row, name)
        text = '' if value is field_map.MISSING else _as_text(value)
        if text is None:
            return '', f'{name!r} is a {type(value).__name__}, not a text'
        is_none = len(text) < _SHORTEST and text.strip().lower() in _NO_TEXT
        texts.append('' if is_none else text)
    if all(_value(row, name) is field_map.MISSING for name in names):
        return '', f'it has no {" + ".join(map(repr, names)) or "field known"}'
    return '\n\n'.join(text for text in texts if text.strip()), ''


def _label(row: dict[str, Any], names: tuple[str, ...]) -> str:
    """The fields' texts on one line, '' for none."""
    values = [_value(row, name) for name in names]
    texts = [_as_text(value) for value in values if value is not field_map.MISSING]
    return characters.clean_line(' '.join(text for text in texts if text))


def _words(row: dict[str, Any], names: Sequence[str]) -> int:
    own = [name for name in dict.fromkeys(names) if not name.startswith('"')]
    return sum(json_rows.num_words(_value(row, name)) for name in own)


def _value(row: dict[str, Any], name: str) -> Any:
    return name.strip('"') if name.startswith('"') else field_map.value_at(row, name)


def _as_text(value: Any) -> str | None:
    """A single value's text, '' for none, None for a list or an object."""
    if value is None:
        return ''
    if isinstance(value, int | float):
        return str(value)
    return value if isinstance(value, str) else None
