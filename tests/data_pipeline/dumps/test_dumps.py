"""Dumps of posts and of comments, joined, in each of their formats."""

import json
import pathlib
import subprocess

import dump_makers
import forks
import hypothesis
import pytest
import reddit_objects
import zstandard
from hypothesis import strategies

from data_pipeline.dumps import dump_source, line_blocks
from data_pipeline.rows import raw_thread
from hax_jax import errors

POSTS = [
    reddit_objects.post(0, score=15),
    reddit_objects.post(1, score=3),
    reddit_objects.post(2, score=40),
    reddit_objects.post(3, subreddit='cats'),
    reddit_objects.post(4, selftext='[deleted]'),
    reddit_objects.post(5, created_utc='1700018000'),
    reddit_objects.post(6),
]
COMMENTS = [
    # A child may stand before its parent, and a comment twice.
    reddit_objects.comment(0, 'deep', parent_id='t1_mid', score=9),
    reddit_objects.comment(0, 'mid', parent_id='t1_top', score=2),
    reddit_objects.comment(0, 'top', score=1),
    reddit_objects.comment(0, 'deep', parent_id='t1_mid', score=9),
    reddit_objects.comment(0, 'bot', author='AutoModerator', score=99),
    reddit_objects.comment(1, 'x1'),
    reddit_objects.comment(2, 'lost', parent_id='t1_elsewhere', score=4),
    reddit_objects.comment(2, 'low', score=-2),
    reddit_objects.comment(3, 'cat', subreddit='cats'),
    reddit_objects.comment(5, 'y', score=None),
    reddit_objects.comment(6, 'z', body='short'),
]
BEST = {'p0000': ('deep', 2), 'p0002': ('lost', -1), 'p0005': ('y', 0)}


def collect(*arguments: object) -> subprocess.CompletedProcess[str]:
    return forks.run(
        *('-m', 'data_pipeline.collect', '--source=dump', '--subreddit=Advice'),
        *arguments,
    )


def write(folder: pathlib.Path, suffix: str, **options: int) -> list[str]:
    posts = dump_makers.write(folder / f'RS{suffix}', POSTS, **options)
    comments = dump_makers.write(folder / f'RC{suffix}', COMMENTS, **options)
    return [f'--input={posts}', f'--input={comments}']


def answers(path: pathlib.Path) -> dict[str, tuple[str, int]]:
    return {
        thread.id: (thread.answers[0].id, thread.answers[0].depth)
        for thread in raw_thread.read(path)
    }


@pytest.mark.parametrize('suffix', ['.jsonl', '.zst', '.zst_blocks'])
def test_posts_and_comments_are_joined(tmp_path: pathlib.Path, suffix: str) -> None:
    inputs = write(tmp_path, suffix)
    output = tmp_path / 'out.jsonl'
    for _ in range(2):  # and again: nothing twice
        done = collect(*inputs, f'--output={output}', '--limit=0')
        assert done.returncode == 0, done.stderr
        assert reddit_objects.ids(output) == list(BEST)
        assert answers(output) == BEST
    for words in ('1 under 10 upvotes', '1 deleted or removed', '1 no comments'):
        assert words in done.stdout


def test_the_limit_takes_files_in_order_or_the_best(tmp_path: pathlib.Path) -> None:
    inputs = write(tmp_path, '.zst')
    for sort, expected in (('old', 'p0000'), ('top', 'p0002'), ('new', 'p0005')):
        output = tmp_path / f'{sort}.jsonl'
        done = collect(*inputs, f'--output={output}', '--limit=1', f'--sort={sort}')
        assert done.returncode == 0, done.stderr
        assert reddit_objects.ids(output) == [expected]
    more = tmp_path / 'top.jsonl'
    collect(*inputs, f'--output={more}', '--limit=2', '--sort=top')
    assert reddit_objects.ids(more) == ['p0002', 'p0005']


def test_frames_follow_each_other_and_windows_may_be_long(
    tmp_path: pathlib.Path,
) -> None:
    objects = [{'n': i, 'text': 'x' * 50} for i in range(500)]
    lines = [json.dumps(each).encode() for each in objects]
    for suffix in ('.zst', '.gz', '.bz2', '.xz'):
        several = dump_makers.write(tmp_path / f'a{suffix}', objects, frames=7)
        assert list(line_blocks.lines(several)) == lines
    window = dump_makers.write(tmp_path / 'b.zst', objects, window_log=28)
    with pytest.raises(zstandard.ZstdError):  # without being told to allow it
        zstandard.ZstdDecompressor().decompressobj().decompress(window.read_bytes())
    assert list(line_blocks.lines(window)) == lines


@pytest.mark.parametrize('suffix', ['.zst', '.zst_blocks', '.gz', '.bz2', '.xz'])
def test_a_file_that_is_cut_short_or_damaged_is_named(
    tmp_path: pathlib.Path, suffix: str
) -> None:
    path = dump_makers.write(tmp_path / f'a{suffix}', POSTS)
    whole = path.read_bytes()
    for cut in (1, 20, len(whole) - 2):
        path.write_bytes(whole[:-cut])
        with pytest.raises(errors.InputError, match='download it again'):
            list(line_blocks.lines(path))
    path.write_bytes(whole[:4] + b'\0' * 20 + whole[24:])
    with pytest.raises(errors.InputError, match='is damaged'):
        list(line_blocks.lines(path))


@hypothesis.given(
    strategies.lists(
        strategies.binary().map(lambda raw: raw.replace(b'{', b'')), max_size=9
    )
)
def test_lines_do_not_depend_on_where_they_are_cut_into_chunks(
    chunks: list[bytes],
) -> None:
    blocks = line_blocks._whole_lines(chunks, pathlib.Path('a.jsonl'))
    lines = [line for block in blocks for line in block.split(b'\n')]
    assert lines == b''.join(chunks).split(b'\n')


def test_inputs_that_do_not_fit_are_named(tmp_path: pathlib.Path) -> None:
    posts = dump_makers.write(tmp_path / 'RS.jsonl', POSTS)
    other = dump_makers.write(tmp_path / 'other.jsonl', [{'a': 1}])
    output = f'--output={tmp_path / "o.jsonl"}'
    for inputs, words in (
        ([], 'needs --input'),
        ([f'--input={posts}'], 'no file of comments'),
        ([f'--input={other}'], 'neither a post'),
        ([f'--input={tmp_path}/*.csv'], 'matches no file'),
    ):
        done = collect(*inputs, output)
        assert done.returncode == 2
        assert words in done.stderr
    (tmp_path / 'a.csv').write_text('x')
    with pytest.raises(errors.InputError, match=r"ends in '\.csv'; give \.jsonl"):
        dump_source.kind(tmp_path / 'a.csv')


def test_broken_lines_are_counted_once(tmp_path: pathlib.Path) -> None:
    write(tmp_path, '.jsonl')
    path = tmp_path / 'RS.jsonl'
    path.write_text(path.read_text() + '\n{"subreddit": "advice", "id":\n\n')
    output = tmp_path / 'o.jsonl'
    inputs = [f'--input={tmp_path}/R*.jsonl', f'--output={output}', '--limit=0']
    done = collect(*inputs)
    assert done.returncode == 0, done.stderr
    assert 'lines that are no JSON: 1\n' in done.stdout
    assert answers(output) == BEST


def test_a_plain_dump_that_breaks_off_is_cut_short(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'RC_cut.jsonl'
    path.write_bytes(b'{"a": 1}\n{"b": "tor')
    lines = line_blocks.lines(path)
    assert next(lines) == b'{"a": 1}'
    with pytest.raises(errors.InputError, match='ends in the middle'):
        list(lines)
