"""The walk over a chat's lines that finds its posts, and says what each line is."""

import collections
import dataclasses

from data_pipeline import chat_lines, clean, parsed


@dataclasses.dataclass
class Post:
    """One guest's post; its texts are the pieces of kind question and answer."""

    line: int
    topic: str = ''
    time: str = ''
    labelled: bool = True
    question: list[parsed.Piece] = dataclasses.field(default_factory=list)
    answers: list[list[parsed.Piece]] = dataclasses.field(default_factory=list)
    producer_replies: int = 0


class Reader:
    """Walks a chat once; `out` is the same text again, each piece with its kind."""

    def __init__(self, pieces: list[parsed.Piece]) -> None:
        self.pieces = pieces
        self.lines = [clean.line(piece.text) for piece in pieces]
        self.out: list[parsed.Piece] = []
        self.posts: list[Post] = []
        self.unknown: list[tuple[int, str, str]] = []
        self.staff_posts: collections.Counter[str] = collections.Counter()
        # Where text goes: the pieces of the running question or answer, and the kind.
        self.kind = ''
        self.target: list[parsed.Piece] = []
        # Text between two posts: the last line of it may prove to be a topic.
        self.pending: list[parsed.Piece] = []
        self.names, self.host = self._people()

    def read(self) -> None:
        i = 0
        while i < len(self.pieces):
            i += self._step(i)
        self._drop_pending()

    def _step(self, i: int) -> int:
        """Takes the piece at i, and those that belong to it; how many were taken."""
        piece, line = self.pieces[i], self.lines[i]
        if piece.kind in ('footer', 'tally'):
            self._take(piece, piece.kind)
            self._close()
            return 1
        if not line:
            self._text(piece)
            return 1
        if length := self._guest_stamp(i):
            topic = self._topic()
            for stamp in self.pieces[i : i + length]:
                self._take(stamp, 'stamp')
            joined = ' '.join(self.lines[i : i + length])
            found = chat_lines.stamp(joined)
            time = found[1] if found else joined.removeprefix('Guest').strip()
            self._open(piece.line, topic=topic, time=time)
            return length + self._question_label(i + length)
        if chat_lines.is_staff_stamp(line, self.names):
            self._staff_post(piece, line)
            return 1
        if chat_lines.label(piece.text) == 'QUESTION' and not self.kind:
            # Between two posts only a post can open: its stamp is missing or odd.
            self._open(piece.line, topic=self._topic(), time='')
            return self._question_label(i)
        if line.lower() == 'avatar' and (taken := self._reply(i)):
            return taken
        if not self.kind and chat_lines.is_number(line) and self._tally_is_due():
            self._take(piece, 'tally')
            return 1
        self._text(piece)
        return 1

    def _guest_stamp(self, i: int) -> int:
        """How many pieces at i are the stamp of a guest's post; 0 where none is."""
        line = self.lines[i]
        following = self._next(i)
        if line == 'Guest' and following is not None:
            found = chat_lines.stamp(self.lines[following])
            if found is not None and not found[0]:
                return following - i + 1
        if chat_lines.is_guest_stamp(line):
            return 1
        opens = (
            following is not None
            and chat_lines.label(self.pieces[following].text) == 'QUESTION'
        )
        odd = line.startswith('Guest') and len(line) <= 60 and not self.kind
        return int(opens and (odd or chat_lines.stamp(line) is not None))

    def _open(self, line: int, *, topic: str, time: str) -> None:
        self.posts.append(Post(line=line, topic=topic, time=time, labelled=False))
        self.kind, self.target = parsed.QUESTION, self.posts[-1].question

    def _question_label(self, i: int) -> int:
        """Takes the label QUESTION: of the post just opened, and blanks before it."""
        at = i if i < len(self.lines) and self.lines[i] else self._next(i)
        if at is None or chat_lines.label(self.pieces[at].text) != 'QUESTION':
            return 0
        for blank in self.pieces[i:at]:
            self._take(blank, 'blank')
        self._labelled(self.pieces[at])
        self.posts[-1].line, self.posts[-1].labelled = self.pieces[at].line, True
        return at - i + 1

    def _labelled(self, piece: parsed.Piece) -> None:
        """Takes a labelled line: the label, then text of the running kind."""
        label, text = chat_lines.split_label(piece, self.kind)
        self.out += [label, text]
        self.target.append(text)

    def _reply(self, i: int) -> int:
        """Takes avatar, name, role and label at i; 0 where they do not stand there."""
        header = self._header(i)
        if header is None:
            following = self._next(i)
            if following is not None and self._opens_post(following):
                self._take(self.pieces[i], 'avatar')
                return 1
            self._note(self.pieces[i])
            return 0
        people, label = header
        if not self.posts or self.kind == 'staff post':
            self._note(self.pieces[i])
            return 0
        end = people[-1] + 1 if label is None else label
        for piece in self.pieces[i:end]:
            self._take(piece, 'name and role')
        if self._is_columnist([self.lines[p] for p in people]):
            self.kind, self.target = parsed.ANSWER, []
            self.posts[-1].answers.append(self.target)
        else:
            self.kind, self.target = 'producer reply', []
            self.posts[-1].producer_replies += 1
        if label is None:
            return end - i
        self._labelled(self.pieces[label])
        return label - i + 1

    def _header(self, i: int) -> tuple[list[int], int | None] | None:
        """Where the name, the role and ANSWER: of the avatar at i stand.

        Name and role are enough where the role is known to be one; the label is enough
        where a name stands before it.
        """
        people: list[int] = []
        at = self._next(i)
        while at is not None and len(people) < 3:
            if self.pieces[at].kind in ('footer', 'tally'):
                break
            if chat_lines.label(self.pieces[at].text) == 'ANSWER':
                return (people, at) if people else None
            if len(self.lines[at]) > 60:
                break
            people.append(at)
            at = self._next(at)
        else:
            if at is not None and chat_lines.label(self.pieces[at].text) == 'ANSWER':
                return people, at
        if len(people) >= 2 and (
            chat_lines.role_answers(self.lines[people[1]]) is not None
        ):
            return people[:2], None
        return None

    def _people(self) -> tuple[set[str], str]:
        """The name and role lines under avatars, joined, and the host's name.

        The host is the commonest name whose role is a columnist's; where no role is,
        the commonest name.
        """
        names: collections.Counter[str] = collections.Counter()
        columnists: collections.Counter[str] = collections.Counter()
        joined = set()
        for i, line in enumerate(self.lines):
            if line.lower() == 'avatar' and (header := self._header(i)):
                people = [self.lines[p] for p in header[0]]
                names[people[0]] += 1
                columnists[people[0]] += bool(chat_lines.role_answers(people[-1]))
                joined.update((people[0], ''.join(people)))
        commonest = (+columnists or names).most_common(1)
        return joined, commonest[0][0] if commonest else ''

    def _is_columnist(self, people: list[str]) -> bool:
        """Whether the role answers; the host does, whatever the role."""
        return people[0] == self.host or bool(chat_lines.role_answers(people[-1]))

    def _staff_post(self, piece: parsed.Piece, line: str) -> None:
        self._drop_pending()
        found = chat_lines.stamp(line)
        name = found[0] if found else ''
        helper = not (self.host and name.startswith(self.host)) and (
            chat_lines.role_answers(name) is False
        )
        self.staff_posts['producer' if helper else 'host'] += 1
        self._take(piece, 'staff stamp')
        self.kind, self.target = 'staff post', []

    def _text(self, piece: parsed.Piece) -> None:
        """A line of the running text; between two posts it waits."""
        if not self.kind:
            self.pending.append(piece)
        else:
            if chat_lines.label(piece.text) and self.kind != 'staff post':
                self._note(piece)
            piece.kind = self.kind
            self.target.append(piece)
        self.out.append(piece)

    def _topic(self) -> str:
        """The line before a stamp, taken back from where it waits or was put."""
        if self.kind:
            # No footer closed the post above, so the topic ended up in its text.
            while self.target and not self.target[-1].text.strip():
                self.target.pop()
            first = bool(self.target) and self.target[-1] is self.target[0]
            if first and self.kind in (parsed.QUESTION, parsed.ANSWER):
                return ''  # all that this text has
            if not self.target:
                return ''
            piece = self.target.pop()
            piece.kind = 'topic'
            self._close()
            return piece.text
        waiting = [piece for piece in self.pending if piece.text.strip()]
        if waiting:
            waiting[-1].kind = 'topic'
        self._drop_pending()
        return waiting[-1].text if waiting else ''

    def _drop_pending(self) -> None:
        """Reports the text that stood between two posts and was no topic."""
        for piece in self.pending:
            if not piece.text.strip():
                piece.kind = 'blank'
            elif piece.kind != 'topic':
                piece.kind = parsed.UNKNOWN
                self.unknown.append((piece.line, piece.text, 'left out'))
        self.pending = []

    def _take(self, piece: parsed.Piece, kind: str) -> None:
        piece.kind = kind
        self.out.append(piece)

    def _close(self) -> None:
        self.kind, self.target = '', []

    def _note(self, piece: parsed.Piece) -> None:
        where = f'kept in the {self.kind}' if self.kind else 'left out'
        self.unknown.append((piece.line, piece.text, where))

    def _opens_post(self, i: int) -> bool:
        return bool(self._guest_stamp(i)) or chat_lines.is_staff_stamp(
            self.lines[i], self.names
        )

    def _tally_is_due(self) -> bool:
        """Whether a footer stands above, with no number of its own below it yet."""
        for piece in reversed(self.out):
            if piece.text.strip():
                counted = any(sign.isdigit() for sign in piece.text)
                return piece.kind == 'footer' or (piece.kind == 'tally' and not counted)
        return False

    def _next(self, i: int) -> int | None:
        """The next piece after i that is not blank."""
        for j in range(i + 1, len(self.lines)):
            if self.lines[j]:
                return j
        return None
