"""A page's own section below the section that has its labelled pairs."""

import pytest

from data_pipeline.layouts import detection

PAIR = '**Q:** Why {0}?\n**A:** So {0}.\n\n'
BELOW = '## What to do\n- Read on.\n\n---\n**Raw:**\n```go\npackage api\n```\n'


def answers(text: str) -> list[str]:
    found = detection.parse(text, layout=detection.detect(text), file='f.md')
    return [pair.answer for pair in found.pairs]


@pytest.mark.parametrize('pairs', [1, 2, 3, 5])
@pytest.mark.parametrize('head', ['## Questions', '# A page\n\n### Why?\n\n## Pairs'])
def test_a_section_below_that_of_the_pairs_is_no_answer(pairs: int, head: str) -> None:
    text = ''.join(map(PAIR.format, range(pairs)))
    made = answers(f'# Page\n\nA text.\n\n{head}\n\n{text}{BELOW}')
    assert made == [f'So {i}.' for i in range(pairs)]


def test_headings_of_the_answers_own_stay() -> None:
    steps = PAIR + '### Steps\nGo on {0}.\n\n'
    made = answers('## Questions\n\n' + ''.join(map(steps.format, range(3))))
    assert made == [f'So {i}.\n\n### Steps\nGo on {i}.' for i in range(3)]
    alike = PAIR + '## Steps\nGo on {0}.\n\n'
    made = answers('## Questions\n\n' + ''.join(map(alike.format, range(3))))
    assert 'Steps' in made[0]
    assert 'Steps' in made[-1]
    none_above = answers('Some pairs.\n\n' + PAIR.format(0) + BELOW)
    assert 'What to do' in none_above[0]


@pytest.mark.parametrize('rule', ['%', '---', '\n%\n'])
def test_a_rule_that_opens_an_answer_stands_below_its_heading(rule: str) -> None:
    made = answers(''.join(f'## Why {i}?\n{rule}\nSo {i}.\n\n' for i in range(4)))
    assert made == [f'So {i}.' for i in range(4)]
