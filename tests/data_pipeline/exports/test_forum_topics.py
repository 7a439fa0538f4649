"""A post and what was said below it: which of it answers the question."""

import json
import pathlib
from typing import Any

import pytest

from data_pipeline.exports import forum_topics
from data_pipeline.reading import reader
from hax_jax import errors

TITLE, BODY, A, NO = 'A song', 'Who sings at night?', 'Tom does.', 'No idea at all.'


def read(value: Any) -> tuple[list[tuple[str, str]], dict[str, int]]:
    pathlib.Path('a.json').write_text(json.dumps(value))
    pairs, report = reader.read(['a.json'])
    return [(pair.question, pair.answer) for pair in pairs], report.counts


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    'comment',
    [
        {'author': 'ann', 'body': 'Edit: she is 80.', 'score': 99},
        {'is_submitter': True, 'body': 'Edit: she is 80.', 'score': 99},
        {'author': 'bo', 'parent_id': 't1_x', 'body': 'Ha, so it is!', 'score': 99},
        {'author': 'bo', 'depth': 2, 'body': 'Ha, so it is!', 'score': 99},
        {'author': 'bo', 'parent': 9, 'body': 'Ha, so it is!', 'score': 99},
        {'author': 'Mod', 'stickied': True, 'body': 'Be kind.', 'score': 99},
        {'author': 'bo', 'body': '[removed]', 'score': 99},
    ],
)
def test_a_comment_of_the_asker_or_on_a_comment_is_no_answer(comment: Any) -> None:
    answer = {'author': 'cy', 'body': A, 'parent_id': 't3_p', 'score': 2}
    comments = [comment, {'id': 9, 'depth': 1, **answer}]
    post = {'title': TITLE, 'selftext': BODY, 'author': 'ann', 'comments': comments}
    pairs, counts = read([post])
    assert pairs == [(f'{TITLE}\n\n{BODY}', A)]
    assert counts[forum_topics.OTHERS] == 1


def listing(kind: str, *things: dict[str, Any]) -> dict[str, Any]:
    children = [{'kind': kind, 'data': each} for each in things]
    return {'kind': 'Listing', 'data': {'after': None, 'children': children}}


POST = {'title': TITLE, 'selftext': BODY, 'author': 'ann', 'subreddit': 'songs'}
COMMENTS = [
    {'body': NO, 'score': 1, 'parent_id': 't3_p', 'replies': ''},
    {
        'body': A,
        'score': 7,
        'parent_id': 't3_p',
        'replies': listing('t1', {'body': NO, 'score': 99, 'parent_id': 't1_b'}),
    },
]
THREAD = [listing('t3', POST), listing('t1', *COMMENTS)]
THREAD[1]['data']['children'].append({'kind': 'more', 'data': {'children': ['c']}})


@pytest.mark.parametrize(
    'text',
    [
        json.dumps(THREAD),
        json.dumps(THREAD, indent=2),
        json.dumps([THREAD]),
        f'{json.dumps(THREAD)}\n',
        json.dumps({'post': POST, 'comments': COMMENTS}),
        json.dumps({'submission': POST, 'comments': COMMENTS}),
        json.dumps(POST | {'top_comments': COMMENTS}),
        json.dumps(POST | {'top_comment': A}),
        json.dumps(POST | {'best_comment': COMMENTS[1]}),
        json.dumps(POST | {'comments': ['[deleted]', A, NO]}),
    ],
)
def test_a_thread_of_reddit_is_read_in_any_of_its_shapes(text: str) -> None:
    pathlib.Path('a.json').write_text(text)
    (pair,), _ = reader.read(['a.json'])
    assert (pair.question, pair.answer) == (f'{TITLE}\n\n{BODY}', A)
    if text.startswith('['):
        assert pair.source == 'reddit:songs'


def test_posts_with_answers_need_not_be_threads_of_our_own() -> None:
    answers = [{'text': NO, 'score': 1}, {'text': A, 'score': 7}]
    post = {'title': TITLE, 'body': BODY, 'subreddit': 'songs', 'answers': answers}
    assert read([post])[0] == [(f'{TITLE}\n\n{BODY}', A)]


@pytest.mark.parametrize('body', ['[deleted]', '[removed]'])
@pytest.mark.parametrize('name', ['selftext', 'body'])
def test_a_body_that_was_removed_is_no_text_of_the_question(
    name: str, body: str
) -> None:
    post = {'title': TITLE, name: body, 'comments': [{'body': A}]}
    pairs, counts = read([post])
    assert pairs == [(TITLE, A)]
    assert counts['fields of a question that say it was removed, left out'] == 1


def test_askers_and_comments_without_a_name_are_not_one_person() -> None:
    comments = [{'author': 'Anonymous', 'body': A}]
    post = {'title': TITLE, 'body': BODY, 'author': 'Anonymous', 'comments': comments}
    assert read([post])[0] == [(f'{TITLE}\n\n{BODY}', A)]


@pytest.mark.parametrize(
    'answered',
    [
        {'answer': {'body': A}},
        {'answer': {'bodyText': A}, 'comments': {'nodes': [{'body': NO}]}},
        {'comments': {'nodes': [{'body': NO}, {'body': A, 'isAnswer': True}]}},
        {'comments': {'edges': [{'node': {'body': NO, 'upvoteCount': 1}},
                                {'node': {'body': A, 'upvoteCount': 3}}]}},
    ],
)  # fmt: skip
@pytest.mark.parametrize('kind', ['nodes', 'edges'])
def test_githubs_discussions_give_their_answer(answered: Any, kind: str) -> None:
    post = {'title': TITLE, 'bodyText': BODY, 'author': {'login': 'ann'}, **answered}
    listed = [post] if kind == 'nodes' else [{'node': post}]
    pairs, _ = read({'data': {'repository': {'discussions': {kind: listed}}}})
    assert pairs == [(f'{TITLE}\n\n{BODY}', A)]


def post(number: int, text: str, user: str, **fields: Any) -> dict[str, Any]:
    return {'post_number': number, 'cooked': text, 'username': user, 'post_type': 1} | (
        fields
    )


def topic(*posts: Any, **fields: Any) -> dict[str, Any]:
    asked = post(1, BODY, 'ann')
    return {'id': 4, 'title': TITLE, 'post_stream': {'posts': [asked, *posts]}} | fields


@pytest.mark.parametrize(
    'found',
    [
        topic(post(2, NO, 'bo'), post(3, A, 'cy', accepted_answer=True)),
        topic(post(2, NO, 'bo'), post(3, A, 'cy'), accepted_answer={'post_number': 3}),
        topic(post(2, NO, 'bo'), post(3, A, 'cy',
              actions_summary=[{'id': 2, 'count': 4}])),
        topic(post(2, 'Closed.', 'mod', post_type=3), post(3, 'And?', 'ann'),
              post(4, NO, 'bo', reply_to_post_number=3), post(5, A, 'cy')),
    ],
)  # fmt: skip
def test_a_topic_of_discourse_gives_its_accepted_or_best_answer(found: Any) -> None:
    assert read(found)[0] == [(f'{TITLE}\n\n{BODY}', A)]


def test_an_accepted_answer_on_another_page_is_not_replaced() -> None:
    with pytest.raises(errors.InputError, match='no answered question'):
        read(topic(post(2, NO, 'bo'), accepted_answer={'post_number': 31}))
