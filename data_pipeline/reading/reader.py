"""Inputs to batches, and batches to pairs with an account of every line.

found = inputs.find(['raw/*.jsonl', 'chats/*.md'])
report = read_report.ReadReport()
for batch in reader.batches_of(found):
    result = reader.read_batch(batch)  # in any process
    report.add(batch, result)  # in the batches' order
report.check_pairs()
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from data_pipeline.exports import reply_threads
from data_pipeline.faq import answer_buttons, faq_pages
from data_pipeline.layouts import detection, html_text
from data_pipeline.markup import html_pages, html_questions
from data_pipeline.pages import characters, encoding, page
from data_pipeline.reading import (
    inputs,
    named_datasets,
    one_input,
    path_patterns,
    read_report,
)
from data_pipeline.rows import (
    batches,
    csv_rows,
    json_rows,
    message_rows,
    pair_rows,
    thread_rows,
)
from hax_jax import errors
from hax_jax.data import records

# Names of files that hold no text; a text of rows may have one by mistake.
_BINARY = ('.xlsx', '.xls', '.parquet', '.arrow', '.feather')
_JSON = re.compile(r'\s*(?:\{\s*"|\[\s*[\[{"])')  # begins so
# Markup that is not read, and what shows it.
_MARKUP = (
    ('LaTeX', re.compile(r'^\\(?:chapter|(?:sub)*section|begin)\b', re.M)),
    ('DocBook', re.compile(r'\A\s*(?:<[?!][^>]*>\s*)*<(?:book|article|chapter)[\s>]')),
    (
        'troff',
        re.compile(r'\A(?:[.\']\\".*+\n|\s++|\.[^\S\n]*+\n)*+\.(?:TH|Dd|nr|ds|de)\s'),
    ),
    ('POD', re.compile(r'^=head1\s', re.M)),
    (
        'Texinfo',
        re.compile(
            r'\A(?:\\input texinfo|@c(?:omment)? .*\n(?:@c .*\n|[ \t]*\n)*@\w+)'
        ),
    ),
)
_OF_COMMANDS = ('troff', 'Texinfo')  # whose lines are not what a reader sees
_CONVERT = 'convert it to Markdown or HTML first, as pandoc or makeinfo do'
_SHOWN = 60  # characters of the first line of a file of unknown layout


def read(
    patterns: Sequence[str],
    *,
    fields: Sequence[str] = (),
    skip_unreadable: bool = False,
) -> tuple[list[records.QaPair], read_report.ReadReport]:
    """Every pair of the inputs, duplicates included, as one list.

    Raises:
      InputError: a pattern matches nothing, no pair came out, or a file gives nothing
        and is not skipped.
    """
    report = read_report.ReadReport()
    pairs: list[records.QaPair] = []
    found = inputs.find(patterns, fields=fields, skip_unreadable=skip_unreadable)
    for batch in batches_of(found):
        result = read_batch(batch)
        report.add(batch, result)
        pairs += result.pairs
    report.check_pairs(skip_unreadable=skip_unreadable)
    return pairs, report


def batches_of(
    found: Iterable[one_input.Input],
    *,
    span_bytes: int = json_rows.SPAN_BYTES,
    preferences: bool = False,
) -> Iterator[batches.Batch]:
    """The batches of all inputs in their order, each made when it is asked for.

    They depend on the inputs alone, not on the workers that read them. With
    `preferences`, they are read to `Answer` too.
    """
    ordinal = 0
    for each in found:
        batch = batches.Batch(
            ordinal=0,
            name=each.name,
            path=each.text_path,
            layout=each.layout,
            stem=each.stem,
            fields=each.fields,
            problem=each.problem,
            source=named_datasets.source_of(each.name) if each.given else '',
            preferences=preferences,
            marks=each.marks,
        )
        pieces = _pieces(each, span_bytes=span_bytes)
        # A page, or an input without rows, is one batch without fields of its own.
        piece: dict[str, Any] | None = next(pieces, {})
        first = True
        while piece is not None:
            following = next(pieces, None)
            yield dataclasses.replace(
                batch, ordinal=ordinal, first=first, last=following is None, **piece
            )
            piece, first = following, False
            ordinal += 1


def _pieces(each: one_input.Input, *, span_bytes: int) -> Iterator[dict[str, Any]]:
    """For each batch of an input with rows, the fields that are the batch's own."""
    if each.problem:
        return
    if each.layout in path_patterns.LINES:
        for start, end, line in json_rows.spans(
            each.text_path, size=each.size, span_bytes=span_bytes
        ):
            yield {'start': start, 'end': end, 'line': line}
    elif each.layout == 'csv':
        start = 0
        for columns, rows in csv_rows.spans(
            each.text_path, batch_characters=span_bytes // 4
        ):
            end = rows[-1].end
            yield {'columns': columns, 'rows': rows, 'start': start, 'end': end}
            start = end
    elif each.layout in named_datasets.KINDS:
        for rows in named_datasets.spans(each.given):
            yield {'rows': rows}


def read_batch(batch: batches.Batch) -> batches.BatchRead:
    """The pairs of a batch, and where everything in it went.

    Depends only on the batch and the file that it names.
    """
    result = batches.BatchRead()
    if batch.problem:
        result.problem = batch.problem
        result.counts[read_report.UNREADABLE] += 1
    elif batch.layout in _READERS:
        _READERS[batch.layout](batch, result)
        if batch.first and batch.path:
            result.counts[f'files of layout {batch.layout}'] += 1
    else:
        try:
            _read_page(batch, result)
        except errors.InputError as error:  # it is no text
            result.problem = str(error)
            result.counts[read_report.UNREADABLE] += 1
    is_given = batch.path and batch.layout and not result.problem
    if is_given and batch.last and not result.num_pairs:
        result.problem = inputs.of_another_layout(batch.path, batch.name, batch.layout)
    if batch.first:
        result.counts['files' if batch.path else 'named data sets'] += 1
    return result.capped()


def _read_page(batch: batches.Batch, result: batches.BatchRead) -> None:
    """Adds the pairs of a written page; finds its layout if the batch has none.

    Raises:
      InputError: the file is no text.
    """
    name = batch.name
    raw = pathlib.Path(batch.path).read_bytes()
    text = encoding.decode(raw, name, warnings=result.warnings)
    result.count_changes(text)
    if not characters.clean(text):
        result.counts['files empty'] += 1
        result.warnings.append(f'{name} is empty.')
        return
    text = characters.bare_heads(characters.line_ends(text))
    signs = [sign for markup, sign in _MARKUP if markup in _OF_COMMANDS]
    if not batch.layout and any(sign.search(text) for sign in signs):
        _note_unknown(text, batch, result, '')
        return
    found, why_none = None, ''
    is_whole = not batch.layout and html_pages.opens_document(text)
    layout = batch.layout or ('' if is_whole else detection.detect(text))
    if not is_whole and '<!--' in text:
        text, words = html_text.without_comments(text)
        result.words['in comments'] += words
        layout = layout and (batch.layout or detection.detect(text))
    if not is_whole and (not layout or '<summary' in text):
        text, layout = _without_buttons(text, layout, batch, result)
    if not layout and (is_whole or html_text.is_page(text)):
        view = _of_html(text, batch, result)
        text, found, why_none = view.text, view.found, view.why_none
        layout = html_questions.SOURCE if found else detection.detect(text)
    elif not layout and '<' in text:
        bare, tags = html_text.plain(text)
        if layout := detection.detect(bare) if tags else '':
            result.counts['files whose tags of HTML hid their layout'] += 1
            result.words['in tags of HTML'] += len(text.split()) - len(bare.split())
            text = bare
    if not layout:
        _note_unknown(text, batch, result, why_none)
        return
    found = found or detection.parse(text, layout=layout, file=name)
    result.counts[f'files of layout {layout}'] += 1
    result.counts += found.counts
    result.words += page.words(found.pieces)
    result.pairs = found.pairs
    result.unknown = [
        f'{name}:{line}: {unknown.strip()} ({where})'
        for line, unknown, where in found.unknown
    ]
    result.dropped = [
        f'{name}:{line}: {post} ({reason})' for line, post, reason in found.dropped
    ]


def _without_buttons(
    text: str, layout: str, batch: batches.Batch, result: batches.BatchRead
) -> tuple[str, str]:
    """A page without what shows or names its answers, and its layout.

    Lines that name them may be labels: they count where no layout is known.
    """
    for label in (answer_buttons.LABEL, answer_buttons.SHORT):
        bare, times = answer_buttons.without(text, label)
        found = (batch.layout or detection.detect(bare)) if times else ''
        if not found and not layout:
            bare, lines = answer_buttons.without_lines(bare, label)
            times += lines
            found = detection.detect(bare) if lines else ''
        if label == answer_buttons.SHORT and found == faq_pages.SOURCE:
            break
        if found:
            result.counts[answer_buttons.LEFT_OUT] += times
            words = len(text.split()) - len(bare.split())
            result.words['in buttons'] += max(0, words)
            return bare, found
    return text, layout


def _note_unknown(
    text: str, batch: batches.Batch, result: batches.BatchRead, why_none: str
) -> None:
    """Counts a page of no known layout, and says what it is instead.

    `why_none` says of a page of HTML what its headings lack.
    """
    name = batch.name
    result.counts['files of unknown layout'] += 1
    result.words['in files of unknown layout'] += len(text.split())
    first = next(filter(None, map(str.strip, text.split('\n'))), '')
    met = f'{first[:_SHOWN]}…' if len(first) > _SHOWN else first
    suffix = pathlib.PurePath(name).suffix.lower()
    if suffix in _BINARY:
        result.counts[read_report.NOT_AS_NAMED] += 1
        result.problem = (
            f'{name} is no {suffix} file: it begins {met!r}. Save it again as '
            f'{suffix}, or its rows as CSV.'
        )
        return
    result.problem = f'{name} begins {met!r}, which is of no known layout.'
    if reply_threads.is_whatsapp(text):
        result.problem = (
            f'{name} is a chat as WhatsApp exports it, whose messages do not say '
            f'which one they answer; {reply_threads.REMEDY}'
        )
    elif '\t' in first:
        result.problem += csv_rows.without_header(batch.path)
    elif markup := next((name for name, sign in _MARKUP if sign.search(text)), ''):
        result.problem += f' It is {markup}; {_CONVERT}.'
    else:
        result.problem += why_none or faq_pages.why_none(text)
    if _JSON.match(text) and (damage := _json_damage(text)):
        result.problem = (
            f'{name} begins {met!r}: JSON that is damaged or cut short: {damage}; '
            'mend it, or make it again.'
        )


def _of_html(
    text: str, batch: batches.Batch, result: batches.BatchRead
) -> html_pages.View:
    """A page of HTML as its text, or its pairs if they have no labels; counts both."""
    view = html_pages.view(text, file=batch.name)
    result.counts['files of HTML, whose lines are those of its text'] += 1
    words = len(text.split()) - len(view.text.split()) - view.around
    result.words['in tags of HTML'] += max(0, words)
    result.counts[answer_buttons.LEFT_OUT] += view.buttons
    result.counts['buttons, votes and links to share of HTML, left out'] += (
        view.controls
    )
    result.words['in navigation and footers of HTML'] += view.around
    if view.found:
        read = page.words(view.found.pieces).total()
        rest = len(view.text.split()) - read
        result.words['in the rest of pages of HTML'] += max(0, rest)
    view.text = characters.bare_heads(view.text)
    return view


def _json_damage(text: str) -> str:
    """What is wrong with the first value of a text as JSON; '' for none."""
    try:
        json.JSONDecoder().raw_decode(text.lstrip())
    except ValueError as error:
        return str(error)
    except RecursionError:
        return 'too many brackets'
    return ''


_READERS = {
    'threads': thread_rows.read,
    'pairs': pair_rows.read_lines,
    'messages': message_rows.read,
    'csv': csv_rows.read,
    'tfds': named_datasets.read,
    'hf': named_datasets.read,
}
