"""Reddit posts in Markdown to pairs: a post's title and body, and one comment.

    ==== (80 of them)
    # Reddit Post 1
    # Score: 12 | Date: 2025-03-01
    # URL: https://www.reddit.com/r/relationships/comments/abc123/the_title/
    ====
                                             blank lines may be missing or many
    QUESTION: title

    body, over many lines

    ANSWER: comment, over many lines

Only such a header separates posts: `#`, `---`, `====`, QUESTION: and ANSWER: are all
found in what people write.
"""

import dataclasses
import re

from data_pipeline import chat_lines, clean, merged, parsed
from hax_jax import records

_RULE = re.compile(r'={20,}')
_POST = re.compile(r'#+ *Reddit Post\b.*', re.IGNORECASE)
_SCORE = re.compile(r'Score: *(-?[\d,.]+)([kKmM]?)')
_DATE = re.compile(r'Date: *([^|\n]*[^|\s])')
_POST_URL = re.compile(r'/comments/(\w+)|redd\.it/(\w+)')
_SUBREDDIT = re.compile(r'/r/(\w+)')
_KNOWN_HEADER = re.compile(
    r'#+ *(?:Reddit Post\b|Score:|Date:|URL:|$).*', re.IGNORECASE
)

_UPDATE = re.compile(
    r'^\W*(?:[\w’\']+\W+){0,2}update\b|[\[(]\W*(?:\w+ )?update\b|\bupdate\W*$'
    r'|\b(?-i:UPDATE)\b|\bupdate:',
    re.IGNORECASE,
)
_REMOVED = ('[deleted]', '[removed]', '[ removed by reddit ]', '[deleted by user]')
# How moderation bots sign, and how they open, in any of the forums.
_BOT_SIGNATURE = re.compile(
    r"\W*(?:i am|i'm) a bot,? and this (?:action|comment) was (?:performed|posted)"
    r' automatically'
    r'|[^>].*\bi am a bot, and this action was performed automatically\W+'
    r'please \W*contact the moderators',
    re.IGNORECASE,
)
_BOT_OPENING = re.compile(
    r'[\W_]*automod\b|\W*welcome to /?r/\w+\W+please make sure you \W*read our rules',
    re.IGNORECASE,
)
# One of these is in all that either finds.
_BOT_WORDS = ('a bot', 'automod', 'welcome to')


@dataclasses.dataclass(frozen=True)
class _Header:
    """One post's header block: lines [start, end) of the file."""

    start: int
    end: int
    score: int = 0
    date: str = ''
    post_id: str = ''
    subreddit: str = ''

    @property
    def name(self) -> str:
        """The post in reports, '' where its header has no URL."""
        return f'reddit:{self.post_id}' if self.post_id else ''


def has_header(text: str) -> bool:
    """Whether a post's header block stands in the text."""
    pieces = parsed.raw_lines(text)
    return bool(_headers([clean.line(piece.text) for piece in pieces]))


def parse(text: str, *, file: str) -> parsed.Parsed:
    """The pairs of one file of posts; `file` names it in the records."""
    pieces = parsed.raw_lines(text)
    lines = [clean.line(piece.text) for piece in pieces]
    headers = _headers(lines)
    first = headers[0].start if headers else len(pieces)
    # What stands above the first header may be pairs that were merged in without any.
    above = '\n'.join(piece.text for piece in pieces[:first])
    result = merged.parse(above, file=file) if first else parsed.Parsed(pieces=[])
    for header, following in zip(headers, [*headers[1:], None], strict=True):
        end = len(pieces) if following is None else following.start
        for i in range(header.start, header.end):
            pieces[i].kind = 'header'
            if not _KNOWN_HEADER.fullmatch(lines[i]) and not _RULE.fullmatch(lines[i]):
                result.unknown.append((i + 1, pieces[i].text, 'left out of the header'))
        result.pieces += pieces[header.start : header.end]
        _add(header, pieces[header.end : end], file=file, result=result)
    return result


def _add(
    header: _Header, body: list[parsed.Piece], *, file: str, result: parsed.Parsed
) -> None:
    """Counts one post and, where it has both texts, adds its pair."""
    result.counts['reddit posts'] += 1
    post = _sections(body, result)
    if post is None:
        filled = any(piece.text.strip() for piece in body)
        kind = 'posts without QUESTION:' if filled else 'headers without a body'
        result.counts[f'reddit {kind}'] += 1
        result.dropped.append((header.start + 1, header.name, f'reddit {kind}'))
        _leave_out(body, result)
        return
    result.pieces += post
    texts = [piece for piece in post if piece.kind == parsed.QUESTION]
    title = clean.text(texts[0].text)
    rest = clean.text('\n'.join(piece.text for piece in texts[1:]))
    question = f'{title}\n\n{rest}'.strip()
    answer = clean.text(parsed.join(post, parsed.ANSWER))
    flags = []
    if not rest:
        flags.append('title only')
        result.counts['reddit title-only posts'] += 1
    if _UPDATE.search(title):
        flags.append('update')
        result.counts['reddit update posts'] += 1
    missing = _why_unanswered(question, answer, post)
    if missing:
        result.counts[f'reddit {missing}'] += 1
        result.dropped.append((texts[0].line, header.name, f'reddit {missing}'))
        return
    result.counts['reddit posts answered'] += 1
    post_id = header.post_id or parsed.content_hash(question, answer)
    forum = header.subreddit
    result.pairs.append(
        records.QaPair(
            id=f'reddit:{post_id}',
            group=f'reddit:{post_id}',
            source=f'reddit:{forum}' if forum else 'reddit',
            file=file,
            line=texts[0].line,
            topic='',
            time=header.date,
            question=question,
            answer=answer,
            score=header.score,
            flags=tuple(flags),
        )
    )


def _why_unanswered(question: str, answer: str, post: list[parsed.Piece]) -> str:
    """What keeps a post from being a pair, '' where nothing does."""
    if not answer:
        labels = sum(piece.kind == 'label' for piece in post)
        return 'posts with an empty answer' if labels > 1 else 'posts unanswered'
    if not question:
        return 'posts without question text'
    if is_bot(answer):
        return 'AutoModerator answers'
    return 'removed answers' if answer.lower() in _REMOVED else ''


def is_bot(answer: str) -> bool:
    """Whether a moderation bot wrote the comment: its opening, or its signature below.

    A person who quotes or plays a bot within a paragraph is not taken for one.
    """
    # Dumps ask of each comment: most have none of the words that the patterns need.
    lowered = answer.lower()
    if not any(word in lowered for word in _BOT_WORDS):
        return False
    last = [line for line in answer.split('\n') if line.strip()][-2:]
    signed = any(
        _BOT_SIGNATURE.match(line) and not line.lstrip().startswith('>')
        for line in last
    )
    return signed or bool(_BOT_OPENING.match(answer))


def is_update(title: str) -> bool:
    """Whether a title says that its post goes on from an earlier one."""
    return bool(_UPDATE.search(title))


def is_removed(cleaned: str) -> bool:
    """Whether a text is only the mark that Reddit leaves of a removed one."""
    return cleaned.lower() in _REMOVED


def _sections(
    body: list[parsed.Piece], result: parsed.Parsed
) -> list[parsed.Piece] | None:
    """The body with its labels split off and each piece given its kind.

    The answer opens at the first ANSWER: below a blank line, as it is written; at the
    first one at all where no blank line stands before any.
    """
    labels = [chat_lines.label(piece.text) for piece in body]
    if 'QUESTION' not in labels:
        return None
    opens = labels.index('QUESTION')
    candidates = [i for i in range(opens, len(body)) if labels[i] == 'ANSWER']
    below_blank = [i for i in candidates if not body[i - 1].text.strip()]
    answer = next(iter(below_blank or candidates), len(body))
    _leave_out(body[:opens], result)
    post = []
    for i, piece in enumerate(body[opens:], start=opens):
        kind = parsed.QUESTION if i < answer else parsed.ANSWER
        if i in (opens, answer):
            post += chat_lines.split_label(piece, kind)
            continue
        if labels[i]:
            result.unknown.append((piece.line, piece.text, f'kept in the {kind}'))
        piece.kind = kind
        post.append(piece)
    return post


def _leave_out(pieces: list[parsed.Piece], result: parsed.Parsed) -> None:
    for piece in pieces:
        piece.kind = parsed.UNKNOWN if piece.text.strip() else 'blank'
        if piece.kind == parsed.UNKNOWN:
            result.unknown.append((piece.line, piece.text, 'left out'))
    result.pieces += pieces


def _headers(lines: list[str]) -> list[_Header]:
    """Every header block: a rule, `# Reddit Post N`, `#` lines and a closing rule.

    A file that breaks off within its last header ends it. Two headers may share a rule.
    """
    headers: list[_Header] = []
    i = 0
    while i + 1 < len(lines):
        end = _header_end(lines, i)
        if end is None:
            i += 1
            continue
        start = max(i, headers[-1].end) if headers else i
        headers.append(_header(lines, start=start, end=end))
        i = end - 1  # the closing rule may open the next header
    return headers


def _header_end(lines: list[str], i: int) -> int | None:
    """The line after the header whose opening rule is at i, None where none opens."""
    if not (_RULE.fullmatch(lines[i]) and _POST.fullmatch(lines[i + 1])):
        return None
    at = i + 2
    while at < len(lines) and (not lines[at] or lines[at].startswith('#')):
        at += 1
    if at == len(lines):
        return at
    return at + 1 if _RULE.fullmatch(lines[at]) else None


def _header(lines: list[str], *, start: int, end: int) -> _Header:
    text = '\n'.join(lines[start:end])
    score, date, url = _SCORE.search(text), _DATE.search(text), _POST_URL.search(text)
    forum = _SUBREDDIT.search(text)
    factor = {'': 1, 'k': 1_000, 'm': 1_000_000}[score[2].lower()] if score else 1
    number = score[1].replace(',', '').rstrip('.') if score else '0'
    return _Header(
        start=start,
        end=end,
        score=round(float(number) * factor),
        date=date[1] if date else '',
        post_id=(url[1] or url[2]).lower() if url else '',
        subreddit=forum[1] if forum else '',
    )
