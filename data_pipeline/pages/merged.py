"""Merged training files to pairs: QUESTION: and ANSWER: with nothing between pairs.

QUESTION: text
Marian Vale                              residue of the chat that it came from
Advice Columnist
ANSWER: text
The spare ladder                         the next topic, glued below the answer
QUESTION: text
OVERSAMPLE_WEIGHT: 3 <END_OF_SET>        the weight of all pairs above (set_marks)
"""

import collections
import dataclasses
import itertools
import pathlib
import re

from data_pipeline.pages import chat_lines, clean, parsed, set_marks
from hax_jax.data import records

SOURCE = 'merged'

_ROLE = re.compile(r'(?:[A-Z][\w&\'’.-]*+ ){0,5}(?:[A-Z]\w*?)?[Cc]olumnist')
_NAME = re.compile(r'[A-Z][\w.’\'-]*(?: [A-Z][\w.’\'-]*){1,3}')
_GLUED_QUESTION = re.compile(r'(?<=[^\s*_#"“‘\'(])QUESTION:')
_TOPIC_SHARE = 0.6  # of the answers that must end like a topic before any does
_LONGEST_TOPIC = 100  # characters


@dataclasses.dataclass
class _Pair:
    """One question with its answer, still as pieces."""

    question: list[parsed.Piece]
    answer: list[parsed.Piece] | None = None
    topic: str = ''
    topic_was_glued: bool = False


def parse(text: str, *, file: str) -> parsed.Parsed:
    """The pairs of one merged file; `file` names it in the records."""
    result = read(set_marks.split(parsed.raw_lines(text)), file=file)
    set_marks.weigh(result, layout=SOURCE)
    return result


def read(lines: list[parsed.Piece], *, file: str) -> parsed.Parsed:
    """The pairs of a file's lines, or of some of them, before sets have weights."""
    pieces = _split_lines(chat_lines.split_furniture(lines))
    _mark_residue(pieces)
    result = parsed.Parsed(pieces=[])
    pairs = _split(pieces, result)
    _split_topics(pairs)
    for pair in pairs:
        _add(pair, file=file, result=result)
    return result


def _split_lines(lines: list[parsed.Piece]) -> list[parsed.Piece]:
    """The lines, cut before labels that stand within them.

    Before a QUESTION: glued to a word, and before the ANSWER: of a question that has
    no other: people write neither so.
    """
    parts = []
    for piece in lines:
        ends = [len(piece.text)]
        if piece.kind == parsed.UNKNOWN and 'QUESTION:' in piece.text:
            found = _GLUED_QUESTION.finditer(piece.text)
            ends = [*(match.start() for match in found), *ends]
        for start, end in itertools.pairwise([0, *ends]):
            parts.append(parsed.Piece(piece.line, piece.text[start:end], piece.kind))
    out = []
    following = ''  # the next label below
    for piece in reversed(parts):
        label = chat_lines.label(piece.text) if piece.kind == parsed.UNKNOWN else ''
        at = piece.text.find(' ANSWER: ') + 1 if label == 'QUESTION' else 0
        if at and following != 'ANSWER':
            out.append(parsed.Piece(piece.line, piece.text[at:], piece.kind))
            piece = parsed.Piece(piece.line, piece.text[:at], piece.kind)
        out.append(piece)
        following = label or following
    return out[::-1]


def _mark_residue(pieces: list[parsed.Piece]) -> None:
    """Gives names, roles, stamps and pictures, and numbers below footers, a kind.

    So too a topic between the name and role that close an answer and a QUESTION:.
    """
    filled = [
        (clean.line(piece.text), piece) for piece in pieces if clean.line(piece.text)
    ]
    bylines = {
        line
        for (line, _), (below, _) in itertools.pairwise(filled)
        if _NAME.fullmatch(line) and _ROLE.fullmatch(below)
    }
    signing = _signing_names(filled) | bylines
    in_answer = answered = False  # whether below ANSWER:, and below text of it
    for i, (line, piece) in enumerate(filled):
        above = filled[i - 1] if i else ('', piece)
        below = filled[i + 1] if i + 1 < len(filled) else ('', piece)
        if piece.kind != parsed.UNKNOWN:
            continue
        next_label = chat_lines.label(below[1].text)
        if label := chat_lines.label(piece.text):
            in_answer = label == 'ANSWER'
            answered = in_answer and not line.endswith(':')
        elif above[1].kind in ('footer', 'tally') and chat_lines.is_number(line):
            piece.kind = 'tally'
        elif chat_lines.is_guest_stamp(line):
            piece.kind = 'stamp'
        elif line == 'image' and next_label:
            piece.kind = 'image'
        elif (
            _ROLE.fullmatch(line)
            or (_NAME.fullmatch(line) and _ROLE.fullmatch(below[0]))
            or (line in signing and next_label)
        ):
            piece.kind = 'name and role'
            if above[0].lower() == 'avatar':
                above[1].kind = 'name and role'
        elif (
            answered
            and above[1].kind == 'name and role'
            and next_label == 'QUESTION'
            and len(line) <= _LONGEST_TOPIC
        ):
            piece.kind = 'topic'
        else:
            answered = in_answer


def _signing_names(filled: list[tuple[str, parsed.Piece]]) -> set[str]:
    """Names alone above a tenth of the answers, three of them or more.

    The rest of a merged file may have come without names.
    """
    above = [
        line
        for (line, _), (_, below) in itertools.pairwise(filled)
        if chat_lines.label(below.text) == 'ANSWER'
    ]
    names = collections.Counter(line for line in above if _NAME.fullmatch(line))
    fewest = max(3, len(above) / 10)
    return {name for name, times in names.items() if times >= fewest}


def _split(pieces: list[parsed.Piece], result: parsed.Parsed) -> list[_Pair]:
    """The pairs by their labels; every piece goes to `result.pieces` with its kind.

    A footer and a set's mark close a pair: below them stands the next one's topic.
    """
    pairs: list[_Pair] = []
    answering, closed = False, True
    closing_topic = ''
    between: list[parsed.Piece] = []
    for piece in pieces:
        parts = [piece]
        label = chat_lines.label(piece.text) if piece.kind == parsed.UNKNOWN else ''
        if label == 'QUESTION':
            parts = chat_lines.split_label(piece, parsed.QUESTION)
            topic = _topic_between(between) if pairs else ''
            topic, closing_topic = topic or closing_topic, ''
            _leave_out(between, result)
            pairs.append(_Pair(question=[parts[1]], topic=topic))
            answering, closed, between = False, False, []
        elif label == 'ANSWER' and pairs and not answering:
            parts = chat_lines.split_label(piece, parsed.ANSWER)
            pairs[-1].answer = [parts[1]]
            _leave_out(between, result)
            answering, closed, between = True, False, []
        elif piece.kind in ('footer', 'tally', set_marks.MARK):
            closed = True
        elif piece.kind == 'topic':
            closing_topic = piece.text
        elif piece.kind == parsed.UNKNOWN and closed:
            between.append(piece)
        elif piece.kind == parsed.UNKNOWN:
            running = pairs[-1].question if not answering else pairs[-1].answer
            piece.kind = parsed.ANSWER if answering else parsed.QUESTION
            (running or []).append(piece)
            if label:
                result.unknown.append(
                    (piece.line, piece.text, f'kept in the {piece.kind}')
                )
        result.pieces += parts
    _leave_out(between, result)
    result.unknown.sort()
    return pairs


def _topic_between(between: list[parsed.Piece]) -> str:
    """The last line between two pairs."""
    filled = [piece for piece in between if piece.text.strip()]
    if not filled:
        return ''
    filled[-1].kind = 'topic'
    return filled[-1].text


def _leave_out(pieces: list[parsed.Piece], result: parsed.Parsed) -> None:
    """Reports what stands between two pairs and is no topic."""
    for piece in pieces:
        if not piece.text.strip():
            piece.kind = 'blank'
        elif piece.kind == parsed.UNKNOWN:
            result.unknown.append((piece.line, piece.text, 'left out'))


def _split_topics(pairs: list[_Pair]) -> None:
    """Takes the next post's topic off the answers, in a file where most have one.

    One such line could be the answer's own last line; where most answers end so, it
    is the layout.
    """
    answered = [
        (pair, following)
        for pair, following in itertools.pairwise(pairs)
        if pair.answer is not None
    ]
    ending = [
        (pair.answer[-1], following)
        for pair, following in answered
        if pair.answer is not None and _ends_like_topic(pair.answer)
    ]
    if len(ending) < max(2, _TOPIC_SHARE * len(answered)):
        return
    for piece, following in ending:
        piece.kind = 'topic'
        following.topic = piece.text
        following.topic_was_glued = True


def _ends_like_topic(answer: list[parsed.Piece]) -> bool:
    """A short last line with no blank line on either side and no full stop."""
    if len(answer) < 2:
        return False
    last, above = clean.line(answer[-1].text), clean.line(answer[-2].text)
    return bool(last and above) and len(last) <= _LONGEST_TOPIC and last[-1] not in '.,'


def _add(pair: _Pair, *, file: str, result: parsed.Parsed) -> None:
    result.counts['merged questions'] += 1
    question = clean.text(parsed.join(pair.question, parsed.QUESTION))
    answer = clean.text(parsed.join(pair.answer or [], parsed.ANSWER))
    if pair.topic_was_glued:
        result.counts['merged topics taken off answers'] += 1
    if not question or not answer:
        if not question:
            kind = 'answers without question text'
        elif pair.answer is None:
            kind = 'questions unanswered'
        else:
            kind = 'questions with an empty answer'
        result.counts[f'merged {kind}'] += 1
        result.dropped.append((pair.question[0].line, '', f'merged {kind}'))
        parsed.leave_without_pair([*pair.question, *(pair.answer or [])])
        return
    result.counts['merged questions answered'] += 1
    stem = pathlib.PurePath(file).stem
    pair_id = f'merged:{stem}:{parsed.content_hash(question, answer)}'
    result.pairs.append(
        records.QaPair(
            id=pair_id,
            group=pair_id,
            source=SOURCE,
            file=file,
            line=pair.question[0].line,
            topic=clean.text(pair.topic),
            time='',
            question=question,
            answer=answer,
            flags=('topic taken off an answer',) if pair.topic_was_glued else (),
        )
    )
