"""Marks around whole texts of a page of labels: signs of a quote, bold, quotes.

**Question**                      Why?
> Why?                            And when?
> And when?

**Q: Why?                         Why?
And when?**                       And when?

A: "No."                          No.          if all answers stand in quotes
"""

import collections
import re
from collections.abc import Iterator, Sequence

from data_pipeline.pages import page

_Cuts = dict[int, list[page.Piece]]  # the parts of a piece that was cut, by its id
QUOTED = re.compile(r'(?:\s{0,3}>\s?)+')
_QUOTES, _FEWEST_QUOTED = ('""', '“”', '«»', '„“'), 3  # around all texts of a file
_ENDS_QUOTE = re.compile(r'[,.!?…]["”»“]\s+\S')  # within a text: '"No," he said.'


def cut(
    questions: Sequence[list[page.Piece]],
    answers: Sequence[list[page.Piece]],
    pieces: list[page.Piece],
) -> collections.Counter[str]:
    """Cuts marks off the texts, and in `pieces`, which are those of the whole page.

    Returns how many texts stood in quotes, by their kind.
    """
    cuts: _Cuts = {}
    counts: collections.Counter[str] = collections.Counter()
    for question in questions:
        _unquote(question, cuts)
    for kind, texts in ((page.QUESTION, questions), (page.ANSWER, answers)):
        for text in texts:
            _close_bold(text, kind, cuts)
        counts[kind] = _leave_out_quotes(texts, kind, cuts)
    pieces[:] = [part for piece in pieces for part in _parts(piece, cuts)]
    return +counts


def _filled(text: Sequence[page.Piece], kind: str) -> list[page.Piece]:
    return [each for each in text if each.kind == kind and each.text.strip()]


def _cut(
    text: list[page.Piece], piece: page.Piece, parts: list[page.Piece], cuts: _Cuts
) -> None:
    """Puts a piece's parts into its text, and notes them for the page."""
    cuts[id(piece)] = parts
    at = next(i for i, each in enumerate(text) if each is piece)
    text[at : at + 1] = parts


def _parts(piece: page.Piece, cuts: _Cuts) -> Iterator[page.Piece]:
    """A piece, or the parts it was cut into, and those of these."""
    if id(piece) in cuts:
        for part in cuts[id(piece)]:
            yield from _parts(part, cuts)
    else:
        yield piece


def _unquote(question: list[page.Piece], cuts: _Cuts) -> None:
    """Cuts off the signs of a quote that is all of a question."""
    filled = _filled(question, page.QUESTION)
    signs = [QUOTED.match(piece.text) for piece in filled]
    if not signs or not all(signs) or any(piece.is_code for piece in filled):
        return
    for piece, sign in zip(filled, signs, strict=True):
        parts = piece.cut([(sign.end(), 'label'), (len(piece.text), page.QUESTION)])
        _cut(question, piece, parts, cuts)


def _close_bold(text: list[page.Piece], kind: str, cuts: _Cuts) -> None:
    """Cuts off a mark that ends a text and that the text's label opened."""
    filled = _filled(text, kind)
    last = filled[-1] if filled else None
    end = len(last.text.rstrip()) - 2 if last else 0
    mark = last.text[end : end + 2] if last else ''
    if (
        mark not in ('**', '__')
        or page.is_rule(last.text)
        or sum(p.text.count(mark) for p in filled) % 2 == 0
    ):
        return
    _cut(text, last, last.cut([(end, kind), (len(last.text), 'label')]), cuts)


def _leave_out_quotes(texts: Sequence[list[page.Piece]], kind: str, cuts: _Cuts) -> int:
    """Cuts off the quotes around each text, if all of a kind stand in quotes.

    Returns the number of such texts.
    """
    around: list[tuple[list[page.Piece], page.Piece, page.Piece]] = []
    for text in texts:
        filled = _filled(text, kind)
        whole = '\n'.join(each.text for each in filled).strip()
        ends = whole[:1] + whole[-1:]
        if ends not in _QUOTES or len(whole) < 3 or _ENDS_QUOTE.search(whole):
            return 0
        around.append((text, filled[0], filled[-1]))
    if len(around) < _FEWEST_QUOTED:
        return 0
    for text, first, last in around:
        start = len(first.text) - len(first.text.lstrip()) + 1
        end = len(last.text.rstrip()) - 1
        opening, closing = (start, 'label'), (len(last.text), 'label')
        if first is last:
            _cut(text, first, first.cut([opening, (end, kind), closing]), cuts)
        else:
            parts = first.cut([opening, (len(first.text), kind)])
            _cut(text, first, parts, cuts)
            _cut(text, last, last.cut([(end, kind), closing]), cuts)
    return len(around)
