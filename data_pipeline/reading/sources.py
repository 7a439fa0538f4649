"""Raw inputs to batches, and batches to pairs with an account of every line.

found = sources.find(['raw/*.jsonl', 'chats/*.md'])
report = sources.ReadReport()
for batch in sources.batches(found):
    result = sources.read_batch(batch)  # in any process
    report.add(batch, result)  # in the batches' order
sources.check_pairs(report)
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from data_pipeline.reading import batches as batch_reading
from data_pipeline.reading import inputs, named_datasets, read_report
from data_pipeline.rows import batch_types, csv_rows, json_lines
from hax_jax import errors
from hax_jax.data import records

_SHOWN = 5  # lines of why nothing came out

Batch = batch_types.Batch
BatchRead = batch_types.BatchRead
ReadReport = read_report.ReadReport
Input = inputs.Input
read_batch = batch_reading.read_batch
find = inputs.find
describe = inputs.describe
expand = inputs.expand


def read(
    patterns: Sequence[str],
    *,
    fields: Sequence[str] = (),
) -> tuple[list[records.QaPair], read_report.ReadReport]:
    """Every pair of the inputs, duplicates included, as one list.

    Raises:
      InputError: a pattern matches nothing, a file is unreadable, or no pair came out.
    """
    return read_all(find(patterns, fields=fields))


def read_all(
    found: Iterable[inputs.Input],
) -> tuple[list[records.QaPair], read_report.ReadReport]:
    """As `read`, of what `find` found."""
    report = read_report.ReadReport()
    pairs: list[records.QaPair] = []
    for batch in batches(found):
        result = read_batch(batch)
        report.add(batch, result)
        pairs += result.pairs
    check_pairs(report)
    return pairs, report


def batches(
    found: Iterable[inputs.Input],
    *,
    span_bytes: int = json_lines.SPAN_BYTES,
) -> Iterator[batch_types.Batch]:
    """The batches of all inputs in their order, each made when it is asked for.

    They depend on the inputs alone, not on who reads them.
    """
    ordinal = 0
    for each in found:
        made = _of_input(each, span_bytes=span_bytes)
        for batch, is_last in _marking_last(made):
            yield dataclasses.replace(batch, ordinal=ordinal, last=is_last)
            ordinal += 1


def check_pairs(report: read_report.ReadReport) -> None:
    """Raises InputError if there is no pair at all."""
    if not report.num_pairs:
        found = [*report.unknown_lines, *report.dropped, *report.warnings]
        lines = [
            f'corpus without pairs: no answered question in {", ".join(report.files)}; '
            'give chats, Reddit Markdown, merged QUESTION:/ANSWER: files, or threads, '
            'messages or pairs as JSON lines or CSV.',
            *[f'  {line}' for line in found[:_SHOWN]],
        ]
        if len(found) > _SHOWN:
            lines.append(f'  … and {len(found) - _SHOWN:,} more such')
        raise errors.InputError('\n'.join(lines))


def _of_input(each: inputs.Input, *, span_bytes: int) -> Iterator[batch_types.Batch]:
    """The input's batches, at least one, without their ordinals."""
    batch = batch_types.Batch(
        ordinal=0,
        name=each.name,
        path=each.path,
        layout=each.layout,
        stem=each.stem,
        fields=each.fields,
        source=named_datasets.source_of(each.name) if each.given else '',
    )
    pieces: Iterable[dict[str, Any]] = []
    if each.layout in inputs.LINES:
        pieces = (
            {'start': start, 'end': end, 'line': line}
            for start, end, line in json_lines.spans(
                each.path, size=each.size, span_bytes=span_bytes
            )
        )
    elif each.layout == 'csv':
        pieces = _csv_pieces(each.path, batch_characters=span_bytes // 4)
    elif each.layout in named_datasets.KINDS:
        pieces = ({'rows': rows} for rows in named_datasets.spans(each.given))
    is_first = True
    for piece in pieces:
        yield dataclasses.replace(batch, first=is_first, **piece)
        is_first = False
    if is_first:
        yield batch


def _csv_pieces(path: str, *, batch_characters: int) -> Iterator[dict[str, Any]]:
    table = csv_rows.head(path)
    if table is None:
        return
    start = 0
    for rows in csv_rows.spans(
        path, delimiter=table.delimiter, batch_characters=batch_characters
    ):
        end = rows[-1].end
        yield {'columns': table.columns, 'rows': rows, 'start': start, 'end': end}
        start = end


def _marking_last(
    made: Iterator[batch_types.Batch],
) -> Iterator[tuple[batch_types.Batch, bool]]:
    """Each batch, and whether none follows."""
    held = next(made)
    for batch in made:
        yield held, False
        held = batch
    yield held, True
