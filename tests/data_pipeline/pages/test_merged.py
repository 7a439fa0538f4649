"""Merged training files: pairs without separators, and their residue."""

import pytest

from data_pipeline import settings
from data_pipeline.pages import merged, page
from data_pipeline.pair_stages import cleaning

MERGED = """\
QUESTION: Where is my ladder?
Marian Vale
Advice Columnist
ANSWER: Next door.

Ring the bell.
The second ladder
QUESTION: Which bell?
ANSWER: The loud one.
Re: bells
QUESTION: Are there two?

I counted two.
ANSWER: Three.
OVERSAMPLE_WEIGHT: 3 <END_OF_SET>
"""


def _pairs(text: str) -> list[tuple[str, str, str]]:
    found = merged.parse(text, file='merged.md').pairs
    return [(pair.topic, pair.question, pair.answer) for pair in found]


def test_labels_separate_pairs_and_residue_goes() -> None:
    assert _pairs(MERGED) == [
        ('', 'Where is my ladder?', 'Next door.\n\nRing the bell.'),
        ('The second ladder', 'Which bell?', 'The loud one.'),
        ('Re: bells', 'Are there two?\n\nI counted two.', 'Three.'),
    ]


OTHERS = 'QUESTION: b\nANSWER: Two.\n' * 3


@pytest.mark.parametrize(
    'last',
    [
        *('Yours ever', 'Good luck to you', 'Carolyn Vale', 'Seriously', 'The end.'),
        *('and then leave', 'Is it?', 'Call him!', '- Two socks', '“Call him now.”'),
        'Here: https://example.com/a',
    ],
)
def test_a_closing_line_of_one_answer_is_its_own(last: str) -> None:
    text = f'QUESTION: a\nANSWER: One.\n{last}\n{OTHERS}'
    assert _pairs(text)[0] == ('', 'a', f'One.\n{last}')
    open_end = f'QUESTION: a\nANSWER: I like\nWho Gets the Piano\n{OTHERS}'
    assert _pairs(open_end)[0][2] == 'I like\nWho Gets the Piano'


@pytest.mark.parametrize(
    'last',
    ['Re: bells', 'Who Gets the Piano', 'My sister wants my dog', '“Old” friends'],
)
@pytest.mark.parametrize('between', ['', '\n', '1125\n', '\nand\n'])
def test_the_next_topic_is_taken_off_one_answer_too(last: str, between: str) -> None:
    for below in (f'{last}\n{between}', f'{between}{last}\n\n'):
        text = f'QUESTION: a\nANSWER: One.\n{below}{OTHERS}'
        found = merged.parse(text, file='m.md')
        answer, times = cleaning.without_tail(found.pairs[0].answer)
        assert (answer, found.pairs[1].topic) == ('One.', last)
        assert times == len(between.split())
        assert found.counts['merged topics taken off answers'] == 1


@pytest.mark.parametrize(
    'answer',
    [
        'Two ways:\n\n1) leave\n\n2) stay number',
        'Both of these.\n- Leave\n- Stay',
        'I would ask her\n\nbut not on a Sunday',
        'Ask her.\n\nP.S. Not on Sunday',
        'You are not alone.\nCall 988',
        'Leave him.\nTake the dog, too (but not hers.)',
        'It is all here:\nhttps://example.com/help',
        'You are not alone.\nCrisis Text Line: text HOME to 741741',
        'You are not alone.\nHelp at 1-800-273-8255 or text 741741',
    ],
)
def test_where_most_answers_end_in_a_topic_a_line_that_goes_on_stays(
    answer: str,
) -> None:
    given = [answer, *(f'Yes {i}.\nThe Topic Below Of {i}' for i in range(4))]
    text = ''.join(f'QUESTION: a{i}\nANSWER: {a}\n' for i, a in enumerate(given))
    assert [each[2] for each in _pairs(text)[:3]] == [answer, 'Yes 0.', 'Yes 1.']


@pytest.mark.parametrize(
    ('last', 'left'),
    [
        ('The spare ladder', 'Wait.'),
        ('Good luck to you', 'Wait.\n\nGood luck to you'),
        ('Then call her.', 'Wait.\n\nThen call her.'),
    ],
)
def test_a_file_of_topics_may_end_in_one(last: str, left: str) -> None:
    topics = ['Whose dog is it', 'A loan to him', 'Tea at noon', last]
    found = merged.parse(
        ''.join(
            f'QUESTION: Why {i}?\n\nANSWER: Wait.\n\n{topic}\n\n'
            for i, topic in enumerate(topics)
        ),
        file='f.md',
    )
    assert [pair.answer for pair in found.pairs] == ['Wait.'] * 3 + [left]
    taken = 3 + (left == 'Wait.')
    assert found.counts['merged topics taken off answers'] == taken
    assert (merged.LINE_TAKEN in found.pairs[-1].flags) == (left == 'Wait.')


def test_a_line_that_ends_many_answers_is_a_signature() -> None:
    pair = 'QUESTION: a{0}\nANSWER: Sail on, {0}.\n\nFair winds, Captain Winnie\n\n'
    text = ''.join(map(pair.format, range(4)))
    found = merged.parse(text, file='m.md')
    assert [each.topic for each in found.pairs] == [''] * 4
    ends = {each.answer.partition('\n\n')[2] for each in found.pairs}
    assert ends == {'Fair winds, Captain Winnie'}
    assert not found.counts['merged topics taken off answers']
    # Topics of their own still go, in a file where each answer has one.
    topics = ''.join(
        f'QUESTION: a{i}\nANSWER: Sail on, {i}.\n{word} and sorrow\n'
        for i, word in enumerate(('Pearls', 'Dogs', 'Bells', 'Aunts'))
    )
    found = merged.parse(topics, file='m.md')
    assert found.counts['merged topics taken off answers'] == 4


@pytest.mark.parametrize(
    ('lines', 'taken'),
    [
        (['Wedding woes', 'The other woman', 'Re: cake', 'His mother calls', 'Ex'], 17),
        (['Good luck to you', 'Marian Vale', 'Best of luck', 'Carolyn', 'Hugs'], 0),
    ],
)
def test_topics_that_come_again_are_topics_and_closings_are_not(
    lines: list[str], taken: int
) -> None:
    pair = 'QUESTION: a{0}\nANSWER: Sail on, {0}.\n{1}\n\n'
    text = ''.join(pair.format(i, lines[i % 5]) for i in range(21))
    found = merged.parse(text, file='m.md')
    assert found.counts['merged topics taken off answers'] == taken


def test_among_many_topics_one_word_may_come_again_and_sentences_are_in_doubt() -> None:
    topics = [f'The aunt of number {i}' for i in range(20)]
    lines = [*topics[:10], *['Anonymous'] * 3, 'Boise, Id.', *topics[10:]]
    pair = 'QUESTION: a{0}\nANSWER: Sail on, {0}.\n{1}\n\n'
    text = ''.join(pair.format(i, line) for i, line in enumerate(lines))
    found = merged.parse(text, file='m.md')
    assert found.counts['merged topics taken off answers'] == 23
    said = 'may be the next topic, kept in the answer'
    assert [each[1:] for each in found.unknown] == [('Boise, Id.', said)]


def test_in_a_file_of_counts_one_below_an_open_end_is_none_of_the_answer() -> None:
    answers = ['Go home.\n95', 'Two is\nenough for\n204', 'Call:\n988', 'No.\n1125']
    text = ''.join(f'QUESTION: a{i}\nANSWER: {a}\n' for i, a in enumerate(answers))
    left = [cleaning.without_tail(answer)[0] for *_, answer in _pairs(text)]
    assert left == ['Go home.', 'Two is\nenough for', 'Call:\n988', 'No.']
    few = f'QUESTION: b\nANSWER: {answers[1]}\n{OTHERS}'
    assert _pairs(few)[0][2] == answers[1]


def test_a_count_below_a_smiley_is_no_part_of_the_answer() -> None:
    for smiley in ('🎃', '❤️', '👍🏽'):
        assert cleaning.without_tail(f'Go home {smiley}\n95') == (
            f'Go home {smiley}',
            1,
        )
    assert cleaning.without_tail('Call this number:\n95')[1] == 0


def test_below_an_avatar_stand_a_name_and_any_role() -> None:
    text = 'QUESTION: Who?\navatar\nAnn Lee\nFood critic\nANSWER: Tom.\n'
    assert _pairs(text + text.replace('Who', 'Me')) == [
        ('', 'Who?', 'Tom.'),
        ('', 'Me?', 'Tom.'),
    ]


def test_a_name_below_a_closing_is_the_letters_own() -> None:
    letters = [f'May I sing {i}?\n\nSigned,\nTired Twin' for i in range(4)]
    text = ''.join(f'QUESTION: {each}\nANSWER: Do.\n' for each in letters)
    assert [question for _, question, _ in _pairs(text)] == letters
    own = text.replace('\nSigned,\nTired Twin', '\nMarian Vale')
    assert [question for _, question, _ in _pairs(own)] == [
        f'May I sing {i}?' for i in range(4)
    ]


def test_counts_of_likes_are_no_topics() -> None:
    for count in ('1125', '👍 1125', '❤️'):
        text = f'QUESTION: a\nANSWER: One.\n{count}\n' * 3
        # Left to the stage clean.
        assert _pairs(text) == [('', 'a', f'One.\n{count}')] * 3


@pytest.mark.parametrize(
    'count', ['44 Likes', '1,125', '2 points', '😀👍🏽', '<3', ':-)', '</p>']
)
def test_a_sentence_with_a_count_or_a_smiley_behind_it_is_no_topic(count: str) -> None:
    ends = 'Ring the bell.', 'Go home.', 'Ask the neighbour twice.'
    text = '\n'.join(
        f'QUESTION: Which bell, {i}?\nANSWER: No idea.\n\n{end} {count}\n'
        for i, end in enumerate(ends)
    )
    assert [(topic, answer) for topic, _, answer in _pairs(text)] == [
        ('', f'No idea.\n\n{end} {count}') for end in ends
    ]


def test_link_cards_in_an_answer_go_and_are_counted() -> None:
    cards = (
        'image\nOpinion | Nobody reads the manual\nA study in kitchens.\nexample.org\n',
        '\nHow to read a manual\nexample.org\n',
        '\nHow to read a manual\nIt takes four evenings.\nwww.example.org/a-b\n',
        '\nPerspective | How to read a manual\n',
    )
    for card in cards:
        found = merged.parse(f'QUESTION: a\nANSWER: One.\n{card}{OTHERS}', file='m.md')
        assert found.pairs[0].answer == 'One.'
        assert found.counts['merged link cards'] == 1
    said = 'ANSWER: Read all of it.\nexample.org\n'
    found = merged.parse(f'QUESTION: a\n{said}{OTHERS}', file='m.md')
    assert found.pairs[0].answer == 'Read all of it.\nexample.org'


def test_records_name_their_line_and_are_groups_of_their_own() -> None:
    pairs = merged.parse(MERGED, file='m/merged.md').pairs
    assert [pair.line for pair in pairs] == [1, 8, 11]
    assert [pair.group for pair in pairs] == [pair.id for pair in pairs]
    assert pairs[0].id.startswith('merged:merged:')
    assert [pair.flags for pair in pairs] == [
        (merged.LINE_TAKEN,),
        (merged.TOPIC_TAKEN, merged.LINE_TAKEN),
        (merged.TOPIC_TAKEN,),
    ]


def test_questions_without_answers_are_counted() -> None:
    text = (
        'QUESTION: a\nQUESTION: b\nANSWER: Post has 0 replies and 4 Likes\n4\n'
        'QUESTION: c\nANSWER: C.'
    )
    found = merged.parse(text, file='m.md')
    assert [(p.question, p.answer) for p in found.pairs] == [('c', 'C.')]
    assert found.counts == {
        'merged questions': 3,
        'merged questions unanswered': 1,
        'merged questions with an empty answer': 1,
        'merged questions answered': 1,
    }


def test_a_second_answer_is_a_pair_of_the_same_group() -> None:
    text = 'QUESTION: a\nANSWER: B.\nThe last word\nANSWER: C.\n'
    found = merged.parse(f'{text}{OTHERS}', file='m.md')
    said = [(pair.question, pair.answer) for pair in found.pairs]
    assert said[:2] == [('a', 'B.\nThe last word'), ('a', 'C.')]
    first, second, other, *_ = (pair.group for pair in found.pairs)
    assert first == second != other
    assert found.counts['merged further answers to a question'] == 1
    assert found.unknown == []
    many = merged.parse(text + OTHERS * 2, file='m.md')
    assert many.unknown == [(4, 'ANSWER: C.', 'read as a further answer')]
    below = 'Post has 0 replies and 4 Likes\nANSWER:\nANSWER: C.\n'
    assert _pairs(f'QUESTION: a\nANSWER: B.\n{below}{OTHERS}')[1] == ('', 'a', 'C.')


def test_few_labels_before_small_letters_may_be_words_and_are_reported() -> None:
    others = 'QUESTION: Why?\nANSWER: One.\n' * 6
    found = merged.parse(f'{others}ANSWER: is a label.\n{others}', file='m.md')
    assert found.pairs[5].answer == 'One.\nANSWER: is a label.'
    assert found.unknown == [(13, 'ANSWER: is a label.', 'kept in the answer')]
    asked = 'QUESTION: is it? ANSWER: no.\n'
    found = merged.parse(f'{others}{asked}{others}', file='m.md')
    assert len(found.pairs) == 13
    assert [line for line, _, _ in found.unknown] == [13, 13]


def test_a_name_without_its_role_goes_where_it_recurs() -> None:
    one = 'QUESTION: a{0}\n\nThank You\nMarian Vale\nANSWER: Yes.\n\n'
    text = ''.join(one.format(i) for i in range(3))
    assert _pairs(text)[2] == ('', 'a2\n\nThank You', 'Yes.')
    assert _pairs(one.format(0))[0][1] == 'a0\n\nThank You\nMarian Vale'


def test_a_name_that_has_a_role_elsewhere_goes_where_a_label_follows() -> None:
    text = MERGED.partition('OVERSAMPLE')[0] + (
        'QUESTION: Whose?\nMarian Vale\nANSWER: Marian Vale\nhas one.\n'
        'Marian Vale\nQUESTION: Is it?\nimage\nANSWER: Yes.\n'
    )
    assert _pairs(text)[3:] == [
        ('', 'Whose?', 'Marian Vale\nhas one.'),
        ('', 'Is it?', 'Yes.'),
    ]


def test_between_a_closing_name_and_the_next_question_stands_a_topic() -> None:
    role = 'Marian Vale\nAdvice Columnist\n'
    text = (
        f'QUESTION: a\nANSWER: One.\nTwo.\n{role}The ladder\nQUESTION: b\n'
        f'ANSWER:\n{role}Three.\nQUESTION: c\nANSWER: Four.\n'
    )
    assert _pairs(text) == [
        ('', 'a', 'One.\nTwo.'),
        ('The ladder', 'b', 'Three.'),
        ('', 'c', 'Four.'),
    ]


def test_labels_may_stand_within_a_line() -> None:
    text = (
        'QUESTION: a ANSWER: One.\nQUESTION: b\nANSWER: Two.QUESTION: Say ANSWER: or '
        'not?\nANSWER: "QUESTION: what?" is one. (QUESTION: so?)\nQUESTION: d ANSWER: 4'
    )
    assert [(question, answer) for _, question, answer in _pairs(text)] == [
        ('a', 'One.'),
        ('b', 'Two.'),
        ('Say ANSWER: or not?', '"QUESTION: what?" is one. (QUESTION: so?)'),
        ('d', '4'),
    ]


def test_labels_may_stand_in_html() -> None:
    text = (
        '<p><strong>QUESTION:</strong> Why <b>me</b>?</p>\n<p>ANSWER: It is you.</p>\n'
        '<p>QUESTION: And now?</p>\n<div><b>ANSWER</b>: Now you leave.<br>\n'
        '1125</div>\n'
    )
    stage = cleaning.stage(settings.CleanSettings())
    found = [stage.apply(pair).pair for pair in merged.parse(text, file='m').pairs]
    assert [(pair.question, pair.answer) for pair in found] == [
        ('Why me?', 'It is you.'),
        ('And now?', 'Now you leave.'),
    ]


def test_every_word_of_a_merged_file_is_accounted_for_once() -> None:
    text = 'Stray words\n' + MERGED
    found = merged.parse(text, file='m.md')
    assert [w for p in found.pieces for w in p.text.split()] == text.split()
    assert page.words(found.pieces) == {
        'unknown': 2,
        'label': 6,
        'question': 12,
        'name and role': 4,
        'answer': 9,
        'topic': 5,
        'trainer mark': 3,
        'blank': 0,
    }
    assert found.unknown == [(1, 'Stray words', 'left out')]


def test_a_closing_phrase_of_few_questions_is_no_name() -> None:
    closing = 'QUESTION: a\n\nThank You\nANSWER: Yes.\n\n' * 3
    text = closing + 'QUESTION: b\nANSWER: No.\n\n' * 40
    assert _pairs(text)[0] == ('', 'a\n\nThank You', 'Yes.')


def test_below_a_footer_stands_the_next_topic() -> None:
    text = (
        'QUESTION: a\nANSWER: One.\nPost has 0 replies and 4 Likes\n'
        '4Press Enter to expand\nThe ladder\nQUESTION: b\nANSWER: Two.\n'
    )
    assert _pairs(text) == [('', 'a', 'One.'), ('The ladder', 'b', 'Two.')]


def test_stamps_left_in_a_merged_file_are_no_text() -> None:
    text = 'QUESTION: a\nANSWER: One.\n' * 3 + 'Guest Apr 4, 12:05 p.m.\n'
    assert _pairs(text + 'QUESTION: b\nANSWER: Two.')[2:] == [
        ('', 'a', 'One.'),
        ('', 'b', 'Two.'),
    ]


@pytest.mark.parametrize('word', ['The', 'and', 'It', 'When', 'to'])
def test_a_lone_word_at_the_end_is_no_text_and_no_topic(word: str) -> None:
    text = ''.join(
        f'QUESTION: a{i}\nANSWER: Sail on, {i}.\n{tail}\n\n'
        for i, tail in enumerate((word, f'{word}\n77', 'Re: cake', f'12\n{word}'))
    )
    clean = cleaning.stage(settings.CleanSettings())
    pairs = merged.parse(text, file='m.md').pairs
    assert [clean.apply(each).pair.answer for each in pairs] == [
        f'Sail on, {i}.' for i in range(4)
    ]
    assert [each.topic for each in pairs] == ['', '', '', 'Re: cake']


TOPICS = ['Boston', 'Wait, what?!', 'P.S. from Ann', 'He went.', '50/50', 'Ah ...']


@pytest.mark.parametrize(('count', 'times'), [('147', 6), ('12 Likes', 1)])
def test_a_line_below_a_count_of_likes_is_a_topic_whatever_it_is(
    count: str, times: int
) -> None:
    for line in TOPICS:
        answers = [f'Sail on, {i}.\n{count}\n{line} {i}' for i in range(times)]
        answers = [*answers, 'Sail.\nOn we go.', 'Sail on.']
        text = ''.join(f'QUESTION: a\nANSWER: {each}\n\n' for each in answers)
        found = merged.parse(text, file='m.md')
        assert [each.topic for each in found.pairs[1 : times + 1]] == [
            f'{line} {i}' for i in range(times)
        ]
        assert found.pairs[-2].answer == 'Sail.\nOn we go.'


def test_a_number_within_a_text_is_no_count_of_likes() -> None:
    answer = 'How often does she call?\n\n1\n\nSo there.'
    text = f'QUESTION: a\nANSWER: {answer}\n\n' * 2
    assert [each[2] for each in _pairs(text)] == [answer] * 2


def test_a_line_that_may_be_a_topic_too_is_reported_in_a_file_of_topics() -> None:
    ends = ['Re: bells', 'Re: the kayak', 'Boston', 'Good luck!', '- a list']
    text = ''.join(f'QUESTION: a\nANSWER: Sail on.\n{end}\n\n' for end in ends)
    text += 'QUESTION: a\nANSWER: Sail on, and on.\n' * 5
    found = merged.parse(text, file='m.md')
    assert [(line, why) for _, line, why in found.unknown] == [
        ('Boston', 'may be the next topic, kept in the answer')
    ]


@pytest.mark.parametrize(
    ('topic', 'count'), [('Wedding woes', ''), ('Weddings', '\n88')]
)
def test_a_topic_that_comes_thrice_in_a_short_file_is_a_topic(
    topic: str, count: str
) -> None:
    lines = [topic, 'The ladder', topic, 'Dog days', topic, 'Coat check', 'Re: cake']
    text = ''.join(
        f'QUESTION: a{i}\nANSWER: Sail on, {i}.{count}\n{line}\n\n'
        for i, line in enumerate(lines)
    )
    text += 'QUESTION: last\nANSWER: Sail on.\n'
    found = merged.parse(text, file='m.md')
    assert [each.topic for each in found.pairs] == ['', *lines]
