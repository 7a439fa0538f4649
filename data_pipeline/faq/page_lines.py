"""The lines of a page as they are read: which are one, which are no text."""

import dataclasses
import itertools
import re
from collections.abc import Sequence

from data_pipeline.faq import asking_lines, numbered, questions
from data_pipeline.pages import page

# A line that a rule right below it makes a heading: no list, quote or sentence.
_UNDERLINED = re.compile(r'\s{0,3}(?![-+>|<#=~`]|[*_] )\S.*(?<![.!:,;])\s*')
# A sentence is a heading where its rule is exactly as long: 'It is too long.'
_SENTENCE = re.compile(r'(?![-+>|<#=~`]|[*_] )\S.{6,78}[.!]')
_NUMBERED = re.compile(r'\d{1,4}[.)]\s+\S.*')
_UNDERLINE = re.compile(rf'\s{{0,3}}([{re.escape(asking_lines.RULES)}])\1{{2,}}\s*')
# The first line of a bold text that is closed on one of the next, behind its question.
_BOLD_OPENS = re.compile(r'\s{0,3}(?:[-*+]\s+)?(?:\d{1,3}[.)]\s+)?\*\*(?=[^\s*])[^*]+')
_BOLD_GOES_ON = re.compile(r'\s{0,5}[^\s*#>|-][^*]*')
_BOLD_ENDS = re.compile(r'\s{0,5}[^\s*#>|-][^*]*[?？؟]["”’)]?\*\*\s*')
_MOST_LINES = 5  # of a bold question
# Blocks of AsciiDoc and of Org, in which no line asks.
_OPENS = re.compile(
    r'(?P<org>\s*(?:#\+begin_(?P<name>\w+)\b.*|(?P<drawer>:(?:PROPERTIES|LOGBOOK):\s*)))'
    r'|(?P<sign>(?:-{4,}|\.{4,}|={4,}|_{4,}|\*{4,}|\+{4,}|--)\s*)',
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r'\[[\w%.#,"= -]+\]\s*')  # of a block: '[source,sh]'
_TITLE, _OF_MARKDOWN = re.compile(r'={1,6}\s+[^\s=]'), re.compile(r'#{1,6}\s+\S')
_UNSEEN = re.compile(r'//(?!/).*|image::\S+\[.*\]\s*')  # a comment, a picture
_MAY_BE_ABOVE = re.compile(r'\s*|\+\s*|\.[^\s.].*')  # above a block of AsciiDoc
# Tags of a site's own parts, alone on their lines, and callouts of Docusaurus.
_PART = re.compile(r'\s*<(?P<ends>/?)(?P<name>[A-Z]\w*)(?:\s[^<>]*?)?(?P<whole>/?)>\s*')
_TITLED = re.compile(r'\s(?:title|label|summary|question)=')  # it shows a text
_CALLOUT = re.compile(
    r'\s{0,3}:{3,}\s?(?:note|tip|info|important|warning|caution|danger)\s*'
)
_CALLOUT_ENDS = re.compile(r'\s{0,3}:{3,}\s*')
_DRAWER_ENDS = ':end:'
# A name of reStructuredText for a place or an address, and one of AsciiDoc.
_TARGET = re.compile(r'\.\. _(?:`[^`]+`|[^:`]+):(?:\s+\S+)?\s*|\[\[[\w.-]+\]\]\s*')
# Of reStructuredText: what sets up a page, and comments, on pages with such signs.
_SETS_UP = re.compile(r'\.\. (?:index|contents|highlight|meta|sectnum|toctree)::.*')
_COMMENT = re.compile(r'\.\. (?![\w:+-]+::|_|\[|\|)\S.*')
_PLAN = re.compile(r'\s*(?:DEADLINE|SCHEDULED|CLOSED): ?[<\[].*')  # of Org
ASIDE = 'aside'  # the properties of a heading, the delimiters of a block, a target


def lines(text: str) -> list[page.Piece]:
    """The lines of a text; a rule that makes the line above it a heading is a label."""
    pieces = numbered.joined(_unwrapped(page.raw_lines(text)))
    if asking_lines.are_of_wiki(pieces):
        for piece in pieces:  # items of a list, which look as headings do
            piece.is_code = piece.is_code or piece.text.startswith('#')
    _mark_blocks(pieces)
    _mark_parts(pieces)
    above = ''
    for piece, below in itertools.pairwise(pieces):
        may_head = not above.strip() and not piece.is_code and below.kind != ASIDE
        if may_head and _UNDERLINE.fullmatch(below.text) and _heads(piece, below):
            below.kind = 'label'
        above = '' if piece.kind == ASIDE else piece.text
    return pieces


def _unwrapped(pieces: list[page.Piece]) -> list[page.Piece]:
    """The lines, one for each bold question of several below an empty line."""
    made: list[page.Piece] = []
    end = 0
    for at, piece in enumerate(pieces):
        if at < end:
            continue
        made.append(piece)
        is_below_empty = at == 0 or not pieces[at - 1].text.strip()
        if piece.is_code or not is_below_empty or not _BOLD_OPENS.fullmatch(piece.text):
            continue
        rest = pieces[at + 1 : at + _MOST_LINES]
        goes_on = (p for p in rest if not _BOLD_GOES_ON.fullmatch(p.text) or p.is_code)
        last = next(goes_on, None)
        if last and not last.is_code and _BOLD_ENDS.fullmatch(last.text):
            end = last.line  # lines are numbered from 1
            further = (p.text.strip() for p in pieces[at + 1 : end])
            joined = ' '.join([piece.text.rstrip(), *further])
            made[-1] = dataclasses.replace(piece, text=joined)
    return made


def _mark_blocks(pieces: Sequence[page.Piece]) -> None:
    """Marks blocks of Org as code, those of AsciiDoc where terms ask, and drawers.

    AsciiDoc shows neither the delimiters of its blocks nor the attributes above them,
    and no comments.
    """
    of_asciidoc = _are_of_asciidoc(pieces)
    found = (asking_lines.TERM_TEXT.match(p.text) for p in pieces if '::' in p.text)
    terms = sum(bool(term and questions.is_question(term['asked'])) for term in found)
    start, end = 0, ''
    for i, piece in enumerate(pieces):
        is_aside = _PLAN.fullmatch(piece.text) or _TARGET.fullmatch(piece.text)
        piece.kind = ASIDE if is_aside and not piece.is_code else piece.kind
        opens = _OPENS.fullmatch(piece.text)
        if end and piece.text.strip().lower() == end:
            block = pieces[start : i + 1]
            is_drawer, is_delimited = end == _DRAWER_ENDS, _OPENS.fullmatch(end)
            above = pieces[max(0, start - 1)]
            for each in block:
                each.is_code = not is_drawer
            asides = block if is_drawer else block[:: len(block) - 1]
            if is_delimited and _ATTRIBUTE.fullmatch(above.text):
                asides = [above, *asides]
            for each in asides if is_drawer or is_delimited else ():
                each.kind = ASIDE
            end = ''
        elif not end and opens:
            above = pieces[i - 1].text if i else ''
            is_apart = _ATTRIBUTE.fullmatch(above) or _MAY_BE_ABOVE.fullmatch(above)
            is_one = terms >= questions.FEWEST or (of_asciidoc and is_apart)
            if opens['org'] or is_one or _ATTRIBUTE.fullmatch(above):
                start, end = i, _end_of(opens)
    lines = [piece for piece in pieces if not piece.is_code]
    of_rst = any(re.match(r'\.\. (?:_|[\w-]+::)', piece.text) for piece in lines)
    for piece in lines:
        is_comment = of_rst and _COMMENT.fullmatch(piece.text)
        is_unseen = of_asciidoc and _UNSEEN.fullmatch(piece.text)
        if is_comment or is_unseen or _SETS_UP.fullmatch(piece.text):
            piece.kind = ASIDE


def _mark_parts(pieces: Sequence[page.Piece]) -> None:
    """Marks tags of parts that are opened and closed, and the edges of callouts."""
    lines = [piece for piece in pieces if not piece.is_code]
    found = [(piece, tag) for piece in lines if (tag := _PART.fullmatch(piece.text))]
    opened = {tag['name'] for _, tag in found if not tag['ends']}
    closed = {tag['name'] for _, tag in found if tag['ends']}
    titled = {tag['name'] for piece, tag in found if _TITLED.search(piece.text)}
    for piece, tag in found:
        if tag['name'] not in titled and (
            tag['whole'] or tag['name'] in opened & closed
        ):
            piece.kind = ASIDE
    is_open = False
    for piece in lines:
        if _CALLOUT.fullmatch(piece.text):
            piece.kind, is_open = ASIDE, True
        elif is_open and _CALLOUT_ENDS.fullmatch(piece.text):
            piece.kind, is_open = ASIDE, False


def _are_of_asciidoc(pieces: Sequence[page.Piece]) -> bool:
    lines = [piece.text for piece in pieces if not piece.is_code]
    titles = sum(bool(_TITLE.match(line)) for line in lines)
    return titles >= questions.FEWEST and not any(map(_OF_MARKDOWN.match, lines))


def _end_of(opens: re.Match[str]) -> str:
    """The line that ends a block or a drawer, in small letters."""
    if opens['name']:
        return f'#+end_{opens["name"].lower()}'
    return _DRAWER_ENDS if opens['drawer'] else opens['sign'].strip()


def _heads(piece: page.Piece, rule: page.Piece) -> bool:
    """Whether a rule makes the line above it a heading, not the end of a text."""
    line = piece.text.strip()
    is_long = len(rule.text.strip()) >= len(line)
    is_item = is_long and bool(_NUMBERED.fullmatch(line))
    is_sentence = len(rule.text.strip()) == len(line) and _SENTENCE.fullmatch(line)
    return bool(is_item or is_sentence or _UNDERLINED.fullmatch(piece.text))
