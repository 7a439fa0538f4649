"""The forms of lines that ask: a heading, bold text, an item, a summary, a fold.

Each is of a level: headings 1 to 6 by their depth, the others below them all. AsciiDoc,
reStructuredText, wikis and Org have headings of their own; those of Org look as items
of a list in Markdown do, so they are no headings beside its own.

    Why?::              a term of AsciiDoc, whose paragraphs are joined by a line '+'
    <Accordion title="Why?">   a part of a site, up to </Accordion>
    2.1. Why?           a heading with a number, which stands in contents too
    > [!faq]- Why?      a callout of Obsidian, up to the first line without its '>'
    * Why?              a bullet, with lines below it that are indented; also '#. Why?'
    ** Why?             a heading of Org
    Why?                the first line of a paragraph whose rest is the answer
"""

import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

from data_pipeline.faq import numbered, questions
from data_pipeline.pages import page

BOLD, ITALIC, NUMBERED, LABEL, ITEM, SUMMARY, FOLD, TERM, BULLET = range(7, 16)
PARAGRAPH, ORG = 16, 17
LEVELS = range(1, ORG + 6)  # headings of Org have six depths too
# '=' is AsciiDoc's and a wiki's, which closes it too; a heading may be an item of a
# numbered list.
_HEAD = re.compile(
    r'\s{0,3}(?:(?:\d{1,4}[.)]\s+)?(#{1,6}|={2,6}(?=\s+[^\s=]))\s+)?'
    + questions.NUMBER
    + r'(?P<bold>[*_]{1,3})?'
    + questions.NUMBER
    + r'(?=\S)'
)
_OF_WIKI = re.compile(
    rf'(?P<sign>={{1,6}})\s*{questions.NUMBER}(?P<asked>[^\s=](?:.*[^\s=])?)\s*(?P=sign)\s*'
)
_TAIL = re.compile(r'\s*(?:\{[#.:][^{}]*\})?\s*[#=]*\s*\Z')
RULES = '=-~^"'  # by the level of their headings; the last are reStructuredText's
_BOLD_TEXT = re.compile(
    r'\s{0,3}(?:[-*+]\s+)?(?:\d{1,3}[.)]\s+)?(\*{1,3}|_{1,3})(?=[^\s*_])'
    + questions.NUMBER
    + r'(?P<asked>.+?)\1(?![\w*_])(?:\s|<br\s*/?>|\\\Z)*(?:[–—]\s+)?'
)
# A line of bold texts with code between them: one heading.
_BOLD_PIECES = re.compile(
    r'\s{0,3}(?P<asked>\*\*(?=\S)[^*`]+\*\*(?:\s*`+[^`]+`+(?:\s*\*\*(?=\S)[^*`]+\*\*)?)+)\s*'
)
_ITEM_TEXT = re.compile(r'(?:Q\.?\s?)?\d{1,3}[.)]\s+(?P<asked>\S.*?)\s*\Z')
# A label with a number, where none opens the answers: 'Q.1 Why?', 'Question 1 - Why?'
_LABEL_TEXT = re.compile(
    r'(?:Q[.\s#-]?|Que\.?\s?|Ques\.?\s?|Question\s?)(?:No\.\s?|#)?'
    r'\d{1,3}\s?(?:[.):]|--?|[–—])?\s+(?P<asked>\S.*?)\s*\Z'
)
_SUMMARY_TEXT = re.compile(
    r'\s*(?:<details[^<>]*>\s*)?<summary[^<>]*>\s*(?:<(?:b|strong|em|i|h\d)>|\*\*)?\s*'
    + questions.NUMBER
    + r'(?P<asked>.+?)\s*(?:</(?:b|strong|em|i|h\d)>|\*\*)?\s*</summary>\s*',
    re.IGNORECASE,
)
# A fold of MkDocs, VitePress or Obsidian, and the line that ends one: behind a line
# break if a blank line is above it.
_FOLD_TEXT = re.compile(
    r'(?:\?{3}\+?\s+[\w-]+(?:\s[\w-]+){0,3}\s+"|!{3}\s+(?:question|faq|help)\s+"'
    r'|(?P<colons>:{3,})\s?details\s+|(?P<quote>>\s?)\[!(?:question|faq|help)\][-+]?\s+)'
    + questions.NUMBER
    + r'(?P<asked>\S.*?)"?\s*',
    re.IGNORECASE,
)
# A part of a site that folds its text, as Mintlify and Starlight write them.
_ACCORDION = re.compile(
    r'\s*<(?:Accordion(?:Item)?|Collapsible|Expandable|Details|F(?:aq|AQ)(?:Item)?)\s'
    r'(?:[^<>]*?\s)?(?:title|summary|question|label)=(?P<quote>["\'])'
    + questions.NUMBER
    + r'(?P<asked>[^<>]*?\S)\s*(?P=quote)[^<>]*>\s*'
)
ACCORDION_ENDS = re.compile(
    r'\n?\s*</(?:Accordion(?:Item)?|Collapsible|Expandable|Details|F(?:aq|AQ)(?:Item)?)>\s*'
)
COLONS, _NOT_INDENTED = re.compile(r'\n?:{3,}\s*'), re.compile(r'\n?\S.*')
_NOT_QUOTED = re.compile(r'\n?(?!\s{0,3}>).*')
TERM_TEXT = re.compile(
    rf'\s{{0,3}}{questions.NUMBER}(?P<asked>\S.*?)\s*(?<!:)::(?!:)(?:\s+|\Z)'
)
_TERMS_END = re.compile(r'\n(?!\+\s*\Z)\S.*|\n?\[(?:qanda|horizontal)\b[^\[\]]*\]\s*')
_JOINS = r'\+\s*\Z'  # a line of AsciiDoc that joins paragraphs
_BULLET_TEXT = re.compile(rf'(?:[-*+•]|#\.)\s+{questions.NUMBER}(?P<asked>\S.*?)\s*')
_FIRST_LINE = re.compile(rf'\s*(?:[-*+•]\s+)?{questions.NUMBER}(?P<asked>\S.*?)\s*')
_NESTED = re.compile(r'(?P<blanks>[ \t]+)(?P<sign>[-*+•]\s+)?')
_STARS = re.compile(
    rf'(\*{{1,6}})\s+(?:(?:TODO|DONE)\s+)?{questions.NUMBER}'
    r'(?P<asked>\S.*?)(?:\s+:[\w@:]+:)?\s*'
)
_OF_MARKDOWN = re.compile(r'#{1,6}\s+\S')


class Mark(NamedTuple):
    """What opens a section: its level, its heading within a line, the text behind it.

    `closes` says that the section above ends though this heading asks nothing. `until`
    is the line that ends the section below, if the form has one; `lead` is what stands
    before its lines, if it is not as before the first.
    """

    level: int
    start: int
    end: int
    below: int
    closes: bool = True
    until: re.Pattern[str] | None = None
    lead: str = ''

    def heading(self, piece: page.Piece) -> str:
        return piece.text[self.start : self.end]


def marks(pieces: Sequence[page.Piece], level: int) -> list[Mark | None]:
    """For each line the heading in it that is of a level, or ends sections of it."""
    if level >= ORG:
        return [
            None if piece.is_code else _stars(piece.text, level) for piece in pieces
        ]
    if level == NUMBERED:
        return _numbered(pieces)
    if level == PARAGRAPH:
        return _paragraphs(pieces)
    rules = [each.text if each.kind == 'label' else '' for each in pieces[1:]]
    made = [_mark(*each, level) for each in zip(pieces, [*rules, ''], strict=True)]
    if are_of_wiki(pieces):
        made = [_wiki(*each, level) for each in zip(pieces, made, strict=True)]
    _leave_out_sections(pieces, made, level)
    if level in (ITEM, BULLET):
        for i, mark in enumerate(made):
            if mark and mark.level == level:
                made[i] = mark._replace(lead=_lead(pieces[i + 1 :]))
    return made


def lower(pieces: Sequence[page.Piece], level: int) -> dict[int, Mark]:
    """The headings below a level of headings, each by its line."""
    if BOLD <= level < ORG:
        return {}
    deepest = LEVELS[-1] if level >= ORG else BOLD - 1
    found = zip(pieces, marks(pieces, deepest), strict=True)
    return {piece.line: mark for piece, mark in found if mark and mark.level > level}


def _leave_out_sections(
    pieces: Sequence[page.Piece], made: list[Mark | None], level: int
) -> None:
    """Starts a level's headings behind their numbers of sections, if most have one."""
    at = [i for i, mark in enumerate(made) if mark and mark.level == level]
    texts = [made[i].heading(pieces[i]) for i in at]
    for i, text, bare in zip(at, texts, questions.without_sections(texts), strict=True):
        made[i] = made[i]._replace(start=made[i].start + len(text) - len(bare))


def _numbered(pieces: Sequence[page.Piece]) -> list[Mark | None]:
    """The headings that stand in a text's contents too, with their numbers.

    One below a question that asks nothing is a part of its answer: '9.1.1. Tom' below
    '9.1. Who?'
    """
    made: list[Mark | None] = [None] * len(pieces)
    asked: tuple[int, ...] = ()
    for each in numbered.headings(pieces):
        is_part = bool(asked) and each.number[: len(asked)] == asked
        if questions.is_question(each.text):
            asked = each.number
        elif is_part:
            continue
        else:
            asked = ()
        end = len(pieces[each.start].text.rstrip())
        made[each.start] = Mark(NUMBERED, each.at, end, end)
    return made


def _paragraphs(pieces: Sequence[page.Piece]) -> list[Mark | None]:
    """The first lines of paragraphs, each with the rest of its paragraph below it."""
    made: list[Mark | None] = []
    above = ''
    for piece in pieces:
        found = None if piece.is_code else _FIRST_LINE.fullmatch(piece.text)
        is_first = found is not None and not above.strip()
        made.append(
            Mark(PARAGRAPH, *found.span('asked'), len(piece.text)) if is_first else None
        )
        above = piece.text
    return made


def are_of_wiki(pieces: Sequence[page.Piece]) -> bool:
    """Whether lines between signs, '== Why? ==', are a text's headings."""
    lines = [piece.text for piece in pieces if not piece.is_code]
    closed = sum(bool(_OF_WIKI.fullmatch(line)) for line in lines)
    return closed >= questions.FEWEST and not any(line[:2] == '##' for line in lines)


def _wiki(piece: page.Piece, mark: Mark | None, level: int) -> Mark | None:
    """The heading in a line of a wiki's page; `mark` is what the line is elsewhere."""
    found = None if piece.is_code else _OF_WIKI.fullmatch(piece.text)
    if not found:
        return mark
    depth = len(found['sign'])
    is_own = depth <= level and level not in (SUMMARY, FOLD)
    return Mark(depth, *found.span('asked'), found.end()) if is_own else None


def are_of_org(pieces: Sequence[page.Piece]) -> bool:
    """Whether lines of stars may be headings: a text without headings of Markdown."""
    return not any(_OF_MARKDOWN.match(p.text) for p in pieces if not p.is_code)


def _mark(piece: page.Piece, rule: str, level: int) -> Mark | None:
    """The heading in a line; `rule` is the rule below it that makes the line one."""
    text = piece.text
    if piece.is_code:
        return None
    if level == SUMMARY:
        found = _SUMMARY_TEXT.match(text)
        return Mark(level, *found.span('asked'), found.end()) if found else None
    if level == FOLD:
        return _fold(text)
    if head := _headline(text, rule):
        return head if head.level <= level else None
    if level in (BOLD, ITALIC):
        return _bold(text, level)
    if level == TERM and (found := TERM_TEXT.match(text)):
        span = found.span('asked')
        return Mark(level, *span, found.end(), until=_TERMS_END, lead=_JOINS)
    if level == LABEL and (found := _LABEL_TEXT.match(text)):
        return Mark(level, *found.span('asked'), len(text))
    if level == ITEM and (found := _ITEM_TEXT.match(text)):
        return Mark(level, *found.span('asked'), len(text))
    if level == BULLET and (found := _BULLET_TEXT.fullmatch(text)):
        return Mark(level, *found.span('asked'), len(text), until=_NOT_INDENTED)
    return None


def _lead(below: Sequence[page.Piece]) -> str:
    """What stands before the lines of an answer that is the one item of a list."""
    own = itertools.takewhile(lambda each: each.text[:1] in ('', ' ', '\t'), below)
    found = [_NESTED.match(each.text) for each in own if each.text.strip()]
    first = found[0] if found else None
    if not first or not first['sign']:
        return ''
    alike = sum(
        match['sign'] is not None and len(match['blanks']) <= len(first['blanks'])
        for match in found
        if match
    )
    blanks, whole = len(first['blanks']), len(first[0])
    return rf'[ \t]{{0,{blanks}}}[-*+•]\s+|[ \t]{{0,{whole}}}' if alike == 1 else ''


def _stars(text: str, level: int) -> Mark | None:
    found = _STARS.fullmatch(text)
    depth = ORG + len(found[1]) - 1 if found else 0
    if not found or depth > level:
        return None
    return Mark(depth, *found.span('asked'), found.end())


def _fold(text: str) -> Mark | None:
    if found := _ACCORDION.fullmatch(text):
        span = found.span('asked')
        return Mark(FOLD, *span, len(text), until=ACCORDION_ENDS)
    found = _FOLD_TEXT.fullmatch(text)
    if not found:
        return None
    until = COLONS if found['colons'] else _NOT_INDENTED
    until = _NOT_QUOTED if found['quote'] else until
    return Mark(FOLD, *found.span('asked'), found.end(), until=until)


def _headline(text: str, rule: str) -> Mark | None:
    """A line that signs in front of it, or a rule below it, make a heading."""
    head = _HEAD.match(text)
    if not head or not (head[1] or rule):
        return None
    depth = len(head[1]) if head[1] else 1 + min(2, RULES.index(rule.strip()[0]))
    return Mark(depth, *_bare(text, head), len(text))


def _bare(text: str, head: re.Match[str]) -> tuple[int, int]:
    """Where a heading's text starts and ends: within marks that stand around it all.

    '## **Why?**' -> 'Why?'; '## Why **so late?**' -> 'Why **so late?**'
    """
    start, tail = head.end(), _TAIL.search(text, head.end())
    end, bold = tail.start() if tail else 0, head['bold']
    if not bold:
        return start, end
    inner = end - len(bold)
    if text.endswith(bold, start, end) and bold not in text[start:inner]:
        return start, inner
    return head.start('bold'), end


def _bold(text: str, level: int) -> Mark | None:
    """Bold text that opens a line, or italics that are all of it."""
    found = _BOLD_TEXT.match(text)
    if not found:
        return None
    is_one = questions.is_question(found['asked'])
    found = (None if is_one else _BOLD_PIECES.fullmatch(text)) or found
    depth = ITALIC if len(found[1]) == 1 else BOLD
    is_alone = found.end() == len(text)
    if depth > level or not (is_alone or level == BOLD):
        return None
    closes = is_alone or questions.is_to_reader(found['asked'])
    return Mark(depth, *found.span('asked'), found.end(), closes)
