"""Texts whose questions and answers have labels of any spelling, to pairs.

    Q: text            Question: text      **Question:** text      ## Question
                                                                   text
    A: text            Answer: text        **Answer:** text        ## Answer
                                                                   text

    QUESTION: text     DRAFT_RESPONSE: …   SCORE: …   STRENGTHS: …   WEAKNESSES: …
    REVISED_RESPONSE: text                 <END_OF_SET>

One word for questions and one for answers are a file's labels: the commonest. In sets,
the revised response is the answer, and the other sections are left out.
"""

import collections
import dataclasses
import re
from collections.abc import Sequence

from data_pipeline.pages import characters, oversample_marks, page
from data_pipeline.pages.page import ANSWER, QUESTION

QA, SETS = 'qa', 'sets'
_QUESTIONS = (
    *('question', 'q', 'ques', 'prompt', 'instruction', 'user', 'human', 'letter'),
    *('reader', 'asker', 'q.'),
)
_ANSWERS = (
    *('answer', 'a', 'ans', 'response', 'reply', 'completion', 'output', 'assistant'),
    *('ai', 'bot', 'advice', 'columnist', 'a.'),
)
_REVISED, _DRAFT = 'revised_response', 'draft_response'
_SECTIONS = (_DRAFT, 'score', 'strengths', 'weaknesses')
_CLOSING = (*_ANSWERS, _REVISED, *_SECTIONS)  # labels that end a question
_NUMBER = r'(?:[ _]?(?:#|no\.? ?)?\d{1,6})?'
_WORDS = '|'.join(
    sorted(
        (word for word in (*_QUESTIONS, *_ANSWERS) if word.isalpha()),
        key=len,
        reverse=True,
    )
)
_SET_WORDS = '|'.join(word.replace('_', '[ _]') for word in (_REVISED, *_SECTIONS))
_BULLET = r'\s{0,3}(?:>\s?){0,3}(?:[-+•]\s+|\(?\d{1,6}[.)]\s+)?'
_COLON = re.compile(
    rf'{_BULLET}(?P<hashes>#{{0,6}})\s{{0,3}}(?P<bold>[*_]{{1,3}})?(?:\d{{1,6}}[.)]\s+)?'
    rf'\[?(?P<word>{_WORDS}|{_SET_WORDS}){_NUMBER}\]?[*_]{{0,3}}\s?[:：]'
    r'(?(bold)[*_]{0,3})[ \t]?',
    re.IGNORECASE,
)
# 'A. One' may be a choice: these count only where a file's labels are of this form.
_DOTTED = re.compile(
    rf'{_BULLET}(?P<bold>[*_]{{0,3}})(?P<word>[QA])\d{{0,6}}[.)][*_]{{0,3}}\s+'
)
# Without a colon only where the label is all of the line: a heading, or in bold.
_ALONE = re.compile(
    rf'\s{{0,3}}(?:(?P<hashes>#{{1,6}})\s{{0,3}}[*_]{{0,3}}|[*_]{{2,3}})'
    rf'(?:\d{{1,6}}[.)]\s+)?(?P<word>{_WORDS}|{_SET_WORDS}){_NUMBER}[*_]{{0,3}}[:：]?'
    r'[*_]{0,3}\s*#*\s*',
    re.IGNORECASE,
)
_INLINE = re.compile(
    r'(?<=\s)[*_]{0,3}(?P<word>A|Ans|Answer|Response)[*_]{0,3}\s?:[*_]{0,3}\s',
    re.IGNORECASE,
)
_BOLD = re.compile(r'[^\w*_]*(\*\*|__)')


@dataclasses.dataclass(frozen=True)
class _Label:
    """A label at the head of a line: its word, its end, and a heading's level or 0."""

    word: str
    end: int
    level: int


@dataclasses.dataclass
class _Pair:
    """One question, its answer, and the topic above it; still as pieces."""

    question: list[page.Piece]
    answer: list[page.Piece] | None = None
    topic: str = ''
    is_revised: bool = False


def kind(text: str) -> str:
    """'qa' or 'sets' for a text of labelled questions and answers, '' for any other."""
    _, labels = _lines(text)
    asked, answered = _words([label for label in labels if label])
    if not asked or not answered:
        return ''
    return SETS if answered == _REVISED else QA


def parse(text: str, *, file: str) -> page.Page:
    """The pairs of one file; `file` names it in the records."""
    found = page.Page(file)
    pieces, labels = _lines(text)
    asked, answered = _words([label for label in labels if label])
    source = SETS if answered == _REVISED else QA
    topic = ''
    for pair in _split(pieces, labels, (asked, answered), found):
        pair.topic = pair.topic or topic
        topic = add(
            pair.question,
            pair.answer or [],
            topic=pair.topic,
            source=source,
            found=found,
        )
    oversample_marks.weigh(found, layout=source)
    found.unknown.sort()
    return found


def _lines(text: str) -> tuple[list[page.Piece], list[_Label | None]]:
    """The lines, and the label of each; an answer in its question's line is cut off.

    'Q: Why? A: So.' -> 'Q: Why? ' and 'A: So.', unless an answer's label is the next.
    """
    pieces: list[page.Piece] = []
    labels: list[_Label | None] = []
    following = ''
    for piece in reversed(oversample_marks.split(page.raw_lines(text))):
        is_text = piece.kind == page.UNKNOWN and not piece.is_code
        label = _label(piece.text) if is_text else None
        is_open = label and label.word in _QUESTIONS and following not in _CLOSING
        if is_open and (start := _inline_answer(piece.text, label)):
            ends = [(start, piece.kind), (len(piece.text), piece.kind)]
            piece, answer = piece.cut(ends)
            pieces.append(answer)
            labels.append(_label(answer.text))
        following = label.word if label else following
        pieces.append(piece)
        labels.append(label)
    return pieces[::-1], labels[::-1]


def _inline_answer(line: str, question: _Label) -> int:
    """The start of an answer's label in its question's line, 0 for none.

    One as long as the question's comes first: 'Question: Is A: true? Answer: No.'
    """
    found = [*_INLINE.finditer(line, question.end)]
    is_letter = len(question.word.strip('.')) == 1
    found.sort(key=lambda match: (len(match['word']) == 1) != is_letter)
    return found[0].start() if found else 0


def _label(line: str) -> _Label | None:
    match = _ALONE.fullmatch(line) or _COLON.match(line)
    if not match and (match := _DOTTED.match(line)):
        return _Label(f'{match["word"].lower()}.', match.end(), 0)
    if not match:
        return None
    word = match['word'].lower().replace(' ', '_')
    return _Label(word, match.end(), len(match['hashes'] or ''))


def _words(labels: Sequence[_Label]) -> tuple[str, str]:
    """The words of questions and of answers: the commonest neighbours, '' for none.

    Neighbours are a question's label and an answer's that is the next of any answer.
    """
    if any(label.word == _REVISED for label in labels):
        asked = [label.word for label in labels if label.word in _QUESTIONS]
        return (asked[0] if asked else ''), _REVISED
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    asked = ''
    for label in labels:
        if label.word in _QUESTIONS:
            asked = label.word
        elif (asked == 'q.') != (label.word == 'a.'):
            continue  # of 'Q.' the answer is 'A.', and of no other
        elif asked and label.word in _ANSWERS:
            counts[asked, label.word] += 1
            asked = ''
    return max(counts, key=lambda pair: counts[pair]) if counts else ('', '')


def _split(
    pieces: list[page.Piece],
    labels: list[_Label | None],
    words: tuple[str, str],
    found: page.Page,
) -> list[_Pair]:
    """The pairs by their labels; every piece goes to `found.pieces` with its kind.

    A heading that stands no deeper than the question's closes an answer, as a set's
    mark does; text below it is the next pair's topic, or left out.
    """
    asked, answered = words
    sections = _SECTIONS if answered == _REVISED else ()
    pairs: list[_Pair] = []
    between: list[page.Piece] = []
    running: list[page.Piece] | None = None
    kind, level = '', 0
    for piece, label in zip(pieces, labels, strict=True):
        parts = [piece]
        word = label.word if label else ''
        if label and word == asked:
            topic = page.take_topic(between) if pairs or _is_heading(between) else ''
            found.leave_out(between)
            between, kind, level = [], QUESTION, label.level
            parts, running = _opened(piece, label, kind)
            pairs.append(_Pair(running, topic=topic.strip('#* ')))
        elif label and pairs and _opens_answer(word, answered, pairs[-1], found):
            kind = ANSWER
            parts, running = _opened(piece, label, kind)
            pairs[-1].answer = running
            found.leave_out(between)
            between = []
        elif label and word in sections and pairs:
            found.counts[f'{SETS} {word} sections left out'] += 1
            kind = f'{word} of a set'
            parts, running = _opened(piece, label, kind)
        elif piece.kind == oversample_marks.MARK:
            running = None
        elif running is not None and _closes(piece, level):
            running = None
            between.append(piece)
        elif running is None:
            between.append(piece)
        else:
            piece.kind = kind
            running.append(piece)
            if word in words:
                found.note(piece, f'kept in the {kind}')
        found.pieces += parts
    found.leave_out(between)
    return pairs


def _opens_answer(word: str, answered: str, pair: _Pair, found: page.Page) -> bool:
    """Whether a label opens the pair's answer.

    In a set ANSWER: does too, until a revised response takes its place.
    """
    if answered == _REVISED and word == answered and not pair.is_revised:
        for piece in pair.answer or []:
            piece.kind = 'first answer of a set'
        found.counts[f'{SETS} first answers left out'] += pair.answer is not None
        pair.is_revised = True
        return True
    is_label = word == answered or (answered == _REVISED and word == ANSWER)
    return is_label and pair.answer is None


def _opened(
    piece: page.Piece, label: _Label, kind: str
) -> tuple[list[page.Piece], list[page.Piece]]:
    """(the label and the text behind it, the pieces of the text that it opens)."""
    end = len(piece.text)
    bold = _BOLD.match(piece.text, 0, label.end)
    if bold and piece.text[: label.end].count(bold[1]) == 1:
        end = len(piece.text.rstrip().removesuffix(bold[1]))
    cuts = [(label.end, 'label'), (end, kind)]
    if end < len(piece.text):  # **Q: text**
        cuts.append((len(piece.text), 'label'))
    parts = piece.cut(cuts)
    return parts, [parts[1]]


def _closes(piece: page.Piece, level: int) -> bool:
    """Whether a line is a heading of the question's level, or above it."""
    heading = page.HEADING.match(piece.text) if level and not piece.is_code else None
    return heading is not None and len(heading[1]) <= level


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
) -> str:
    """Counts a question and, if it has both texts, adds its pair.

    Returns the heading that stands below the answer, '' for none.
    """
    page.end_text(question, QUESTION)
    below = page.end_text(answer, ANSWER)
    line = question[0].line
    asked = page.clean_text(question, QUESTION)
    answered = page.clean_text(answer, ANSWER)
    found.counts[f'{source} questions'] += 1
    if asked and answered:
        topic = characters.clean_line(topic)
        found.add(asked, answered, source=source, line=line, topic=topic)
    else:
        reason = 'questions unanswered' if asked else 'answers without question text'
        found.drop(line, '', f'{source} {reason}', [*question, *answer])
    return below
