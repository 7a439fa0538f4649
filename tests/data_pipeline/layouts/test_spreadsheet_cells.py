"""Cells that a spreadsheet wrote: protected ones, links and formulas."""

import csv
import pathlib

import pytest

from data_pipeline.layouts import spreadsheet_cells
from data_pipeline.reading import reader

LINK = '=HYPERLINK("https://a.example/x?a=1,2","She said ""no"", twice.")'


@pytest.mark.parametrize(
    ('cell', 'text'),
    [
        (LINK, 'She said "no", twice.'),
        (' =hyperlink("https://a.example" ; "So.") ', 'So.'),
        ('=HYPERLINK("https://a.example")', 'https://a.example'),
        ('=HYPERLINK(A2,B2)', '=HYPERLINK(A2,B2)'),
        ('= is a sign, HYPERLINK("a","b") too', '= is a sign, HYPERLINK("a","b") too'),
        ('Call =HYPERLINK("a","b")', 'Call =HYPERLINK("a","b")'),
    ],
)
def test_a_links_formula_is_its_text(cell: str, text: str) -> None:
    assert spreadsheet_cells.linked(cell) == text


@pytest.mark.parametrize(
    ('text', 'is_one'),
    [
        ('=CONCATENATE(A1," ",B1)', True),
        ('=HYPERLINK(A2,B2)', True),
        ('=_xlfn.IFS(A1)', False),
        ('=== is how she opens (each) mail', False),
        ('= so (it is)', False),
    ],
)
def test_formulas_are_known(text: str, is_one: bool) -> None:
    assert spreadsheet_cells.is_formula(text) == is_one


def test_links_are_read_and_counted_and_formulas_make_no_pair(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [['Why?', LINK], ['Who?', '=CONCAT(A1,A2)'], ['When?', 'Now.']]
    with pathlib.Path('a.csv').open('w', newline='') as file:
        csv.writer(file).writerows([['question', 'answer'], *rows])
    pairs, report = reader.read(['a.csv'])
    assert [pair.answer for pair in pairs] == ['She said "no", twice.', 'Now.']
    assert report.counts['fields that are =HYPERLINK(…), read as its text'] == 1
    assert report.counts['csv rows with a formula in place of a text'] == 1


def test_links_of_a_workbook_without_their_texts_are_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openpyxl = pytest.importorskip('openpyxl')
    monkeypatch.chdir(tmp_path)
    book = openpyxl.Workbook()
    for row in (['question', 'answer'], ['Why?', LINK], ['When?', 'Now.']):
        book.active.append(row)
    book.save('a.xlsx')
    pairs, _ = reader.read(['a.xlsx'])
    assert [pair.answer for pair in pairs] == ['She said "no", twice.', 'Now.']


def test_a_table_in_single_quotes_is_read_without_them(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "'question','answer'\n'Why, Ann?','It''s \"late\", so.'\n'Who?','Tom.'\n"
    pathlib.Path('a.csv').write_text(text)
    pairs, _ = reader.read(['a.csv'])
    assert [(pair.question, pair.answer) for pair in pairs] == [
        ('Why, Ann?', 'It\'s "late", so.'),
        ('Who?', 'Tom.'),
    ]
