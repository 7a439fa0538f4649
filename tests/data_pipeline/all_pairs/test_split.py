import random

import pytest
import stores

from data_pipeline import settings
from data_pipeline.all_pairs import components, split
from hax_jax import errors
from hax_jax.data import records


def make_pairs(source: str, *, groups: int, size: int) -> list[records.QaPair]:
    return [
        records.QaPair(
            id=f'{source}-{group}-{line}',
            group=f'{source}-{group}',
            source=source,
            file=f'{source}.md',
            line=line,
            topic='',
            time='',
            question=f'Question {line} of {group}?',
            answer='Answer.',
        )
        for group in range(groups)
        for line in range(size)
    ]


def make_shares(validation: float, test: float) -> dict[str, float]:
    return {'train': 1 - validation - test, 'validation': validation, 'test': test}


def split_and_noted(
    pairs: list[records.QaPair], shares: dict[str, float], *, salt: str = split.SALT
) -> tuple[dict[str, list[records.QaPair]], list[str]]:
    """The pairs of each split in their order, and what is said of it."""
    with stores.filled(pairs, settings.DuplicateSettings(near=False)) as store:
        components.join(store)
        notes = split.assign(store, shares=shares, salt=salt)
        return {name: list(store.pairs(name)) for name in records.SPLITS}, notes


def assign(
    pairs: list[records.QaPair], *, shares: dict[str, float], salt: str = split.SALT
) -> dict[str, list[records.QaPair]]:
    return split_and_noted(pairs, shares, salt=salt)[0]


def count(splits: dict[str, list[records.QaPair]], source: str = '') -> dict[str, int]:
    return {
        name: sum(pair.source == source or not source for pair in pairs)
        for name, pairs in splits.items()
    }


def test_each_split_fills_to_its_share_of_pairs() -> None:
    pairs = make_pairs('reddit', groups=1000, size=1)
    splits = assign(pairs, shares=make_shares(0.05, 0.1))
    assert list(splits) == ['train', 'validation', 'test']
    assert count(splits) == {'train': 850, 'validation': 50, 'test': 100}


def test_shares_are_of_pairs_not_of_groups() -> None:
    pairs = make_pairs('chat', groups=20, size=25)
    pairs += make_pairs('reddit', groups=1200, size=1)
    splits = assign(pairs, shares=make_shares(0.05, 0.05))
    assert count(splits, 'chat') == {'train': 450, 'validation': 25, 'test': 25}
    assert count(splits, 'reddit') == {'train': 1080, 'validation': 60, 'test': 60}


@pytest.mark.parametrize('seed', range(20))
def test_every_pair_is_in_one_split_and_no_group_straddles(seed: int) -> None:
    rng = random.Random(seed)
    pairs = []
    for number in range(rng.randint(2, 12)):
        source = f's{number}'
        groups = rng.randint(1, 20)
        pairs += make_pairs(source, groups=groups, size=rng.choice([1, 1, 3, 40]))
    shares = make_shares(rng.uniform(0.01, 0.5), rng.choice([0, 0.05, 0.3]))
    splits = assign(pairs, shares=shares)
    kept = [pair for part in splits.values() for pair in part]
    assert sorted(kept, key=repr) == sorted(pairs, key=repr)
    homes = {(pair.group, name) for name, part in splits.items() for pair in part}
    assert len(homes) == len({pair.group for pair in pairs})
    assert splits['train']
    assert splits['validation']


def test_the_splits_do_not_depend_on_the_order_of_the_pairs() -> None:
    pairs = make_pairs('reddit', groups=80, size=1)
    pairs += make_pairs('chat', groups=4, size=6)
    shares = make_shares(0.1, 0.1)
    expected = assign(pairs, shares=shares)
    for seed in range(5):
        random.Random(seed).shuffle(pairs)
        assert assign(pairs, shares=shares) == expected


def test_groups_stand_in_the_order_of_their_hashes_whatever_their_position() -> None:
    # printf 'hax_jax\na-0' | sha256sum: 95.., of a-1 a1.., of a-2 41.., of a-3 8f..
    pairs = make_pairs('a', groups=4, size=1)
    splits = assign(pairs, shares=make_shares(0.25, 0.25))
    assert {name: [pair.group for pair in part] for name, part in splits.items()} == {
        'train': ['a-0', 'a-1'],
        'validation': ['a-2'],
        'test': ['a-3'],
    }


def test_another_salt_makes_another_split() -> None:
    pairs = make_pairs('reddit', groups=100, size=1)
    shares = make_shares(0.1, 0.1)
    one = assign(pairs, shares=shares)
    other = assign(pairs, shares=shares, salt='other')
    assert count(one) == count(other)
    assert one['validation'] != other['validation']


def test_a_big_group_never_swamps_a_small_split() -> None:
    pairs = make_pairs('reddit', groups=100, size=1)
    pairs += make_pairs('chat', groups=1, size=100)
    splits = assign(pairs, shares=make_shares(0.05, 0.05))
    assert count(splits, 'chat') == {'train': 100, 'validation': 0, 'test': 0}
    assert count(splits, 'reddit') == {'train': 80, 'validation': 10, 'test': 10}


def test_groups_too_big_for_a_share_leave_their_room_to_others() -> None:
    pairs = make_pairs('reddit', groups=100, size=1)
    pairs += make_pairs('chat', groups=3, size=20)
    splits, notes = split_and_noted(pairs, make_shares(0.05, 0.05))
    assert count(splits, 'chat') == {'train': 60, 'validation': 0, 'test': 0}
    assert count(splits, 'reddit') == {'train': 84, 'validation': 8, 'test': 8}
    assert notes == [
        'validation has no pair of chat: its smallest group is 20 of 60 pairs, too '
        'many for a share of 0.05; --validation_share=0.17 would take it.',
        'test has no pair of chat: its smallest group is 20 of 60 pairs, too many for '
        'a share of 0.05; --test_share=0.17 would take it.',
    ]


def test_the_share_that_a_note_names_brings_the_source_in() -> None:
    pairs = make_pairs('reddit', groups=52, size=1)
    pairs += make_pairs('chat', groups=3, size=17)
    splits = assign(pairs, shares=make_shares(0.17, 0.05))
    assert count(splits, 'chat') == {'train': 34, 'validation': 17, 'test': 0}
    # 0.17 of 52 is 8.84, nearest to 9; test has 0.05 of all 103, 5.15.
    assert count(splits, 'reddit') == {'train': 38, 'validation': 9, 'test': 5}


def test_forums_of_one_kind_are_split_together() -> None:
    pairs = [
        pair
        for forum in range(40)
        for pair in make_pairs(f'reddit:{forum}', groups=3, size=1)
    ]
    pairs += make_pairs('chat', groups=10, size=4)
    shares = make_shares(0.1, 0.1)
    splits, notes = split_and_noted(pairs, shares)
    assert count(splits, 'chat') == {'train': 32, 'validation': 4, 'test': 4}
    assert count(splits) == {'train': 128, 'validation': 16, 'test': 16}
    assert notes == []


def test_three_groups_make_three_splits_and_it_is_said() -> None:
    pairs = make_pairs('chat', groups=3, size=20)
    shares = make_shares(0.05, 0.05)
    splits, notes = split_and_noted(pairs, shares)
    assert count(splits) == {'train': 20, 'validation': 20, 'test': 20}
    assert notes == [
        'validation has 20 of 60 pairs (33.3%), --validation_share=0.05 asked for '
        '3.0: groups stay whole. Give more files; cut a file that holds several chats '
        'into one file for each.',
        'test has 20 of 60 pairs (33.3%), --test_share=0.05 asked for 3.0: groups '
        'stay whole. Give more files, or --test_share=0; cut a file that holds several '
        'chats into one file for each.',
    ]


def test_of_two_groups_train_has_the_bigger_and_test_is_empty_and_it_is_said() -> None:
    pairs = make_pairs('chat', groups=1, size=20) + make_pairs('b', groups=1, size=9)
    shares = make_shares(0.05, 0.05)
    splits, notes = split_and_noted(pairs, shares)
    assert count(splits) == {'train': 20, 'validation': 9, 'test': 0}
    assert 'test is empty: there are too few groups for it.' in notes


@pytest.mark.parametrize(('validation', 'test'), [(0.5, 0.45), (0.1, 0.85)])
def test_train_and_validation_come_before_test(validation: float, test: float) -> None:
    pairs = make_pairs('reddit', groups=2, size=1)
    splits = assign(pairs, shares=make_shares(validation, test))
    assert count(splits) == {'train': 1, 'validation': 1, 'test': 0}


def test_without_a_test_share_there_is_no_test_split_and_no_note() -> None:
    pairs = make_pairs('reddit', groups=40, size=1)
    shares = make_shares(0.05, 0)
    splits, notes = split_and_noted(pairs, shares)
    assert count(splits) == {'train': 38, 'validation': 2, 'test': 0}
    assert notes == []


@pytest.mark.parametrize(
    ('pairs', 'message'),
    [
        (
            make_pairs('chat', groups=1, size=7),
            r'7 pairs in 1 group cannot be.*; cut a file that holds several chats '
            r'into one file for each\.$',
        ),
        ([], r'0 pairs in 0 groups cannot be split.*more files with --input\.$'),
    ],
)
def test_fewer_than_two_groups_are_an_error_with_its_remedy(
    pairs: list[records.QaPair], message: str
) -> None:
    with pytest.raises(errors.InputError, match=message):
        assign(pairs, shares=make_shares(0.05, 0.05))


@pytest.mark.parametrize(
    ('validation', 'test', 'message'),
    [
        (0.0, 0.1, '--validation_share=0 is not accepted; use a number over 0'),
        (1.0, 0.1, '--validation_share=1 is not accepted'),
        (float('nan'), 0.1, '--validation_share=nan is not accepted'),
        (0.1, -0.1, '--test_share=-0.1 is not accepted; use a number from 0'),
        (0.6, 0.4, '--validation_share=0.6 and --test_share=0.4 leave nothing to'),
    ],
)
def test_a_share_out_of_range_is_named(
    validation: float, test: float, message: str
) -> None:
    with pytest.raises(errors.InputError) as caught:
        split.check_shares(make_shares(validation, test))
    assert message in str(caught.value)
