"""The walk over a chat's lines that finds its posts, and says what each line is."""

import collections
import dataclasses

from data_pipeline.pages import chat_lines, chat_script, clean, parsed, set_marks

_LONGEST_TOPIC = 200  # characters; beyond it, it is somebody's paragraph


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
        self.script = chat_script.Script(pieces)
        self.pieces, self.lines = pieces, self.script.lines
        self.out: list[parsed.Piece] = []
        self.posts: list[Post] = []
        self.unknown: list[tuple[int, str, str]] = []
        self.staff_posts: collections.Counter[str] = collections.Counter()
        # Where text goes: the pieces of the running question or answer, and the kind.
        self.kind = ''
        self.target: list[parsed.Piece] = []
        # Text between two posts: the last line of it may prove to be a topic.
        self.pending: list[parsed.Piece] = []
        self.posts_with_topic = 0
        self.posts_without_topic = 0

    def read(self) -> None:
        i = 0
        while i < len(self.pieces):
            i += self._step(i)
        self._drop_pending()

    def _step(self, i: int) -> int:
        """Takes the piece at i, and those that belong to it; how many were taken."""
        piece, line = self.pieces[i], self.lines[i]
        if piece.kind in ('footer', 'tally', set_marks.MARK):
            self._take(piece, piece.kind)
            self._close()
            return 1
        if piece.kind == chat_script.CONTROL:
            self._take(piece, piece.kind)
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
        if self._staff_stamp(i):
            self._staff_post(piece, line)
            return 1
        if self.script.label(i) == 'QUESTION' and not self.kind:
            # Between two posts only a post can open: its stamp is missing or odd.
            self._open(piece.line, topic=self._topic(), time='')
            return self._question_label(i)
        if taken := self._reply(i):
            return taken
        if not self.kind and chat_lines.is_number(line) and self._tally_is_due():
            self._take(piece, 'tally')
            return 1
        self._text(piece)
        return 1

    def _guest_stamp(self, i: int) -> int:
        """How many pieces at i are the stamp of a guest's post; 0 where none is."""
        line = self.lines[i]
        following = self.script.next(i)
        found = chat_lines.stamp(line)
        if line == 'Guest' and following is not None:
            below = chat_lines.stamp(self.lines[following])
            if below is not None and not below[0]:
                return following - i + 1
        opens = self.script.label(following) == 'QUESTION'
        if found is not None and found[0] == 'Guest':
            return int(opens or not self.kind or chat_lines.has_digit(found[1]))
        if opens:
            odd = line.startswith('Guest') and len(line) <= 60 and not self.kind
            return int(odd or found is not None)
        # Where nobody is called Guest, and nothing is labelled, posters have names.
        named = not self.script.has_guests and not self.kind and found is not None
        return int(
            named
            and found is not None
            and bool(found[0])
            and chat_lines.has_digit(found[1])
            and not self._staff_stamp(i)
            and (following is None or chat_lines.stamp(self.lines[following]) is None)
        )

    def _staff_stamp(self, i: int) -> bool:
        return chat_lines.is_staff_stamp(
            self.lines[i],
            self.script.names,
            within_text=self.kind not in ('', 'staff post'),
        )

    def _open(self, line: int, *, topic: str, time: str) -> None:
        self.posts.append(Post(line=line, topic=topic, time=time, labelled=False))
        self.kind, self.target = parsed.QUESTION, self.posts[-1].question

    def _question_label(self, i: int) -> int:
        """Takes the label QUESTION: of the post just opened, and blanks before it."""
        at = self.script.next(i - 1)
        if at is None or self.pieces[at].kind != parsed.UNKNOWN:
            return 0
        if chat_lines.label(self.pieces[at].text, any_case=True) != 'QUESTION':
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
        if self.script.has_avatars:
            if not self.script.is_avatar(i):
                return 0
            found = self.script.header(i)
        else:
            found = self.script.bare_header(i) if self.kind == parsed.QUESTION else None
        if found is None:
            return self._stray_avatar(i) if self.script.is_avatar(i) else 0
        if taken := self._spread_staff_post(i, found):
            return taken
        if not self.posts or self.kind == 'staff post':
            self._note(self.pieces[i])
            return 0
        end = found.people[-1] + 1 if found.label is None else found.label
        for piece in self.pieces[i:end]:
            self._take(piece, 'name and role')
        if self.script.answers(found.people):
            self.kind, self.target = parsed.ANSWER, []
            self.posts[-1].answers.append(self.target)
        else:
            self.kind, self.target = 'producer reply', []
            self.posts[-1].producer_replies += 1
        if found.label is None:
            return end - i
        self._labelled(self.pieces[found.label])
        return found.label - i + 1

    def _spread_staff_post(self, i: int, found: chat_script.Header) -> int:
        """Takes avatar, name, role and a time, a line each, which open a post."""
        at = self.script.next(found.people[-1]) if found.people else None
        if found.label is not None or at is None:
            return 0
        time = chat_lines.stamp(self.lines[at])
        if time is None or time[0] or not chat_lines.has_digit(time[1]):
            return 0
        for piece in self.pieces[i:at]:
            self._take(piece, 'name and role')
        name = ' '.join(self.lines[person] for person in found.people)
        self._staff_post(self.pieces[at], f'{name} {time[1]}')
        return at - i + 1

    def _stray_avatar(self, i: int) -> int:
        """Takes an avatar without a name where a post follows; else it is text."""
        following = self.script.next(i)
        if following is not None and (
            self._guest_stamp(following) or self._staff_stamp(following)
        ):
            self._take(self.pieces[i], 'avatar')
            return 1
        self._note(self.pieces[i])
        return 0

    def _staff_post(self, piece: parsed.Piece, line: str) -> None:
        self._drop_pending()
        found = chat_lines.stamp(line)
        name = found[0] if found else ''
        host = self.script.host
        helper = not (host and name.startswith(host)) and (
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
            piece = self._topic_within_text()
            self._close()
            return piece.text if piece else ''
        waiting = [piece for piece in self.pending if piece.text.strip()]
        if waiting:
            waiting[-1].kind = 'topic'
        self.posts_with_topic += bool(waiting)
        # A chat may begin with its first stamp.
        self.posts_without_topic += not waiting and bool(self.posts)
        self._drop_pending()
        return waiting[-1].text if waiting else ''

    def _topic_within_text(self) -> parsed.Piece | None:
        """The topic at the end of a text that no footer closed, None where none is.

        Nor is one expected in a chat whose posts have had none so far.
        """
        target = self.target
        while target and not target[-1].text.strip():
            target.pop()
        if not target or len(target[-1].text) > _LONGEST_TOPIC:
            return None
        if self.posts_without_topic > self.posts_with_topic:
            return None
        if len(target) == 1 and self.kind in (parsed.QUESTION, parsed.ANSWER):
            return None  # all that this text has
        piece = target.pop()
        piece.kind = 'topic'
        if self.unknown and self.unknown[-1][:2] == (piece.line, piece.text):
            self.unknown.pop()
        if len(target) > 1 and chat_lines.is_number(clean.line(target[-1].text)):
            target.pop().kind = 'tally'
        return piece

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
        """Reports a line kept as text; what stands between posts is reported later."""
        if self.kind:
            self.unknown.append((piece.line, piece.text, f'kept in the {self.kind}'))

    def _tally_is_due(self) -> bool:
        """Whether a footer stands above, with no number of its own below it yet."""
        for piece in reversed(self.out):
            if piece.text.strip():
                _, _, below = piece.text.rpartition('Like')
                counted = any(sign.isdigit() for sign in below)
                return piece.kind in ('footer', 'tally') and not counted
        return False
