"""Which split each pair belongs to: by whole groups, in the order of their hashes.

A group (a Reddit post's id, a chat file's name) never straddles two splits: its pairs
share names, a story or a host's mood, and would let validation see what was learned.
"""

import collections
import collections.abc
import hashlib
import math

from hax_jax import config, records

SALT = 'hax_jax'
HELD_OUT = ('validation', 'test')


def assign(
    pairs: collections.abc.Iterable[records.QaPair],
    *,
    shares: collections.abc.Mapping[str, float],
    salt: str = SALT,
) -> dict[str, list[records.QaPair]]:
    """The pairs of each of `records.SPLITS`, whatever order they came in.

    The groups stand in the order of sha256(salt, name). Validation picks first, then
    test, each in three steps; what they leave is train's:

    1. of each kind of source apart ('reddit:advice' is of kind 'reddit'), groups up to
       its share of that kind's pairs;
    2. of all that is left, groups up to its share of all pairs;
    3. if it is still empty, the smallest group.

    In steps 1 and 2 a group is taken if that brings the split nearer to its share, so
    no group takes a split to twice its share: 200 pairs never go where 10 are wanted.
    The last group left is train's. Inside a split the groups keep their order and their
    pairs stand by file, line and id.

    100 posts of 1 pair and 3 chats of 20, at 0.05 for validation (8 of 160 pairs): 5
    posts; no chat (20 is not nearer to 3 than 0 is); then 3 posts more.

    Raises:
      InputError: a share is out of range, or validation or train would be empty.
    """
    check_shares(shares)
    groups = _by_group(pairs)
    order = sorted(groups, key=lambda name: _place(name, salt))
    size = {name: len(groups[name]) for name in order}
    by_kind = collections.defaultdict(list)
    for name in order:
        by_kind[_kind(groups[name][0])].append(name)
    if len(order) < 2:
        raise config.InputError(
            f'{sum(size.values())} pairs in {len(order)} group(s) cannot be split: a '
            'group (one Reddit post, one chat file) stays whole, and train and '
            'validation need one each. Give more files with --input.'
        )

    home: dict[str, str] = {}
    for split in HELD_OUT:
        for candidates in [*by_kind.values(), order]:
            room = shares[split] * sum(size[name] for name in candidates)
            room -= sum(size[name] for name in candidates if home.get(name) == split)
            for name in candidates:
                last = len(home) == len(order) - 1
                if name not in home and size[name] < 2 * room and not last:
                    home[name] = split
                    room -= size[name]
        left = [name for name in order if name not in home]
        if shares[split] > 0 and split not in home.values() and len(left) > 1:
            home[min(left, key=lambda name: size[name])] = split

    splits: dict[str, list[records.QaPair]] = {split: [] for split in records.SPLITS}
    for name in order:
        splits[home.get(name, 'train')] += groups[name]
    return splits


def check_shares(shares: collections.abc.Mapping[str, float]) -> None:
    """Raises InputError unless each split has a share that it can have."""
    problems = []
    if not 0 < shares['validation'] < 1:
        problems.append(
            f'--validation_share={shares["validation"]:g} is not accepted; use a number'
            ' over 0 and under 1, such as 0.05 (training needs a validation split).'
        )
    if not 0 <= shares['test'] < 1:
        problems.append(
            f'--test_share={shares["test"]:g} is not accepted; use a number from 0 (no '
            'test split) to under 1.'
        )
    if not problems and shares['validation'] + shares['test'] >= 1:
        problems.append(
            f'--validation_share={shares["validation"]:g} and --test_share='
            f'{shares["test"]:g} leave nothing to train on; lower them to under 1 '
            'together.'
        )
    if problems:
        raise config.InputError('\n'.join(problems))


def notes(
    splits: collections.abc.Mapping[str, list[records.QaPair]],
    *,
    shares: collections.abc.Mapping[str, float],
) -> list[str]:
    """What about these splits is other than their shares asked for, a sentence each."""
    everything = [pair for pairs in splits.values() for pair in pairs]
    by_kind = collections.defaultdict(list)
    for pair in everything:
        by_kind[_kind(pair)].append(pair)
    found = []
    for split in HELD_OUT:
        count, target = len(splits[split]), shares[split] * len(everything)
        if shares[split] > 0 and not count:
            found.append(f'{split} is empty: there are too few groups for it.')
            continue
        if count > 2 * target or count < target / 2:
            found.append(
                f'{split} has {count} of {len(everything)} pairs '
                f'({count / len(everything):.1%}), --{split}_share={shares[split]:g} '
                f'asked for {target:.1f}: groups stay whole. Give more files'
                + (', or --test_share=0.' if split == 'test' else '.')
            )
        if shares[split] > 0:
            for kind in sorted(by_kind.keys() - set(map(_kind, splits[split]))):
                found.append(_none_of(kind, by_kind[kind], split, shares[split]))
    for kind in sorted(by_kind.keys() - set(map(_kind, splits['train']))):
        found.append(f'train has no pair of {kind}: give more files of it.')
    return found


def _none_of(kind: str, pairs: list[records.QaPair], split: str, share: float) -> str:
    sizes = collections.Counter(pair.group for pair in pairs)
    smallest = min(sizes.values())
    if len(sizes) == 1 or smallest < 2 * share * len(pairs):
        return f'{split} has no pair of {kind}: give more files of it.'
    enough = (math.floor(50 * smallest / len(pairs)) + 1) / 100
    return (
        f'{split} has no pair of {kind}: its smallest group is {smallest} of '
        f'{len(pairs)} pairs, too many for a share of {share:g}; '
        f'--{split}_share={enough:g} would take it.'
    )


def _kind(pair: records.QaPair) -> str:
    return pair.source.partition(':')[0]


def _by_group(
    pairs: collections.abc.Iterable[records.QaPair],
) -> dict[str, list[records.QaPair]]:
    groups = collections.defaultdict(list)
    for pair in sorted(pairs, key=lambda pair: (pair.file, pair.line, pair.id)):
        groups[pair.group].append(pair)
    return groups


def _place(name: str, salt: str) -> str:
    return hashlib.sha256(f'{salt}\n{name}'.encode()).hexdigest()
