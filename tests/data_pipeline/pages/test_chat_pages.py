"""Live chats: what is a pair, and where every other line of a chat goes."""

import pathlib
import re

import pytest

from data_pipeline.pages import characters, chat, chat_grammar, page

REAL = pathlib.Path(__file__).parents[4] / 'shared' / 'data' / 'chats'

CHAT = """\
Marian ValeAdvice ColumnistApr 4, 11:58 a.m.
image
The kettle is on, come in.
1104Press Enter to expand
The borrowed ladder
Guest Apr 4, 12:05 p.m.
QUESTION: My neighbour has my ladder.

How do I get it back?
avatar
Marian Vale
Advice Columnist

ANSWER: Ring the bell.

Then ask for it.
Post has undefined replies and 95 Likes
95Press Enter to expand
Re: ladder
Guest12:09 p.m.
QUESTION: Buy a second one.
Post has 0 replies and 1 LikePost expanded
1
Broken link
Guest12:11 p.m.
QUESTION: The page does not load.
avatar
Tom Reed
Audience Producer
ANSWER: We are on it.
Post has 1 reply and 0 Likes
0Press Enter to expand
Silence
Guest12:15 p.m.
QUESTION: Say nothing?
avatar
Marian Vale
Advice Columnist
ANSWER: Post has 0 replies and 7 LikesPress Enter to expand
7
A reading
Guest 12 noon
QUESTION: Is this right?
image
Opinion | Nobody reads the manual
A field study in four kitchens.
example.com
avatar
Marian Vale
Advice Columnist
ANSWER: Mostly. Here is the dog.
image
Post has 2 replies and 1.2K Likes21Post comments expanded
Last one
Guest Yesterday
QUESTION: Bye?
avatar
Marian Vale
Advice Columnist
ANSWER: Bye."""


def _pairs(text: str) -> list[tuple[str, str, str, str]]:
    found = chat.parse(text, file='chat.md').pairs
    return [(pair.topic, pair.time, pair.question, pair.answer) for pair in found]


def test_a_pair_is_a_question_that_the_columnist_answered() -> None:
    assert _pairs(CHAT) == [
        (
            'The borrowed ladder',
            'Apr 4, 12:05 p.m.',
            'My neighbour has my ladder.\n\nHow do I get it back?',
            'Ring the bell.\n\nThen ask for it.',
        ),
        ('A reading', '12 noon', 'Is this right?', 'Mostly. Here is the dog.'),
        ('Last one', 'Yesterday', 'Bye?', 'Bye.'),
    ]


def test_every_post_is_counted_by_its_kind() -> None:
    counts = chat.parse(CHAT, file='chat.md').counts
    assert {name: count for name, count in counts.items() if count} == {
        'chat guest posts': 6,
        'chat posts answered': 3,
        'chat posts unanswered': 1,
        'chat posts with an empty answer': 1,
        'chat posts answered by a producer alone': 1,
        'chat producer replies': 1,
        'chat host posts': 1,
        'chat images': 2,
        'chat link cards': 1,
    }


def test_posts_without_a_pair_are_named() -> None:
    assert chat.parse(CHAT, file='chat.md').dropped == [
        (21, 'Re: ladder', 'chat posts unanswered'),
        (26, 'Broken link', 'chat posts answered by a producer alone'),
        (35, 'Silence', 'chat posts with an empty answer'),
    ]


def test_a_topic_may_be_a_number() -> None:
    footer = 'Post has 0 replies and 9 Likes\n9\n'
    text = f'Guest11:05 a.m.\nQUESTION: Why?\n{ANSWERED}{footer}2020\n'
    text += f'Guest11:06 a.m.\nQUESTION: How?\n{ANSWERED}{footer}'
    assert [topic for topic, _, _, _ in _pairs(text)] == ['', '2020']


def test_a_record_says_where_its_pair_stands() -> None:
    first = chat.parse(CHAT, file='a/chat.md').pairs[0]
    assert (first.file, first.line, first.group, first.source) == (
        'a/chat.md',
        7,
        'chat.md',
        'chat',
    )
    assert re.fullmatch(r'chat:chat:[0-9a-f]{12}', first.id)


def test_an_id_depends_on_the_text_and_the_file_name_alone() -> None:
    ids = [pair.id for pair in chat.parse(CHAT, file='a/chat.md').pairs]
    moved = chat.parse('Words above.\n' + CHAT, file='b/chat.md').pairs
    assert [pair.id for pair in moved] == ids
    assert len(set(ids)) == 3


def test_every_word_of_a_chat_is_accounted_for_once() -> None:
    found = chat.parse(CHAT, file='chat.md')
    assert [w for p in found.pieces for w in p.text.split()] == CHAT.split()
    assert page.words(found.pieces) == {
        'staff stamp': 6,
        'staff post': 7,  # the picture's line and six words
        'tally': 14,
        'topic': 12,
        'stamp': 16,
        'label': 11,
        'question': 15,
        'question without pair': 11,
        'name and role': 25,
        'answer': 13,
        'answer without pair': 0,  # the blank one
        'producer reply': 4,
        'footer': 41,
        'image': 2,
        'link card': 13,
    }


@pytest.mark.parametrize(
    ('stamp', 'time'),
    [
        ('Guest Apr 4, 12:05 p.m.', 'Apr 4, 12:05 p.m.'),
        ('Guest Sept. 14, 2024, 1:05 PM', 'Sept. 14, 2024, 1:05 PM'),
        ('Guest11:05 a.m.', '11:05 a.m.'),
        ('Guest11:05 AM ET', '11:05 AM ET'),
        ('Guest noon', 'noon'),
        ('Guest 12:00 noon', '12:00 noon'),
        ('Guest  Dec 31, 11:59\u202fp.m. ', 'Dec 31, 11:59 p.m.'),
        ('Guest 2 hours ago', '2 hours ago'),
        ('Guest\nApr 4, 12:05 p.m.', 'Apr 4, 12:05 p.m.'),
        ('Guest at an hour unknown', 'at an hour unknown'),
        ('Worried in Ghent Apr 4, 12:05 p.m.', 'Apr 4, 12:05 p.m.'),
    ],
)
def test_stamps_come_in_many_forms(stamp: str, time: str) -> None:
    text = f'The ladder\n{stamp}\nQUESTION: Why?\n{ANSWERED}'
    assert _pairs(text) == [('The ladder', time, 'Why?', 'Because.')]


ANSWERED = 'avatar\nMarian Vale\nAdvice Columnist\nANSWER: Because.\n'


@pytest.mark.parametrize(
    'footer',
    [
        'Post has 1 reply and 1 Like\n1Press Enter to expand\n',
        'Post has undefined replies and 147 LikesPress Enter to expand\n147\n',
        'Post has 0 replies and 1.2K LikesPost expanded\n',
        'Post has 0 replies and 9 Likes\n\n9Post comments expanded\n',
        '95Press Enter to expand\n',
        '\n\n',
        '',
    ],
)
def test_footers_and_tallies_come_in_many_forms(footer: str) -> None:
    text = f'Guest11:05 a.m.\nQUESTION: Why?\n{ANSWERED}{footer}'
    following = f'The ladder\nGuest11:06 a.m.\nQUESTION: How?\n{ANSWERED}{footer}'
    assert _pairs(text + following) == [
        ('', '11:05 a.m.', 'Why?', 'Because.'),
        ('The ladder', '11:06 a.m.', 'How?', 'Because.'),
    ]


def test_a_footer_glued_to_the_last_line_is_cut_off() -> None:
    text = f'Guest11:05 a.m.\nQUESTION: Why?\n{ANSWERED}'.rstrip()
    glued = text + 'Post has 0 replies and 35 LikesPost expanded'
    assert _pairs(glued) == [('', '11:05 a.m.', 'Why?', 'Because.')]


def test_a_footer_that_somebody_quotes_is_text() -> None:
    quoting = 'It says Post has 0 replies and 3 Likes on every post.'
    text = f'Guest11:05 a.m.\nQUESTION: {quoting}\n{ANSWERED}'
    assert _pairs(text) == [('', '11:05 a.m.', quoting, 'Because.')]


def test_windows_newlines_and_trailing_blanks_change_nothing() -> None:
    messy = CHAT.replace('\n', '  \r\n').replace('avatar', '\u200bavatar\xa0')
    assert _pairs(messy) == _pairs(CHAT)


def test_only_an_avatar_opens_an_answer() -> None:
    quoted = 'Marian Vale\nAdvice Columnist\nANSWER: Wait a year.\navatar\nof patience'
    text = f'Guest11:05 a.m.\nQUESTION: You said:\n{quoted}\n{ANSWERED}'
    found = chat.parse(text, file='chat.md')
    assert found.pairs[0].question == f'You said:\n{quoted}'
    assert found.pairs[0].answer == 'Because.'
    assert found.unknown == [
        (5, 'ANSWER: Wait a year.', 'kept in the question'),
        (6, 'avatar', 'kept in the question'),
    ]


def test_a_producer_beside_the_columnist_leaves_the_answer_alone() -> None:
    reply = 'avatar\nTom Reed\nProducer\nANSWER: Fixed.\n'
    text = f'Guest11:05 a.m.\nQUESTION: Why?\n{reply}{ANSWERED}'
    assert _pairs(text) == [('', '11:05 a.m.', 'Why?', 'Because.')]


def test_a_reply_without_its_label_is_read_by_its_role() -> None:
    reply = 'avatar\nMarian Vale\nAdvice Columnist\nBecause.\n'
    assert _pairs(f'Guest11:05 a.m.\nQUESTION: Why?\n{reply}') == [
        ('', '11:05 a.m.', 'Why?', 'Because.')
    ]


def test_the_host_answers_whatever_the_role() -> None:
    text = f'Guest11:05 a.m.\nQUESTION: Why?\n{ANSWERED}'
    text = text.replace('Advice Columnist', 'Gardener')
    assert _pairs(text) == [('', '11:05 a.m.', 'Why?', 'Because.')]


def test_a_host_post_within_a_chat_belongs_to_nobody() -> None:
    text = (
        f'Guest11:05 a.m.\nQUESTION: Why?\n{ANSWERED}'
        'Marian ValeAdvice Columnist11:06 a.m.\nBack in a minute.\n'
        f'The ladder\nGuest11:07 a.m.\nQUESTION: How?\n{ANSWERED}'
    )
    found = chat.parse(text, file='chat.md')
    assert page.clean_text(found.pieces, 'staff post') == 'Back in a minute.'
    assert [(topic, answer) for topic, _, _, answer in _pairs(text)] == [
        ('', 'Because.'),
        ('The ladder', 'Because.'),
    ]
    assert found.counts['chat host posts'] == 1


def test_the_columnists_words_below_a_picture_stay() -> None:
    answer = 'ANSWER: image\nThis is the dog, wet.\nimage\nAnd dry.\n'
    text = 'Guest11:05 a.m.\nQUESTION: Dog?\navatar\nMarian Vale\nAdvice Columnist\n'
    found = chat.parse(text + answer, file='chat.md')
    assert found.pairs[0].answer == 'This is the dog, wet.\nAnd dry.'
    assert found.unknown == [(9, 'And dry.', 'kept in the text')]


def test_section_titles_around_an_answer_are_link_cards() -> None:
    text = f'Guest11:05 a.m.\nQUESTION: Why?\n{ANSWERED}Review | A long winter\n'
    text = text.replace('Because.', 'Column | Why it never rains\n\nBecause.')
    found = chat.parse(text, file='chat.md')
    assert found.pairs[0].answer == 'Because.'
    assert found.pairs[0].flags == ('link card',)


def test_the_control_below_a_long_answer_is_no_word_of_it() -> None:
    text = f'Guest11:05 a.m.\nQUESTION: Why?\n{ANSWERED}\n(click for more)\n'
    assert _pairs(text)[0][3] == 'Because.'


def test_text_between_posts_that_is_no_topic_is_reported() -> None:
    text = f'Welcome, all.\nThe ladder\nGuest11:05 a.m.\nQUESTION: Why?\n{ANSWERED}'
    found = chat.parse(text, file='chat.md')
    assert found.unknown == [(1, 'Welcome, all.', 'left out')]
    assert found.pairs[0].topic == 'The ladder'


def test_a_line_can_end_in_an_hour_without_being_a_stamp() -> None:
    question = 'We met on\nMonday at 11:05 a.m.\nand never again.'
    text = f'Guest11:05 a.m.\nQUESTION: {question}\n{ANSWERED}'
    assert _pairs(text)[0][2] == question


def test_a_stamp_is_split_into_name_and_time() -> None:
    assert chat_grammar.stamp('Guest Jun 6, 11:05 a.m.') == (
        'Guest',
        'Jun 6, 11:05 a.m.',
    )
    assert chat_grammar.stamp('Marian ValeAdvice Columnist11:03 a.m.') == (
        'Marian ValeAdvice Columnist',
        '11:03 a.m.',
    )
    assert chat_grammar.stamp('Nothing of the kind') is None


# Counted with `grep -c '^QUESTION:'`, '^avatar$' less '^ANSWER: Post has', and
# '^ANSWER: Post has', and for hosts 'Advice Columnist[A-Z0-9]'.
REAL_COUNTS = {
    'carolyn_hax_060625_chat.md': (37, 30, 0, 2),
    'carolyn_hax_102425_chat.md': (32, 10, 19, 3),
    'carolyn_hax_103125_chat.md': (36, 23, 0, 3),
}


@pytest.mark.parametrize('name', REAL_COUNTS)
def test_real_chats_hold_what_grep_counts_in_them(name: str) -> None:
    found = chat.parse(_real(name), file=name)
    posts, answered, empty, host = REAL_COUNTS[name]
    assert len(found.pairs) == answered
    assert found.counts['chat guest posts'] == posts
    assert found.counts['chat posts with an empty answer'] == empty
    assert found.counts['chat host posts'] == host
    assert found.counts['chat posts unanswered'] == posts - answered - empty
    assert found.unknown == []


@pytest.mark.parametrize('name', REAL_COUNTS)
def test_no_word_of_a_real_question_or_answer_is_lost(name: str) -> None:
    text = _real(name)
    found = chat.parse(text, file=name)
    expected = []
    for post in re.split(r'^Guest.*m\.\n', text, flags=re.MULTILINE)[1:]:
        body, _, _ = post.partition('Post has ')
        question, _, reply = body.partition('\navatar\n')
        answer = reply.partition('ANSWER:')[2]
        if answer.strip():
            expected.append((question.partition('QUESTION:')[2], answer))
    assert len(expected) == len(found.pairs)
    left_out = 0
    for pair, (question, answer) in zip(found.pairs, expected, strict=True):
        assert pair.question.split() == characters.clean(question).split()
        words = characters.clean(answer).split()
        kept = pair.answer.split()
        assert kept == words[: len(kept)]
        left_out += len(words) - len(kept)
    furniture = ('image', 'link card', 'click for more line')
    words_by_kind = page.words(found.pieces)
    assert left_out == sum(words_by_kind[kind] for kind in furniture)
    assert sum(words_by_kind.values()) == len(text.split())


def _real(name: str) -> str:
    path = REAL / name
    if not path.exists():
        pytest.skip('the real chats are not beside this checkout')
    return path.read_text(encoding='utf-8')
