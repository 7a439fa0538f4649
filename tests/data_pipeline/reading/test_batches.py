"""Batches: cut anywhere, read anywhere, they add up to the same report."""

import dataclasses
import hashlib
import json
import pathlib
import pickle
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.pages import characters
from data_pipeline.reading import inputs, read_report, reader
from data_pipeline.rows import batches, json_rows
from hax_jax import errors

THREAD = {
    'id': 'ab1',
    'source': 'dump',
    'subreddit': 'work',
    'title': 'Who pays?',
    'body': 'We ate.',
    'flair': 'Money',
    'score': 7,
    'num_comments': 2,
    'created_utc': 1_740_787_200,  # 2025-03-01
    'url': 'https://www.reddit.com/r/work/comments/ab1/who_pays/',
    'answers': [
        {
            'id': 'c1',
            'body': 'You do.',
            'score': 3,
            'depth': 0,
            'created_utc': 1_740_787_300,
            'by_asker': False,
        }
    ],
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def read_all(*patterns: str, span_bytes: int = json_rows.SPAN_BYTES) -> tuple:
    """(pairs, report), each batch having been to another process and back."""
    report, pairs = read_report.ReadReport(), []
    found = inputs.find(patterns)
    for i, batch in enumerate(reader.batches_of(found, span_bytes=span_bytes)):
        assert batch.ordinal == i
        there = pickle.loads(pickle.dumps(batch))
        back = pickle.loads(pickle.dumps(reader.read_batch(there)))
        report.add(batch, back)
        pairs += back.pairs
    return pairs, report


def as_line(value: object) -> bytes:
    return json.dumps(value).encode() + b'\n'


LINES = [
    as_line(THREAD),
    as_line({**THREAD, 'id': 'ab2', 'body': '\ud800 and\u2028on'}),
    as_line({**THREAD, 'id': 'ab3', 'answers': []}),
    b'\n',
    b'{"id": 1}\r\n',
    b'no json at all\n',
    as_line({**THREAD, 'id': 'ab4'})[:-1] + b'\r\n',
    b'\xff\xfe\x81{\n',
    json.dumps({**THREAD, 'title': 'caf\xe9'}, ensure_ascii=False).encode('cp1252')
    + b'\n',
]


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.sampled_from(LINES), max_size=12),
    torn=st.sampled_from([b'', b'{"id": "x', as_line(THREAD)[:-1]]),
    span_bytes=st.integers(1, 1500),
)
def test_spans_of_any_size_give_what_the_whole_file_gives(
    lines: list[bytes], torn: bytes, span_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'a.jsonl'
        path.write_bytes(LINES[0] + b''.join(lines) + torn)
        one = read_all(str(path))
        many = read_all(str(path), span_bytes=span_bytes)
        size = path.stat().st_size
        spans = list(json_rows.spans(str(path), size=size, span_bytes=span_bytes))
        raw = path.read_bytes()
    assert one[0] == many[0]
    assert one[1] == many[1]
    assert one[1].files == {str(path): len(one[0])}
    assert b''.join(raw[start:end] for start, end, _ in spans) == raw
    assert [line for _, _, line in spans] == [
        1 + raw[:start].count(b'\n') for start, _, _ in spans
    ]
    assert all(raw[end - 1 : end] == b'\n' for _, end, _ in spans[:-1])


def test_a_report_holds_so_many_lines_and_counts_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_report, 'MAX_HELD', 3)
    path = pathlib.Path('a.jsonl')
    path.write_bytes(LINES[0] + b'bad\n' * 5)
    _, report = read_all('a.jsonl', span_bytes=10)
    assert [line[:9] for line in report.unknown_lines] == [
        'a.jsonl:2',
        'a.jsonl:3',
        'a.jsonl:4',
    ]
    assert report.counts['unknown lines'] == 5
    assert report.summary().endswith('  unknown lines: 2 more are only counted')


def test_every_word_of_the_texts_is_counted_once() -> None:
    gone = {**THREAD, 'id': 'x', 'answers': [{**THREAD['answers'][0], 'body': ''}]}
    removed = {**THREAD, 'id': 'y', 'body': '[removed]'}
    rows = [THREAD, gone, removed]
    pathlib.Path('a.jsonl').write_bytes(b''.join(map(as_line, rows)) + b'two words\n')
    _, report = read_all('a.jsonl')
    words = {k: n for k, n in report.counts.items() if k.startswith('words: ')}

    def texts(value: object) -> list[str]:
        if isinstance(value, dict):
            return [text for each in value.values() for text in texts(each)]
        if isinstance(value, list):
            return [text for each in value for text in texts(each)]
        return [value] if isinstance(value, str) else []

    assert sum(words.values()) == 2 + sum(len(t.split()) for t in texts(rows))
    assert words['words: question'] == 4 + 2  # 'Who pays? We ate.', 'Who pays?'
    assert words['words: question without pair'] == 4
    assert words['words: removed body'] == 1


def test_a_file_of_lines_that_is_named_may_be_empty() -> None:
    pathlib.Path('a.jsonl').write_bytes(b'')
    pathlib.Path('b.jsonl').write_bytes(LINES[0])
    pairs, report = read_all('threads:*.jsonl')
    assert report.files == {'a.jsonl': 0, 'b.jsonl': 1}
    assert report.warnings == ['a.jsonl has no answered question.']
    assert len(pairs) == 1


def test_a_layout_is_named_before_a_path_that_may_hold_colons() -> None:
    folder = pathlib.Path('chat:x')
    folder.mkdir()
    (folder / 'a:b.md').write_text('QUESTION: How?\nANSWER: So.\n')
    assert read_all('chat:x/a:b.md')[0][0].source == 'merged'
    assert read_all('merged:chat:x/*.md')[0][0].source == 'merged'
    with pytest.raises(errors.InputError, match=r"'x/none\.md' does not exist"):
        read_all('chat:x/none.md')


def test_no_span_reads_what_is_appended_meanwhile() -> None:
    path = pathlib.Path('a.jsonl')
    path.write_bytes(LINES[0] * 3)
    (found,) = inputs.find(['a.jsonl'])
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with open(path, 'ab') as file:
        file.write(LINES[0])
    cut = reader.batches_of([found], span_bytes=len(LINES[0]))
    assert [(batch.start, batch.end, batch.line) for batch in cut] == [
        (i * len(LINES[0]), (i + 1) * len(LINES[0]), i + 1) for i in range(3)
    ]
    # The manifest tells of what was read.
    assert inputs.sha256(found) == before


def test_lines_for_people_are_few_and_the_rest_are_counted() -> None:
    pathlib.Path('a.jsonl').write_bytes(LINES[0] + b'{"caf\xe9": \n' * 3_000)
    (found,) = inputs.find(['threads:a.jsonl'])
    report = read_report.ReadReport()
    for batch in reader.batches_of([found]):
        report.add(batch, reader.read_batch(batch))
    assert len(report.unknown_lines) == 1_000
    assert report.counts['unknown lines'] == 3_000
    assert len(report.warnings) == 20
    assert report.not_held == {'unknown lines': 2_000, 'warnings': 2_980}


def test_one_file_is_not_read_in_two_ways() -> None:
    pathlib.Path('a.jsonl').write_bytes(LINES[0])
    with pytest.raises(errors.InputError, match='as pairs and as any layout'):
        inputs.find(['*.jsonl', 'pairs:a.jsonl'])


def test_ids_of_files_of_one_name_are_told_apart_by_their_folders() -> None:
    row = b'{"question": "Why?", "answer": "Because.", "id": 1}\n'
    for folder in ('one', 'two'):
        pathlib.Path(folder).mkdir()
        pathlib.Path(folder, 'train.jsonl').write_bytes(row)
    pathlib.Path('other.jsonl').write_bytes(row)
    pairs, _ = reader.read(['*/train.jsonl', 'other.jsonl'])
    assert [pair.id for pair in pairs] == [
        'pairs:train:1',
        'pairs:two/train:1',
        'pairs:other:1',
    ]


def test_an_input_without_pairs_says_what_was_met() -> None:
    pathlib.Path('a.jsonl').write_bytes(b'{"question": "Why?"}\n' * 9)
    with pytest.raises(errors.InputError) as caught:
        reader.read(['threads:a.jsonl'])
    message = str(caught.value)
    assert 'First: a.jsonl:1: {"question": "Why?"} (left out: no thread: ' in message
    pathlib.Path('a.md').write_text('Nothing here.\n' * 9)
    with pytest.raises(errors.InputError) as caught:
        reader.read(['letters:a.md'])
    message = str(caught.value)
    assert 'a.md:1: Nothing here. (left out)' in message
    assert '… and 4 more such' in message
    with pytest.raises(errors.InputError, match='is one of chat, reddit, merged'):
        inputs.find(['thread:a.jsonl'])


def test_all_files_that_are_no_text_are_named_at_once() -> None:
    pathlib.Path('a.md').write_bytes(b'PK\3\4')
    pathlib.Path('b.md').write_bytes(b'a\0b')
    with pytest.raises(errors.InputError, match=r'a\.md is compressed') as caught:
        inputs.find(['*.md'])
    assert 'b.md is a binary file' in str(caught.value)


def test_a_batch_is_small_and_frozen() -> None:
    pathlib.Path('a.jsonl').write_bytes(LINES[0] * 2_000)
    (batch,) = reader.batches_of(inputs.find(['a.jsonl']))
    assert len(pickle.dumps(batch)) < 1_000
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.start = 1


@given(st.text(st.characters(max_codepoint=0x2100), max_size=20))
def test_every_change_of_a_character_is_counted(raw: str) -> None:
    result = batches.BatchRead()
    result.count_changes(raw, 'a b’')
    assert result.counts == {
        f'characters: {k}': n for k, n in characters.census(raw).items()
    }


def test_each_character_that_cleaning_changes_is_counted() -> None:
    for code in range(0x11000):
        result = batches.BatchRead()
        result.count_changes(chr(code))
        # Of single characters, blanks and breaks alone may change uncounted.
        kept = characters.clean(f'a{chr(code)}b') == f'a{chr(code)}b'
        uncounted = chr(code) in '\t\r\x0b\x0c\x85\u2028\u2029'
        assert bool(result.counts) == (not kept and not uncounted), hex(code)


PAIR = {'question': 'Q', 'answer': 'A'}
CHAT = {'messages': [{'role': 'user', 'content': 'Q'}]}


@pytest.mark.parametrize(
    ('raw', 'layout'),
    [
        (as_line(THREAD), 'threads'),
        (as_line(CHAT), 'messages'),
        (as_line({'conversations': []}), 'messages'),
        (as_line(PAIR), 'pairs'),
        (b'\xef\xbb\xbf\r\n \n' + as_line(THREAD), 'threads'),
        (b'{"torn": \n' + as_line(CHAT), 'messages'),
        (as_line(PAIR)[:-1], 'pairs'),
        (as_line(PAIR) + b'\0' * 99, 'pairs'),
        (b'question,answer\nQ,A\n', 'csv'),
        (b'\xef\xbb\xbf"Answer"\t"The Question"\tPrompt\n', 'csv'),
        (b'question and, so, answer\n', ''),
        (b'QUESTION: {"a": 1}\nANSWER: b\n', ''),
        (b'{\n"question": "Q",\n"answer": "A"\n}\n', 'pairs'),
        (b'[' + as_line(PAIR)[:-1] + b']\n', 'pairs'),
        (b'{not json}\n', ''),
        (b'', ''),
    ],
)
def test_the_layout_is_found_in_the_first_lines(raw: bytes, layout: str) -> None:
    pathlib.Path('a.txt').write_bytes(raw)
    (found,) = inputs.find(['a.txt'])
    assert found.layout == layout


@pytest.mark.parametrize(
    ('raw', 'what'),
    [
        (b'PK\3\4\0', 'is compressed; unpack it with unzip'),
        (b'\x1f\x8b\x08\0', 'is a damaged compressed file'),
        (b'\x28\xb5\x2f\xfd\0', 'is a damaged compressed file'),
        (b'\xff\xfea', 'begins as UTF-16 and is not'),
        (b'question,answer\n\0', r'is a binary file \(a zero byte at 16\)'),
    ],
)
@pytest.mark.parametrize('prefix', ['', 'pairs:', 'csv:'])
def test_what_is_no_text_is_one_error(raw: bytes, what: str, prefix: str) -> None:
    pathlib.Path('a.csv').write_bytes(raw)
    with pytest.raises(errors.InputError, match=f'^a.csv {what}'):
        inputs.find([f'{prefix}a.csv'])


def test_zeros_that_a_crash_left_below_the_lines_are_a_torn_line() -> None:
    pathlib.Path('a.jsonl').write_bytes(as_line(THREAD) + b'\0' * 99)
    pairs, report = read_all('a.jsonl')
    assert len(pairs) == 1
    assert report.counts['torn last lines'] == 1


def test_the_last_value_of_a_key_is_taken_and_the_others_are_counted() -> None:
    pathlib.Path('a.jsonl').write_text(
        '{"question": "Old one?", "question": "Is it rude?", "answer": "No, it is."}\n'
        '{"question": "Who pays?", "answer": "You do.", "id": 1, "id": 1}\n'
        '{"question": "And so?", "answer": "Wait.", "x": {"y": "a b c", "y": 2}}\n'
    )
    pairs, report = read_all('a.jsonl')
    asked = [pair.question for pair in pairs]
    assert asked == ['Is it rude?', 'Who pays?', 'And so?']
    assert report.counts['JSON lines with a key twice, the last one taken'] == 2
    assert report.counts['words: in values of keys that came again'] == 5
    assert report.warnings == [
        "a.jsonl:1 has the key 'question' twice; its last value was taken.",
        "a.jsonl:3 has the key 'y' twice; its last value was taken.",
    ]
