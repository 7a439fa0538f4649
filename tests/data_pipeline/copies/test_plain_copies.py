"""Files of every kind to pairs: packed, in other encodings, JSON documents, tables."""

import bz2
import csv
import functools
import gzip
import json
import lzma
import pathlib
import random
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import zstandard

from data_pipeline.copies import plain_copies
from data_pipeline.reading import inputs, reader
from hax_jax import errors

ROWS = [{'question': f'Who sings {i}?', 'answer': f'“Tom” {i}.'} for i in range(3)]
PAIRS = [(row['question'], row['answer']) for row in ROWS]
COLUMNS = {key: [row[key] for row in ROWS] for key in ROWS[0]}
LINES = ''.join(json.dumps(row) + '\n' for row in ROWS)
CSV = 'question,answer\n' + ''.join(f'{q},{a}\n' for q, a in PAIRS)
MERGED = ''.join(f'QUESTION: {q}\nANSWER: {a}\n' for q, a in PAIRS)
CHATS = [
    [{'role': 'user', 'content': q}, {'role': 'assistant', 'content': a}]
    for q, a in PAIRS
]
BY_ID = {str(i): row for i, row in enumerate(ROWS)}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def read(name: str, raw: str | bytes) -> list[tuple[str, str]]:
    pathlib.Path(name).write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    return [(pair.question, pair.answer) for pair in reader.read([name])[0]]


def error(name: str, raw: str | bytes) -> str:
    with pytest.raises(errors.InputError) as raised:
        read(name, raw)
    return str(raised.value)


@pytest.mark.parametrize('indent', [None, 2])
@pytest.mark.parametrize(
    'document',
    [
        ROWS,
        {'version': 1, 'data': ROWS},
        {'train': ROWS[:2], 'test': ROWS[2:]},
        {'stuff': ROWS},
        {
            'features': [{'name': 'question'}],
            'rows': [{'row_idx': 0, 'row': r} for r in ROWS],
        },
        COLUMNS,
        {key: dict(enumerate(cells)) for key, cells in COLUMNS.items()},
        {'columns': [*COLUMNS], 'index': [0, 1, 2], 'data': PAIRS},
        BY_ID,
        PAIRS,
        [['id', 'question', 'answer'], *[[0, *pair] for pair in PAIRS]],
        CHATS,
        dict(PAIRS),
        {'Songs': dict(PAIRS[:2]), 'Tom': dict(PAIRS[2:])},
        {'faq': [{'about': 'Tom', 'questions': ROWS}]},
        [{'about': 'Tom', 'page': 1, 'qa_pairs': ROWS}],
        {'took': 1, 'hits': {'max': 2, 'hits': [{'_source': row} for row in ROWS]}},
        {'status': 'ok', 'response': {'page': 1, 'docs': ROWS}},
        {'version': 1, 'data': {'train': ROWS[:1], 'test': ROWS[1:]}},
        {'corpus': {'splits': {'love': ROWS[:2], 'work': ROWS[2:]}}},
        {'data': {'faqs': {'edges': [{'node': row, 'at': 'x'} for row in ROWS]}}},
        {'data': [{'type': 'faq', 'attributes': row} for row in ROWS]},
        {'faq': {'-x': ROWS[0], '-y': ROWS[1], '-z': ROWS[2]}, 'version': 1},
    ],
)
def test_json_lists_and_dicts_are_rows(document: Any, indent: int | None) -> None:
    assert read('a.json', json.dumps(document, indent=indent)) == PAIRS


@pytest.mark.parametrize(('between', 'indent'), [('\n', 1), ('', None), (' ', None)])
@pytest.mark.parametrize('end', ['', '\n', '\n\0\0\0'])
def test_rows_one_after_another_are_rows(
    between: str, indent: int | None, end: str
) -> None:
    text = between.join(json.dumps(row, indent=indent) for row in ROWS)
    assert read('a.json', text + end) == PAIRS
    assert read('b.json', json.dumps(ROWS) + end) == PAIRS


@pytest.mark.parametrize('rows', [PAIRS, CHATS])
def test_a_list_a_line_is_a_row(rows: list[Any]) -> None:
    assert read('a.jsonl', ''.join(json.dumps(row) + '\n' for row in rows)) == PAIRS


def test_lists_and_texts_that_are_no_pairs_are_refused() -> None:
    for document in (
        {'data': {'good': ROWS[:1], 'bad': ROWS[1:]}},
        [['a', 'b', 'c'], ['d', 'e', 'f']],
        ['Who sings?', 'Tom.', 'Who else?'],
        {'name': 'corpus', 'version': '1', 'home page url': 'x'},
        [{'task': 'add', 'examples': [{'left': 1}], 'tools': [{'name': 'f'}]}],
    ):
        assert 'a.json' in error('a.json', json.dumps(document))


def test_rows_of_alpaca_under_data_are_rows() -> None:
    rows = [{'instruction': q, 'input': '', 'output': a} for q, a in PAIRS]
    for document in (
        {'data': rows},
        {'schema': {'fields': []}, 'data': rows},
        {'columns': [*rows[0]], 'data': [[*row.values()] for row in rows]},
    ):
        assert read('a.json', json.dumps(document)) == PAIRS


def test_lists_beside_the_rows_are_named() -> None:
    pathlib.Path('a.json').write_text(
        json.dumps({'data': ROWS, 'licenses': [{'name': 'CC'}], 'version': 1})
    )
    assert inputs.describe(inputs.find(['a.json']))[0] == (
        "a.json: no rows are read of 'licenses'"
    )


@pytest.mark.parametrize(
    'name', ['Negative Examples', 'negatives', 'wrong_answers', 'Rejected']
)
def test_rows_that_show_how_not_to_answer_are_left_out_and_named(name: str) -> None:
    wrong = [{'question': 'Who sings?', 'answer': 'Nobody.'}]
    text = json.dumps({'Definition': 'Ask.', 'data': ROWS, name: wrong})
    pathlib.Path('a.json').write_text(text)
    assert read('a.json', text) == PAIRS
    assert inputs.describe(inputs.find(['a.json']))[0] == (
        f'a.json: no rows are read of {name!r}'
    )


def test_a_list_that_is_cut_short_is_an_error() -> None:
    text = json.dumps(ROWS)
    for end in (len(text) - 1, len(text) - 20):
        assert 'a.json is JSON that is damaged or cut short' in error(
            'a.json', text[:end]
        )
    assert 'damaged' in error('a.json', text.replace(', {', ' {', 1))


@pytest.mark.parametrize('start', ['[', '[\n'])
def test_what_is_whole_of_a_cut_list_is_kept_by_the_command_that_is_named(
    start: str,
) -> None:
    rows = [{'question': f'Wer ist „{i}“?', 'answer': 'Käthe.'} for i in range(3)]
    text = start + ',\n'.join(json.dumps(row, ensure_ascii=False) for row in rows)
    said = error('a b.json', text[: text.rindex('"answer"')])
    command = said.partition('first 2 rows alone: ')[2].partition('\n')[0]
    subprocess.run(command, shell=True, check=True)
    pairs, _ = reader.read(['whole.json'])
    assert [pair.question for pair in pairs] == ['Wer ist „0“?', 'Wer ist „1“?']


def test_a_text_that_opens_with_a_bracket_is_a_text() -> None:
    assert read('a.md', f'[An aside](x)\n{MERGED}') == PAIRS
    assert read('b.md', f'[1] is a number.\n{MERGED}') == PAIRS


@pytest.mark.parametrize(
    ('suffix', 'pack'),
    [
        ('gz', gzip.compress),
        ('bz2', bz2.compress),
        ('xz', lzma.compress),
        ('zst', zstandard.compress),
        ('lzma', functools.partial(lzma.compress, format=lzma.FORMAT_ALONE)),
        ('gz.renamed', gzip.compress),
    ],
)
def test_packed_files_of_every_layout_are_read(
    suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    for name, text in (
        ('a.jsonl', LINES),
        ('a.json', json.dumps(ROWS, indent=1)),
        ('a.csv', CSV),
        ('a.md', MERGED),
    ):
        packed = pack(text.encode())
        assert read(f'{name}.{suffix}', packed) == PAIRS
        assert 'is a damaged compressed file' in error(
            f'{name}.{suffix}', packed[: len(packed) - 12]
        )
    halves = LINES.encode()[:40], LINES.encode()[40:]
    assert read('b.jsonl', b''.join(map(pack, halves))) == PAIRS


@pytest.mark.parametrize('codec', ['utf-16', 'utf-16-le', 'utf-16-be', 'utf-32'])
def test_wide_encodings_are_read(codec: str) -> None:
    for name, text in (('a.csv', CSV), ('a.md', MERGED), ('a.jsonl', LINES)):
        assert read(name, text.encode(codec)) == PAIRS


@pytest.mark.parametrize('sign', ['\t', ';', '|'])
def test_tables_with_other_signs_are_read(sign: str) -> None:
    assert read('a.txt', CSV.replace(',', sign)) == PAIRS
    assert read('a.csv', f'sep={sign}\r\n' + CSV.replace(',', sign)) == PAIRS


def test_parquet_arrow_and_feather_are_read() -> None:
    table = pa.table({**COLUMNS, 'picture': [b'\xff\xd8'] * 3, 'share': [0.5] * 3})
    pa.parquet.write_table(table, 'a.parquet')
    pa.feather.write_feather(table, 'a.feather')
    for name in ('a.parquet', 'a.feather'):
        assert read(name, pathlib.Path(name).read_bytes()) == PAIRS
    assert 'is a damaged parquet file' in error('a.parquet', b'PAR1 and no more')
    assert 'is a damaged xlsx file' in error('a.xlsx', b'PK\3\4 and no more')


def test_nested_rows_of_a_table_are_chats() -> None:
    turns = [
        [{'role': 'user', 'content': q}, {'role': 'assistant', 'content': a}]
        for q, a in PAIRS
    ]
    pa.parquet.write_table(pa.table({'messages': turns}), 'a.parquet')
    assert read('a.parquet', pathlib.Path('a.parquet').read_bytes()) == PAIRS


def _save(folder: str, rows: list[dict[str, str]]) -> None:
    path = pathlib.Path(folder)
    path.mkdir(parents=True)
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(path / 'data-00000-of-00001.arrow', table.schema) as file:
        file.write_table(table)
    state = {'_data_files': [{'filename': 'data-00000-of-00001.arrow'}]}
    (path / 'state.json').write_text(json.dumps(state))


def test_folders_that_save_to_disk_wrote_are_read() -> None:
    _save('saved', ROWS)
    _save('splits/train', ROWS[:2])
    _save('splits/test', ROWS[2:])
    pathlib.Path('splits/dataset_dict.json').write_text('{"splits": ["train", "test"]}')
    for name in ('saved', 'splits'):
        pairs, report = reader.read([name])
        assert [(pair.question, pair.answer) for pair in pairs] == PAIRS
        assert all(file.startswith(name) for file in report.files)


def test_an_escaped_bar_is_a_bar_of_a_cell() -> None:
    rows = ''.join(f'| {q} | {a[:-1]} \\| or so. |\n' for q, a in PAIRS)
    pathlib.Path('a.md').write_text(f'| Question | Answer |\n|---|---|\n{rows}')
    pairs, _ = reader.read(['a.md'])
    assert [(e.question, e.answer) for e in pairs] == [
        (q, f'{a[:-1]} | or so.') for q, a in PAIRS
    ]


def test_sheets_of_excel_are_read() -> None:
    openpyxl = pytest.importorskip('openpyxl')
    book = openpyxl.Workbook()
    rows = [[], ['Question', 'Answer', 'Year'], *[[*pair, 1999] for pair in PAIRS]]
    for above in ([], [['Our questions'], ['of', 'May']]):
        book.active.delete_rows(1, 99)
        for row in above + rows:
            book.active.append(row)
        book.save('a.xlsx')
        pairs, report = reader.read(['a.xlsx'])
        assert [(pair.question, pair.answer) for pair in pairs] == PAIRS
        assert len(report.unknown_lines) == len(above)


def test_rows_of_a_sheet_have_its_numbers() -> None:
    book = pytest.importorskip('openpyxl').Workbook()
    for i in range(len(PAIRS)):
        for column, cell in enumerate(PAIRS[i], start=1):
            book.active.cell(5 + 2 * i, column, cell)
    names = (['FAQ'], [], ['Question', 'Answer'])
    for number, cells in enumerate(names, start=1):
        for column, cell in enumerate(cells, start=1):
            book.active.cell(number, column, cell)
    book.save('a.xlsx')
    pairs, report = reader.read(['a.xlsx'])
    assert [pair.line for pair in pairs] == [5 + 2 * i for i in range(len(PAIRS))]
    assert [line.split()[0] for line in report.unknown_lines] == ['a.xlsx:1:']


def test_sheets_are_named_where_a_file_has_several() -> None:
    book = pytest.importorskip('openpyxl').Workbook()
    for sheet in (book.active, book.create_sheet('Old')):
        for row in (['Question', 'Answer'], *PAIRS):
            sheet.append(row)
    sheet.sheet_state = 'hidden'
    book.save('a.xlsx')
    pairs, _ = reader.read(['a.xlsx'])
    assert len(pairs) == 2 * len(PAIRS)
    copy = plain_copies.of('a.xlsx', 'a.xlsx')
    assert copy is not None
    assert copy.note == (
        "the rows of its sheets 'Sheet', 'Old' (hidden) are read and numbered, one "
        'behind another'
    )


def test_flat_messages_are_joined_to_their_parents_and_the_best_reply_wins() -> None:
    def message(
        name: str, parent: str | None, text: str, **more: Any
    ) -> dict[str, Any]:
        role = 'assistant' if name.startswith('a') else 'prompter'
        return {
            'message_id': name,
            'parent_id': parent,
            'text': text,
            'role': role,
            **more,
        }

    flat = [
        message('a0', 'm0', 'Worse.', rank=1),
        message('m0', None, 'Who sings?'),
        message('a1', 'm0', 'Tom.', rank=0),
        message('m2', 'a1', 'Why?'),
        message('m1', None, 'Who pays?'),
        message('a2', 'm1', 'Tom.', rank=None),
    ]
    pathlib.Path('a.jsonl').write_text('\n'.join(map(json.dumps, flat)))
    pairs, report = reader.read(['a.jsonl'])
    assert [(p.question, p.answer) for p in pairs] == [
        ('Who sings?', 'Tom.'),
        ('Who pays?', 'Tom.'),
    ]
    assert report.counts['answers beside the best, left out'] == 1
    marked = '\ufeff' + '\n'.join(map(json.dumps, flat))  # by an editor of Windows
    assert len(read('b.jsonl', marked)) == 2
    pa.parquet.write_table(pa.Table.from_pylist(flat), 'a.parquet')
    assert len(read('a.parquet', pathlib.Path('a.parquet').read_bytes())) == 2


@pytest.mark.parametrize('names', [(0, 1), ('0', '1'), ('1e5', '100000'), (3.0, 4)])
def test_ids_of_messages_are_taken_as_they_are_written(names: tuple[Any, ...]) -> None:
    rows: list[dict[str, Any]] = []
    for name in names:
        asked = {'message_id': name, 'parent_id': None, 'role': 'prompter'}
        parent = int(name) if isinstance(name, float) else name
        reply = {'message_id': f'{name}a', 'parent_id': parent, 'role': 'assistant'}
        rows += [
            {**asked, 'text': f'Who is {name}?'},
            {**reply, 'text': f'It is {name}.'},
        ]
    lines = '\n'.join(map(json.dumps, rows))
    assert read('a.jsonl', lines) == [
        (f'Who is {name}?', f'It is {name}.') for name in names
    ]


@pytest.mark.parametrize('delimiter', [',', '\t'])
def test_messages_in_a_table_are_joined_to_their_parents(delimiter: str) -> None:
    rows = [
        ['message_id', 'parent_id', 'text', 'role', 'rank', 'deleted'],
        ['1', '', 'Who sings,\nor hums?', 'prompter', '', 'False'],
        ['2', '1.0', 'Worse.', 'assistant', '1.0', 'False'],
        ['3', '1.0', 'Best.', 'assistant', '0.0', 'True'],
        ['4', '1.0', '12', 'assistant', '0.0', 'False'],
    ]
    with open('a.csv', 'w', newline='') as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
        file.write(f'5{delimiter}cut\n')
    pairs, report = reader.read(['a.csv'])
    assert [(p.question, p.answer) for p in pairs] == [('Who sings,\nor hums?', '12')]
    assert report.counts['answers beside the best, left out'] == 1
    assert len(report.unknown_lines) == 1


def test_a_file_of_which_nothing_is_read_is_an_error_that_can_be_skipped() -> None:
    pathlib.Path('a.jsonl').write_text(LINES)
    pathlib.Path('b.jsonl').write_text('{"left": 1, "right": 2}\n')
    pathlib.Path('c.txt').write_text('Dear diary.\n')
    pathlib.Path('d.bin').write_bytes(b'\0\1\2' * 9)
    with pytest.raises(errors.InputError) as raised:
        reader.read(['*.*'])
    message = str(raised.value)
    assert "b.jsonl: which of its fields 'left', 'right' are question" in message
    assert 'd.bin is a binary file' in message
    assert re.search('Accepted are .* For example: {.*--skip_unreadable', message)
    pairs, report = reader.read(['*.*'], skip_unreadable=True)
    assert len(pairs) == 3
    assert report.counts['files unreadable'] == 2
    assert [warning[:5] for warning in report.warnings] == ['b.jso', 'c.txt', 'd.bin']


def test_copies_are_gone_when_nothing_needs_them(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    assert read('a.jsonl.gz', gzip.compress(LINES.encode())) == PAIRS
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.jsonl.gz']


def test_a_pointer_of_git_lfs_is_named() -> None:
    pathlib.Path('a.json').write_text(
        'version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 2989075\n'
    )
    with pytest.raises(errors.InputError, match=r'a\.json is a pointer of Git LFS'):
        reader.read(['a.json'])


def test_a_file_packed_twice_is_unpacked_twice(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a.jsonl.gz.xz'
    row = b'{"question": "Why?", "answer": "So."}\n'
    path.write_bytes(lzma.compress(gzip.compress(row)))
    pairs, _ = reader.read([str(path)])
    assert [(pair.question, pair.answer) for pair in pairs] == [('Why?', 'So.')]


@pytest.mark.parametrize('before', [b'\x1e', b'\xef\xbb\xbf', b' \x1e'])
def test_signs_before_a_row_are_no_part_of_it(
    tmp_path: pathlib.Path, before: bytes
) -> None:
    path = tmp_path / 'a.jsonl'
    row = b'{"question": "Why?", "answer": "So."}\n'
    path.write_bytes(before + row + before + row)
    pairs, report = reader.read([str(path)])
    assert len(pairs) == 2 and not report.unknown_lines


def test_a_mark_of_another_file_does_not_hide_a_label(tmp_path: pathlib.Path) -> None:
    for end in ('\n', '\r'):
        path = tmp_path / 'a.md'
        text = f'\ufeffQ: Why?{end}A: So.{end}{end}' * 2
        path.write_bytes(text.encode())
        pairs, _ = reader.read([str(path)])
        assert [pair.answer for pair in pairs] == ['So.', 'So.']


@pytest.mark.parametrize(
    'document',
    [
        '{"items": [%s]}',
        '{"result": {"status": "ok", "items": [%s]}}',
        '{"title": "t", "sections": [{"name": "n", "items": [%s]}]}',
        '{"messages": [%s]}',
        '{"conversations": [%s], "version": 2}',
    ],
)
def test_pairs_in_a_list_of_a_document_are_no_conversation(
    tmp_path: pathlib.Path, document: str
) -> None:
    path = tmp_path / 'a.json'
    rows = [f'{{"question": "Why {i}?", "answer": "So {i}."}}' for i in range(3)]
    path.write_text(document % ', '.join(rows))
    pairs, _ = reader.read([str(path)])
    assert [(pair.answer, pair.more) for pair in pairs] == [
        (f'So {i}.', ()) for i in range(3)
    ]


def test_rows_by_id_may_lack_an_answer_and_stand_beside_other_members(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'a.json'
    rows: dict[str, Any] = {
        f'q{i}': {'question': f'Why {i}?', 'answer': f'So {i}.'} for i in range(4)
    }
    others = {'version': 2, 'about': {'by': 'me', 'pages': 3}}
    path.write_text(json.dumps({**others, 'q': {'question': 'Who?', 'n': 1}, **rows}))
    pairs, report = reader.read([str(path)])
    assert [pair.answer for pair in pairs] == [f'So {i}.' for i in range(4)]
    assert len(report.unknown_lines) == 1
    copy = plain_copies.of(str(path), 'a.json')
    assert copy is not None and copy.note == "no rows are read of 'about'"


@pytest.mark.parametrize(
    'document',
    [
        '{"result": {"data": [%s]}}',
        '{"a": {"b": [%s]}}',
        '[{"name": "n", "faqs": [%s]}]',
    ],
)
def test_rows_within_a_document_may_lack_an_answer(
    tmp_path: pathlib.Path, document: str
) -> None:
    path = tmp_path / 'a.json'
    rows = [f'{{"question": "Why {i}?", "answer": "So {i}."}}' for i in range(3)]
    for place in (0, 3):
        made = [*rows[:place], '{"question": "Who?"}', *rows[place:]]
        path.write_text(document % ', '.join(made))
        pairs, report = reader.read([str(path)])
        assert [pair.answer for pair in pairs] == [f'So {i}.' for i in range(3)]
        assert len(report.unknown_lines) == 1


def test_of_two_columns_of_one_name_in_a_sheet_the_first_is_read() -> None:
    book = pytest.importorskip('openpyxl').Workbook()
    for row in (['Question', 'Answer', 'Answer'], ['Why?', 'So.', 'Or not.']):
        book.active.append(row)
    book.save('a.xlsx')
    pairs, _ = reader.read(['a.xlsx'])
    assert [pair.answer for pair in pairs] == ['So.']


@pytest.mark.parametrize('name', ['pairs', 'data', 'train'])
def test_a_list_of_pairs_that_are_lists_is_read_under_its_name(
    tmp_path: pathlib.Path, name: str
) -> None:
    path = tmp_path / 'a.json'
    rows = [['Why?', 'So.'], ['Who?', 'Tom.']]
    path.write_text(json.dumps({'version': 2, name: rows}))
    pairs, _ = reader.read([str(path)])
    assert [[pair.question, pair.answer] for pair in pairs] == rows
    path.write_text(json.dumps({'edges': rows}))
    with pytest.raises(errors.InputError):
        reader.read([str(path)])


def test_a_name_in_quotes_is_no_text_of_a_pair(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a.jsonl'
    path.write_text(json.dumps({'"question"': 'Why?', '"answer"': 'So.'}) * 1)
    with pytest.raises(errors.InputError, match='which of its fields'):
        reader.read([str(path)])


@pytest.mark.parametrize('name', ['items', 'messages', 'rows'])
@pytest.mark.parametrize('form', ['{"%s": %s}', '{"result": {"%s": %s}}', '%.0s%s'])
def test_messages_with_parents_in_a_document_are_no_one_chat(
    tmp_path: pathlib.Path, name: str, form: str
) -> None:
    told = [
        ('q0', None, 'prompter', 'Why?'),
        ('q1', None, 'prompter', 'Who?'),
        ('a1', 'q1', 'assistant', 'Tom.'),
        ('a0', 'q0', 'assistant', 'So.'),
    ]
    keys = ('message_id', 'parent_id', 'role', 'text')
    rows = [dict(zip(keys, each, strict=True)) for each in told]
    path = tmp_path / 'a.json'
    path.write_text(form % (name, json.dumps(rows)))
    pairs, _ = reader.read([str(path)])
    assert [(p.question, p.answer) for p in pairs] == [
        ('Why?', 'So.'),
        ('Who?', 'Tom.'),
    ]


def test_a_chat_whose_turns_are_a_tree_is_refused(tmp_path: pathlib.Path) -> None:
    turns = [
        {'id': 1, 'parent_id': None, 'role': 'user', 'content': 'Why?'},
        {'id': 2, 'parent_id': 1, 'role': 'assistant', 'content': 'So.'},
        {'id': 3, 'parent_id': 1, 'role': 'assistant', 'content': 'No.'},
    ]
    path = tmp_path / 'a.jsonl'
    path.write_text(json.dumps({'messages': turns}) + '\n')
    with pytest.raises(errors.InputError):
        reader.read([str(path)])
    path.write_text(json.dumps({'messages': turns[:2]}) + '\n')
    assert reader.read([str(path)])[0][0].answer == 'So.'


@pytest.mark.parametrize('name', ['a.txt', 'a.csv', 'a.dat'])
def test_a_table_of_one_column_of_chats_is_read_by_any_name(
    tmp_path: pathlib.Path, name: str
) -> None:
    path = tmp_path / name
    text = '\n\nHuman: Why {}?\n\nAssistant: So {}.'
    cells = [text.format(i, i) for i in range(3)]
    path.write_text('text\n' + ''.join(f'"{cell}"\n' for cell in cells))
    pairs, report = reader.read([str(path)])
    assert [pair.answer for pair in pairs] == [f'So {i}.' for i in range(3)]
    assert not report.unknown_lines


def table(name: str) -> bytes:
    """The rows as a file of a binary kind."""
    path = pathlib.Path(f'whole.{name}')
    if name == 'xlsx':
        book = pytest.importorskip('openpyxl').Workbook()
        for row in [[*ROWS[0]], *map(list, PAIRS)]:
            book.active.append(row)
        book.save(path)
    elif name == 'parquet':
        pyarrow.parquet.write_table(pa.table(COLUMNS), path)
    else:
        pyarrow.feather.write_feather(pa.table(COLUMNS), path, compression='zstd')
    return path.read_bytes()


WHOLE: dict[str, Callable[[], bytes]] = {
    'jsonl.gz': lambda: gzip.compress(LINES.encode() * 50),
    'jsonl.bz2': lambda: bz2.compress(LINES.encode() * 50),
    'jsonl.xz': lambda: lzma.compress(LINES.encode() * 50),
    'jsonl.zst': lambda: zstandard.compress(LINES.encode() * 50),
    'xlsx': lambda: table('xlsx'),
    'parquet': lambda: table('parquet'),
    'feather': lambda: table('feather'),
}


@pytest.mark.parametrize('kind', WHOLE)
def test_a_damaged_file_is_read_or_named_and_nothing_else(kind: str) -> None:
    chance = random.Random(kind)
    whole = WHOLE[kind]()
    refused = 0
    for number in range(60):
        damaged = bytearray(whole)
        if number % 3:
            for _ in range(number % 3):
                damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        else:
            del damaged[chance.randrange(1, len(damaged)) :]
        try:
            read(f'damaged{number}.{kind}', bytes(damaged))
        except errors.InputError as error:
            refused += 1
            assert f'damaged{number}.{kind}' in str(error)
    assert refused > 10


def test_a_first_row_of_many_megabytes_hides_no_other(tmp_path: pathlib.Path) -> None:
    long = {'question': 'Who sang?', 'answer': f'{"la " * 6_000_000}it was Tom.'}
    path = tmp_path / 'long.jsonl'
    path.write_text(json.dumps(long) + '\n' + LINES)
    pairs, _ = reader.read([str(path)])
    assert [pair.question for pair in pairs] == ['Who sang?', *(q for q, _ in PAIRS)]
