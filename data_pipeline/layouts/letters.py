"""Letters to a columnist and the replies, as newspapers print them, to pairs.

    DEAR ABBY: My neighbour sings. -- TIRED IN TEXAS
    DEAR TIRED: Ask him to hum.           or GENTLE READER:, TIRED:, ABBY:

The columnist is the name that most letters begin with. Both salutations are labels; a
signature belongs to its letter. A reply may open with a name alone: the columnist's, or
the first words of its letter's signature.
"""

import collections
import itertools
import re
from collections.abc import Sequence

from data_pipeline.layouts import labelled
from data_pipeline.pages import glued_topics, page

SOURCE = 'letters'
_NAME = r'(?P<name>[^\W\d_][\w .&’\'“”"()-]{0,60}?)'
_CAPITALS = re.compile(
    rf'\s{{0,3}}[*_]{{0,3}}(?:DEAR|(?=G(?i:entle reader))) ?{_NAME}[*_]{{0,3}}\s?[:,]'
    r'[*_]{0,3} ?'
)
_SMALL = re.compile(
    rf'\s{{0,3}}[*_]{{0,3}}(?:Dear|(?=G(?i:entle reader))) ?{_NAME}[*_]{{0,3}}\s?[:,]'
    r'[*_]{0,3} ?'
)
# Above the first letter of a page: its title, the columnist, the date.
_MOST_ABOVE, _LONGEST_ABOVE = 8, 120  # lines, characters
_FEWEST = 3  # letters with a reply, below any text
_REPLY = re.compile(rf'\s{{0,3}}[*_]{{0,3}}{_NAME}[*_]{{0,3}}\s?:[*_]{{0,3}} ?')
# The last line of a letter: a dash and a name, or a few words.
_SIGNED = re.compile(r'(?:(?:.*\s)?[*_]{0,3}(?:--?|[–—~])\s?)?[*_]{0,3}(.{1,80})')


def are_letters(text: str) -> bool:
    """Whether letters to one name, each with a reply to another name, make the text."""
    return bool(_pattern(page.raw_lines(text)))


def parse(text: str, *, file: str) -> page.Page:
    """The pairs of one file of letters; `file` names it in the records."""
    found = page.Page(file)
    pieces = page.raw_lines(text)
    pattern = _pattern(pieces) or _CAPITALS
    columnist = _columnist(pieces, pattern)
    ends = _ends(columnist)
    between: list[page.Piece] = []
    letters: list[tuple[list[page.Piece], list[page.Piece]]] = []
    running = between
    heads = _heads(pieces, pattern)
    page.ends_records(pieces)
    kind = page.UNKNOWN
    closed: set[int] = set()  # letters below whose reply no headline stands
    for i, piece in enumerate(pieces):
        match = None if piece.is_code else pattern.match(piece.text)
        parts = [piece]
        if i in heads:
            kind, end = heads[i]
            parts = piece.cut([(end, 'label'), (len(piece.text), kind)])
            if kind == page.QUESTION:
                letters.append(([], []))
            running = letters[-1][kind == page.ANSWER]
            running.append(parts[1])
        elif piece.kind == page.RECORD:
            running, kind = between, page.UNKNOWN
        elif kind == page.ANSWER and (
            (match and _folded(match['name']).startswith('reader'))
            or ends.match(piece.text)
        ):
            # A word to all readers, or of the newspaper: it answers no letter.
            running, kind = between, page.UNKNOWN
            running.append(piece)
            closed.add(len(letters) - 1)
        else:
            piece.kind = kind
            running.append(piece)
        found.pieces += parts
    found.leave_out(between)
    is_first_named = any(each.clean for each in pieces[: min(heads, default=0)])
    replies = [[] if i in closed else reply for i, (_, reply) in enumerate(letters)]
    topics = glued_topics.headlines(replies, is_first_named=is_first_named)
    found.counts[f'{SOURCE} topics taken off answers'] += len(topics)
    for i, (letter, reply) in enumerate(letters):
        if i in topics:
            topics[i].kind = 'topic'
        topic = topics[i - 1].text.strip('#* ') if i - 1 in topics else ''
        labelled.add(letter, reply, topic=topic, source=SOURCE, found=found)
    found.unknown.sort()
    return found


def _heads(
    pieces: Sequence[page.Piece], pattern: re.Pattern[str]
) -> dict[int, tuple[str, int]]:
    """The lines that open a letter or its reply: (the kind of its text, its start)."""
    columnist = _columnist(pieces, pattern)
    made: dict[int, tuple[str, int]] = {}
    signed = ''  # of the letter that is open
    is_open = False
    for i, piece in enumerate(pieces):
        match = None if piece.is_code else pattern.match(piece.text)
        if match and _folded(match['name']) == columnist:
            is_open, signed = True, _signature(piece.clean)
            made[i] = page.QUESTION, match.end()
            continue
        bare = _REPLY.match(piece.text) if is_open and not piece.is_code else None
        if is_open and (match or (bare and _opens(bare['name'], columnist, signed))):
            is_open = False
            whole = _whole(match, signed) if match else None
            made[i] = page.ANSWER, (whole or match or bare).end()
        elif is_open and piece.text.strip():
            signed = _signature(piece.clean)
    return made


def _signature(line: str) -> str:
    """The name that a letter's last line signs, as far as that line tells."""
    found = _SIGNED.fullmatch(line)
    return found[1] if found else ''


def _whole(head: re.Match[str], signed: str) -> re.Match[str] | None:
    """A salutation to a whole signature that has a comma: 'Dear Bride, 29,'."""
    name = re.escape(signed.strip(' *_,:'))
    ends = re.compile(rf'{name}[*_]{{0,3}}\s?[:,][*_]{{0,3}} ?', re.IGNORECASE)
    return ends.match(head.string, head.start('name')) if ',' in signed else None


def _opens(name: str, columnist: str, signed: str) -> bool:
    """Whether a name is the columnist's, or the first words of a signature.

    'Carolyn', 'Carolyn Hax'; 'Tired' of 'Tired in Texas'.
    """
    first, *last = name.rsplit(maxsplit=1)
    is_whole = bool(last) and last[0][0].isupper() and _folded(first) == columnist
    return is_whole or any(
        f'{_folded(each)} '.startswith(f'{_folded(name)} ')
        for each in (columnist, signed)
    )


def _pattern(pieces: Sequence[page.Piece]) -> re.Pattern[str] | None:
    """The salutation by which a text is letters: in capitals, or else in small ones.

    Small ones open any letter, so only headings and titles stand above the first,
    unless several letters have a reply.
    """
    for pattern in (_CAPITALS, _SMALL):
        kinds = [kind for kind, _ in _heads(pieces, pattern).values()]
        if page.ANSWER in kinds and (
            pattern is _CAPITALS
            or kinds.count(page.ANSWER) >= _FEWEST
            or _opens_page(pieces, pattern)
        ):
            return pattern
    return None


def _opens_page(pieces: Sequence[page.Piece], pattern: re.Pattern[str]) -> bool:
    """Whether nothing but headings and a few short lines is above the first letter."""
    texts = (p.clean for p in pieces if p.clean and not page.HEADING.match(p.text))
    above = list(itertools.takewhile(lambda text: not pattern.match(text), texts))
    return len(above) <= _MOST_ABOVE and all(
        len(text) <= _LONGEST_ABOVE and text[-1] not in '.,:;' for text in above
    )


def _columnist(pieces: Sequence[page.Piece], pattern: re.Pattern[str]) -> str:
    """The commonest name, the first of several; all readers may have one name."""
    matches = (pattern.match(each.text) for each in pieces if not each.is_code)
    counts = collections.Counter(_folded(each['name']) for each in matches if each)
    return max(counts, key=lambda name: counts[name]) if counts else ''


def _ends(columnist: str) -> re.Pattern[str]:
    """Lines below a reply: a word to one reader without a letter, the paper's own."""
    name = rf'(?:dear )?{re.escape(columnist)}'
    address = rf'\w*{re.escape("".join(columnist.split()))}\w*'
    return re.compile(
        r'\W{0,6}(?:CONFIDENTIAL TO\b'
        r'|(?i:(?:(?:you can |please )?(?:write|email|contact|send)|questions for)'
        rf'.{{0,40}}(?:\b{name}\b.{{0,60}}(?:\bat\b|@|\bto\b)|{address}@)'
        rf'|{name} (?:is|was) (?:written|founded)\b))'
    )


def _folded(name: str) -> str:
    return ' '.join(name.lower().split())
