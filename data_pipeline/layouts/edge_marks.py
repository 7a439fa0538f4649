"""Marks around whole texts of a page of labels: signs of a quote, emphasis, quotes.

**Question**                      Why?
> Why?                            And when?
> And when?

**Q: Why?                         Why?
And when?**                       And when?

*Q: Why?*                         Why?

**Q:** *Why?*                     Why?         if nearly all questions stand so

A: "No."                          No.          if all answers stand in quotes
"""

import collections
import itertools
import re
from collections.abc import Callable, Iterator, Sequence

from data_pipeline.pages import page

_Cuts = dict[int, list[page.Piece]]  # the parts of a piece that was cut, by its id
QUOTED = re.compile(r'(?:\s{0,3}>\s?)+')
_QUOTES, _FEWEST_QUOTED = ('""', '“”', '«»', '„“'), 3  # around all texts of a file
_EMPHASIZED_SHARE = 0.9  # of the texts of a file that stand in emphasis
_OPENED = re.compile(r'(?:[^\w*_]|\d{1,6}[.)]|[*+-]\s+)*(?P<mark>[*_]{1,3})(?=[^\s*_])')
_EMPHASIS = re.compile(
    r'([*_]{1,3})(?=[^\s*_])(?P<inner>.*[^\s*_\\])([*_]{1,3})', re.DOTALL
)
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
    labels = {
        id(below): above.text
        for above, below in itertools.pairwise(pieces)
        if above.kind == 'label' and above.line == below.line
    }
    for question in questions:
        _unquote(question, cuts)
    for kind, texts in ((page.QUESTION, questions), (page.ANSWER, answers)):
        for text in texts:
            label = labels.get(id(text[0]), '') if text else ''
            _close_bold(text, kind, cuts, own=_closing(label))
        _leave_out(texts, kind, cuts, _emphasis, share=_EMPHASIZED_SHARE)
        counts[kind] = _leave_out(texts, kind, cuts, _quotes, share=1)
    pieces[:] = [part for piece in pieces for part in _parts(piece, cuts)]
    return +counts


def end_of_emphasis(line: str, label_end: int) -> int:
    """The end of a line's text without the marks that the label's own marks open.

    '*Q: Why?*' -> 8, the place of the last star; the line's length where none is one.
    """
    closing = _closing(line[:label_end])
    text = line.rstrip()
    end = len(text) - len(closing)
    is_one = closing and text.endswith(closing) and end > label_end
    return end if is_one else len(line)


def _closing(label: str) -> str:
    """The mark that closes the one that a label opens and leaves open; '' for none."""
    opened = _OPENED.match(label)
    closing = opened['mark'][::-1] if opened else ''
    return '' if opened and closing in label[opened.end() :] else closing


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


def _close_bold(text: list[page.Piece], kind: str, cuts: _Cuts, *, own: str) -> None:
    """Cuts off a mark that ends a text and that the text's label opened.

    `own` closes the label's, as far as the label tells.
    """
    filled = _filled(text, kind)
    last = filled[-1] if filled else None
    ended = last.text.rstrip() if last else ''
    mark = own if own and ended.endswith(own) else ended[-2:]
    if (
        mark not in ('**', '__', own)
        or page.is_rule(ended)
        or sum(p.text.count(mark) for p in filled) % 2 == 0
    ):
        return
    end = len(ended) - len(mark)
    _cut(text, last, last.cut([(end, kind), (len(last.text), 'label')]), cuts)


def _quotes(text: str) -> int:
    """The length of the quote that opens and ends a text; 0 for none."""
    is_one = text[:1] + text[-1:] in _QUOTES and len(text) > 2
    return int(is_one and not _ENDS_QUOTE.search(text))


def _emphasis(text: str) -> int:
    """The length of the mark that opens and ends a text, and does so once."""
    match = _EMPHASIS.fullmatch(text)
    if not match or match[1] != match[3][::-1]:
        return 0
    sign, own = re.escape(match[1]), re.escape(match[1][0])
    alone = rf'(?<!{own}){sign}(?!{own})'
    is_within = re.search(rf'(?<!\w){alone}|{alone}(?!\w)', match['inner'])
    return 0 if is_within else len(match[1])


def _leave_out(
    texts: Sequence[list[page.Piece]],
    kind: str,
    cuts: _Cuts,
    length: Callable[[str], int],
    *,
    share: float,
) -> int:
    """Cuts off the marks around each text, if a share of a kind's stand in marks.

    `length` gives that of the mark at each end of a text. Returns the number of texts.
    """
    around: list[tuple[list[page.Piece], page.Piece, page.Piece, int]] = []
    for text in texts:
        filled = _filled(text, kind)
        size = length('\n'.join(each.text for each in filled).strip())
        if size:
            around.append((text, filled[0], filled[-1], size))
    if len(around) < max(_FEWEST_QUOTED, share * len(texts)):
        return 0
    for text, first, last, size in around:
        start = len(first.text) - len(first.text.lstrip()) + size
        end = len(last.text.rstrip()) - size
        opening, closing = (start, 'label'), (len(last.text), 'label')
        if first is last:
            _cut(text, first, first.cut([opening, (end, kind), closing]), cuts)
        else:
            parts = first.cut([opening, (len(first.text), kind)])
            _cut(text, first, parts, cuts)
            _cut(text, last, last.cut([(end, kind), closing]), cuts)
    return len(around)
