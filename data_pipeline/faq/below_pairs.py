"""What a page of its own has below its last answer."""

import re
from collections.abc import Sequence

from data_pipeline.pages import page

# The answers of a page whose own headings stand below the last, and those headings.
_FEWEST_ANSWERS, _MOST_SECTIONS = 4, 2
_FEWEST_RULED = 3  # answers of a page whose own text stands below a rule
_SIGNED_LINES = 4  # of a signature at most
_SIGNS = re.compile(r'\s?--\s?|\s?--\s.*<[^<>@\s]+@[^<>\s]+>.*')
_REPLY = re.compile(
    r'\W*(?:(?:certainly|sure|of course|absolutely)\b|here(?:[\'’]s| is| are)\b)',
    re.IGNORECASE,
)
# Two words or more with capitals: 'Note:' stands above texts and within them.
_SPEAKER = re.compile(r"\s*[*_]{0,3}([A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*)+)[*_]{0,3}:")


def last_section(answers: Sequence[Sequence[page.Piece]]) -> list[page.Piece]:
    """The lines of the page's own below its last answer: from the first heading on.

    None where the text of another answer has a heading, or this one more than a page's
    end has.
    """
    own = [_from_heading(answer) for answer in answers if answer]
    if len(own) < _FEWEST_ANSWERS or any(own[:-1]):
        return []
    headings = sum(_is_heading(each) for each in own[-1])
    return own[-1] if headings <= _MOST_SECTIONS else []


def below_rule(answers: Sequence[Sequence[page.Piece]]) -> list[page.Piece]:
    """The lines of the page's own below its last answer: from a rule on.

    None where another answer has text below a rule, or a page has few answers.
    """
    own = [_from_rule(answer) for answer in answers if answer]
    return own[-1] if len(own) >= _FEWEST_RULED and not any(own[:-1]) else []


def below_reply(
    first: str, answers: Sequence[Sequence[page.Piece]]
) -> list[page.Piece]:
    """The lines with which an assistant ends a reply that is a page: below the answer.

    `first` is the page's first line: 'Certainly! Here are …'. Other answers are of one
    paragraph each.
    """
    own = [_below_paragraph(answer) for answer in answers if answer]
    is_one = len(own) >= _FEWEST_ANSWERS and not any(own[:-1])
    return own[-1] if is_one and _REPLY.match(first) else []


def below_last(
    above: Sequence[str], answers: Sequence[Sequence[page.Piece]]
) -> list[page.Piece]:
    """The lines of the page's own below its last answer: from a rule, a signature on.

    Or an assistant's, where one replied with the page, whose first line says so, or a
    host's farewell. `above` has the page's lines above its first question.
    """
    last = answers[-1] if answers else []
    first = above[0] if above else ''
    return (
        below_rule(answers)
        or below_reply(first, answers)
        or _signature(last)
        or _farewell(above, last)
    )


def _farewell(above: Sequence[str], answer: Sequence[page.Piece]) -> list[page.Piece]:
    """The lines of a text from its host's words to all on: 'Ann Lee: Bye, everyone.'

    The host said hello as 'Ann Lee: …' above the first question.
    """
    hosts = {match[1] for match in map(_SPEAKER.match, above) if match}
    for i in range(1, len(answer)):
        match = _SPEAKER.match(answer[i].text)
        is_apart = not answer[i - 1].text.strip() and not answer[i].is_code
        if match and match[1] in hosts and is_apart:
            is_first = not any(each.clean for each in answer[:i])
            return [] if is_first else list(answer[i:])
    return []


def _signature(answer: Sequence[page.Piece]) -> list[page.Piece]:
    """The last paragraph of a text that opens with '--', or ' -- Ann <a@b.org>'."""
    last = ['', *(each.text.strip() for each in answer)]
    while last and not last[-1]:
        last.pop()
    start = len(last) - 1 - last[::-1].index('') if last else 0
    signed = answer[start] if start < len(answer) else None
    is_one = signed is not None and start > 0 and not signed.is_code
    is_short = len(last) - 1 - start <= _SIGNED_LINES
    return (
        list(answer[start:])
        if is_one and is_short and _SIGNS.fullmatch(signed.text)
        else []
    )


def _below_paragraph(answer: Sequence[page.Piece]) -> list[page.Piece]:
    """The lines of a text below its first paragraph."""
    filled = [each.kind == page.ANSWER and bool(each.text.strip()) for each in answer]
    start = filled.index(True) if True in filled else len(filled)
    end = next((i for i in range(start, len(filled)) if not filled[i]), len(filled))
    return list(answer[end:]) if any(filled[end:]) else []


def _from_rule(answer: Sequence[page.Piece]) -> list[page.Piece]:
    """The lines of a text from a rule on that stands apart within it; [] for none."""
    texts = [each.text.strip() if each.kind == page.ANSWER else '' for each in answer]
    for i, text in enumerate(texts[:-1]):
        is_rule = page.is_rule(text) and not answer[i].is_code
        is_apart = i > 0 and not texts[i - 1] and not texts[i + 1]
        if is_rule and is_apart and any(texts[:i]) and any(texts[i + 1 :]):
            return list(answer[i:])
    return []


def _is_heading(piece: page.Piece) -> bool:
    return bool(page.HEADING.match(piece.text)) and not piece.is_code


def _from_heading(answer: Sequence[page.Piece]) -> list[page.Piece]:
    """The lines of a text from its first heading on; [] if no text is around one."""
    filled = [each for each in answer if each.kind == page.ANSWER and each.text.strip()]
    headings = [i for i, each in enumerate(filled) if i and _is_heading(each)]
    if not headings or headings[-1] == len(filled) - 1 == headings[0]:
        return []
    first = filled[headings[0]]
    at = next(i for i, each in enumerate(answer) if each is first)
    return [] if answer[at - 1].text.strip() else list(answer[at:])
