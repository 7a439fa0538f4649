"""The people who answer in a chat, and the lines that its page repeats."""

import collections
import dataclasses
import itertools
import re
from collections.abc import Sequence

from data_pipeline.pages import chat_grammar, page

CONTROL = 'page control'
# A name that no avatar announces has two words or more.
NAME = re.compile(r'[A-Z][\w.’\'-]*(?: [A-Z][\w.’\'-]*){1,3}')
_AVATAR = re.compile(r'avatar|!\[avatar\]\([^()\s]{1,500}\)', re.IGNORECASE)
LONGEST_NAME = 60  # characters of a name or a role
_LONGEST_CONTROL = 40
_DASHES = ('-', '–', '—', '~')
_CONTROL_SHARE = 0.6  # of the footers that must have the same line above them
_FEWEST_CONTROLS = 3
_ADVERTISEMENTS = ('advertisement', 'story continues below advertisement')


@dataclasses.dataclass(frozen=True)
class Header:
    """The lines above an answer: its name and role, and its label or None."""

    people: list[int]
    label: int | None


class Speakers:
    """The pieces of a chat with their cleaned lines; finds the headers of its answers.

    `names` holds the name and role lines above answers, joined; `host` is the
    columnist's name, '' for an unknown one; `has_avatars` says whether avatars open
    answers, `has_guests` whether posts open with Guest or QUESTION:.
    """

    def __init__(self, pieces: list[page.Piece]) -> None:
        self.pieces = pieces
        self.lines = [piece.clean for piece in pieces]
        self._filled = [i for i, line in enumerate(self.lines) if line]
        self._following: list[int | None] = [None] * (len(pieces) + 1)
        for i in range(len(pieces) - 2, -1, -1):
            self._following[i] = i + 1 if self.lines[i + 1] else self._following[i + 1]
        self._mark_controls()
        self.names: set[str] = set()
        self._signatures: set[str] = set()
        headers = [self.header(i) for i in self._filled if self.is_avatar(i)]
        self.has_avatars = any(headers)
        if not self.has_avatars:
            above = [
                self.lines[above]
                for above, below in itertools.pairwise(self._filled)
                if self.label(below) == 'ANSWER'
            ]
            self._signatures = recurring_names(above, one_in=2)
            headers = [self.bare_header(i) for i in self._filled]
        self.host = self._find_host([found for found in headers if found])
        self.has_guests = any(
            chat_grammar.is_guest_stamp(self.lines[i]) or self.label(i) == 'QUESTION'
            for i in self._filled
        )

    def next(self, i: int) -> int | None:
        """The next piece after i that is not blank."""
        return self._following[i]

    def label(self, i: int | None) -> str:
        """The label that opens the piece, '' for none."""
        return '' if i is None else self.pieces[i].label

    def is_avatar(self, i: int) -> bool:
        return _AVATAR.fullmatch(self.lines[i]) is not None

    def header(self, i: int) -> Header | None:
        """The name, the role and ANSWER: below the avatar at i.

        Name and role are enough if the role is a known one, or the name is known to
        answer; the label is enough with a name above it.
        """
        people: list[int] = []
        at = self.next(i)
        while at is not None and self.pieces[at].kind == page.UNKNOWN:
            if self.label(at) == 'ANSWER':
                return Header(people, at) if people else None
            if len(people) == 3 or len(self.lines[at]) > LONGEST_NAME:
                break
            people.append(at)
            at = self.next(at)
        if len(people) < 2:
            return None
        name, role = self.lines[people[0]], self.lines[people[1]]
        # A label in small letters counts directly below the two.
        below = self.next(people[1])
        text = self.pieces[below].text if below is not None else ''
        labelled = page.label(text, any_case=True) == 'ANSWER'
        if (
            labelled
            or chat_grammar.role_answers(role) is not None
            or name + role in self.names
        ):
            return Header(people[:2], below if labelled else None)
        return None

    def bare_header(self, i: int) -> Header | None:
        """The header at i on a page without avatars: its label is enough.

        Above the label may stand a name with its role, or a name that recurs there.
        """
        people: list[int] = []
        at: int | None = i
        while at is not None and len(people) < 3 and self.label(at) != 'ANSWER':
            known = self.pieces[at].kind != page.UNKNOWN
            if known or len(self.lines[at]) > LONGEST_NAME:
                return None
            people.append(at)
            at = self.next(at)
        if self.label(at) != 'ANSWER':
            return None
        lines = [self.lines[p] for p in people]
        signed = len(lines) == 1 and lines[0] in self._signatures
        named = (
            len(lines) == 2
            and bool(NAME.fullmatch(lines[0]))
            and chat_grammar.role_answers(lines[1]) is not None
        )
        return Header(people, at) if not lines or signed or named else None

    def answers(self, people: Sequence[int]) -> bool:
        """Whether the role answers; the host does in any role."""
        if not people:
            return True
        return self.lines[people[0]] == self.host or bool(
            chat_grammar.role_answers(self.lines[people[-1]])
        )

    def _find_host(self, headers: list[Header]) -> str:
        """The commonest name with a columnist's role.

        Without any such role, not even in a post of the host, the commonest name.
        """
        names: collections.Counter[str] = collections.Counter()
        columnists: collections.Counter[str] = collections.Counter()
        for found in headers:
            people = [self.lines[p] for p in found.people]
            if people:
                names[people[0]] += 1
                columnists[people[0]] += bool(chat_grammar.role_answers(people[-1]))
                self.names.update((people[0], ''.join(people)))
        if not +columnists and any(
            chat_grammar.is_staff_stamp(line, ()) and chat_grammar.role_answers(line)
            for line in self.lines
        ):
            return ''
        commonest = (+columnists or names).most_common(1)
        return commonest[0][0] if commonest else ''

    def _mark_controls(self) -> None:
        """Marks advertisements, and lines that stand above most footers."""
        for i in self._filled:
            if self.lines[i].lower() in _ADVERTISEMENTS:
                self.pieces[i].kind = CONTROL
        filled = self._filled
        ends = [at for at, i in enumerate(filled) if self.pieces[i].kind == 'footer']
        while ends:
            counts = collections.Counter(
                self.lines[i]
                for i in (filled[at - 1] for at in ends if at)
                if self.pieces[i].kind == page.UNKNOWN
                and len(self.lines[i]) <= _LONGEST_CONTROL
                and not self.label(i)
                and self.lines[i] != 'image'
                # No button ends in a full stop or opens with a dash, as greetings do.
                and not self.lines[i].endswith('.')
                and not self.lines[i].startswith(_DASHES)
            )
            line, times = (counts.most_common(1) or [('', 0)])[0]
            if times < max(_FEWEST_CONTROLS, _CONTROL_SHARE * len(ends)):
                return
            ends = [at - 1 for at in ends if at and self.lines[filled[at - 1]] == line]
            for at in ends:
                self.pieces[filled[at]].kind = CONTROL


def recurring_names(above: Sequence[str], *, one_in: int) -> set[str]:
    """The names above at least three answers, and above one answer in `one_in`."""
    names = collections.Counter(line for line in above if NAME.fullmatch(line))
    fewest = max(3, len(above) / one_in)
    return {name for name, times in names.items() if times >= fewest}
