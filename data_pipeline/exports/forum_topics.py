"""A post of a forum with what was said below it, as one question and its answers.

{"title": "Why?", "selftext": "", "comments": [{"body": "So.", "score": 9}]}   Reddit
{"title": "Why?", "selftext": "", "top_comments": ["So.", "Thus."]}
{"post": {"title": "Why?", "selftext": ""}, "comments": [{"body": "So."}]}
[{"kind": "Listing", "data": {"children": [{"kind": "t3", "data": {"title": "Why?"}}]}},
 {"kind": "Listing", "data": {"children": [{"kind": "t1", "data": {"body": "So."}}]}}]
{"title": "Why?", "body": "", "comments": {"nodes": [{"body": "So.",
 "isAnswer": true}]}}                                       GitHub's discussions
{"title": "Why?", "post_stream": {"posts": [{"post_number": 1, "cooked": "<p>Why?</p>"},
 {"post_number": 2, "cooked": "<p>So.</p>", "accepted_answer": true}]}}     Discourse

What the asker said, and what answers another comment, answers no question.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from data_pipeline.exports import json_values
from data_pipeline.pages import reddit

# A field of a row: the posts that are none of its answers, for the counts.
OTHERS = 'posts below a question that do not answer it, left out'
_BODIES = ('body', 'bodyText', 'body_text')
# Of comments below a post that has a title, as programs that fetch them call these.
_OF_COMMENTS = (
    *('comment_body', 'comment_text', 'commentText', 'comment', 'text', 'content'),
)
_TITLES = ('title', 'post_title', 'postTitle')
_AUTHORS = ('author', 'user', 'owner', 'username', 'user_id', 'author_id')
# Of an author that is an object.
_NAMES = ('login', 'id', 'user_id', 'name', 'username')
_ANSWERED = ('answer', 'answers', 'requester_id')  # the last is of a ticket
_PARENTS = ('parent_id', 'parentId', 'parent', 'in_reply_to_id', 'reply_to')
_COMMENTS = ('comments', 'top_comments')
_POSTS = ('post', 'submission', 'thread', 'topic')  # beside its comments
_LISTING = 'Listing'
_ON_COMMENT = 't1_'  # opens the id of a comment of Reddit's, t3_ that of a post
_NOBODY = ('anonymous', 'anon', 'guest', 'unknown', 'none', 'n/a', 'user')
_LIKE = 2  # the id of Discourse's action


def row(value: dict[str, Any]) -> dict[str, Any] | None:
    """The row of a post and its answers; None for an object of another kind."""
    if isinstance(value.get('post_stream'), dict):
        return _of_discourse(value)
    name = next((name for name in _COMMENTS if value.get(name)), '')
    comments = _listed(value.get(name))
    held = [value[name] for name in _POSTS if isinstance(value.get(name), dict)]
    if comments and len(held) == 1 and 'title' not in value:
        value = {**held[0], name: comments}
    if 'title' in value and all(isinstance(each, str) for each in comments):
        comments = [{'body': each} for each in comments]
    if not comments or not value.keys().isdisjoint(_ANSWERED):
        return None
    if any(name in value for name in _TITLES):
        comments = [*map(_with_body, comments)]
    if not all(isinstance(e, dict) and _body(e) is not None for e in comments):
        return None
    asker = _author(value)
    ids = {str(each['id']) for each in comments if each.get('id')}
    depths = [e['depth'] for e in comments if isinstance(e.get('depth'), int)]
    answers, others = [], []
    for each in comments:
        above = next((str(each[key]) for key in _PARENTS if each.get(key)), '')
        is_reply = (
            above.startswith(_ON_COMMENT)
            or above in ids
            or (depths and each.get('depth') in depths and each['depth'] > min(depths))
        )
        is_own = each.get('is_submitter') or (asker and _author(each) == asker)
        is_chosen = each.get('isAnswer') or each.get('is_answer')
        is_of_none = each.get('stickied') or _is_removed(_body(each))
        is_answer = is_chosen or not (is_reply or is_own or is_of_none)
        (answers if is_answer else others).append(each)
    made = {key: each for key, each in value.items() if key != name}
    return made | {'answers': answers} | ({OTHERS: others} if others else {})


def of_listings(value: list[Any]) -> dict[str, Any] | None:
    """The row of a thread as Reddit itself gives it; None for any other list."""
    if len(value) != 2 or not all(map(is_listing, value)):
        return None
    posts, comments = ([*_things(each)] for each in value)
    if len(posts) != 1 or 'title' not in posts[0]:
        return None
    forum = json_values.a_text(posts[0].get('subreddit'))
    comments = [each for each in comments if _body(each) is not None]
    source = {'source': f'reddit:{forum}'} if forum else {}
    return posts[0] | source | {'comments': comments}


def is_listing(value: Any) -> bool:
    """Whether a value is one of the two parts of such a thread."""
    return isinstance(value, dict) and value.get('kind') == _LISTING


def _things(listing: dict[str, Any]) -> Iterator[dict[str, Any]]:
    children = json_values.an_object(listing.get('data')).get('children')
    return (json_values.an_object(e.get('data')) for e in json_values.objects(children))


def _of_discourse(value: dict[str, Any]) -> dict[str, Any] | None:
    posts = value['post_stream'].get('posts')
    if not isinstance(posts, list) or not all(isinstance(e, dict) for e in posts):
        return None
    asked = next((each for each in posts if each.get('post_number') == 1), None)
    if asked is None:
        return None
    asker = _author(asked)
    accepted = json_values.an_object(value.get('accepted_answer'))
    number = accepted.get('post_number')
    answers, others = [], []
    for each in posts:
        is_accepted = each.get('accepted_answer') is True
        is_accepted = is_accepted or (number and each.get('post_number') == number)
        is_answer = (
            each.get('post_type', 1) == 1
            and not (each.get('hidden') or each.get('deleted_at'))
            and each.get('reply_to_post_number') in (None, 1)
            and (asker is None or _author(each) != asker)
        )
        if each is not asked and (is_accepted or is_answer):
            answers.append(
                {
                    'text': json_values.a_text(each.get('cooked')),
                    'is_accepted': bool(is_accepted),
                    'score': _likes(each),
                    'created_at': each.get('created_at') or '',
                }
            )
        elif each is not asked:
            others.append(json_values.a_text(each.get('cooked')))
    if number and not any(each['is_accepted'] for each in answers):
        others += [each['text'] for each in answers]  # it is on another page
        answers = []
    return {
        'id': str(value.get('id') or ''),
        'title': value.get('title') or '',
        'body': asked.get('cooked') or '',
        'created_at': asked.get('created_at') or '',
        'answers': answers,
    } | ({OTHERS: others} if others else {})


def _likes(post: dict[str, Any]) -> int:
    actions = json_values.objects(post.get('actions_summary'))
    counts = [each.get('count') for each in actions if each.get('id') == _LIKE]
    return sum(each for each in counts if isinstance(each, int))


def _listed(value: Any) -> Sequence[Any]:
    """The comments of a list, or of GraphQL's `nodes` or `edges`."""
    if isinstance(value, dict) and isinstance(value.get('nodes'), list):
        return value['nodes']
    if isinstance(value, dict) and isinstance(value.get('edges'), list):
        return [e.get('node') if isinstance(e, dict) else e for e in value['edges']]
    return value if isinstance(value, list) else ()


def _with_body(comment: Any) -> Any:
    """A comment whose text has one of other names, with the name `body`."""
    if not isinstance(comment, dict) or _body(comment) is not None:
        return comment
    found = next((name for name in _OF_COMMENTS if comment.get(name)), '')
    if not isinstance(comment.get(found), str):
        return comment
    return {key: each for key, each in comment.items() if key != found} | {
        'body': comment[found]
    }


def _body(comment: dict[str, Any]) -> Any:
    return next((comment[name] for name in _BODIES if name in comment), None)


def _author(post: dict[str, Any]) -> str | None:
    """What names a post's author; None where nothing does, or the account is gone."""
    found = next((post[name] for name in _AUTHORS if post.get(name)), None)
    if isinstance(found, dict):
        found = next((found[name] for name in _NAMES if found.get(name)), None)
    known = json_values.a_name(found)
    is_nobody = not known or known.lower() in _NOBODY or _is_removed(known)
    return None if is_nobody else known


def _is_removed(text: Any) -> bool:
    return reddit.is_removed(json_values.a_text(text))
