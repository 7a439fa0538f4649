"""Threads to pairs: those that their Markdown gives, and one for each more answer."""

import json
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.collecting import collect_markdown
from data_pipeline.pages import reddit
from data_pipeline.reading import read_report, reader
from data_pipeline.rows import batches, raw_thread, thread_rows
from hax_jax.data import records


def answer(name: str = 'c1', body: str = 'You do.') -> raw_thread.RawAnswer:
    return raw_thread.RawAnswer(name, body, 3, 0, 1_740_787_300)


def thread(**fields: object) -> raw_thread.RawThread:
    values = {
        'id': 'ab1',
        'source': 'dump',
        'subreddit': 'work',
        'title': 'Who pays?',
        'body': 'We ate.',
        'flair': 'Money',
        'score': 7,
        'num_comments': 2,
        'created_utc': 1_740_787_200,  # midnight of 2025-03-01, UTC
        'url': 'https://www.reddit.com/r/work/comments/ab1/who_pays/',
        'answers': (answer(),),
    }
    return raw_thread.RawThread(**{**values, **fields})


def read(
    folder: pathlib.Path, *threads: raw_thread.RawThread, tail: str = ''
) -> tuple[list[records.QaPair], read_report.ReadReport]:
    path = folder / 'raw.jsonl'
    lines = [raw_thread.to_line(each) + '\n' for each in threads]
    path.write_text(''.join(lines) + tail, encoding='utf-8')
    return reader.read([str(path)])


def test_a_thread_is_a_pair_for_each_answer(tmp_path: pathlib.Path) -> None:
    both = (answer(), answer('C2', 'Ask.'))
    pairs, report = read(tmp_path, thread(answers=both))
    expected = records.QaPair(
        id='reddit:ab1',
        group='reddit:ab1',
        source='reddit:work',
        file=str(tmp_path / 'raw.jsonl'),
        line=1,
        topic='Money',
        time='2025-03-01',
        question='Who pays?\n\nWe ate.',
        answer='You do.',
        score=7,
    )
    second = {'id': 'reddit:ab1/c2', 'answer': 'Ask.'}
    assert pairs == [expected, records.QaPair(**{**vars(expected), **second})]
    assert report.counts['reddit further answers'] == 1
    assert report.counts['files of layout threads'] == 1


def test_what_makes_no_pair_is_counted_and_named(tmp_path: pathlib.Path) -> None:
    file = tmp_path / 'raw.jsonl'
    pairs, report = read(
        tmp_path,
        thread(answers=()),
        thread(answers=(answer(body='[removed]'), answer('c2', ' \u200b'))),
        thread(title='', body=' '),
        thread(answers=(answer(body='Automod here: be kind.'),)),
        thread(id='ok', body='[deleted]', title='Update: who pays?'),
    )
    assert report.dropped == [
        f'{file}:1: reddit:ab1 (reddit posts unanswered)',
        f'{file}:2: reddit:ab1 (reddit removed answers)',
        f'{file}:2: reddit:ab1/c2 (reddit posts with an empty answer)',
        f'{file}:3: reddit:ab1 (reddit posts without question text)',
        f'{file}:4: reddit:ab1 (reddit AutoModerator answers)',
    ]
    assert [(pair.id, pair.question, pair.flags) for pair in pairs] == [
        ('reddit:ok', 'Update: who pays?', ('title only', 'update'))
    ]
    assert report.counts['reddit removed bodies'] == 1
    assert report.counts['reddit posts'] == 5
    assert report.counts['reddit posts answered'] == 1


def test_a_torn_last_line_is_a_warning_and_any_other_is_unknown(
    tmp_path: pathlib.Path,
) -> None:
    file = tmp_path / 'raw.jsonl'
    bad = json.dumps({'id': 'x', 'title': 3, 'more': 1})
    pairs, report = read(
        tmp_path, thread(), tail=f'{bad}\n{{"id":\n{raw_thread.to_line(thread())[:40]}'
    )
    assert len(pairs) == 1
    assert report.counts['torn last lines'] == 1
    assert report.warnings == [
        f'{file}:4 is a last line that was not written to its end (is its collector '
        'still at work?); it was left out.'
    ]
    first, second = report.unknown_lines
    assert first.startswith(f'{file}:2: {bad} (left out: no thread: ')
    assert "thread has unknown 'more'" in first
    assert second.startswith(f'{file}:3: {{"id": (left out: it is not JSON at ')


def test_a_last_line_that_lacks_only_its_newline_is_a_thread(
    tmp_path: pathlib.Path,
) -> None:
    pairs, report = read(tmp_path, tail=raw_thread.to_line(thread()))
    assert len(pairs) == 1
    assert report.warnings == []


def test_a_year_that_there_is_not_is_no_time(tmp_path: pathlib.Path) -> None:
    pairs, _ = read(tmp_path, thread(created_utc=10**30), thread(created_utc=-1))
    assert [pair.time for pair in pairs] == ['', '1969-12-31']


_LINE = st.one_of(
    st.sampled_from(
        ['', 'ANSWER: x', 'QUESTION: y', '# z', '&amp;lt;', '[removed] it', 'UPDATE']
    ),
    st.text(
        st.characters(codec='utf-8', exclude_categories=('Cc', 'Zl', 'Zp', 'Cs')),
        max_size=20,
    ),
)
_BODY = st.lists(_LINE, max_size=6).map('\n'.join)


@settings(max_examples=150, deadline=None)
@given(
    title=_LINE,
    body=_BODY,
    best=_BODY,
    ident=st.from_regex('[a-z0-9]{1,7}', fullmatch=True),
)
@pytest.mark.filterwarnings('error')
def test_a_thread_gives_the_pair_that_its_markdown_gives(
    title: str, body: str, best: str, ident: str
) -> None:
    made = thread(
        id=ident,
        title=f'Who {title}',
        body=body,
        answers=(answer(body=f'Yes.\n{best}'),),
        url=f'https://www.reddit.com/r/work/comments/{ident}/who/',
    )
    markdown = reddit.parse(collect_markdown.block(made, number=1), file='a.md').pairs
    batch = batches.Batch(0, 'a.md', 'a.md', 'threads')
    result = batches.BatchRead()
    thread_rows.add(made, line=1, file=batch.name, result=result)

    def essence(pairs: list[records.QaPair]) -> list[tuple]:
        return [
            (p.id, p.group, p.source, p.time, p.question, p.answer, p.score, p.flags)
            for p in pairs
        ]

    assert essence(result.pairs) == essence(markdown)
