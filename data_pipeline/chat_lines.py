"""The line grammar of a live chat: which line can be what, seen alone."""

import collections.abc
import re

from data_pipeline import clean, parsed

_NUMBER = r'(?:undefined|\d[\d.,]*[KkMm]?)'
_TAIL = (
    r'(?:Press Enter to (?:expand|collapse)|Post (?:comments )?(?:expanded|collapsed))'
)
_FOOTER = re.compile(
    rf'Post has\s+(?:{_NUMBER}|no)\s+repl(?:y|ies)\s+and\s+(?:{_NUMBER}|no)\s+Likes?'
    rf'(?:\s*(?:\d[\d.,]*[KkMm]?)?\s*{_TAIL})?',
    re.IGNORECASE,
)
_TALLY = re.compile(rf'\s*(?:{_NUMBER}\s*{_TAIL}|{_TAIL}\s*$)', re.IGNORECASE)
# Somebody who quotes a footer goes on in the same line.
_SENTENCE_GOES_ON = re.compile(r'\s+\D|[^\w\s]')
_NUMBER_ALONE = re.compile(rf'{_NUMBER}(?:\s+Likes?)?', re.IGNORECASE)

_MONTH = (
    r'(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?'
    r'|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?'
)
_WEEKDAY = r'(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*\.?'
_DATE = (
    rf'(?:{_MONTH}\s*\d{{1,2}}(?:,?\s*\d{{4}})?|\d{{1,2}}\s+{_MONTH}(?:\s+\d{{4}})?'
    r'|\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}(?:/\d{2,4})?|today|yesterday)'
)
_CLOCK = (
    r'(?:\d{1,2}(?:[:.]\d{2}){0,2}\s*(?:[ap]\.?\s?m\.?|noon|midnight)'
    r'|\d{1,2}:\d{2}(?::\d{2})?|noon|midnight)'
    r'(?:\s*\(?(?:E[SD]?T|C[SD]?T|M[SD]?T|P[SD]?T|UTC|GMT|Eastern)\)?)?'
)
_AGO = (
    r'(?:\d+|an?)\s*(?:s|sec|m|min|h|hr|hour|minute|second|day|d|week|w|month)s?\s+ago'
)
_STAMP = (
    rf'(?:(?:{_WEEKDAY},?\s*)?(?:{_DATE},?\s*(?:at\s+)?)?{_CLOCK}'
    rf'|(?:{_WEEKDAY},?\s*)?{_DATE}|{_AGO}|just now)'
)
_STAMPED = re.compile(rf'(?P<name>.*?)\s*(?P<time>{_STAMP})', re.IGNORECASE)
_NAME = r'[A-Z][\w.’\'-]*(?: (?:[a-z]{2,3} )?[A-Z][\w.’\'-]*){0,3}'
_ROLE_WORDS = (
    r'(?:Columnist|Producer|Editor|Host|Reporter|Moderator|Writer|Staff|Critic|Team'
    r'|Engineer|Manager|Director|Intern|Assistant|Author)'
)
_NAME_AND_ROLE = re.compile(rf'{_NAME}[\s,|·-]*[\w,/&\' -]*?{_ROLE_WORDS}')
_HELPING_ROLE = re.compile(
    r'producer|editor|moderator|staff|reporter|engineer|manager|director|intern'
    r'|assistant|team',
    re.IGNORECASE,
)
_ANSWERING_ROLE = re.compile(r'advice|advisor|adviser|host|author|critic|writer', re.I)
_LABEL = re.compile(r'\s*(QUESTION|ANSWER)\s*:')


def split_furniture(
    lines: collections.abc.Iterable[parsed.Piece],
) -> list[parsed.Piece]:
    """The lines, with glued footers and tallies in pieces of their own.

    'Thanks.Post has 1 reply and 1 Like' -> 'Thanks.', 'Post has 1 reply and 1 Like'
    """
    pieces = []
    for piece in lines:
        rest = piece.text
        while match := _FOOTER.search(rest):
            if _SENTENCE_GOES_ON.match(rest[match.end() :].rstrip()):
                pieces.append(parsed.Piece(piece.line, rest, piece.kind))
                break
            if rest[: match.start()].strip():
                pieces.append(
                    parsed.Piece(piece.line, rest[: match.start()], piece.kind)
                )
            pieces.append(parsed.Piece(piece.line, match[0], 'footer'))
            rest = rest[match.end() :]
            if not rest.strip():
                break
        else:
            if match := _TALLY.match(rest):
                pieces.append(parsed.Piece(piece.line, match[0], 'tally'))
                rest = rest[match.end() :]
                if not rest.strip():
                    continue
            pieces.append(parsed.Piece(piece.line, rest, piece.kind))
    return pieces


def label(text: str) -> str:
    """'QUESTION' or 'ANSWER' where the line opens with that label, else ''."""
    match = _LABEL.match(clean.text(text[:200]))
    return match[1] if match else ''


def split_label(piece: parsed.Piece, kind: str) -> list[parsed.Piece]:
    """A labelled line as its label and the text after it, which is of `kind`."""
    before, colon, after = piece.text.partition(':')
    return [
        parsed.Piece(piece.line, before + colon, 'label'),
        parsed.Piece(piece.line, after.removeprefix(' '), kind),
    ]


def stamp(line: str) -> tuple[str, str] | None:
    """(name, time) of a cleaned line that ends in a time, None where none does.

    'Guest Jun 6, 11:05 a.m.' -> ('Guest', 'Jun 6, 11:05 a.m.')
    """
    if len(line) > 120:
        return None
    match = _STAMPED.fullmatch(line)
    return (match['name'].rstrip(' ,'), match['time']) if match else None


def is_guest_stamp(line: str) -> bool:
    """Whether a cleaned line is a guest's stamp whatever stands below it."""
    found = stamp(line)
    return found is not None and found[0] == 'Guest'


def is_staff_stamp(line: str, known: collections.abc.Collection[str]) -> bool:
    """Whether a cleaned line opens a post of the host's or a producer's own.

    `known` holds the name and role lines that stand under an avatar in this file.

    'Marian ValeAdvice Columnist11:03 a.m.' -> True
    """
    found = stamp(line)
    if found is None or not found[0] or found[0] == 'Guest':
        return False
    return any(
        found[0].replace(' ', '') == name.replace(' ', '') for name in known
    ) or bool(_NAME_AND_ROLE.fullmatch(found[0]))


def is_number(line: str) -> bool:
    """Whether a cleaned line can be a count of likes standing alone: '147', '1.2K'."""
    return bool(_NUMBER_ALONE.fullmatch(line))


def role_answers(role: str) -> bool | None:
    """True for a columnist's role, False for a producer's, None where it is neither."""
    if 'columnist' in role.lower():
        return True
    if _HELPING_ROLE.search(role):
        return False
    return True if _ANSWERING_ROLE.search(role) else None
