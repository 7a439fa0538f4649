"""Live chats whose posts open with names: what is a post, and what is left alone."""

import pytest

from data_pipeline.layouts import detection, named_chats
from data_pipeline.pages import page

PAIRS = [
    ('Springfield, Ill.', 'Is it rude to leave at nine?', 'No. Thank the host and go.'),
    ('Torn about Dad', 'Do I ask him to the wedding?', 'Ask him. He can say no.'),
    ('Anonymous', 'Who pays for the broken window?', 'The one who threw the ball.'),
    ('The loan', 'He owes me ten. Do I ask for it?', 'Once, and then forget the sum.'),
]


def parsed(text: str) -> page.Page:
    assert detection.detect(text) == named_chats.SOURCE
    return detection.parse(text, layout=named_chats.SOURCE, file='a/f.md')


def posts(
    name: str = '{}:',
    *,
    rule: str = '',
    host: str = 'Marian Vale',
    below: dict[str, str] | None = None,
) -> str:
    """A chat, each post below a `rule`; `below` has text for names' posts."""
    made = [
        f'{name.format(guest)} {asked}\n\n{name.format(host)} {answer}\n\n'
        + (below or {}).get(guest, '')
        for guest, asked, answer in PAIRS
    ]
    above = f'{host} was here on Friday.\n\n{name.format(host)} Hello to all of you.\n'
    return f'\n{rule}\n\n'.join([above, *made])


def texts(found: page.Page) -> list[tuple[str, str, str]]:
    return [(pair.topic, pair.question, pair.answer) for pair in found.pairs]


@pytest.mark.parametrize(
    'name', ['{}:', '**{}:**', '**{}**:', '_{}_:', '**{}**\n\n', '## {}\n']
)
@pytest.mark.parametrize('rule', ['', '_______', '* * *', '---'])
def test_each_guest_is_answered_by_the_host(name: str, rule: str) -> None:
    found = parsed(posts(name, rule=rule))

    assert texts(found) == PAIRS
    assert {pair.group for pair in found.pairs} == {'f.md'}  # on one side of a split
    assert [line for line, _, where in found.unknown if where == 'left out'] == [1]
    assert found.counts[f'{named_chats.SOURCE} words of the host to all, left out'] == 1


def test_below_rules_alone_a_name_opens_a_post() -> None:
    below = 'One thing: bring a gift.\n\n'
    said = 'Re: Torn about Dad: I had this too.\n'
    text = posts(
        rule='_____', below={'Springfield, Ill.': below, 'Anonymous': '_____\n' + said}
    )

    found = parsed(text)

    first = (*PAIRS[0][:2], f'{PAIRS[0][2]}\n\nOne thing: bring a gift.')
    assert texts(found) == [first, *PAIRS[1:]]
    reasons = [reason for _, _, reason in found.dropped]
    assert reasons == [f'{named_chats.SOURCE} questions unanswered']
    assert [where for _, text, where in found.unknown if 'gift' in text] == [
        'kept in the text above'
    ]


def test_without_rules_posts_that_may_begin_elsewhere_make_no_pair() -> None:
    found = parsed(posts(below={'Anonymous': 'One thing: ask twice.\n\n'}))

    assert texts(found) == PAIRS[:2]
    assert [reason for _, _, reason in found.dropped] == 2 * [
        f'{named_chats.SOURCE} posts whose first or last line is not known'
    ]


def test_without_rules_a_comment_by_a_guest_ends_the_answer_above() -> None:
    comment = 'Re: Torn about Dad: It was the best day of my life.\n\n'
    found = parsed(posts(below={'Springfield, Ill.': '', 'Torn about Dad': comment}))

    assert texts(found) == PAIRS
    assert [reason for _, _, reason in found.dropped] == [
        f'{named_chats.SOURCE} questions unanswered'
    ]


def test_a_farewell_answers_no_paragraph_of_the_last_answer() -> None:
    end = 'One thing: write to me.\n\nMarian Vale: That is all for today, bye.\n'

    assert texts(parsed(posts(below={'The loan': end}))) == PAIRS[:3]


def test_in_a_chat_of_bold_names_other_words_open_no_post() -> None:
    found = parsed(posts('**{}:**', below={'Anonymous': 'One thing: ask twice.\n\n'}))

    answers = [answer for _, _, answer in PAIRS]
    answers[2] += '\n\nOne thing: ask twice.'
    assert [pair.answer for pair in found.pairs] == answers


def test_the_words_of_a_site_are_no_part_of_an_answer() -> None:
    found = parsed(posts(below={'Anonymous': 'example.com: Her column.\n\n'}))

    assert texts(found) == PAIRS
    words = f'{named_chats.SOURCE} words of a site or its producer, left out'
    assert found.counts[words] == 1


THINGS = ['dog', 'cat', 'house', 'car', 'sea']
NAMES = ['Bob', 'Cid Rae', 'Dan', 'Eve Lu', 'Fay']


@pytest.mark.parametrize(
    'form',
    [
        'Ann Lee: What about the {}?\n\nBob Ray: I like it and it likes me too.\n\n',
        'Ann Lee: Do you like the {}?\n\n{}: I like it and it likes me too.\n\n',
        '{1} Cake: How long do we bake it?\n\nServes: four people or more of them\n\n',
        'Name: What is the {}?\nText: It is a thing of which there is one.\n',
        'The {0}: Do we keep it for one more year?\n\nOwner: The team of {1}\n\n',
    ],
)
def test_an_interview_and_fields_are_no_such_chat(form: str) -> None:
    pairs = zip(THINGS, NAMES, strict=True)

    assert detection.detect(''.join(form.format(*pair) for pair in pairs)) == ''
