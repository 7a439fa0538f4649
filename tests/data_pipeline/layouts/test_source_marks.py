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
        (ASKED[1], f'The dog, for $5.\\r\\n{path} Or $6.'),
        (ASKED[2], 'Say `a\\nb` once.'),
    ]
    found, report = _read(tmp_path / name, pairs)
    assert found == [
        (ASKED[0], 'He is tired.\n\nLet him sleep.\n- Soup\n- Tea'),
        (ASKED[1], f'The dog, for $5.\n{path} Or $6.'),
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
    [(' ->', '\n'), ('->', ' END'), ('\n\n->', ' ###'), (' =>', '</s>')],
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


def test_characters_written_as_json_writes_them_are_characters(
    tmp_path: pathlib.Path,
) -> None:
    pairs = [
        (ASKED[0], 'It\\u2019s a caf\\u00e9 \\ud83d\\ude42.'),
        (ASKED[1], 'She said: no.\\n\\n\\"Go,\\" she said.\\nI\\u2019m off.'),
        (ASKED[2], 'Write `\\u00e9` for it.'),
        (ASKED[3], 'Now.\\n\\nOr never.'),
    ]
    found, report = _read(tmp_path / 'a.jsonl', pairs)
    assert [answer for _, answer in found] == [
        'It’s a café 🙂.',
        'She said: no.\n\n\\"Go,\\" she said.\nI’m off.'.replace('\\"', '"'),
        pairs[2][1],
        'Now.\n\nOr never.',
    ]
    what = 'texts with characters written as \\u2019, which were made characters'
    assert report.counts[what] == 2
    own = [(ASKED[0], 'A café.'), *pairs[:1], (ASKED[3], 'Type \\u2019 here.')]
    assert _read(tmp_path / 'b.jsonl', own)[0] == own


def test_what_opens_every_prompt_is_cut(tmp_path: pathlib.Path) -> None:
    pairs = [(f'<s>{asked}', f'{asked} So.</s>') for asked in ASKED]
    assert _read(tmp_path / 'a.jsonl', pairs)[0] == [
        (asked, f'{asked} So.') for asked in ASKED
    ]
    pairs[0] = ASKED[0], 'So he said </s>'
    pairs[1] = ASKED[1], 'So.'
    assert _read(tmp_path / 'b.jsonl', pairs)[0] == pairs


@pytest.mark.parametrize(
    'label',
    [
        *('Assistant: ', 'AI: ', 'A. ', 'A) ', '[ANSWER] ', 'Answer - ', 'A1: '),
        *('### Assistant: ', '<answer>', 'Answer\n', '**Reply:** ', 'Antwort: '),
    ],
)
def test_a_label_before_each_answer_alone_is_cut(
    tmp_path: pathlib.Path, label: str
) -> None:
    pairs = [(asked, f'{label}No ladder, {asked[:4]}.') for asked in ASKED]
    found, report = _read(tmp_path / 'a.jsonl', pairs)
    assert found == [(asked, f'No ladder, {asked[:4]}.') for asked in ASKED]
    assert [n for what, n in report.counts.items() if 'with the label' in what] == [4]
    pairs[2] = ASKED[2], 'No label here.'
    assert _read(tmp_path / 'b.jsonl', pairs)[0] == pairs
    turns = [(asked, f'{label}So.\nUser: Why?\nAssistant: So.') for asked in ASKED]
    assert source_marks.find(turns) is None


def test_a_label_before_each_question_alone_is_cut(tmp_path: pathlib.Path) -> None:
    pairs = [(f'Human: {asked}', f'{asked} So.') for asked in ASKED]
    found, _ = _read(tmp_path / 'a.jsonl', pairs)
    assert found == [(asked, f'{asked} So.') for asked in ASKED]


def test_bold_around_all_texts_of_a_column_is_cut(tmp_path: pathlib.Path) -> None:
    rows = [f'| **{asked}** | **No** ladder, **{asked[:4]}**. |' for asked in ASKED]
    path = tmp_path / 'a.md'
    path.write_text('\n'.join(['| Question | Answer |', '|---|---|', *rows]))
    pairs, report = reader.read([str(path)])
    assert [pair.question for pair in pairs] == ASKED
    assert pairs[0].answer == f'**No** ladder, **{ASKED[0][:4]}**.'
    assert [n for what, n in report.counts.items() if 'in bold' in what] == [4]
    some = [(f'**{asked}**', 'So.') for asked in ASKED[:3]]
    assert source_marks.find([*some, (ASKED[3], 'So.')]) is None
