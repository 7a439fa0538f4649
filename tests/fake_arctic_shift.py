"""Arctic Shift on loopback: its endpoints, bounds and shapes, and its bad days."""

import itertools
from collections.abc import Sequence
from typing import Any

import loopback
import reddit_objects


class FakeArcticShift:
    """Answers for `posts`; the tree of each is reddit_objects.tree, or in `trees`.

    `inclusive` says whether `after` and `before` are in themselves: it is not
    documented. Every `bad_every`th request fails in another way; every
    `twice_every`th page of posts is the one before again. A page of posts that would
    hold `heavy`, and more posts than `heavy_over`, times out.
    """

    def __init__(
        self,
        posts: Sequence[dict[str, Any]],
        *,
        trees: dict[str, list[dict[str, Any]]] | None = None,
        inclusive: bool = False,
        bad_every: int = 0,
        twice_every: int = 0,
        page: int = 100,
        heavy: str = '',
        heavy_over: int = 0,
    ) -> None:
        self.posts = list(posts)
        self.trees = trees or {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._inclusive = inclusive
        self._bad_every, self._twice_every = bad_every, twice_every
        self._page = page
        self._heavy, self._heavy_over = heavy, heavy_over
        self._pages: list[list[dict[str, Any]]] = []
        self._bad = itertools.cycle(
            [
                loopback.Reply({'error': 'Too many'}, 429, {'Retry-After': '0'}),
                loopback.Reply('Internal Server Error', 500),
                loopback.Reply({'data': [reddit_objects.post(1)]}, cut=25),
                loopback.Reply({'data': None, 'error': 'Query timed out'}, 422),
                loopback.Reply({'data': [1] * 99}, cut=25, short=False),
                loopback.Reply(loopback.HTML, 502),
            ]
        )

    def __call__(self, path: str, query: dict[str, str]) -> loopback.Reply:
        self.requests.append((path, query))
        if self._bad_every and len(self.requests) % self._bad_every == 0:
            return next(self._bad)
        if path == '/api/posts/search':
            page = self._search(query)
            names = [post['id'] for post in page]
            if self._heavy in names and len(page) > self._heavy_over:
                error = {'data': None, 'error': 'Timeout. Maybe slow down a bit'}
                headers = {'X-RateLimit-Remaining': '99', 'X-RateLimit-Reset': '500'}
                return loopback.Reply(error, 422, headers)
            return loopback.Reply({'data': page})
        if path == '/api/comments/tree':
            post_id = query['link_id'].removeprefix('t3_')
            if post_id in self.trees:
                return loopback.Reply({'data': self.trees[post_id]})
            return loopback.Reply({'data': reddit_objects.tree(int(post_id[1:]))})
        if path == '/api/comments/ids':
            asked = query['ids'].split(',')
            return loopback.Reply({'data': [self.comments[name] for name in asked]})
        return loopback.Reply({'error': 'Not found'}, 404)

    comments: dict[str, dict[str, Any]]

    def _search(self, query: dict[str, str]) -> list[dict[str, Any]]:
        # Any other value is an error of ours: fail loudly.
        newest_first = {'asc': False, 'desc': True}[query['sort']]
        limit = 1000 if query['limit'] == 'auto' else int(query['limit'])
        edge = 0 if self._inclusive else 1
        after = int(query.get('after', -1)) + edge
        before = int(query.get('before', 2**40)) - edge
        found = [
            post
            for post in self.posts
            if after <= int(post['created_utc']) <= before
            and post['subreddit'] == query['subreddit']
        ]
        found.sort(key=lambda post: int(post['created_utc']), reverse=newest_first)
        page = found[: min(limit, self._page) if limit <= 100 else limit]
        self._pages.append(page)
        if self._twice_every and len(self._pages) % self._twice_every == 0:
            return self._pages[-2]
        return page
