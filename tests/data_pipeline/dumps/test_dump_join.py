"""The join of dumps on the disk against one in dictionaries, and what a kill leaves."""

import collections
import json
import pathlib
import signal
import subprocess
import tempfile
import time
from typing import Any

import dump_makers
import dump_synthesis
import forks
import hypothesis
import pytest
import zstandard
from hypothesis import strategies

from data_pipeline.collecting import collect_rules, reddit_shapes
from data_pipeline.dumps import dump_source, join_store, subreddit_objects
from data_pipeline.rows import raw_thread
from hax_jax import errors

RULES = collect_rules.Rules(min_upvotes=5, min_comment_length=10)
WHERE = strategies.sampled_from(['advice', 'Advice', 'ADVICE', 'cats'])
SCORE = strategies.sampled_from([-3, 4, 5, 5.0, '6', 7, None])
AUTHOR = strategies.sampled_from(['ann', 'bob', 'AutoModerator', '[deleted]', None])
TEXT = strategies.sampled_from(
    [
        '[removed]',
        'short',
        None,
        'a body that is\nlong enough',
        '\U0001f494 \ud800 \0 ab',
    ]
)
POST = strategies.fixed_dictionaries(
    {
        'id': strategies.sampled_from(['p1', 'p2', 'p3', 't3_p4', 'p5', '', None]),
        'subreddit': WHERE,
        'title': strategies.sampled_from(['A title', 'Another', '']),
        'selftext': TEXT,
        'author': AUTHOR,
        'score': SCORE,
        'created_utc': strategies.sampled_from([10, '11', 12.0, 1e300, 10]),
    }
)
COMMENT = strategies.fixed_dictionaries(
    {
        'id': strategies.sampled_from([f'c{i}' for i in range(12)] + [None]),
        'link_id': strategies.sampled_from(['t3_p1', 't3_p2', 'p3', 't3_p4', 'zz']),
        'parent_id': strategies.sampled_from(
            ['t3_p1', 't3_p2', 't1_c1', 't1_c2', 't1_c3', 't1_c4', 't1_zz']
        ),
        'subreddit': WHERE,
        'author': AUTHOR,
        'body': TEXT,
        'score': SCORE,
        'created_utc': strategies.sampled_from([20, '21', None, 22]),
    }
)


def joined(
    post_objects: list[dict[str, Any]],
    comment_objects: list[dict[str, Any]],
    rules: collect_rules.Rules,
) -> dict[str, list[tuple[str, int]]]:
    """{post's id: (id, depth) of its best comments}, of all posts, in their order."""
    posts: dict[str, reddit_shapes.Post] = {}
    for values in post_objects:
        if str(values['subreddit']).lower() == 'advice':
            try:
                post = reddit_shapes.post(values)
            except ValueError:
                continue
            if post.created_utc < 2**63:
                posts.setdefault(post.id, post)
    wanted = {
        name
        for name, post in posts.items()
        if not collect_rules.why_not_post(post, rules)
    }
    comments: dict[str, tuple[str, reddit_shapes.Comment]] = {}
    for values in comment_objects:
        of = reddit_shapes.bare_id(values['link_id'])
        if str(values['subreddit']).lower() == 'advice' and of in wanted:
            try:
                comment = reddit_shapes.comment(values, depth=0)
            except ValueError:
                continue
            comments.setdefault(comment.id, (of, comment))

    def depth(name: str, above: tuple[str, ...] = ()) -> int:
        of, comment = comments[name]
        if comment.parent_id.startswith('t3_'):
            return len(above)
        parent = comment.parent_id[3:]
        there = parent in comments and comments[parent][0] == of
        if not there or parent in (name, *above):
            return -1
        return depth(parent, (name, *above))

    found: dict[str, list[tuple[str, int]]] = {name: [] for name in posts}
    for name, (of, comment) in sorted(
        comments.items(), key=lambda item: collect_rules.rank(item[1][1])
    ):
        asker = posts[of].author
        full = rules.max_answers_per_post
        if not collect_rules.why_not_comment(comment, rules, asker=asker) and (
            not full or len(found[of]) < full
        ):
            found[of].append((name, depth(name)))
    return found


def answers(source: dump_source.Dumps) -> dict[str, list[tuple[str, int]]]:
    return {
        post.id: [(each.id, each.depth) for each in source.comments(post)]
        for post, _ in source.posts(None)
    }


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    strategies.lists(POST, min_size=1, max_size=8),
    strategies.lists(COMMENT, min_size=1, max_size=30),
    strategies.sampled_from([0, 1, 2]),
    strategies.booleans(),
)
def test_the_join_equals_one_in_dictionaries(
    posts: list[dict[str, Any]],
    comments: list[dict[str, Any]],
    most: int,
    skip_asker: bool,
) -> None:
    rules = collect_rules.Rules(
        **{**vars(RULES), 'max_answers_per_post': most, 'skip_asker': skip_asker}
    )
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        # So small that what belongs together is in several batches and windows.
        patch.setattr(dump_source, '_BATCH_BYTES', 400)
        patch.setattr(join_store, '_WINDOW', 2)
        folder = pathlib.Path(name)
        halves = [
            dump_makers.write(folder / f'{i}.jsonl', objects)
            for i, objects in enumerate(
                (comments[:9], posts[:3], comments[9:], posts[3:])
            )
            if objects
        ]
        both = dump_makers.write(
            folder / 'b.jsonl', [*comments[:9], *posts, *comments[9:]]
        )
        # Kinds in any order, and in one file.
        for paths in (halves, [*halves[1::2], *halves[::2]], [both]):
            source = dump_source.Dumps(
                [str(path) for path in paths],
                collect_rules.Settings(subreddit='Advice', sort='old', rules=rules),
                knows=lambda post_id: False,
                work=folder / 'work',
            )
            assert answers(source) == joined(posts, comments, rules)
            assert not (folder / 'work').exists()


def test_a_synthetic_dump_gives_what_a_slow_join_does(tmp_path: pathlib.Path) -> None:
    plain, size = dump_synthesis.write(tmp_path, 3_000_000, suffix='.jsonl', others=0.2)
    packed, same = dump_synthesis.write(tmp_path, 3_000_000, suffix='.zst', others=0.2)
    assert size == same == sum(path.stat().st_size for path in plain)
    for path, twin in zip(packed, plain, strict=True):
        frame = zstandard.get_frame_parameters(path.read_bytes()[:18])
        assert frame.window_size == 2**31
        reader = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(
            path.read_bytes()
        )
        assert reader.read() == twin.read_bytes()
    posts, comments = (
        [json.loads(line) for line in path.read_text().splitlines()] for path in plain
    )
    expected = joined(posts, comments, collect_rules.Rules(max_answers_per_post=3))
    expected = {name: best for name, best in expected.items() if best}
    assert len(expected) > 5
    assert max(depth for best in expected.values() for _, depth in best) > 1
    for kind in ('jsonl', 'zst'):
        output = tmp_path / f'{kind}-out.jsonl'
        done = collect(tmp_path / f'R*.{kind}', output, '--max_answers_per_post=3')
        assert done.returncode == 0, done.stderr
        kept = {
            thread.id: [(each.id, each.depth) for each in thread.answers]
            for thread in raw_thread.read(output)
        }
        assert kept == expected
        assert list(kept) == list(expected)


def collect(
    inputs: pathlib.Path, output: pathlib.Path, *more: str
) -> subprocess.CompletedProcess[str]:
    return forks.run(*command(inputs, output), *more)


def command(inputs: pathlib.Path, output: pathlib.Path) -> list[str]:
    return [
        *('-m', 'data_pipeline.collect', '--source=dump', '--subreddit=advice'),
        *(f'--input={inputs}', f'--output={output}', '--limit=0'),
    ]


def test_what_a_killed_call_left_is_removed(tmp_path: pathlib.Path) -> None:
    dump_synthesis.write(tmp_path, 30_000_000, suffix='.jsonl')
    whole = tmp_path / 'whole.jsonl'
    done = collect(tmp_path / 'R*.jsonl', whole)
    assert done.returncode == 0, done.stderr
    output = tmp_path / 'out.jsonl'
    work = tmp_path / '.out.jsonl.work'
    for number, code in ((signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        asked = command(tmp_path / 'R*.jsonl', output)
        child = forks.start(*asked, stdout=None, stderr=subprocess.DEVNULL)
        while not work.exists():
            assert child.poll() is None
            time.sleep(0.002)
        child.send_signal(number)
        assert child.wait(60) == code
        assert work.exists() == (number == signal.SIGKILL)
    (work / 'duckdb_temp_1_storage_DEFAULT-0.tmp').write_bytes(b'x')
    done = collect(tmp_path / 'R*.jsonl', output)
    assert done.returncode == 0, done.stderr
    assert output.read_bytes() == whole.read_bytes()
    assert 'left by a call that was killed' in (tmp_path / 'out.jsonl.log').read_text()
    assert not list(tmp_path.glob('.*.work'))


def test_a_damaged_file_ends_the_call_and_leaves_nothing_behind(
    tmp_path: pathlib.Path,
) -> None:
    _, comments = dump_synthesis.write(tmp_path, 3_000_000, suffix='.zst')[0]
    whole = comments.read_bytes()
    comments.write_bytes(whole[:-9])  # all but the last comments can be read
    output = tmp_path / 'out.jsonl'
    done = collect(tmp_path / 'R*.zst', output)
    assert done.returncode == 2
    assert f'{comments} ends in the middle' in done.stderr
    assert not output.exists()
    assert not list(tmp_path.glob('.*.work'))
    comments.write_bytes(whole)
    done = collect(tmp_path / 'R*.zst', output)
    assert done.returncode == 0, done.stderr
    assert output.read_bytes()


def test_a_full_disk_is_said_with_its_remedy(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(join_store, '_MEMORY', '40MB')
    store = join_store.Store(tmp_path / 'work')
    store._connection.execute("SET max_temp_directory_size = '1MB'")
    body = 'x' * 9_000
    with pytest.raises(errors.InputError, match='--output on a disk with room'):
        for batch in range(100):
            store.add_comments(
                [
                    (batch * 100 + i, 0, '', f'c{batch}_{i}', 't3_p', 'a', body, 1, 1)
                    for i in range(100)
                ]
            )
    store.close()
    store.close()
    assert not (tmp_path / 'work').exists()


def test_more_than_the_memory_goes_to_the_disk_and_comes_back(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(join_store, '_MEMORY', '40MB')
    store = join_store.Store(tmp_path / 'work')
    rows = [
        (i, True, f'p{i}', 'advice', 't', '', '', 'a', 9, 1, 1, 'u', False, False)
        for i in range(3_000)
    ]
    store.add_posts(rows)
    assert store.end_posts() == 0
    for begin in range(0, 30_000, 1_000):  # 120 MB of texts
        store.add_comments(
            [
                (i, i % 3_000, '', f'c{i}', 't3_p', 'a', f'{i}' * 800, i, 1)
                for i in range(begin, begin + 1_000)
            ]
        )
    assert list((tmp_path / 'work').iterdir())
    assert store.end_comments(1) == (0, collections.Counter())
    found = [best for _, best in store.threads()]
    # The highest score is the last one's: 27,000 to 29,999.
    assert [each.body for (each,) in found] == [
        f'{i}' * 800 for i in range(27_000, 30_000)
    ]
    store.close()


def test_lines_of_the_subreddit_are_found_whatever_stands_around_them() -> None:
    reader = subreddit_objects.Reader('Ab_c', subreddit_objects.COMMENT_FIELDS)
    lines = [
        '{"subreddit":"AB_C","id":"a","author":"ab_c","x":[1,{"id":"no"}]}',
        '{"subreddit": "ab_c", "id": "b"}\r',
        '',
        '{"subreddit":"ab_cd","id":"c"}',
        '{"subreddit":"cats","id":"d","author":"Ab_c"}',
        '{"subreddit":"ab_c","id":"e","body":"\\ud83d","score":NaN}',
        '["ab_c"]',
        '{"subreddit":"ab_c","id":',
        '"ab_c"',
        '{"subreddit":"ab_c","id":7}',
    ]
    block = '\n'.join(lines).encode()
    found = list(reader.objects(block))
    assert [values['id'] for _, values in found] == ['a', 'b', 'e', 7]
    assert [size for size, _ in found] == [len(lines[i]) for i in (0, 1, 5, 9)]
    assert found[0][1].keys() == {'subreddit', 'id', 'author'}
    assert found[2][1]['body'] == '\ufffd'
    assert reader.counts == {'lines that are no JSON': 1}
