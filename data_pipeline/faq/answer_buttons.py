"""Words of a page that show the answer below them, and are no part of it.

    ### Why?                              **Why?**
    <details>
    <summary>Show answer</summary>        **Answer**
    Because.                              Because.
    </details>

A label stands in place of each, so that text between it and the question is no answer;
the tags of such a <details> go. Those that name the answer alone are found only where a
page has several: one may be a text's own.
"""

import re
from collections.abc import Iterator

from data_pipeline.faq import questions
from data_pipeline.pages import page

FEWEST = 2
LABEL, SHORT = 'Answer: ', 'A: '  # the second only beside labels: 'Q1. Why?'
LEFT_OUT = 'buttons that show an answer, left out'
_VERB = (
    r'(?:show|hide|reveal|toggle|expand|see|view|check|display|open|get|unhide|find'
    r'|ver|mostrar|mostra|voir|afficher|показать)'
)
_NOUN = (
    r'(?:answers?|ans|solutions?|response|antwort(?:en)?|respuestas?|réponses?'
    r'|rispost[ae]|respostas?|ответ|答案|解答|回答)'
)
_OF = (
    r'(?:(?:the|an?|my|our|your|this|full|correct|right|model|sample|suggested|possible'
    r'|expected|official|detailed|short|quick|final|la|le|il)\s+){0,3}'
)
_PRESS = r'(?:(?:click|tap|press)\s+(?:(?:here|me|on|this)\s+){0,2}(?:to|for)?\s*)'
_COUNT = r'(?:\s*(?:#|no\.?\s?)?\d{1,3})?(?:\s+(?:here|below|anzeigen|zeigen))?'
_COMMAND = re.compile(
    rf'\W*(?:{_PRESS}?{_VERB}(?:\s*(?:/|or|and|&)\s*{_VERB})?\s+{_OF}{_NOUN}{_COUNT}'
    rf'|{_PRESS}{_OF}{_NOUN}{_COUNT}'
    rf'|{_PRESS}{_VERB}(?:\s+(?:it|more|out|me))?|{_NOUN}\s+(?:anzeigen|zeigen))\W*',
    re.IGNORECASE,
)
_NAME = re.compile(
    rf'\W*{_OF}{_NOUN}{_COUNT}\W*|\W*reveal\W*|\W*(?-i:A)\s?\d{{0,3}}:\W*',
    re.IGNORECASE,
)
_LONGEST = 60  # characters
_BLANKS = re.compile(r'\s*')
_TAGS = re.compile(r'<[^<>]*>')
_DETAILS = re.compile(
    r'<(?P<ends>/?)details\b[^<>]*>'
    r'|<summary\b[^<>]*>(?P<said>[^<>]{0,80}(?:(?!</summary)<[^<>]{1,80}>[^<>]{0,80})'
    r'{0,6})</summary>',
    re.IGNORECASE,
)
# All of a line: a heading or bold.
_LINE = re.compile(
    r'\s{0,3}(?:#{1,6}\s+(?P<head>\S.*)|(?P<sign>[*_]{1,3})(?P<bold>[^\s*_].*)(?P=sign)'
    r'[:：]?)\s*'
)


def is_command(text: str) -> bool:
    """Whether a button says that it shows the answer: 'Click to reveal answer'."""
    bare = _TAGS.sub('', text)
    return len(bare) <= _LONGEST and bool(_COMMAND.fullmatch(bare))


def is_name(text: str) -> bool:
    """Whether a text names an answer and no more: '💡 Answer', 'Solution 2:'"""
    bare = _TAGS.sub('', text)
    return len(bare) <= _LONGEST and bool(_NAME.fullmatch(bare))


def without(text: str, label: str = LABEL) -> tuple[str, int]:
    """A page of Markdown without the summaries that show answers, and their number.

    A label right below one goes too.
    """
    if '<summary' not in text.lower():
        return text, 0
    text = _with_newlines(text)
    found = [*_summaries(text)]
    names = [is_name(said) for _, said, _ in found]
    if not found or (len(found) < FEWEST and any(names)):
        return text, 0
    made = [(place, label) for place, _, _ in found]
    made += [(place, '') for _, _, tags in found for place in tags]
    for (_, end), _, _ in found:
        below = _BLANKS.match(text, end).end()
        if own := questions.LABEL.match(text, below):
            made.append((own.span(), ''))
    return _replaced(text, made), len(found)


def without_lines(text: str, label: str = LABEL) -> tuple[str, int]:
    """A page of Markdown without the lines that name an answer, and their number."""
    made, at, given = [], 0, text
    text = _with_newlines(text)
    pieces = page.raw_lines(text)
    for piece, line in zip(pieces, text.split('\n'), strict=True):
        end = at + len(line)
        found = None if piece.is_code else _LINE.fullmatch(line)
        if found and is_name(found['head'] or found['bold']):
            made.append(((at, end), label))
        at = end + 1
    if len(made) < FEWEST:
        return given, 0
    return _replaced(text, made), len(made)


def _with_newlines(text: str) -> str:
    return text.replace('\r\n', '\n').replace('\r', '\n')


_Place = tuple[int, int]


def _summaries(text: str) -> Iterator[tuple[_Place, str, list[_Place]]]:
    """The place and the words of each such summary, and the tags of its <details>."""
    code = {piece.line for piece in page.raw_lines(text) if piece.is_code}
    opened: list[tuple[_Place, re.Match[str] | None]] = []
    line, at = 1, 0
    for tag in _DETAILS.finditer(text):
        line, at = line + text.count('\n', at, tag.start()), tag.start()
        if line in code:
            continue
        if tag['said'] is not None:
            if opened and (is_command(tag['said']) or is_name(tag['said'])):
                opened[-1] = opened[-1][0], tag
        elif not tag['ends']:
            opened.append((tag.span(), None))
        elif opened:
            place, summary = opened.pop()
            if summary:
                yield summary.span(), summary['said'], [place, tag.span()]


def _replaced(text: str, made: list[tuple[_Place, str]]) -> str:
    """A text with others for some places; its line breaks stay."""
    parts, at = [], 0
    for (start, end), other in sorted(made):
        parts += [text[at:start], other, '\n' * text.count('\n', start, end)]
        at = end
    return ''.join([*parts, text[at:]])
