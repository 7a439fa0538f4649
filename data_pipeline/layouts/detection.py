"""The layouts of written pages: their parsers, and the detection of a text's layout."""

from data_pipeline.faq import faq_pages
from data_pipeline.layouts import (
    frame_lines,
    label_lines,
    labelled,
    letters,
    named_chats,
)
from data_pipeline.pages import chat, chat_grammar, merged, page, reddit

PARSERS = {
    'chat': chat.parse,
    'reddit': reddit.parse,
    'merged': merged.parse,
    labelled.QA: labelled.parse,
    labelled.SETS: labelled.parse,
    letters.SOURCE: letters.parse,
    faq_pages.SOURCE: faq_pages.parse,
    named_chats.SOURCE: named_chats.parse,
}
_FEWEST_PUT_TOGETHER = 3  # questions of each of two files that are one
_OF_LABELS = (merged.SOURCE, labelled.QA, labelled.SETS)
_FRAMED = (*_OF_LABELS, letters.SOURCE)
_MOST_FRAMES = 3  # one around another, with a headline between them


def parse(text: str, *, layout: str, file: str) -> page.Page:
    """The pairs of a text of a layout; `file` names it in the records.

    A chat may stand below a merged file's pairs. Labels of another form below all of a
    file's own are those of another file that was put behind it. Others within its texts
    that may begin pairs are reported. Lines between nearly all pairs are left out.
    """
    found = _parsed(text, layout=layout, file=file)
    frame: dict[int, str] = {}
    for _ in range(_MOST_FRAMES if layout in _FRAMED else 0):
        if not (more := frame_lines.find(found)):
            break
        frame |= more
        text = frame_lines.without(text, more)
        found = _parsed(text, layout=layout, file=file)
    frame_lines.put_back(found, frame)
    return found


def _parsed(text: str, *, layout: str, file: str) -> page.Page:
    """The same of a text with the lines between its pairs."""
    if layout in (merged.SOURCE, 'chat') and (at := _start_of_chat(text)):
        lines = [piece.text for piece in page.raw_lines(text)]
        above = parse('\n'.join(lines[:at]), layout=merged.SOURCE, file=file)
        above.append(parse('\n'.join(lines[at:]), layout='chat', file=file), lines=at)
        return above
    found = PARSERS[layout](text, file=file)
    if layout in _OF_LABELS:
        others = label_lines.others(found.pieces)
        own = max((p.line for p in found.pieces if p.kind == 'label'), default=0)
        if others and own < others[0].line:
            lines = [piece.text for piece in page.raw_lines(text)]
            at = others[0].line - 1
            below = '\n'.join(lines[at:])
            if (other := detect(below)) in _OF_LABELS:
                above = PARSERS[layout]('\n'.join(lines[:at]), file=file)
                above.append(parse(below, layout=other, file=file), lines=at)
                return above
        known = {line for line, _, _ in found.unknown}
        for piece in others:
            if piece.line not in known:
                found.note(piece, f'a label of another form, kept in the {piece.kind}')
        found.unknown.sort()
    return found


def _start_of_chat(text: str) -> int:
    """The number of lines above a chat that stands below a merged file's pairs, or 0.

    All questions of the chat have a stamp, none of those above has one, and no footer.
    """
    pieces = chat_grammar.split_furniture(page.raw_lines(text))
    filled = [(each.clean, each) for each in pieces if each.clean]
    above = merged_pairs = start = 0
    stamped = []
    for i, (line, piece) in enumerate(filled):
        is_staff = chat_grammar.is_staff_stamp(line, ())
        if piece.label == 'QUESTION':
            stamped.append(i > 0 and _is_stamp(filled[i - 1][0]))
            if not stamped[-1]:
                merged_pairs, start = merged_pairs + 1, 0
            elif not start:
                start = filled[max(i - 2, 0)][1].line
        elif is_staff and not start:
            start = piece.line
        elif piece.kind != page.UNKNOWN and not start:
            above += 1
    chats = sum(stamped)
    is_one = min(merged_pairs, chats) >= _FEWEST_PUT_TOGETHER and not above
    return start - 1 if is_one and stamped == sorted(stamped) else 0


def _is_stamp(line: str) -> bool:
    return line.startswith('Guest') or bool(chat_grammar.stamp(line))


def detect(text: str) -> str:
    """The name of a layout of `PARSERS`; '' for a text of no known layout."""
    if reddit.has_header(text):
        return 'reddit'
    if (kind := labelled.kind(text)) == labelled.SETS:
        return kind
    lines = [
        (piece.clean, piece)
        for piece in chat_grammar.split_furniture(page.raw_lines(text))
    ]
    filled = [(line, piece) for line, piece in lines if line]
    stamped = questions = answers = 0
    above = ''
    for line, piece in filled:
        if piece.label == 'QUESTION':
            questions += 1
            stamped += _is_stamp(above)
        answers += piece.label == 'ANSWER'
        above = line
    if questions and kind and not answers:
        return kind  # QUESTION: and RESPONSE:
    if questions:
        return 'chat' if 2 * stamped >= questions else 'merged'
    is_chat = any(
        piece.kind != page.UNKNOWN
        or chat_grammar.is_guest_stamp(line)
        or chat_grammar.is_staff_stamp(line, ())
        for line, piece in filled
    )
    if is_chat:
        return 'chat'
    if kind or letters.are_letters(text):
        return kind or letters.SOURCE
    if faq_pages.are_questions(text):
        return faq_pages.SOURCE
    return named_chats.SOURCE if named_chats.are_chats(text) else ''
