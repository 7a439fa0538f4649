"""Lines that recur between nearly all pairs of a page, and lines that only seem to."""

import pytest

from data_pipeline.layouts import detection
from data_pipeline.pages import page

ANSWERS = ['He broke it.', 'Nobody did.', 'Because of rain.\n\nAnd of snow.', 'Age.']
FORMS = [
    'Q: Why {0}?\nA: {1}\n',
    '### Instruction:\nWhy {0}?\n\n### Response:\n{1}\n\n',
    'QUESTION: Why {0}?\nANSWER: {1}\n\n',
    '> **Q:** Why {0}?\n> **A:** {1}\n\n',
]


def parsed(text: str) -> page.Page:
    return detection.parse(text, layout=detection.detect(text), file='f.txt')


def pairs_of(form: str, *, above: str = '', below: str = '') -> str:
    return ''.join(
        above.format(i) + form.format(i, answer) + below.format(i)
        for i, answer in enumerate(ANSWERS)
    )


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize(
    ('above', 'below'),
    [
        ('', '</s>\n'),
        ('<|startoftext|>\n', '<|endoftext|>\n'),
        ('', '<END>\n\n'),
        ('', 'END\n'),
        ('', '###\n\n'),
        ('"""\n', '"""\n'),
        ('Below is an instruction that describes a task.\n\n', ''),
        ('', '\nNext question\n\n'),
        ('', 'Reply With Quote\n'),
        ('', 'Share this:\n'),
        ('', '\n- {} -\n\n'),
        ('', '[Read more](https://example.com/{})\n'),
    ],
)
def test_lines_between_nearly_all_pairs_are_no_part_of_a_text(
    form: str, above: str, below: str
) -> None:
    found = parsed(pairs_of(form, above=above, below=below))
    assert [pair.question for pair in found.pairs] == [f'Why {i}?' for i in range(4)]
    assert [pair.answer for pair in found.pairs] == ANSWERS
    left_out = sum(map(bool, (above, below))) * 4
    assert found.unknown == []
    counts = {k: v for k, v in found.counts.items() if 'between pairs' in k}
    assert sum(counts.values()) == left_out


def test_a_line_between_letters_is_no_part_of_a_reply() -> None:
    form = 'Dear Carolyn: Why {0}?\n\n— Sad {0}\n\nSad {0}: {1}\n\n'
    above = 'Adapted from an online discussion.\n\n'
    found = parsed(pairs_of(form, above=above))
    assert [pair.answer for pair in found.pairs] == ANSWERS


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize(
    'below', ['Fair winds, Captain Winnie', '-- Ann', 'Ann Lee', 'Love,\nAnn']
)
def test_a_signature_below_all_answers_is_their_own(form: str, below: str) -> None:
    found = parsed(pairs_of(form, below=f'{below}\n\n'))
    assert all(pair.answer.endswith(below) for pair in found.pairs)


def test_a_line_that_ends_some_texts_or_texts_that_are_alike_stays() -> None:
    some = ''.join(
        f'Q: Why {i}?\nA: So {i}.\n{"Ask again." if i % 3 else ""}\n' for i in range(9)
    )
    assert sum('Ask again.' in pair.answer for pair in parsed(some).pairs) == 6
    alike = ''.join(f'Q: Why {i}?\nA: Nobody knows.\nAsk again.\n' for i in range(9))
    answers = {pair.answer for pair in parsed(alike).pairs}
    assert answers == {'Nobody knows.\nAsk again.'}
    whole = ''.join(f'## Question\nWhy {i}?\n## Answer\nYes.\n' for i in range(9))
    assert {pair.answer for pair in parsed(whole).pairs} == {'Yes.'}
    items = ''.join(f'Q: Why {i}?\nA: Do:\n- {i}\n- Call him\n' for i in range(9))
    assert parsed(items).pairs[7].answer == 'Do:\n- 7\n- Call him'
    numbers = ''.join(f'Q: What is {i}?\nA: Add.\nIt is {i}.\n' for i in range(9))
    assert parsed(numbers).pairs[7].answer == 'Add.\nIt is 7.'


@pytest.mark.parametrize('gap', ['\n', '\n\n'])
@pytest.mark.parametrize('more', ['', 'Patient:\nThanks {0}.\nDoctor:\nDo {0}.\n'])
@pytest.mark.parametrize('apart', ['', '\n'])
def test_the_head_of_a_counted_record_is_no_part_of_the_answer_above(
    gap: str, more: str, apart: str
) -> None:
    form = (
        'id={0}\nhttps://example.com/{0}\nDescription\nQ. Why is knee {0} sore?\n'
        f'{apart}Dialogue\nPatient:\nMy knee {{0}} hurts.\n'
        f'Doctor:\nHello,\n\nRest it.\n{more}{gap}'
    )
    found = parsed(''.join(form.format(i) for i in range(7, 12)))
    answers = {each.answer for each in found.pairs if each.question.startswith('My')}
    assert answers == {'Hello,\n\nRest it.'}
    later = [each for each in found.pairs if each.question.startswith('Thanks')]
    assert [each.answer for each in later] == [f'Do {i}.' for i in range(7, 12) if more]
    assert found.counts['blocks id: above questions, left out'] == 5
