"""Chats laid out otherwise than those that the parser was made with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.pages import chat, chat_grammar, page

REPLY = 'avatar\nMarian Vale\nAdvice Columnist\nANSWER: Because.\n'
FOOTER = 'Post has 0 replies and 9 Likes\n9Press Enter to expand\n'
FIRST = f'A start\nGuest11:05 a.m.\nQUESTION: Why?\n{REPLY}{FOOTER}'


def _pairs(text: str) -> list[tuple[str, str, str]]:
    found = chat.parse(text, file='chat.md').pairs
    return [(pair.topic, pair.question, pair.answer) for pair in found]


def _kinds(text: str, kind: str) -> list[str]:
    pieces = chat.parse(text, file='chat.md').pieces
    return [piece.text for piece in pieces if piece.kind == kind]


START = ('A start', 'Why?', 'Because.')


@pytest.mark.parametrize(
    'label',
    ['Question:', 'question: ', '**QUESTION:**', 'QUESTION :', '\ufeffQUESTION:'],
)
def test_where_a_label_is_due_it_may_be_written_otherwise(label: str) -> None:
    text = FIRST + f'Bells\nGuest11:06 a.m.\n\n{label} How?\n{REPLY}'
    assert _pairs(text) == [START, ('Bells', 'How?', 'Because.')]


def test_a_picture_of_markdown_may_be_the_avatar() -> None:
    text = FIRST.replace('avatar', '![avatar](https://example.com/a.png)')
    assert _pairs(text) == [START]


def test_an_answers_label_may_be_in_small_letters_below_its_name() -> None:
    text = FIRST + f'Bells\nGuest11:06 a.m.\nQUESTION: How?\n{REPLY}'
    assert _pairs(text.replace('ANSWER:', 'Answer:')) == [
        START,
        ('Bells', 'How?', 'Because.'),
    ]


def test_a_text_may_begin_with_a_word_like_a_label() -> None:
    question = 'Look:\nQuestion: how?\nanswer: so.'
    text = FIRST + f'Bells\nGuest11:06 a.m.\nQUESTION: {question}\n{REPLY}'
    assert _pairs(text)[1][1] == question


def test_a_question_may_stand_below_its_label() -> None:
    text = FIRST + f'Bells\nGuest11:06 a.m.\nQUESTION:\n\nHow?\n{REPLY}'
    assert _pairs(text)[1] == ('Bells', 'How?', 'Because.')


@pytest.mark.parametrize(
    'name',
    [
        'Marian Vale\nAdvice Columnist\n',
        'Marian Vale\n',
        'Rae Moss\nStaff Writer\n',
        '',
    ],
)
def test_in_a_chat_without_avatars_the_label_opens_an_answer(name: str) -> None:
    questions = ['How?\n\nThank You', 'Who?', 'When?']
    text = ''.join(
        f'Bells\nGuest11:06 a.m.\nQUESTION: {question}\n{name}ANSWER: So.\n{FOOTER}'
        for question in questions
    )
    assert _pairs(text) == [('Bells', question, 'So.') for question in questions]


def test_where_avatars_are_a_label_without_one_is_quoted() -> None:
    quoted = 'You said:\nMarian Vale\nAdvice Columnist\nANSWER: Wait a year.'
    text = FIRST + f'Bells\nGuest11:06 a.m.\nQUESTION: {quoted}\n{FOOTER}'
    assert _pairs(text) == [START]


def test_a_producer_alone_is_not_taken_for_the_host() -> None:
    help_ = 'avatar\nTom Reed\nSound Desk\nANSWER: Fixed.\n'
    text = (
        f'Marian ValeAdvice Columnist11:03 a.m.\nHello.\n9Press Enter to expand\n'
        f'No sound\nGuest11:05 a.m.\nQUESTION: Why?\n{help_}{FOOTER}'
    )
    found = chat.parse(text, file='chat.md')
    assert found.pairs == []
    assert found.counts['chat posts answered by a producer alone'] == 1


def test_a_guest_host_answers_whatever_the_role() -> None:
    text = (FIRST * 2).replace('Advice Columnist', 'Reporter')
    text += (
        'Bells\nGuest11:06 a.m.\nQUESTION: How?\n'
        f'avatar\nTom Reed\nProducer\nANSWER: Fixed.\n{FOOTER}'
    )
    assert _pairs(text) == [START, START]


def test_posters_may_have_names_of_their_own() -> None:
    text = FIRST.replace('Guest', 'Anon in Bath ').replace('QUESTION: ', '')
    text += 'Bells at 5 p.m.\nRae, 11:06 a.m.\nHow?\n' + REPLY
    assert _pairs(text) == [START, ('Bells at 5 p.m.', 'How?', 'Because.')]


@pytest.mark.parametrize(
    'sentence',
    [
        'I met the Director today',
        'Then came the Manager at noon',
        'So I asked a Producer yesterday',
    ],
)
def test_a_sentence_that_ends_in_a_role_and_a_day_opens_no_post(sentence: str) -> None:
    text = FIRST + f'Bells\nGuest11:06 a.m.\nQUESTION: How?\n{sentence}\nSo.\n{REPLY}'
    assert _pairs(text)[1][1] == f'How?\n{sentence}\nSo.'


def test_without_a_footer_the_topic_and_the_tally_are_taken_off_the_answer() -> None:
    text = f'{FIRST}Bells\nGuest11:06 a.m.\nQUESTION: How?\n{REPLY}\nSo.\n147\n'
    text += f'More\nGuest11:07 a.m.\nQUESTION: Who?\n{REPLY}'
    assert _pairs(text)[1:] == [
        ('Bells', 'How?', 'Because.\n\nSo.'),
        ('More', 'Who?', 'Because.'),
    ]


def test_where_posts_have_no_topics_none_is_taken_off_an_answer() -> None:
    one = f'Guest11:05 a.m.\nQUESTION: Why?\n{REPLY}Yours.\n'
    text = one + FOOTER + one + FOOTER + one + one
    assert _pairs(text) == [('', 'Why?', 'Because.\nYours.')] * 4


def test_a_long_paragraph_is_no_topic() -> None:
    text = (
        FIRST.removesuffix(FOOTER) + 'word ' * 60 + '\nGuest11:06 a.m.\nQUESTION: x\n'
    )
    assert _pairs(text)[0][2].startswith('Because.\nword')


@pytest.mark.parametrize(
    'end',
    [
        '\nPost has 0 replies and 26 Lik',
        '\nPost has undefined repl',
        '\nPost has 0',
        'Post has 0 replies and',
        '\nPost has undefined replies and 401 Likes\n40',
    ],
)
def test_a_chat_may_break_off_within_a_footer(end: str) -> None:
    assert _pairs(FIRST.removesuffix('\n' + FOOTER) + end) == [START]


def test_a_sentence_may_end_a_chat_like_a_footer_that_breaks_off() -> None:
    text = FIRST.removesuffix('\n' + FOOTER) + ' As the Post has'
    assert _pairs(text)[0][2] == 'Because. As the Post has'


def test_a_footer_below_a_quoted_one_is_cut_off() -> None:
    quoting = 'It says Post has 0 replies and 3 Likes on it.'
    text = FIRST.replace('Because.\n', quoting)
    assert _pairs(text) == [('A start', 'Why?', quoting)]


def test_a_topic_may_be_glued_below_a_footer() -> None:
    glued = FIRST.removesuffix('9Press Enter to expand\n').rstrip()
    text = f'{glued} Bells\nGuest11:06 a.m.\nQUESTION: How?\n{REPLY}'
    assert _pairs(text) == [START, ('Bells', 'How?', 'Because.')]


@pytest.mark.parametrize(
    'footer',
    [
        'Post has replies and Likes\n',
        'Post has\xa01,204\xa0replies and 1.2K Likes\n',
        'Post has 2 comments and 1 Like\n',
        'Post has 147 Likes\n147\n',
        'post has no replies and no likes\n',
    ],
)
def test_a_footers_counts_may_be_odd(footer: str) -> None:
    text = FIRST.replace(FOOTER, footer)
    text += f'Bells\nGuest11:06 a.m.\nQUESTION: How?\n{REPLY}'
    assert _pairs(text) == [START, ('Bells', 'How?', 'Because.')]


def test_what_stands_above_most_footers_is_the_pages() -> None:
    one = 'Bells\nGuest11:06 a.m.\nQUESTION: How?\n' + REPLY.partition('ANSWER')[0]
    answers = ['So.', 'So so.', 'Share', 'So it is.\n\nThanks!']
    text = ''.join(f'{one}ANSWER: {a}\nShare\nCopy link\n{FOOTER}' for a in answers)
    assert [answer for _, _, answer in _pairs(text)] == answers
    assert _kinds(text, 'page control') == ['Share', 'Copy link'] * 4


@pytest.mark.parametrize('line', ['Bye now.', '—Marian'])
def test_a_greeting_above_most_footers_is_the_answers(line: str) -> None:
    one = FIRST.replace('Because.', f'Because.\n{line}')
    assert {answer for _, _, answer in _pairs(one * 4)} == {f'Because.\n{line}'}


def test_a_last_line_that_two_answers_share_is_theirs() -> None:
    one = FIRST.replace('Because.', 'Because.\nThanks!')
    assert [answer for _, _, answer in _pairs(one * 2)] == ['Because.\nThanks!'] * 2


def test_an_advertisement_is_no_word_of_an_answer() -> None:
    text = FIRST.replace('Because.', 'Because.\n\nAdvertisement\n\nSo.')
    assert _pairs(text)[0][2] == 'Because.\n\nSo.'


def test_section_titles_may_end_in_a_full_stop() -> None:
    card = 'The Long Column | She wants a ladder. He wants two.'
    text = FIRST.replace('Because.', f'Because.\n\n{card}')
    assert _pairs(text)[0][2] == 'Because.'
    assert _kinds(text, 'link card') == [card]


def test_a_sets_mark_closes_a_chat_and_weighs_its_pairs() -> None:
    text = FIRST.removesuffix(FOOTER) + 'OVERSAMPLE_WEIGHT: 2.5 <END_OF_SET>\n' + FIRST
    found = chat.parse(text, file='chat.md')
    assert [(pair.answer, pair.weight) for pair in found.pairs] == [
        ('Because.', 2.5),
        ('Because.', 1.0),
    ]
    assert found.counts['chat pairs weighted'] == 1


def test_a_line_between_posts_is_reported_once() -> None:
    found = chat.parse(f'{FIRST}avatar\nStray\n{FIRST}', file='chat.md')
    assert [text for _, text, _ in found.unknown] == ['avatar', 'Stray']
    assert page.words(found.pieces)['unknown'] == 2


@pytest.mark.parametrize(
    ('said', 'kept'),
    [
        # A preview ends at a blank line; what stands below is the columnist's.
        (
            'Long.\nimage\nAdvice | Whose fence?\n\nHere is Ned.',
            'Long.\n\nHere is Ned.',
        ),
        ('Long.\n\nReview | A very long winter\n\nMore.', 'Long.\n\nMore.'),
        ('Long.\nReview | A very long winter\nOpinions', 'Long.'),
        ('Long.\nimage\nWhose fence?\nBy Robin Tadesse\nOctober 3, 2025', 'Long.'),
        (
            'Long.\nimage\nThis is Ned.\nAnd his hat.',
            'Long.\nThis is Ned.\nAnd his hat.',
        ),
        ('image\nThis is Ned\nAnd his hat', 'This is Ned\nAnd his hat'),
    ],
)
def test_a_preview_in_an_answer_ends_where_the_columnist_goes_on(
    said: str, kept: str
) -> None:
    text = FIRST + f'Bells\nGuest11:06 a.m.\nQUESTION: How?\n{REPLY}{FOOTER}'
    found = _pairs(text.replace('Because.', said).replace(said, 'Because.', 1))
    assert found == [START, ('Bells', 'How?', kept)]


@pytest.mark.parametrize(
    'said',
    [
        'Advice | Who owns a fence',
        'image\nAdvice | Sheds',
        '\nimage\nOpinion | Sheds\nAdvice',
    ],
)
def test_an_answer_of_a_preview_alone_is_none(said: str) -> None:
    text = FIRST + f'Bells\nGuest11:06 a.m.\nQUESTION: How?\n{REPLY}{FOOTER}'
    assert _pairs(text.replace('Because.', said).replace(said, 'Because.', 1)) == [
        START
    ]


@pytest.mark.parametrize(
    ('asked', 'kept'),
    [
        ('image\nHere is my shed', 'Here is my shed'),
        ('Look:\nimage\nHere is my shed. Rate it?', 'Look:\nHere is my shed. Rate it?'),
        ('Look:\nimage\nA shed fell\nAdvice\n\nimage\nA fence fell\nAdvice', 'Look:'),
        ('Look:\n\nColumn | Why the shed fell\n\nWhy?', 'Look:\n\nWhy?'),
    ],
)
def test_what_a_guest_says_below_a_picture_stays(asked: str, kept: str) -> None:
    text = FIRST + f'Bells\nGuest11:06 a.m.\nQUESTION: {asked}\n{REPLY}'
    assert _pairs(text) == [START, ('Bells', kept, 'Because.')]


def test_a_hosts_post_may_be_spread_over_lines() -> None:
    host = 'avatar\nMarian Vale\nAdvice Columnist\nOct 3, 11:33 a.m.\nBack soon.\n'
    asked = 'Bells\nGuest11:06 a.m.\nQUESTION: How?\n'
    assert _pairs(FIRST + host + FOOTER + asked + REPLY)[1][2] == 'Because.'
    assert _pairs(FIRST + asked + FOOTER + host) == [START]
    assert _kinds(FIRST + host, 'staff post') == ['Back soon.', '']


@pytest.mark.parametrize(
    'cut', ['Post has u', 'Post has undefin', 'Post has undefined']
)
def test_a_footer_may_break_off_within_its_number(cut: str) -> None:
    assert _pairs(FIRST.partition('Post has')[0] + cut) == [START]


WORDS = (
    'Post has 3 no replies comment and 5 Likes POST ſ Press Enter to expand Post '
    'comments collapsed undefined text. 12 K Guest 11:05 a.m. noon Apr 4 today 2 days '
    'ago just now May'
)


@given(st.lists(st.sampled_from(WORDS.split())).map(' '.join))
def test_no_footer_tally_or_stamp_is_passed_over(line: str) -> None:
    cuts = chat_grammar._split_furniture(page.Piece(1, line, page.UNKNOWN))
    found = chat_grammar._FOOTER.search(line) or chat_grammar._TALLY.match(line)
    if found is None:
        assert [(each.text, each.kind) for each in cuts] == [(line, page.UNKNOWN)]
    else:
        folded = line.casefold()
        assert 'post' in folded or 'press' in folded
    stamped = len(line) <= 120 and chat_grammar._STAMPED.fullmatch(line)
    assert bool(chat_grammar.stamp(line)) == bool(stamped)
