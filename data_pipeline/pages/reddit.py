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

import itertools
import re

from data_pipeline.pages import (
    chat_lines,
    clean,
    merged,
    parsed,
    reddit_headers,
    set_marks,
)
from hax_jax.data import records

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
# How moderation bots sign, and how they open, in any of the forums.
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
# One of these is in all that either finds.
_BOT_WORDS = ('a bot', 'automod', 'welcome to')


def has_header(text: str) -> bool:
    """Whether a post's header block stands in the text."""
    pieces = parsed.raw_lines(text)
    return bool(reddit_headers.find([clean.line(piece.text) for piece in pieces]))


def parse(text: str, *, file: str) -> parsed.Parsed:
    """The pairs of one file of posts; `file` names it in the records."""
    pieces = set_marks.split(parsed.raw_lines(text))
    lines = [clean.line(piece.text) for piece in pieces]
    headers = reddit_headers.find(lines)
    first = headers[0].start if headers else len(pieces)
    # What stands above the first header may be pairs that were merged in without any.
    result = merged.read(pieces[:first], file=file)
    for header, following in itertools.zip_longest(headers, headers[1:]):
        end = len(pieces) if following is None else following.start
        for i in range(header.start, header.end):
            pieces[i].kind = 'header'
            if not reddit_headers.explains(lines[i]):
                where = (pieces[i].line, pieces[i].text, 'left out of the header')
                result.unknown.append(where)
        result.pieces += pieces[header.start : header.end]
        line = pieces[min(header.start + 1, header.end - 1)].line
        body = pieces[header.end : end]
        for i in reddit_headers.other_blocks(lines[header.end : end]):
            where = 'kept in the text, a block of no post'
            result.unknown.append((body[i].line, body[i].text, where))
        _add(header, body, line=line, file=file, result=result)
    set_marks.weigh(result, layout='reddit')
    return result


def _add(
    header: reddit_headers.Header,
    body: list[parsed.Piece],
    *,
    line: int,
    file: str,
    result: parsed.Parsed,
) -> None:
    """Counts the post that its header names at `line`, and adds its pair, if any."""
    result.counts['reddit posts'] += 1
    post = _sections(body, result)
    if post is None:
        filled = any(piece.text.strip() for piece in body)
        kind = 'posts without QUESTION:' if filled else 'headers without a body'
        result.counts[f'reddit {kind}'] += 1
        result.dropped.append((line, header.name, f'reddit {kind}'))
        _leave_out(body, result)
        return
    result.pieces += post
    texts = [piece for piece in post if piece.kind == parsed.QUESTION]
    title = clean.text(texts[0].text)
    rest = clean.text(parsed.join(texts[1:], parsed.QUESTION))
    flags = []
    if _REMOVED.fullmatch(rest):
        for piece in texts[1:]:
            piece.kind = 'removed body'
        result.counts['reddit removed bodies'] += 1
        flags.append(BODY_REMOVED)
        rest = ''
    question = f'{title}\n\n{rest}'.strip()
    answer = clean.text(parsed.join(post, parsed.ANSWER))
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
        parsed.leave_without_pair(post)
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
    return 'removed answers' if _REMOVED.fullmatch(answer) else ''


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
        _BOT_SIGNATURE.match(_EMPHASIS.sub('', line))
        and not line.lstrip().startswith('>')
        for line in last
    )
    return signed or bool(_BOT_OPENING.match(answer))


def is_update(title: str) -> bool:
    """Whether a title says that its post goes on from an earlier one."""
    return bool(_UPDATE.search(title))


def is_removed(cleaned: str) -> bool:
    """Whether a text is only the mark that Reddit leaves of a removed one."""
    return bool(_REMOVED.fullmatch(cleaned))


def _sections(
    body: list[parsed.Piece], result: parsed.Parsed
) -> list[parsed.Piece] | None:
    """The body with its labels split off and each piece given its kind.

    The answer opens at the first ANSWER: below a blank line, as it is written; at the
    first one at all where no blank line stands before any. One that is indented or in
    bold is a person's, unless there is no other.
    """
    labels = [
        chat_lines.label(piece.text) if piece.kind == parsed.UNKNOWN else ''
        for piece in body
    ]
    if 'QUESTION' not in labels:
        return None
    opens = labels.index('QUESTION')
    candidates = [i for i in range(opens, len(body)) if labels[i] == 'ANSWER']
    plain = [i for i in candidates if body[i].text.startswith('ANSWER')]
    candidates = plain or candidates
    below_blank = [i for i in candidates if not body[i - 1].text.strip()]
    answer = next(iter(below_blank or candidates), len(body))
    _leave_out(body[:opens], result)
    post = []
    for i, piece in enumerate(body[opens:], start=opens):
        kind = parsed.QUESTION if i < answer else parsed.ANSWER
        if piece.kind != parsed.UNKNOWN:
            post.append(piece)  # a set's mark
            continue
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
        if not piece.text.strip():
            piece.kind = 'blank'
        elif piece.kind == parsed.UNKNOWN:
            result.unknown.append((piece.line, piece.text, 'left out'))
    result.pieces += pieces
