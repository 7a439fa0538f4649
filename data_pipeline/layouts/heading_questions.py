"""Markdown whose headings are questions, each with its answer below, as FAQ pages are.

    ## Is it rude to leave at nine?
    No. Thank the host and go.

Headings are questions only where nearly all of one level are, each with its question
mark. Above letters, teasers and choices, or as links to other pages, they are those of
a column, an index or a quiz, whose answers are further down or elsewhere.
"""

import re
from collections.abc import Sequence

from data_pipeline.pages import characters, page

SOURCE = 'faq'
FEWEST = 3  # headings that are questions
_SHARE = 0.8  # of the headings of their level
_LONGEST = 300  # characters of a question in a heading
_ASKS = re.compile(r'.*[?？]\W{0,3}', re.DOTALL)
# What stands below a question in an index, in a column and in a quiz.
_NO_ANSWER = re.compile(
    r'\A(?:dear|hi|hello)\b[^\n.!?]{0,40}[,:]'
    r'|\A(?:(?:asked )?by|posted)\b[^\n]{0,60}\n'
    r'|^(?!\s*#)[^\n]*[?？]["”’\')*_]*[ \t]*(?:\n|\Z)'
    r'|\A(?:[-*+] |\d[.)] )?(?:\(?[a-d][.)]|\[[ x]?\]|[☐□○])\s'
    r'|(?:\b(?:read|show|see) more|\bcontinue reading|…|\.{3})\W*(?:\]\([^)]*\)\W*)?\Z',
    re.IGNORECASE | re.MULTILINE,
)
_OTHERS = 0.3  # of the texts below headings: more show that they are no answers
_HEAD = re.compile(r'\s{0,3}(#{1,6})\s+(?:[*_]{1,3})?(?:\d{1,3}[.)]\s+)?')
_TAIL = re.compile(r'[*_]{0,3}\s*#*\s*\Z')
_LINK_AWAY = re.compile(r'\[[^\]]*\]\((?!#)')


def is_question(text: str) -> bool:
    """Whether a heading, a term or a summary is a question."""
    return (
        len(text) <= _LONGEST and len(text.split()) > 1 and bool(_ASKS.fullmatch(text))
    )


def are_asked(pairs: Sequence[tuple[str, str]], *, fewest: int) -> bool:
    """Whether nearly all (heading, text below it) are questions with their answers."""
    asked = [pair for pair in pairs if is_question(pair[0])]
    if len(asked) < max(fewest, _SHARE * len(pairs)):
        return False
    answers = [answer for _, answer in asked if answer]
    others = [answer for answer in answers if _NO_ANSWER.search(answer)]
    return 2 * len(answers) >= len(asked) and len(others) < _OTHERS * len(answers)


def are_questions(text: str) -> bool:
    """Whether a text is of this layout."""
    return '?' in text and bool(_level(page.raw_lines(text)))


def parse(text: str, *, file: str) -> page.Page:
    """The pairs of one file; `file` names it in the records."""
    found = page.Page(file)
    pieces = page.raw_lines(text)
    level = _level(pieces)
    question: list[page.Piece] = []
    answer: list[page.Piece] = []
    between: list[page.Piece] = []
    for piece in pieces:
        mark = None if piece.is_code else _HEAD.match(piece.text)
        closes = mark is not None and page.HEADING.match(piece.text)
        if mark and closes and len(mark[1]) <= level:
            _add(question, answer, found)
            question, answer = [], []
        if mark and len(mark[1]) == level and is_question(_bare(piece.text)):
            found.leave_out(between)
            between = []
            end = _TAIL.search(piece.text, mark.end()).start()
            cuts = [(mark.end(), 'label'), (end, page.QUESTION)]
            parts = piece.cut([*cuts, (len(piece.text), 'label')])
            question = [parts[1]]
            found.pieces += parts
        else:
            if question:
                piece.kind = page.ANSWER
            (answer if question else between).append(piece)
            found.pieces.append(piece)
    _add(question, answer, found)
    found.leave_out(between)
    found.unknown.sort()
    return found


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
    for level in range(1, 7):
        sections: list[tuple[str, list[str]]] = []
        below: list[str] | None = None
        leads_away = False
        for piece in pieces:
            mark = None if piece.is_code else page.HEADING.match(piece.text)
            if mark and len(mark[1]) <= level:
                below = None
            if mark and len(mark[1]) == level:
                leads_away |= bool(_LINK_AWAY.search(piece.text))
                below = []
                sections.append((_bare(piece.text), below))
            elif below is not None:
                below.append(piece.text)
        made = [(asked, characters.clean('\n'.join(e))) for asked, e in sections]
        if not leads_away and are_asked(made, fewest=FEWEST):
            return level
    return 0


def _bare(heading: str) -> str:
    """A heading's text without its marks."""
    mark = _HEAD.match(heading)
    return _TAIL.sub('', heading[mark.end() if mark else 0 :])
