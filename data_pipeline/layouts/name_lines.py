"""Lines that name who answers, above the answers of a page.

A: Ann Lee                 Q: Why?

So.                        **Ann Lee, columnist**
                           A: So.
"""

import collections
import re
from collections.abc import Sequence

from data_pipeline.pages import page

_WORD = r"[A-ZÀ-Þ][\w.'’-]*+"
_NAME = re.compile(
    rf'[*_]{{0,3}}(?!Dear\b|Hi\b|Hello\b|[A-Z]\.){_WORD}'
    rf'\s+(?:d[aei]\s|v[ao]n\s)?{_WORD}[\w., ]*+'
    r'(?<![^A-Z][.])(?<![, ])[*_]{0,3}:?[*_]{0,3}'
)
_LONGEST = 80  # characters
_FEWEST = 3  # answers with a name above
_ROLE = 'name and role'


def mark(
    questions: Sequence[Sequence[page.Piece]], answers: Sequence[Sequence[page.Piece]]
) -> int:
    """Marks the names that open, or stand above, half of a page's answers.

    A name stands twice or more, and text is below it in its answer, or above it in its
    question: an answer that is a name alone is one. Returns the number of lines.
    """
    opening = [_filled(text, page.ANSWER)[:2] for text in answers]
    ending = [_filled(text, page.QUESTION)[:-3:-1] for text in questions]
    marked = 0
    for ends in (opening, ending):
        lines = [end[0] for end in ends if len(end) > 1 and _is_name(end[0].text)]
        times = collections.Counter(line.text.strip() for line in lines)
        named = [line for line in lines if times[line.text.strip()] > 1]
        if len(named) >= max(_FEWEST, len(answers) / 2):
            marked += len(named)
            for line in named:
                line.kind = _ROLE
    return marked


def _filled(text: Sequence[page.Piece], kind: str) -> list[page.Piece]:
    return [each for each in text if each.kind == kind and each.text.strip()]


def _is_name(text: str) -> bool:
    line = text.strip()
    return len(line) <= _LONGEST and _NAME.fullmatch(line) is not None
