"""One log: whole lines after any cut, other files untouched, one writer at a time."""

import json
import os
import pathlib
import subprocess
import sys

import programs
import pytest

from hax_jax import files, json_lines

_ROOT = pathlib.Path(__file__).parents[1]
_CHILD = """
import itertools, sys
from hax_jax import json_lines
with json_lines.Log(sys.argv[1]).open(lock=True, sync_seconds=0.01) as log:
    for i in itertools.count():
        log.append([{'step': i, 'text': 'x' * (i % 7000)}])
        if i == 50:
            print('writing', flush=True)
"""
ROWS = [{'step': 1, 'text': 'one\né\u2028'}, {'step': 2, 'text': ''}]


def write(path: pathlib.Path, rows: list[dict[str, object]]) -> bytes:
    with json_lines.Log(path).open() as log:
        log.append(rows)
    return path.read_bytes()


def read(path: pathlib.Path) -> list[dict[str, object]]:
    return [json.loads(line.raw) for line in json_lines.Log(path).lines()]


def test_a_row_is_a_line_that_is_there_at_once(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'new' / 'a.jsonl'
    assert read(path) == []
    with json_lines.Log(path).open() as log:
        log.append(ROWS)
        log.append_lines(['{"step":3}'])
        expected = '{"step": 1, "text": "one\\né\u2028"}\n{"step": 2, "text": ""}\n'
        assert path.read_bytes() == (expected + '{"step":3}\n').encode()
    assert read(path) == [*ROWS, {'step': 3}]
    assert [(line.number, line.offset) for line in log.lines()] == [
        (1, 0),
        (2, len(expected.encode().split(b'\n')[0]) + 1),
        (3, len(expected.encode())),
    ]


_FULL = """
import resource, sys
from hax_jax.program import entry
from hax_jax.sampling import answer_file

def main(arguments):
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
    log = answer_file.AnswerFile(answer_file.pathlib.Path(arguments[0]))
    try:
        for text in arguments[1:]:
            log.append([{'id': text}])
    finally:
        log.close()

entry.run(main, positional=True)
"""


def test_a_line_that_does_not_fit_is_named_and_leaves_no_part_of_it(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'a.jsonl'
    said = f'error: {path}: file too large: raise the limit (ulimit -f), or write '
    done = programs.run('-c', _FULL, path, 'whole', 'x' * 70)
    assert (done.returncode, done.stderr) == (2, said + 'elsewhere.\n')
    assert path.read_text() == '{"id": "whole"}\n'
    path.unlink()
    done = programs.run('-c', _FULL, path, 'x' * 70)
    assert (done.returncode, done.stderr) == (2, said + 'elsewhere.\n')
    assert not path.exists()


def test_cut_at_any_byte_the_log_goes_on_with_whole_rows(
    tmp_path: pathlib.Path,
) -> None:
    whole = write(tmp_path / 'whole.jsonl', ROWS)
    ends = [i for i, byte in enumerate(whole) if byte == ord('\n')]
    path = tmp_path / 'cut.jsonl'
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        there = ROWS[: sum(end <= size for end in ends)]  # with or without newline
        assert read(path) == there
        start = max([0, *(end + 1 for end in ends if end < size)])
        assert json_lines.Log(path).mend() == (0 if size in ends else size - start)
        write(path, [{'step': 9}])
        assert read(path) == [*there, {'step': 9}]
        assert path.read_bytes().endswith(b'\n')


@pytest.mark.parametrize('tail', [b'\0\0\0', b'{"step": 3, "te\0\0'])
def test_zero_bytes_that_a_crash_left_are_cut_off(
    tmp_path: pathlib.Path, tail: bytes
) -> None:
    path = tmp_path / 'a.jsonl'
    whole = write(path, ROWS)
    path.write_bytes(whole + tail)
    assert read(path) == ROWS
    assert json_lines.Log(path).mend() == len(tail)
    assert path.read_bytes() == whole


@pytest.mark.parametrize('foreign', [b'My notes.', b'a\n{', b'[1]', b'\n\nx'])
def test_a_last_line_of_another_file_is_shown_and_never_cut(
    tmp_path: pathlib.Path, foreign: bytes
) -> None:
    path = tmp_path / 'a.jsonl'
    path.write_bytes(foreign)
    log = json_lines.Log(path, begins=b'{"step"')
    shown = b''.join(line.raw for line in log.lines())
    assert shown == (b'a\n' if foreign == b'a\n{' else foreign)
    assert path.read_bytes() == foreign


def test_a_line_in_the_middle_is_shown_as_it_is(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a.jsonl'
    path.write_bytes(b'{"step": 1\n{"step": 2}\n')
    assert [line.raw for line in json_lines.Log(path).lines()] == [
        b'{"step": 1\n',
        b'{"step": 2}\n',
    ]
    assert json_lines.Log(path).mend() == 0


def test_keep_leaves_the_wanted_rows_in_one_piece(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'a.jsonl'
    write(path, [{'step': i} for i in range(5)])
    before = path.read_bytes()
    log = json_lines.Log(path)

    def fails(line: json_lines.Line) -> bool:
        assert line.number < 3
        return True

    with pytest.raises(AssertionError):
        log.keep(fails)
    assert path.read_bytes() == before
    path.write_bytes(before + b'{"step": 0}')
    log.keep(lambda line: json.loads(line.raw)['step'] < 2)
    assert path.read_bytes() == b'{"step": 0}\n{"step": 1}\n'
    assert [p.name for p in tmp_path.iterdir()] == ['a.jsonl']


def test_a_number_that_json_lacks_writes_nothing(tmp_path: pathlib.Path) -> None:
    with (
        json_lines.Log(tmp_path / 'a.jsonl').open() as log,
        pytest.raises(ValueError, match='JSON compliant'),
    ):
        log.append([{'a': 1}, {'a': float('nan')}])
    assert (tmp_path / 'a.jsonl').read_bytes() == b''


def test_the_file_is_brought_to_the_disk_as_often_as_asked(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    now = [100.0]
    monkeypatch.setattr(os, 'fsync', synced.append)
    monkeypatch.setattr(json_lines.time, 'monotonic', lambda: now[0])
    seldom = json_lines.Log(tmp_path / 'a.jsonl').open()
    often = json_lines.Log(tmp_path / 'b.jsonl').open(sync_seconds=5.0)
    counts = []
    for _ in range(5):
        now[0] += 2.0
        for log in (seldom, often):
            log.append([{}])
        counts.append(len(synced))
    assert counts == [0, 0, 1, 1, 1]
    seldom.sync()
    seldom.close()
    often.close()
    assert len(synced) == 4


def test_a_killed_writer_leaves_whole_rows_and_no_lock(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a.jsonl'
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, '-c', _CHILD, str(path)],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == 'writing\n'
            with pytest.raises(files.LockedError):
                json_lines.Log(path).open(lock=True)
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
        steps = [row['step'] for row in read(path)]
        assert steps == list(range(len(steps)))
        assert len(steps) > 50
        with json_lines.Log(path).open(lock=True) as log:
            log.mend()
            log.append([{'step': len(steps)}])
        assert [row['step'] for row in read(path)] == [*steps, len(steps)]
        path.unlink()


def test_a_full_disk_is_told_with_the_path_of_the_log(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'log.jsonl'
    path.symlink_to('/dev/full')
    if not path.is_char_device():
        pytest.skip('there is no /dev/full to stand for a full disk')
    log = json_lines.Log(path).open()
    with pytest.raises(OSError, match=f"'{path}'$"):
        log.append([{'a': 1}])
