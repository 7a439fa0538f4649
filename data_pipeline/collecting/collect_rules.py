"""Which posts are collected and which comments answer them: pure functions."""

import collections
import dataclasses
import re
from collections.abc import Iterable

from data_pipeline.collecting import reddit_shapes
from data_pipeline.pages import reddit
from data_pipeline.rows import raw_thread

# Accounts that post by themselves and whose names need not say so; lower case.
KNOWN_BOTS = frozenset(
    {
        'automoderator',
        'autotldr',
        'b0trank',
        'flair_helper',
        'haiku-detector',
        'metric_units',
        'nice-scores',
        'profanitycounter',
        'reddit',
        'remindmebot',
        'repostsleuthbot',
        'savevideo',
        'sneakpeekbot',
        'totesmessenger',
        'vredditdownloader',
        'wikipediasummary',
        'wikitextbot',
    }
)
# haiku_bot, SomeBot2: names that end so are a bot's far oftener than not.
_LOOKS_LIKE_BOT = re.compile(r'.*bot[-_]?\d{0,3}', re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Rules:
    """What is asked of posts and comments.

    `after` and `before` are seconds since 1970, the first included, the second not;
    0 is no bound. `flairs` are compared without case; none is any.
    `max_answers_per_post` 0 keeps all.
    """

    min_upvotes: int = 10  # of the post
    min_comment_length: int = 100  # characters of the comment
    max_answers_per_post: int = 1
    flairs: tuple[str, ...] = ()
    skip_bots: bool = True
    skip_stickied: bool = False
    skip_asker: bool = False
    after: int = 0
    before: int = 0


def why_not_post(post: reddit_shapes.Post, rules: Rules) -> str:
    """What keeps a post out whatever its comments are; '' where nothing does."""
    if rules.after and post.created_utc < rules.after:
        return 'before --after or --time_filter'
    if rules.before and post.created_utc >= rules.before:
        return 'not before --before'
    if post.gone:
        return 'deleted or removed'
    if rules.flairs and post.flair.strip().lower() not in rules.flairs:
        return 'another flair'
    if rules.skip_stickied and post.stickied:
        return 'stickied'
    if is_bot(post.author, post.body, skip_bots=rules.skip_bots):
        return 'by a bot'
    if post.score < rules.min_upvotes:
        return f'under {rules.min_upvotes} upvotes'
    return ''


def why_not_comment(comment: reddit_shapes.Comment, rules: Rules, *, asker: str) -> str:
    """What keeps a comment from being an answer; '' where nothing does.

    A deleted account's comment counts as deleted: there is a next best.
    """
    if comment.gone or comment.author == reddit_shapes.DELETED:
        return 'deleted or removed'
    if comment.stickied:
        return 'stickied'
    if is_bot(comment.author, comment.body, skip_bots=rules.skip_bots):
        return 'by a bot'
    if rules.skip_asker and comment.author == asker:
        return 'by the asker'
    if len(comment.body.strip()) < max(1, rules.min_comment_length):
        return 'too short'
    return ''


def is_bot(author: str, body: str, *, skip_bots: bool) -> bool:
    """Whether the account is a bot's: known, signing as one, or by its name's end.

    The last, a guess, is made with `skip_bots` alone; u/JaneTalbot falls to it too.
    """
    name = author.lower()
    if name in KNOWN_BOTS or name.endswith('-modteam') or reddit.is_bot(body):
        return True
    return skip_bots and bool(_LOOKS_LIKE_BOT.fullmatch(name))


def best_answers(
    comments: Iterable[reddit_shapes.Comment],
    rules: Rules,
    *,
    asker: str,
) -> tuple[tuple[raw_thread.RawAnswer, ...], collections.Counter[str]]:
    """The eligible comments at any depth, the best first, and why others are not.

    The best has most votes; of equals the earliest, then the lowest id. A comment that
    is listed twice counts once.
    """
    passed_over: collections.Counter[str] = collections.Counter()
    eligible = {}
    for comment in comments:
        reason = why_not_comment(comment, rules, asker=asker)
        if reason:
            passed_over[reason] += 1
        else:
            eligible.setdefault(comment.id, answer(comment, asker=asker))
    ranked = sorted(eligible.values(), key=rank)
    return tuple(ranked[: rules.max_answers_per_post or None]), passed_over


def rank(answer: raw_thread.RawAnswer) -> tuple[int, int, str]:
    """The key that sorts answers, the best first."""
    return -answer.score, answer.created_utc, answer.id


def answer(comment: reddit_shapes.Comment, *, asker: str) -> raw_thread.RawAnswer:
    """The comment without its author's name."""
    return raw_thread.RawAnswer(
        id=comment.id,
        body=comment.body,
        score=comment.score,
        depth=comment.depth,
        created_utc=comment.created_utc,
        by_asker=comment.author == asker != reddit_shapes.DELETED,
    )


def thread(
    post: reddit_shapes.Post,
    answers: tuple[raw_thread.RawAnswer, ...],
    *,
    source: str,
) -> raw_thread.RawThread:
    """The post without its author's name, and its answers."""
    return raw_thread.RawThread(
        id=post.id,
        source=source,
        subreddit=post.subreddit,
        title=post.title,
        body=post.body,
        flair=post.flair,
        score=post.score,
        num_comments=post.num_comments,
        created_utc=post.created_utc,
        url=post.url,
        answers=answers,
    )
