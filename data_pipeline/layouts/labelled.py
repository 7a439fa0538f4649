"""Texts whose questions and answers have labels of any spelling, to pairs.

    Q: text            Question: text      **Question:** text      ## Question
                                                                   text
    A: text            Answer: text        **Answer:** text        ## Answer
                                                                   text

    QUESTION: text     DRAFT_RESPONSE: …   SCORE: …   STRENGTHS: …   WEAKNESSES: …
    REVISED_RESPONSE: text                 <END_OF_SET>

    <BEGIN_EXAMPLE>    QUESTION: text      DRAFT_RESPONSE: …   OUTPUT: text

One word for questions and one for answers are a file's labels: the commonest. In sets,
the revised response is the answer, and the other sections are left out.
"""

import dataclasses
import itertools
import re
from collections.abc import Sequence

from data_pipeline.faq import below_pairs
from data_pipeline.layouts import (
    edge_marks,
    label_forms,
    label_lines,
    name_lines,
    section_ends,
)
from data_pipeline.pages import characters, glued_topics, oversample_marks, page
from data_pipeline.pages.page import ANSWER, QUESTION

QA, SETS = 'qa', 'sets'
SECTION = 'section'
_CHOICE = re.compile(r'[\s*_#>-]{0,9}B\d{0,6}[*_]{0,3}(?:[.:)]| [-–—])')
_LIKE_SECTION = re.compile(r'[A-Z]{2,}(?:_[A-Z]{2,})+:')
_FIELD = re.compile(r'[\w-]+:(?:\s|\Z)')
_OF_PROGRAM = re.compile(r'\s*([\'"`]).*\1,\s*')


@dataclasses.dataclass
class _Pair:
    """One question, its answer, and the topic above it; still as pieces."""

    question: list[page.Piece]
    answer: list[page.Piece] | None = None
    topic: str = ''
    is_revised: bool = False
    further: page.Piece | None = None  # label of an answer to the question before
    sign: str = ''  # of the answer's label
    asked_sign: str = ''  # of the question's
    sections: set[str] = dataclasses.field(default_factory=set)  # of a set, so far


def kind(text: str) -> str:
    """'qa' or 'sets' for a text of labelled questions and answers, '' for any other."""
    pieces, labels = label_lines.lines(text)
    asked, answered = label_lines.words([label for label in labels if label])
    if not asked or not answered:
        return ''
    texts = [
        piece.text[label.end :]
        for piece, label in zip(pieces, labels, strict=True)
        if label and label.word == asked
    ]
    if 2 * sum(map(bool, map(_OF_PROGRAM.fullmatch, texts))) > len(texts):
        return ''  # question: 'Why?', in an object of JavaScript
    return SETS if label_lines.are_sets(labels, (asked, answered)) else QA


def parse(text: str, *, file: str) -> page.Page:
    """The pairs of one file; `file` names it in the records."""
    found = page.Page(file)
    pieces, labels = label_lines.lines(text)
    asked, answered = label_lines.words([label for label in labels if label])
    source = SETS if label_lines.are_sets(labels, (asked, answered)) else QA
    topic = ''
    labels = label_lines.without_strays(labels, (asked, answered))
    sections = label_forms.SECTIONS if source == SETS else ()
    own = (asked, answered, *sections)
    kinds = dict.fromkeys(own, SECTION) | {asked: QUESTION, answered: ANSWER}
    opens = [kinds.get(label.word, '') if label else '' for label in labels]
    page.mark_fields(pieces, opens, found)
    is_below = source == QA and page.are_above(pieces, opens)
    page.ends_records(pieces)
    splitting = _Splitting((asked, answered), found, sections=sections)
    pairs = splitting.read(pieces, labels)
    questions = [pair.question for pair in pairs]
    answers = [pair.answer or [] for pair in pairs]
    for text, times in edge_marks.cut(questions, answers, found.pieces).items():
        found.counts[f'{QA} {text}s in quotes, which were cut'] += times
    above = itertools.takewhile(lambda each: each.kind != 'label', found.pieces)
    above = [each.text for each in above if each.text.strip()]
    if source == QA:
        _leave_out_last(pairs, above, found)
        found.counts[f'{source} names above answers, left out'] += name_lines.mark(
            [pair.question for pair in pairs if not pair.further],
            [pair.answer for pair in pairs if pair.answer],
        )
    _take_topics(pairs, source, found, above=above)
    further = [pair.further for pair in pairs if pair.further]
    found.counts[f'{source} further answers to a question'] += len(further)
    if len(further) < page.FEW * len(pairs):
        for piece in further:
            found.note(piece, 'read as a further answer')
    unsure = _unsure(pairs, is_below=is_below)
    for pair, below in itertools.zip_longest(pairs, pairs[1:]):
        if reason := unsure.get(id(pair)):
            pieces = [*pair.question, *(pair.answer or [])]
            found.counts[f'{source} questions'] += 1
            found.drop(pair.question[0].line, '', f'{source} {reason}', pieces)
            continue
        pair.topic = pair.topic or topic
        is_shared = bool(pair.further or (below is not None and below.further))
        topic = add(
            pair.question,
            pair.answer or [],
            topic=pair.topic,
            source=source,
            found=found,
            is_shared=is_shared,
        )
    oversample_marks.weigh(found, layout=source)
    found.unknown.sort()
    return found


def _unsure(pairs: Sequence[_Pair], *, is_below: bool) -> dict[int, str]:
    """Why a pair is left out, by its id(): its answer may be another question's.

    `is_below` says that questions seem to stand below their answers.
    """
    if is_below:
        return {id(pair): page.BELOW for pair in pairs}
    apart = page.apart(
        [pair.answer is not None for pair in pairs],
        [pair.further is not None for pair in pairs],
    )
    return {id(pairs[i]): page.APART for i in apart}


def _leave_out_last(
    pairs: Sequence[_Pair], above: Sequence[str], found: page.Page
) -> None:
    """Leaves out the page's own text below its last answer.

    `above` has the page's lines above its first question.
    """
    answers = [pair.answer or [] for pair in pairs]
    below = (
        below_pairs.last_section(answers)
        or section_ends.below_section(above, answers)
        or below_pairs.below_last(above, answers)
    )
    for piece in below:
        piece.kind = page.UNKNOWN if piece.kind == ANSWER else piece.kind
    found.leave_out(below)


def _take_topics(
    pairs: Sequence[_Pair], source: str, found: page.Page, *, above: Sequence[str]
) -> None:
    """Takes headlines off the answers above them: those of pairs, those of sections.

    `above` has the lines above the first pair.
    """
    last = len(pairs) - 1
    answers = [pair.answer or [] for pair in pairs]
    # The questions of contents go on with the titles of the sections below them.
    asked = [each for pair in pairs if not pair.answer for each in pair.question[1:]]
    contents = [*above, *(piece.text for piece in asked)]
    for lines in glued_topics.of_contents(contents, answers).values():
        found.counts[f'{source} titles of contents taken off answers'] += len(lines)
        for line in lines:
            line.kind = 'topic'
    for i, pair in enumerate(pairs[1:]):
        if pair.further:  # no headline stands between two answers to a question
            answers[i] = []
    titles = glued_topics.capitals(above[-1] if above else '', answers)
    if source == QA:  # a set's mark stands between its answer and the next headline
        titles |= glued_topics.headlines(answers, is_first_named=bool(above))
    for i, line in titles.items():
        line.kind = 'topic'
        found.counts[f'{source} topics taken off answers'] += 1
        if i < last:
            pairs[i + 1].topic = line.text.strip('#* ')


class _Splitting:
    """The lines of a page that are parted into pairs by their labels.

    Labels of `sections` open a text of a set that is left out. A heading that stands no
    deeper than the question's closes an answer, as a set's mark does; text below it is
    the next pair's topic, or left out.
    """

    def __init__(
        self, words: tuple[str, str], found: page.Page, *, sections: Sequence[str]
    ) -> None:
        self.pairs: list[_Pair] = []
        self._words, self._found, self._sections = words, found, sections
        self._between: list[page.Piece] = []  # below a pair's end
        self._running: list[page.Piece] | None = None  # the text that is open
        self._kind, self._level, self._is_quoted = '', 0, False
        self._is_past = False  # whether the question's record has ended

    def read(
        self, pieces: list[page.Piece], labels: list[label_forms.Label | None]
    ) -> list[_Pair]:
        """The pairs; every piece goes to `found.pieces` with its kind."""
        fence = _front_matter_end(pieces, labels)
        for at, (piece, label) in enumerate(zip(pieces, labels, strict=True)):
            if label and self._opens(pieces, at, label):
                parts, text = _opened(piece, label, self._kind)
                self._running += text
            else:
                parts = self._continued(piece, label, is_fence=at == fence)
            if label and label.is_odd and piece is not parts[0]:
                kind = f'a{"n" * (self._kind == ANSWER)} {self._kind}'
                self._found.note(piece, f'read as a label of {kind}')
            self._found.pieces += parts
        self._found.leave_out(self._between)
        return self.pairs

    def _opens(
        self, pieces: Sequence[page.Piece], at: int, label: label_forms.Label
    ) -> bool:
        """Opens the text of a label: a question, an answer, a section; or says no."""
        asked, answered = self._words
        word, last = label.word, self.pairs[-1] if self.pairs else None
        self._is_quoted = pieces[at].text.lstrip().startswith('>')
        text: list[page.Piece] = []
        if word == asked:
            between = self._between
            topic = page.take_topic(between) if last or _is_heading(between) else ''
            self._kind, self._level, self._is_past = QUESTION, label.level, False
            topic = topic.strip('#* ')
            self.pairs.append(_Pair(text, topic=topic, asked_sign=label.sign))
            self._leave_out_between()
        elif not last:
            return False
        elif not (self._is_past and _has_text(self._between)) and _opens_answer(
            label, answered, last, self._found
        ):
            self._kind, last.answer, last.sign = ANSWER, text, label.sign
            self._leave_out_between()
        elif (
            word == answered
            and self._running is not None
            and label.sign == last.sign
            and _is_further(pieces, at, last)
        ):
            self._kind = ANSWER
            further = dataclasses.replace(last, answer=text, further=pieces[at])
            self.pairs.append(further)
        elif word in self._sections and self._may_open_section(word, last):
            last.sections.add(word)
            self._found.counts[f'{SETS} {word} sections left out'] += 1
            self._kind = f'{word} of a set'
        else:
            return False
        self._running = text
        return True

    def _may_open_section(self, word: str, last: _Pair) -> bool:
        """Whether a section's label is none of the revised response's own words."""
        is_above = self._words[1] == label_forms.REVISED or last.answer is None
        return is_above and not (last.is_revised and word in last.sections)

    def _leave_out_between(self) -> None:
        self._found.leave_out(self._between)
        self._between = []

    def _continued(
        self, piece: page.Piece, label: label_forms.Label | None, *, is_fence: bool
    ) -> list[page.Piece]:
        """The parts of a line that opens no text: it ends one, or is of one."""
        running = self._running
        if piece.kind in (oversample_marks.MARK, label_lines.CLOSING_TAG):
            self._running = None
        elif piece.kind == page.RECORD:
            self._is_past, self._running = True, None
        elif piece.kind == page.FIELD:
            pass  # it stands beside the texts
        elif running and page.is_rule(piece.clean) and not _has_text(running):
            piece.kind = 'label'  # the line below a heading
        elif running is None or is_fence or _closes(piece, self._level):
            self._running = None
            self._between.append(piece)
        else:
            mark = edge_marks.QUOTED.match(piece.text) if self._is_quoted else None
            cuts = [(mark.end(), 'label')] if mark else []
            parts = piece.cut([*cuts, (len(piece.text), self._kind)])
            running.append(parts[-1])
            is_own = label and label.word in (*self._words, label_forms.STRAY)
            if is_own or (self._sections and _LIKE_SECTION.match(piece.text)):
                self._found.note(piece, f'kept in the {self._kind}')
            return parts
        return [piece]


def _front_matter_end(
    pieces: Sequence[page.Piece], labels: Sequence[label_forms.Label | None]
) -> int:
    """The place of the line '---' below a front matter's fields; -1 for none."""
    rules = [i for i, each in enumerate(pieces) if each.text.rstrip() == '---'][:2]
    is_one = len(rules) == 2 and rules[0] == 0 and not labels[1]
    return rules[1] if is_one and _FIELD.match(pieces[1].text) else -1


def _opens_answer(
    label: label_forms.Label, answered: str, pair: _Pair, found: page.Page
) -> bool:
    """Whether a label opens the pair's answer.

    In a set ANSWER: does too, written as the question's label is, until a revised
    response takes its place.
    """
    word = label.word
    if answered == label_forms.REVISED and word == answered and not pair.is_revised:
        for piece in pair.answer or []:
            piece.kind = 'first answer of a set'
        found.counts[f'{SETS} first answers left out'] += pair.answer is not None
        pair.is_revised = True
        return True
    is_first = answered == label_forms.REVISED and word == ANSWER
    is_label = word == answered or (is_first and label.sign == pair.asked_sign)
    return is_label and pair.answer is None


def _is_further(pieces: Sequence[page.Piece], at: int, pair: _Pair) -> bool:
    """Whether a second label of an answer opens one more, and is no choice of several.

    'A: Leave.' above 'B: Stay.' is a choice.
    """
    below = (piece.text for piece in pieces[at + 1 :] if piece.text.strip())
    is_filled = _has_text(pair.answer or ())
    is_set = pair.is_revised
    return is_filled and not is_set and not _CHOICE.match(next(below, ''))


def _opened(
    piece: page.Piece, label: label_forms.Label, kind: str
) -> tuple[list[page.Piece], list[page.Piece]]:
    """(the label and the text behind it, the pieces of the text that it opens)."""
    end = edge_marks.end_of_emphasis(piece.text, label.end)
    cuts = [(label.end, 'label'), (end, kind)]
    if end < len(piece.text):  # **Q: text**
        cuts.append((len(piece.text), 'label'))
    parts = piece.cut(cuts)
    return parts, [parts[1]]


def _closes(piece: page.Piece, level: int) -> bool:
    """Whether a line is a heading of the question's level, or above it."""
    heading = page.HEADING.match(piece.text) if level and not piece.is_code else None
    return heading is not None and len(heading[1]) <= level


def _has_text(pieces: Sequence[page.Piece]) -> bool:
    return any(piece.text.strip() for piece in pieces)


def _is_heading(between: Sequence[page.Piece]) -> bool:
    filled = [piece for piece in between if piece.text.strip()]
    return bool(filled) and bool(page.HEADING.match(filled[-1].text))


def add(
    question: list[page.Piece],
    answer: list[page.Piece],
    *,
    topic: str,
    source: str,
    found: page.Page,
    is_shared: bool = False,
    group: str = '',
) -> str:
    """Counts a question and, if it has both texts, adds its pair.

    A `group` '' is the pair's own; pairs with a question that `is_shared` are of one.
    Returns the heading that stands below the answer, '' for none.
    """
    glued_topics.end_text(question, QUESTION)
    below = glued_topics.end_text(answer, ANSWER)
    line = question[0].line
    asked = page.clean_text(question, QUESTION)
    answered = page.clean_text(answer, ANSWER)
    found.counts[f'{source} questions'] += 1
    if asked and answered:
        topic = characters.clean_line(topic)
        group = f'question:{page.content_hash(asked)}' if is_shared else group
        found.add(asked, answered, source=source, line=line, topic=topic, group=group)
    else:
        reason = 'questions unanswered' if asked else 'answers without question text'
        own = [] if is_shared else question
        found.drop(line, '', f'{source} {reason}', [*own, *answer])
    return below
