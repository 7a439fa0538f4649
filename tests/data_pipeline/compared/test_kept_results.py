"""A kept result counts only where this build would find out the same."""

import pathlib
from collections.abc import Container

import pytest

from data_pipeline.compared import kept_results

LINES = [b'{"answer":"Go home."}\n', b'{"answer":"Go."}\n']


def test_a_result_is_kept_for_the_same_lines_and_the_same_answers(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / '00' / 'a.results'
    asked: list[str] = []

    def made(lines: list[bytes], texts: set[str], text: str = 'home') -> list[object]:
        """The result, by the file alone, and whether it was made anew."""
        kept = kept_results.Results(path)

        def make(texts: Container[str]) -> object:
            asked.append(text)
            return [text in texts, 'again' * (text in texts)]

        found = kept.of(lines, texts, make)
        kept.write()
        assert kept.num_made == (len(asked) > 0)
        return [found, bool(asked) and not asked.clear()]

    assert made(LINES, {'a'}) == [[False, ''], True]
    assert made(LINES, {'a'}) == [[False, ''], False]
    assert made(LINES, {'b', 'c'}) == [[False, ''], False]  # nobody asked for them
    assert made(LINES, {'home'}) == [[True, 'again'], True]
    assert made(LINES, {'home', 'c'}) == [[True, 'again'], False]
    assert made(LINES, set()) == [[False, ''], True]
    for others in (LINES[::-1], LINES[:1], [b''.join(LINES)], [*LINES, b'']):
        assert made(others, set()) == [[False, ''], True]


def test_results_that_no_build_used_go(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a.results'
    sizes = []
    for count in (9, 3):
        kept = kept_results.Results(path)
        for number in range(count):
            kept.of([b'%d' % number], set(), lambda texts: 'x')
        kept.write()
        sizes.append(path.stat().st_size)
    assert sizes[1] < sizes[0] / 2


def test_damaged_results_are_made_again_and_said(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'a.results'

    def made() -> int:
        kept = kept_results.Results(path)
        assert kept.of(LINES, set(), lambda texts: 'x') == 'x'
        kept.write()
        return kept.num_made

    assert [made(), made()] == [1, 0]
    whole = path.read_bytes()
    for broken in (b'', whole[:3], whole[:-1], whole[:-3] + b'y' + whole[-2:]):
        path.write_bytes(broken)
        assert not capsys.readouterr().out
        assert [made(), made()] == [1, 0]
        assert 'was damaged and is made again' in capsys.readouterr().out
        assert path.read_bytes() == whole


def test_results_are_made_where_nothing_can_be_kept(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'file').write_text('')
    for path in (None, tmp_path / 'file' / '00' / 'a.results'):
        kept = kept_results.Results(path)
        assert kept.of(LINES, set(), lambda texts: 'x') == 'x'
        kept.write()
    assert [each.name for each in tmp_path.iterdir()] == ['file']
