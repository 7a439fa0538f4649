"""The kinds of lines in a live chat, each recognized without its neighbours."""

import functools
import re
from collections.abc import Collection, Iterable

from data_pipeline.pages import page

_NUMBER = r'(?:undefined|\d[\d.,]*[KkMm]?)'
_TAIL = (
    r'(?:Press Enter to (?:expand|collapse)|Post (?:comments )?(?:expanded|collapsed))'
)
# Runs of blanks are bounded: two open ones side by side take quadratic time to fail.
_GAP, _OPEN_GAP = r'\s{1,9}', r'\s{0,9}'
_COUNT = rf'(?:(?:{_NUMBER}|no){_GAP})?'
_REPLIES = '(?:repl(?:y|ies)|comments?)'
_FOOTER = re.compile(
    rf'Post has{_GAP}(?:{_COUNT}{_REPLIES}{_GAP}and{_GAP}{_COUNT}Likes?'
    rf'|{_NUMBER}{_GAP}(?:{_REPLIES}|Likes?))'
    rf'(?:{_OPEN_GAP}(?:\d[\d.,]*[KkMm]?)?{_OPEN_GAP}{_TAIL})?',
    re.IGNORECASE,
)
_BROKEN_NUMBER = r'(?:undefine|undefin|undefi|undef|unde|und|un|u)'
# A footer cut short by the end of the file, glued to a text or on a line of its own.
_BROKEN_FOOTER = re.compile(
    rf'(?:^\s{{0,9}}|(?<=\S))Post has(?:{_GAP}(?:{_NUMBER}|{_BROKEN_NUMBER}))?'
    rf'(?:{_GAP}(?:replies|replie|repli|reply|repl|rep|re|r)'
    rf'(?:{_GAP}(?:and|an|a)(?:{_GAP}{_NUMBER}(?:{_GAP}(?:Lik|Li|L))?)?)?)?{_OPEN_GAP}$'
)
_TALLY = re.compile(
    rf'{_OPEN_GAP}(?:{_NUMBER}{_OPEN_GAP}{_TAIL}|{_TAIL}\s*$)', re.IGNORECASE
)
# A person who quotes a footer goes on in the same line. Below a footer that opens a
# line, glued text begins with a capital.
_SENTENCE_GOES_ON = re.compile(r'\s+[^\s\d]|[^\w\s]')
_GLUED_BELOW = re.compile(r'\s+["“‘\'(]?[A-Z]')
_NUMBER_ALONE = re.compile(rf'(?:Likes?:\s+)?{_NUMBER}(?:\s+Likes?)?', re.IGNORECASE)
# Signs that sites put beside a count: thumbs, hearts, arrows, a bubble of replies.
SIGN = '(?:[👍👎👏🙏🙌👀🔥💯🎉😂🤣😍😢😮😡💬❤♥🧡💛💚💙💜🖤🤍⬆⬇▲▼△▽]\ufe0f?[🏻-🏿]?)'
_SIGNED = (
    rf'(?:{SIGN}{{1,5}}\s?\d(?:[\d,.]{{0,9}}\d)?[KkMm]?'
    rf'|\d(?:[\d,.]{{0,9}}\d)?[KkMm]?\s?{SIGN}{{1,5}})'
)
REACTIONS = rf'{_SIGNED}(?:\s{{0,3}}[·•|,]?\s{{0,3}}{_SIGNED}){{0,9}}'
_REACTIONS_ALONE = re.compile(REACTIONS)

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
_MAYBE_TIME = re.compile(r'\d|noon|midnight|today|yesterday|ago|now')  # in each stamp
SENTENCE_ENDS = tuple('.!?…"”’\')。！？」')
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
_BEGUN = (
    'a an and as at because but by for from her his if in it its my of on or our she '
    'so than that the their then there these they this those to was we were when which '
    'while who with you your'
)
_LONE_WORDS = frozenset(_BEGUN.split())
_DIGIT = re.compile(r'\d')


def split_furniture(lines: Iterable[page.Piece]) -> list[page.Piece]:
    """The lines, with glued footers and tallies in pieces of their own.

    'Thanks.Post has 1 reply and 1 Like' -> 'Thanks.', 'Post has 1 reply and 1 Like'
    """
    pieces: list[page.Piece] = []
    for piece in lines:
        pieces += _split_furniture(piece) if piece.kind == page.UNKNOWN else [piece]
    last = max((i for i, p in enumerate(pieces) if p.text.strip()), default=-1)
    if last >= 0 and pieces[last].kind == page.UNKNOWN:
        text = pieces[last].text
        if match := _BROKEN_FOOTER.search(text):
            before = [(match.start(), page.UNKNOWN)] if match.start() else []
            cuts = [*before, (len(text), 'footer')]
            pieces[last : last + 1] = pieces[last].cut(cuts)
    return pieces


def _split_furniture(piece: page.Piece) -> list[page.Piece]:
    text, at = piece.text, 0
    folded = text.casefold()
    if 'post' not in folded and 'press' not in folded:  # each footer and tally has one
        return [piece]
    cuts: list[tuple[int, str]] = []
    for match in _FOOTER.finditer(text):
        opens = not text[at : match.start()].strip()
        goes_on = _SENTENCE_GOES_ON.match(text, match.end())
        if goes_on and not (opens and _GLUED_BELOW.match(text, match.end())):
            continue
        if not opens:
            cuts.append((match.start(), page.UNKNOWN))
        at = match.end()
        cuts.append((at, 'footer'))
    if tally := _TALLY.match(text, at):
        at = tally.end()
        cuts.append((at, 'tally'))
    if not cuts or text[at:].strip():
        cuts.append((len(text), page.UNKNOWN))
    else:
        cuts[-1] = (len(text), cuts[-1][1])
    return piece.cut(cuts)


@functools.lru_cache(maxsize=1024)  # each line is looked at several times
def stamp(line: str) -> tuple[str, str] | None:
    """(name, time) of a cleaned line that ends in a time, None for any other line.

    'Guest Jun 6, 11:05 a.m.' -> ('Guest', 'Jun 6, 11:05 a.m.')
    """
    if len(line) > 120 or not _MAYBE_TIME.search(line.casefold()):
        return None
    match = _STAMPED.fullmatch(line)
    return (match['name'].rstrip(' ,·•|–—:-'), match['time']) if match else None


def is_guest_stamp(line: str) -> bool:
    """Whether a cleaned line alone shows that it is a guest's stamp."""
    found = stamp(line)
    return found is not None and found[0] == 'Guest'


def is_staff_stamp(
    line: str, known: Collection[str], *, within_text: bool = False
) -> bool:
    """Whether a cleaned line opens a post that the host or a producer wrote.

    `known` holds the name and role lines below the avatars of this page. Within a text,
    an unknown name and role count only with the time glued to them: 'I met the Director
    today' is a sentence.

    'Marian ValeAdvice Columnist11:03 a.m.' -> True
    """
    found = stamp(line)
    if found is None or not found[0] or found[0] == 'Guest':
        return False
    name, time = found
    if within_text and not has_digit(time):
        return False
    if any(name.replace(' ', '') == other.replace(' ', '') for other in known):
        return True
    glued = line.startswith(name + time)
    return bool(_NAME_AND_ROLE.fullmatch(name)) and (glued or not within_text)


def has_digit(time: str) -> bool:
    """Whether a time is more than a word such as 'today'."""
    return bool(_DIGIT.search(time))


def is_number(line: str) -> bool:
    """Whether a cleaned line can be a count of likes by itself: '147', '1.2K'."""
    return bool(_NUMBER_ALONE.fullmatch(line))


def is_lone_word(line: str) -> bool:
    """Whether a cleaned line is one word that begins a sentence, or goes on in one."""
    return line in _LONE_WORDS or (len(line) > 1 and line.lower() in _LONE_WORDS)


def is_left_over(line: str) -> bool:
    """Whether a cleaned line is a footer, a count, or a word that says nothing alone.

    '1125', '👍 1125', '1.2k ❤️ · 3 💬', 'and' between counts, 'The' of a lost sentence
    """
    if is_lone_word(line) or is_number(line) or _REACTIONS_ALONE.fullmatch(line):
        return True
    pieces = _split_furniture(page.Piece(0, line, page.UNKNOWN))
    return bool(line) and all(piece.kind != page.UNKNOWN for piece in pieces)


def role_answers(role: str) -> bool | None:
    """True for a columnist's role, False for a producer's, None for any other."""
    if 'columnist' in role.lower():
        return True
    if _HELPING_ROLE.search(role):
        return False
    return True if _ANSWERING_ROLE.search(role) else None
