"""Corpus files: patterns, encodings, layouts, and the report on all of them."""

import json
import os
import pathlib
import signal

import pytest

from data_pipeline.pages import characters
from data_pipeline.reading import read_report, reader
from hax_jax import errors

CHAT = (
    'The ladder\nGuest11:05 a.m.\nQUESTION: Why?\navatar\nMarian Vale\n'
    'Advice Columnist\nANSWER: Because.\nPost has 0 replies and 3 Likes\n3\n'
)
RULE = '=' * 80
REDDIT = (
    f'{RULE}\n# Reddit Post 1\n# Score: 4 | Date: 2025-03-01\n'
    f'# URL: https://www.reddit.com/r/work/comments/ab1/x/\n{RULE}\n'
    'QUESTION: Who?\n\nANSWER: You.\n'
)
MERGED = 'QUESTION: How?\nANSWER: So.\n'


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def _write(name: str, text: str | bytes) -> pathlib.Path:
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _error(*patterns: str) -> str:
    with pytest.raises(errors.InputError) as raised:
        reader.read(patterns)
    return str(raised.value)


def test_files_of_every_layout_are_read_in_order() -> None:
    _write('b/chat.md', CHAT)
    _write('b/am.md', MERGED)
    _write('a.md', REDDIT)
    pairs, report = reader.read(['b/*.md', '**/*.md'])
    assert [(p.file, p.source, p.question, p.answer) for p in pairs] == [
        ('b/am.md', 'merged', 'How?', 'So.'),
        ('b/chat.md', 'chat', 'Why?', 'Because.'),
        ('a.md', 'reddit:work', 'Who?', 'You.'),
    ]
    assert report.files == {'b/am.md': 1, 'b/chat.md': 1, 'a.md': 1}
    assert report.counts['pairs'] == 3
    assert report.counts['pairs from chat'] == 1
    assert report.warnings == []


def test_the_words_of_all_kinds_are_all_the_words() -> None:
    texts = [CHAT, REDDIT, MERGED, 'Some words of nothing known.\n']
    for i, text in enumerate(texts):
        _write(f'{i}.md', text)
    _, report = reader.read(['*.md'], skip_unreadable=True)
    words = {k: v for k, v in report.counts.items() if k.startswith('words')}
    assert sum(words.values()) == sum(len(text.split()) for text in texts)
    assert words['words: in files of unknown layout'] == 5


def test_a_path_within_the_current_folder_is_relative() -> None:
    path = _write('a/chat.md', CHAT).resolve()
    pairs, _ = reader.read([str(path)])
    assert pairs[0].file == 'a/chat.md'


def test_a_path_elsewhere_stays_as_it_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = _write('a/chat.md', CHAT).resolve()
    _write('b/x.md', CHAT)
    monkeypatch.chdir('b')
    assert reader.read([str(path)])[0][0].file == path.as_posix()
    assert reader.read(['../a/*.md'])[0][0].file == '../a/chat.md'


def test_a_name_with_signs_of_patterns_is_a_name_first() -> None:
    _write('chat [1].md', CHAT)
    assert reader.read(['chat [1].md'])[0][0].file == 'chat [1].md'


def test_an_empty_file_among_others_is_a_note() -> None:
    _write('a.md', b'')
    _write('b.md', ' \r\n\n')
    _write('c.md', CHAT)
    pairs, report = reader.read(['*.md'])
    assert len(pairs) == 1
    assert report.counts['files empty'] == 2
    assert report.warnings == ['a.md is empty.', 'b.md is empty.']
    assert report.files == {'a.md': 0, 'b.md': 0, 'c.md': 1}


def test_a_file_without_pairs_among_others_is_an_error_unless_skipped() -> None:
    _write('a.md', 'Dear diary.\n')
    _write('b.md', 'QUESTION: Anyone?\n')
    _write('c.md', CHAT)
    lines = [
        "a.md begins 'Dear diary.', which is of no known layout.",
        'b.md has no answered question.',
    ]
    found = _error('*.md').split('\n')
    assert found[:2] == [
        lines[0],
        lines[1] + ' First: b.md:1:  (merged questions unanswered)',
    ]
    assert found[2].endswith('--skip_unreadable leaves such files out.')
    pairs, report = reader.read(['*.md'], skip_unreadable=True)
    assert report.warnings == lines
    assert len(pairs) == 1


def test_json_that_was_cut_in_its_first_row_is_named_so() -> None:
    for cut in ('{"question": "Why?", "ans', '[\n {"question": "Why?", "answer": "S\n'):
        _write('a.jsonl', cut)
        assert 'JSON that is damaged or cut short: ' in _error('*.jsonl')
    _write('a.jsonl', '["Why?"]\n["Who?"]\n')
    assert 'of no known layout' in _error('*.jsonl')


def test_a_file_whose_name_is_no_text_is_named() -> None:
    try:
        _write(os.fsdecode(b'odd/b\xff.md'), CHAT)
    except OSError:
        pytest.skip('this file system takes names of UTF-8 alone')
    assert _error('odd/*.md') == (
        "'odd/b\\udcff.md' is not UTF-8 text; rename the file, or write the text as "
        'UTF-8.'
    )


def test_bad_input_is_named() -> None:
    _write('a/x.md', CHAT)
    _write('empty.md', b'')
    _write('binary.md', b'QUESTION: a\0b')
    _write('neither.md', b'QUESTION: caf\x8f')
    assert _error() == "no input is given; give files, such as --input='chats/*.md'."
    assert _error('none*.md', 'gone.md', 'a') == (
        "'none*.md' matches no file; check the path.\n"
        "'gone.md' does not exist; check the path.\n"
        "'a' is a folder; give 'a/*.md'."
    )
    assert _error('https://a.org/x.md') == (
        "'https://a.org/x.md' is an address, and files are read from a disk; download "
        'it, and give the path of the file.'
    )
    pathlib.Path('nothing').mkdir()
    _write('deep/er/x.md', CHAT)
    assert _error('nothing', 'deep') == (
        "'nothing' is a folder; it is empty: give a folder with files, as a pattern.\n"
        "'deep' is a folder; give 'deep/**/*.*', the files of its 1 folder."
    )
    _write('b/x.jsonl', '{}')
    _write('c/hax_qa/1.0.0/features.json', '{}')
    for name in ('x.csv', 'y.csv', 'x.md'):
        _write(f'several/{name}', '')
    assert _error('b', 'several', 'c') == (
        "'b' is a folder; give 'b/*.jsonl'.\n"
        "'several' is a folder; give some of its files (2 *.csv, 1 *.md), or "
        "'several/*' with --skip_unreadable, which leaves out what gives no pair.\n"
        "'c' is a folder; for the dataset in it give 'tfds:c'."
    )
    assert _error('empty.md') == (
        f'corpus without pairs: no answered question in empty.md. '
        f'{read_report.ACCEPTED}\n  empty.md is empty.'
    )
    assert _error('binary.md') == (
        'binary.md is a binary file (a zero byte at 11); give text files.\n'
        '--skip_unreadable leaves such files out.'
    )
    assert _error('neither.md') == (
        'neither.md is neither UTF-8 (byte 13, 0x8f) nor cp1252 (byte 13, 0x8f); '
        'save it as UTF-8.\n--skip_unreadable leaves such files out.'
    )


def test_rows_that_all_are_marked_are_no_unknown_layout() -> None:
    rows = [f'Why is it number {i}?,Because of the rain {i}.,true' for i in range(7)]
    _write('marked.csv', '\n'.join(['question,answer,flagged', *rows]))
    first, *lines = _error('marked.csv').split('\n')
    assert first.startswith(
        'corpus without pairs: all answers in marked.csv are marked by a field of '
        'their rows: 7 csv rows marked as not to be learned. If they are to be'
    )
    assert len(lines) == 6 and lines[-1] == '  … and 2 more such'


def test_a_file_with_a_remedy_of_its_own_shows_no_layouts() -> None:
    row = {'messages': [{'role': 'user', 'content': '<image>\nWhat is it?'},
                        {'role': 'assistant', 'content': 'A cat.'}]}  # fmt: skip
    _write('table.xlsx', 'This is\nno table.')
    _write('pictures.jsonl', 2 * (json.dumps(row) + '\n'))
    _write('chat.md', CHAT)
    for others in ([], ['chat.md']):
        assert _error('table.xlsx', 'pictures.jsonl', *others) == (
            "table.xlsx is no .xlsx file: it begins 'This is'. Save it again as .xlsx, "
            'or its rows as CSV.\n'
            'pictures.jsonl has no answered question: each row needs a picture or a '
            'sound, which this project does not read; give rows of text.\n'
            '--skip_unreadable leaves such files out.'
        )
    _write('other.md', 'Nothing here.')
    assert 'Accepted are texts' in _error('table.xlsx', 'other.md', 'chat.md')
    pairs, report = reader.read(['table.xlsx', 'chat.md'], skip_unreadable=True)
    assert pairs
    assert report.counts['files that are not what the name says'] == 1
    assert ', 1 that is not what the name says' in report.summary()
    _write('late.txt', f'{"a " * 2**16}\0')
    pairs, report = reader.read(['late.txt', 'chat.md'], skip_unreadable=True)
    assert pairs
    assert report.counts['files unreadable'] == 1
    assert report.warnings == [
        f'late.txt is a binary file (a zero byte at {2**17}); give text files.'
    ]


@pytest.mark.parametrize(
    ('given', 'text', 'shown'),
    [
        ('chat:a.jsonl', '{"question": "Why?", "answer": "So."}', 'pairs'),
        ('csv:a.jsonl', '{"question": "Why?", "answer": "So."}', 'pairs'),
        ('letters:a.csv', 'question,answer\nWhy?,So.\n', 'csv'),
        ('threads:a.md', CHAT, 'chat'),
    ],
)
def test_a_layout_that_a_file_does_not_have_is_named(
    given: str, text: str, shown: str
) -> None:
    layout, _, name = given.partition(':')
    _write(name, text)
    _write('other.md', CHAT)
    for others in ([], ['other.md']):
        said, last = _error(given, *others).split('\n')
        assert said.partition(' First: ')[0] == (
            f'{name} is given as {layout}: and looks like {shown}:, so no question of '
            f'it was read; give {name} without {layout}: before it.'
        )
        assert last == '--skip_unreadable leaves such files out.'
    assert len(reader.read([name])[0]) == 1  # the remedy works


def test_a_byte_order_mark_is_no_text() -> None:
    _write('a.md', b'\xef\xbb\xbf' + MERGED.encode())
    pairs, report = reader.read(['a.md'])
    assert pairs[0].question == 'How?'
    assert report.warnings == []


def test_cp1252_is_read_with_a_warning() -> None:
    _write('a.md', b'QUESTION: How\x92s that?\nANSWER: So \x97 so.\n')
    pairs, report = reader.read(['a.md'])
    assert (pairs[0].question, pairs[0].answer) == ('How’s that?', 'So — so.')
    assert report.warnings == [
        'a.md is not UTF-8 (byte 13, 0x92); it was read as cp1252.'
    ]


def test_unknown_lines_carry_file_and_line() -> None:
    _write('a.md', 'Hello there.\n' + CHAT)
    _, report = reader.read(['a.md'])
    assert report.unknown_lines == ['a.md:1: Hello there. (left out)']
    assert report.counts['unknown lines'] == 1
    assert '  lines: 1 unknown line\n' in report.summary()
    assert report.summary().startswith('read 1 file, 1 pair\n')


def test_counters_of_a_kind_are_together_and_the_largest_comes_first() -> None:
    counts = {
        'chat click for more lines': 1,
        'chat posts': 9,
        'files': 2,
        'files empty': 1,
        'files of layout chat': 1,
        'pairs': 8,
        'pairs from chat': 8,
        'pairs flagged link card': 1,
        'unknown lines': 0,
        'words: answer': 70,
        'words: question': 80,
    }
    assert read_report.kinds(counts) == {
        'chat': [('posts', 9), ('click for more lines', 1)],
        'files': [('empty', 1), ('of layout chat', 1)],
        'pairs by source': [('chat', 8)],
        'pairs by flag': [('link card', 1)],
        'lines': [('unknown lines', 0)],
        'words': [('question', 80), ('answer', 70)],
    }
    rows = [(name, 9) for name in 'abcdef']
    assert read_report.listed(rows) == '9 a, 9 b, 9 c, 9 d and 2 more'


def test_warnings_of_one_kind_are_one_line() -> None:
    lines = [
        'a b.md is empty.',
        'c.md is not UTF-8 (byte 13, 0x92).',
        'a: b.md is empty.',
        'd.md is not UTF-8 (byte 4, 0x92).',
        'd.md has no pairs.',
    ]
    assert read_report.folded(lines, {'a b.md', 'a: b.md', 'c.md', 'd.md'}) == [
        'a b.md is empty. (1 more like this)',
        'c.md is not UTF-8 (byte 13, 0x92). (1 more like this)',
        'd.md has no pairs.',
    ]


def test_cleaning_changes_characters_and_no_words() -> None:
    assert characters.clean('Fish &amp;amp; chips&#x200B;\r\n\r\n\r\nfor\xa0two ') == (
        'Fish &amp; chips\n\nfor two'
    )
    code = '`&lt;`, `a &amp; b` &amp; `&amp;`'  # an entity that is all of a code span
    assert characters.clean(code) == '`&lt;`, `a & b` & `&amp;`'
    assert characters.clean('see ?a=1&copy=2 &copy; AT&T') == 'see ?a=1&copy=2 © AT&T'
    assert characters.clean('a\ud800b\u200bc\x07') == 'a\ufffdbc'
    assert characters.clean('👩\u200d🔧 o\u200dk') == '👩\u200d🔧 ok'
    assert characters.clean('one\u2028two\x0cthree\rfour') == 'one\ntwo\nthree\nfour'


def test_cells_that_a_spreadsheet_must_not_change_are_read_as_it_shows_them() -> None:
    rows = (
        '"=""id""",question,answer\n'
        '="007","=""Is it """"odd""""?""","=""No, it is not."""\n'
        '="008",Why?,\'- He is tired.\n'
        "9,'Twas he?,=A1 is a cell.\n"
        '10,Who?,"=""Say """"no"""" or ""no"" now."""\n'
        '11,What?,"=""a""&""b"""\n'
    )
    _write('a.csv', rows)
    pairs, report = reader.read(['a.csv'])
    assert [(each.question, each.answer) for each in pairs] == [
        ('Is it "odd"?', 'No, it is not.'),
        ('Why?', '- He is tired.'),
        ("'Twas he?", '=A1 is a cell.'),
        ('Who?', 'Say "no" or "no" now.'),
        ('What?', '="a"&"b"'),
    ]
    assert report.counts['fields that are protected (="…"), read as shown'] == 6


@pytest.mark.parametrize(
    'page',
    [
        '<!DOCTYPE html>\n<html><title>FAQ</title><body>\n{}</body></html>',
        '<!-- made by hand -->\n<div class="a">{}</div>\n',
    ],
)
def test_a_page_of_html_is_read_as_its_text(page: str) -> None:
    asked = '<h3>Question: Is it rude &amp; cold?</h3>\n<p>Answer: No, <b>go</b>.</p>\n'
    letter = (
        '<p><strong>DEAR ANN:</strong> He sings. — TIRED IN TEXAS</p>\n'
        '<p><strong>DEAR TIRED:</strong> Hum.</p><p>Or dance.</p>\n'
    )
    _write('a.html', page.format(asked))
    _write('b.html', page.format(letter))
    pairs, report = reader.read(['*.html'])
    assert [(each.question, each.answer) for each in pairs] == [
        ('Is it rude & cold?', 'No, go.'),
        ('He sings. — TIRED IN TEXAS', 'Hum.\n\nOr dance.'),
    ]
    assert report.counts['files of HTML, whose lines are those of its text'] == 2


def test_comments_of_a_page_are_no_text_and_those_in_code_stay() -> None:
    pair = '## Is it {}?\n\nYes, it is.\n\n'
    code = '```\n<!-- a b -->\n```\n\n'
    code += '<!-- not alone --> But this is said.\n\n'
    text = pair.format('one') + code + pair.format('two') + pair.format('three')
    hidden = f'<!--\n{pair.format("none")}-->\n\n'
    pathlib.Path('a.md').write_text(hidden + text + '<!-- end -->\n')
    pairs, report = reader.read(['a.md'])
    assert [pair.question for pair in pairs] == [
        f'Is it {n}?' for n in ('one', 'two', 'three')
    ]
    assert pairs[0].answer == 'Yes, it is.\n\n' + code.strip()
    assert 'But this is said.' in pairs[0].answer
    assert pairs[0].line == 8
    assert report.counts['words: in comments'] == 12


@pytest.mark.parametrize(
    ('markup', 'text'),
    [
        ('LaTeX', '% FAQ\n\\section{Visits}\n\\subsection*{Why late?}\nHe forgot.\n'),
        ('DocBook', '<?xml version="1.0"?>\n<!DOCTYPE book>\n<book><para/></book>\n'),
        ('troff', '.\\" FAQ\n.\n.TH FAQ 7\n.SH Why so late?\nHe forgot.\n'),
        (
            'troff',
            '.\\" FAQ\n.TH FAQ 7\n.PP\nQ: Why \\fBlate\\fR?\n.PP\nA: He slept.\n',
        ),
        ('POD', '=head1 FAQ\n\n=head2 Why so late?\n\nHe forgot.\n'),
        ('Texinfo', '\\input texinfo\n@chapter Visits\n'),
        ('Texinfo', '@c a part\n@chapter Visits\n\n@section Why late?\nHe slept.\n'),
    ],
)
def test_markup_that_is_not_read_is_named(
    tmp_path: pathlib.Path, markup: str, text: str
) -> None:
    (tmp_path / 'faq.txt').write_text(text)
    with pytest.raises(errors.InputError, match=f'It is {markup}; convert it'):
        reader.read([str(tmp_path / 'faq.txt')])


def test_tags_that_hide_the_labels_of_a_text_are_left_out(
    tmp_path: pathlib.Path,
) -> None:
    rows = [('Who stays?', 'Tom does.'), ('Who sings?', 'Ann does.')]
    pairs = [
        f'<span style="color:red">Q{i}. {q}</span><br>\nA{i}. {a}<sup>2</sup>\n\n'
        for i, (q, a) in enumerate(rows, 1)
    ]
    (tmp_path / 'a.md').write_text(f'---\ntitle: Visits\n---\n\n{"".join(pairs)}')
    made, report = reader.read([str(tmp_path / 'a.md')])
    assert [(each.question, each.answer) for each in made] == [
        (question, f'{answer}²') for question, answer in rows
    ]
    assert report.counts['files whose tags of HTML hid their layout'] == 1


def test_blank_lines_above_a_text_do_not_stop_the_looks_at_its_opening() -> None:
    _write('a.md', '\n' * 2**15 + MERGED)

    def gives_up(*_: object) -> None:
        raise AssertionError('60 s of computing')  # under 1 s; before, over 60

    before = signal.signal(signal.SIGVTALRM, gives_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, 60)
    try:
        pairs, _ = reader.read(['a.md'])
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert [each.answer for each in pairs] == ['So.']


@pytest.mark.parametrize('end', ['\u2028', '\u0085', '\u2029', '\u2028\n'])
def test_lines_may_end_in_other_breaks_than_newlines(end: str) -> None:
    text = ''.join(f'Q: Why {i}?\nA: So {i}.\n\n' for i in range(3))
    path = _write('a.txt', text.replace('\n', end))
    pairs, _ = reader.read([str(path)])
    assert [(p.question, p.answer) for p in pairs] == [
        (f'Why {i}?', f'So {i}.') for i in range(3)
    ]


def test_another_break_within_a_line_is_the_texts_own() -> None:
    path = _write('a.txt', 'Q: Why?\u2028A: I ask.\nA: So.\n')
    pairs, _ = reader.read([str(path)])
    assert [(p.question, p.answer) for p in pairs] == [('Why?\nA: I ask.', 'So.')]
