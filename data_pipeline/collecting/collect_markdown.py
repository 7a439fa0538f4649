"""Threads as the old collector's Markdown, which data_pipeline.reddit reads back.

The layout has no escapes: an ANSWER: below a blank line opens the answer, and a rule
with `# Reddit Post` below it a header, whoever wrote them. Where a text has such lines,
a zero-width space, which its readers drop, is put where the blank must be.
"""

import datetime
import os
import re
from collections.abc import Iterable

from data_pipeline.pages import chat_lines, clean
from data_pipeline.rows import raw_thread
from hax_jax import files

_RULE = '=' * 80
_GUARD = '\u200b'
_LOOKS_LIKE_RULE = re.compile(r'={20,}')
_LOOKS_LIKE_HEADER = re.compile(r'#+ *Reddit Post\b.*', re.IGNORECASE)


def write(
    path: str | os.PathLike[str],
    threads: Iterable[raw_thread.RawThread],
) -> int:
    """Writes the file, whole or not at all; returns how many posts it holds."""
    blocks = [block(thread, number=i) for i, thread in enumerate(threads, start=1)]
    files.write_text(path, ''.join(blocks))
    return len(blocks)


def block(thread: raw_thread.RawThread, *, number: int) -> str:
    """One post, its header and its best answer."""
    date = datetime.datetime.fromtimestamp(thread.created_utc, datetime.UTC).date()
    question = guarded(f'QUESTION: {thread.title}\n\n{thread.body.strip()}')
    lines = [
        '',
        _RULE,
        f'# Reddit Post {number}',
        f'# Score: {thread.score} | Date: {date}',
        f'# URL: {thread.url}',
        _RULE,
        '',
        question.rstrip(),
        '',
        f'ANSWER: {guarded(thread.answers[0].body)}',
        '',
    ]
    return '\n'.join(lines)


def guarded(text: str) -> str:
    """The text, with what it takes that no line of it is read as the layout's own."""
    raw = text.replace('\r\n', '\n').replace('\r', '\n').split('\n')
    lines: list[str] = []
    for line in raw:
        above = lines[-1] if lines else _GUARD
        if chat_lines.label(line) == 'ANSWER' and not above.strip():
            lines[-1] += _GUARD
        elif _LOOKS_LIKE_RULE.fullmatch(
            clean.line(above)
        ) and _LOOKS_LIKE_HEADER.fullmatch(clean.line(line)):
            lines.append(_GUARD)
        lines.append(line)
    return '\n'.join(lines)
