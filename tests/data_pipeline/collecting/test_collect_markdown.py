"""Markdown in the old layout, read back by data_pipeline.reddit as the same pairs."""

import dataclasses
import datetime
import pathlib

import hypothesis
import pytest
import reddit_objects
from hypothesis import strategies

from data_pipeline.collecting import collect_markdown, collect_rules, reddit_shapes
from data_pipeline.pages import characters, reddit
from data_pipeline.reading import reader
from data_pipeline.rows import raw_thread

REAL = pathlib.Path(__file__).parents[4] / 'shared' / 'data' / 'reddit'


def thread(
    number: int = 1, *, answer: str = '', **fields: object
) -> raw_thread.RawThread:
    comment = reddit_shapes.comment(reddit_objects.comment(number, 'a'), depth=0)
    answers, _ = collect_rules.best_answers([comment], collect_rules.Rules(), asker='')
    post = reddit_shapes.post(reddit_objects.post(number))
    made = collect_rules.thread(post, answers, source='dump')
    if answer:
        answers = (dataclasses.replace(answers[0], body=answer),)
    return dataclasses.replace(made, answers=answers, **fields)


def read_back(*threads: raw_thread.RawThread) -> list[tuple]:
    text = ''.join(
        collect_markdown.block(each, number=i) for i, each in enumerate(threads, 1)
    )
    return [
        (pair.id, pair.score, pair.time, pair.source, pair.question, pair.answer)
        for pair in reddit.parse(text, file='a.md').pairs
    ]


def expected(each: raw_thread.RawThread) -> tuple:
    """The pair that a thread stands for, by the layout's definition."""
    title, body = characters.clean(each.title), characters.clean(each.body)
    day = datetime.datetime.fromtimestamp(each.created_utc, datetime.UTC)
    return (
        f'reddit:{each.id}',
        each.score,
        day.strftime('%Y-%m-%d'),
        f'reddit:{each.subreddit}',
        f'{title}\n\n{body}'.strip(),
        characters.clean(each.answers[0].body),
    )


RULE = '=' * 80
HARD = [
    'ANSWER: no, a quote',
    'Before.\n\nANSWER: below a blank line\n\nANSWER: and again',
    'QUESTION: mine?\nANSWER: yours\n\n\nANSWER: three',
    '# Reddit Post 7\n# Score: 3 | Date: 2020-01-01',
    f'{RULE}\n\n---\n# A heading\n{RULE}',
    '&amp;lt; &#x200B; caf\u00e9\u00a0x\u200b',
    '\u2028ANSWER: after an odd line break',
    ' \n \t\nANSWER: below odd blanks',
    '> quoted\r\n\r\nANSWER: with carriage returns\r\n',
]


@pytest.mark.parametrize('text', HARD, ids=repr)
def test_texts_that_look_like_the_layout_are_read_back_as_they_are(text: str) -> None:
    for made in (
        thread(body=text),
        thread(answer=f'{text}\nlast'),
        thread(answer=f'first\n\n{text}', body=f'b\n{text}'),
    ):
        following = thread(2)
        assert read_back(made, following) == [expected(made), expected(following)]


def test_a_header_in_a_text_keeps_its_words_and_makes_no_post() -> None:
    fake = f'a\n{RULE}\n# Reddit Post 9\n# URL: https://redd.it/zzz\n{RULE}\nb'
    for made in (thread(body=fake), thread(answer=fake)):
        (pair,) = read_back(made)
        wanted = expected(made)
        assert pair[:4] == wanted[:4]
        assert [each.split() for each in pair[4:]] == [
            each.split() for each in wanted[4:]
        ]


_TEXT = strategies.lists(
    strategies.sampled_from(
        [
            '',
            ' ',
            'word',
            'ANSWER: x',
            ' ANSWER:',
            'QUESTION: y',
            '# z',
            '---',
            '=' * 30,
        ]
    ),
    max_size=8,
).map('\n'.join)


@hypothesis.given(_TEXT, _TEXT)
def test_any_lines_of_the_layout_are_read_back(body: str, answer: str) -> None:
    made = thread(body=body, answer=f'Yes.\n{answer}')
    assert read_back(made) == [expected(made)]


def test_the_program_of_extraction_reads_the_written_file(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'out.md'
    threads = [thread(i, score=-i, body='' if i == 3 else 'b') for i in range(1, 6)]
    assert collect_markdown.write(path, threads) == 5
    pairs, report = reader.read([str(path)])
    assert [pair.id for pair in pairs] == [f'reddit:p000{i}' for i in range(1, 6)]
    assert report.unknown_lines == []


@pytest.mark.skipif(not REAL.is_dir(), reason='../shared/data is absent')
def test_real_posts_survive_being_written_again(tmp_path: pathlib.Path) -> None:
    pairs, _ = reader.read([str(REAL / '*.md')])
    threads = []
    for pair in pairs:
        title, _, body = pair.question.partition('\n\n')
        day = datetime.datetime.fromisoformat(pair.time).replace(tzinfo=datetime.UTC)
        threads.append(
            thread(
                answer=pair.answer,
                id=pair.id.removeprefix('reddit:'),
                title=title,
                body=body,
                score=pair.score,
                created_utc=int(day.timestamp()),
                subreddit=pair.source.removeprefix('reddit:'),
                url=f'https://www.reddit.com/r/{pair.source.removeprefix("reddit:")}'
                f'/comments/{pair.id.removeprefix("reddit:")}/',
            )
        )
    assert threads
    assert read_back(*threads) == [
        (p.id, p.score, p.time, p.source, p.question, p.answer) for p in pairs
    ]
