"""Files of one question each: it stands in the front matter, its answer below that.

---
id: 7
question: 'Who pays for the boiler?'
---
You do.
"""

import re
from collections.abc import Sequence

from data_pipeline.pages import page

_FENCE = '---'
_LONGEST = 40  # lines of a front matter
_ASKED = re.compile(
    r'question:[ \t]+(?P<quote>["\']?)(?![>|&*!\[{#])(?P<asked>\S.*?)(?P=quote)[ \t]*',
    re.IGNORECASE,
)
# Fields of a quiz, whose text below the front matter is no answer.
_OF_QUIZ = re.compile(
    r'(?:(?:correct_?)?answers?|options|choices|solution|type|points)[ \t]*:',
    re.IGNORECASE,
)


def question(pieces: Sequence[page.Piece]) -> tuple[int, int, int] | None:
    """(its line's place, its start, its end) within the front matter; None for none."""
    found = None
    for i, piece in enumerate(pieces[:_LONGEST]):
        if not i:
            if piece.text.rstrip() != _FENCE:
                return None
        elif piece.text.rstrip() == _FENCE:
            return found
        elif _OF_QUIZ.match(piece.text):
            return None
        elif match := _ASKED.fullmatch(piece.text):
            found = (i, *match.span('asked'))
    return None


def end(pieces: Sequence[page.Piece]) -> int:
    """The place of the first line below the front matter."""
    ends = (i for i, each in enumerate(pieces) if i and each.text.rstrip() == _FENCE)
    return next(ends) + 1
