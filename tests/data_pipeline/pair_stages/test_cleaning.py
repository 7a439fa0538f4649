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
