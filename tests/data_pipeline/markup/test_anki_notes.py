"""Anki's exports as text: the header names columns, two other fields are a pair."""

import pathlib

import pytest

from data_pipeline.reading import reader
from hax_jax import errors

Q, A = 'Who sings at night?', 'Tom does, and loudly.'


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str, path: str = 'deck.txt') -> tuple:
    pathlib.Path(path).write_text(text, encoding='utf-8', newline='')
    pairs, report = reader.read([path])
    return [(pair.question, pair.answer) for pair in pairs], pairs, report


@pytest.mark.parametrize('path', ['deck.txt', 'deck.csv', 'deck.tsv'])
@pytest.mark.parametrize(
    'text',
    [
        f'#separator:tab\n#html:true\n{Q}\t{A}\n',
        f'#separator:Tab\r\n#html:false\r\n#tags column:3\r\n{Q}\t{A}\t\r\n',
        f'\ufeff#separator:comma\n#html:true\n"{Q}","{A}"\n',
        f'#separator:;\n#deck:Songs\n{Q};{A}\n',
        f'#separator:tab\n#html:true\n#guid column:1\n#notetype column:2\n'
        f'#deck column:3\n#tags column:6\nx7&\tBasic\tSongs\t{Q}\t{A}\tnight\n',
        f'#separator:tab\n#columns:Hint\tQuestion\tAnswer\nIt is dark.\t{Q}\t{A}\n',
        f'#separator:tab\n#tags column:5\n{Q}\t{A}\t\t\t\n',
    ],
)
def test_a_note_of_two_fields_is_a_pair(text: str, path: str) -> None:
    assert read(text, path)[0] == [(Q, A)]


def test_the_deck_is_the_topic_and_the_guid_the_id() -> None:
    text = f'#separator:tab\n#guid column:1\n#deck column:2\nx7\tSongs\t{Q}\t{A}\n'
    _, (pair,), _ = read(text)
    assert (pair.topic, pair.id) == ('Songs', 'pairs:deck:x7')


def test_clozes_and_notes_of_other_fields_are_reported() -> None:
    text = (
        f'#separator:tab\n#html:true\n{Q}\t{A}\nTom {{{{c1::sings}}}} here\tAt night.\n'
        'a\tb\tc\nalone\n'
    )
    pairs, _, report = read(text)
    assert pairs == [(Q, A)]
    assert len(report.unknown_lines) == 3


def test_a_card_with_a_picture_or_a_sound_makes_no_pair() -> None:
    text = f'#separator:tab\n{Q}\t{A}\n<img src="a.png">\tTom\nWho?\t[sound:a.mp3]\n'
    pairs, _, report = read(text)
    assert pairs == [(Q, A)]
    assert report.counts['pairs rows that need a picture or a sound'] == 2


def test_notes_of_more_fields_are_refused_with_a_remedy_that_works() -> None:
    notes = f'1\tIt is dark.\t{Q}\t{A}\n'
    with pytest.raises(errors.InputError, match='#columns:field 1\tfield 2\tfield 3'):
        read(f'#separator:tab\n{notes}')
    named = '#columns:field 1\tfield 2\tquestion\tanswer'
    assert read(f'#separator:tab\n{named}\n{notes}')[0] == [(Q, A)]


@pytest.mark.parametrize(
    'text', [f'#songs: two\n\nQ: {Q}\nA: {A}\n', f'# Songs\n\nQ: {Q}\nA: {A}\n']
)
def test_headings_and_tags_of_a_page_are_no_header(text: str) -> None:
    assert read(text)[0] == [(Q, A)]


@pytest.mark.parametrize('path', ['deck.txt', 'deck.tsv'])
def test_two_columns_without_a_header_are_refused_with_a_remedy_that_works(
    path: str,
) -> None:
    cards = 'osmosis\tthe way of water\nmitosis\tthe way of cells\n'
    with pytest.raises(errors.InputError, match='names the columns: question and ans'):
        read(cards, path)
    made, _, _ = read(f'question\tanswer\n{cards}', path)
    assert made == [tuple(line.split('\t')) for line in cards.splitlines()]


@pytest.mark.parametrize(
    'names',
    ['Front,Back,Tags', 'front,back,Context', 'FRONT,BACK,x', 'PROMPT,Completion,x'],
)
def test_the_sides_of_a_card_are_known_in_any_case(names: str) -> None:
    assert read(f'{names}\n"{Q}","{A}",\n', 'a.csv')[0] == [(Q, A)]


def test_a_back_without_a_front_is_no_answer() -> None:
    with pytest.raises(errors.InputError, match='which of its fields'):
        read(f'question,back\n"{Q}","To the list"\n', 'a.csv')
