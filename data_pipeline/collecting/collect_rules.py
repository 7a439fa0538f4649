"""The choice of posts and of the comments that answer them: pure functions."""

import collections
import dataclasses
import re
import time
from collections.abc import Iterable, Mapping

from data_pipeline.collecting import reddit_shapes
from data_pipeline.pages import reddit
from data_pipeline.rows import raw_thread

# Bots, some of which no rule would recognise by their names; lower case.
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
# haiku_bot, SomeBot2: most accounts with such names are bots.
_LOOKS_LIKE_BOT = re.compile(r'.*bot[-_]?\d{0,3}', re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Rules:
    """The conditions that posts and comments must meet.

    Posts are of [after, before), in seconds since 1970; 0 is no bound. `flairs` are in
    lower case; () accepts any. `max_answers_per_post` 0 keeps all.
    """

    min_upvotes: int = 10  # of the post
    min_comment_length: int = 100  # characters of the comment
    max_answers_per_post: int = 1
    flairs: tuple[str, ...] = ()
    skip_bots: bool = True
    skip_stickied: bool = False
    skip_asker: bool = False
    top_level_only: bool = False  # replies to the post alone are answers
    after: int = 0
    before: int = 0


@dataclasses.dataclass(frozen=True)
class Settings:
    """The source of a collection, its order, its rules, and the pace of requests.

    `limit` is the number of threads, 0 for all. Skips the first `start_at` - 1 posts
    that pass the rules. `base_url` '' is the source's own server. `delays` has the
    seconds before the 'comments' of a post and before a 'page' of posts.
    """

    subreddit: str
    sort: str
    source: str = 'arctic_shift'
    time_filter: str = 'all'
    rules: Rules = Rules()
    limit: int = 0
    start_at: int = 1
    base_url: str = ''
    delays: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def pause(self, what: str) -> None:
        """Waits before a request for `what`: 'comments' or 'page'."""
        time.sleep(self.delays.get(what, 0.0))


def why_not_post(post: reddit_shapes.Post, rules: Rules) -> str:
    """The reason to leave a post out, whatever its comments; '' if there is none."""
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
    """The reason why a comment is no answer; '' if there is none.

    The comment of a deleted account counts as deleted.
    """
    if comment.gone or comment.author == reddit_shapes.DELETED:
        return 'deleted or removed'
    if comment.stickied:
        return 'stickied'
    if is_bot(comment.author, comment.body, skip_bots=rules.skip_bots):
        return 'by a bot'
    if rules.skip_asker and comment.author == asker:
        return 'by the asker'
    if rules.top_level_only and not _is_top_level(comment):
        return 'a reply to a comment'
    if len(comment.body.strip()) < max(1, rules.min_comment_length):
        return 'too short'
    return ''


def _is_top_level(comment: reddit_shapes.Comment) -> bool:
    """Whether it replies to the post: by its parent, or by its place in a tree."""
    if comment.parent_id:
        return comment.parent_id.startswith('t3_')
    return comment.depth == 0


def is_bot(author: str, body: str, *, skip_bots: bool) -> bool:
    """Whether a bot wrote the text: a known one, or one by its signature or name.

    Only `skip_bots` judges by the end of a name, a guess that u/JaneTalbot fails too.
    """
    name = author.lower()
    if name in KNOWN_BOTS or name.endswith('-modteam') or reddit.is_bot(body):
        return True
    return skip_bots and bool(_LOOKS_LIKE_BOT.fullmatch(name))


def best_answers(
    comments: Iterable[reddit_shapes.Comment], rules: Rules, *, asker: str
) -> tuple[tuple[raw_thread.RawAnswer, ...], collections.Counter[str]]:
    """The eligible comments, the best first, and reasons for the others.

    The best has most votes; of equals the earliest, then the lowest id. A comment that
    is listed twice counts once.
    """
    passed_over: collections.Counter[str] = collections.Counter()
    eligible = {}
    for comment in comments:
        reason = why_not_comment(comment, rules, asker=asker)
        if reason:
            passed_over[reason] += 1
            continue
        answer = raw_thread.RawAnswer(
            id=comment.id,
            body=comment.body,
            score=comment.score,
            depth=comment.depth,
            created_utc=comment.created_utc,
            by_asker=comment.author == asker != reddit_shapes.DELETED,
        )
        eligible.setdefault(comment.id, answer)
    ranked = sorted(eligible.values(), key=rank)
    return tuple(ranked[: rules.max_answers_per_post or None]), passed_over


def rank(answer: raw_thread.RawAnswer) -> tuple[int, int, str]:
    """The key that sorts answers, the best first."""
    return -answer.score, answer.created_utc, answer.id


def thread(
    post: reddit_shapes.Post, answers: tuple[raw_thread.RawAnswer, ...], *, source: str
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
