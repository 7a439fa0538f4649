"""Markdown whose headings are questions, each with its answer below, as FAQ pages are.

    ## Is it rude to leave at nine?     <details><summary>Who pays for it?</summary>
    No. Thank the host and go.          You do.
                                        </details>
    **And at ten?**
    Never.                              **May I wait?** For a week.
    *Or at one?*                        Is that all?
    Never.                              ------------
    1. And today?                       It is.
       No.

Headings are questions only where nearly all of one level are, each with its question
mark; bold text that opens a line is of a level below all headings, then lines in
italics, then items of a numbered list. Summaries are a level of their own, and folds:
'??? faq "Why?"', '::: details Why?'. Above letters, teasers and choices, or as links to
other pages, they are those of a column, an index or a quiz, whose answers are further
down or elsewhere.
"""

import dataclasses
import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

from data_pipeline.pages import characters, page

SOURCE = 'faq'
FEWEST = 3  # headings that are questions
SHARE = 0.8  # of the headings of their level
_LONGEST = 300  # characters of a question in a heading
# Question marks of Latin, Chinese, Arabic and Greek.
_ASKS = re.compile(r'.*(?:[?？؟\u037e]|(?<=[\u0370-\u03ff]);)\W{0,3}', re.DOTALL)
_MARKS = re.compile(r'[?？؟;\u037e]')
# Whether a page was of use, as pages ask their reader.
OF_USE = (
    r'(?:was|is|did you find|have you found) (?:this|that|it|the)'
    r'(?: (?:page|article|answer|post|guide|section|topic|information))?'
    r' (?:page |answer )?(?:helpful|useful)(?: to you| for you)?'
)
# Questions of a page to its reader, which no text below answers.
_TO_READER = re.compile(
    rf'(?:{OF_USE}'
    r'|(?:still |do you |did you |have |got )*(?:any |more |other |further |a )*'
    r'questions?'
    r'|(?:still )?(?:need (?:more |further |some )?help|unsure|stuck)'
    r'|(?:not|did(?: not|n[’\']t)|can(?:not|[’\']t)) (?:you )?find(?:ing)? '
    r'(?:what|the answer|an answer|your (?:answer|question))\b.{0,40})\W*',
    re.IGNORECASE,
)
# What stands below a question in an index, in a column and in a quiz.
_NO_ANSWER = re.compile(
    r'\A(?:dear|hi|hello)\b[^\n.!?]{0,40}[,:]'
    r'|\A(?:(?:asked )?by|posted)\b[^\n]{0,60}\n'
    r'|^(?!\s*#)[^\n]*[?？]["”’\')*_]*[ \t]*(?:\n|\Z)'
    r'|\A(?:<details[^<>]*>\s*)?<summary[^\n]*[?？]'
    r'|\A(?:[-*+] |\d[.)] )?(?:\(?[a-d][.)]|\[[ x]?\]|\( ?\)|[☐□○])\s'
    r'|\A\(\d{1,3} (?:points?|marks?|pts)\)|^\(?b[:.)]\s'
    r'|(?:\b(?:read|show|see) more|\bcontinue reading|…|\.{3})\W*(?:\]\([^)]*\)\W*)?\Z',
    re.IGNORECASE | re.MULTILINE,
)
_OTHERS = 0.3  # of the texts below headings: more show that they are no answers
_BOLD, _ITALIC, _ITEM, _SUMMARY, _FOLD = 7, 8, 9, 10, 11  # levels
# A picture, and a number: '❓ 7. ', 'Q7: ', '(7) ', '1.7. ', '7.' glued to a capital.
_NUMBER = (
    r'(?:[\u2600-\u27bf\U0001f300-\U0001faff\ufe0f]+\s*)?'
    r'(?:(?:Q(?:uestion)?\.?\s?)?(?:\d{1,3}\.){0,2}\d{1,3}\s?\\?[.):](?:\s+|(?=(?-i:[A-Z])))'
    r'|\(\d{1,3}\)\s+|Q[.:)]\s+)?'
)
# '=' is AsciiDoc's and a wiki's; a heading may be an item of a numbered list.
_HEAD = re.compile(
    r'\s{0,3}(?:(?:\d{1,4}[.)]\s+)?(#{1,6}|={2,6}(?=\s+[^\s=]))\s+)?'
    + _NUMBER
    + r'(?P<bold>[*_]{1,3})?'
    + _NUMBER
    + r'(?=\S)'
)
_TAIL = re.compile(r'\s*(?:\{[#.:][^{}]*\})?\s*[#=]*\s*\Z')
# A line that a rule right below it makes a heading: no list, quote or sentence.
_UNDERLINED = re.compile(r'\s{0,3}(?![-+>|<#=~`]|[*_] )\S.*(?<![.!:,;])\s*')
_NUMBERED = re.compile(r'\d{1,4}[.)]\s+\S.*')
_RULES = '=-~^"'  # by the level of their headings; the last are reStructuredText's
_UNDERLINE = re.compile(rf'\s{{0,3}}([{re.escape(_RULES)}])\1{{2,}}\s*')
_BOLD_TEXT = re.compile(
    r'\s{0,3}(?:[-*+]\s+)?(?:\d{1,3}[.)]\s+)?(\*{1,3}|_{1,3})(?=[^\s*_])'
    + _NUMBER
    + r'(?P<asked>.+?)\1(?![\w*_])(?:\s|<br\s*/?>|\\\Z)*(?:[–—]\s+)?'
)
_ITEM_TEXT = re.compile(r'(?:Q\.?\s?)?\d{1,3}[.)]\s+(?P<asked>\S.*?)\s*\Z')
_LIST = re.compile(r'(?:\s*[-*+•] .*(?:\n|\Z))+')
# The first line of a bold text that is closed on one of the next, behind its question.
_BOLD_OPENS = re.compile(r'\s{0,3}(?:[-*+]\s+)?(?:\d{1,3}[.)]\s+)?\*\*(?=[^\s*])[^*]+')
_BOLD_GOES_ON = re.compile(r'\s{0,5}[^\s*#>|-][^*]*')
_BOLD_ENDS = re.compile(r'\s{0,5}[^\s*#>|-][^*]*[?？؟]["”’)]?\*\*\s*')
_MOST_LINES = 5  # of a bold question
# A line of bold texts with code between them: one heading.
_BOLD_PIECES = re.compile(
    r'\s{0,3}(?P<asked>\*\*(?=\S)[^*`]+\*\*(?:\s*`+[^`]+`+(?:\s*\*\*(?=\S)[^*`]+\*\*)?)+)\s*'
)
_SUMMARY_TEXT = re.compile(
    r'\s*(?:<details[^<>]*>\s*)?<summary[^<>]*>\s*(?:<(?:b|strong|em|i|h\d)>|\*\*)?\s*'
    r'(?P<asked>.+?)\s*(?:</(?:b|strong|em|i|h\d)>|\*\*)?\s*</summary>\s*',
    re.IGNORECASE,
)
# A fold of MkDocs or VitePress, and the line that ends one.
_FOLD_TEXT = re.compile(
    r'(?:\?{3}\+?\s+[\w-]+(?:\s[\w-]+){0,3}\s+"|!{3}\s+(?:question|faq|help)\s+"'
    r'|:{3,}\s?details\s+)(?P<asked>\S.*?)"?\s*',
    re.IGNORECASE,
)
_COLONS, _NOT_INDENTED = re.compile(r':{3,}\s*'), re.compile(r'\S.*')
_DETAILS = re.compile(r'\s*<(/?)details[^<>]*>\s*\Z', re.IGNORECASE)
_LABEL = re.compile(
    r'(?:[*_]{1,3})?(?:the )?(?:answer|ans|a|reply|response)\s?[*_]{0,3}\s?[:：]'
    r'[*_]{0,3}\s*',
    re.IGNORECASE,
)
_QUOTE = re.compile(r'\s{0,3}>\s?')
_SPEAKER = re.compile(r'\W*(\w[\w .’\'-]{0,30})[*_]*:')
_LINK_AWAY = re.compile(r'\[[^\]]*\]\((?!#)')


def is_question(text: str) -> bool:
    """Whether a heading, a term or a summary is a question, and none to the reader."""
    return (
        len(text) <= _LONGEST
        and (len(text.split()) > 1 or (len(text) > 3 and not text.isascii()))
        and bool(_ASKS.fullmatch(text))
        and not _TO_READER.fullmatch(text)
    )


def without_number(question: str) -> str:
    """'7. Why?' -> 'Why?'"""
    return re.sub(rf'\A{_NUMBER}', '', question, flags=re.IGNORECASE)


def without_label(answer: str) -> str:
    """'**Answer:** No.' -> 'No.'"""
    found = _LABEL.match(answer)
    return answer[found.end() :] if found else answer


def are_asked(pairs: Sequence[tuple[str, str]], *, fewest: int) -> bool:
    """Whether nearly all (heading, text below it) are questions with their answers."""
    pairs = [pair for pair in pairs if not _TO_READER.fullmatch(pair[0])]
    asked = [pair for pair in pairs if is_question(pair[0])]
    different = len({question.casefold() for question, _ in asked})
    if different < max(fewest, SHARE * len(pairs)):
        return False
    answers = [without_label(answer) for _, answer in asked if answer]
    if _have_speaker([question for question, _ in asked]) or _have_speaker(answers):
        return False
    if len(answers) >= FEWEST and len(set(answers)) == 1:  # 'Write your thoughts here.'
        return False
    others = [answer for answer in answers if _NO_ANSWER.search(answer)]
    return 2 * len(answers) >= len(asked) and len(others) < _OTHERS * len(answers)


def _have_speaker(texts: Sequence[str]) -> bool:
    """Whether most texts open with one name and a colon, as those of a talk do."""
    names = [found[1] for text in texts if (found := _SPEAKER.match(text))]
    return len(names) > 0.5 * len(texts) and len(set(names)) < 0.5 * len(names)


def are_questions(text: str) -> bool:
    """Whether a text is of this layout."""
    return bool(_MARKS.search(text)) and bool(_level(_lines(text)))


def _lines(text: str) -> list[page.Piece]:
    """The lines of a text; a rule that makes the line above it a heading is a label."""
    pieces = _unwrapped(page.raw_lines(text))
    above = ''
    for piece, below in itertools.pairwise(pieces):
        may_head = not above.strip() and not piece.is_code
        if may_head and _UNDERLINE.fullmatch(below.text) and _heads(piece, below):
            below.kind = 'label'
        above = piece.text
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
            lines = [
                piece.text.rstrip(),
                *(p.text.strip() for p in pieces[at + 1 : end]),
            ]
            made[-1] = dataclasses.replace(piece, text=' '.join(lines))
    return made


def _heads(piece: page.Piece, rule: page.Piece) -> bool:
    """Whether a rule makes the line above it a heading, not the end of a text."""
    line = piece.text.strip()
    is_long = len(rule.text.strip()) >= len(line)
    is_item = is_long and bool(_NUMBERED.fullmatch(line))
    return is_item or bool(_UNDERLINED.fullmatch(piece.text))


class _Mark(NamedTuple):
    """What opens a section: its level, its heading within a line, the text behind it.

    `closes` says that the section above ends though this heading asks nothing.
    """

    level: int
    start: int
    end: int
    below: int
    closes: bool = True

    def heading(self, piece: page.Piece) -> str:
        return piece.text[self.start : self.end]


def parse(text: str, *, file: str) -> page.Page:
    """The pairs of one file; `file` names it in the records."""
    found = page.Page(file)
    pieces = _lines(text)
    level = _level(pieces)
    marks = _marks(pieces, level)
    asked = [
        mark is not None and is_question(mark.heading(piece))
        for mark, piece in zip(marks, pieces, strict=True)
    ]
    ruled = _are_ruled(pieces, asked)
    page.mark_fields(pieces, [page.QUESTION if is_a else '' for is_a in asked], found)
    question: list[page.Piece] = []
    answer: list[page.Piece] = []
    between: list[page.Piece] = []
    frame: re.Pattern[str] | None = None  # before each line of the answer
    fold: re.Pattern[str] | None = None  # the line that ends it
    for piece, mark, is_asked in zip(pieces, marks, asked, strict=True):
        if piece.kind == 'label':
            found.pieces.append(piece)
            continue
        if mark and (mark.closes or is_asked):
            _add(question, answer, found)
            question, answer = [], []
        rest = piece
        if mark and is_asked and (mark.level == level or level in (_BOLD, _ITALIC)):
            found.leave_out(between)
            between = []
            cuts = [(mark.start, 'label'), (mark.end, page.QUESTION)]
            cuts += [(mark.below, 'label'), (len(piece.text), page.UNKNOWN)]
            *parts, rest = piece.cut(cuts)
            question, frame = [parts[1]], None
            if level == _FOLD:
                fold = _COLONS if piece.text.startswith(':') else _NOT_INDENTED
            found.pieces += parts
        elif question and fold and fold.fullmatch(piece.text):
            _add(question, answer, found)
            question, answer = [], []
            if fold is _COLONS:
                piece.kind = 'label'
        elif question and ruled and page.is_rule(piece.text) and not piece.is_code:
            piece.kind = 'rule'
        tag = _DETAILS.search(rest.text) if level == _SUMMARY else None
        end: list[page.Piece] = []
        if tag and not rest.is_code:
            rest, *end = rest.cut([(tag.start(), rest.kind), (len(rest.text), 'label')])
        if question and rest.kind == page.UNKNOWN:
            is_first = not any(each.text.strip() for each in answer)
            if frame is None and rest is piece and rest.text.strip():
                frame = _frame(rest.text, may_quote=is_first)
            lead = frame.match(rest.text) if frame and rest is piece else None
            at = lead.end() if lead else 0
            if is_first and (label := _LABEL.match(rest.text, at)):
                at = label.end()
            start, rest = rest.cut([(at, 'label'), (len(rest.text), page.ANSWER)])
            found.pieces.append(start)
        (answer if question else between).append(rest)
        found.pieces += [rest, *end]
        if end or piece.kind == 'rule':
            _add(question, answer, found)
            question, answer = [], []
    _add(question, answer, found)
    found.leave_out(between)
    found.unknown.sort()
    return found


def _frame(first: str, *, may_quote: bool) -> re.Pattern[str]:
    """What stands before each line of an answer as before its first: blanks, or '>'."""
    if may_quote and _QUOTE.match(first):
        return _QUOTE
    blanks = len(first) - len(first.lstrip())
    return re.compile(rf'[ \t]{{0,{blanks}}}')


def _are_ruled(pieces: Sequence[page.Piece], asked: Sequence[bool]) -> bool:
    """Whether a rule ends nearly all texts: what stands below one is none."""
    above = ''
    ends: list[bool] = []
    for piece, is_asked in zip(pieces, asked, strict=True):
        if is_asked:
            ends.append(page.is_rule(above))
        above = piece.text if piece.text.strip() else above
    return sum(ends[1:]) >= max(2, SHARE * len(ends[1:]))


def _add(
    question: list[page.Piece], answer: list[page.Piece], found: page.Page
) -> None:
    """Counts a question, and adds its pair or drops it."""
    if not question:
        return
    page.end_text(answer, page.ANSWER)
    asked, answered = (
        page.clean_text(question, page.QUESTION),
        page.clean_text(answer, page.ANSWER),
    )
    line = question[0].line
    found.counts[f'{SOURCE} questions'] += 1
    if asked and answered:
        found.add(asked, answered, source=SOURCE, line=line)
    else:
        found.drop(line, asked, f'{SOURCE} questions unanswered', [*question, *answer])


def _level(pieces: Sequence[page.Piece]) -> int:
    """The level of the headings that are questions; 0 if there are none."""
    for level in (*range(1, 7), _BOLD, _ITALIC, _ITEM, _SUMMARY, _FOLD):
        sections: list[tuple[str, list[str]]] = []
        below: list[str] | None = None
        leads_away, within = False, 0
        for piece, mark in zip(pieces, _marks(pieces, level), strict=True):
            if mark and mark.level < level:
                below = None
            elif mark and (mark.closes or is_question(mark.heading(piece))):
                heading = mark.heading(piece)
                leads_away |= bool(_LINK_AWAY.search(heading))
                below = [piece.text[mark.below :]]
                sections.append((heading, below))
            else:
                within += mark is not None
                if below is not None and piece.kind != 'label':
                    below.append('code' if piece.is_code else piece.text)
        made = [(asked, characters.clean('\n'.join(e))) for asked, e in sections]
        if leads_away or within > len(sections):  # bold words, among them questions
            continue
        lists = sum(bool(_LIST.fullmatch(answer)) for _, answer in made)
        if level == _ITEM and 2 * lists > len(made):  # the choices of a survey
            continue
        if are_asked(made, fewest=FEWEST):
            return level
    return 0


def _marks(pieces: Sequence[page.Piece], level: int) -> list[_Mark | None]:
    """For each line the heading in it that is of a level, or ends sections of it."""
    rules = [each.text if each.kind == 'label' else '' for each in pieces[1:]]
    return [_mark(*each, level) for each in zip(pieces, [*rules, ''], strict=True)]


def _mark(piece: page.Piece, rule: str, level: int) -> _Mark | None:
    """The heading in a line; `rule` is the rule below it that makes the line one."""
    if piece.is_code:
        return None
    text = piece.text
    if level in (_SUMMARY, _FOLD):
        of_level = _SUMMARY_TEXT.match if level == _SUMMARY else _FOLD_TEXT.fullmatch
        found = of_level(text)
        return _Mark(level, *found.span('asked'), found.end()) if found else None
    head = _HEAD.match(text)
    if head and (head[1] or rule):
        depth = len(head[1]) if head[1] else 1 + min(2, _RULES.index(rule.strip()[0]))
        mark = _Mark(depth, *_bare(text, head), len(text))
        return mark if mark.level <= level else None
    if level == _ITEM:
        found = _ITEM_TEXT.match(text)
        return _Mark(level, *found.span('asked'), len(text)) if found else None
    found = _BOLD_TEXT.match(text) if level in (_BOLD, _ITALIC) else None
    if not found:
        return None
    pieces = None if is_question(found['asked']) else _BOLD_PIECES.fullmatch(text)
    found = pieces or found
    depth = _ITALIC if len(found[1]) == 1 else _BOLD
    is_alone = found.end() == len(text)
    closes = is_alone or bool(_TO_READER.fullmatch(found['asked']))
    mark = _Mark(depth, *found.span('asked'), found.end(), closes)
    return mark if depth <= level and (is_alone or level == _BOLD) else None


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
