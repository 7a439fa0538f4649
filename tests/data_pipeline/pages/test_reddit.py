"""Reddit Markdown: which block is a post, which comment an answer."""

import pathlib
import re

import pytest

from data_pipeline.pages import characters, page, reddit

REAL = pathlib.Path(__file__).parents[4] / 'shared' / 'data' / 'reddit'
RULE = '=' * 80


def _header(post_id: str, *, score: str = '12', forum: str = 'work') -> str:
    return (
        f'{RULE}\n# Reddit Post 1\n# Score: {score} | Date: 2025-03-01\n'
        f'# URL: https://www.reddit.com/r/{forum}/comments/{post_id}/a_title/\n{RULE}\n'
    )


def _texts(text: str) -> list[tuple[str, str]]:
    found = reddit.parse(text, file='posts.md').pairs
    return [(pair.question, pair.answer) for pair in found]


def test_a_pair_is_title_and_body_and_the_comment() -> None:
    text = (
        f'\n{_header("ab1")}\nQUESTION: Who pays?\n\n\nHe ate.\n\nANSWER: He does.\n\n'
    )
    found = reddit.parse(text, file='a/posts.md')
    pair = found.pairs[0]
    assert (pair.question, pair.answer) == ('Who pays?\n\nHe ate.', 'He does.')
    assert (pair.id, pair.group, pair.source) == (
        'reddit:ab1',
        'reddit:ab1',
        'reddit:work',
    )
    assert (pair.file, pair.line, pair.time, pair.score) == (
        'a/posts.md',
        8,
        '2025-03-01',
        12,
    )
    assert found.unknown == []


def test_a_post_without_a_url_is_named_by_its_text() -> None:
    text = f'{RULE}\n# Reddit Post 7\n{RULE}\nQUESTION: Who?\n\nANSWER: You.\n'
    pair = reddit.parse(text, file='posts.md').pairs[0]
    assert re.fullmatch(r'reddit:[0-9a-f]{12}', pair.id)
    assert pair.source == 'reddit'
    assert reddit.parse('\n\n' + text, file='b.md').pairs[0].id == pair.id


def test_scores_may_be_negative_or_short() -> None:
    body = 'QUESTION: Who?\n\nANSWER: You.\n'
    scores = [
        reddit.parse(_header('a', score=score) + body, file='p.md').pairs[0].score
        for score in ('-3', '1.2k', '1,204')
    ]
    assert scores == [-3, 1200, 1204]


def test_a_title_alone_is_the_question() -> None:
    found = reddit.parse(
        _header('a') + '\nQUESTION: Who?\n\n\n\nANSWER: You.', file='p.md'
    )
    assert (found.pairs[0].question, found.pairs[0].answer) == ('Who?', 'You.')
    assert found.pairs[0].flags == ('title only',)
    assert found.counts['reddit title-only posts'] == 1


def test_only_a_header_block_separates_posts() -> None:
    body = (
        f'# A list\n---\n{RULE}\nANSWER: not yet, I said.\n{RULE}\n'
        '# Reddit Post 2 is the one I mean\nQUESTION: or not?'
    )
    comment = f'Yes.\n\n## Because\n{RULE}\n\nANSWER: my own.\n---\nEnd.'
    text = f'{_header("a")}\nQUESTION: Who?\n\n{body}\n\nANSWER: {comment}\n\n\n'
    found = reddit.parse(text + _header('b') + 'QUESTION: x\n\nANSWER: y', file='p.md')
    assert [(p.question, p.answer) for p in found.pairs] == [
        (f'Who?\n\n{body}', comment),
        ('x', 'y'),
    ]
    assert found.unknown == [
        (12, 'ANSWER: not yet, I said.', 'kept in the question'),
        (15, 'QUESTION: or not?', 'kept in the question'),
        (22, 'ANSWER: my own.', 'kept in the answer'),
    ]


def test_an_answer_directly_below_the_body_is_found() -> None:
    assert _texts(_header('a') + 'QUESTION: Who?\nHe ate.\nANSWER: You.') == [
        ('Who?\n\nHe ate.', 'You.')
    ]


@pytest.mark.parametrize('label', [' ANSWER:', '**ANSWER:**', '# ANSWER:'])
def test_a_decorated_label_is_the_askers_where_there_is_a_plain_one(label: str) -> None:
    asked = f'Odd lamp?\n\nWhy?\n{label} no one.\n\nMore.'
    text = _header('a') + f'QUESTION: {asked}\n\nANSWER: Leave him.\n'
    assert _texts(text) == [(asked, 'Leave him.')]
    alone = _header('a') + f'QUESTION: Odd lamp?\n\n{label} Leave him.\n'
    assert _texts(alone) == [('Odd lamp?', 'Leave him.')]


@pytest.mark.parametrize(
    'block',
    [
        f'{RULE}\n# Source: other.md\n#\n# Posts: 3\n{RULE}',
        f'{"#" * 80}\n# PART TWO\n{"#" * 80}',
    ],
)
def test_a_block_of_no_post_is_kept_and_reported(block: str) -> None:
    text = _header('a') + f'QUESTION: Why?\n\nANSWER: Glue it.\n\n{block}'
    found = reddit.parse(f'{text}\n\n{_header("b")}', file='p.md')
    assert found.pairs[0].answer == f'Glue it.\n\n{block}'
    assert [text for _, text, _ in found.unknown] == block.split('\n')


def test_rules_and_headings_of_a_comment_are_its_own() -> None:
    answer = f'{RULE}\n# One\nTwo\n{RULE}\n\n# Three'
    text = _header('a') + f'QUESTION: Why?\n\nANSWER: {answer}'
    assert _texts(text) == [('Why?', answer)]


def test_headers_without_bodies_are_counted() -> None:
    text = _header('a') + '\n\n' + _header('b') + _header('b')
    text += '\nQUESTION: Who?\n\nANSWER: You.\n\n' + _header('c')
    found = reddit.parse(text, file='p.md')
    assert [pair.id for pair in found.pairs] == ['reddit:b']
    assert found.counts['reddit posts'] == 4
    assert found.counts['reddit headers without a body'] == 3


def test_two_headers_may_share_a_rule() -> None:
    text = f'{RULE}\n# Reddit Post 1\n{_header("b")}QUESTION: Who?\n\nANSWER: You.'
    found = reddit.parse(text, file='p.md')
    assert [pair.id for pair in found.pairs] == ['reddit:b']
    assert found.counts['reddit headers without a body'] == 1
    assert found.unknown == []


@pytest.mark.parametrize(
    ('tail', 'kind'),
    [
        ('QUESTION: Who?\n\nHe ate', 'posts unanswered'),
        ('QUESTION: Who?\n\nHe ate.\n\nANSWER:', 'posts with an empty answer'),
        ('QUESTION: Who?\n\nHe ate.\n\nANSWER:  \n\n', 'posts with an empty answer'),
        ('QUESTION: Who?\n\nANSWER: [removed]\n', 'removed answers'),
        ('He ate.\n', 'posts without QUESTION:'),
        ('', 'headers without a body'),
    ],
)
def test_a_post_without_an_answer_is_no_pair(tail: str, kind: str) -> None:
    found = reddit.parse(_header('a') + tail, file='p.md')
    assert found.pairs == []
    assert found.counts[f'reddit {kind}'] == 1


def test_a_file_may_break_off_within_a_header() -> None:
    text = f'{_header("a")}QUESTION: Who?\n\nANSWER: You.\n\n{RULE}\n# Reddit Post 2'
    found = reddit.parse(text, file='p.md')
    assert [(p.question, p.answer) for p in found.pairs] == [('Who?', 'You.')]


@pytest.mark.parametrize(
    'comment',
    [
        'Read the rules.\n\n*I am a bot, and this action was performed automatically.'
        ' Please [contact the moderators](/message) if you have any questions.*',
        'Welcome to /r/work. Please make sure you [read our rules here.](/rules)',
        'No links.\n\n^(Beep. I am a bot, and this action was performed automatically.'
        ' Please [contact the moderators](/m).)',
        '^^^^AUTOMOD  ***Thanks for posting! This is a copy of your post.***',
    ],
)
def test_a_moderation_bot_answers_nothing(comment: str) -> None:
    text = _header('a') + f'QUESTION: Who?\n\nHe ate.\n\nANSWER: {comment}\n'
    found = reddit.parse(text, file='p.md')
    assert found.pairs == []
    assert found.counts['reddit AutoModerator answers'] == 1
    assert found.dropped == [(6, 'reddit:a', 'reddit AutoModerator answers')]


def test_a_person_who_quotes_a_bot_is_a_person() -> None:
    comment = (
        '> I am a bot, and this action was performed automatically.\n\n'
        'It told me that I am a bot, and this action was performed automatically.'
    )
    assert not reddit.is_bot(comment)


@pytest.mark.parametrize(
    ('title', 'is_update'),
    [
        ('UPDATE: he paid', True),
        ('[Update] he paid', True),
        ('Small update on my tenant', True),
        ('He paid (final update)', True),
        ('He paid - update', True),
        ('He paid, UPDATE inside', True),
        ('How do I get him to update the will', False),
        ('He updates nobody', False),
    ],
)
def test_update_posts_are_kept_and_flagged(title: str, is_update: bool) -> None:
    text = _header('a') + f'QUESTION: {title}\n\nBody.\n\nANSWER: Good.'
    found = reddit.parse(text, file='p.md')
    assert found.pairs[0].question == f'{title}\n\nBody.'
    assert ('update' in found.pairs[0].flags) == is_update


def test_pairs_merged_in_above_the_first_header_are_read() -> None:
    text = 'QUESTION: Why?\nANSWER: Because.\n' + _header('a')
    found = reddit.parse(text + 'QUESTION: Who?\n\nANSWER: You.', file='p.md')
    assert [(p.source, p.question, p.line) for p in found.pairs] == [
        ('merged', 'Why?', 1),
        ('reddit:work', 'Who?', 8),
    ]


def test_entities_and_invisible_characters_are_cleaned() -> None:
    text = (
        _header('a')
        + 'QUESTION: Salt &amp; pepper\r\n\r\n&#x200B;\r\n\r\nFor\xa0two\u200b '
        '&amp;lt; three\r\n\r\nANSWER: Yes\ufeff.\r\n'
    )
    assert _texts(text) == [('Salt & pepper\n\nFor two &lt; three', 'Yes.')]


def test_every_word_of_a_file_is_accounted_for_once() -> None:
    text = (
        f'Collected in spring\n{_header("a")}\nQUESTION: Who pays?\n\nHe ate.\n\n'
        f'ANSWER: He does.\n\n\n{_header("b")}\nno label here\n{_header("c")}'
    )
    found = reddit.parse(text, file='p.md')
    assert [w for p in found.pieces for w in p.text.split()] == text.split()
    assert page.words(found.pieces) == {
        'unknown': 6,
        'header': 45,  # 2 rules, 4 words of number, 6 of score and date, 3 of URL
        'label': 2,
        'question': 4,
        'answer': 2,
        'blank': 0,
    }
    assert found.unknown == [
        (1, 'Collected in spring', 'left out'),
        (21, 'no label here', 'left out'),
    ]


# Counted with `grep -c '^# Reddit Post'`, '^QUESTION' and '^ANSWER', which agree.
REAL_COUNTS = {
    'reddit_relationship_advice_hot_100.md': 43,
    'reddit_relationship_advice_new_100.md': 5,
    'reddit_relationships_20251119_week.md': 16,
}


@pytest.mark.parametrize('name', REAL_COUNTS)
def test_no_word_of_a_real_post_or_comment_is_lost(name: str) -> None:
    text = _real(name)
    found = reddit.parse(text, file=name)
    assert len(found.pairs) == REAL_COUNTS[name]
    assert found.unknown == []
    blocks = re.split(r'={80}\n(?:# .*\n)+={80}\n', text)[1:]
    for pair, block in zip(found.pairs, blocks, strict=True):
        question, _, answer = block.partition('\nANSWER: ')
        question = question.strip().removeprefix('QUESTION:')
        assert pair.question.split() == characters.clean(question).split()
        assert pair.answer.split() == characters.clean(answer).split()
    assert sum(page.words(found.pieces).values()) == len(text.split())


def _real(name: str) -> str:
    path = REAL / name
    if not path.exists():
        pytest.skip('the real posts are not beside this checkout')
    return path.read_text(encoding='utf-8')


FIELDS = '# Score: 12 | Date: 2025-03-01'
URL = '# URL: https://www.reddit.com/r/work/comments/ab1/a_title/'
BODY = '\nQUESTION: Who?\n\nHe ate.\n\nANSWER: You.\n\n\n'


@pytest.mark.parametrize(
    'header',
    [
        f'# Reddit Post 12 of 100\n{FIELDS}\n{URL}',
        f'## Reddit Post #12\n{URL}\n{FIELDS}',
        f'Reddit Post 12\n\n{FIELDS[2:]}\n{URL[2:]}',
        f'---\n# Reddit Post 12\n{FIELDS}\n{URL}\n---',
        f'{"=" * 40}\n# Reddit Post 12\n{FIELDS}\n{URL}\n{"=" * 40}',
        f'{RULE}\n# Reddit Post 12\n{FIELDS}\n{URL}',
        f'# Reddit Post 12\n{FIELDS}\n{URL}\n{RULE}',
    ],
)
def test_a_number_and_a_field_make_a_header_without_its_rules(header: str) -> None:
    found = reddit.parse((header + BODY) * 2, file='p.md')
    assert [(p.question, p.answer, p.score) for p in found.pairs] == [
        ('Who?\n\nHe ate.', 'You.', 12)
    ] * 2
    assert [pair.id for pair in found.pairs] == ['reddit:ab1'] * 2
    assert found.unknown == []


@pytest.mark.parametrize(
    ('score', 'value'),
    [
        ('-3', -3),
        ('−3', -3),
        ('1.2K', 1200),
        ('12,345', 12345),
        ('hidden', 0),
        ('[score hidden]', 0),
        (',', 0),
        ('.', 0),
        ('9' * 400, 0),
    ],
)
def test_no_score_is_too_odd(score: str, value: int) -> None:
    found = reddit.parse(_header('a', score=score) + BODY, file='p.md')
    assert found.pairs[0].score == value


@pytest.mark.parametrize(
    ('url', 'post_id'),
    [
        ('https://old.reddit.com/r/work/comments/AB1/a_title/', 'ab1'),
        ('https://np.reddit.com/r/work/comments/ab1', 'ab1'),
        ('https://redd.it/ab1', 'ab1'),
        ('https://www.reddit.com/gallery/ab1', 'ab1'),
        ('https://i.redd.it/xyz.jpg', None),
        ('https://www.reddit.com/r/work/s/AbCdEf', None),
    ],
)
def test_a_posts_id_is_in_most_forms_of_its_address(
    url: str, post_id: str | None
) -> None:
    header = f'{RULE}\n# Reddit Post 1\n{FIELDS}\n# URL: {url}\n{RULE}\n'
    found = reddit.parse(header + BODY, file='p.md').pairs[0].id
    expected = re.escape(f'reddit:{post_id}') if post_id else r'reddit:[0-9a-f]{12}'
    assert re.fullmatch(expected, found)


def test_a_removed_body_leaves_the_title() -> None:
    text = _header('a') + 'QUESTION: Who?\n\n[removed]\n\nANSWER: You.'
    found = reddit.parse(text, file='p.md')
    assert found.pairs[0].question == 'Who?'
    assert found.pairs[0].flags == (reddit.BODY_REMOVED, 'title only')
    assert found.counts['reddit removed bodies'] == 1
    assert page.words(found.pieces)['removed body'] == 1


@pytest.mark.parametrize(
    'answer',
    ['[deleted]', '*[removed]*', '[ Removed by Reddit ]', '[removed by moderator]'],
)
def test_a_removed_comment_is_no_answer(answer: str) -> None:
    text = _header('a') + f'QUESTION: Who?\n\nANSWER: {answer}\n'
    assert reddit.parse(text, file='p.md').pairs == []


def test_a_comment_may_speak_of_what_was_removed() -> None:
    text = _header('a') + 'QUESTION: Who?\n\nANSWER: [removed] it myself.\n'
    assert _texts(text) == [('Who?', '[removed] it myself.')]


def test_a_file_without_posts_is_merged_pairs_alone() -> None:
    found = reddit.parse('QUESTION: Why?\nANSWER: So.', file='p.md')
    assert [(p.question, p.answer) for p in found.pairs] == [('Why?', 'So.')]


def test_sets_have_weights_across_layouts() -> None:
    mark = 'OVERSAMPLE_WEIGHT: {} <END_OF_SET>\n'
    merged_in = 'QUESTION: Why?\nANSWER: Because.\n'
    text = (
        f'{merged_in}{mark.format(3)}{merged_in}{_header("a")}{BODY}{mark.format(0.5)}'
        f'{_header("b")}{BODY}'
    )
    found = reddit.parse(text, file='p.md')
    assert [(p.source, p.answer, p.weight) for p in found.pairs] == [
        ('merged', 'Because.', 3.0),
        ('merged', 'Because.', 0.5),
        ('reddit:work', 'You.', 0.5),
        ('reddit:work', 'You.', 1.0),
    ]
    assert found.counts['reddit pairs weighted'] == 3
    assert found.unknown == []
