"""A cache that other processes write, empty, or leave half written."""

import json
import os
import pathlib
import signal
import subprocess
import time

import forks
import pytest

from data_pipeline import build, build_steps
from data_pipeline.preparing import batch_cache
from hax_jax import digests

# Its arguments: the inputs' pattern, the dataset, the cache, its largest size in bytes,
# and the entry before which it is killed, 0 for none.
CHILD = """
import os, pathlib, signal, sys
from data_pipeline import build, build_steps

patterns, output, cache, size, killed_at = sys.argv[1:]
replace, calls = pathlib.Path.replace, 0

def replaced(path, target):
    global calls
    calls += '.batch.' in path.name
    if '.batch.' in path.name and calls == int(killed_at):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(path, target)

pathlib.Path.replace = replaced
options = build_steps.Options(cache=pathlib.Path(cache), cache_bytes=int(size))
build.build([patterns], output=output, validation_share=0.2, options=options)
"""


@pytest.fixture
def raw(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / 'raw'
    folder.mkdir()
    for part in range(12):
        rows = []
        for number in range(30 * part, 30 * part + 30):
            words = f'number {number} of {number * 7919 % 1009} and {number * 31}'
            question = f'My friend {words} never calls, what do I do?'
            answer = f'Call {words} yourself, and say that you miss it.'
            rows.append(json.dumps({'question': question, 'answer': answer}))
        (folder / f'{part}.jsonl').write_text('\n'.join(rows) + '\n')
    return folder


def started(
    raw: pathlib.Path,
    output: pathlib.Path,
    cache: pathlib.Path,
    *,
    size: int = 10**9,
    killed_at: int = 0,
) -> subprocess.Popen[str]:
    given = (f'{raw}/*.jsonl', output, cache, size, killed_at)
    return forks.start('-c', CHILD, *given, stdout=subprocess.DEVNULL, stderr=None)


def built(
    raw: pathlib.Path, output: pathlib.Path, cache: pathlib.Path | None
) -> dict[str, str]:
    options = build_steps.Options(cache=cache)
    build.build(
        [f'{raw}/*.jsonl'], output=output, validation_share=0.2, options=options
    )
    return digests.of_folder(output)


def test_two_builds_at_once_and_one_that_was_killed_share_a_cache(
    raw: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / 'cache'
    children = [
        started(raw, tmp_path / 'one', cache),
        # This one empties the cache at its end, while the others read and write.
        started(raw, tmp_path / 'other', cache, size=1),
        started(raw, tmp_path / 'killed', cache, killed_at=7),
    ]
    expected = built(raw, tmp_path / 'plain', None)
    codes = [child.wait() for child in children]
    assert codes[:2] == [0, 0]
    assert codes[2] == -signal.SIGKILL or (tmp_path / 'killed').exists()
    for name in ('one', 'other'):
        assert digests.of_folder(tmp_path / name) == expected, name
    capsys.readouterr()
    assert built(raw, tmp_path / 'after', cache) == expected
    assert 'damaged' not in capsys.readouterr().out  # no entry is there in part


def test_what_a_killed_build_left_is_used_or_ignored(
    raw: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / 'cache'
    child = started(raw, tmp_path / 'data', cache, killed_at=5)
    expected = built(raw, tmp_path / 'plain', None)
    assert child.wait() == -signal.SIGKILL
    (whole,) = cache.glob('*/*.batch.*')  # written, and not yet in its place
    whole.write_bytes(whole.read_bytes()[:1000])
    assert built(raw, tmp_path / 'data', cache) == expected
    assert '4 of 12 batches were prepared by an earlier' in capsys.readouterr().out
    batch_cache.prune(cache, most_bytes=0)
    assert list(cache.glob('*/*')) == [whole]  # it may be another build's
    old = time.time() - 2 * 86400
    os.utime(whole, (old, old))
    batch_cache.prune(cache, most_bytes=0)
    assert not list(cache.glob('*/*'))


def test_a_cache_that_can_not_be_written_to_is_said_once(
    raw: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / 'cache'
    cache.mkdir()
    for number in range(256):  # a file in the place of each folder of entries
        (cache / f'{number:02x}').write_text('')
    expected = built(raw, tmp_path / 'plain', None)
    assert built(raw, tmp_path / 'data', cache) == expected
    printed = capsys.readouterr().out
    assert printed.count('can not be written to (File exists)') == 1
