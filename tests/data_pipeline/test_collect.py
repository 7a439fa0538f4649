"""The program data_pipeline.collect, run as a process against loopback servers."""

import json
import pathlib
import random
import signal
import subprocess
import time

import fake_arctic_shift
import forks
import loopback
import programs
import pytest
import reddit_objects

from data_pipeline.collecting import collect_flags
from data_pipeline.rows import raw_thread


def collect(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return forks.run('-m', 'data_pipeline.collect', *arguments, **environment)


def flags(url: str, output: pathlib.Path, *more: str) -> list[str]:
    given = [
        f'--base_url={url}',
        '--subreddit=advice',
        f'--output={output}',
        '--delay=0',
        '--batch_delay=0',
    ]
    return programs.replaced(given, *more)


def mixed(number: int) -> list[dict]:
    """Posts of which each fifth is poor and each seventh deleted."""
    posts = []
    for i in range(number):
        post = reddit_objects.post(i, created_utc=1_700_000_000 + i // 3)
        if i % 7 == 0:
            post |= {'selftext': '[removed]', 'author': '[deleted]'}
        elif i % 5 == 0:
            post['score'] = 2
        posts.append(post)
    return posts


def good(posts: list[dict]) -> list[str]:
    return [
        post['id']
        for post in posts
        if post['score'] >= 10 and post['selftext'] != '[removed]'
    ]


def test_a_subreddit_is_collected_through_bad_days_and_accounted_for(
    tmp_path: pathlib.Path,
) -> None:
    posts = mixed(40)
    server = fake_arctic_shift.FakeArcticShift(posts, bad_every=13, page=11)
    server.trees['p0011'] = []
    server.trees['p0012'] = [
        reddit_objects.node(reddit_objects.comment(12, 'd', body='[deleted]'))
    ]
    output = tmp_path / 'raw' / 'advice.jsonl'
    with loopback.serve(server) as url:
        done = collect(*flags(url, output, '--limit=0', '--sort=old'))
    assert done.returncode == 0, done.stderr
    assert reddit_objects.ids(output) == [
        name for name in good(posts) if name not in ('p0011', 'p0012')
    ]
    thread = next(raw_thread.read(output))
    assert (thread.source, thread.subreddit, thread.id) == (
        'arctic_shift',
        'advice',
        'p0001',
    )
    assert thread.title == 'Question 1'
    assert [answer.id for answer in thread.answers] == ['b1']
    reasons = {'deleted or removed': 6, 'under 10 upvotes': 6}
    reasons |= {'no comments': 1, 'no eligible answer': 1}
    kept = 40 - sum(reasons.values())
    for reason, count in reasons.items():
        assert f'{count} {reason}' in done.stdout
    assert f'{kept} threads; skipped 14: ' in done.stdout
    skipped = output.with_name('advice.jsonl.skipped').read_text().splitlines()
    assert len(skipped) == 14
    assert {'id': 'p0000', 'reason': 'deleted or removed'} in map(json.loads, skipped)
    log = output.with_name('advice.jsonl.log').read_text()
    assert 'post p0001 is kept' in log
    assert 'asking again in' in log


def test_killed_at_twenty_random_moments_every_post_is_there_once(
    tmp_path: pathlib.Path,
) -> None:
    posts = mixed(150)
    server = fake_arctic_shift.FakeArcticShift(posts, page=20)
    output = tmp_path / 'advice.jsonl'
    rng = random.Random(7)
    kills, threads = 0, 0
    with loopback.serve(server) as url:
        command = [
            *('-m', 'data_pipeline.collect'),
            *flags(url, output, '--limit=0', '--save_interval=5', '--delay=0.02'),
        ]
        for attempt in range(100):
            asked = len(server.requests)
            child = forks.start(*command, stdout=subprocess.DEVNULL)
            # It is killed once it has asked something, a random moment later.
            while child.poll() is None and len(server.requests) == asked:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.25))
            if kills < 20 and child.poll() is None:
                child.send_signal(signal.SIGKILL if attempt % 3 else signal.SIGTERM)
                kills += 1
            _, errors = child.communicate(timeout=60)
            if child.returncode == 0:
                break
            assert child.returncode in (-9, 143), errors
            threads = max(threads, output.read_bytes().count(b'\n'))
    assert kills == 20
    assert child.returncode == 0
    assert 0 < threads < len(good(posts)), 'no kill came in the middle'
    assert sorted(reddit_objects.ids(output)) == good(posts)
    rows = output.with_name('advice.jsonl.skipped').read_text().splitlines()
    assert sorted(json.loads(row)['id'] for row in rows) == sorted(
        {post['id'] for post in posts} - set(good(posts))
    )


def test_the_limit_is_the_threads_that_the_file_has_whoever_asked_again(
    tmp_path: pathlib.Path,
) -> None:
    server = fake_arctic_shift.FakeArcticShift(mixed(60), page=10)
    output = tmp_path / 'a.jsonl'
    newest = good(mixed(60))[::-1]
    with loopback.serve(server) as url:
        for limit in (5, 5, 12):
            done = collect(*flags(url, output, f'--limit={limit}'))
            assert done.returncode == 0, done.stderr
            assert sorted(reddit_objects.ids(output)) == sorted(newest[:limit])
        other = collect(*flags(url, output, '--min-upvotes=3'))
    assert other.returncode == 2
    assert 'min_upvotes: 10 there, 3 now' in other.stderr


def test_the_old_spelling_and_a_markdown_output_work(tmp_path: pathlib.Path) -> None:
    server = fake_arctic_shift.FakeArcticShift(mixed(30))
    with loopback.serve(server) as url:
        done = collect(
            *('--subreddit', 'r/advice', '--limit', '4', '--min-upvotes', '10'),
            *('--min-comment-length', '100', '--sort', 'new', '--start-at', '3'),
            *('--delay', '0', '--batch-delay', '0', '--save-interval', '2'),
            *('--log-dir', str(tmp_path / 'logs'), '--log-file', 'c.log'),
            *('--no-skip-duplicates', '--output', str(tmp_path / 'a.md')),
            f'--base-url={url}',
        )
    assert done.returncode == 0, done.stderr
    newest = good(mixed(30))[::-1]
    assert reddit_objects.ids(tmp_path / 'a.jsonl') == newest[2:6]
    assert (tmp_path / 'a.md').read_text().count('# Reddit Post') == 4
    assert (tmp_path / 'logs' / 'c.log').exists()
    assert '2 before --start_at=3' in done.stdout


def test_top_of_a_period_is_by_score(tmp_path: pathlib.Path) -> None:
    scores = [30, 11, 90, 5, 60]
    posts = [reddit_objects.post(i, score=score) for i, score in enumerate(scores)]
    output = tmp_path / 'a.jsonl'
    with loopback.serve(fake_arctic_shift.FakeArcticShift(posts)) as url:
        more = ('--sort=top', '--after=2023-11-14', '--limit=3', '--no_log_file')
        done = collect(*flags(url, output, *more))
        assert done.returncode == 0, done.stderr
        refused = collect(*flags(url, tmp_path / 'b.jsonl', '--sort=top'))
    assert reddit_objects.ids(output) == ['p0002', 'p0004', 'p0000']
    assert not output.with_name('a.jsonl.log').exists()
    assert refused.returncode == 2
    assert '--time_filter=month' in refused.stderr


def test_all_that_is_wrong_with_flags_is_said_at_once() -> None:
    done = collect(
        *('--output=a.txt', '--subreddit=no such', '--sort=hot', '--after=June'),
        *('--before=2020-01-01', '--save_interval=0', '--base_url=http://u:p@h'),
        *('--input=a.zst',),
    )
    assert done.returncode == 2
    for words in (
        '--output=a.txt',
        '--subreddit=',
        '--sort=hot is not an order',
        '--after=June is no date',
        '--save_interval=0',
        '--base_url=',
        '--input is for --source=dump',
    ):
        assert words in done.stderr
    assert done.stderr.count('error:') == 1


def test_replies_to_comments_are_counted_and_can_be_left_out(
    tmp_path: pathlib.Path,
) -> None:
    posts = [reddit_objects.post(i) for i in range(12)]
    path, old = tmp_path / 'a.jsonl', tmp_path / 'b.jsonl'
    with loopback.serve(fake_arctic_shift.FakeArcticShift(posts)) as url:
        done = collect(*flags(url, path, '--top-level-only', '--no_log_file'))
        every = collect(*flags(url, old, '--max_answers_per_post=0', '--json'))
        other = collect(
            *flags(url, old, '--max_answers_per_post=0', '--top-level-only')
        )
    assert (done.returncode, every.returncode) == (0, 0), done.stderr
    assert {len(thread.answers) for thread in raw_thread.read(path)} == {1}
    assert all(thread.answers[0].id[0] == 'a' for thread in raw_thread.read(path))
    assert '12 a reply to a comment' in done.stdout
    assert 'reply to another comment' not in done.stdout
    said = 'answers of this call: 24, of which 12 reply to another comment'
    assert said in every.stderr
    assert json.loads(every.stdout)['replies_to_comments'] == 12
    assert other.returncode == 2
    assert 'top_level_only: None there, True now' in other.stderr


def test_no_connection_is_one_error_that_leaves_no_file(tmp_path: pathlib.Path) -> None:
    with loopback.serve(loopback.Script()) as url:
        pass
    done = collect(*flags(url, tmp_path / 'a.jsonl'))
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        f'error: {url.removeprefix("http://")} can not be reached (no connection: '
        'Connection refused); no thread was written. Check the network, a proxy that '
        'HTTPS_PROXY names, and --base_url, then start again.'
    ]
    assert [*tmp_path.iterdir()] == []


def test_two_programs_do_not_fill_one_file(tmp_path: pathlib.Path) -> None:
    output = tmp_path / 'a.jsonl'
    server = loopback.Script(loopback.Reply({'data': []}, late=3))
    with loopback.serve(server) as url:
        command = ['-m', 'data_pipeline.collect', *flags(url, output)]
        first = forks.start(*command, stdout=subprocess.DEVNULL)
        while not server.requests:
            time.sleep(0.01)
        second = collect(*flags(url, output))
        first.kill()
        first.wait()
    assert second.returncode == 2
    assert 'another program is collecting' in second.stderr


@pytest.mark.parametrize(
    ('text', 'seconds'),
    [
        ('', 0),
        ('2024-01-31', 1_706_659_200),
        ('2024-01-31T01:00', 1_706_662_800),
        ('2024-01-31T01:00+01:00', 1_706_659_200),
        ('1706659200', 1_706_659_200),
    ],
)
def test_dates_are_in_utc(text: str, seconds: int) -> None:
    assert collect_flags.seconds(text) == seconds
