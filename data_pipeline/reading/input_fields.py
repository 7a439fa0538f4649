"""The fields of each input's rows that make a pair, as --fields or common names say."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any

from data_pipeline.copies import message_tables
from data_pipeline.fields import answer_lists, field_map
from data_pipeline.layouts import source_marks
from data_pipeline.reading import named_datasets, one_input
from data_pipeline.rows import chat_shapes, csv_rows, json_rows, message_rows, preferred
from hax_jax import counted, errors

# Of a table of measures: 0x3f800000, -7.5e-3, nan.
_MEASURE = re.compile(
    r'[-+]?(?:0x[\da-f]+|\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)', re.IGNORECASE
)
_FEWEST_MEASURES = 3
_FOR_CHATS = (
    ' Its rows are chats, which need no --fields: leave it out, or name the files that '
    "it is for: --fields='a/*.csv: question=…'."
)


def with_fields(
    found: list[one_input.Input], given: Sequence[str]
) -> list[one_input.Input]:
    """The inputs, with the field map of each whose rows may have any fields.

    An input whose fields fit nothing has that as its `problem`.

    Raises:
      InputError: names each --fields that fits no input.
    """
    maps = field_map.parse(given)
    made, used = [], []
    for each in found:
        chosen = field_map.given_for([each.name, each.path, each.given], maps)
        if each.problem:
            used.append(chosen)
            made.append(each)
            continue
        if each.layout == 'messages' and _are_texts(each.text_path, chosen):
            each = dataclasses.replace(each, layout='pairs')
        if each.layout == 'pairs' or (each.layout == 'messages' and chosen):
            rows: Any = json_rows.head(each.text_path, chosen)
        elif each.layout == 'messages':
            rows = _pairs_among_chats(each.text_path)
        elif each.layout == 'csv':
            rows = csv_rows.head(each.text_path, chosen)
        elif each.layout in named_datasets.KINDS:
            rows = named_datasets.head(each.given, chosen)
        else:
            made.append(each)
            continue
        used.append(chosen)
        compared = _comparisons(each)
        if not chosen:
            each = dataclasses.replace(each, comparisons=compared)
        elif each.layout != 'messages' and _are_plain(rows):
            each = dataclasses.replace(each, unjudged=compared)
        fields, problem = None, ''
        are_chats = not chosen and _are_chats(rows)
        if rows and (each.layout == 'messages' or not are_chats):
            try:
                fields = field_map.resolve(chosen, each.name, rows)
            except errors.InputError as error:
                problem = str(error) + _remedy(each, rows) * (not chosen)
                if chosen and each.layout == 'messages':
                    problem += _FOR_CHATS
        texts = _texts(each, rows, fields) if not problem else []
        if not chosen and _are_numbers(texts):
            problem = (
                f'{each.name} holds numbers alone where a question and an answer are '
                'looked for; name its columns of texts by --fields.'
            )
        marks = source_marks.find(texts) if not problem else None
        made.append(
            dataclasses.replace(each, fields=fields, problem=problem, marks=marks)
        )
    errors.refuse([_unused(each, found) for each in maps if each not in used])
    return made


def _pairs_among_chats(path: str) -> list[Any]:
    """The first rows of a file of chats that are pairs by common names."""
    rows = json_rows.head(path)
    return [
        row
        for row in rows
        if not message_rows.is_chat(row) and field_map.has_both([*row])
    ]


def _comparisons(each: one_input.Input) -> str:
    """The layout of comparisons that the first rows of an input have, '' for none."""
    if each.layout in named_datasets.KINDS:
        rows: Any = named_datasets.head(each.given, field_map.AS_THEY_STAND)
    elif each.layout == 'csv':
        rows = csv_rows.head(each.text_path, field_map.AS_THEY_STAND)
    else:
        rows = json_rows.head(each.text_path, field_map.AS_THEY_STAND)
    return next(filter(None, map(preferred.layout, rows)), '')


def _are_texts(path: str, given: field_map.FieldMap | None) -> bool:
    """Whether --fields name texts beside the chats of a file: they are meant."""
    rows = json_rows.head(path, given) if given else []
    fitting = [row for row in rows if given and given.fits(row)]
    return bool(fitting) and not any(
        isinstance(field_map.value_at(row, name), list | dict)
        for row in fitting
        for target in ('question', 'answer')
        for name in given.parts[target]
    )


def _are_chats(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether some of the rows are chats, and no other is a pair by common names."""
    others = [row for row in rows if not chat_shapes.turns(row)]
    return len(others) < len(rows) and not any(
        field_map.has_both([*row]) for row in others
    )


def _are_plain(rows: Iterable[dict[str, Any]]) -> bool:
    """Whether no row, as --fields leave it, has a rejected answer, or several."""
    several = (*chat_shapes.REJECTED, *answer_lists.MANY)
    return not any(name in row for row in rows for name in several)


def _unused(chosen: field_map.FieldMap, found: Sequence[one_input.Input]) -> str:
    """The error of --fields that no input takes."""
    shown = f"--fields='{f'{chosen.where}: ' if chosen.where else ''}{chosen}'"
    fitting = [
        each.name
        for each in found
        if field_map.given_for([each.name, each.path, each.given], [chosen])
    ]
    if not fitting:
        return (
            f'{shown}: no input has a name like {chosen.where!r}; the inputs are '
            f'{counted.first([each.name for each in found])}.'
        )
    return (
        f'{shown} names columns, and {counted.first(fitting)}, a page or threads, has '
        'none to name; leave --fields out.'
    )


def _texts(
    each: one_input.Input,
    rows: Sequence[dict[str, Any]],
    fields: field_map.FieldMap | None,
) -> list[tuple[str, str]]:
    """(question, answer) of the first rows.

    Turns of a chat that make no pair are answers without a question.
    """
    if each.layout == 'messages' and not rows:
        rows = json_rows.head(each.text_path)
    made = []
    for row in rows:
        parts = fields.parts if fields else {}
        asked, answered = (
            [v for name in parts.get(target, ()) if _is_text(v := row.get(name))]
            for target in ('question', 'answer')
        )
        if asked and answered:
            made += [('', text) for text in (*asked[:-1], *answered[:-1])]
            made.append((asked[-1], answered[-1]))
            continue
        turns = chat_shapes.turns(row) or ()
        if turns and (found := message_rows.exchanges(row)):
            made += [(turn.question, turn.answer) for turn in found]
            continue
        for turn in turns:
            values = turn.values() if isinstance(turn, dict) else ()
            made += [('', text) for text in values if isinstance(text, str)]
    return made


def _are_numbers(texts: Sequence[tuple[str, str]]) -> bool:
    """Whether first rows are a table of measures: 'input' 0x3f, 'output' 7.5e-3."""
    asked = [pair for pair in texts if pair[0]]
    return len(asked) >= _FEWEST_MEASURES and all(
        _MEASURE.fullmatch(text.strip()) for pair in asked for text in pair
    )


def _remedy(each: one_input.Input, rows: Sequence[dict[str, Any]]) -> str:
    """What to do with rows of unknown fields, in the cases where that is known."""
    if found := message_tables.remedy(rows):
        return found
    return csv_rows.without_header(each.text_path) if each.layout == 'csv' else ''


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
