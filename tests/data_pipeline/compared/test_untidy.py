"""Faults of a careless copy, each found where it is and nowhere else."""

import pytest

from data_pipeline.compared import untidy


@pytest.mark.parametrize(
    'text',
    [
        'It is fine. I am NOT angry, said the CEO of IBM.',
        'Call 988 & ask. "Why?" she said, and "no" I said.',
        'x = 1\n\n- one\n- two\n\n| a  | b |\n|----|---|',
        'Ça va ? Oui ! « Non », dit-il.',
        '好的。谢谢你。',
        'Use `a < b` and <b and C:\\Users.',
        'no capitals here',
        '**Tell him**, and **her**',
        '> He said so.\n\nI doubt it.',
        'ladders spoons and a goat',
        'It was late.\n\n' + 'We talked all night. ' * 40,
        '',
    ],
)
def test_a_tidy_text_has_no_mark(text: str) -> None:
    assert untidy.marks(text) == 0


@pytest.mark.parametrize(
    ('text', 'marks'),
    [
        ('TELL HIM THAT IT IS OVER.', 1),
        ('tell him. he will not like it.', 1),
        ('Tell Him That It Is Over And Done.', 1),
        ('Tell  him.', 1),
        ('Tell  him,  now.', 1),  # a kind counts once
        ('"Tell him."', 1),
        ('“Tell him.', 1),
        ('**Tell him.\n\nNow.**', 1),
        ('Tell him , now .', 1),
        ('Tell him\nnow.', 1),
        ('> He said so.\n>\n> I doubt it.', 1),
        ('We talked all night. ' * 40, 1),
        ('Tell him ' + 'and then tell her ' * 5, 1),
        ('Tom &amp; Ann', 1),
        ('<p>Tell him.</p>', 1),
        ('Don\ufffdt.', 1),
        ("Don\\'t.", 1),
        ('IT IS  FINE, REALLY.', 2),
    ],
)
def test_each_kind_of_fault_counts_once(text: str, marks: int) -> None:
    assert untidy.marks(text) == marks
