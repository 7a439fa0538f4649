"""SHA256SUMS finds what changed of the files that a caller reads, and nothing else."""

import pathlib
import subprocess
from collections.abc import Callable

import pytest

from hax_jax import errors, sha256sums


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    made = tmp_path / 'model'
    made.mkdir()
    (made / 'config.json').write_text('{"a": 1}')
    (made / 'a b.json').write_bytes(b'')
    (made / 'README.md').write_text('# A card\n')
    sha256sums.write(made)
    return made


def test_sha256sum_itself_checks_it(folder: pathlib.Path) -> None:
    checked = ['sha256sum', '--strict', '-c', sha256sums.FILE]
    done = subprocess.run(checked, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'README.md: OK\na b.json: OK\nconfig.json: OK\n'
    (folder / 'README.md').write_text('# Another\n')
    assert subprocess.run(checked, cwd=folder, capture_output=True).returncode == 1


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (lambda folder: (folder / 'README.md').write_text('# Edited'), ''),
        (lambda folder: (folder / 'README.md').unlink(), ''),
        (lambda folder: (folder / 'notes.txt').write_text('mine'), ''),
        (lambda folder: (folder / 'SHA256SUMS').unlink(), ''),
        (
            lambda folder: (folder / 'config.json').write_text('{"a": 2}'),
            'is damaged: config.json has other bytes than were written',
        ),
        (lambda folder: (folder / 'a b.json').unlink(), 'a b.json is missing'),
        (lambda folder: (folder / 'more.json').touch(), 'more.json was added'),
        (lambda folder: (folder / 'SHA256SUMS').write_text(''), 'it is empty'),
        (
            lambda folder: (folder / 'SHA256SUMS').write_text('x' * 64 + '  a\n'),
            'SHA256SUMS is damaged: line 1 is no digest',
        ),
        (lambda folder: (folder / 'SHA256SUMS').write_bytes(b'\xff'), 'is no text'),
    ],
)
def test_only_files_that_are_read_are_compared_and_each_is_named(
    folder: pathlib.Path, change: Callable[[pathlib.Path], object], said: str
) -> None:
    change(folder)
    if not said:
        sha256sums.check(folder, ['*.json'])
        return
    with pytest.raises(errors.InputError) as caught:
        sha256sums.check(folder, ['*.json'])
    assert said in str(caught.value)
    assert str(folder) in str(caught.value)
    assert 'delete' in str(caught.value)  # the way out where the change was meant


def test_a_folder_without_it_is_read_as_it_is(tmp_path: pathlib.Path) -> None:
    sha256sums.check(tmp_path, ['*'])
