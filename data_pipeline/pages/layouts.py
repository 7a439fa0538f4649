"""The layouts of written pages: their parsers, and the detection of a text's layout."""

from data_pipeline.pages import chat, chat_grammar, merged, page, reddit

PARSERS = {'chat': chat.parse, 'reddit': reddit.parse, 'merged': merged.parse}


def detect(text: str) -> str:
    """'reddit', 'chat' or 'merged'; '' for a text of no known layout."""
    if reddit.has_header(text):
        return 'reddit'
    lines = [
        (piece.clean, piece)
        for piece in chat_grammar.split_furniture(page.raw_lines(text))
    ]
    filled = [(line, piece) for line, piece in lines if line]
    stamped = labelled = 0
    above = ''
    for line, piece in filled:
        if piece.label == 'QUESTION':
            labelled += 1
            stamped += above.startswith('Guest') or bool(chat_grammar.stamp(above))
        above = line
    if labelled:
        return 'chat' if 2 * stamped >= labelled else 'merged'
    is_chat = any(
        piece.kind != page.UNKNOWN
        or chat_grammar.is_guest_stamp(line)
        or chat_grammar.is_staff_stamp(line, ())
        for line, piece in filled
    )
    return 'chat' if is_chat else ''
