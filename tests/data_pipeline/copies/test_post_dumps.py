"""Dumps of Stack Exchange's posts, whose questions get their answers."""

import pathlib
import tracemalloc

import pytest

from data_pipeline.reading import inputs, reader
from hax_jax import errors

POST = '<row Id="{}" PostTypeId="{}" {} Body="&lt;p&gt;{}&lt;/p&gt;" />\n'
ROWS = [
    ('4', '2', 'ParentId="2" Score="8"', 'No.'),  # before its question
    ('2', '1', 'Title="Late?" AcceptedAnswerId="5" Score="90"', 'It is nine.'),
    ('3', '1', 'Title="Who?" Score="1"', 'Who sings &amp; why é?'),
    ('5', '2', 'ParentId="2" Score="3"', 'Yes.'),
    ('6', '2', 'ParentId="3" Score="-1"', 'Ann.'),
    ('7', '2', 'ParentId="3" Score="2"', 'Tom.'),
    ('8', '1', 'Title="Why?" Score="1"', 'Nobody knows.'),
    ('9', '4', '', 'About the tag.'),
    ('10', '2', 'ParentId="1" Score="2"', 'Of another part.'),
]
POSTS = ''.join(POST.format(*row) for row in ROWS)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize('codec', ['utf-8', 'utf-8-sig', 'utf-16'])
@pytest.mark.parametrize(
    'form',
    [
        '{}',
        '<posts>\n{}</posts>',
        '<?xml version="1.0" encoding="utf-8"?>\n<posts>{}</posts>',
    ],
)
def test_questions_get_their_answers_and_others_are_counted(
    form: str, codec: str
) -> None:
    pathlib.Path('Posts.xml').write_text(form.format(POSTS), encoding=codec)
    pairs, report = reader.read(['Posts.xml'])
    assert [(pair.question, pair.answer, pair.score) for pair in pairs] == [
        ('Late?\n\n<p>It is nine.</p>', '<p>Yes.</p>', 3),
        ('Who?\n\n<p>Who sings & why é?</p>', '<p>Tom.</p>', 2),
    ]
    assert report.dropped == ['Posts.xml:3: 8 (pairs rows without answer)']


def test_what_is_left_out_is_said() -> None:
    pathlib.Path('Posts.xml').write_text(f'<posts>{POSTS}</posts>')
    [found] = inputs.find(['Posts.xml'])
    assert found.copy and found.copy.note == (
        'left out: 1 post of other kinds, 1 answer to questions that are not in it'
    )


@pytest.mark.parametrize(
    'text',
    [f'<posts>{POSTS}', f'<posts>{POSTS[:-40]}', f'<posts>{POSTS}<row a=b></posts>'],
)
def test_a_dump_that_is_cut_short_is_refused(text: str) -> None:
    pathlib.Path('Posts.xml').write_text(text)
    with pytest.raises(errors.InputError, match='dump of posts that is damaged'):
        reader.read(['Posts.xml'])


def test_a_dump_is_not_held_in_memory() -> None:
    said = 'A long word of advice. ' * 400
    with open('Posts.xml', 'w') as file:
        file.write('<posts>\n')
        for number in range(1, 2_000, 2):
            title = f'Title="Who {number}?" Score="1"'
            file.write(POST.format(number, 1, title, said))
            file.write(POST.format(number + 1, 2, f'ParentId="{number}"', said))
        file.write('</posts>\n')
    size = pathlib.Path('Posts.xml').stat().st_size
    tracemalloc.start()
    try:
        [found] = inputs.find(['Posts.xml'])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.size > size / 2
    assert peak < size / 2
