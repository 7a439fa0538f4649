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

Only such a header separates posts: people write `#`, `---`, `====`, QUESTION: and
ANSWER: in their texts too.
"""

import collections
import re

from data_pipeline.pages import (
    characters,
    merged,
    oversample_marks,
    page,
    reddit_headers,
)

BODY_REMOVED = 'body removed'  # the flag of a post whose text is gone

# Possessive where two runs meet: both could take an apostrophe.
_UPDATE = re.compile(
    r'^\W*+(?:[\w’\']++\W++){0,2}update\b|[\[(]\W{0,5}(?:\w+ )?update\b'
    r'|\bupdate\W{0,9}$|\b(?-i:UPDATE)\b|\bupdate:',
    re.IGNORECASE,
)
_REMOVED = re.compile(
    r'[*_\\]{0,3}\[ ?(?:(?:comment|post) )?(?:deleted|removed)(?: by [\w ]{1,20})? ?'
    r'\\?\][*_]{0,3}',
    re.IGNORECASE,
)
# The signatures and openings of the moderation bots of all forums.
_BOT_SIGNATURE = re.compile(
    r"\W*+(?:i am|i'm) a bot,? and this (?:action|comment) was (?:performed|posted)"
    r' automatically'
    r'|[^>].*\bi am a bot, and this action was performed automatically\W+'
    r'please \W*contact the moderators',
    re.IGNORECASE,
)
_EMPHASIS = re.compile(r'[*_]+')
_BOT_OPENING = re.compile(
    r'[\W_]*automod\b|\W*welcome to /?r/\w+\W+please make sure you \W*read our rules',
    re.IGNORECASE,
)
# Every match of the two patterns has one of these words.
_BOT_WORDS = ('a bot', 'automod', 'welcome to')


def has_header(text: str) -> bool:
    """Whether a post's header block stands in the text."""
    return bool(reddit_headers.find([piece.clean for piece in page.raw_lines(text)]))


def parse(text: str, *, file: str) -> page.Page:
    """The pairs of one file of posts; `file` names it in the records."""
    pieces = oversample_marks.split(page.raw_lines(text))
    lines = [piece.clean for piece in pieces]
    headers = reddit_headers.find(lines)
    starts = [*(header.start for header in headers), len(pieces)]
    # Above the first header there may be pairs that were merged in without one.
    found = merged.read(pieces[: starts[0]], file=file)
    for header, end in zip(headers, starts[1:], strict=True):
        for i in range(header.start, header.end):
            pieces[i].kind = 'header'
            if not reddit_headers.explains(lines[i]):
                found.note(pieces[i], 'left out of the header')
        found.pieces += pieces[header.start : header.end]
        body = pieces[header.end : end]
        for i in reddit_headers.other_blocks(lines[header.end : end]):
            found.note(body[i], 'kept in the text, a block of no post')
        line = pieces[min(header.start + 1, header.end - 1)].line
        _add(header, body, line=line, found=found)
    oversample_marks.weigh(found, layout='reddit')
    return found


def _add(
    header: reddit_headers.Header,
    body: list[page.Piece],
    *,
    line: int,
    found: page.Page,
) -> None:
    """Counts the post of the header at `line` and, if answered, adds its pair."""
    found.counts['reddit posts'] += 1
    name = f'reddit:{header.post_id}' if header.post_id else ''
    post = _sections(body, found)
    if post is None:
        filled = any(piece.text.strip() for piece in body)
        reason = 'posts without QUESTION:' if filled else 'headers without a body'
        found.drop(line, name, f'reddit {reason}')
        found.leave_out(body)
        found.pieces += body
        return
    found.pieces += post
    texts = [piece for piece in post if piece.kind == page.QUESTION]
    title = characters.clean(texts[0].text)
    rest = page.clean_text(texts[1:], page.QUESTION)
    flags: tuple[str, ...] = ()
    if is_removed(rest):
        for piece in texts[1:]:
            piece.kind = 'removed body'
        found.counts['reddit removed bodies'] += 1
        flags = (BODY_REMOVED,)
        rest = ''
    flags += post_flags(title, rest, found.counts)
    question = f'{title}\n\n{rest}'.strip()
    answer = page.clean_text(post, page.ANSWER)
    reason = why_no_pair(question, answer)
    if not answer and sum(piece.kind == 'label' for piece in post) < 2:
        reason = 'posts unanswered'
    if reason:
        found.drop(texts[0].line, name, f'reddit {reason}', post)
        return
    found.counts['reddit posts answered'] += 1
    forum = header.subreddit
    found.add(
        question,
        answer,
        source=f'reddit:{forum}' if forum else 'reddit',
        line=texts[0].line,
        pair_id=f'reddit:{header.post_id or page.content_hash(question, answer)}',
        time=header.date,
        score=header.score,
        flags=flags,
    )


def post_flags(
    title: str, body: str, counts: collections.Counter[str]
) -> tuple[str, ...]:
    """The flags of a post's cleaned title and body; counts the post under each."""
    is_update = bool(_UPDATE.search(title))
    flags = ['title only'] * (not body) + ['update'] * is_update
    for flag in flags:
        counts[f'reddit {flag.replace(" ", "-")} posts'] += 1
    return tuple(flags)


def why_no_pair(question: str, answer: str) -> str:
    """The reason that a post and an answer make no pair, '' if they make one."""
    if not answer:
        return 'posts with an empty answer'
    if not question:
        return 'posts without question text'
    if is_bot(answer):
        return 'AutoModerator answers'
    return 'removed answers' if is_removed(answer) else ''


def is_bot(answer: str) -> bool:
    """Whether a moderation bot wrote the comment: its opening or its signature says so.

    Not a person who quotes or plays a bot within a paragraph.
    """
    # Dumps ask of each comment: most have no word that the patterns need.
    lowered = answer.lower()
    if not any(word in lowered for word in _BOT_WORDS):
        return False
    last = [line for line in answer.split('\n') if line.strip()][-2:]
    signed = any(
        _BOT_SIGNATURE.match(_EMPHASIS.sub('', line))
        and not line.lstrip().startswith('>')
        for line in last
    )
    return signed or bool(_BOT_OPENING.match(answer))


def is_removed(cleaned: str) -> bool:
    """Whether a text is only Reddit's mark for a removed text."""
    return bool(_REMOVED.fullmatch(cleaned))


def _sections(body: list[page.Piece], found: page.Page) -> list[page.Piece] | None:
    """The post in a body, its labels split off and each piece with its kind.

    The answer opens at the first ANSWER: below a blank line, as the layout has it, or
    else at the first one. An ANSWER: that is indented or in bold is a person's, unless
    there is no other.
    """
    labels = [piece.label for piece in body]
    if 'QUESTION' not in labels:
        return None
    opens = labels.index('QUESTION')
    candidates = [i for i in range(opens, len(body)) if labels[i] == 'ANSWER']
    plain = [i for i in candidates if body[i].text.startswith('ANSWER')]
    candidates = plain or candidates
    below_blank = [i for i in candidates if not body[i - 1].text.strip()]
    answer = next(iter(below_blank or candidates), len(body))
    found.leave_out(body[:opens])
    found.pieces += body[:opens]
    post = []
    for i, piece in enumerate(body[opens:], start=opens):
        kind = page.QUESTION if i < answer else page.ANSWER
        if i in (opens, answer):
            post += piece.split_label(kind)
            continue
        if labels[i]:
            found.note(piece, f'kept in the {kind}')
        if piece.kind == page.UNKNOWN:  # and no mark of a set
            piece.kind = kind
        post.append(piece)
    return post
