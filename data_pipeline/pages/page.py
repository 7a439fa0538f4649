"""A written page in pieces of known kinds, and the pairs of the page."""

import collections
import dataclasses
import itertools
import pathlib
import re
from collections.abc import Iterable, Sequence

from data_pipeline.pages import characters
from hax_jax.data import records

# Only text of these two kinds is in a pair; every other kind is left out and counted.
QUESTION, ANSWER = 'question', 'answer'
_WITHOUT_PAIR = {kind: f'{kind} without pair' for kind in (QUESTION, ANSWER)}
UNKNOWN = 'unknown'
# Why pairs are left out whose question may have another answer.
APART = 'questions apart from their answers'
BELOW = 'questions below their answers, it seems'
FIELD = 'field of a pair'
RECORD = 'end of a record'  # a line between texts that have nothing to do with others
_FEWEST_BLOCKS = 3  # above questions
# The share of a file's labels below which those of a kind may be words of a text.
FEW = 0.2
_LABEL_WORD = re.compile(r'QUESTION|ANSWER', re.IGNORECASE)
_LABEL = re.compile(
    r'(?:[\s*_#]|<(?:p|div|span|b|strong|i|em|h\d)>){0,9}(QUESTION|ANSWER)'
    r'(?:[\s*_]|</(?:span|b|strong|i|em)>){0,9}:',
    re.IGNORECASE,
)
# Lines such as 'Tags: family' that stand with each pair of a file.
_FIELD_LINE = re.compile(
    r'[\s*_>-]{0,6}(id|url|links?|permalink|source|tags?|keywords|category|categories'
    r'|topic|title|subject|date|posted|updated|author|name|location|language|type'
    r'|score|votes|upvotes|likes|views|rating|difficulty'
    r'|(?:asked|answered|posted|submitted|written|reviewed) by)[*_]{0,3}\s?[:：]',
    re.IGNORECASE,
)
# Sections beside a question and its answer, of any number of lines.
_SECTION = re.compile(
    r'[\s*_>#-]{0,9}(?P<word>context|passage|background|comments?|references?'
    r'|(?P<wrong>(?:wrong|bad|incorrect|rejected|poor) (?:answer|response|reply)))'
    r'[*_]{0,3}\s?[:：]',
    re.IGNORECASE,
)
# 'File: a.txt', 'id=7', the first line of a block above each question.
_HEADER = re.compile(
    r'[\s*_#>-]{0,9}(\w[\w ]{0,30}?)[*_]{0,3}\s?[:：=]'
    r'(?:\s*#?(?P<number>\d{1,9})\s*\Z)?'
)
_RECORD, _FEWEST_RECORDS = re.compile(r'%+\s*'), 3
# More tildes are a rule.
_FENCE = re.compile(r'\s{0,3}(`{3,}|~{3,5}(?!~))\s*(.*)')
_RULE = re.compile(
    r'\s*(?:-{3,}|={3,}|_{3,}|\*{3,}|(?:\* ){2,}\*|(?:- ){2,}-|[—–─━═▬]{3,}'
    r'|[~+#•·]{8,}|%+|(?:-=){3,}-?|(?:=-){3,}=?)\s*'
)
HEADING = re.compile(r'\s{0,3}(#{1,6})\s+\S')


@dataclasses.dataclass
class Piece:
    """A line of the page, or a part of one, and its kind.

    `is_code` says that it stands in a fenced block, where no label is one.
    """

    line: int
    text: str
    kind: str
    is_code: bool = False

    @property
    def clean(self) -> str:
        """The text as the parsers compare it."""
        return characters.clean_line(self.text)

    @property
    def label(self) -> str:
        """The label that opens a piece of unknown kind; '' for every other piece."""
        is_text = self.kind == UNKNOWN and not self.is_code
        return label(self.text) if is_text else ''

    def cut(self, ends: Iterable[tuple[int, str]]) -> list['Piece']:
        """The piece in parts, one up to each (end, kind)."""
        parts, start = [], 0
        for end, kind in ends:
            parts.append(Piece(self.line, self.text[start:end], kind, self.is_code))
            start = end
        return parts

    def split_label(self, kind: str) -> list['Piece']:
        """The label of a labelled line, and the text after it as a piece of `kind`."""
        end = self.text.index(':') + 1
        if '*' in self.text[:end] or '_' in self.text[:end]:
            end += len(self.text[end:]) - len(self.text[end:].lstrip('*_'))
        end += self.text[end : end + 1] == ' '
        return self.cut([(end, 'label'), (len(self.text), kind)])


@dataclasses.dataclass
class Page:
    """One file, by its name, as its parser read it.

    `pieces` holds the whole text in its order; the words of the pairs are the words of
    the pieces of kind question and answer. `unknown` holds (line, text, where the text
    went) for each line that no rule explains, `dropped` (line, name, reason) for each
    post that made no pair.
    """

    file: str
    pieces: list[Piece] = dataclasses.field(default_factory=list)
    pairs: list[records.QaPair] = dataclasses.field(default_factory=list)
    counts: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    unknown: list[tuple[int, str, str]] = dataclasses.field(default_factory=list)
    dropped: list[tuple[int, str, str]] = dataclasses.field(default_factory=list)

    def note(self, piece: Piece, where: str) -> None:
        """Reports a piece that no rule explains, and where its text went."""
        self.unknown.append((piece.line, piece.text, where))

    def append(self, below: 'Page', *, lines: int) -> None:
        """Adds a page that stands below this one, whose lines these are behind."""
        for piece in below.pieces:
            piece.line += lines
        self.pieces += below.pieces
        self.pairs += [
            dataclasses.replace(pair, line=pair.line + lines) for pair in below.pairs
        ]
        self.counts.update(below.counts)
        for held, added in (
            (self.unknown, below.unknown),
            (self.dropped, below.dropped),
        ):
            held += [(line + lines, *rest) for line, *rest in added]

    def leave_out(self, pieces: Iterable[Piece]) -> None:
        """Reports pieces between two posts that no rule explains; marks blank ones."""
        for piece in pieces:
            if not piece.text.strip():
                piece.kind = 'blank'
            elif piece.kind == UNKNOWN:
                self.note(piece, 'left out')

    def add(
        self,
        question: str,
        answer: str,
        *,
        source: str,
        line: int,
        pair_id: str = '',
        group: str = '',
        topic: str = '',
        time: str = '',
        score: int = 0,
        flags: tuple[str, ...] = (),
    ) -> None:
        """Adds a pair; an id '' becomes source, file's name and a hash of its texts.

        A `group` '' is the pair's own.
        """
        stem = pathlib.PurePath(self.file).stem
        pair_id = pair_id or f'{source}:{stem}:{content_hash(question, answer)}'
        self.pairs.append(
            records.QaPair(
                id=pair_id,
                group=group or pair_id,
                source=source,
                file=self.file,
                line=line,
                topic=topic,
                time=time,
                question=question,
                answer=answer,
                score=score,
                flags=flags,
            )
        )

    def drop(
        self, line: int, name: str, reason: str, pieces: Iterable[Piece] = ()
    ) -> None:
        """Counts and reports a post that makes no pair; `pieces` are its texts."""
        self.counts[reason] += 1
        self.dropped.append((line, name, reason))
        for piece in pieces:
            piece.kind = _WITHOUT_PAIR.get(piece.kind, piece.kind)


def raw_lines(text: str) -> list[Piece]:
    """The lines of a page as pieces of unknown kind, numbered from 1."""
    lines = text.replace('\r\n', '\n').replace('\r', '\n').split('\n')
    pieces = [Piece(i, line, UNKNOWN) for i, line in enumerate(lines, start=1)]
    if '```' in text or '~~~' in text:
        _mark_code(pieces)
    return pieces


def _mark_code(pieces: Sequence[Piece]) -> None:
    """Marks the lines of fenced blocks, the fences included.

    A fence that is not closed, or has another with a language below it, opens none.
    """
    start, sign = -1, ''
    for i, piece in enumerate(pieces):
        if not (fence := _FENCE.fullmatch(piece.text)):
            continue
        if start < 0 or fence[2]:
            start, sign = i, fence[1]
        elif fence[1].startswith(sign):
            for each in pieces[start : i + 1]:
                each.is_code = True
            start = -1


def label(text: str, *, any_case: bool = False) -> str:
    """'QUESTION' or 'ANSWER' where the line opens with that label, else ''.

    People begin sentences with `Question:` too: give `any_case` only where a label must
    follow.
    """
    head = text[:200]
    if ':' not in head or not _LABEL_WORD.search(head):
        return ''  # the case of almost every line, found without cleaning it
    match = _LABEL.match(characters.clean(head))
    if not match or not (any_case or match[1].isupper()):
        return ''
    return match[1].upper()


def mark_fields(pieces: Sequence[Piece], opens: Sequence[str], found: Page) -> None:
    """Marks and counts the lines of fields that end half of a page's texts or more.

    `opens` has the kind of the text that a piece's label opens, '' for other pieces.
    'Tags: a' above each ANSWER: and 'Source: b' below each answer are such lines. A
    section such as 'Context: …' above each question ends with the text it stands in.
    """
    ends: dict[str, list[Piece]] = {}
    at = [i for i, is_open in enumerate(opens) if is_open]
    for above, below in zip([-1, *at], [*at, len(pieces)], strict=True):
        for piece in reversed(pieces[above + 1 : below]):
            match = _FIELD_LINE.match(piece.text) if not piece.is_code else None
            if match and piece.kind == UNKNOWN:
                ends.setdefault(match[1].lower(), []).append(piece)
            elif piece.text.strip() and not is_rule(piece.text):
                break
    _mark_headers(pieces, opens, found)
    for word, lines in ends.items():
        if len(lines) >= max(2, len(at) / 4):  # of two labels a pair
            found.counts[f'lines {word}: of pairs, left out'] += len(lines)
            for piece in lines:
                piece.kind = FIELD
    _mark_sections(pieces, opens, found)


def _mark_headers(pieces: Sequence[Piece], opens: Sequence[str], found: Page) -> None:
    """Marks and counts the blocks of lines that stand above questions, below a blank.

    Each opens with the word of the page's first line, as no other line does: 'File: a'.
    Where one stands above several questions that ask of it, each is one paragraph, or
    their numbers count the records: 'id=1', 'id=2', 'id=3'.
    """
    asked = [i for i, kind in enumerate(opens) if kind == QUESTION]
    if len(asked) < _FEWEST_BLOCKS:
        return
    words = [_HEADER.match(piece.text) for piece in pieces[: asked[-1]]]
    names = [word[1].lower() if word else '' for word in words]
    first = next((n for n, p in zip(names, pieces, strict=False) if p.text.strip()), '')
    starts = [
        i
        for i, name in enumerate(names)
        if name == first and not pieces[i].is_code and not opens[i]
    ]
    below = [next(j for j in range(i, len(opens)) if opens[j]) for i in starts]
    are_above = all(opens[j] == QUESTION for j in below) and len({*below}) == len(below)
    are_apart = all(not pieces[start - 1].text.strip() for start in starts[1:])
    numbers = [words[i]['number'] for i in starts if first]
    are_counted = all(numbers) and all(
        int(b) == int(a) + 1 for a, b in itertools.pairwise(numbers)
    )
    blocks = [pieces[i:j] for i, j in zip(starts, below, strict=True)]
    are_whole = len(starts) == len(asked) or all(map(_is_paragraph, blocks))
    are_whole, are_apart = are_whole or are_counted, are_apart or are_counted
    is_one = first and len(starts) >= _FEWEST_BLOCKS and are_whole
    if not is_one or not are_above or not are_apart:
        return
    found.counts[f'blocks {first}: above questions, left out'] += len(starts)
    for piece in itertools.chain(*blocks):
        piece.kind = FIELD if piece.kind == UNKNOWN else piece.kind


def _is_paragraph(pieces: Sequence[Piece]) -> bool:
    """Whether no text stands below a blank line."""
    lines = itertools.dropwhile(lambda each: each.text.strip(), pieces)
    return not any(each.text.strip() for each in lines)


def _mark_sections(pieces: Sequence[Piece], opens: Sequence[str], found: Page) -> None:
    """Marks and counts the sections that end half of a page's texts of a kind or more.

    What stands below a question as its context is a part of it.
    """
    sections: dict[str, list[Sequence[Piece]]] = {}
    at = [i for i, kind in enumerate(opens) if kind]
    for above, below in zip([-1, *at], [*at, len(pieces)], strict=True):
        kind = opens[above] if above >= 0 else ''
        for i, piece in enumerate(pieces[above + 1 : below], start=above + 1):
            is_text = piece.kind == UNKNOWN and not piece.is_code
            match = _SECTION.match(piece.text) if is_text else None
            if match and (kind != QUESTION or match['wrong']):
                word = ' '.join(match['word'].lower().split())
                sections.setdefault(word, []).append(pieces[i:below])
                break
    for word, parts in sections.items():
        if len(parts) >= max(2, len(at) / 4):
            found.counts[f'sections {word}: of pairs, left out'] += len(parts)
            for piece in itertools.chain(*parts):
                piece.kind = FIELD if piece.kind == UNKNOWN else piece.kind


def apart(answered: Sequence[bool], further: Sequence[bool]) -> set[int]:
    """The places of questions in a block, with all answers in a block below the last.

    `answered` says which have an answer, `further` which are the question above once
    more, for another answer. Which answer belongs to which question is not known.
    """
    found: set[int] = set()
    above = 0  # questions without an answer right above
    for i, is_answered in enumerate(answered):
        if further[i]:
            continue
        if not is_answered:
            above += 1
            continue
        more = sum(1 for _ in itertools.takewhile(bool, further[i + 1 :]))
        if more and (above > 1 or above == more):
            found.update(range(i - above, i + more + 1))
        above = 0
    return found


def are_above(pieces: Sequence[Piece], opens: Sequence[str]) -> bool:
    """Whether answers stand above their questions, by the blank lines between them.

    `opens` has the kind of the text that a piece's label opens, '' for other pieces.
    A file that opens with an answer and ends in a question may be a part of another
    file: then blank lines stand above its questions.
    """
    at = [i for i, kind in enumerate(opens) if kind]
    if len(at) < 4 or opens[at[0]] != ANSWER or opens[at[-1]] != QUESTION:
        return False
    is_apart = {QUESTION: 0, ANSWER: 0}
    for i in at[1:]:
        is_apart[opens[i]] += not pieces[i - 1].text.strip()
    return is_apart[ANSWER] > is_apart[QUESTION]


def is_rule(line: str) -> bool:
    """Whether a line is '---', '***', '=====', '-=-=-=-=-' or the like."""
    return bool(_RULE.fullmatch(line))


def ends_records(pieces: Sequence[Piece]) -> None:
    """Marks the lines '%', '%%' that part a file's records, as fortune has them."""
    lines = [p for p in pieces if not p.is_code and _RECORD.fullmatch(p.text)]
    if len(lines) >= _FEWEST_RECORDS:
        for piece in lines:
            piece.kind = RECORD


def take_topic(between: Sequence[Piece]) -> str:
    """The last line with text between two posts, marked as a topic; '' for none."""
    for piece in reversed(between):
        if piece.text.strip():
            piece.kind = 'topic'
            return piece.text
    return ''


def clean_text(pieces: Iterable[Piece], kind: str) -> str:
    """The cleaned text of the pieces of one kind, a line each."""
    return characters.clean('\n'.join(p.text for p in pieces if p.kind == kind))


def words(pieces: Iterable[Piece]) -> collections.Counter[str]:
    """The number of words (runs without blanks) of each kind."""
    counts: collections.Counter[str] = collections.Counter()
    for piece in pieces:
        counts[piece.kind] += len(piece.text.split())
    return counts


def content_hash(*texts: str) -> str:
    """Twelve hex digits that depend on the texts, such as a question and an answer."""
    return records.sha256(texts)[:12]
