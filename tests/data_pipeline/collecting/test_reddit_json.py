"""Reddit's own pages on loopback: listings, trees, refusals."""

import pathlib
import subprocess

import forks
import loopback
import reddit_objects

from data_pipeline.collecting import (
    collect_rules,
    http_client,
    reddit_json,
    reddit_shapes,
)


class FakeReddit:
    """Pages of `page` posts of advice, which go on after a post's name."""

    def __init__(self, number: int, *, page: int) -> None:
        self.posts = [reddit_objects.post(i) for i in range(number)]
        self.page = page
        self.requests: list[tuple[str, dict[str, str]]] = []

    def __call__(self, path: str, query: dict[str, str]) -> loopback.Reply:
        self.requests.append((path, query))
        if path.startswith('/comments/'):
            number = int(path[len('/comments/p') : -len('.json')])
            more = {'kind': 'more', 'data': {'children': ['x', 'y'], 'count': 2}}
            post = listing([{'kind': 't3', 'data': self.posts[number]}])
            return loopback.Reply([post, listing([*reddit_objects.tree(number), more])])
        assert path == '/r/advice/top.json'
        names = [f't3_{post["id"]}' for post in self.posts]
        after = query.get('after', '')
        if after and after not in names:
            return loopback.Reply(listing([]))
        begin = names.index(after) + 1 if after else 0
        page = self.posts[begin : begin + self.page]
        last = begin + self.page >= len(names)
        nodes = [{'kind': 't3', 'data': post} for post in page]
        return loopback.Reply(
            listing(nodes, after=None if last else f't3_{page[-1]["id"]}')
        )


def listing(nodes: list, after: str | None = None) -> dict:
    return {'kind': 'Listing', 'data': {'children': nodes, 'after': after}}


def source(url: str) -> reddit_json.RedditJson:
    chosen = collect_rules.Settings(
        subreddit='advice', sort='top', time_filter='year', base_url=url
    )
    return reddit_json.RedditJson(http_client.Client(user_agent='test'), chosen)


def test_a_listing_is_paged_and_gone_on_with() -> None:
    server = FakeReddit(25, page=10)
    with loopback.serve(server) as url:
        whole = list(source(url).posts(None))
        assert [post.id for post, _ in whole] == [f'p{i:04d}' for i in range(25)]
        again = [post.id for post, _ in source(url).posts(whole[12][1])]
        assert again == [f'p{i:04d}' for i in range(10, 25)]
        gone = [post.id for post, _ in source(url).posts({'after': 't3_left'})]
        assert gone == [f'p{i:04d}' for i in range(25)]
    assert server.requests[0][1] == {'limit': '100', 'raw_json': '1', 't': 'year'}


def test_comments_come_with_their_depth_and_what_is_folded_away_is_counted() -> None:
    with loopback.serve(FakeReddit(3, page=10)) as url:
        reddit = source(url)
        post = reddit_shapes.post(reddit_objects.post(2))
        comments = [(c.id, c.depth) for c in reddit.comments(post)]
    assert comments == [('s2', 0), ('a2', 0), ('b2', 1)]
    assert reddit.counts['comments folded away by Reddit'] == 2


def test_the_program_collects_from_it(tmp_path: pathlib.Path) -> None:
    output = tmp_path / 'a.jsonl'
    with loopback.serve(FakeReddit(12, page=5)) as url:
        done = run(url, output, '--limit=7')
    assert done.returncode == 0, done.stderr
    assert reddit_objects.ids(output) == [f'p{i:04d}' for i in range(7)]


def test_a_refusal_is_one_error_that_names_the_other_sources(
    tmp_path: pathlib.Path,
) -> None:
    for reply in (
        loopback.Reply(loopback.HTML, status=403),
        loopback.Reply(loopback.HTML),
        loopback.Reply({'message': 'Forbidden', 'error': 403}, status=403),
    ):
        script = loopback.Script(reply)
        with loopback.serve(script) as url:
            done = run(url, tmp_path / 'a.jsonl')
        assert done.returncode == 2
        assert len(script.requests) == 1
        assert done.stderr.count('\n') == 1
        for other in ('arctic_shift', '=reddit ', '=dump', 'REDDIT_CLIENT_ID'):
            assert other in done.stderr


def run(url: str, output: pathlib.Path, *more: str) -> subprocess.CompletedProcess[str]:
    return forks.run(
        *('-m', 'data_pipeline.collect', '--source=reddit_json', '--subreddit=advice'),
        *(f'--base_url={url}', f'--output={output}', '--delay=0', '--batch_delay=0'),
        *more,
    )
