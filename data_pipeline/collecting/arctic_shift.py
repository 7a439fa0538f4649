"""Posts and comments from Arctic Shift, an open archive of Reddit: no account needed.

Source: https://github.com/ArthurHeitmann/arctic_shift/blob/master/api/README.md

    /api/posts/search?subreddit=…&after=…&before=…&sort=asc&limit=100
        -> {"data": [posts]}
    /api/comments/tree?link_id=t3_…&limit=25000 -> {"data": [nodes]}, as Reddit nests
    /api/comments/ids?ids=…,… -> {"data": [comments]}, 500 at most

It lists by time alone. For 36 hours, its score of a post is that of the first minute.
"""

import collections
import logging
from collections.abc import Callable, Iterator
from typing import Any

from data_pipeline.collecting import collect_rules, http_client, reddit_shapes

LOG = logging.getLogger('collect')
BASE_URL = 'https://arctic-shift.photon-reddit.com'
SCORES_SETTLE_SECONDS = 36 * 3600
_PAGE = 100
_LEAST_PAGE = 12  # a page overlaps the one before by the posts of a second or two
_GROWS_AFTER = 5  # pages in a row that came whole, then twice as many posts
_ALL_COMMENTS = 25_000  # the most that a tree may be asked for
_IDS = 500  # the most that may be looked up at once
_PATIENCE = 3  # full pages without a new post before that is an error


class ArcticShift:
    """One subreddit's posts by time, the oldest first if that is the order asked for.

    Lists posts of the rules' [after, before) and waits before each request but the
    first.
    """

    name = 'arctic_shift'

    def __init__(
        self, client: http_client.Client, chosen: collect_rules.Settings
    ) -> None:
        self._client = client
        self._chosen = chosen
        self._base_url = (chosen.base_url or BASE_URL).rstrip('/')
        self._oldest_first = chosen.sort == 'old'
        self._size = _PAGE  # posts of the next page
        self._light = 0  # pages in a row that came whole
        self._after, self._before = chosen.rules.after, chosen.rules.before
        self.counts: collections.Counter[str] = collections.Counter()
        # Tomorrow has newer posts; no day has older ones.
        self.goes_on_at_end = self._oldest_first

    def posts(
        self, position: dict[str, int] | None
    ) -> Iterator[tuple[reddit_shapes.Post, dict[str, int]]]:
        """(post, position after it) from `position`, each post once.

        A position is a second, whose posts are all listed again: several may share
        it, so the caller must know which of them it had.

        Raises:
          SourceError: the API fails, or can't list the next page.
        """
        edge = position['created_utc'] if position else None
        seen: set[str] = set()
        fruitless = 0
        auto = False  # asks for up to 1,000 posts, where the API has room
        while True:
            page, asked = self._page_within_time(edge, auto=auto)
            found = self._within(page)
            fresh = [post for post in found if post.id not in seen]
            self.counts['posts listed twice'] += len(found) - len(fresh)
            if not fresh:
                fruitless += 1
                full = len(page) >= asked
                if not full and fruitless > 1:  # the end, after two empty pages
                    return
                if fruitless > _PATIENCE:
                    raise http_client.SourceError(
                        f'{self._base_url} lists the same {len(page)} posts again and '
                        f'again at second {edge}; start again later, or give '
                        '--after or --before beyond it.'
                    )
                auto = full
                self._chosen.pause('page')
                continue
            fruitless, auto = 0, False
            for post in fresh:
                seen.add(post.id)
                edge = post.created_utc
                yield post, {'created_utc': edge}
            self._chosen.pause('page')

    def comments(self, post: reddit_shapes.Post) -> list[reddit_shapes.Comment]:
        """All comments of a post, at any depth."""
        nodes = self._data(
            '/api/comments/tree', {'link_id': f't3_{post.id}', 'limit': _ALL_COMMENTS}
        )
        comments, folded, malformed = reddit_shapes.tree(nodes)
        self.counts['malformed comments'] += malformed
        if folded:
            comments += self._unfold(folded, comments)
        return comments

    def _unfold(
        self, ids: list[str], known: list[reddit_shapes.Comment]
    ) -> list[reddit_shapes.Comment]:
        """The comments that a tree left out, looked up by id."""
        depths = {comment.id: comment.depth for comment in known}
        found: list[reddit_shapes.Comment] = []
        for begin in range(0, len(ids), _IDS):
            self._chosen.pause('comments')
            asked = ','.join(ids[begin : begin + _IDS])
            for values in self._data('/api/comments/ids', {'ids': asked}):
                parent = str(values.get('parent_id') or '')
                above = depths.get(reddit_shapes.bare_id(parent), -2)
                depth = 0 if parent.startswith('t3_') else max(-1, above + 1)
                try:
                    comment = reddit_shapes.comment(values, depth=depth)
                except ValueError:
                    self.counts['malformed comments'] += 1
                    continue
                depths[comment.id] = depth
                found.append(comment)
        self.counts['comments not in the archive'] += len(ids) - len(found)
        return found

    def _page_within_time(
        self, edge: int | None, *, auto: bool
    ) -> tuple[list[Any], int]:
        """(posts from `edge` on, number of posts that make the page full).

        Halves the page for which the API runs out of time, and asks from the same
        second; doubles it again after `_GROWS_AFTER` pages that came whole.
        """
        while True:
            limit: int | str = 'auto' if auto else self._size
            can_ask_less = auto or self._size > _LEAST_PAGE
            try:
                page = self._page(edge, limit=limit, can_ask_less=can_ask_less)
            except http_client.HeavyError as error:
                if not auto:
                    self._size = max(_LEAST_PAGE, self._size // 2)
                auto, self._light = False, 0
                self.counts['pages too heavy for the archive, asked for in parts'] += 1
                LOG.info('limit=%s: %s; asking for %d', limit, error, self._size)
                continue
            asked = _PAGE if auto else self._size
            self._light += 1
            if self._size < _PAGE and self._light >= _GROWS_AFTER:
                self._size, self._light = min(_PAGE, 2 * self._size), 0
            return page, asked

    def _page(
        self, edge: int | None, *, limit: int | str, can_ask_less: bool
    ) -> list[Any]:
        """The posts from second `edge` on, or from the beginning."""
        params: dict[str, Any] = {
            'subreddit': self._chosen.subreddit,
            'sort': 'asc' if self._oldest_first else 'desc',
            'limit': limit,
        }
        after, before = self._after, self._before
        if edge is not None and self._oldest_first:
            after = edge
        elif edge is not None:
            before = edge + 1
        # The API does not document whether it includes the bounds: ask for a second
        # more and drop the posts outside.
        if after:
            params['after'] = after - 1
        if before:
            params['before'] = before
        return self._data('/api/posts/search', params, can_ask_less=can_ask_less)

    def _within(self, page: list[Any]) -> list[reddit_shapes.Post]:
        """The page's posts within the bounds, in order."""
        posts = {}
        for values in page:
            try:
                post = reddit_shapes.post(values)
            except (ValueError, AttributeError):
                self.counts['malformed posts'] += 1
                LOG.warning('a post without id, title or time is left out')
                continue
            after_it = self._before and post.created_utc >= self._before
            if post.created_utc >= self._after and not after_it:
                posts[post.id] = post
        readable = any(isinstance(p, dict) and p.get('created_utc') for p in page)
        if page and not posts and not readable:
            raise http_client.SourceError(
                f'{self._base_url} lists {len(page)} posts without id, title or time; '
                'is it Arctic Shift? Check --base_url.'
            )
        return sorted(
            posts.values(),
            key=lambda post: (post.created_utc, post.id),
            reverse=not self._oldest_first,
        )

    def _data(
        self, path: str, params: dict[str, Any], *, can_ask_less: bool = False
    ) -> list[Any]:
        answer = self._client.get_json(
            self._base_url + path,
            params,
            problem=_why_not_data,
            can_ask_less=can_ask_less,
        )
        return answer['data']


class BestFirst:
    """The posts of Arctic Shift by score: it lists all of them, then ranks.

    Gives the posts that the rules leave out as they are listed, the others at the end;
    memory holds these. A position is None: the next call lists all again, and `knows`
    names the posts that are done.
    """

    name = ArcticShift.name
    goes_on_at_end = False

    def __init__(
        self,
        archive: ArcticShift,
        *,
        rules: collect_rules.Rules,
        knows: Callable[[str], bool],
    ) -> None:
        self._archive, self._rules, self._knows = archive, rules, knows
        self.counts = archive.counts
        self.comments = archive.comments

    def posts(self, position: None) -> Iterator[tuple[reddit_shapes.Post, None]]:
        """(post, None); of equal scores the earlier first."""
        del position
        held = []
        for post, _ in self._archive.posts(None):
            if collect_rules.why_not_post(post, self._rules):
                yield post, None
            elif not self._knows(post.id):
                held.append(post)
        LOG.info('%d posts are ranked by score', len(held))
        held.sort(key=lambda post: (-post.score, post.created_utc, post.id))
        for post in held:
            yield post, None


def _why_not_data(answer: Any) -> str:
    if not isinstance(answer, dict):
        return f'a {type(answer).__name__} in place of an object'
    if answer.get('error'):
        return f'error {answer["error"]!r}'
    return '' if isinstance(answer.get('data'), list) else 'no list of data'
