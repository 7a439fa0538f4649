"""Texts on a terminal, of which the reader may leave at any time."""

import programs
import pytest

from hax_jax.program import pager

# On a terminal, as it believes; it says when its reader has left.
_CHILD = """
import sys
from hax_jax.program import pager
for stream in (sys.stdout, sys.stdin):
    stream.isatty = lambda: True
with pager.paged() as lines:
    lines.write('first\\nsecond\\n')
    while sys.argv[1] == 'search' and lines.write(''):
        pass
    there = lines.write('third\\n')
print('read' if there else 'left', file=sys.stderr)
"""


def test_what_moves_the_cursor_or_turns_the_text_is_spelled_out() -> None:
    shown = pager.plain('a\x1b[31m\tb\r\n\x00\x7f\x9b\u202ec\u2066\ud83d d\u2028')
    spelled = '\\x1b[31m', '\\r\n\\x00\\x7f\\x9b\\u202ec\\u2066\\ud83d d\\u2028'
    assert shown == f'a{spelled[0]}\tb{spelled[1]}'


def test_letters_of_any_script_and_joined_emoji_stay() -> None:
    text = "naïve “Ö” 你好 שלום می‌خواهم 👩‍👧 \\x1b {'a': 1}\n"
    assert pager.plain(text) == text


def test_without_a_terminal_the_text_is_printed(
    capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('PAGER', 'no-such-pager')
    with pager.paged() as lines:
        assert lines.write('a\n')
        assert lines.write('')
    assert capfd.readouterr().out == 'a\n'


@pytest.mark.parametrize('command', ['cat', 'no-such-pager', 'a "quote'])
def test_all_is_shown_by_the_pager_or_printed_without_one(command: str) -> None:
    done = programs.run('-c', _CHILD, 'all', seconds=20, PAGER=command)
    assert (done.stdout, done.stderr) == ('first\nsecond\nthird\n', 'read\n')


def test_a_pager_that_is_left_ends_a_search_that_finds_nothing_more() -> None:
    done = programs.run('-c', _CHILD, 'search', seconds=20, PAGER='head -n 1')
    assert (done.stdout, done.stderr) == ('first\n', 'left\n')
