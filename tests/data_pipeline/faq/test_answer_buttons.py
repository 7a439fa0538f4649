"""Words that show the answer below a question are no part of it."""

import pathlib

import pytest

from data_pipeline.faq import answer_buttons
from data_pipeline.reading import reader
from hax_jax import errors

SUMMARIES = ('Answer', 'Show answer', 'Click to reveal answer', '**💡 Solution**')
BELOW = (
    '<details>\n<summary>{}</summary>\n\n{}\n\n</details>',
    '<details><summary><b>{}</b></summary>{}</details>',
    '<details>\n<summary>{}</summary>\n\n**Answer:** {}\n</details>',
)
ABOVE = ('### {}', '**{}**', '1. {}', 'Q: {}', '**Question:** {}', '**Q{n}.** {}')


@pytest.mark.parametrize('above', ABOVE)
@pytest.mark.parametrize('below', BELOW)
@pytest.mark.parametrize('summary', SUMMARIES)
def test_a_summary_that_shows_the_answer_is_no_part_of_it(
    above: str, below: str, summary: str, tmp_path: pathlib.Path
) -> None:
    pairs = [(f'Why is {i} so?', f'Because {i} is.') for i in ('one', 'two', 'three')]
    path = tmp_path / 'a.md'
    path.write_text(
        '\n\n'.join(
            f'{above.format(q, n=n)}\n\n{below.format(summary, a)}'
            for n, (q, a) in enumerate(pairs, 1)
        )
    )
    made, report = reader.read([str(path)])
    assert [(pair.question, pair.answer) for pair in made] == pairs
    assert report.counts['buttons that show an answer, left out'] == 3


def test_other_summaries_and_those_of_code_stay() -> None:
    text = (
        '<details><summary>Hint</summary>No.</details>\n'
        '```\n<details><summary>Answer</summary>No.</details>\n'
        '<details><summary>Answer</summary>No.</details>\n```\n'
        '<details><summary>The answer to a question</summary>No.</details>\n'
    )
    assert answer_buttons.without(text) == (text, 0)
    one = '<details><summary>Solution</summary>Of salt.</details>\n'
    assert answer_buttons.without(one) == (one, 0)
    assert answer_buttons.without(one * 2) == ('Answer: Of salt.\n' * 2, 2)


@pytest.mark.parametrize('name', ['**Answer**', '*Answer*', '#### Answer', '**A1:**'])
@pytest.mark.parametrize('above', ABOVE[:2])
def test_a_line_that_names_the_answer_is_no_part_of_it(
    above: str, name: str, tmp_path: pathlib.Path
) -> None:
    pairs = [(f'Why is {i} so?', f'Because {i} is.') for i in ('one', 'two', 'three')]
    path = tmp_path / 'a.md'
    path.write_text(
        '\n\n'.join(
            f'{above.format(q, n=n)}\n{name}\n{a}' for n, (q, a) in enumerate(pairs, 1)
        )
    )
    made, _ = reader.read([str(path)])
    assert [(pair.question, pair.answer) for pair in made] == pairs


@pytest.mark.parametrize(
    'name', ['**Answer**', '<details><summary>Show answer</summary>B</details>']
)
def test_choices_above_the_answer_are_none(name: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a.md'
    path.write_text(
        '\n\n'.join(f'## Why {i}?\nOne, or two.\n\n{name}\nB' for i in 'abc')
    )
    with pytest.raises(errors.InputError):
        reader.read([str(path)])
    path.write_text(
        '\n\n'.join(f'Q: Why {i}?\nOne, or two.\n\n{name}\n\nB' for i in 'abc')
    )
    made, _ = reader.read([str(path)])
    assert [pair.question for pair in made] == [
        f'Why {i}?\nOne, or two.' for i in 'abc'
    ]


def test_lines_may_end_in_carriage_returns() -> None:
    text = '# Why?\r**Answer**\r\nSo.\r\n# Who?\r\n**Answer**\r\nTom.'
    expected = '# Why?\nAnswer: \nSo.\n# Who?\nAnswer: \nTom.'
    assert answer_buttons.without_lines(text) == (expected, 2)
