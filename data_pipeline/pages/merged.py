"""Merged training files to pairs: QUESTION: and ANSWER: with nothing between pairs.

QUESTION: text
Marian Vale                              left over from the chat that it came from
Advice Columnist
ANSWER: text
The spare ladder                         the next topic, glued below the answer
QUESTION: text
OVERSAMPLE_WEIGHT: 3 <END_OF_SET>        the weight of all pairs above
"""

import dataclasses
import itertools
import pathlib
import re

from data_pipeline.pages import (
    characters,
    chat_grammar,
    chat_speakers,
    oversample_marks,
    page,
)
from hax_jax.data import records

SOURCE = 'merged'
TOPIC_TAKEN = 'topic taken off an answer'  # a flag: it may have been its last line

_ROLE = re.compile(r'(?:[A-Z][\w&\'’.-]*+ ){0,5}(?:[A-Z]\w*?)?[Cc]olumnist')
_GLUED_QUESTION = re.compile(r'(?<=[^\s*_#"“‘\'(])QUESTION:')
_TOPIC_SHARE = 0.6  # of the answers that must end like a topic before any does
_LONGEST_TOPIC = 100  # characters


@dataclasses.dataclass
class _Pair:
    """One question with its answer, still as pieces."""

    question: list[page.Piece]
    answer: list[page.Piece] | None = None
    topic: str = ''
    topic_was_glued: bool = False


def parse(text: str, *, file: str) -> page.Page:
    """The pairs of one merged file; `file` names it in the records."""
    found = read(oversample_marks.split(page.raw_lines(text)), file=file)
    oversample_marks.weigh(found, layout=SOURCE)
    return found


def read(lines: list[page.Piece], *, file: str) -> page.Page:
    """The pairs of a file's lines, or of some of them, before sets have weights."""
    found = page.Page(file)
    pieces = _split_lines(chat_grammar.split_furniture(lines))
    _mark_chat_lines(pieces)
    pairs = _split(pieces, found)
    _split_topics(pairs)
    for pair in pairs:
        _add(pair, found)
    return found


def _split_lines(lines: list[page.Piece]) -> list[page.Piece]:
    """The lines, cut before labels that stand within them.

    Cuts before a QUESTION: glued to a word, and before the ANSWER: in the line of a
    question that has no other: people write neither.
    """
    parts = []
    for piece in lines:
        is_text = piece.kind == page.UNKNOWN and 'QUESTION:' in piece.text
        glued = _GLUED_QUESTION.finditer(piece.text) if is_text else ()
        ends = [*(match.start() for match in glued), len(piece.text)]
        parts += piece.cut((end, piece.kind) for end in ends)
    out = []
    following = ''  # the next label below
    for piece in reversed(parts):
        label = piece.label
        at = piece.text.find(' ANSWER: ') + 1 if label == 'QUESTION' else 0
        if at and following != 'ANSWER':
            ends = [at, len(piece.text)]
            out += reversed(piece.cut((end, piece.kind) for end in ends))
        else:
            out.append(piece)
        following = label or following
    return out[::-1]


def _mark_chat_lines(pieces: list[page.Piece]) -> None:
    """Marks names, roles, stamps and pictures, and numbers below footers.

    Also marks a topic between the name and role that close an answer and a QUESTION:.
    """
    lines = [(piece.clean, piece) for piece in pieces]
    filled = [(line, piece) for line, piece in lines if line]
    # Names may be missing in the rest of a merged file.
    signing = chat_speakers.recurring_names(
        [
            line
            for (line, _), (_, below) in itertools.pairwise(filled)
            if below.label == 'ANSWER'
        ],
        one_in=10,
    )
    signing |= {
        line
        for (line, _), (below, _) in itertools.pairwise(filled)
        if chat_speakers.NAME.fullmatch(line) and _ROLE.fullmatch(below)
    }
    in_answer = answered = False  # whether below ANSWER:, and below text of it
    nothing = ('', page.Piece(0, '', ''))
    for (above_line, above), (line, piece), (below_line, below) in zip(
        [nothing, *filled], filled, [*filled[1:], nothing], strict=False
    ):
        if piece.kind != page.UNKNOWN:
            continue
        if label := piece.label:
            in_answer = label == 'ANSWER'
            answered = in_answer and not line.endswith(':')
        elif above.kind in ('footer', 'tally') and chat_grammar.is_number(line):
            piece.kind = 'tally'
        elif chat_grammar.is_guest_stamp(line):
            piece.kind = 'stamp'
        elif line == 'image' and below.label:
            piece.kind = 'image'
        elif (
            _ROLE.fullmatch(line)
            or (chat_speakers.NAME.fullmatch(line) and _ROLE.fullmatch(below_line))
            or (line in signing and below.label)
        ):
            piece.kind = 'name and role'
            if above_line.lower() == 'avatar':
                above.kind = 'name and role'
        elif (
            answered
            and above.kind == 'name and role'
            and below.label == 'QUESTION'
            and len(line) <= _LONGEST_TOPIC
        ):
            piece.kind = 'topic'
        else:
            answered = in_answer


def _split(pieces: list[page.Piece], found: page.Page) -> list[_Pair]:
    """The pairs by their labels; every piece goes to `found.pieces` with its kind.

    A footer and a set's mark close a pair: below them stands the next one's topic.
    """
    pairs: list[_Pair] = []
    kind, running = '', None  # the kind of the text that is open, and its pieces
    closing_topic = ''
    between: list[page.Piece] = []
    for piece in pieces:
        parts = [piece]
        label = piece.label
        if label == 'QUESTION' or (label and pairs and pairs[-1].answer is None):
            kind = label.lower()
            parts = piece.split_label(kind)
            running = [parts[1]]
            if kind == page.QUESTION:
                topic = page.take_topic(between) if pairs else ''
                pairs.append(_Pair(running, topic=topic or closing_topic))
                closing_topic = ''
            else:
                pairs[-1].answer = running
            found.leave_out(between)
            between = []
        elif piece.kind in ('footer', 'tally', oversample_marks.MARK):
            running = None
        elif piece.kind == 'topic':
            closing_topic = piece.text
        elif piece.kind == page.UNKNOWN and running is None:
            between.append(piece)
        elif piece.kind == page.UNKNOWN:
            piece.kind = kind
            running.append(piece)
            if label:
                found.note(piece, f'kept in the {kind}')
        found.pieces += parts
    found.leave_out(between)
    found.unknown.sort()
    return pairs


def _split_topics(pairs: list[_Pair]) -> None:
    """Takes the next post's topic off the answers, in a file where most have one.

    One such line may be the answer's own last line; if most answers end so, it is the
    layout.
    """
    answered = [
        (pair.answer, following)
        for pair, following in itertools.pairwise(pairs)
        if pair.answer
    ]
    ending = [
        (answer[-1], following)
        for answer, following in answered
        if _ends_like_topic(answer)
    ]
    if len(ending) < max(2, _TOPIC_SHARE * len(answered)):
        return
    for piece, following in ending:
        piece.kind = 'topic'
        following.topic = piece.text
        following.topic_was_glued = True


def _ends_like_topic(answer: list[page.Piece]) -> bool:
    """Whether the last line is short, without a full stop, and text is above it."""
    if len(answer) < 2:
        return False
    last, above = answer[-1].clean, answer[-2].clean
    return bool(last and above) and len(last) <= _LONGEST_TOPIC and last[-1] not in '.,'


def _add(pair: _Pair, found: page.Page) -> None:
    """Counts the question and, if it has both texts, adds its pair."""
    line = pair.question[0].line
    question = page.clean_text(pair.question, page.QUESTION)
    answer = page.clean_text(pair.answer or [], page.ANSWER)
    found.counts['merged questions'] += 1
    if pair.topic_was_glued:
        found.counts['merged topics taken off answers'] += 1
    if not question or not answer:
        reason = 'questions with an empty answer'
        if not question:
            reason = 'answers without question text'
        elif pair.answer is None:
            reason = 'questions unanswered'
        pieces = [*pair.question, *(pair.answer or [])]
        found.drop(line, '', f'merged {reason}', pieces)
        return
    found.counts['merged questions answered'] += 1
    stem = pathlib.PurePath(found.file).stem
    pair_id = f'merged:{stem}:{page.content_hash(question, answer)}'
    found.pairs.append(
        records.QaPair(
            id=pair_id,
            group=pair_id,
            source=SOURCE,
            file=found.file,
            line=line,
            topic=characters.clean(pair.topic),
            time='',
            question=question,
            answer=answer,
            flags=(TOPIC_TAKEN,) if pair.topic_was_glued else (),
        )
    )
