"""The rule of preferences at its edges, and the splits that they keep."""

import dataclasses
from typing import Any

import pyarrow as pa
import pytest

from data_pipeline import settings
from data_pipeline.all_pairs import pair_store
from data_pipeline.preferences import choosing, sides

RULE = settings.PreferenceSettings()
HOME = {'g': 'train', 'v': 'validation', 't': 'test'}


def side(answer: str, **fields: Any) -> sides.Side:
    values = {
        'row': 0,
        'id': f'g/{answer}',
        'group': 'g',
        'source': 'reddit:advice',
        'prompt': ('Who pays?',),
        'score': None,
        'time': None,
        'is_chosen': None,
        'is_chat': False,
        **fields,
    }
    hashes = sides.hashes(values['prompt'], answer)
    return sides.Side(answer=answer, **hashes, **values)


def choose(
    *batches: list[sides.Side],
    rule: settings.PreferenceSettings = RULE,
    home: dict[str, str] = HOME,
    lines: frozenset[int] = frozenset(),
) -> tuple[dict[str, list[tuple[str, str]]], dict[str, Any]]:
    """((better, worse) of each split, the account)."""
    with pair_store.PairStore() as store:
        made = choosing.Preferences(store)
        for batch in batches:
            made.add(batch)
        store.sql.execute('CREATE TABLE joined (grp VARCHAR, component VARCHAR)')
        columns = {
            'grp': list(home),
            'component': list(home),
            'split': list(home.values()),
            'place': range(len(home)),
        }
        store.insert('home', pa.table(columns))
        account = made.choose(rule, standing_lines=lines)
        found = {
            split: [(each.chosen, each.rejected) for each in made.of(split)]
            for split in ('train', 'validation', 'test')
        }
    return found, account


BOTH = [('new', 'old')]


@pytest.mark.parametrize(
    ('new', 'old', 'expected'),
    [
        ((8, 200), (4, 100), BOTH),  # exactly twice the votes, and later
        ((7, 200), (4, 100), []),  # 1.75 times
        ((199, 200), (100, 100), []),  # 1.99 times
        ((200, 200), (100, 100), BOTH),
        ((8, 100), (4, 200), []),  # the better one came first
        ((8, 100), (4, 100), []),  # at the same time
        ((4, 200), (4, 100), []),  # equal votes
        ((2, 200), (1, 100), BOTH),
        ((1, 200), (0, 100), []),  # the worse one's votes count as 1
        ((2, 200), (-7, 100), BOTH),
        ((-1, 200), (-7, 100), []),  # both are below zero
        ((1, 200), (-7, 100), []),
        ((None, 200), (4, 100), []),  # votes that are not known
        ((8, 200), (None, 100), []),
        ((8, None), (4, 100), []),  # times that are not known
        ((8, 200), (4, None), []),
    ],
)
def test_the_better_answer_is_later_and_has_twice_the_votes(
    new: tuple, old: tuple, expected: list
) -> None:
    both = [side('old', score=old[0], time=old[1])]
    both.insert(0, side('new', score=new[0], time=new[1]))
    for order in (both, both[::-1]):
        found, account = choose(order)
        assert found['train'] == expected
        assert account['found'] == len(expected)
    assert account['without_votes'] == [new[0], old[0]].count(None)
    assert account['without_time'] == [new[1], old[1]].count(None)


def test_two_answers_of_which_none_is_preferred_are_counted_with_the_reason() -> None:
    _, account = choose(
        [
            side('a', score=9, time=1),
            side('b', score=4, time=2),  # less votes than a, and later
            side('c', score=8),  # under twice the votes beside a, no time beside b
            side('', score=1, time=5, reason='read: removed answers'),
        ],
        [side('d', score=9, time=1), side('e', time=2)],
        [side('f', is_chosen=True), side('g', is_chosen=True)],
    )
    assert account['undecided'] == {
        'judged': 1,
        'later': 1,
        'ratio': 1,
        'time': 1,
        'votes': 1,
    }


def test_a_time_that_is_missing_counts_beside_another_answer_alone() -> None:
    apart = [side('a', score=9), side('b', score=2, row=1)]
    assert choose(apart)[1]['without_time'] == 0
    assert choose([*apart, side('c', score=2)])[1]['without_time'] == 2


def test_the_ratio_and_the_order_of_time_are_settings() -> None:
    answers = [side('a', score=6, time=1), side('b', score=4), side('c', score=4)]
    rule = dataclasses.replace(RULE, ratio=1.5, later=False)
    found, account = choose(answers, rule=rule)
    assert found['train'] == [('a', 'b'), ('a', 'c')]
    assert choose(answers, rule=dataclasses.replace(rule, ratio=1.6))[1]['found'] == 0
    # With a ratio of 1 equal votes prefer nothing.
    loose = dataclasses.replace(rule, ratio=1.0)
    assert choose(answers, rule=loose)[0]['train'] == [('a', 'b'), ('a', 'c')]
    assert account['settings']['ratio'] == 1.5


def test_a_pair_with_a_dropped_side_is_dropped_and_counted_by_reason() -> None:
    answers = [
        side('', id='a', score=50, time=9, reason='quality: answer under 3 words'),
        side('b', score=20, time=8),
        side('', id='c', score=3, time=7, reason='read: removed answers'),
        side('d', score=1, time=6),
    ]
    found, account = choose(answers)
    assert found['train'] == [('b', 'd')]
    assert account['dropped'] == {
        'better answer: quality: answer under 3 words': 3,
        'better answer: read: removed answers': 1,
        'worse answer: read: removed answers': 1,
    }
    assert account['found'] == 6


def test_rows_that_name_the_better_answer_need_no_votes() -> None:
    chosen, rejected = side('a', is_chosen=True), side('b', is_chosen=False)
    found, _ = choose([chosen, rejected], [rejected, side('c', is_chosen=True)])
    # Answers of different rows are not compared: (a, b) and (c, b), not (a, c).
    assert found['train'] == [('a', 'b'), ('c', 'b')]
    _, account = choose([chosen, dataclasses.replace(chosen, is_chosen=False)])
    assert account['dropped'] == {'both answers are equal': 1}
    other = side('b', is_chosen=False, prompt=('Who else pays?',))
    _, account = choose([chosen, other])
    assert account['dropped'] == {'its answers are of different questions': 1}


def test_a_preference_stands_once_and_not_both_ways() -> None:
    chosen, rejected = side('a', is_chosen=True), side('b', is_chosen=False)
    found, account = choose([chosen, rejected], [chosen, rejected])
    assert found['train'] == [('a', 'b')]
    assert account['dropped'] == {'same preference': 1}
    other_way = [side('b', is_chosen=True), side('a', is_chosen=False)]
    found, account = choose([chosen, rejected], other_way)
    assert found['train'] == []
    assert account['dropped'] == {'preferred one way and the other': 2}


def test_a_question_has_at_most_some_pairs_the_clearest() -> None:
    answers = [side(str(i), score=2**i, time=i) for i in range(5)]
    found, account = choose(answers)
    assert account['dropped'] == {'over 5 of one question': 5}
    # Ratios 16, 8, 8, 4, 4 are kept; 4, 2, 2, 2, 2 are not.
    assert found['train'] == [
        *[('2', '0'), ('3', '0')],
        *[('3', '1'), ('4', '0'), ('4', '1')],
    ]
    every = dataclasses.replace(RULE, most_per_question=0)
    assert len(choose(answers, rule=every)[0]['train']) == 10


def test_a_preference_is_in_the_split_of_its_group() -> None:
    def pair(group: str, question: str) -> list[sides.Side]:
        fields = {'group': group, 'prompt': (question,)}
        return [
            side(f'{group} a', is_chosen=True, **fields),
            side(f'{group} b', is_chosen=False, **fields),
        ]

    split_of = {'train': 'g', 'validation': 'v', 'test': 't'}
    asked = [pair(group, f'Who pays {group}?') for group in 'gvt']
    found, account = choose(*asked, pair('nowhere', 'Who?'))
    assert found == {
        name: [(f'{group} a', f'{group} b')] for name, group in split_of.items()
    }
    assert account['dropped'] == {'its question has no pair in the dataset': 1}
    # A question of two splits would let train see what validation asks.
    found, account = choose(pair('g', 'Help!'), pair('v', 'Help!'), pair('t', 'Who?'))
    assert found == {'train': [], 'validation': [], 'test': [('t a', 't b')]}
    assert account['dropped'] == {'its question stands in another split too': 2}
