"""The walk over a chat's lines that finds its posts and the kind of each line."""

import dataclasses

from data_pipeline.pages import chat_grammar, chat_speakers, oversample_marks, page

_LONGEST_TOPIC = 200  # characters; a longer line is a paragraph


@dataclasses.dataclass
class Post:
    """One guest's post; its texts are the pieces of kind question and answer."""

    line: int
    topic: str = ''
    time: str = ''
    labelled: bool = False
    question: list[page.Piece] = dataclasses.field(default_factory=list)
    answers: list[list[page.Piece]] = dataclasses.field(default_factory=list)
    producer_replies: int = 0


def find(pieces: list[page.Piece], found: page.Page) -> list[Post]:
    """The posts; `found` gets the pieces with their kinds, and unknown lines."""
    walk = _Walk(pieces, found)
    i = 0
    while i < len(pieces):
        i += walk.step(i)
    walk.drop_pending()
    return walk.posts


class _Walk:
    """Goes through a chat once; `found.pieces` is the same text again, with kinds."""

    def __init__(self, pieces: list[page.Piece], found: page.Page) -> None:
        self.speakers = chat_speakers.Speakers(pieces)
        self.pieces, self.lines = pieces, self.speakers.lines
        self.found = found
        self.posts: list[Post] = []
        # The kind of the running text, and the pieces of its question or answer.
        self.kind = ''
        self.target: list[page.Piece] = []
        # Text between two posts: its last line may prove to be a topic.
        self.pending: list[page.Piece] = []
        self.posts_with_topic = 0
        self.posts_without_topic = 0

    def step(self, i: int) -> int:
        """Takes the piece at i and the pieces that belong to it; returns how many."""
        piece, line = self.pieces[i], self.lines[i]
        if piece.kind in ('footer', 'tally', oversample_marks.MARK):
            self._take(piece, piece.kind)
            self._close()
            return 1
        if piece.kind == chat_speakers.CONTROL:
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
            found = chat_grammar.stamp(joined)
            time = found[1] if found else joined.removeprefix('Guest').strip()
            self._open(Post(piece.line, topic, time))
            return length + self._question_label(i + length)
        if self._staff_stamp(i):
            self._staff_post(piece, line)
            return 1
        if self.speakers.label(i) == 'QUESTION' and not self.kind:
            # Between two posts only a post can open: its stamp is missing or odd.
            self._open(Post(piece.line, self._topic()))
            return self._question_label(i)
        if taken := self._reply(i):
            return taken
        if not self.kind and chat_grammar.is_number(line) and self._tally_is_due():
            self._take(piece, 'tally')
            return 1
        self._text(piece)
        return 1

    def drop_pending(self) -> None:
        """Reports the text between two posts that was no topic."""
        self.found.leave_out(self.pending)
        self.pending = []

    def _guest_stamp(self, i: int) -> int:
        """How many pieces at i are the stamp of a guest's post; 0 for no stamp."""
        line = self.lines[i]
        following = self.speakers.next(i)
        found = chat_grammar.stamp(line)
        below = None if following is None else chat_grammar.stamp(self.lines[following])
        if line == 'Guest' and following and below is not None and not below[0]:
            return following - i + 1
        opens = self.speakers.label(following) == 'QUESTION'
        if found is not None and found[0] == 'Guest':
            return int(opens or not self.kind or chat_grammar.has_digit(found[1]))
        if opens:
            odd = line.startswith('Guest') and len(line) <= 60 and not self.kind
            return int(odd or found is not None)
        # On a page without Guest and labels, posters have names.
        return int(
            not self.speakers.has_guests
            and not self.kind
            and found is not None
            and bool(found[0])
            and chat_grammar.has_digit(found[1])
            and not self._staff_stamp(i)
            and below is None
        )

    def _staff_stamp(self, i: int) -> bool:
        return chat_grammar.is_staff_stamp(
            self.lines[i],
            self.speakers.names,
            within_text=self.kind not in ('', 'staff post'),
        )

    def _open(self, post: Post) -> None:
        self.posts.append(post)
        self.kind, self.target = page.QUESTION, post.question

    def _question_label(self, i: int) -> int:
        """Takes the label QUESTION: of the post just opened, and blanks above it."""
        at = self.speakers.next(i - 1)
        if at is None or self.pieces[at].kind != page.UNKNOWN:
            return 0
        if page.label(self.pieces[at].text, any_case=True) != 'QUESTION':
            return 0
        for blank in self.pieces[i:at]:
            self._take(blank, 'blank')
        self._labelled(self.pieces[at])
        self.posts[-1].line, self.posts[-1].labelled = self.pieces[at].line, True
        return at - i + 1

    def _labelled(self, piece: page.Piece) -> None:
        """Takes a labelled line: the label, then text of the running kind."""
        parts = piece.split_label(self.kind)
        self.found.pieces += parts
        self.target.append(parts[1])

    def _reply(self, i: int) -> int:
        """Takes avatar, name, role and label at i; returns 0 for any other line."""
        if self.speakers.has_avatars:
            if not self.speakers.is_avatar(i):
                return 0
            found = self.speakers.header(i)
        else:
            found = self.speakers.bare_header(i) if self.kind == page.QUESTION else None
        if found is None:
            return self._stray_avatar(i) if self.speakers.is_avatar(i) else 0
        if taken := self._spread_staff_post(i, found):
            return taken
        if not self.posts or self.kind == 'staff post':
            self._note(self.pieces[i])
            return 0
        end = found.people[-1] + 1 if found.label is None else found.label
        for piece in self.pieces[i:end]:
            self._take(piece, 'name and role')
        if self.speakers.answers(found.people):
            self.kind, self.target = page.ANSWER, []
            self.posts[-1].answers.append(self.target)
        else:
            self.kind, self.target = 'producer reply', []
            self.posts[-1].producer_replies += 1
        if found.label is None:
            return end - i
        self._labelled(self.pieces[found.label])
        return found.label - i + 1

    def _spread_staff_post(self, i: int, found: chat_speakers.Header) -> int:
        """Takes avatar, name, role and a time on a line each, which open a post."""
        at = self.speakers.next(found.people[-1]) if found.people else None
        if found.label is not None or at is None:
            return 0
        time = chat_grammar.stamp(self.lines[at])
        if time is None or time[0] or not chat_grammar.has_digit(time[1]):
            return 0
        for piece in self.pieces[i:at]:
            self._take(piece, 'name and role')
        name = ' '.join(self.lines[person] for person in found.people)
        self._staff_post(self.pieces[at], f'{name} {time[1]}')
        return at - i + 1

    def _stray_avatar(self, i: int) -> int:
        """Takes an avatar without a name above a post; elsewhere it is text."""
        below = self.speakers.next(i)
        if below is not None and (self._guest_stamp(below) or self._staff_stamp(below)):
            self._take(self.pieces[i], 'avatar')
            return 1
        self._note(self.pieces[i])
        return 0

    def _staff_post(self, piece: page.Piece, line: str) -> None:
        self.drop_pending()
        found = chat_grammar.stamp(line)
        name = found[0] if found else ''
        host = self.speakers.host
        is_host = bool(host) and name.startswith(host)
        helper = not is_host and chat_grammar.role_answers(name) is False
        self.found.counts[f'chat {"producer" if helper else "host"} posts'] += 1
        self._take(piece, 'staff stamp')
        self.kind, self.target = 'staff post', []

    def _text(self, piece: page.Piece) -> None:
        """Takes a line of the running text; between two posts it waits."""
        if not self.kind:
            self.pending.append(piece)
        else:
            if piece.label and self.kind != 'staff post':
                self._note(piece)
            piece.kind = self.kind
            self.target.append(piece)
        self.found.pieces.append(piece)

    def _topic(self) -> str:
        """The line above a stamp, taken out of the text or of the pending lines."""
        if self.kind:
            piece = self._topic_within_text()
            self._close()
            return piece.text if piece else ''
        topic = page.take_topic(self.pending)
        self.posts_with_topic += bool(topic)
        # A chat may begin with its first stamp.
        self.posts_without_topic += not topic and bool(self.posts)
        self.drop_pending()
        return topic

    def _topic_within_text(self) -> page.Piece | None:
        """The topic at the end of a text that no footer closed, None for none.

        A chat whose posts have had no topics so far has none here either.
        """
        target = self.target
        while target and not target[-1].text.strip():
            target.pop()
        if not target or len(target[-1].text) > _LONGEST_TOPIC:
            return None
        if self.posts_without_topic > self.posts_with_topic:
            return None
        if len(target) == 1 and self.kind in (page.QUESTION, page.ANSWER):
            return None  # the text has no other line
        piece = target.pop()
        piece.kind = 'topic'
        unknown = self.found.unknown
        if unknown and unknown[-1][:2] == (piece.line, piece.text):
            unknown.pop()
        if len(target) > 1 and chat_grammar.is_number(target[-1].clean):
            target.pop().kind = 'tally'
        return piece

    def _take(self, piece: page.Piece, kind: str) -> None:
        piece.kind = kind
        self.found.pieces.append(piece)

    def _close(self) -> None:
        self.kind, self.target = '', []

    def _note(self, piece: page.Piece) -> None:
        """Reports a line kept as text; lines between posts are reported later."""
        if self.kind:
            self.found.note(piece, f'kept in the {self.kind}')

    def _tally_is_due(self) -> bool:
        """Whether the last line is a footer or a tally without a number of its own."""
        for piece in reversed(self.found.pieces):
            if piece.text.strip():
                _, _, below = piece.text.rpartition('Like')
                counted = any(sign.isdigit() for sign in below)
                return piece.kind in ('footer', 'tally') and not counted
        return False
