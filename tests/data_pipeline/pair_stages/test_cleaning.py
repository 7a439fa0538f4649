import collections
import html
import pathlib
import re

import pytest

from data_pipeline import settings
from data_pipeline.pages import chat, page
from data_pipeline.pair_stages import cleaning, stages
from data_pipeline.reading import reader
from hax_jax.data import records

SHARED = pathlib.Path(__file__).parents[4] / 'shared' / 'data'
FIELDS = ('topic', 'question', 'answer')


def pair(source: str, question: str, answer: str = 'Yes.') -> records.QaPair:
    return records.QaPair('p', 'p', source, 'a.md', 1, '', '', question, answer)


def cleaned(given: records.QaPair, **chosen: bool) -> stages.Outcome:
    return cleaning.stage(settings.CleanSettings(**chosen)).apply(given)


def words(text: str) -> collections.Counter[str]:
    return collections.Counter(re.findall(r'[^\W_]+', text))


def test_markdown_is_reddits_alone() -> None:
    text = 'I *do* donâ€™t'
    from_reddit = cleaned(pair('reddit:advice', text))
    assert from_reddit.pair.question == 'I do don’t'
    assert [change.name for change in from_reddit.changes] == [
        'mojibake repaired',
        'Markdown made plain text',
    ]
    from_chat = cleaned(pair('chat', text))
    assert from_chat.pair.question == 'I *do* don’t'
    assert cleaned(pair('chat', text), mojibake=False) == stages.Kept(
        pair('chat', text)
    )


def test_edits_and_summaries_are_kept_unless_told_otherwise() -> None:
    text = 'Why?\n\nEdit: thanks\n\nTL;DR: why'
    assert cleaned(pair('reddit', text)) == stages.Kept(pair('reddit', text))
    cut = cleaned(pair('reddit', text), keep_edits=False, keep_summaries=False)
    assert cut.pair.question == 'Why?'
    assert [change.name for change in cut.changes] == ['edits cut', 'summaries cut']


@pytest.mark.parametrize(
    ('answer', 'left'),
    [
        ('ANSWER: Ask her.', 'Ask her.'),
        ('ANSWER： Ask her.', 'Ask her.'),
        ('ANSWER - Ask her.', 'Ask her.'),
        ('Answer - ask her.', 'Answer - ask her.'),
        ('answer : Ask her.', 'Ask her.'),
        ('**Answer:** Ask *her*.', 'Ask *her*.'),
        ('**ANSWER**: ANSWER: Ask her.', 'Ask her.'),
        ('__Answer:__\n\nAsk her.', 'Ask her.'),
        ('## Answer\nAsk her.', 'Ask her.'),
        ('**Answer**\n\nAsk her.', 'Ask her.'),
        ('A: Ask her.', 'Ask her.'),
        ('REVISED_RESPONSE: Ask her.', 'Ask her.'),
        ('<p><b>ANSWER:</b> Ask her.</p>', 'Ask her.'),
        ('### Response:\nAsk her.', 'Ask her.'),
        ('### Assistant: \n\nAsk her.', 'Ask her.'),
    ],
)
def test_a_label_that_opens_an_answer_is_cut_in_any_layout(
    answer: str, left: str
) -> None:
    for source in ('chat', 'pairs', 'reddit:advice', 'merged'):
        assert cleaned(pair(source, 'Why?', answer)).pair.answer == left.replace(
            '*her*', 'her' if source == 'reddit:advice' else '*her*'
        )


@pytest.mark.parametrize(
    ('question', 'left'),
    [
        ('QUESTION: Why?', 'Why?'),
        ('*Question*: Why?', 'Why?'),
        ('Q: Why?', 'Why?'),
        ('q: Why?', 'Why?'),
        ('QUESTION: Why?\n\nANSWER:', 'Why?'),
        ('Why?\n**Answer:** ', 'Why?'),
        ('### Instruction:\nWhy?\n\n### Response:', 'Why?'),
    ],
)
def test_labels_around_a_question_are_cut_and_counted(question: str, left: str) -> None:
    outcome = cleaned(pair('pairs', question))
    assert outcome.pair.question == left
    assert [change.name for change in outcome.changes] == ['label QUESTION cut']


@pytest.mark.parametrize(
    'text',
    [
        'Answer me this: why?',
        'The question: why?',
        'Questions: 3',
        'a: the first, b: the second',
        'My answer:\nno.',
        'Q1: why?',
        'Answered: no.',
        'Question 2: why?',
        '### Response times are long',
        'Write <|endoftext|> there.',
        'So he said </s>',
    ],
)
def test_words_that_are_no_label_stay(text: str) -> None:
    given = pair('pairs', text, text)
    assert cleaned(given) == stages.Kept(given)


@pytest.mark.parametrize(
    'question',
    ['[INST] Why? [/INST]', '<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nWhy?\n[/INST]'],
)
def test_an_instructions_marks_and_the_stop_behind_its_answer_are_cut(
    question: str,
) -> None:
    given = pair('pairs', question, 'Ask her. </s>')
    outcome = cleaned(given)
    assert (outcome.pair.question, outcome.pair.answer) == ('Why?', 'Ask her.')
    assert any(each.name == 'system prompt cut' for each in outcome.changes) == (
        'SYS' in question
    )
    plain = pair('pairs', 'What does [/INST] do? [/INST]', 'So he said </s>')
    assert cleaned(plain) == stages.Kept(plain)


@pytest.mark.parametrize(
    'answer',
    [
        'Ask her.<|endoftext|>',
        '<|assistant|>\nAsk her.<|end|>',
        'Ask her. <END_OF_SET>',
        'Ask her.\n\n<END OF SET>',
        '<|im_start|>assistant\nAsk her.<|im_end|>\n',
        '<|begin_of_text|>Ask her.\n<|eot_id|><|end_of_text|>',
    ],
)
def test_marks_of_trainers_at_a_texts_ends_are_cut_and_counted(answer: str) -> None:
    outcome = cleaned(pair('pairs', 'Why?', answer))
    assert outcome.pair.answer == 'Ask her.'
    assert [change.name for change in outcome.changes] == ['marks of trainers cut']
    assert cleaned(pair('pairs', 'Why?', answer), labels=False).pair.answer == answer


def test_calculations_for_a_calculator_are_cut() -> None:
    given = 'He has 16-3 = <<16-3=13>>13 hens, $<<13*2.5=32.5>>32.5 in all.'
    outcome = cleaned(pair('pairs', 'Why <<1=1>>?', given))
    assert outcome.pair.answer == 'He has 16-3 = 13 hens, $32.5 in all.'
    assert outcome.pair.question == 'Why <<1=1>>?'
    assert [change.name for change in outcome.changes] == ['calculations cut']
    for text in (
        'Write <<name=value>> there.',
        'cat << 3 = 4 >> file',
        'cout << 4 << 5',
    ):
        given = pair('pairs', 'Why?', text)
        assert cleaned(given) == stages.Kept(given)


def test_a_lone_capital_above_a_count_is_a_lost_word_and_a_choice_else() -> None:
    assert cleaned(pair('merged', 'Why?', 'Ask her.\nA\n88')).pair.answer == 'Ask her.'
    given = pair('merged', 'Why?', 'Ask her.\nA')
    assert cleaned(given) == stages.Kept(given)


def test_a_text_that_is_a_label_alone_is_dropped() -> None:
    outcome = cleaned(pair('pairs', 'Why?', 'ANSWER:'))
    assert outcome == stages.Dropped('nothing is left of the answer', 'ANSWER:')


@pytest.mark.parametrize(
    ('answer', 'left'),
    [
        ('Leave him.\n1125', 'Leave him.'),
        ('Leave him.\n👍 1125', 'Leave him.'),
        ('Leave him.\n1.2k ❤️ · 3 💬\nReply', 'Leave him.'),
        ('Leave him. 👍🏽❤️ 43', 'Leave him.'),
        ('Leave him.\n\nUpvote 43\n⬆️ 99', 'Leave him.'),
        ('Leave him.\n+12', 'Leave him.'),
        ('Leave him.\n\n—', 'Leave him.'),
        ('Leave him.\nRelated: How to leave', 'Leave him.'),
        ('Leave him.\n[Read more: How to leave](https://a.org/b)', 'Leave him.'),
        ('Leave him.\n\nMore from this column: https://a.org/b', 'Leave him.'),
        ('Leave him.\n\n[Back to top](#top)', 'Leave him.'),
        (
            'See [it][a].\n\n[a]: https://a.example\n[b c]: #d\n[^1]: A note.',
            'See [it][a].',
        ),
        ('*Leave him.*\n\n[Back to top](#a)', '*Leave him.*'),
        ('So:\n```\na\n```\n\n© 2024 Ann', 'So:\n```\na\n```'),
        ('| a |\n|---|\n| 1 |\n\n14 Likes', '| a |\n|---|\n| 1 |'),
        ('Leave him.\n\n[↑ Back to the top](#faq)', 'Leave him.'),
        ('Leave him.\n\nWas this helpful? Yes No', 'Leave him.'),
        ('Leave him.\n\nWas this answer useful to you?', 'Leave him.'),
        ('Leave him.\n\n**[⬆️ back to top](#faq)**', 'Leave him.'),
        ('Leave him.\n© 2021 The Paper. All rights reserved.', 'Leave him.'),
        ('Leave him.\nCopyright Advice Inc., 2021', 'Leave him.'),
        ('Leave him.\nCopyright (c) The Paper', 'Leave him.'),
        ('(a) Talk.\n(b) Wait.\n(c) Leave.', None),
        ('Leave him.\nCopyright is not your problem.', None),
        ('Leave him.\nCopyright changed in 1998.', None),
        ('Leave him.\nBack to the top of the hill!', None),
        ('Leave him.\n\nRead more books: they help.', None),
        ('Leave him.\n\nRelated to that, call her.', None),
        ('Leave him.\n\n+44 1632 960001', None),
        ('Leave him. 👍', None),
        ('Leave him.\n\n❤️', None),
        ('Leave him.\n\n📞 988', None),
        ('Of ten, I give it 👍 5', None),
        ('Leave him!\n\n1.2K Likes', 'Leave him!'),
        ('Leave “him.”\nand\n12', 'Leave “him.”'),
        ('Leave him.\nand', 'Leave him.'),
        ('Leave him.\nPost has 2 replies and 4 Likes\n4', 'Leave him.'),
        ('Leave him.\nThe post has two replies', None),
        ('Call this number:\n5551234', None),
        ('Text the crisis line.\n741741', None),
        ('Call somebody.\n988', None),
        ('Leave him.\n1988', 'Leave him.'),
        ('Leave him. 88 Likes', 'Leave him.'),
        ('Leave him.\n14 Likes\n3 replies', 'Leave him.'),
        ('好。\n1125', '好。'),
        ('Leave him.\n\nLike\nReply', 'Leave him.'),
        ('Leave him.\nLike · Reply · Share\n14 Likes', 'Leave him.'),
        ('Leave him.\nADVERTISEMENT', 'Leave him.'),
        ('Leave him.\nLeave a comment', None),
        ('There is one thing you owe them.\nShare it.', None),
        ('What children must learn:\nShare', None),
        ('It is what I would do.\nlike', None),
        ('Learn this word.\nReporting', None),
        ('Try:\n- Run\n14 Likes', 'Try:\n- Run'),
        ('Try:\n1. Run\n1125', 'Try:\n1. Run'),
        ('Call:\n- Somebody\n988', None),
        ('It got 88 likes', None),
        ('She wrote: “No.” 3 replies came', None),
        ('Leave him.\n\nANSWER:', 'Leave him.'),
        ('Leave him.\nOVERSAMPLE_WEIGHT: 3', 'Leave him.'),
        ('Leave him.\n**QUESTION:**\n12', 'Leave him.'),
        ('Write this:\nANSWER:', None),
        ('Leave him.\nAnswer: no.', None),
        ('Leave him.\n\nimage\nColumn | Why I left\nwww.a.org\n14', 'Leave him.'),
        ('Leave him.\nimage\nBy Ann Lee, The Paper', 'Leave him.'),
        ('Leave him.\nimage\nLeave today.', None),
        ('Leave him.\nPros | Cons', None),
        ('1125', None),
        ('He is rich\nand', 'He is rich'),
        ('Use salt\nand\npepper', None),
        ('I was born in\n1999', None),
    ],
)
def test_a_count_or_a_lone_and_below_the_last_sentence_is_cut(
    answer: str, left: str | None
) -> None:
    given = pair('merged', 'Why?', answer)
    assert cleaned(given).pair.answer == (answer if left is None else left)
    assert cleaned(given, tails=False) == stages.Kept(given)


def test_no_word_of_a_real_chat_is_lost() -> None:
    if not SHARED.is_dir():
        pytest.skip('the real files are not here: ../shared/data is absent')
    clean = cleaning.stage(settings.CleanSettings())
    compared = 0
    for path in sorted((SHARED / 'chats').glob('*.md')):
        found = chat.parse(path.read_text(), file=path.name)
        before = collections.Counter()
        for piece in found.pieces:
            if piece.kind in (page.QUESTION, page.ANSWER):
                before += words(html.unescape(piece.text))
        after = collections.Counter()
        for each in found.pairs:
            outcome = clean.apply(each)
            assert isinstance(outcome, stages.Kept)
            for field in FIELDS:
                assert words(getattr(outcome.pair, field)) == words(
                    getattr(each, field)
                )
            after += words(outcome.pair.question) + words(outcome.pair.answer)
        # Questions without an answer make no pair; of the rest every word is there.
        assert after <= before
        compared += after.total()
    assert compared > 10_000


def test_what_a_real_reddit_post_loses_stood_in_the_targets_of_links() -> None:
    if not SHARED.is_dir():
        pytest.skip('the real files are not here: ../shared/data is absent')
    pairs, _ = reader.read([str(SHARED / 'reddit' / '*.md')])
    clean = cleaning.stage(settings.CleanSettings())
    for each in pairs:
        outcome = clean.apply(each)
        for field in FIELDS:
            before, after = getattr(each, field), getattr(outcome.pair, field)
            targets = ' '.join(re.findall(r'\]\((\S+)\)', before))
            assert words(before) - words(after) <= words(targets)
            assert not words(after) - words(before)


@pytest.mark.parametrize(
    ('question', 'answer', 'left'),
    [
        ('Q. Why?', 'A. Ask her.', ('Why?', 'Ask her.')),
        ('Frage: Why?', 'Antwort: Ask her.', ('Why?', 'Ask her.')),
        ('User: Why?', 'Assistant: Ask her.', ('Why?', 'Ask her.')),
        ('Question 3: Why?', 'Answer 3: Ask her.', ('Why?', 'Ask her.')),
        ('[QUESTION] Why?', '[ANSWER] Ask her.', ('Why?', 'Ask her.')),
        ('<question>Why?</question>', '<answer>Ask her.', ('Why?', 'Ask her.')),
        (
            '<h3>Question</h3><p>Why?</p>',
            '<h3>Answer</h3><p>Ask her.</p>',
            ('Why?', 'Ask her.'),
        ),
        ('Question -- Why?', 'Answer -- Ask her.', ('Why?', 'Ask her.')),
        ('User: Why?', 'Ask her.', None),
        ('Why?', 'Assistant: Ask her.', None),
        ('User: Why?', '[ANSWER] Ask her.', None),
        ('Why?\n\n###\n\n', ' Ask her. END', ('Why?', 'Ask her.')),
        ('Why?\n\n###\n\n', 'Ask her.\n###', ('Why?', 'Ask her.')),
        ('Why?\n\n->', ' Ask her.\n', ('Why?', 'Ask her.')),
        # Where one text alone has its mark, both are text.
        ('Which?\nA. One\nB. Two', 'A. One', None),
        ('Q. Why?', 'Ask her.', None),
        ('Why?', 'This is the END', None),
        ('Is it ->', 'So it is.', None),
    ],
)
def test_marks_of_both_texts_are_cut(
    question: str, answer: str, left: tuple[str, str] | None
) -> None:
    made = cleaned(pair('pairs', question, answer)).pair
    texts = made.question.strip(), made.answer.strip()
    assert texts == (left or (question.strip(), answer.strip()))
