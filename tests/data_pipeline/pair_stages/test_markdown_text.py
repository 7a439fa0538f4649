import string

import hypothesis
import pytest
from hypothesis import strategies

from data_pipeline.pair_stages import cleaning, markdown_text


@pytest.mark.parametrize(
    ('marked', 'text'),
    [
        ('I *do* **care**, ***really***, _so_ __much__', 'I do care, really, so much'),
        ('(27**M**) and **30**F, "*sigh*"', '(27M) and 30F, "sigh"'),
        ('bold **over\ntwo** lines', 'bold over\ntwo lines'),
        ('~~never~~ rarely', 'never rarely'),
        ('[this post](https://a.org/x_y_z) helps', 'this post helps'),
        ('[a *b*](/r/advice "title") c', 'a b c'),
        ('![the dog](https://i.redd.it/x.png)', 'the dog'),
        ('My wife \\[F38\\] and I\\_', 'My wife [F38] and I_'),
        ('# Title #\ntext', 'Title\ntext'),
        ('> ## Title\n> *text*', '> Title\n> text'),
        ('- *one*\n- two\n\n1. **x**\n2. y', '- one\n- two\n\n1. x\n2. y'),
        ('> he *said*\n> so\n\nI left', '> he said\n> so\n\nI left'),
        ('>!the end!< is near', 'the end is near'),
        ('run `rm *x*` now', 'run rm *x* now'),
        ('```\na *b*\n\nc\n```\n*d*', 'a *b*\n\nc\nd'),
        ('one\\\ntwo', 'one\ntwo'),
    ],
)
def test_marks_go_and_text_stays(marked: str, text: str) -> None:
    assert markdown_text.plain(marked) == (text, 1)


@pytest.mark.parametrize(
    'text',
    [
        'f*** this s***, you f***ing f***ing b**ch',
        'sh*t and cr*p, 2 * 3 * 4, 2*3*4',
        '*not his name',
        'My boyfriend [M](27) and I [F](25)',
        '[Edit]: he called',
        '[Update]: yes',
        'I don`t and he won`t',
        'Me\n---\nYou\n===\n\n***\n',
        'I <3 him <b>so</b> &lt;much&gt; <https://a.org>',
        'first_name_last_name at snake_case',
        '#1 reason #metoo\n##TL;DR: x',
        '```I told him\nand left',
        '1986. What a year\n2) no',
        '    four *spaces*',
        'a | b\n--|--\nc | d',
        '| pipes, $ 5, ^up ^(there) :( :-) ;) >:( x_x',
        '  two  spaces \n   and three',
    ],
)
def test_what_may_be_somebodys_words_stays(text: str) -> None:
    assert markdown_text.unmarked(text) == text
    assert markdown_text.plain(text) == (text, 0)


# All that Markdown gives a meaning to, except inside words and sentences.
PLAIN = string.ascii_letters + string.digits + ' \n.,;:!?-+()\'"/%&$=|^@’“”é😀'


@hypothesis.settings(deadline=None)
@hypothesis.given(strategies.text(alphabet=PLAIN))
def test_text_without_markdown_is_unchanged(text: str) -> None:
    assert markdown_text.unmarked(text) == text


WORDS = strategies.lists(
    strategies.text(alphabet=string.ascii_letters, min_size=1, max_size=6), min_size=1
)


@hypothesis.settings(deadline=None)
@hypothesis.given(WORDS, strategies.text(alphabet='*_~`\\#>- \n!', max_size=80))
def test_no_letter_is_lost_whatever_marks_stand_around_it(
    words: list[str], marks: str
) -> None:
    text = ''.join(
        word + marks[i % (len(marks) + 1) :][:4] for i, word in enumerate(words)
    )
    left = ''.join(filter(str.isalpha, markdown_text.unmarked(text)))
    assert left == ''.join(words)


@hypothesis.settings(deadline=None)
@hypothesis.given(strategies.text())
def test_any_text_is_taken(text: str) -> None:
    assert markdown_text.plain(text)[0] == markdown_text.unmarked(text)


@pytest.mark.parametrize(
    ('text', 'left', 'times'),
    [
        ('Help.\n\nEdit: thanks\nall\n\nBye.', 'Help.\n\nBye.', 1),
        ('Help.\n\nEDIT 2 - thanks', 'Help.', 1),
        ('Help.\n\n**Update:** he left', 'Help.', 1),
        ('Help.\n\nUpdate :\n\nhe left\n\nBye.', 'Help.\n\nBye.', 1),
        ('Help.\nETA: his age is 30.', 'Help.', 1),
        ('Edit: all that there is', 'Edit: all that there is', 0),
        ('Update your will.\nEditing helps.', 'Update your will.\nEditing helps.', 0),
    ],
)
def test_edits_are_cut_to_the_next_blank_line(text: str, left: str, times: int) -> None:
    assert cleaning.without_edits(text) == (left, times)


@pytest.mark.parametrize('mark', ['TL;DR:', 'tldr', 'Tl;Dr -', '**TL:DR**', '##TL;DR:'])
def test_summaries_are_cut(mark: str) -> None:
    assert cleaning.without_summaries(f'Long.\n\n{mark} short\n\nBye.') == (
        'Long.\n\nBye.',
        1,
    )
    assert cleaning.without_summaries('I said tldr to him') == ('I said tldr to him', 0)
