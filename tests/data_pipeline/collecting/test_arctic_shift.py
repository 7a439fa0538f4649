"""Arctic Shift: every post of a time once, whatever shares a second or comes twice."""

import random

import fake_arctic_shift
import loopback
import pytest
import reddit_objects

from data_pipeline.collecting import arctic_shift, collect_rules, http_client

START = reddit_objects.post(0)['created_utc']


def source(
    url: str, *, oldest_first: bool = True, after: int = 0, before: int = 0
) -> arctic_shift.ArcticShift:
    chosen = collect_rules.Settings(
        subreddit='advice',
        sort='old' if oldest_first else 'new',
        base_url=url,
        rules=collect_rules.Rules(after=after, before=before),
    )
    client = http_client.Client(user_agent='test', sleep=lambda _: None)
    return arctic_shift.ArcticShift(client, chosen)


def crowded(number: int, seed: int) -> list[dict]:
    """Posts of which many share a second."""
    rng = random.Random(seed)
    posts = [
        reddit_objects.post(i, created_utc=START + rng.randrange(number // 4))
        for i in range(number)
    ]
    rng.shuffle(posts)
    return posts


@pytest.mark.parametrize('inclusive', [False, True])
@pytest.mark.parametrize('oldest_first', [False, True])
@pytest.mark.parametrize('twice_every', [0, 3])
def test_every_post_comes_once_and_in_order(
    inclusive: bool, oldest_first: bool, twice_every: int
) -> None:
    posts = crowded(350, seed=1)
    server = fake_arctic_shift.FakeArcticShift(
        posts, inclusive=inclusive, twice_every=twice_every
    )
    with loopback.serve(server) as url:
        archive = source(url, oldest_first=oldest_first)
        found = [post for post, _ in archive.posts(None)]
    assert sorted(post.id for post in found) == sorted(post['id'] for post in posts)
    times = [post.created_utc for post in found]
    assert times == sorted(times, reverse=not oldest_first)


@pytest.mark.parametrize('inclusive', [False, True])
@pytest.mark.parametrize('oldest_first', [False, True])
def test_from_any_position_all_that_follow_are_listed(
    inclusive: bool, oldest_first: bool
) -> None:
    posts = crowded(120, seed=2)
    server = fake_arctic_shift.FakeArcticShift(posts, inclusive=inclusive, page=17)
    with loopback.serve(server) as url:
        archive = source(url, oldest_first=oldest_first)
        whole = list(archive.posts(None))
        for i in (0, 16, 17, 60, 119):
            again = {post.id for post, _ in archive.posts(whole[i][1])}
            assert again >= {post.id for post, _ in whole[i + 1 :]}


@pytest.mark.parametrize('inclusive', [False, True])
@pytest.mark.parametrize('oldest_first', [False, True])
def test_the_first_second_is_in_and_the_last_is_not(
    inclusive: bool, oldest_first: bool
) -> None:
    posts = [reddit_objects.post(i, created_utc=START + i // 2) for i in range(20)]
    server = fake_arctic_shift.FakeArcticShift(posts, inclusive=inclusive)
    with loopback.serve(server) as url:
        archive = source(
            url, oldest_first=oldest_first, after=START + 3, before=START + 6
        )
        found = sorted(post.id for post, _ in archive.posts(None))
    assert found == ['p0006', 'p0007', 'p0008', 'p0009', 'p0010', 'p0011']


def test_more_posts_in_a_second_than_a_page_holds_are_all_found() -> None:
    posts = [reddit_objects.post(i, created_utc=START) for i in range(250)]
    posts += [reddit_objects.post(i, created_utc=START + 9) for i in range(250, 260)]
    with loopback.serve(fake_arctic_shift.FakeArcticShift(posts)) as url:
        found = {post.id for post, _ in source(url).posts(None)}
    assert len(found) == 260


def test_more_than_the_api_can_page_is_an_error_and_not_a_loss() -> None:
    posts = [reddit_objects.post(i, created_utc=START) for i in range(1200)]
    with (
        loopback.serve(fake_arctic_shift.FakeArcticShift(posts)) as url,
        pytest.raises(http_client.SourceError, match='the same 1000 posts'),
    ):
        list(source(url).posts(None))


def test_an_empty_page_that_was_a_mistake_ends_nothing() -> None:
    page = loopback.Reply({'data': [reddit_objects.post(1), reddit_objects.post(2)]})
    empty = loopback.Reply({'data': []})
    more = loopback.Reply({'data': [reddit_objects.post(2), reddit_objects.post(3)]})
    with loopback.serve(loopback.Script(page, empty, more, empty)) as url:
        found = [post.id for post, _ in source(url).posts(None)]
    assert found == ['p0001', 'p0002', 'p0003']


def test_bad_days_of_the_server_are_lived_through() -> None:
    posts = crowded(300, seed=3)
    server = fake_arctic_shift.FakeArcticShift(posts, bad_every=2)
    with loopback.serve(server) as url:
        archive = source(url)
        found = [post for post, _ in archive.posts(None)]
        comments = [len(archive.comments(post)) for post in found[:12]]
    assert len({post.id for post in found}) == len(found) == 300
    assert comments == [3] * 12


@pytest.mark.parametrize('heavy_over', [50, 12])
@pytest.mark.parametrize('oldest_first', [False, True])
def test_a_heavy_page_is_asked_for_in_parts_from_the_same_second(
    heavy_over: int, oldest_first: bool
) -> None:
    posts = [reddit_objects.post(i) for i in range(1500)]
    heavy = 'p0105' if oldest_first else 'p1395'  # early on the second page
    server = fake_arctic_shift.FakeArcticShift(
        posts, heavy=heavy, heavy_over=heavy_over
    )
    with loopback.serve(server) as url:
        archive = source(url, oldest_first=oldest_first)
        found = [post.id for post, _ in archive.posts(None)]
    expected = [post['id'] for post in posts]
    assert found == (expected if oldest_first else expected[::-1])
    bound = 'after' if oldest_first else 'before'
    asked = [(query.get(bound), int(query['limit'])) for _, query in server.requests]
    sizes = [size for _, size in asked]
    halves = {50: [100, 50], 12: [100, 50, 25, 12]}[heavy_over]
    begin = sizes.index(50) - 1
    assert sizes[begin : begin + len(halves)] == halves
    assert len({second for second, _ in asked[begin : begin + len(halves)]}) == 1
    assert sizes[-1] == 100  # it grows again
    count = archive.counts['pages too heavy for the archive, asked for in parts']
    assert count == len(halves) - 1


def test_an_archive_without_time_for_the_least_page_is_an_error() -> None:
    posts = [reddit_objects.post(i) for i in range(40)]
    server = fake_arctic_shift.FakeArcticShift(posts, heavy='p0005', heavy_over=1)
    with (
        loopback.serve(server) as url,
        pytest.raises(http_client.SourceError, match=r'failed 7 times.*slow down'),
    ):
        list(source(url).posts(None))


def test_comments_that_a_tree_folds_away_are_looked_up() -> None:
    folded = [f'f{i}' for i in range(700)]
    more = {'kind': 'more', 'data': {'children': folded}}
    top = reddit_objects.comment(1, 'top')
    server = fake_arctic_shift.FakeArcticShift(
        [], trees={'p0001': [reddit_objects.node(top, more)]}
    )
    server.comments = {
        name: reddit_objects.comment(1, name, parent_id='t1_top') for name in folded
    }
    server.comments['f699']['parent_id'] = 't1_f3'
    server.comments['f5']['parent_id'] = 't1_unknown'
    with loopback.serve(server) as url:
        post = reddit_objects.post(1)
        archive = source(url)
        comments = archive.comments(arctic_shift.reddit_shapes.post(post))
    depths = {comment.id: comment.depth for comment in comments}
    assert len(depths) == 701
    assert [depths[name] for name in ('top', 'f0', 'f699', 'f5')] == [0, 1, 2, -1]
    assert [len(q['ids'].split(',')) for p, q in server.requests if 'ids' in q] == [
        500,
        200,
    ]


def test_a_server_that_is_not_arctic_shift_is_named() -> None:
    other = loopback.Script(loopback.Reply({'data': [{'name': 'x'}]}))
    with (
        loopback.serve(other) as url,
        pytest.raises(http_client.SourceError, match='is it Arctic Shift'),
    ):
        list(source(url).posts(None))


def test_a_malformed_post_is_counted_and_the_others_come() -> None:
    page = loopback.Reply({'data': [reddit_objects.post(1), {'id': 'x'}, None]})
    with loopback.serve(loopback.Script(page, loopback.Reply({'data': []}))) as url:
        archive = source(url)
        assert [post.id for post, _ in archive.posts(None)] == ['p0001']
    assert archive.counts['malformed posts'] == 2


def test_best_first_ranks_what_passes_and_gives_the_rest_for_the_account() -> None:
    scores = [12, 500, 3, 70, 70]
    posts = [reddit_objects.post(i, score=score) for i, score in enumerate(scores)]
    with loopback.serve(fake_arctic_shift.FakeArcticShift(posts)) as url:
        ranked = arctic_shift.BestFirst(
            source(url), rules=collect_rules.Rules(), knows=lambda name: name == 'p0000'
        )
        found = [post.id for post, _ in ranked.posts(None)]
    assert found == ['p0002', 'p0001', 'p0003', 'p0004']
