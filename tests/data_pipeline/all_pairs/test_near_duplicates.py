import dataclasses
import itertools
import random

import pytest
import stores

from data_pipeline import settings
from data_pipeline.all_pairs import near_duplicates
from data_pipeline.pair_stages import quotes, stage_ledger, stages
from hax_jax.data import records

CHOSEN = settings.DuplicateSettings()
WORDS = [f'word{i}' for i in range(2_000)]


def story(seed: int, *, length: int = 120) -> str:
    return ' '.join(random.Random(seed).choices(WORDS, k=length))


def pair(name: str, question: str, answer: str, *, score: int = 0) -> records.QaPair:
    return records.QaPair(
        name, name, 'reddit', 'a.md', 1, '', '', question, answer, score=score
    )


def edited(text: str, *places: int) -> str:
    words = text.split()
    for place in places:
        words[place] = 'EDITED'
    return ' '.join(words)


def resemblance(one: str, other: str) -> float:
    """Jaccard's index of the two sets of three words in a row, from its definition."""

    def shingles(text: str) -> set[tuple[str, ...]]:
        words = text.lower().split()
        return set(zip(words, words[1:], words[2:], strict=False))

    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def near(
    pairs: list[records.QaPair], chosen: settings.DuplicateSettings = CHOSEN
) -> tuple[list[str], list[tuple[str, str, str]]]:
    """The ids that stay, and (id, kept_id, reason) of those that go."""
    with stores.filled(pairs, chosen) as store:
        near_duplicates.find(store, chosen)
        near_duplicates.drop(store)
        return stores.kept_ids(store), stores.gone(store)


def sides(pairs: list[records.QaPair]) -> list[tuple[str, str]]:
    with stores.filled(pairs) as store:
        near_duplicates.find(store, CHOSEN)
        return list(near_duplicates.same_story(store))


def test_of_pairs_that_are_almost_equal_the_best_stays() -> None:
    question, answer = story(1), story(2)
    pairs = [
        pair('a', question, answer, score=3),
        pair('b', question + ' Edit: thanks.', edited(answer, 50), score=9),
        pair('c', edited(question, 9), answer + ' and more, so longer', score=9),
        pair('d', story(3), story(4), score=1),
    ]
    kept, gone = near(pairs)
    # b and c have the highest score; of these c has the longer answer.
    assert kept == ['c', 'd']
    assert gone == [
        ('a', 'c', 'near duplicate cut short'),
        ('b', 'c', 'near duplicate of a shorter answer'),
    ]


def test_of_equal_scores_and_lengths_the_lowest_id_stays() -> None:
    assert near([pair(name, story(1), story(2)) for name in 'cab'])[0] == ['a']


def test_who_else_answers_the_same_question_stays_on_its_side() -> None:
    pairs = [pair('a', story(1), story(2)), pair('b', story(1), story(3))]
    assert near(pairs) == (['a', 'b'], [])
    assert sides(pairs) == [('a', 'b')]
    short = [pair('a', 'Thank you!', story(2)), pair('b', 'Thank you!', story(3))]
    assert near(short) == (['a', 'b'], [])
    assert sides(short) == []  # two words are no story
    brief = [pair('a', story(1), 'Yes.'), pair('b', story(1), 'No.')]
    assert near(brief) == (['a', 'b'], [])
    assert sides(brief) == [('a', 'b')]
    copied = [pair('a', story(1), story(2)), pair('b', story(3), story(2))]
    assert near(copied) == (['a', 'b'], [])
    assert sides(copied) == [('a', 'b')]


def test_clusters_are_transitive_and_do_not_depend_on_the_order() -> None:
    question, answer = story(1), story(2)
    pairs = []
    for i in range(5):  # each differs from the next in 9 more places of 120
        places = range(0, 9 * i, 3)
        text = edited(question, *places)
        pairs.append(pair(f'p{i}', text, answer, score=i))
    assert resemblance(pairs[0].question, pairs[4].question) < 0.6
    assert all(
        resemblance(a.question, b.question) > 0.75 for a, b in itertools.pairwise(pairs)
    )
    for seed in range(4):
        random.Random(seed).shuffle(pairs)
        kept, gone = near(pairs)
        assert kept == ['p4']
        assert {name for name, _, _ in gone} == {'p0', 'p1', 'p2', 'p3'}


@pytest.mark.parametrize('seed', range(3))
def test_what_is_found_is_what_jaccards_index_says(seed: int) -> None:
    """A signature of 128 estimates 0.7 to about 0.04: within 0.15 it is never wrong."""
    rng = random.Random(seed)
    originals = [pair(f'o{i}', story(100 + i), story(200 + i)) for i in range(40)]
    copies = []
    for i, original in enumerate(originals):
        places = rng.sample(range(120), rng.choice([0, 2, 4, 30, 50]))
        copies.append(
            dataclasses.replace(
                original, id=f'z{i}', question=edited(original.question, *places)
            )
        )
    _, gone = near(originals + copies)
    ids = {name for name, _, _ in gone}
    for original, copy in zip(originals, copies, strict=True):
        alike = resemblance(original.question, copy.question)
        if alike > 0.85:
            assert copy.id in ids
        if alike < 0.55:
            assert copy.id not in ids
    assert 10 < len(ids) < 40


def test_a_text_that_thousands_have_does_not_compare_them_all() -> None:
    pairs = [pair(f'p{i:03}', 'Help!', story(i)) for i in range(300)]
    pairs.append(pair('copy', 'Help!', edited(story(7), 3), score=1))
    with stores.filled(pairs) as store:
        counts = near_duplicates.find(store, CHOSEN)
        near_duplicates.drop(store)
        assert stores.gone(store) == [('p007', 'copy', 'near duplicate of lower score')]
    assert counts['large buckets'] > 0
    assert counts['compared'] < 2 * len(pairs)  # of 45,150


def test_near_duplicates_can_be_left_in() -> None:
    pairs = [pair('a', story(1), story(2)), pair('b', story(1), story(2))]
    off = settings.DuplicateSettings(near=False)
    assert near(pairs, off) == (['a', 'b'], [])


@pytest.mark.parametrize(
    ('question', 'answer', 'least', 'quote'),
    [
        (
            'My cat, Tom, eats my bread.',
            '"My CAT Tom eats" -- so?',
            4,
            'my cat tom eats',
        ),
        ('a b c d e', 'x a b c y b c d e z', 3, 'b c d e'),
        ('a b c a b d', 'a b d', 2, 'a b d'),
        ('a b c d e', 'a b c', 4, ''),
        ('', '', 1, ''),
    ],
)
def test_the_longest_quote_is_found(
    question: str, answer: str, least: int, quote: str
) -> None:
    assert quotes.longest(question, answer, least=least) == quote


def test_a_quote_is_noted_and_nothing_is_dropped() -> None:
    quoting = pair('a', story(1), 'You say: ' + ' '.join(story(1).split()[:12]))
    other = pair('b', story(1), 'You say: ' + ' '.join(story(1).split()[:11]))
    ledger = stage_ledger.Ledger()
    for each in (quoting, other):
        assert ledger.run([each], [quotes.stage(CHOSEN)]) == [(each, '')]
    noted = ledger.as_json()[0]['noted']['answer quotes the question']
    assert noted['pairs'] == 1
    assert noted['examples'][0]['text'] == ' '.join(story(1).split()[:12])
    off = settings.DuplicateSettings(quote_words=0)
    assert quotes.stage(off).apply(quoting) == stages.Kept(quoting)
