"""`Post` and `Comment` from Reddit's JSON objects, of its API, archives and dumps.

Types differ from year to year: `created_utc` is a number or a string, scores and texts
may be null, names may have a prefix (`t3_`).
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

SITE = 'https://www.reddit.com'
DELETED = '[deleted]'
# Texts that Reddit puts in the place of one.
GONE = frozenset(
    {
        '[deleted]',
        '[removed]',
        '[ removed by reddit ]',
        '[deleted by user]',
        '[ removed by reddit in response to a copyright notice. ]',
    }
)
# The fields that `post` and `comment` read; archives and dumps have some more.
POST_FIELDS = (
    *('id', 'subreddit', 'title', 'selftext', 'link_flair_text', 'author', 'score'),
    *('num_comments', 'created_utc', 'permalink', 'stickied', 'removed_by_category'),
)
COMMENT_FIELDS = (
    *('id', 'parent_id', 'author', 'body', 'score', 'created_utc', 'stickied'),
)
_SURROGATES = re.compile('[\ud800-\udfff]')
_PREFIX = re.compile('t[0-9]_')


@dataclasses.dataclass(frozen=True)
class Post:
    """A post; `author` is '[deleted]' where the account is gone."""

    id: str
    subreddit: str
    title: str
    body: str
    flair: str
    author: str
    score: int
    num_comments: int
    created_utc: int
    url: str
    stickied: bool
    gone: bool  # deleted by its author, or removed


@dataclasses.dataclass(frozen=True)
class Comment:
    """A comment; `parent_id` keeps its prefix: t3_ the post, t1_ a comment."""

    id: str
    parent_id: str
    author: str
    body: str
    score: int
    depth: int
    created_utc: int
    stickied: bool
    gone: bool


def bare_id(name: Any) -> str:
    """'t3_1abc' or '1abc' -> '1abc'; None -> ''."""
    bare = str(name or '').strip()
    return bare[3:] if _PREFIX.match(bare) else bare


def post(values: Mapping[str, Any]) -> Post:
    """The post of a JSON object.

    Raises:
      ValueError: it has no id, title or time.
    """
    post_id = bare_id(values.get('id'))
    title = ' '.join(text(values.get('title')).split())
    created = _integer(values.get('created_utc'), default=0)
    required = {'id': post_id, 'title': title, 'created_utc': created}
    if missing := [name for name, value in required.items() if not value]:
        raise ValueError(f'a post without {" and ".join(missing)}')
    body = text(values.get('selftext'))
    subreddit = text(values.get('subreddit'))
    permalink = text(values.get('permalink'))
    return Post(
        id=post_id,
        subreddit=subreddit,
        title=title,
        body=body,
        flair=text(values.get('link_flair_text')),
        author=text(values.get('author')) or DELETED,
        score=_integer(values.get('score'), default=0),
        num_comments=_integer(values.get('num_comments'), default=-1),
        created_utc=created,
        url=SITE + (permalink or f'/r/{subreddit}/comments/{post_id}/'),
        stickied=bool(values.get('stickied')),
        gone=_is_gone(body, values) or title.lower() in GONE,
    )


def comment(values: Mapping[str, Any], *, depth: int) -> Comment:
    """The comment of a JSON object; `depth` as in RawAnswer.

    Raises:
      ValueError: it has no id.
    """
    comment_id = bare_id(values.get('id'))
    if not comment_id:
        raise ValueError('a comment without id')
    body = text(values.get('body'))
    return Comment(
        id=comment_id,
        parent_id=str(values.get('parent_id') or ''),
        author=text(values.get('author')) or DELETED,
        body=body,
        score=_integer(values.get('score'), default=0),
        depth=depth,
        created_utc=_integer(values.get('created_utc'), default=0),
        stickied=bool(values.get('stickied')),
        gone=_is_gone(body, values),
    )


def tree(nodes: Any) -> tuple[list[Comment], list[str], int]:
    """(comments of a tree, depth first; ids that it left out; number of other nodes).

    A node is {'kind': 't1', 'data': {…, 'replies': '' or a listing}}, or
    {'kind': 'more', 'data': {'children': [ids]}}. A stack, not recursion: threads
    nest deeper than Python allows.
    """
    comments, folded, malformed = [], [], 0
    stack = [(node, 0) for node in reversed(children(nodes))]
    while stack:
        node, depth = stack.pop()
        data = node.get('data') if isinstance(node, dict) else None
        if not isinstance(data, dict):
            malformed += 1
            continue
        if node.get('kind') == 'more':
            folded += [bare_id(name) for name in data.get('children') or []]
            continue
        try:
            comments.append(comment(data, depth=depth))
        except ValueError:
            malformed += 1
        stack += [
            (below, depth + 1) for below in reversed(children(data.get('replies')))
        ]
    return comments, folded, malformed


def children(listing: Any) -> list[Any]:
    """The nodes of a listing, {'data': {'children': […]}} or a bare list."""
    if isinstance(listing, dict):
        data = listing.get('data')
        listing = data.get('children') if isinstance(data, dict) else data
    return listing if isinstance(listing, list) else []


def _is_gone(body: str, values: Mapping[str, Any]) -> bool:
    """Whether the text was deleted by its author or removed, by then or later.

    Archives keep texts that were deleted later and note the deletion in `_meta`.
    """
    meta = values.get('_meta')
    later = isinstance(meta, dict) and bool(
        meta.get('was_deleted_later') or meta.get('removal_type')
    )
    return (
        body.strip().lower() in GONE or later or bool(values.get('removed_by_category'))
    )


def text(value: Any) -> str:
    """The text, whose lone surrogates become U+FFFD for UTF-8; '' if it is none."""
    return _SURROGATES.sub('\ufffd', value) if isinstance(value, str) else ''


def _integer(value: Any, *, default: int) -> int:
    """'1700000000', 1.7e9 or 3 as an int; `default` for null and other values."""
    try:
        return int(float(value)) if value is not None else default
    except (TypeError, ValueError, OverflowError):
        return default
