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

A file may be one answer, below a front matter with its question: front_matter.py.

Headings are questions only where nearly all of one level are, each with its question
mark; so are those below a heading of that level that asks nothing. Bold text that opens
a line is of a level below all headings, then lines in italics, then items of a numbered
list. Summaries are a level of their own, and folds:
'??? faq "Why?"', '::: details Why?'. Above letters, teasers and choices, or as links to
other pages, they are those of a column, an index or a quiz, whose answers are further
down or elsewhere.
"""

import collections
import re
from collections.abc import Sequence

from data_pipeline.faq import (
    asking_lines,
    below_pairs,
    front_matter,
    page_lines,
    questions,
)
from data_pipeline.pages import characters, glued_topics, page

SOURCE = questions.SOURCE
LOWER = 'a question of a lower level, kept in the answer'
_CHOICES = re.compile(r'(?:\s*[-*+•] .*(?:\n|\Z)){2,}')
# A callout that answers one above it.
_ANSWERS = re.compile(
    r'>\s?\[![\w-]+\][-+]?\s*(?:the )?(?:answer|ans\b|solution|hint|antwort|respuesta'
    r'|réponse|risposta|ответ|答案|解答)',
    re.IGNORECASE,
)
# Three lines or more of a few words each.
_WORDS_ALONE = re.compile(r'(?:[^\n]{1,40}(?<![.!])(?:\n|\Z)){3,}')
_FEWEST_PARAGRAPHS = 5  # that ask, where no sign makes their first lines headings
_LABEL = re.compile(r"""["'\[(<]*\w{1,12}["'\])>]*[^\w\s'’]""")
_SECTION = re.compile(r'\d\.\d')  # a number of one, before a heading
_DETAILS = re.compile(r'\s*<(/?)details[^<>]*>\s*\Z', re.IGNORECASE)
_QUOTE = re.compile(r'\s{0,3}>\s?')
_DEFINED = re.compile(r'[ \t]{0,3}:[ \t]+(?=\S)')  # what Markdown's lists define
_LINK_AWAY = re.compile(r'\[[^\[\]]*+\]\((?!#)')


def are_questions(text: str) -> bool:
    """Whether a text is of this layout."""
    if bool(questions.MARKS.search(text)) and bool(_level(page_lines.lines(text))):
        return True
    return bool(_of_front_matter(text, page.Page('')))


def why_none(text: str) -> str:
    """How many headings of a text ask, and how many must, if it is no such page."""
    pieces = page_lines.lines(text)
    for level in range(1, asking_lines.LABEL):
        marks = zip(pieces, asking_lines.marks(pieces, level), strict=True)
        headings = [m.heading(p) for p, m in marks if m and m.level == level]
        if why := questions.why_none(headings, share=_share(level)):
            return why
    return ''


def _level(pieces: Sequence[page.Piece]) -> int:
    """The level of the headings that are questions; 0 if there are none."""
    is_org = asking_lines.are_of_org(pieces)
    for level in asking_lines.LEVELS:
        if (level < asking_lines.ORG or is_org) and _asks(pieces, level):
            return level
    return 0


def _asks(pieces: Sequence[page.Piece], level: int) -> bool:
    """Whether the headings of a level are questions."""
    marks = asking_lines.marks(pieces, level)
    asked = (
        questions.is_question(mark.heading(piece))
        for piece, mark in zip(pieces, marks, strict=True)
        if mark and mark.level >= level
    )
    if sum(asked) < questions.FEWEST:
        return False
    sections: list[tuple[str, list[str]]] = []
    below: list[str] | None = None
    within, numbers, above = 0, 0, ''
    until: re.Pattern[str] | None = None
    for piece, mark in zip(pieces, marks, strict=True):
        if mark and mark.level < level:
            below = None
        elif mark and (mark.closes or questions.is_question(mark.heading(piece))):
            below, until = [piece.text[mark.below :]], mark.until
            sections.append((mark.heading(piece), below))
            numbers += bool(_SECTION.search(piece.text, 0, mark.start))
        else:
            within += mark is not None
            if until and until.fullmatch(_after(above, piece)):
                below = None
            if below is not None and piece.kind == page.UNKNOWN:
                below.append('code' if piece.is_code else piece.text)
        above = piece.text
    if within > len(sections):  # bold words, among them questions
        return False
    if any(_LINK_AWAY.search(heading) for heading, _ in sections):
        return False
    pairs = [(asked, characters.clean('\n'.join(lines))) for asked, lines in sections]
    if level == asking_lines.FOLD and any(_ANSWERS.match(p.text) for p in pieces):
        return False  # what stands below the questions are hints
    choices = sum(bool(_CHOICES.fullmatch(answer)) for _, answer in pairs)
    of_lists = level in (asking_lines.ITEM, asking_lines.BULLET)
    if of_lists and 2 * choices > len(pairs):  # those of a survey
        return False
    if level == asking_lines.NUMBERED:  # those of sections have no text of their own
        pairs = [each for each in pairs if each[1] or questions.is_question(each[0])]
    fewest = questions.FEWEST
    if level == asking_lines.PARAGRAPH:
        few = sum(bool(_WORDS_ALONE.fullmatch(answer)) for _, answer in pairs)
        # The choices of a quiz, or labels of a form that is not known.
        if 2 * few > len(pairs) or _have_labels([asked for asked, _ in pairs]):
            return False
        fewest = _FEWEST_PARAGRAPHS
    # Numbers of sections make bold lines headings as signs do.
    share = _share(level) if numbers < questions.SHARE * len(sections) else _share(1)
    return questions.are_asked(pairs, fewest=fewest, share=share)


def _have_labels(asked: Sequence[str]) -> bool:
    """Whether most of some questions open with one word and a sign: '"question":'."""
    found = [match[0] for each in asked if (match := _LABEL.match(each))]
    ((_, usual),) = collections.Counter(found).most_common(1) or [('', 0)]
    return usual >= questions.SHARE * len(asked)


def _share(level: int) -> float:
    """The share of the texts of a level that must ask."""
    own = level < asking_lines.BOLD or level >= asking_lines.ORG
    are_headings = own or level == asking_lines.NUMBERED
    return questions.HEADINGS_SHARE if are_headings else questions.SHARE


def _after(above: str, piece: page.Piece) -> str:
    """A line, behind a line break if the line above it is blank and it is no code."""
    is_apart = not above.strip() and not piece.is_code
    return f'\n{piece.text}' if is_apart else piece.text


def parse(text: str, *, file: str) -> page.Page:
    """The pairs of one file; `file` names it in the records."""
    pieces = page_lines.lines(text)
    if not _level(pieces) and (found := _of_front_matter(text, page.Page(file))):
        return found
    return _Reading(pieces, page.Page(file)).read()


def _of_front_matter(text: str, found: page.Page) -> page.Page | None:
    """The pair of a file whose front matter asks; None for a file of another kind."""
    pieces = page.raw_lines(text)
    if not (place := front_matter.question(pieces)):
        return None
    (at, start, end), below = place, front_matter.end(pieces)
    answer = pieces[below:]
    for piece in answer:
        piece.kind = page.ANSWER
    *asked, rest = pieces[at].cut(
        [(start, 'label'), (end, page.QUESTION), (len(pieces[at].text), 'label')]
    )
    found.pieces += [*pieces[:at], *asked, rest, *pieces[at + 1 :]]
    found.leave_out([*pieces[:at], *pieces[at + 1 : below]])
    glued_topics.end_text(answer, page.ANSWER)
    question = page.clean_text(asked, page.QUESTION).replace("''", "'")
    answered = page.clean_text(answer, page.ANSWER)
    if not question or not answered:
        return None
    found.counts[f'{SOURCE} questions'] += 1
    found.add(question, answered, source=SOURCE, line=pieces[at].line)
    return found


class _Reading:
    """A page that is being read: the pair at hand, and what stands between pairs."""

    def __init__(self, pieces: Sequence[page.Piece], found: page.Page) -> None:
        self.found = found
        self._pieces = pieces
        self._level = _level(pieces)
        self._question: page.Piece | None = None
        self._answer: list[page.Piece] = []
        self._answers: list[list[page.Piece]] = []  # of the pairs above
        self._last = 0  # the line of the last question
        self._depth = 0  # of a question of a level below the page's, in its own section
        self._between: list[page.Piece] = []
        self._lead = ''  # before each line of the answer, as its form has it
        self._frame: re.Pattern[str] | None = None  # the same, as its first line has it
        self._until: re.Pattern[str] | None = None  # the line that ends it

    def read(self) -> page.Page:
        marks = asking_lines.marks(self._pieces, self._level)
        asked = [
            mark is not None and questions.is_question(mark.heading(piece))
            for mark, piece in zip(marks, self._pieces, strict=True)
        ]
        is_ruled = _are_ruled(self._pieces, asked)
        own = (
            each.line
            for each, mark, is_asked in zip(self._pieces, marks, asked, strict=True)
            if is_asked and self._is_own(mark)
        )
        self._last = max(own, default=0)
        opens = [page.QUESTION if is_asked else '' for is_asked in asked]
        page.mark_fields(self._pieces, opens, self.found)
        lower = asking_lines.lower(self._pieces, self._level)
        above = ''
        for piece, mark, is_asked in zip(self._pieces, marks, asked, strict=True):
            if (below := lower.get(piece.line)) and not mark:
                is_lower = questions.is_question(below.heading(piece))
                if not self._question or below.level <= self._depth:
                    mark, is_asked = below, is_lower
                elif is_lower:
                    self.found.note(piece, LOWER)
            if piece.kind == 'label':
                self.found.pieces.append(piece)
                continue
            if mark and (mark.closes or is_asked):
                self._close()
                if not is_asked and mark.level == self._level:
                    self.found.counts[questions.ASK_NOTHING] += 1
            if mark and is_asked and (below is mark or self._is_own(mark)):
                self._depth = mark.level if below is mark else 0
                self._add_text(self._opened(piece, mark), is_first_line=True)
            else:
                self._end(piece, above, is_ruled=is_ruled)
                self._add_text(piece)
            above = piece.text
            if piece.kind == 'rule':
                self._close()
        self._close()
        self.found.leave_out(self._between)
        self.found.unknown.sort()
        return self.found

    def _leave_out_last(self) -> None:
        """Leaves out the page's own text below its last answer."""
        first = next(each.text for each in self._pieces if each.text.strip())
        below = below_pairs.below_last([first], self._answers)
        for piece in below:
            piece.kind = page.UNKNOWN if piece.kind == page.ANSWER else piece.kind
        self.found.leave_out(below)

    def _is_own(self, mark: asking_lines.Mark) -> bool:
        """Whether a heading is of the page's level; above bold ones others ask too."""
        bold = asking_lines.BOLD, asking_lines.ITALIC
        return mark.level == self._level or self._level in bold

    def _opened(self, piece: page.Piece, mark: asking_lines.Mark) -> page.Piece:
        """Opens a pair at its question's line; returns the text behind the question."""
        self.found.leave_out(self._between)
        cuts = [(mark.start, 'label'), (mark.end, page.QUESTION)]
        cuts += [(mark.below, 'label'), (len(piece.text), page.UNKNOWN)]
        *parts, rest = piece.cut(cuts)
        self.found.pieces += parts
        self._question, self._answer, self._between = parts[1], [], []
        self._frame, self._lead, self._until = None, mark.lead, mark.until
        return rest

    def _end(self, piece: page.Piece, above: str, *, is_ruled: bool) -> None:
        """Ends the answer where its form or a rule does; marks the rule."""
        if not self._question:
            return
        if self._until and self._until.fullmatch(_after(above, piece)):
            ends = asking_lines.COLONS, asking_lines.ACCORDION_ENDS
            piece.kind = 'label' if self._until in ends else piece.kind
            self._close()
        elif is_ruled and page.is_rule(piece.text) and not piece.is_code:
            piece.kind = 'rule'

    def _add_text(self, rest: page.Piece, *, is_first_line: bool = False) -> None:
        """Adds a line to the answer, or to what stands between pairs."""
        is_summary = self._level == asking_lines.SUMMARY and not rest.is_code
        tag = _DETAILS.search(rest.text) if is_summary else None
        end: list[page.Piece] = []
        if tag:
            rest, *end = rest.cut([(tag.start(), rest.kind), (len(rest.text), 'label')])
        if self._question and rest.kind == page.UNKNOWN:
            at = self._indent(rest, is_whole=not is_first_line and not tag)
            start, rest = rest.cut([(at, 'label'), (len(rest.text), page.ANSWER)])
            self.found.pieces.append(start)
        (self._answer if self._question else self._between).append(rest)
        self.found.pieces += [rest, *end]
        if end:
            self._close()

    def _indent(self, line: page.Piece, *, is_whole: bool) -> int:
        """Where a line's text starts: behind blanks, a quote's sign, a label."""
        is_first = not any(each.text.strip() for each in self._answer)
        if self._frame is None and is_whole and line.text.strip():
            self._frame = _frame(line.text, self._lead, may_quote=is_first)
        lead = self._frame.match(line.text) if self._frame and is_whole else None
        at = lead.end() if lead else 0
        label = questions.LABEL.match(line.text, at) if is_first else None
        return label.end() if label else at

    def _close(self) -> None:
        """Counts the question at hand, and adds its pair or drops it."""
        question, answer, found = self._question, self._answer, self.found
        if not question:
            return
        self._question, self._answer = None, []
        self._answers.append(answer)
        if question.line == self._last:
            self._leave_out_last()
        glued_topics.end_text(answer, page.ANSWER)
        asked = page.clean_text([question], page.QUESTION)
        answered = page.clean_text(answer, page.ANSWER)
        found.counts[f'{SOURCE} questions'] += 1
        if asked and answered:
            found.add(asked, answered, source=SOURCE, line=question.line)
        else:
            reason = f'{SOURCE} questions unanswered'
            found.drop(question.line, asked, reason, [question, *answer])


def _frame(first: str, lead: str, *, may_quote: bool) -> re.Pattern[str]:
    """What stands before each line of an answer: `lead`, blanks, '>' or ':' as there.

    `first` is the answer's first line.
    """
    if may_quote and _QUOTE.match(first):
        return _QUOTE
    if may_quote and (term := _DEFINED.match(first)):
        return re.compile(rf'{_DEFINED.pattern}|[ \t]{{0,{len(term[0])}}}')
    blanks = len(first) - len(first.lstrip())
    return re.compile(
        rf'{lead}|[ \t]{{0,{blanks}}}' if lead else rf'[ \t]{{0,{blanks}}}'
    )


def _are_ruled(pieces: Sequence[page.Piece], asked: Sequence[bool]) -> bool:
    """Whether a rule ends nearly all texts: what stands below one is none."""
    above = ''
    ends: list[bool] = []
    for piece, is_asked in zip(pieces, asked, strict=True):
        if is_asked:
            ends.append(page.is_rule(above))
        above = piece.text if piece.text.strip() else above
    return sum(ends[1:]) >= max(2, questions.SHARE * len(ends[1:]))
