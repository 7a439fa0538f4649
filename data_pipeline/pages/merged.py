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
import re

from data_pipeline.pages import (
    characters,
    chat_grammar,
    chat_speakers,
    glued_topics,
    link_cards,
    oversample_marks,
    page,
)

SOURCE = 'merged'
# Flags: of a pair whose topic stood below another's answer, and of that other one.
TOPIC_TAKEN = 'topic taken off an answer'
LINE_TAKEN = 'last line of the answer taken for a topic'

_ROLE = re.compile(r'(?:[A-Z][\w&\'’.-]*+ ){0,5}(?:[A-Z]\w*?)?[Cc]olumnist')
_GLUED_QUESTION = re.compile(r'(?<=[^\s*_#"“‘\'(])QUESTION:')


@dataclasses.dataclass
class _Pair:
    """One question with its answer, still as pieces."""

    question: list[page.Piece]
    answer: list[page.Piece] | None = None
    topic: str = ''
    topic_was_glued: bool = False
    gave_topic: bool = False
    further: page.Piece | None = None  # label of an answer to the question before
    is_shared: bool = False  # has the question of another pair


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
    opens = [piece.label.lower() for piece in pieces]
    page.mark_fields(pieces, opens, found)
    is_below = page.are_above(pieces, opens)
    pairs = _split(pieces, found)
    for pair in pairs:
        _mark_cards(pair.answer or [], found)
    _split_topics(pairs, found)
    further = [pair.further for pair in pairs if pair.further]
    if further:
        found.counts['merged further answers to a question'] = len(further)
    for piece in further if len(further) < page.FEW * len(pairs) else ():
        found.note(piece, 'read as a further answer')
    apart = page.apart(
        [pair.answer is not None for pair in pairs],
        [pair.further is not None for pair in pairs],
    )
    topic = ''
    for i, pair in enumerate(pairs):
        if is_below or i in apart:
            pieces = [*pair.question, *(pair.answer or [])]
            reason = page.BELOW if is_below else page.APART
            found.counts['merged questions'] += 1
            found.drop(pair.question[0].line, '', f'merged {reason}', pieces)
            continue
        pair.topic = pair.topic or topic
        glued_topics.end_text(pair.question, page.QUESTION)
        topic = glued_topics.end_text(pair.answer or [], page.ANSWER)
        _add(pair, found)
    found.unknown.sort()
    return found


def _split_lines(lines: list[page.Piece]) -> list[page.Piece]:
    """The lines, cut before labels that stand within them.

    Cuts before a QUESTION: glued to a word, and before the ANSWER: in the line of a
    question that has no other: people write neither.
    """
    parts = []
    for piece in lines:
        is_text = piece.kind == page.UNKNOWN and not piece.is_code
        is_text = is_text and 'QUESTION:' in piece.text
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
    for four in zip(*(filled[i:] for i in range(4)), strict=False):
        if four[0][0].lower() == 'avatar' and four[3][1].label == 'ANSWER':
            for line, piece in four[:3]:
                is_name = len(line) <= chat_speakers.LONGEST_NAME
                piece.kind = 'name and role' if is_name else piece.kind
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
            # Below 'Signed,' a name is the letter's signature.
            or (line in signing and below.label and not above_line.endswith(','))
        ):
            piece.kind = 'name and role'
            if above_line.lower() == 'avatar':
                above.kind = 'name and role'
        elif (
            answered
            and above.kind == 'name and role'
            and below.label == 'QUESTION'
            and len(line) <= glued_topics.LONGEST
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
    odd = _odd(pieces)
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
            if piece.line in odd:
                found.note(piece, f'read as the label of a text, the {kind}')
            found.leave_out(between)
            between = []
        elif label == 'ANSWER' and pairs and piece.line not in odd:
            parts = piece.split_label(page.ANSWER)
            last, running = pairs[-1], [parts[1]]
            if not any(each.text.strip() for each in last.answer):
                last.answer = running
            else:
                last.is_shared = True
                pairs.append(dataclasses.replace(last, answer=running, further=piece))
            found.leave_out(between)
            kind, between = page.ANSWER, []
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


def _odd(pieces: list[page.Piece]) -> set[int]:
    """The lines of labels before a small letter, if few are: they may be of a text."""
    behind = {
        piece.line: piece.text.partition(':')[2].lstrip(' *_"“‘')
        for piece in pieces
        if piece.label
    }
    small = {line for line, text in behind.items() if text[:1].islower()}
    return small if len(small) < page.FEW * len(behind) else set()


def _split_topics(pairs: list[_Pair], found: page.Page) -> None:
    """Takes the next post's topic off the answers."""
    below = (*pairs, None)[1:]
    answers = [
        pair.answer or [] if following is None or not following.further else []
        for pair, following in zip(pairs, below, strict=True)
    ]
    for count in glued_topics.open_counts(answers):
        count.kind = 'tally'
    topics = glued_topics.lines(answers)
    for line in glued_topics.doubtful(answers, topics):
        found.note(line, 'may be the next topic, kept in the answer')
    for i, line in topics.items():
        line.kind, pairs[i].gave_topic = 'topic', True
        if following := below[i]:
            following.topic_was_glued, following.topic = True, line.text


def _mark_cards(answer: list[page.Piece], found: page.Page) -> None:
    """Marks pictures and link previews in an answer, as in a chat's."""
    cards = page.Page(found.file)
    link_cards.mark_in_answer(answer, cards)
    link_cards.mark_last_site(answer, cards)
    for name, times in cards.counts.items():
        found.counts[name.replace('chat', SOURCE, 1)] += times
    found.unknown += cards.unknown


def _add(pair: _Pair, found: page.Page) -> None:
    """Counts the question and, if it has both texts, adds its pair."""
    line = pair.question[0].line
    question = page.clean_text(pair.question, page.QUESTION)
    answer = page.clean_text(pair.answer or [], page.ANSWER)
    found.counts['merged questions'] += 1
    if pair.gave_topic:
        found.counts['merged topics taken off answers'] += 1
    if not question or not answer:
        reason = 'questions with an empty answer'
        if not question:
            reason = 'answers without question text'
        elif pair.answer is None:
            reason = 'questions unanswered'
        pieces = [*(() if pair.is_shared else pair.question), *(pair.answer or [])]
        found.drop(line, '', f'merged {reason}', pieces)
        return
    group = f'question:{page.content_hash(question)}' if pair.is_shared else ''
    found.counts['merged questions answered'] += 1
    flags = (TOPIC_TAKEN,) * pair.topic_was_glued + (LINE_TAKEN,) * pair.gave_topic
    topic = characters.clean(pair.topic)
    found.add(
        question,
        answer,
        source=SOURCE,
        line=line,
        topic=topic,
        group=group,
        flags=flags,
    )
