"""Numbers of things in words."""

import pytest

from hax_jax import counted


@pytest.mark.parametrize(
    ('plural', 'one'),
    [
        ('files', 'file'),
        ('GPUs', 'GPU'),
        ('named data sets', 'named data set'),
        ('entities unescaped', 'entity unescaped'),
        ('matches', 'match'),
        ('exchanges after the last answer to learn',
         'exchange after the last answer to learn'),
        ('user turns joined to the one before', 'user turn joined to the one before'),
        ('rows that need a picture or a sound', 'row that needs a picture or a sound'),
        ('lines that are not UTF-8', 'line that is not UTF-8'),
        ('turns that call a tool, left out', 'turn that calls a tool, left out'),
        ('rows whose rejected answer is empty', 'row whose rejected answer is empty'),
        ('posts, of all forums', 'post, of all forums'),
        ('of layout messages', 'of layout messages'),
        ('removed body', 'removed body'),
        ('from pairs', 'from pairs'),
        ('answer under 3 words', 'answer under 3 words'),
    ],
)  # fmt: skip
def test_one_thing_has_a_noun_in_the_singular(plural: str, one: str) -> None:
    assert counted.of(1, plural) == f'1 {one}'
    assert counted.of(0, plural) == f'0 {plural}'
    assert counted.of(12_345, plural) == f'12,345 {plural}'
