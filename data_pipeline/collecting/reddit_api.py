"""Posts and comments from Reddit's API through PRAW, which logs in and keeps the pace.

The environment has the app's id and secret and a user agent; other users of a machine
could read flags. Make an app at https://www.reddit.com/prefs/apps.
"""

import collections
import contextlib
import os
from collections.abc import Iterator
from typing import Any

from data_pipeline.collecting import collect_rules, http_client, reddit_shapes
from hax_jax import errors

VARIABLES = ('REDDIT_CLIENT_ID', 'REDDIT_CLIENT_SECRET', 'REDDIT_USER_AGENT')


class RedditApi:
    """One subreddit's listing.

    Raises:
      InputError: PRAW is not installed, or a variable is not set.
    """

    name = 'reddit'
    goes_on_at_end = False  # a later listing starts with the posts of that day

    def __init__(self, chosen: collect_rules.Settings) -> None:
        self._reddit = _connect(chosen.base_url)
        self._chosen = chosen
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
        if not went_on:  # no position, or its post has left the listing
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
                    _values(each, reddit_shapes.COMMENT_FIELDS),
                    depth=getattr(each, 'depth', -1),
                )
                for each in submission.comments.list()
            ]

    def _listing(self, after: str) -> Iterator[reddit_shapes.Post]:
        params = {'after': after} if after else {}
        with _errors():
            subreddit = self._reddit.subreddit(self._chosen.subreddit)
            options: dict[str, Any] = {'limit': None, 'params': params}
            if self._chosen.sort == 'top':
                options['time_filter'] = self._chosen.time_filter
            for submission in getattr(subreddit, self._chosen.sort)(**options):
                yield reddit_shapes.post(_values(submission, reddit_shapes.POST_FIELDS))


def _connect(base_url: str) -> Any:
    """A read-only session; `base_url` '' is Reddit's own."""
    missing = [name for name in VARIABLES if not os.environ.get(name, '').strip()]
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
    """A PRAW object's fields as in Reddit's JSON, with names in place of objects."""
    values = {name: getattr(item, name, None) for name in names}
    values['author'] = str(values['author']) if values['author'] else None
    values['subreddit'] = str(values.get('subreddit') or '')
    return values


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turns PRAW's errors into those of http_client."""
    import prawcore

    try:
        yield
    except (
        prawcore.exceptions.OAuthException,
        prawcore.exceptions.ResponseException,
    ) as error:
        oauth = isinstance(error, prawcore.exceptions.OAuthException)
        status = 401 if oauth else error.response.status_code
        if status == 401:
            raise http_client.RefusedError(
                f'Reddit refuses the app ({type(error).__name__}); check '
                'REDDIT_CLIENT_ID and REDDIT_CLIENT_SECRET, and that the app is of '
                'type script.'
            ) from None
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
