"""Posts and comments from Reddit's API, through PRAW: it has the account and the pace.

The app's id and secret and a user agent come from the environment: never from a flag,
which other users of a machine can read. https://www.reddit.com/prefs/apps makes them.
"""

import collections
import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from data_pipeline.collecting import http_client, reddit_shapes
from hax_jax import errors

VARIABLES = ('REDDIT_CLIENT_ID', 'REDDIT_CLIENT_SECRET', 'REDDIT_USER_AGENT')
_POST = (
    'id',
    'subreddit',
    'title',
    'selftext',
    'link_flair_text',
    'author',
    'score',
    'num_comments',
    'created_utc',
    'permalink',
    'stickied',
    'removed_by_category',
)
_COMMENT = ('id', 'parent_id', 'author', 'body', 'score', 'created_utc', 'stickied')


class RedditApi:
    """One subreddit's listing; `pause` as in ArcticShift.

    Raises:
      InputError: PRAW is not installed, or a variable is not set.
    """

    name = 'reddit'
    goes_on_at_end = False  # a listing begins anew with what is new or hot then

    def __init__(
        self,
        *,
        base_url: str,
        subreddit: str,
        sort: str,
        time_filter: str,
        pause: Callable[[str], None],
    ) -> None:
        self._reddit = _connect(base_url)
        self._subreddit = subreddit
        self._sort, self._time_filter = sort, time_filter
        self._pause = pause
        self.counts: collections.Counter[str] = collections.Counter()

    def posts(
        self, position: dict[str, str] | None
    ) -> Iterator[tuple[reddit_shapes.Post, dict[str, str]]]:
        """(post, position after it); a position is the name of the post.

        Raises:
          SourceError: Reddit refuses, or fails.
        """
        went_on = False
        if position:
            for post in self._listing(position['after']):
                went_on = True
                yield post, {'after': f't3_{post.id}'}
        if not went_on:  # its post has left the listing, or there was none
            for post in self._listing(''):
                yield post, {'after': f't3_{post.id}'}

    def comments(self, post: reddit_shapes.Post) -> list[reddit_shapes.Comment]:
        """The comments that Reddit shows, best first: up to 500 or so."""
        with _errors():
            submission = self._reddit.submission(post.id)
            submission.comment_sort = 'top'
            submission.comment_limit = 500
            folded = submission.comments.replace_more(limit=0)
            self.counts['comments folded away by Reddit'] += sum(
                more.count for more in folded
            )
            return [
                reddit_shapes.comment(
                    _values(each, _COMMENT), depth=getattr(each, 'depth', -1)
                )
                for each in submission.comments.list()
            ]

    def _listing(self, after: str) -> Iterator[reddit_shapes.Post]:
        params = {'after': after} if after else {}
        with _errors():
            subreddit = self._reddit.subreddit(self._subreddit)
            if self._sort == 'top':
                listing = subreddit.top(
                    time_filter=self._time_filter, limit=None, params=params
                )
            else:
                listing = getattr(subreddit, self._sort)(limit=None, params=params)
            for submission in listing:
                yield reddit_shapes.post(_values(submission, _POST))


def missing_variables() -> list[str]:
    """Which of the variables are not set."""
    return [name for name in VARIABLES if not os.environ.get(name, '').strip()]


def _connect(base_url: str) -> Any:
    """A read-only session; `base_url` '' is Reddit's own."""
    missing = missing_variables()
    if missing:
        raise errors.InputError(
            f'--source=reddit needs {", ".join(missing)} in the environment; make an '
            'app of type script at https://www.reddit.com/prefs/apps and export its '
            'id, its secret and a user agent such as "linux:advice:1 (by u/NAME)", '
            'or give --source=arctic_shift, which needs no account.'
        )
    try:
        import praw
    except ImportError:
        raise errors.InputError(
            '--source=reddit needs PRAW; pip install "praw>=7.8", or give '
            '--source=arctic_shift.'
        ) from None
    urls = {'reddit_url': base_url, 'oauth_url': base_url} if base_url else {}
    client_id, client_secret, user_agent = (
        os.environ[name].strip() for name in VARIABLES
    )
    return praw.Reddit(
        client_id=client_id,
        client_secret=client_secret,
        user_agent=user_agent,
        ratelimit_seconds=600,
        check_for_updates=False,
        **urls,
    )


def _values(item: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """A PRAW object's fields as Reddit's JSON has them; PRAW's None is no account."""
    values = {name: getattr(item, name, None) for name in names}
    values['author'] = str(values['author']) if values['author'] else None
    values['subreddit'] = str(values.get('subreddit') or '')
    return values


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """PRAW's errors as ours."""
    import prawcore

    try:
        yield
    except prawcore.exceptions.OAuthException as error:
        raise http_client.RefusedError(_refusal(error)) from None
    except prawcore.exceptions.ResponseException as error:
        status = error.response.status_code
        if status == 401:
            raise http_client.RefusedError(_refusal(error)) from None
        if status == 404:
            raise http_client.NotFoundError(
                f'Reddit has no such thing ({error}); check --subreddit.'
            ) from None
        raise http_client.SourceError(
            f'Reddit answered {status} ({error}); a 403 or a redirect is a subreddit '
            'that is private or does not exist; else start again later, which goes on '
            'where this ended.'
        ) from None
    except prawcore.exceptions.PrawcoreException as error:
        raise http_client.SourceError(
            f'Reddit failed ({type(error).__name__}); start again later, which goes '
            'on where this ended.'
        ) from None


def _refusal(error: Exception) -> str:
    return (
        f'Reddit refuses the app ({type(error).__name__}); check REDDIT_CLIENT_ID and '
        'REDDIT_CLIENT_SECRET, and that the app is of type script.'
    )
