"""Rows with fields of any names, in JSON Lines and CSV, to pairs."""

import csv
import dataclasses
import io
import json
import pathlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.pages import page
from data_pipeline.reading import inputs, read_report, reader
from data_pipeline.rows import batches, csv_records, csv_rows, pair_rows, row_values
from hax_jax import errors
from hax_jax.data import records


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def read(
    name: str, text: str | bytes, *fields: str, prefix: str = ''
) -> tuple[list[records.QaPair], read_report.ReadReport]:
    pathlib.Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return reader.read([prefix + name], fields=fields)


def lines(*rows: Any) -> str:
    return ''.join(json.dumps(row) + '\n' for row in rows)


def error(name: str, text: str | bytes, *fields: str, prefix: str = '') -> str:
    with pytest.raises(errors.InputError) as raised:
        read(name, text, *fields, prefix=prefix)
    return str(raised.value)


FULL = {
    'title': 'Who?',
    'text': 'I ask.',
    'comment': 'You &amp; me.',
    'n': 17,
    'ups': '12.0',
    'tag': 'Work\nlife',
    'when': 1_740_787_200.5,
    'thread': 't9',
    'w': 2.5,
}
FULL_FIELDS = (
    'question=title+text, answer=comment, id=n, score=ups, topic=tag, time=when, '
    'group=thread, weight=w, source="my+own"'
)


def test_every_field_can_be_mapped() -> None:
    pairs, report = read('a.jsonl', lines(FULL), FULL_FIELDS)
    assert pairs == [
        records.QaPair(
            id='pairs:a:17',
            group='t9',
            source='my+own',
            file='a.jsonl',
            line=1,
            topic='Work life',
            time='2025-03-01',
            question='Who?\n\nI ask.',
            answer='You & me.',
            score=12,
            weight=2.5,
        )
    ]
    assert report.counts['characters: entities unescaped'] == 1
    assert report.counts['files of layout pairs'] == 1


def test_without_an_id_it_is_the_hash_of_the_texts() -> None:
    (pair,), _ = read('a.jsonl', lines({'prompt': 'Q', 'response': 'A'}))
    expected = f'pairs:a:{page.content_hash("Q", "A")}'
    group = f'question:{page.content_hash("q")}'  # of a short question
    assert (pair.id, pair.group, pair.source) == (expected, group, 'pairs')
    asked = 'Who sings here at night, and who by day?'
    (pair,), _ = read('a.jsonl', lines({'prompt': asked, 'response': 'A'}))
    assert pair.group == pair.id


def test_pairs_of_this_project_keep_their_ids_and_flags() -> None:
    made = records.QaPair(
        'reddit:x',
        'reddit:x',
        'reddit:w',
        'f.md',
        9,
        't',
        '2025',
        'Q',
        'A',
        3,
        ('u',),
        2.0,
    )
    (pair,), _ = read('a.jsonl', lines(dataclasses.asdict(made)))
    assert pair == dataclasses.replace(made, file='a.jsonl', line=1)


def test_what_was_chosen_is_said_once_for_each_choice() -> None:
    for name in ('a', 'b'):
        pathlib.Path(f'{name}.jsonl').write_text(lines({'prompt': 'Q', 'output': 'A'}))
    pathlib.Path('c.csv').write_text('question,answer\nQ,A\n')
    assert inputs.describe(inputs.find(['*.jsonl', '*.csv'])) == [
        'fields of a.jsonl and 1 more: question=prompt, answer=output '
        '(--fields changes them)',
        'fields of c.csv: question=question, answer=answer (--fields changes them)',
    ]


def test_inputs_that_fit_no_names_are_one_error() -> None:
    pathlib.Path('b.csv').write_text('left,right\n1,2\n')
    pathlib.Path('a.jsonl').write_text(lines({'x': 1}))
    with pytest.raises(errors.InputError) as raised:
        inputs.find(['a.jsonl', 'b.csv'])
    assert str(raised.value).startswith(
        "a.jsonl: which of its fields 'x' are question and answer?\n"
        "b.csv: which of its fields 'left', 'right' are question and answer? If its "
        'first line is a pair and no header, put a line above it that names the '
        'columns: question and answer.\n'
        'Accepted are texts with the labels QUESTION: and ANSWER:, Q: and A:, '
    )
    assert str(raised.value).endswith(
        'For example: {"question": "Why?", "answer": "Because."}. Other names of '
        "fields are given as --fields='question=title+selftext, answer=comment'; "
        '--skip_unreadable leaves such files out.'
    )


def test_fields_for_inputs_that_are_not_there_are_an_error() -> None:
    fields = 'b/*.csv: question=x, answer=y'
    assert error('a.jsonl', lines({'prompt': '', 'answer': ''}), fields) == (
        "--fields='b/*.csv: question=x, answer=y': no input has a name like "
        "'b/*.csv'; the inputs are a.jsonl."
    )
    assert error('a.md', 'QUESTION: a\nANSWER: b\n', 'question=x, answer=y') == (
        "--fields='question=x, answer=y' names columns, and a.md, a page or threads, "
        'has none to name; leave --fields out.'
    )


CHAT = {'messages': [{'role': r, 'content': f'I {r}.'} for r in ('user', 'assistant')]}
HH = {
    'chosen': '\n\nHuman: Why?\n\nAssistant: So.',
    'rejected': '\n\nHuman: Why?\n\nAssistant: No.',
}


@pytest.mark.parametrize('row', [CHAT, HH])
def test_fields_that_a_file_of_chats_has_not_are_an_error(row: dict[str, Any]) -> None:
    has = ', '.join(map(repr, row))
    first, *_ = error('a.jsonl', lines(row), 'question=foo, answer=bar').split('\n')
    assert first == (
        f"a.jsonl has no 'foo', 'bar'; it has {has}. Its rows are chats, which need no "
        '--fields: leave it out, or name the files that it is for: '
        "--fields='a/*.csv: question=…'."
    )


def test_one_text_as_question_and_answer_is_an_error() -> None:
    rows = lines({'a': 'Why?', 'b': 'So.'})
    first, *_ = error('a.jsonl', rows, 'question=a, answer=a').split('\n')
    assert first == (
        'a.jsonl: --fields takes a as question and as answer, so each question would '
        "answer itself; it has 'a', 'b'."
    )
    assert 'takes b+a as' in error('a.jsonl', rows, 'question=b+a, answer=b+a')
    pairs, _ = read('a.jsonl', rows, 'question=a+b, answer=b, id=b')
    assert [(pair.question, pair.answer) for pair in pairs] == [('Why?\n\nSo.', 'So.')]


def test_fields_that_are_the_turns_of_a_chat_are_said_to_have_no_effect() -> None:
    pathlib.Path('a.jsonl').write_text(lines(CHAT))
    found = inputs.find(['a.jsonl'], fields=['question=messages, answer=messages'])
    assert inputs.describe(found) == [
        'note: --fields has no effect on the chats in a.jsonl; it is for rows of texts.'
    ]


def test_rows_that_make_no_pair_are_named_and_their_words_counted() -> None:
    rows = [
        {'question': 'Why is it?', 'answer': 'So be it.', 'more': ['x y', {'z': 'u'}]},
        {'question': 'Just me', 'answer': None},
        {'question': '', 'answer': 'Only an answer'},
        {'question': 'No answer'},
        {'question': ['a', 'list'], 'answer': 'A'},
        ['no', 'object'],
    ]
    text = lines(*rows) + 'no json here\n'
    pairs, report = read('a.jsonl', text)
    assert len(pairs) == 1
    assert report.dropped == [
        'a.jsonl:2: Just me (pairs rows without answer)',
        'a.jsonl:3: Only an answer (pairs rows without question)',
    ]
    assert report.unknown_lines == [
        'a.jsonl:4: {"question": "No answer"} (left out: it has no \'answer\')',
        'a.jsonl:5: {"question": ["a", "list"], "answer": "A"} (left out: '
        "'question' is a list, not a text)",
        'a.jsonl:6: ["no", "object"] (left out: its JSON is not an object)',
        'a.jsonl:7: no json here (left out: it is not JSON at column 1)',
    ]
    words = {k[7:]: n for k, n in report.counts.items() if k.startswith('words: ')}
    raw = sum(len(line.split()) for line in text.splitlines()[3:])
    assert words == {
        'question': 3,
        'answer': 3,
        'in fields not read': 3,
        'question without pair': 2,
        'answer without pair': 3,
        'in lines left out': raw,
    }


def test_numbers_that_are_none_are_counted() -> None:
    row = {'question': 'Q', 'answer': 'A'}
    pairs, report = read(
        'a.jsonl',
        lines(
            {**row, 'score': 'many', 'weight': -1},
            {**row, 'score': 1e400, 'weight': 'nan'},
            {**row, 'score': '-3.6', 'weight': '1e-3'},
            {**row, 'score': None, 'weight': ''},
        ),
    )
    assert [(pair.score, pair.weight) for pair in pairs] == [
        (0, 1.0),
        (0, 1.0),
        (-4, 0.001),
        (0, 1.0),
    ]
    assert report.counts['pairs scores that are no number'] == 2
    assert report.counts['pairs weights that are no number above 0'] == 2


def test_rows_that_are_not_to_be_learned_make_no_pairs_and_are_counted() -> None:
    row = {'prompt': 'Why?', 'completion': 'So it is.'}
    pairs, report = read(
        'a.jsonl',
        lines(
            {**row, 'label': True},
            {**row, 'label': False},
            {**row, 'label': 'False'},
            {**row, 'label': None},
            {**row, 'label': True, 'weight': 0},
        ),
    )
    assert [pair.line for pair in pairs] == [1, 4]
    assert report.counts['pairs rows marked as not to be learned'] == 2
    assert report.counts['pairs rows of weight 0'] == 1
    assert report.counts['words: answer'] == 6
    assert report.counts['words: answer without pair'] == 9
    line = 'a.jsonl:2: Why? (pairs rows marked as not to be learned)'
    assert report.dropped[0] == line


def test_a_label_of_classes_says_nothing_about_learning() -> None:
    row = {'question': 'Why?', 'answer': 'So.'}
    classes = [{**row, 'label': number} for number in range(4)]
    assert len(read('a.jsonl', lines(*classes))[0]) == 4
    given = 'question=question, answer=answer, learn=is_good'
    good = lines({**row, 'is_good': 'no'}, {**row, 'is_good': 'yes'})
    assert [pair.line for pair in read('b.jsonl', good, given)[0]] == [2]


@pytest.mark.parametrize(
    ('name', 'yes', 'no'),
    [
        ('is_correct', True, False),
        ('correct', 'yes', 'no'),
        ('is_correct', 'correct', 'wrong'),
        ('Thumbs', 'up', 'down'),
        ('rating', 'thumbs_up', 'thumbs_down'),
        ('rating', 1, -1),
        ('thumbs', '1', '-1'),
        ('preferred', 'yes', 'no'),
        ('label', 'good', 'bad'),
        ('label', 1, -1),
        ('label', 'desirable', 'undesirable'),
        ('is_accepted', True, False),
        ('accepted', '1', '0'),
        ('isAccepted', 'yes', 'no'),
        ('reward', 1.0, 0.0),
        ('feedback', 'positive', 'negative'),
        ('verdict', 'accept', 'reject'),
        ('is_bad', False, True),
        ('deleted', False, True),
        ('Exclude', '0', '1'),
        ('is_hidden', 'no', 'yes'),
        ('do_not_train', 0, 1),
        ('keep', 'Y', 'N'),
        ('is_valid', 'true', 'false'),
    ],
)
def test_a_verdict_on_an_answer_says_whether_it_is_learned(
    name: str, yes: Any, no: Any
) -> None:
    rows = [
        {'question': 'Who?', 'answer': 'You.', name: yes},
        {'question': 'Me?', 'answer': 'No.', name: no},
    ]
    pairs, report = read('a.jsonl', lines(*rows))
    assert [pair.answer for pair in pairs] == ['You.']
    assert report.counts['pairs rows marked as not to be learned'] == 1
    chats = [
        {
            'messages': [
                {'role': 'user', 'content': row['question']},
                {'role': 'assistant', 'content': row['answer']},
            ],
            name.lower(): row[name],
        }
        for row in rows
    ]
    assert [pair.answer for pair in read('b.jsonl', lines(*chats))[0]] == ['You.']


def test_a_text_that_no_name_puts_in_the_pair_is_counted() -> None:
    row = {
        'question': 'Why?',
        'answer': 'So.',
        'name': 'Tom',
        'anecdote': 'He sings. ' * 4,
    }
    _, report = read('a.jsonl', lines(row, {**row, 'anecdote': ''}, row))
    (counted,) = (
        name for name in report.counts if 'not read' in name and 'rows' in name
    )
    assert counted == "rows with a text in 'anecdote', which was not read"
    assert report.counts[counted] == 2


def test_a_tools_answer_to_a_row_is_a_verdict() -> None:
    row = {'prompt': 'Why?', 'response': 'So.'}
    given = lines({**row, 'answer': 'reject'}, {**row, 'answer': 'accept'})
    pairs, report = read('a.jsonl', given)
    assert [(pair.line, pair.answer) for pair in pairs] == [(2, 'So.')]
    assert report.counts['pairs rows marked as not to be learned'] == 1


@pytest.mark.parametrize('nothing', ['NaN', 'null', 'None', 'N/A', '<noinput>'])
def test_what_programs_write_for_no_question_is_none(nothing: str) -> None:
    rows = [
        {'instruction': 'Why?', 'input': nothing, 'output': 'So.'},
        {'instruction': nothing, 'input': '', 'output': 'So.'},
    ]
    pairs, report = read('a.jsonl', lines(*rows))
    assert [pair.question for pair in pairs] == ['Why?']
    assert report.counts['pairs rows without question'] == 1


def test_one_verdict_of_several_is_enough() -> None:
    row = {'question': 'Who?', 'answer': 'You.'}
    marks = [
        {'is_correct': True, 'rating': 'bad'},
        {'thumbs': 'down'},
        {'rating': 'good'},
    ]
    pairs, report = read('a.jsonl', lines(*(row | mark for mark in marks)))
    assert [pair.line for pair in pairs] == [3]
    assert report.counts['pairs rows marked as not to be learned'] == 2


@pytest.mark.parametrize(
    ('name', 'values'),
    [
        ('rating', (0, 5)),
        ('thumbs_up', (0, 1)),
        ('feedback', ('bad', 'great')),
        ('label', (-1, 0, 1)),
        ('label', ('positive', 'negative')),
        ('reward', (0.1, 0.9)),
        ('is_correct', ('no', 3)),
    ],
)
def test_counts_and_grades_say_nothing_about_learning(
    name: str, values: tuple[Any, Any]
) -> None:
    rows = [{'question': 'Who?', 'answer': 'You.', name: each} for each in values]
    pairs, report = read('a.jsonl', lines(*rows))
    assert len(pairs) == len(values)
    counted = f'rows with {name!r}, of which no verdict was read'
    assert report.counts[counted] == len(values)


def test_a_class_of_a_chat_is_counted_too() -> None:
    turns = [{'role': r, 'content': 'Who?'} for r in ('user', 'assistant')]
    pairs, report = read('a.jsonl', lines({'messages': turns, 'label': 'anger'}))
    assert len(pairs) == 1
    assert report.counts["rows with 'label', of which no verdict was read"] == 1


def test_words_among_verdicts_are_counted_and_the_others_count() -> None:
    row = {'question': 'Who?', 'answer': 'You.'}
    given = [{**row, 'is_correct': each} for each in ('yes', 'no', 'maybe', '')]
    pairs, report = read('a.jsonl', lines(*given))
    assert [pair.line for pair in pairs] == [1, 3, 4]
    assert report.counts["rows with 'is_correct', of which no verdict was read"] == 1


def test_beside_a_score_accepted_says_nothing_against_other_answers() -> None:
    row = {'question': 'Who?', 'answer': 'You.', 'score': 3}
    given = [{**row, 'is_accepted': each} for each in (True, False)]
    pairs, report = read('a.jsonl', lines(*given))
    assert len(pairs) == 2
    assert report.counts["rows with 'is_accepted', of which no verdict was read"] == 2


def test_what_stands_beside_a_question_belongs_to_it() -> None:
    dolly = {'instruction': 'Is it late?', 'context': 'It is nine.', 'response': 'No.'}
    csv = 'Question,Background,Answer\nWhy?,A long story.,So.\nWhy?,,So.\n'
    pairs, _ = read('a.jsonl', lines(dolly, {**dolly, 'context': ''}))
    assert [pair.question for pair in pairs] == [
        'Is it late?\n\nIt is nine.',
        'Is it late?',
    ]
    pairs, _ = read('a.csv', csv)
    assert [pair.question for pair in pairs] == ['Why?\n\nA long story.', 'Why?']
    listed = {**dolly, 'context': ['a', 'b']}
    assert read('b.jsonl', lines(listed))[0][0].question == 'Is it late?'


def test_half_a_surrogate_is_replaced_and_counted() -> None:
    row = (
        '{"question": "a\\ud800b", "answer": "A", '
        '"topic": "\\udfff", "id": "\\ud83d"}\n'
    )
    (pair,), report = read('a.jsonl', row)
    assert (pair.question, pair.topic, pair.id) == (
        'a\ufffdb',
        '\ufffd',
        'pairs:a:\ufffd',
    )
    assert report.counts['characters: lone surrogates replaced'] == 1
    records.sha256(dataclasses.asdict(pair))


def test_conversations_that_this_project_wrote_are_read_as_they_were() -> None:
    made = records.QaPair('p', 'g', 'chat', 'f.md', 3, '', '', 'Why?', 'No.')
    turns = [('Why?', 'No.', 0.0), ('And?', 'So.', 0.5), ('Who?', 'Ann.', 1.0)]
    made = made.with_exchanges([records.Exchange(*turn) for turn in turns])
    row = json.loads(json.dumps(records.as_row(made)))
    pairs, report = read(
        'a.jsonl',
        lines(
            row,
            row | {'more': ['And?']},
            row | {'more': 'And?'},
            row | {'answer_weights': [1.0, -1, 1.0]},
            row | {'answer_weights': [1.0]},
            row | {'answer_weights': [1.0, 1.0, 0]},
            row | {'answer_weights': [0, 0, 0]},
        ),
    )
    names = {'file': 'a.jsonl', 'line': 1}
    assert pairs[0] == dataclasses.replace(made, **names)
    ended = [dataclasses.astuple(turn) for turn in pairs[1].exchanges]
    assert ended == [('Why?', 'No.', 1.0), ('And?', 'So.', 1.0)]
    assert len(pairs) == 2 and len(report.unknown_lines) == 4
    assert report.counts['pairs rows marked as not to be learned'] == 1


def test_lines_of_another_encoding_are_named() -> None:
    good = lines({'prompt': 'Q', 'response': 'A'}).encode()
    bad = b'{"prompt": "caf\xe9", "response": "\x93A\x94"}\n'
    for name, prefix in (('a.jsonl', b''), ('b.jsonl', b'\xef\xbb\xbf')):
        pairs, report = read(name, prefix + good + bad)
        assert [(p.question, p.answer) for p in pairs] == [('Q', 'A'), ('café', '“A”')]
        assert report.warnings == [
            f'{name}:2 is not UTF-8 (byte 15, 0xe9); it was read as cp1252.'
        ]


def test_csv_has_quoted_newlines_and_a_byte_order_mark() -> None:
    text = (
        '\ufeffid,Question,Answer\r\n'
        '1,"Who, then?\r\n\r\n""You""?",A\r\n'
        '\r\n'
        '2,Why,"B\n"\r\n'
    )
    pairs, report = read('a.csv', text)
    assert [(p.id, p.line, p.question, p.answer) for p in pairs] == [
        ('csv:a:1', 2, 'Who, then?\n\n"You"?', 'A'),
        ('csv:a:2', 6, 'Why', 'B'),
    ]
    assert report.unknown_lines == report.warnings == []
    assert pairs[0].source == 'csv'


def test_a_tab_parts_sentences_that_have_more_commas() -> None:
    """Each line of a table without a header is a question, a tab and its answer."""
    lines = [
        ('May I, as a guest, leave at nine, or ten?', 'Yes, thank the host, and go.'),
        ('Who, of us all, pays for the "cake"?', 'You, or your friend, do.'),
    ]
    text = ''.join('\t'.join(line) + '\n' for line in lines)
    pairs, _ = read('faq.tsv', text)
    assert [(pair.question, pair.answer) for pair in pairs] == lines


def test_a_glossary_by_tabs_with_commas_is_no_pair() -> None:
    """Its first line is taken for names; no comma parts a question from an answer."""
    text = (
        'Toast\tA short speech, held before a drink.\nHost\tOne who asks, and pays.\n'
    )
    assert 'If its first line is a pair' in error('terms.tsv', text)
    pairs, _ = read('named.csv', 'question,answer,of\twhom\nWho pays?,You do.,Ann\n')
    assert [(pair.question, pair.answer) for pair in pairs] == [
        ('Who pays?', 'You do.')
    ]


@pytest.mark.parametrize('delimiter', [',', '\t', ';', '|'])
def test_the_delimiter_and_the_layout_are_found(delimiter: str) -> None:
    text = f'prompt{delimiter}response\n"a,;|\tb"{delimiter}c\n'
    pairs, _ = read('a.txt', text)
    assert [(p.question, p.answer) for p in pairs] == [('a,;| b', 'c')]


def test_a_table_of_two_sentences_has_no_header() -> None:
    rows = [
        (
            'My sister sings all night, what do I say?',
            'Say that you sleep at night, and mean it.',
        ),
        ('And now?', 'Wait.'),
    ]
    text = ''.join(f'"{q}","{a}"\n' for q, a in rows)
    pairs, report = read('a.csv', text)
    assert [(pair.question, pair.answer) for pair in pairs] == rows
    assert [pair.line for pair in pairs] == [1, 2]
    assert report.counts['csv rows'] == 2
    assert 'which of its fields' in error('b.csv', 'Short one,Short two\n' + text)
    assert 'which of its fields' in error('c.csv', text.replace('\n', ',7\n'))


def test_a_table_with_other_columns_is_named_csv() -> None:
    text = 'left,right\n1,2\n'
    pairs, _ = read('a.txt', text, 'question=left, answer=right', prefix='csv:')
    assert [(p.question, p.answer) for p in pairs] == [('1', '2')]
    assert 'corpus without pairs' in error('a.txt', text)
    above = 'Below is a table.\n\nquestion,answer\na,b\n'
    assert 'corpus without pairs' in error('a.txt', above)


def test_csv_rows_that_do_not_fit_are_named() -> None:
    text = 'question,answer,x\na,b,c\nd,e\nf,g,h,i\nj,k,"open\nand on\n'
    pairs, report = read('a.csv', text)
    assert len(pairs) == 1
    assert report.unknown_lines == [
        'a.csv:3: d,e (left out: 2 cells, the header has 3)',
        'a.csv:4: f,g,h,i (left out: 4 cells, the header has 3)',
        'a.csv:5: j,k,"open\nand on (left out: the quote that opens in it is not '
        'closed in 2 lines)',
    ]


def test_the_text_of_a_record_that_is_cut_by_the_files_end_is_no_row() -> None:
    text = 'question,answer\n"Why?","So."\n"Dear Ann,\nI left, and\nTom, who\n'
    pairs, report = read('a.csv', text + 'knows, naps.\n\nWhy?","Becau')
    assert [(pair.question, pair.answer) for pair in pairs] == [('Why?', 'So.')]
    assert len(report.unknown_lines) == 1
    pairs, report = read('a.csv', text[:29] + '"Who,a\nWhen?,b\n"Where?","c"\n')
    assert [pair.answer for pair in pairs] == ['So.', 'b', 'c']
    assert len(report.unknown_lines) == 1


def test_of_rows_in_quotes_a_line_without_them_is_the_rest_of_a_cut_one() -> None:
    text = '"question","answer"\n"Why?","So."\n"Who?","Tom.\nOr Ann, maybe\n'
    pairs, report = read('a.csv', text)
    assert [pair.answer for pair in pairs] == ['So.']
    assert len(report.unknown_lines) == 1


def test_escaped_tags_in_a_field_of_html_stay_escaped_until_it_is_cleaned() -> None:
    row = {'question': '<p>Is it &lt;b&gt;?</p>', 'answer': 'No, &lt;i&gt; &amp; so.'}
    (pair,), _ = read('a.jsonl', lines(row))
    assert (pair.question, pair.answer) == (row['question'], 'No, <i> & so.')


def test_null_in_a_cell_is_no_answer() -> None:
    rows = 'question,answer\nWhy?,So.\nWho?,NULL\nWhen?,\\N\nHow many?,None\n'
    pairs, report = read('a.csv', rows)
    assert [pair.answer for pair in pairs] == ['So.', 'None']
    assert report.counts['csv rows without answer'] == 2


def test_a_short_question_above_others_is_no_header() -> None:
    rows = [('Is it rude?', 'It is not.'), ('Who pays?', 'You do.')]
    pathlib.Path('a.csv').write_text(''.join(f'{q},{a}\n' for q, a in rows))
    pairs, _ = reader.read(['a.csv'])
    assert [(pair.question, pair.answer) for pair in pairs] == rows


def test_a_further_markdown_table_may_name_its_question_otherwise() -> None:
    text = '| Q | A |\n|---|---|\n| a | b |\n\n## More\n'
    text += '| Answer | Question |\n|---|---|\n| d | c |\n'
    text += '| Plan | Price |\n|---|---|\n| e | f |\n'
    pairs, _ = read('a.md', text)
    assert [(p.question, p.answer) for p in pairs] == [('a', 'b'), ('c', 'd')]


def test_an_answer_that_was_removed_is_left_out() -> None:
    rows = [{'question': 'Why?', 'answer': each} for each in ('[deleted]', 'So.')]
    pairs, report = read('a.jsonl', lines(*rows))
    assert [pair.answer for pair in pairs] == ['So.']
    assert report.counts[f'pairs rows {pair_rows.REMOVED}'] == 1


def test_a_markdown_table_ends_at_text_or_at_another_table() -> None:
    own = '| Question | Answer |\n|---|---|\n'
    other = '| Tea | Price |\n|---|---|\n| green | 5 |\n'
    cells = '| {} | {} |\n'.format
    text = f'{own}{cells(1, 2)}\n{cells(3, 4)}a line\n{cells(5, 6)}\n{other}\n'
    text += f'## Again\n{own}{cells(7, 8)}\nSome words.\n\n{cells(9, 10)}'
    pairs, report = read('a.md', text)
    texts = [(pair.question, pair.answer) for pair in pairs]
    assert texts == [('1', '2'), ('3', '4'), ('5', '6'), ('7', '8')]
    outside = [each for each in report.unknown_lines if 'below the table' in each]
    assert [each.partition(' (')[0] for each in outside] == [
        'a.md:9: | Tea | Price |',
        'a.md:11: | green | 5 |',
        'a.md:13: ## Again',
        'a.md:18: Some words.',
        'a.md:20: | 9 | 10 |',
    ]


def test_a_later_header_of_a_csv_file_orders_the_cells_below_it() -> None:
    text = 'question,answer\na,b\nquestion,answer\nc,d\nanswer,question\ne,f\n'
    pairs, report = read('a.csv', text)
    assert [(p.question, p.answer) for p in pairs] == [
        ('a', 'b'),
        ('c', 'd'),
        ('f', 'e'),
    ]
    assert report.unknown_lines == [
        'a.csv:3: question,answer (left out: it names the columns again)',
        'a.csv:5: answer,question (left out: it names the columns again)',
    ]


def test_the_line_below_the_header_of_a_markdown_table_is_no_pair() -> None:
    text = '| Question | Answer |\n|:---|---:|\n| Why? | So. |\n'
    pairs, _ = read('a.md', text)
    assert [(p.question, p.answer) for p in pairs] == [('Why?', 'So.')]


def test_a_markdown_table_below_a_title_is_read() -> None:
    table = '| Question | Answer |\n|---|---|\n| Why so? | So. |\n'
    text = f'---\na: b\n---\n# FAQ\n\nWe are asked:\n\n{table}\n## More\n\n{table}'
    pairs, report = read('a.md', text.replace('Why so?', 'Why not?', 1))
    assert [(p.question, p.answer, p.line) for p in pairs] == [
        ('Why not?', 'So.', 10),
        ('Why so?', 'So.', 16),
    ]
    assert len(report.unknown_lines) == 9
    asked = ''.join(
        f'## Why is {n} so?\n\n{table}| Is {n}? | No. |\n\n'
        for n in ('one', 'two', 'it')
    )
    pairs, _ = read('b.md', f'# FAQ\n\n{asked}')
    assert {pair.source for pair in pairs} == {'faq'}


def test_a_header_without_rows_is_named() -> None:
    assert error('a.csv', 'question,answer\n') == (
        'a.csv has a header and no rows below it.\n'
        '--skip_unreadable leaves such files out.'
    )


def test_a_field_that_lost_its_quote_does_not_swallow_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_records, '_LONGEST_FIELD', 100)
    text = 'question,answer\na,"b\n' + 'c,d\n' * 60
    pairs, report = read('a.csv', text)
    assert [(pair.question, pair.answer) for pair in pairs] == [('c', 'd')] * 60
    assert report.unknown_lines == [
        'a.csv:2: a,"b (left out: no CSV: field larger than field limit (100))'
    ]


def test_a_quote_astray_costs_its_own_row_alone() -> None:
    text = 'question,answer\na,b\nc,"d\ne,"f, g"\nh,"i" j\n"k\n"l" m\nn",o\np,q\n'
    pairs, report = read('a.csv', text)
    assert [(p.question, p.answer) for p in pairs] == [
        ('a', 'b'),
        ('e', 'f, g'),
        ('p', 'q'),
    ]
    assert [line.partition(' (')[0] for line in report.unknown_lines] == [
        'a.csv:3: c,"d',
        'a.csv:5: h,"i" j',
        'a.csv:6: "k',
        'a.csv:7: "l" m',
        'a.csv:8: n",o',
    ]


_SAID = 'She said "no, no" at D:\\home.'
_DOUBLED = _SAID.replace('"', '""')
_ESCAPED = _SAID.replace('\\', '\\\\').replace('"', '\\"')


@pytest.mark.parametrize(
    'rows',
    [
        f'"Why, then?","{_DOUBLED}"\n',
        f'"Why, then?", "{_DOUBLED}"\n',
        f'"Why, then?","{_ESCAPED}"\n',
        f'"Why, then?", "{_ESCAPED}"\n',
        f'Why, then?\t{_SAID}\n"What" is it?\t"So" it is.\n',
    ],
)
@pytest.mark.parametrize('above', ['', 'Our questions,\n\n'])
def test_every_dialect_of_quotes_is_read(rows: str, above: str) -> None:
    header = 'question\tanswer\n' if '\t' in rows else 'question,answer\n'
    pairs, report = read('a.csv', above + header + rows)
    assert (pairs[0].question, pairs[0].answer) == ('Why, then?', _SAID)
    assert all(
        (p.question, p.answer) == ('"What" is it?', '"So" it is.') for p in pairs[1:]
    )
    assert len(report.unknown_lines) == bool(above)


def test_quotes_behind_backslashes_in_cells_without_quotes_are_quotes() -> None:
    pairs, _ = read(
        'a.csv', 'question,answer\n' + 'Is \\"it\\" on?,\\"So\\" it is.\n' * 2
    )
    assert [(p.question, p.answer) for p in pairs] == [
        ('Is "it" on?', '"So" it is.')
    ] * 2


def test_a_backslash_of_the_text_before_a_doubled_quote_is_kept() -> None:
    rows = 'question,answer\n' + '"Print it?","print(\\""x\\"")"\n' * 3
    pairs, report = read('a.csv', rows)
    assert [pair.answer for pair in pairs] == ['print(\\"x\\")'] * 3
    assert report.unknown_lines == []


def test_csv_of_another_encoding_and_old_line_ends() -> None:
    pairs, report = read('a.csv', b'question,answer\rcaf\xe9,"b\rc"\rd,e\x81\xff\r')
    assert [(p.question, p.answer) for p in pairs] == [
        ('caf\ufffd', 'b\nc'),
        ('d', 'e\ufffd\ufffd'),
    ]
    assert report.counts['lines that are not UTF-8'] == 1
    pairs, report = read('b.csv', b'question,answer\nd,e\ncaf\xe9,b\n')
    assert pairs[1].question == 'café'
    assert report.warnings == [
        'b.csv:3 is not UTF-8 (byte 3, 0xe9); it was read as cp1252.'
    ]


def test_columns_of_one_name_or_none_are_kept_apart() -> None:
    fields = 'question=q, answer=q_2, topic=column_3'
    (pair,), _ = read('a.csv', 'q,q,\na,b,c\n', fields)
    assert (pair.question, pair.answer, pair.topic) == ('a', 'b', 'c')


_CELL = st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=12)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.tuples(_CELL, _CELL), min_size=1, max_size=8),
    size=st.integers(1, 60),
)
def test_what_csv_writes_is_read_whatever_the_batches(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple], size: int
) -> None:
    file = io.StringIO(newline='')
    csv.writer(file).writerows([('question', 'answer'), ('first', 'row'), *rows])
    path = tmp_path_factory.mktemp('csv') / 'a.csv'
    path.write_text(file.getvalue(), encoding='utf-8', newline='')
    pieces = [rows for _, rows in csv_rows.spans(str(path), batch_characters=size)]
    found = [row.cells for piece in pieces for row in piece]
    assert found == [('first', 'row')] + [row for row in rows if ''.join(row).strip()]
    assert all(not row.problem for piece in pieces for row in piece)
    assert all(sum(len(r.text) for r in piece[:-1]) < size for piece in pieces)


_PIECES = [
    *b'{ } " question answer , : [ ] 1e999 \\ud800 \xff null \0'.split(),
    *(b'\n', b'\r', b' '),
]


@settings(max_examples=150, deadline=None)
@given(
    raw=st.one_of(
        st.binary(max_size=80),
        st.lists(st.sampled_from(_PIECES), max_size=30).map(b''.join),
    ),
    suffix=st.sampled_from(['jsonl', 'csv', 'tsv']),
    prefix=st.sampled_from(['', 'pairs:', 'csv:', 'threads:', 'messages:']),
)
def test_any_bytes_are_read_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, suffix: str, prefix: str
) -> None:
    folder = tmp_path_factory.mktemp('any')
    (folder / f'a.{suffix}').write_bytes(
        b'question,answer\n' * (suffix != 'jsonl') + raw
    )
    try:
        pairs, _ = reader.read([f'{prefix}{folder}/a.{suffix}'])
    except errors.InputError:
        return
    for pair in pairs:
        records.sha256(dataclasses.asdict(pair))


def test_a_word_of_a_text_is_counted_in_one_place() -> None:
    row = {'a': 'one two', 'b': {'c': 'three'}, 'd': 4}
    fields = 'question=a+b.c, answer=d+a'
    _, report = read('a.jsonl', lines(row), fields)
    assert report.counts['words: question'] == 3
    assert sum(n for k, n in report.counts.items() if k.startswith('words')) == 3


def test_a_weight_is_a_number_above_zero() -> None:
    result = batches.BatchRead()
    assert row_values.weight('2', 'x', result) == 2.0
    assert row_values.weight('', 'x', result) == 1.0
    assert not result.counts


def test_batches_of_csv_cover_the_file() -> None:
    text = 'question,answer\n' + '"caf\u00e9\n?",b\n' * 50
    pathlib.Path('a.csv').write_text(text, encoding='utf-8')
    found = inputs.find(['a.csv'])
    batches = list(reader.batches_of(found, span_bytes=400))
    assert len(batches) > 3
    assert batches[0].start == 0
    assert batches[-1].end == len(text.encode())
    assert [b.start for b in batches[1:]] == [b.end for b in batches[:-1]]
    lines = [p.line for batch in batches for p in reader.read_batch(batch).pairs]
    assert lines == list(range(2, 102, 2))
