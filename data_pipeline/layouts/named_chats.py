"""Live chats whose posts open with a name: each guest's own, and one person's answers.

    Springfield, Ill.: Is it rude to leave a party at nine?     **Springfield, Ill.**
    Marian Vale: No. Thank the host and go home.                Is it rude to leave?
    _______________________
    Torn about Dad: Do I ask him to the wedding?                **Marian Vale**
                                                                No. Go home.

The host is the name that opens most posts; guests have names or topics that hardly
come twice. Where lines such as _____ part the posts, a paragraph that opens with words
and a colon is text unless it stands below one. Elsewhere the start of a question is
known if one such paragraph stands above its answer, or one is like a guest's.
"""

import collections
import dataclasses
import pathlib
import re
import statistics
from collections.abc import Sequence

from data_pipeline.layouts import labelled
from data_pipeline.pages import page

SOURCE = 'named_chats'
_OPENING = re.compile(
    r'\s{0,3}[*_]{0,3}(?P<name>(?:R[Ee] ?:[*_]{0,3} ?)?'
    r'(?:[^\W_a-z]|(?=\w+\.\w+[*_]{0,3}:))[^:\n*_?!;<>|={}\[\]]{0,69})'
    r'[*_]{0,3}\s?:[*_]{0,3}(?: |\Z)'
)
# A name in bold, or a heading, alone on its line.
_ALONE = re.compile(
    r'\s{0,3}(?:[*_]{2,3}|#{1,6}\s+)(?P<name>(?:R[Ee] ?: ?)?'
    r'[^\W_a-z][^:\n*_?!;<>|={}\[\]]{0,69})[*_]{0,3}\s*'
)
_MOST_NAME_WORDS = 10
_HOST = re.compile(r"[A-ZÀ-Þ][\w.'’-]*(?: (?:d[aei] |v[ao]n )?[A-ZÀ-Þ][\w.'’-]*){0,3}")
# A name that no paragraph of a text opens with: 'Re: Dad', 'Springfield, Ill.'
_GUEST = re.compile(
    r'(?i:re ?:|anonymous|anon\b)'
    r"|[A-Z][\w.'’ -]*, (?:[A-Z]{2}\b|[A-Z][\w.'’ -]*\.?$)"
)
# Who else speaks on such a page: a site, its producer.
_STAFF = re.compile(
    r"\w+\.(?:com|org|net)|(?:producer|moderator|editor)(?:['’]s note)?", re.IGNORECASE
)
_STAFF_WORDS = f'{SOURCE} words of a site or its producer'
_ASIDE = f'{SOURCE} words of the host to all'
_FEWEST = 3  # answers, guests
_GUEST_SHARE = 0.5  # of the questions: names of guests that differ
_WHOLE_SHARE = 0.5  # of the questions: their and their answers' ends are known
_PARTED_SHARE = 0.8  # of the questions: below a rule
_ALIKE_SHARE = 0.8  # of the host's: below a blank line, in bold
_ASKED_SHARE = 0.5  # of the questions: with a question mark
_FEWEST_WORDS = 4  # of the median question, and answer
_UNSURE = f'{SOURCE} posts whose first or last line is not known'


@dataclasses.dataclass
class _Opening:
    """A line that opens with a name and a colon, or is a name in bold.

    `text_at` is where its text starts. `is_apart` says that it stands below a rule or
    below nothing, `is_below` that it does so or stands below a blank line, `is_marked`
    that its name is in bold or the like, `is_alone` that nothing is behind it.
    """

    line: int
    name: str
    text_at: int
    is_apart: bool
    is_below: bool
    is_marked: bool
    is_alone: bool

    @property
    def folded(self) -> str:
        return ' '.join(self.name.lower().split())

    @property
    def is_staff(self) -> bool:
        return bool(_STAFF.fullmatch(self.name))

    @property
    def is_guest(self) -> bool:
        return bool(_GUEST.match(self.name))


@dataclasses.dataclass
class _Turn:
    """The openings behind one answer's first line, up to that of the next answer.

    Below the last answer there is no `host`.
    """

    guests: list[_Opening]
    host: _Opening | None


@dataclasses.dataclass
class _Post:
    """A question with its answer; `is_sure` says that both are known to be whole."""

    question: list[page.Piece]
    answer: list[page.Piece]
    is_sure: bool = True


def are_chats(text: str) -> bool:
    """Whether several people ask, each by a name, and one answers all of them."""
    return bool(_turns(page.raw_lines(text)))


def parse(text: str, *, file: str) -> page.Page:
    """The pairs of one chat; `file` names it in the records."""
    found = page.Page(file)
    pieces = page.raw_lines(text)
    turns = _turns(pieces)
    are_parted = _are_parted(turns)
    opens: dict[int, tuple[str, _Opening]] = {}
    unsure: set[int] = set()  # lines: a post with its first line there is not whole
    start = -1  # of the post above
    last = next((t for t in reversed(turns) if t.host is not None and t.guests), None)
    for turn in turns:
        starts, is_end_sure, is_start_sure = _starts(turn, are_parted=are_parted)
        lines = {each.line for each in starts}
        if turn is last and not are_parted and not _asks(pieces, turn):
            # Perhaps the answer's last paragraph, above the host's farewell.
            is_end_sure = is_start_sure = False
        if not is_end_sure:
            unsure.add(start)
        if starts:
            start = starts[-1].line
        if not is_start_sure:
            unsure.add(start)
        for each in turn.guests:
            if each.is_staff:
                opens[each.line] = _STAFF_WORDS, each
            elif each.line in lines:
                opens[each.line] = page.QUESTION, each
            else:
                found.note(pieces[each.line], 'kept in the text above')
        if turn.host is not None:
            goes_on = are_parted and not turn.host.is_apart and start >= 0
            kind = page.ANSWER if starts or goes_on else _ASIDE
            opens[turn.host.line] = kind, turn.host
    posts = _posts(pieces, opens, unsure, found, are_parted=are_parted)
    for topic, post in posts:
        if post.is_sure:
            labelled.add(
                post.question,
                post.answer,
                topic=topic,
                source=SOURCE,
                found=found,
                group=pathlib.PurePath(file).name,  # posts answer each other
            )
        else:
            found.counts[f'{SOURCE} questions'] += 1
            texts = [*post.question, *post.answer]
            found.drop(post.question[0].line, topic, _UNSURE, texts)
    found.unknown.sort()
    return found


def _posts(
    pieces: Sequence[page.Piece],
    opens: dict[int, tuple[str, _Opening]],
    unsure: set[int],
    found: page.Page,
    *,
    are_parted: bool,
) -> list[tuple[str, _Post]]:
    """The posts, each with the name that opens it; all pieces get their kinds."""
    posts: list[tuple[str, _Post]] = []
    between: list[page.Piece] = []
    running, kind = between, page.UNKNOWN  # of the text that is open
    said = ''  # the kind of a paragraph of someone else
    for i, piece in enumerate(pieces):
        if i in opens:
            kind_here, opening = opens[i]
            label, text = piece.cut(
                [(opening.text_at, 'label'), (len(piece.text), kind_here)]
            )
            found.pieces += [label, text]
            said = ''
            if kind_here in (_STAFF_WORDS, _ASIDE):
                found.counts[f'{kind_here}, left out'] += 1
                said = kind_here
                if kind_here == _ASIDE:
                    running, kind = between, _ASIDE
                continue
            if kind_here == page.QUESTION:
                posts.append((opening.name, _Post([], [], i not in unsure)))
            post = posts[-1][1]
            running = post.answer if kind_here == page.ANSWER else post.question
            running.append(text)
            kind = kind_here
            continue
        found.pieces.append(piece)
        if said and not piece.text.strip():
            said = ''
        if are_parted and page.is_rule(piece.text):
            piece.kind, said = page.RECORD, ''
            running, kind = between, page.UNKNOWN
        else:
            piece.kind = said or kind
            running.append(piece)
    found.leave_out(between)
    return posts


def _starts(turn: _Turn, *, are_parted: bool) -> tuple[list[_Opening], bool, bool]:
    """The first lines of the questions of a turn, the last of which is answered.

    Also whether the answer above is known to end there, and whether the question is
    known to begin there.
    """
    guests = _not_staff(turn)
    if are_parted:
        starts = [each for each in guests if each.is_apart]
        is_sure = bool(starts) or not guests or turn.host is None
        return starts or (guests[:1] if turn.host else []), is_sure, is_sure
    if len(guests) < 2 and turn.host is not None:
        return guests, True, True
    if known := [each for each in guests if each.is_guest]:
        return known, guests[0].is_guest, guests[-1].is_guest
    return guests[:1], not guests, not guests


def _not_staff(turn: _Turn) -> list[_Opening]:
    return [each for each in turn.guests if not each.is_staff]


def _turns(pieces: Sequence[page.Piece]) -> list[_Turn]:
    """The turns of a chat; [] for any other text."""
    openings = _openings(pieces)
    names = collections.Counter(
        each.folded
        for each in openings
        if _HOST.fullmatch(each.name) and not each.is_staff
    )
    host, times = max(names.items(), key=lambda each: each[1], default=('', 0))
    if times < _FEWEST:
        return []
    own = [each for each in openings if each.folded == host]
    for sign in ('is_below', 'is_marked'):
        if sum(getattr(each, sign) for each in own) >= _ALIKE_SHARE * len(own):
            openings = [e for e in openings if getattr(e, sign) or e.is_staff]
    are_alone = 2 * sum(each.is_alone for each in own) > len(own)
    openings = [e for e in openings if e.is_alone == are_alone or e.is_staff]
    turns = [_Turn([], None)]
    for opening in openings:
        if opening.folded == host:
            turns[-1].host = opening
            turns.append(_Turn([], None))
        else:
            turns[-1].guests.append(opening)
    first = turns[0]
    if first.guests and first.host is not None:
        above = _text(pieces, first.guests[0], first.host.line)
        if '?' not in above or host in first.guests[0].folded:
            first.guests = []  # a title above what the host says first
    is_one = _is_person(pieces, turns, host) and _is_chat(pieces, turns)
    return turns if is_one else []


def _openings(pieces: Sequence[page.Piece]) -> list[_Opening]:
    """All lines that open with a name and a colon, or are a name in bold."""
    made = []
    is_apart = is_below = True
    for i, piece in enumerate(pieces):
        if not piece.text.strip():
            is_below = True
            continue
        if page.is_rule(piece.text):
            is_apart = is_below = True
            continue
        alone = _ALONE.fullmatch(piece.text)
        match = None if piece.is_code else alone or _OPENING.match(piece.text)
        if match and len(match['name'].split()) <= _MOST_NAME_WORDS:
            made.append(
                _Opening(
                    line=i,
                    name=match['name'].strip(),
                    text_at=match.end(),
                    is_apart=is_apart,
                    is_below=is_below,
                    is_marked=match[0].strip()[0] in '*_#',
                    is_alone=alone is not None,
                )
            )
        is_apart = is_below = False
    return made


def _is_person(pieces: Sequence[page.Piece], turns: Sequence[_Turn], host: str) -> bool:
    """Whether the host is a person by what stands elsewhere: 'Owner' may be a field.

    A title or a guest names the host, or guests have names like 'Springfield, Ill.'
    """
    names = {
        each.folded for turn in turns for each in _not_staff(turn) if each.is_guest
    }
    if len(names) >= _FEWEST:
        return True
    own = {turn.host.line: turn.host.text_at for turn in turns if turn.host}
    words = '|'.join(word for word in map(re.escape, host.split()) if len(word) > 2)
    named = re.compile(rf'\b(?:{words})\b', re.IGNORECASE)
    found = (
        match[0]
        for i, piece in enumerate(pieces)
        for match in named.finditer(piece.text, own.get(i, 0))
    )
    return bool(words) and any(word[0].isupper() for word in found)


def _is_chat(pieces: Sequence[page.Piece], turns: Sequence[_Turn]) -> bool:
    """Whether guests of many names ask more than one person who answers them all."""
    asked = [turn for turn in turns if turn.host is not None and turn.guests]
    starts = [_starts(turn, are_parted=_are_parted(turns)) for turn in turns]
    whole = sum(
        bool(turn.guests) and is_start_sure and is_end_sure
        for turn, (_, _, is_start_sure), (_, is_end_sure, _) in zip(
            turns, starts, starts[1:], strict=False
        )
    )
    guests = {turn.guests[-1].folded for turn in asked}
    if (
        len(asked) < _FEWEST
        or len(guests) < max(_FEWEST, _GUEST_SHARE * len(asked))
        or whole < _WHOLE_SHARE * len(asked)
    ):
        return False
    lines = [each.line for each in _in_order(turns)]
    following = dict(zip(lines, [*lines[1:], len(pieces)], strict=True))
    questions, answers = [], []
    for turn in asked:
        host = turn.host.line
        questions.append(_text(pieces, turn.guests[0], host))
        answers.append(_text(pieces, turn.host, following[host]))
    asking, answering = (
        sum('?' in text for text in texts) for texts in (questions, answers)
    )
    words = [
        statistics.median(len(text.split()) for text in texts)
        for texts in (questions, answers)
    ]
    return (
        asking >= _ASKED_SHARE * len(asked)
        and asking > answering
        and min(words) >= _FEWEST_WORDS
    )


def _asks(pieces: Sequence[page.Piece], turn: _Turn) -> bool:
    """Whether the first opening of an answered turn is a guest's, or asks."""
    first = turn.guests[0]
    return first.is_guest or '?' in _text(pieces, first, turn.host.line)


def _in_order(turns: Sequence[_Turn]) -> list[_Opening]:
    return [each for turn in turns for each in (*turn.guests, turn.host) if each]


def _text(pieces: Sequence[page.Piece], opening: _Opening, end: int) -> str:
    first = pieces[opening.line].text[opening.text_at :]
    return '\n'.join([first, *(p.text for p in pieces[opening.line + 1 : end])])


def _are_parted(turns: Sequence[_Turn]) -> bool:
    """Whether rules stand above the questions, and above few answers."""
    asked = [turn for turn in turns if turn.host is not None and turn.guests]
    apart = sum(any(each.is_apart for each in turn.guests) for turn in asked)
    answers = sum(turn.host is not None and turn.host.is_apart for turn in asked)
    return apart >= max(_FEWEST, _PARTED_SHARE * len(asked)) and 2 * answers < apart
