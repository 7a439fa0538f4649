"""Layouts that are read a whole file at a time: chats, Reddit Markdown, merged."""

import pathlib

from data_pipeline.pages import (
    chat_lines,
    chats,
    clean,
    encoding,
    merged,
    parsed,
    reddit,
)
from data_pipeline.rows import batch_types

PARSERS = {'reddit': reddit.parse, 'chat': chats.parse, 'merged': merged.parse}


def read(batch: batch_types.Batch) -> batch_types.BatchRead:
    """The pairs of the batch's file, whose layout is found if it is not named.

    Raises:
      InputError: the file is no text.
    """
    name, result = batch.name, batch_types.BatchRead()
    raw = pathlib.Path(batch.path).read_bytes()
    text = encoding.decode(raw, name, warnings=result.warnings)
    for kind, number in clean.census(text).items():
        result.counts[f'characters: {kind}'] += number
    if not clean.text(text):
        result.counts['files empty'] += 1
        result.warnings.append(f'{name} is empty.')
        return result
    layout = batch.layout or detect(text)
    if not layout:
        result.counts['files of unknown layout'] += 1
        result.words['in files of unknown layout'] += len(text.split())
        result.warnings.append(f'{name} {_why_unknown(text)}; nothing of it was read.')
        return result
    found = PARSERS[layout](text, file=name)
    result.counts[f'files of layout {layout}'] += 1
    result.counts += found.counts
    result.words += parsed.words(found.pieces)
    result.pairs = found.pairs
    result.unknown = [
        f'{name}:{line}: {text.strip()} ({where})'
        for line, text, where in found.unknown
    ]
    result.dropped = [
        f'{name}:{line}: {post} ({kind})' for line, post, kind in found.dropped
    ]
    return result


def detect(text: str) -> str:
    """'reddit', 'chat' or 'merged'; '' where the text has none of these layouts."""
    if reddit.has_header(text):
        return 'reddit'
    lines = [
        (clean.line(piece.text), piece)
        for piece in chat_lines.split_furniture(parsed.raw_lines(text))
    ]
    filled = [(line, piece) for line, piece in lines if line]
    stamped = labelled = 0
    for i, (_, piece) in enumerate(filled):
        if chat_lines.label(piece.text) == 'QUESTION':
            labelled += 1
            above = filled[i - 1][0] if i else ''
            stamped += above.startswith('Guest') or bool(chat_lines.stamp(above))
    if labelled:
        return 'chat' if 2 * stamped >= labelled else 'merged'
    marks = any(
        piece.kind in ('footer', 'tally')
        or chat_lines.is_guest_stamp(line)
        or chat_lines.is_staff_stamp(line, ())
        for line, piece in filled
    )
    return 'chat' if marks else ''


def _why_unknown(text: str) -> str:
    if text.lstrip('\ufeff \t\r\n').startswith(('{', '[')):
        return (
            'is JSON over many lines or in one list; give one object a line, such as '
            "jq -c '.[]' writes"
        )
    return 'has no QUESTION: line, no footer and no Reddit header'
