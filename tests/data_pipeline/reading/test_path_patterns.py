"""The files that patterns name, and the folders that they pass over."""

import os
import pathlib

import pytest

from data_pipeline.reading import path_patterns


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    for name in ('raw/a.md', 'raw/sub/b.md', 'raw/.hidden/c.md', 'above/one/d.md'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('text')
    (tmp_path / 'raw' / 'empty').mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(pattern: str) -> tuple[list[str], list[str]]:
    problems: list[str] = []
    return [*map(str, path_patterns.files(pattern, problems))], problems


@pytest.mark.parametrize('pattern', ['raw/**', 'raw/**/*', 'raw/**/*.md'])
def test_two_stars_are_all_below(folder: pathlib.Path, pattern: str) -> None:
    names, problems = found(pattern)
    assert (names, problems) == (['raw/a.md', 'raw/sub/b.md'], [])


def test_what_is_hidden_is_read_if_the_pattern_says_so(folder: pathlib.Path) -> None:
    assert found('raw/.hidden/*') == (['raw/.hidden/c.md'], [])


def test_folders_that_a_pattern_passes_over_are_named_with_one_that_reads_them(
    folder: pathlib.Path,
) -> None:
    names, problems = found('raw/*')
    assert (names, problems) == (['raw/a.md'], [])
    absolute = [str(pathlib.Path(name).absolute()) for name in names]
    (line,) = path_patterns.folders_left_out(['raw/*', 'raw/a.md'], absolute)
    assert "below raw/sub is not read; 'raw/**/*' reads it too" in line
    more = [*absolute, str(folder / 'raw' / 'sub' / 'b.md')]
    assert path_patterns.folders_left_out(['raw/*', 'raw/sub/*'], more) == []


def test_a_pattern_of_folders_alone_says_what_reads_their_files(
    folder: pathlib.Path,
) -> None:
    names, (problem,) = found('above/*')
    assert names == []
    assert "matches 1 folder and no file; give 'above/**/*'" in problem
    assert found('above/**/*')[0] == ['above/one/d.md']


def test_a_pipe_is_no_missing_file(folder: pathlib.Path) -> None:
    os.mkfifo('pipe.jsonl')
    _, (problem,) = found('pipe.jsonl')
    assert 'is a pipe or a device, and no file' in problem
