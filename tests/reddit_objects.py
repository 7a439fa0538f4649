"""Posts, comments and trees in the shapes of Reddit's API and of Arctic Shift's."""

import pathlib
from typing import Any

from data_pipeline.rows import raw_thread

LONG = 'Tell him what you told us, in one sentence, and then wait. ' * 3


def post(number: int, **fields: Any) -> dict[str, Any]:
    """Post p0001, p0002 …, an hour apart, each worth keeping."""
    return {
        'id': f'p{number:04d}',
        'subreddit': 'advice',
        'title': f'Question {number}',
        'selftext': f'The body of {number}.\n\nWhat now?',
        'link_flair_text': None,
        'author': f'asker{number}',
        'score': 20,
        'num_comments': 2,
        'created_utc': 1_700_000_000 + 3_600 * number,
        'permalink': f'/r/advice/comments/p{number:04d}/question_{number}/',
        'stickied': False,
        **fields,
    }


def comment(number: int, name: str, **fields: Any) -> dict[str, Any]:
    """Comment `name` of post `number`, below the post, eligible."""
    return {
        'id': name,
        'link_id': f't3_p{number:04d}',
        'parent_id': f't3_p{number:04d}',
        'subreddit': 'advice',
        'author': f'helper_{name}',
        'body': f'{LONG} ({name})',
        'score': 5,
        'created_utc': 1_700_000_100 + 3_600 * number,
        'stickied': False,
        **fields,
    }


def node(values: dict[str, Any], *replies: dict[str, Any]) -> dict[str, Any]:
    """A comment as a node of a tree."""
    below = {'kind': 'Listing', 'data': {'children': list(replies)}} if replies else ''
    return {'kind': 't1', 'data': {**values, 'replies': below}}


def tree(number: int) -> list[dict[str, Any]]:
    """A moderator's sticky, a poor comment, and the best one below it."""
    return [
        node(
            comment(
                number, f's{number}', author='AutoModerator', stickied=True, score=999
            )
        ),
        node(
            comment(number, f'a{number}', score=3),
            node(comment(number, f'b{number}', score=50, parent_id=f't1_a{number}')),
        ),
    ]


def ids(path: pathlib.Path) -> list[str]:
    """The ids of a raw file, in its order."""
    return [thread.id for thread in raw_thread.read(path)]
