"""A chat seen as a whole: who answers in it, and what its page repeats in each post."""

import collections
import dataclasses
import itertools
import re
from collections.abc import Sequence

from data_pipeline.pages import chat_lines, clean, parsed

CONTROL = 'page control'
_LONGEST_NAME = 60  # characters of a name or a role
_LONGEST_CONTROL = 40
_CONTROL_SHARE = 0.6  # of the footers that must have the same line above them
_FEWEST_CONTROLS = 3
_ADVERTISEMENTS = ('advertisement', 'story continues below advertisement')
# Without an avatar above it, a name has two words or more.
_NAME = re.compile(r'[A-Z][\w.’\'-]*(?: [A-Z][\w.’\'-]*){1,3}')


@dataclasses.dataclass(frozen=True)
class Header:
    """Where an answer's name and role stand, and its label, None where it has none."""

    people: list[int]
    label: int | None


class Script:
    """The pieces of a chat, their cleaned lines, and what they say of each other.

    `names` are the name and role lines above answers, joined; `host` is the name of
    the columnist, '' where none is known; `has_avatars` whether avatars open answers.
    """

    def __init__(self, pieces: list[parsed.Piece]) -> None:
        self.pieces = pieces
        self.lines = [clean.line(piece.text) for piece in pieces]
        self._following: list[int | None] = [None] * (len(pieces) + 1)
        for i in range(len(pieces) - 2, -1, -1):
            self._following[i] = i + 1 if self.lines[i + 1] else self._following[i + 1]
        self._mark_controls()
        self.names: set[str] = set()
        self._signatures: set[str] = set()
        avatars = [self.header(i) for i in self._all_filled() if self.is_avatar(i)]
        self.has_avatars = any(avatars)
        if not self.has_avatars:
            self._signatures = self._recurring_names()
            avatars = [self.bare_header(i) for i in self._all_filled()]
        self.host = self._find_host([found for found in avatars if found])
        self.has_guests = any(
            chat_lines.is_guest_stamp(self.lines[i]) or self.label(i) == 'QUESTION'
            for i in self._all_filled()
        )

    def next(self, i: int) -> int | None:
        """The next piece after i that is not blank."""
        return self._following[i]

    def label(self, i: int | None) -> str:
        """The label that the piece opens with, '' where there is none."""
        if i is None or self.pieces[i].kind != parsed.UNKNOWN:
            return ''
        return chat_lines.label(self.pieces[i].text)

    def is_avatar(self, i: int) -> bool:
        return self.lines[i].lower() == 'avatar'

    def header(self, i: int) -> Header | None:
        """The name, the role and ANSWER: below the avatar at i.

        Name and role are enough where the role is known to be one, or the name to be
        somebody's who answers; the label is enough where a name stands before it.
        """
        people: list[int] = []
        at = self.next(i)
        while at is not None and self.pieces[at].kind == parsed.UNKNOWN:
            if self.label(at) == 'ANSWER':
                return Header(people, at) if people else None
            if len(people) == 3 or len(self.lines[at]) > _LONGEST_NAME:
                break
            people.append(at)
            at = self.next(at)
        if len(people) < 2:
            return None
        name, role = self.lines[people[0]], self.lines[people[1]]
        # A label in small letters counts where it stands directly below the two.
        below = self.next(people[1])
        text = self.pieces[below].text if below is not None else ''
        labelled = chat_lines.label(text, any_case=True) == 'ANSWER'
        if (
            labelled
            or chat_lines.role_answers(role) is not None
            or name + role in self.names
        ):
            return Header(people[:2], below if labelled else None)
        return None

    def bare_header(self, i: int) -> Header | None:
        """As `header`, where a file has no avatars: the label is then enough.

        Above it may stand a name with its role, or a name that recurs there.
        """
        people: list[int] = []
        at: int | None = i
        while at is not None and len(people) < 3 and self.label(at) != 'ANSWER':
            if (
                self.pieces[at].kind != parsed.UNKNOWN
                or len(self.lines[at]) > _LONGEST_NAME
            ):
                return None
            people.append(at)
            at = self.next(at)
        if at is None or self.label(at) != 'ANSWER':
            return None
        lines = [self.lines[p] for p in people]
        signed = len(lines) == 1 and lines[0] in self._signatures
        named = (
            len(lines) == 2
            and bool(_NAME.fullmatch(lines[0]))
            and chat_lines.role_answers(lines[1]) is not None
        )
        return Header(people, at) if not lines or signed or named else None

    def answers(self, people: Sequence[int]) -> bool:
        """Whether the role answers; the host does, whatever the role."""
        if not people:
            return True
        return self.lines[people[0]] == self.host or bool(
            chat_lines.role_answers(self.lines[people[-1]])
        )

    def _find_host(self, headers: list[Header]) -> str:
        """The commonest name whose role is a columnist's.

        Where no role is, not even above a post of the host's own, the commonest name.
        """
        names: collections.Counter[str] = collections.Counter()
        columnists: collections.Counter[str] = collections.Counter()
        for found in headers:
            people = [self.lines[p] for p in found.people]
            if people:
                names[people[0]] += 1
                columnists[people[0]] += bool(chat_lines.role_answers(people[-1]))
                self.names.update((people[0], ''.join(people)))
        if not +columnists and any(
            chat_lines.is_staff_stamp(line, ()) and chat_lines.role_answers(line)
            for line in self.lines
        ):
            return ''
        commonest = (+columnists or names).most_common(1)
        return commonest[0][0] if commonest else ''

    def _recurring_names(self) -> set[str]:
        """Names above half of the answers, three of them or more."""
        above = [
            self.lines[above]
            for above, below in itertools.pairwise(self._all_filled())
            if self.label(below) == 'ANSWER'
        ]
        names = collections.Counter(line for line in above if _NAME.fullmatch(line))
        fewest = max(3, len(above) / 2)
        return {name for name, times in names.items() if times >= fewest}

    def _mark_controls(self) -> None:
        """Gives advertisements and lines that stand above most footers their kind."""
        filled = self._all_filled()
        for i in filled:
            if self.lines[i].lower() in _ADVERTISEMENTS:
                self.pieces[i].kind = CONTROL
        ends = [at for at, i in enumerate(filled) if self.pieces[i].kind == 'footer']
        while ends:
            above = [filled[at - 1] for at in ends if at]
            counts = collections.Counter(
                self.lines[i]
                for i in above
                if self.pieces[i].kind == parsed.UNKNOWN
                and len(self.lines[i]) <= _LONGEST_CONTROL
                and not self.label(i)
                and self.lines[i] != 'image'
            )
            line, times = (counts.most_common(1) or [('', 0)])[0]
            if times < max(_FEWEST_CONTROLS, _CONTROL_SHARE * len(ends)):
                return
            ends = [at - 1 for at in ends if at and self.lines[filled[at - 1]] == line]
            for at in ends:
                self.pieces[filled[at]].kind = CONTROL

    def _all_filled(self) -> list[int]:
        return [i for i, line in enumerate(self.lines) if line]
