"""Threads in the old collector's Markdown, which data_pipeline/pages/reddit.py reads.

The layout has no escapes: an ANSWER: below a blank line opens the answer, and a rule
with `# Reddit Post` below it a header, even within a text. Where a text has such lines,
a zero-width space, which readers drop, takes the place of the blank line.
"""

import datetime
import os
import re
from collections.abc import Iterable

from data_pipeline.pages import characters, page
from data_pipeline.rows import raw_thread
from hax_jax import files

_RULE = '=' * 80
_GUARD = '\u200b'
_LOOKS_LIKE_RULE = re.compile(r'={20,}')
_LOOKS_LIKE_HEADER = re.compile(r'#+ *Reddit Post\b.*', re.IGNORECASE)


def write(path: str | os.PathLike[str], threads: Iterable[raw_thread.RawThread]) -> int:
    """Writes the file, whole or not at all; returns the number of its posts."""
    blocks = [block(thread, number=i) for i, thread in enumerate(threads, start=1)]
    files.write_text(path, ''.join(blocks))
    return len(blocks)


def block(thread: raw_thread.RawThread, *, number: int) -> str:
    """One post, its header and its best answer."""
    date = datetime.datetime.fromtimestamp(thread.created_utc, datetime.UTC).date()
    question = _guarded(f'QUESTION: {thread.title}\n\n{thread.body.strip()}')
    return f"""
{_RULE}
# Reddit Post {number}
# Score: {thread.score} | Date: {date}
# URL: {thread.url}
{_RULE}

{question.rstrip()}

ANSWER: {_guarded(thread.answers[0].body)}
"""


def _guarded(text: str) -> str:
    """The text, with zero-width spaces so that no line reads as one of the layout."""
    raw = text.replace('\r\n', '\n').replace('\r', '\n').split('\n')
    lines: list[str] = []
    for line in raw:
        above = lines[-1] if lines else _GUARD
        if page.label(line) == 'ANSWER' and not above.strip():
            lines[-1] += _GUARD
        elif _LOOKS_LIKE_RULE.fullmatch(
            characters.clean_line(above)
        ) and _LOOKS_LIKE_HEADER.fullmatch(characters.clean_line(line)):
            lines.append(_GUARD)
        lines.append(line)
    return '\n'.join(lines)
