"""Emphasis around labels and whole texts, and emphasis that is a text's own."""

import pytest

from data_pipeline.layouts import detection

PAIRS = [('Why?', 'So.'), ('Who is it_now?', 'A **man**.'), ('When?', 'Now, *now*.')]


def read(text: str) -> list[tuple[str, str]]:
    found = detection.parse(text, layout=detection.detect(text), file='f.md')
    return [(pair.question, pair.answer) for pair in found.pairs]


@pytest.mark.parametrize(
    'form',
    [
        '*Q: {}*\n\nA: {}\n\n',
        '_Q: {}_\n\nA: {}\n\n',
        '***Q: {}***\n\nA: {}\n\n',
        '**_Q: {}_**\n\nA: {}\n\n',
        '## *Q: {}*\n\nA: {}\n\n',
        '- *Q: {}*\n- A: {}\n\n',
        '*Q. {}*\n\nA. {}\n\n',
        '*Question: {}*\n\n*Answer: {}*\n\n',
        '**Q:** *{}*\n\n**A:** {}\n\n',
        '**Q:** **{}**\n\n**A:** {}\n\n',
        '**Question**: _{}_\n\n**Answer**: {}\n\n',
    ],
)
def test_emphasis_around_a_question_goes_with_its_label(form: str) -> None:
    assert read(''.join(form.format(*pair) for pair in PAIRS)) == PAIRS


def test_emphasis_around_several_lines_goes_too() -> None:
    text = ''.join(f'*Q: Why {i}?\nAnd *who*?*\n\nA: So {i}.\n\n' for i in range(3))
    assert read(text)[2] == ('Why 2?\nAnd *who*?', 'So 2.')


def test_emphasis_that_few_texts_have_is_their_own() -> None:
    text = ''.join(f'Q: Why {i}?\nA: {i}, as I *said*\n\n' for i in range(3))
    text += 'Q: *Who?*\nA: *sighs* and *leaves*\n\n'
    assert read(text)[2:] == [
        ('Why 2?', '2, as I *said*'),
        ('*Who?*', '*sighs* and *leaves*'),
    ]
