"""Prompt files of the project before this one: a synthetic one, and the real one."""

import pathlib

import pytest

from hax_jax import errors
from hax_jax.sampling import prompt_names, prompts

REAL = pathlib.Path(__file__).parents[3] / 'shared' / 'data' / 'test_prompts_v1.md'
FILE = """# Prompts

Theme: people.

## Easy prompts

### Easy 1 – First things

SHORTHAND: first things

QUESTION: Why?

Tell me - QUESTION: is it rude?

STEM:
It is hard.\x20

What to look for:

Kindness.

- No links.

### Medium 12 - Second: a thing

SHORTHAND: second
PROMPT:
Who pays?

## Hard prompts

Long ones.

### Hard 1 — Third thing

SHORTHAND: third

QUESTION: When?
"""


def write(tmp_path: pathlib.Path, content: str, name: str = 'prompts.md') -> str:
    path = tmp_path / name
    path.write_text(content)
    return str(path)


def test_each_part_of_a_prompt_is_read(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, FILE)
    found = prompts.read(path)
    assert found.questions == [
        prompts.Question(
            id='first things',
            text='Why?\n\nTell me - QUESTION: is it rude?',
            place=f'{path}:7',
            stem='It is hard.',
            title='Easy 1 - First things',
            look_for='Kindness.\n\n- No links.',
        ),
        prompts.Question(
            id='second',
            text='Who pays?',
            place=f'{path}:24',
            title='Medium 12 - Second: a thing',
        ),
        prompts.Question(
            id='third', text='When?', place=f'{path}:34', title='Hard 1 - Third thing'
        ),
    ]
    assert found.notes == [f'{path}: 2 lines outside of prompts are not read.']


def test_each_mistake_of_a_file_is_named(tmp_path: pathlib.Path) -> None:
    path = write(
        tmp_path,
        '### Easy 1 - One\nSHORTHAND: one\n### Esay 2 - Two\nSHORTHAND: two\n'
        '### Easy 3 - Three\nQUESTION: Q\nQUESTION: Q\nSTEM:\n'
        '### Easy 4 - Four\nSHORTHAND: four\nQUESTION: Q\n'
        '### Easy 5 - Five\nSHORTHAND:  four \nQUESTION: Q\n',
    )
    with pytest.raises(errors.InputError) as error:
        prompts.read(path)
    assert str(error.value).split('\n') == [
        f"{path}:1: 'Easy 1 - One' has no QUESTION; write QUESTION: ....",
        f"{path}:3: '### Esay 2 - Two' is no heading of a prompt; write "
        '"### Easy|Medium|Hard N - title".',
        f"{path}:7: a second QUESTION: in 'Easy 3 - Three'; a prompt has one.",
        f"{path}:5: 'Easy 3 - Three' has no SHORTHAND; write SHORTHAND: ....",
        f"{path}:12: SHORTHAND 'four' is that of {path}:9 too; they must differ.",
    ]


def test_other_markdown_is_letters_as_before(tmp_path: pathlib.Path) -> None:
    found = prompts.read(write(tmp_path, '### My letter\nOne.\n---\nTwo.\n'))
    texts = [question.text for question in found.questions]
    assert texts == ['### My letter\nOne.', 'Two.']
    # And a prompt file under another name is text too.
    assert len(prompts.read(write(tmp_path, FILE, 'prompts.txt')).questions) == 1


def test_json_lines_may_have_stems(tmp_path: pathlib.Path) -> None:
    lines = '{"prompt": "Q", "stem": " I say "}\n{"prompt": "R", "stem": null}\n'
    found = prompts.read(write(tmp_path, lines, 'a.jsonl'))
    assert [question.stem for question in found.questions] == ['I say', '']
    assert found.notes == []
    with pytest.raises(errors.InputError, match='stem 5 is not a text'):
        prompts.read(write(tmp_path, '{"prompt": "Q", "stem": 5}', 'a.jsonl'))


@pytest.mark.parametrize(
    ('name', 'chosen', 'note'),
    [
        ('second', 'second', ''),
        (' SECOND ', 'second', ''),
        ('easy  1', 'first things', ''),
        ('Hard 1', 'third', ''),
        ('a thing', 'second', 'part of its name'),
        ('first', 'first things', 'part of its name'),
        ('frist thing', 'first things', 'the nearest name'),
        ('secnod', 'second', 'the nearest name'),
    ],
)
def test_a_name_is_exact_or_near(
    tmp_path: pathlib.Path, name: str, chosen: str, note: str
) -> None:
    found = prompts.read(write(tmp_path, FILE))
    picked = prompt_names.choose(found, [name, name])
    assert [question.id for question in picked.questions] == [chosen]
    notes = picked.notes[len(found.notes) :]
    assert notes == (
        [f'--name={name!r} read as {chosen!r} ({note})'] * 2 if note else []
    )


def test_names_of_nothing_and_of_several_are_one_error(tmp_path: pathlib.Path) -> None:
    found = prompts.read(write(tmp_path, FILE))
    with pytest.raises(errors.InputError) as error:
        prompt_names.choose(found, ['thing', 'zebra', 'third'])
    assert str(error.value).split('\n') == [
        "--name='thing' is part of several names: 'first things', 'second', 'third'; "
        '--list shows all.',
        "--name='zebra' names no prompt: 'first things', 'second', 'third'; --list "
        'shows all.',
    ]


def test_a_stem_of_all_takes_the_place_of_their_own(tmp_path: pathlib.Path) -> None:
    found = prompts.read(write(tmp_path, FILE))
    stems = prompt_names.with_stem(found, 'No.')
    assert {question.stem for question in stems.questions} == {'No.'}
    assert stems.notes[-1] == '--stem takes the place of 1 stems of the file'


@pytest.mark.skipif(not REAL.is_file(), reason='the real prompt file is not here')
def test_the_real_prompt_file_is_read_whole() -> None:
    raw = REAL.read_text()
    found = prompts.read(str(REAL)).questions
    assert len(found) == raw.count('SHORTHAND:') == raw.count('\n### ')
    assert all(q.stem and q.look_for and q.text for q in found)
    words = sum(len(f'{q.text} {q.stem} {q.look_for}'.split()) for q in found)
    assert words > 0.85 * len(raw.split())
    assert (
        prompt_names.choose(prompts.Questions(found, []), ['medium 3'])
        .questions[0]
        .id.startswith('religious')
    )
