"""Marks of a whole source, from its first rows to the pairs that are read."""

import csv
import json
import pathlib

import pytest

from data_pipeline.layouts import source_marks
from data_pipeline.reading import read_report, reader

ASKED = ['Why is he cross?', 'Who moved it?', 'How do I say no?', 'When is tea?']


def _read(
    path: pathlib.Path, pairs: list[tuple[str, str]]
) -> tuple[list[tuple[str, str]], read_report.ReadReport]:
    if path.suffix == '.csv':
        with path.open('w', newline='', encoding='utf-8') as file:
            csv.writer(file).writerows([('prompt', 'completion'), *pairs])
    else:
        rows = [{'prompt': q, 'completion': a} for q, a in pairs]
        path.write_text('\n'.join(map(json.dumps, rows)))
    found, report = reader.read([str(path)])
    return [(each.question, each.answer) for each in found], report


@pytest.mark.parametrize('name', ['a.csv', 'a.jsonl'])
def test_breaks_written_as_two_characters_are_breaks(
    tmp_path: pathlib.Path, name: str
) -> None:
    path = 'It lies in C:\\new\\notes, I think.'
    pairs = [
        (ASKED[0], 'He is tired.\\n\\nLet him sleep.\\n- Soup\\n- Tea'),
        (ASKED[1], f'The dog.\\r\\n{path}'),
        (ASKED[2], 'Say `a\\nb` once.'),
    ]
    found, report = _read(tmp_path / name, pairs)
    assert found == [
        (ASKED[0], 'He is tired.\n\nLet him sleep.\n- Soup\n- Tea'),
        (ASKED[1], f'The dog.\n{path}'),
        pairs[2],
    ]
    what = 'texts with line breaks written as \\n, which were made breaks'
    assert report.counts[what] == 2


def test_code_paths_and_a_source_with_breaks_of_its_own_stay(
    tmp_path: pathlib.Path,
) -> None:
    code = [
        (ASKED[0], 'Open C:\\new\\notes.txt first.'),
        (ASKED[1], 'Call print("a\\nb") there.'),
        (ASKED[2], 'The symbol is $\\nu$ here.'),
        (ASKED[3], 'Look in D:\\names\\n.txt today.'),
    ]
    assert _read(tmp_path / 'a.jsonl', code)[0] == code
    mixed = [(ASKED[0], 'One.\\nTwo.'), (ASKED[1], 'A.\\nB.'), (ASKED[2], 'One.\nTwo.')]
    assert _read(tmp_path / 'b.jsonl', mixed)[0] == mixed


def test_turns_of_chats_are_texts_of_the_source_too(tmp_path: pathlib.Path) -> None:
    rows = [
        {'messages': [{'role': 'user', 'content': f'{asked}\\n\\nPlease.'},
                      {'role': 'assistant', 'content': 'Ask him.\\nThen go.'}]}
        for asked in ASKED
    ]  # fmt: skip
    (tmp_path / 'a.json').write_text(json.dumps(rows))
    found, _ = reader.read([str(tmp_path / 'a.json')])
    assert {each.answer for each in found} == {'Ask him.\nThen go.'}
    assert found[0].question == f'{ASKED[0]}\n\nPlease.'


@pytest.mark.parametrize(
    ('separator', 'stop'),
    [(' ->', '\n'), ('->', ' END'), ('\n\n->', ' ###'), (' =>', '\n\n###\n\n')],
)
def test_the_separator_and_the_stop_of_all_rows_are_cut(
    tmp_path: pathlib.Path, separator: str, stop: str
) -> None:
    pairs = [(asked + separator, f' {asked} So.{stop}') for asked in ASKED]
    found, report = _read(tmp_path / 'a.jsonl', pairs)
    assert found == [(asked, f'{asked} So.') for asked in ASKED]
    what = f'texts with the separator {separator.strip()!r}, which was cut'
    assert report.counts[what] == 4
    # An arrow that ends one question is its own.
    pairs = [(asked, 'So is it. END') for asked in ASKED[:2]] + [('Left ->', 'No.')]
    assert _read(tmp_path / 'b.jsonl', pairs)[0] == pairs


def test_a_choice_before_each_answer_is_cut_and_lists_stay(
    tmp_path: pathlib.Path,
) -> None:
    pairs = [
        (asked, f'{letter} Ask him.')
        for asked, letter in zip(ASKED, ('A.', 'C)', '(b)', 'D:'), strict=True)
    ]
    found, report = _read(tmp_path / 'a.jsonl', pairs)
    assert {answer for _, answer in found} == {'Ask him.'}
    what = "texts with a choice's number before the answer, which was cut"
    assert report.counts[what] == 4
    for kept in ('1. Breathe.\n2. Go.', 'So it is.'):
        assert source_marks.find([*pairs[:3], (ASKED[3], kept)]) is None
    assert source_marks.find([(asked, '1. Breathe.') for asked in ASKED]) is None
