"""Posts and comments from Reddit's own pages in JSON, without an account.

    /r/SUBREDDIT/top.json?limit=100&t=all&after=t3_… -> a listing of posts
    /comments/ID.json?limit=500&sort=top -> [a listing of the post, one of comments]

Since mid-2026 Reddit refuses these pages to some clients (403 with a page of HTML).
"""

import collections
from collections.abc import Callable, Iterator
from typing import Any

from data_pipeline.collecting import collect_rules, http_client, reddit_shapes

BASE_URL = 'https://www.reddit.com'
OTHERS = (
    'give --source=arctic_shift (an archive, no account), --source=reddit (an account '
    'and an app: REDDIT_CLIENT_ID, REDDIT_CLIENT_SECRET, REDDIT_USER_AGENT) or '
    '--source=dump (downloaded files, --input)'
)


class RedditJson:
    """One subreddit's listing."""

    name = 'reddit_json'
    goes_on_at_end = False  # a later listing starts with the posts of that day

    def __init__(
        self, client: http_client.Client, chosen: collect_rules.Settings
    ) -> None:
        self._client = client
        self._chosen = chosen
        self._base_url = (chosen.base_url or BASE_URL).rstrip('/')
        self.counts: collections.Counter[str] = collections.Counter()

    def posts(
        self, position: dict[str, str] | None
    ) -> Iterator[tuple[reddit_shapes.Post, dict[str, str]]]:
        """(post, position after it); a position is the `after` of its page.

        Raises:
          SourceError: Reddit refuses, or fails.
        """
        after = position['after'] if position else ''
        resumed = bool(after)
        asked = set()
        while True:
            asked.add(after)
            listing = self._get(
                f'/r/{self._chosen.subreddit}/{self._chosen.sort}.json',
                {'t': self._chosen.time_filter, 'limit': 100, 'after': after or None},
                problem=_why_no_listing,
            )
            page = reddit_shapes.children(listing)
            if resumed and not page:
                after = ''  # the listing no longer holds the post that `after` names
            for node in page:
                try:
                    post = reddit_shapes.post(node['data'])
                except (ValueError, KeyError, TypeError, AttributeError):
                    self.counts['malformed posts'] += 1
                    continue
                yield post, {'after': after}
            if not (resumed and not page):
                after = listing['data'].get('after') or ''
                if not after or after in asked:
                    return
            resumed = False
            self._chosen.pause('page')

    def comments(self, post: reddit_shapes.Post) -> list[reddit_shapes.Comment]:
        """The comments that Reddit shows, best first: up to 500 or so."""
        listings = self._get(
            f'/comments/{post.id}.json',
            {'sort': 'top', 'threaded': 'true', 'limit': 500},
            problem=_why_no_comments,
        )
        comments, folded, malformed = reddit_shapes.tree(listings[1])
        self.counts['malformed comments'] += malformed
        self.counts['comments folded away by Reddit'] += len(folded)
        return comments

    def _get(
        self, path: str, params: dict[str, Any], *, problem: Callable[[Any], str]
    ) -> Any:
        try:
            return self._client.get_json(
                self._base_url + path, {'raw_json': 1, **params}, problem=problem
            )
        except http_client.RefusedError as error:
            raise http_client.RefusedError(
                f'{error} Reddit has closed its JSON pages to programs without an '
                f'account; {OTHERS}.'
            ) from None


def _why_no_listing(answer: Any) -> str:
    if isinstance(answer, dict) and isinstance(answer.get('data'), dict):
        return '' if isinstance(answer['data'].get('children'), list) else 'no children'
    return 'no listing'


def _why_no_comments(answer: Any) -> str:
    if isinstance(answer, list) and len(answer) == 2:
        return _why_no_listing(answer[1])
    return 'no pair of listings'
