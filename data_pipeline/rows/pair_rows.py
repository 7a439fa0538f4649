"""Rows with fields of any names to pairs: JSON Lines, CSV and named data sets."""

import datetime
import math
from typing import Any

from data_pipeline.pages import clean, parsed
from data_pipeline.rows import batch_types, field_map, json_lines
from hax_jax.data import records

_UNIX_TIMES = (1e8, 1e11)  # seconds: of 1973 to 5138
_NO_FIELDS = field_map.FieldMap({})


def read_lines(batch: batch_types.Batch, result: batch_types.BatchRead) -> None:
    """Adds the pairs of a batch of JSON Lines."""
    for line, value, text in json_lines.rows(batch, result):
        if isinstance(value, dict):
            add(value, text=text, line=line, batch=batch, result=result)
        else:
            problem = f'a {type(value).__name__}, not an object'
            json_lines.leave_out(f'{batch.name}:{line}', text, problem, result)


def add(
    row: dict[str, Any],
    *,
    text: str,
    line: int,
    batch: batch_types.Batch,
    result: batch_types.BatchRead,
) -> None:
    """Counts one row and its words, and adds its pair; `text` is how it is shown.

    An id begins with the batch's kind and name; without one it is a hash of the texts.
    """
    fields = batch.fields or _NO_FIELDS
    kind, counts, at = batch.layout, result.counts, f'{batch.name}:{line}'
    counts[f'{kind} rows'] += 1
    asked, answered = (fields.parts.get(name, ()) for name in ('question', 'answer'))
    texts = [_text(row, asked), _text(row, answered)]
    problems = [problem for _, problem in texts if problem]
    if problems:
        json_lines.leave_out(at, text, '; '.join(problems), result)
        return
    batch_types.count_changes(result, texts[0][0], texts[1][0])
    question, answer = (clean.text(raw) for raw, _ in texts)
    given = _label(row, fields, 'id')
    suffix = '' if question and answer else ' without pair'
    in_question = _words(row, asked)
    in_answer = _words(row, [name for name in answered if name not in asked])
    result.words[f'question{suffix}'] += in_question
    result.words[f'answer{suffix}'] += in_answer
    others = json_lines.num_words(row) - in_question - in_answer
    result.words['in fields not read'] += others
    if suffix:
        missing = 'question' if answer else 'answer' if question else 'text'
        counts[f'{kind} rows without {missing}'] += 1
        result.dropped.append(f'{at}: {given} ({kind} rows without {missing})')
        return
    pair_id = f'{batch.prefix}:{given or parsed.content_hash(question, answer)}'
    if fields.is_ours and given:
        pair_id = given
    result.pairs.append(
        records.QaPair(
            id=pair_id,
            group=_label(row, fields, 'group') or pair_id,
            source=_label(row, fields, 'source') or batch.source or kind,
            file=batch.name,
            line=line,
            topic=_label(row, fields, 'topic'),
            time=_time(_label(row, fields, 'time')),
            question=question,
            answer=answer,
            score=_score(_label(row, fields, 'score'), kind, result),
            flags=_flags(row) if fields.is_ours else (),
            weight=weight(_label(row, fields, 'weight'), kind, result),
        )
    )


def weight(given: str, kind: str, result: batch_types.BatchRead) -> float:
    """A row's weight; 1.0 where it has none, or, which is counted, none above zero."""
    number = _number(given) if given else 1.0
    if number is None or number <= 0:
        result.counts[f'{kind} weights that are no number above 0'] += 1
        return 1.0
    return number


def _score(given: str, kind: str, result: batch_types.BatchRead) -> int:
    """A row's score; 0 where it has none, or, which is counted, no number."""
    number = _number(given) if given else 0.0
    if number is None or abs(number) >= 2**53:
        result.counts[f'{kind} scores that are no number'] += 1
        return 0
    return round(number)


def _time(given: str) -> str:
    """The time as it is given, but seconds since 1970 as their day in UTC."""
    seconds = _number(given)
    if seconds is None or not _UNIX_TIMES[0] <= seconds < _UNIX_TIMES[1]:
        return given
    return str(datetime.datetime.fromtimestamp(seconds, datetime.UTC).date())


def _flags(row: dict[str, Any]) -> tuple[str, ...]:
    flags = row.get('flags')
    texts = flags if isinstance(flags, list) else []
    return tuple(clean.line(flag) for flag in texts if isinstance(flag, str))


def _text(row: dict[str, Any], names: tuple[str, ...]) -> tuple[str, str]:
    """(the texts of the fields joined by blank lines, what keeps them from being)."""
    texts = []
    for name in names:
        value = _value(row, name)
        text = '' if value is field_map.MISSING else _as_text(value)
        if text is None:
            return '', f'{name!r} is a {type(value).__name__}, not a text'
        texts.append(text)
    if all(_value(row, name) is field_map.MISSING for name in names):
        return '', f'it has no {" + ".join(map(repr, names)) or "field known"}'
    return '\n\n'.join(text for text in texts if text.strip()), ''


def _label(row: dict[str, Any], fields: field_map.FieldMap, target: str) -> str:
    """The fields' texts on one line, '' where there is none."""
    values = [_value(row, name) for name in fields.parts.get(target, ())]
    texts = [_as_text(value) for value in values if value is not field_map.MISSING]
    return clean.line(' '.join(text for text in texts if text))


def _words(row: dict[str, Any], names: tuple[str, ...] | list[str]) -> int:
    own = [name for name in dict.fromkeys(names) if not name.startswith('"')]
    return sum(json_lines.num_words(_value(row, name)) for name in own)


def _value(row: dict[str, Any], name: str) -> Any:
    return name.strip('"') if name.startswith('"') else field_map.value_at(row, name)


def _as_text(value: Any) -> str | None:
    """A single value's text, '' for none, None for a list or an object."""
    if value is None:
        return ''
    if isinstance(value, int | float):
        return str(value)
    return value if isinstance(value, str) else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
