"""Where the section of a page's pairs ends: at a heading no deeper than its own.

## Questions and answers
**Q:** Why?
**A:** So.

## What to do                 not the last answer's
Read on.
"""

from collections.abc import Sequence

from data_pipeline.pages import page


def below_section(
    above: Sequence[str], answers: Sequence[Sequence[page.Piece]]
) -> list[page.Piece]:
    """The lines of the page's own below its last answer: from the next section on.

    `above` has the page's lines above its first question, of which the last is the
    heading of the pairs. None where the text of another answer has such a heading.
    """
    level = _level(above[-1]) if above else 0
    own = [_from_heading(answer, level) for answer in answers if answer]
    return own[-1] if level and own and not any(own[:-1]) else []


def _level(line: str) -> int:
    heading = page.HEADING.match(line)
    return len(heading[1]) if heading else 0


def _from_heading(answer: Sequence[page.Piece], most: int) -> list[page.Piece]:
    """The lines of a text from such a heading on; [] if no text is around one."""
    for i, piece in enumerate(answer):
        is_one = 0 < _level(piece.text) <= most and not piece.is_code
        if is_one and i and not answer[i - 1].text.strip():
            is_filled = any(each.clean for each in answer[:i])
            below = [each for each in answer[i + 1 :] if each.clean]
            has_text = any(not _level(each.text) for each in below)
            return list(answer[i:]) if is_filled and has_text else []
    return []
