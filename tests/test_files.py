import json
import os
import pathlib
import subprocess
import sys

import pytest

from hax_jax import files


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_as_it_is_into_folders_that_are_made(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'a' / 'b' / 'text.txt'
    files.write_text(path, 'one\r\ntwo\né\u2028\x00')
    assert path.read_bytes() == b'one\r\ntwo\n\xc3\xa9\xe2\x80\xa8\x00'
    assert names(path.parent) == ['text.txt']


def test_a_write_that_fails_leaves_the_old_text_and_nothing_beside_it(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'text.txt'
    files.write_text(path, 'old')
    with pytest.raises(UnicodeEncodeError):
        files.write_text(path, 'new \ud800')
    assert path.read_text() == 'old'
    assert names(tmp_path) == ['text.txt']


def test_a_write_that_cannot_replace_leaves_the_old_text(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'text.txt'
    files.write_text(path, 'old')

    def full(_: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space left'):
        files.write_text(path, 'new')
    assert path.read_text() == 'old'
    assert names(tmp_path) == ['text.txt']


def test_an_error_names_the_place_that_was_asked_for_and_no_temporary_one(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / 'a').mkdir()
    with pytest.raises(IsADirectoryError, match=f": '{tmp_path}/a'$"):
        files.write_text(tmp_path / 'a', 'text')
    path = tmp_path / ('b' * 300)  # over the longest name that a folder takes
    with pytest.raises(OSError, match=f": '{path}'$"):
        files.write_text(path, 'text')
    with pytest.raises(OSError, match=f": '{path}'$"), files.work_folder(path):
        pass
    path = tmp_path / 'made'
    with pytest.raises(FileNotFoundError, match=f": '{path}'$"):  # noqa: SIM117
        with files.new_folder(path) as new:
            (new / 'no' / 'file').touch()
    assert names(tmp_path) == ['a']


def test_json_keeps_its_order_and_its_letters(tmp_path: pathlib.Path) -> None:
    files.write_json(tmp_path / 'a.json', {'b': 'é', 'a': [1, 2.5, None]})
    assert (tmp_path / 'a.json').read_text(encoding='utf-8') == (
        '{\n  "b": "é",\n  "a": [\n    1,\n    2.5,\n    null\n  ]\n}\n'
    )


def test_json_has_no_number_that_json_lacks(tmp_path: pathlib.Path) -> None:
    for write in (files.write_json, files.write_json_lines):
        with pytest.raises(ValueError, match='JSON compliant'):
            write(tmp_path / 'a.json', [float('nan')])
    assert names(tmp_path) == []


def test_json_lines_are_one_value_a_line_whatever_breaks_it_holds(
    tmp_path: pathlib.Path,
) -> None:
    rows = [{'a': 'one\ntwo\r'}, {'a': 'three\u2028four'}]
    files.write_json_lines(tmp_path / 'a.jsonl', rows)
    with open(tmp_path / 'a.jsonl', encoding='utf-8') as file:
        assert [json.loads(line) for line in file] == rows
    files.write_json_lines(tmp_path / 'none.jsonl', [])
    assert (tmp_path / 'none.jsonl').read_bytes() == b''


def test_a_new_folder_is_there_only_when_the_block_has_ended(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'parent' / 'made'
    with files.new_folder(path) as folder:
        (folder / 'sub').mkdir()
        (folder / 'sub' / 'file').write_text('text')
        assert not path.exists()
    assert (path / 'sub' / 'file').read_text() == 'text'
    assert names(path.parent) == ['made']


def test_a_folder_whose_block_raises_never_was(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KeyError), files.new_folder(tmp_path / 'made') as folder:
        (folder / 'file').write_text('half')
        raise KeyError
    assert names(tmp_path) == []


def test_a_folder_is_replaced_only_when_asked(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'made'
    path.mkdir()
    (path / 'old').touch()
    with pytest.raises(FileExistsError, match='made exists'), files.new_folder(path):
        raise AssertionError('the block must not run')
    assert names(path) == ['old']
    with files.new_folder(path, replace=True) as folder:
        (folder / 'new').touch()
    assert names(path) == ['new']
    assert names(tmp_path) == ['made']


def test_a_replacement_that_raises_leaves_the_old_folder(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'made'
    path.mkdir()
    (path / 'old').touch()
    with pytest.raises(KeyError), files.new_folder(path, replace=True) as folder:
        (folder / 'new').touch()
        raise KeyError
    assert names(path) == ['old']
    assert names(tmp_path) == ['made']


HOLDER = """
import sys, time
from hax_jax import files
with files.locked(sys.argv[1], wait=True):
    print('held', flush=True)
    time.sleep(60)
"""


def test_a_lock_is_for_one_process_and_a_killed_one_frees_it(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'locks' / 'a.lock'
    holder = subprocess.Popen(
        [sys.executable, '-c', HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == 'held\n'
        with pytest.raises(files.LockedError, match=r'a\.lock'):  # noqa: SIM117
            with files.locked(path, wait=False):
                raise AssertionError('the block must not run')
    finally:
        holder.kill()
        holder.wait()
    with files.locked(path, wait=False):
        pass
    with files.locked(path, wait=True):
        assert capfd.readouterr().out == ''  # waits for nobody, says nothing


@pytest.mark.parametrize(
    ('written', 'named'),
    [
        (b'[1]', 'its JSON is not an object'),
        (b'{"a": ', 'it is not JSON at line 1, column 7'),
        (b'\xff', 'it is not UTF-8 text'),
    ],
)
def test_what_is_no_json_object_is_named(
    tmp_path: pathlib.Path, written: bytes, named: str
) -> None:
    (tmp_path / 'a.json').write_text('{"b": "ä"}', encoding='utf-8')
    assert files.read_json_object(tmp_path / 'a.json') == {'b': 'ä'}
    (tmp_path / 'a.json').write_bytes(written)
    with pytest.raises(ValueError, match=named):
        files.read_json_object(tmp_path / 'a.json')


def test_a_full_disk_is_told_with_the_path_that_the_system_leaves_out(
    tmp_path: pathlib.Path,
) -> None:
    full = pathlib.Path('/dev/full')
    if not full.is_char_device():
        pytest.skip('there is no /dev/full to stand for a full disk')
    with pytest.raises(OSError, match=r"\[Errno 28\].*: '/a/b'$"):  # noqa: SIM117
        with files.named('/a/b'), open(full, 'w') as file:
            file.write('a')
    with pytest.raises(OSError, match=f"'{tmp_path}/c'$"):  # noqa: SIM117
        with files.new_folder(tmp_path / 'c'), open(full, 'w') as file:
            file.write('a')
    assert names(tmp_path) == []
    for words in ('28 requested and 16 written', 'I/O error: (os error 28)'):
        with pytest.raises(OSError, match=r"\[Errno 28\].*: '/a/b'$"):  # noqa: SIM117
            with files.named('/a/b'):
                raise OSError(words)
    with pytest.raises(OSError, match=r"\[Errno 27\] File too large: '/a/b'$"):  # noqa: SIM117
        with files.named('/a/b'):
            raise OSError('I/O error: File too large (os error 27)')
