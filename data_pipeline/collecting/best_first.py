"""The best posts of an archive that lists by time alone: list all, then rank."""

import logging
from collections.abc import Callable, Iterator

from data_pipeline.collecting import arctic_shift, collect_rules, reddit_shapes

LOG = logging.getLogger('collect')


class BestFirst:
    """The posts of another source, by score; a position is None.

    Those that the rules keep out come as they are listed; the others, held in memory,
    once all are. Gone on with, it lists all again, and `knows` says what is done.
    """

    goes_on_at_end = False

    def __init__(
        self,
        source: arctic_shift.ArcticShift,
        *,
        rules: collect_rules.Rules,
        knows: Callable[[str], bool],
    ) -> None:
        self._source, self._rules, self._knows = source, rules, knows
        self.name = source.name
        self.counts = source.counts

    def posts(self, position: None) -> Iterator[tuple[reddit_shapes.Post, None]]:
        """(post, None); of equal scores the earlier first."""
        del position
        held = []
        for post, _ in self._source.posts(None):
            if collect_rules.why_not_post(post, self._rules):
                yield post, None
            elif not self._knows(post.id):
                held.append(post)
        LOG.info('%d posts are ranked by score', len(held))
        held.sort(key=lambda post: (-post.score, post.created_utc, post.id))
        for post in held:
            yield post, None

    def comments(self, post: reddit_shapes.Post) -> list[reddit_shapes.Comment]:
        """As the other source's."""
        return self._source.comments(post)
