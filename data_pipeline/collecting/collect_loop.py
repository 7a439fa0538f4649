"""The loop of a collection: posts of a source, their answers, the output."""

import collections
import dataclasses
import logging
from collections.abc import Iterator
from typing import Any, Protocol

import tqdm

from data_pipeline.collecting import (
    collect_output,
    collect_rules,
    http_client,
    reddit_shapes,
)

LOG = logging.getLogger('collect')


@dataclasses.dataclass
class Comments:
    """The comments of one call: answers kept, and reasons for those passed over.

    `replies` of the answers reply to another comment, not to the post.
    """

    answers: int = 0
    replies: int = 0
    passed_over: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )


class Source(Protocol):
    """A source of posts and comments, such as `arctic_shift.ArcticShift`.

    `posts` continues from a position that it gave before. Each post comes with a
    position: a listing from there has all later posts, and perhaps this post again.
    `goes_on_at_end` says that a listing that has ended may have more posts another day.
    """

    name: str
    counts: collections.Counter[str]
    goes_on_at_end: bool

    def posts(self, position: Any) -> Iterator[tuple[reddit_shapes.Post, Any]]: ...

    def comments(self, post: reddit_shapes.Post) -> list[reddit_shapes.Comment]: ...


def collect(
    source: Source, output: collect_output.Output, chosen: collect_rules.Settings
) -> tuple[Comments, bool]:
    """Fills the output up to the limit; saves it however the loop ends.

    Returns the account of comments, and whether the listing came to its end before the
    limit was reached.
    """
    comments = Comments()
    bar = tqdm.tqdm(
        total=chosen.limit or None, initial=output.kept, unit='thread', disable=None
    )
    finished = False
    try:
        full = chosen.limit and output.kept >= chosen.limit
        ended = not full and _fill(source, output, chosen, bar, comments)
        if ended and not source.goes_on_at_end:
            output.at(None)
        finished = True
    finally:
        bar.close()
        output.save(finished=finished)
    return comments, ended


def _fill(
    source: Source,
    output: collect_output.Output,
    chosen: collect_rules.Settings,
    bar: tqdm.tqdm,
    comments: Comments,
) -> bool:
    """Whether the listing came to its end before the limit was reached."""
    before_start = f'before --start_at={chosen.start_at}'
    for post, position in source.posts(output.position):
        if not output.knows(post.id):
            reason = collect_rules.why_not_post(post, chosen.rules)
            if not reason and output.skipped[before_start] < chosen.start_at - 1:
                reason = before_start
            if not reason:
                chosen.pause('comments')
                reason = _keep(source, post, output, chosen.rules, comments)
            if reason:
                output.skip(post.id, reason)
                LOG.info('post %s is skipped: %s', post.id, reason)
            else:
                LOG.info('post %s is kept', post.id)
                bar.update()
            bar.set_postfix_str(shown(output.skipped), refresh=False)
        output.at(position)
        if chosen.limit and output.kept >= chosen.limit:
            return False
    return True


def _keep(
    source: Source,
    post: reddit_shapes.Post,
    output: collect_output.Output,
    rules: collect_rules.Rules,
    account: Comments,
) -> str:
    """Keeps the thread of a post and returns '', or the reason why it has none."""
    try:
        comments = source.comments(post)
    except http_client.NotFoundError:
        return 'comments not found'
    answers, reasons = collect_rules.best_answers(comments, rules, asker=post.author)
    account.passed_over += reasons
    if not answers:
        return 'no eligible answer' if comments else 'no comments'
    account.answers += len(answers)
    account.replies += sum(answer.depth != 0 for answer in answers)
    output.keep(collect_rules.thread(post, answers, source=source.name))
    return ''


def shown(skipped: collections.Counter[str]) -> str:
    """{'a': 2, 'b': 1} -> 'skipped 3: 2 a, 1 b'"""
    parts = [f'{count:,} {reason}' for reason, count in skipped.most_common()]
    total = f'skipped {skipped.total():,}'
    return f'{total}: {", ".join(parts)}' if parts else total
