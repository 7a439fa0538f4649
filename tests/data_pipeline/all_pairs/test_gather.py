"""What is done to all pairs together: groups, overlap, caps, weights, the account."""

import collections
import dataclasses
import json
import pathlib
import random

import msgspec
import pytest
import stores

from data_pipeline import settings
from data_pipeline.all_pairs import (
    all_steps,
    caps_and_weights,
    components,
    exact_duplicates,
    overlap,
    pair_store,
    split,
)
from data_pipeline.compared import compared_row, packed_rows
from data_pipeline.pair_stages import stage_ledger
from data_pipeline.preparing import beam_map, prepare_batch
from data_pipeline.reading import inputs, reader
from hax_jax import errors
from hax_jax.config import convert
from hax_jax.data import records

SHARES = {'train': 0.6, 'validation': 0.2, 'test': 0.2}
WORDS = [f'word{i}' for i in range(5_000)]


def story(seed: int, *, length: int = 40) -> str:
    return ' '.join(random.Random(seed).choices(WORDS, k=length))


def pair(number: int, **fields: object) -> records.QaPair:
    made = records.QaPair(
        f'reddit:p{number}',
        f'reddit:p{number}',
        'reddit:advice',
        'a.md',
        number,
        '',
        '',
        f'Title {number}\n\n{story(2 * number)}',
        story(2 * number + 1),
    )
    return dataclasses.replace(made, **fields)


def joined_groups(store: pair_store.PairStore) -> list[set[str]]:
    """The groups that go together, of two or more."""
    found = collections.defaultdict(set)
    for group, component in store.rows('SELECT grp, component FROM home'):
        found[component].add(group)
    return sorted((each for each in found.values() if len(each) > 1), key=sorted)


def joined(pairs: list[records.QaPair]) -> list[set[str]]:
    with stores.filled(pairs) as store:
        components.join(store)
        return joined_groups(store)


def test_an_update_goes_with_the_post_that_it_links() -> None:
    link = 'https://www.reddit.com/r/advice/comments/p1/some_title/?x=1'
    short = 'https://redd.it/p2'
    pairs = [pair(i) for i in range(1, 6)]
    pairs.append(pair(10, question=f'It is over\n\n[Then]({link})', flags=('update',)))
    pairs.append(pair(11, question=f'Later\n\n{short} {link}', flags=('update',)))
    # Who is no update may link what he likes; a post that is not there joins nothing.
    pairs.append(pair(12, question=f'Like this one?\n\n{link.replace("p1", "p5")}'))
    pairs.append(pair(13, question='Gone\n\nhttps://redd.it/zz', flags=('update',)))
    assert joined(pairs) == [{'reddit:p1', 'reddit:p2', 'reddit:p10', 'reddit:p11'}]


@pytest.mark.parametrize(
    ('title', 'together'),
    [
        ('UPDATE: My boss reads all my mail', True),
        ('[Update] my boss reads ALL my mail!', True),
        ('My boss reads all my mail (final update)', True),
        ('UPDATE 2: My boss reads all my mail', True),
        ('UPDATE: My boss reads my mail', False),
    ],
)
def test_an_update_goes_with_the_post_of_its_title(title: str, together: bool) -> None:
    pairs = [
        pair(1, question=f'My boss reads all my mail\n\n{story(1001)}'),
        pair(2, question=f'{title}\n\n{story(1002)}', flags=('update',)),
        pair(3, source='reddit:other', question=f'{title}\n\n{story(1003)}'),
    ]
    assert joined(pairs) == ([{'reddit:p1', 'reddit:p2'}] if together else [])


def test_a_body_below_a_new_title_goes_with_the_old_one() -> None:
    body = story(77, length=30)
    pairs = [
        pair(1, question=f'{story(78, length=20)}\n\n{body}'),
        pair(2, question=f'{story(79, length=20)}\n\n{body}'),
        pair(3, question=f'{story(80, length=20)}\n\n{" ".join(body.split()[:10])}'),
    ]
    assert joined(pairs) == [{'reddit:p1', 'reddit:p2'}]
    # What a hundred pairs have is a phrase.
    pairs = [pair(i, question=f'{story(1000 + i)} {body}') for i in range(100)]
    assert joined(pairs) == []


def test_titles_of_few_words_join_nothing() -> None:
    pairs = [
        pair(1, question=f'Please help me\n\n{story(1)}'),
        pair(2, question=f'Please help me\n\n{story(2)}', flags=('update',)),
    ]
    assert joined(pairs) == []


def test_what_a_duplicate_stood_with_goes_with_what_was_kept() -> None:
    """A chat that repeats one letter of another is on its side with all its letters."""
    pairs = [pair(i, group=f'chat{i % 2}', source='chat') for i in range(6)]
    copy = dataclasses.replace(pairs[0], id='again', group='chat1')
    with stores.filled([*pairs, copy]) as store:
        exact_duplicates.drop(store)
        components.join(store)
        assert joined_groups(store) == [{'chat0', 'chat1'}]


def test_a_split_that_shares_runs_of_words_with_train_is_refused_by_name() -> None:
    pairs = [pair(i) for i in range(20)]
    with stores.filled(pairs) as store:
        components.join(store)
        split.assign(store, shares=SHARES)
        held = next(iter(store.pairs('validation')))
        trained = next(iter(store.pairs('train')))
    # 17 words of 40 are trained on: 10 of its runs of eight.
    words = held.question.split()[:20] + trained.question.split()[2:19]
    changed = dataclasses.replace(held, question=' '.join(words))
    swapped = [changed if each.id == held.id else each for each in pairs]
    with stores.filled(swapped) as store:
        components.join(store)
        split.assign(store, shares=SHARES)
        measured = overlap.measure(store)
        assert measured['validation'].shared == 10
        assert measured['test'].shared == 0
        texts = [
            text
            for each in store.pairs('validation')
            for text in (each.question, each.answer)
        ]
        runs = {
            tuple(words[i : i + 8])
            for words in (text.lower().split() for text in texts)
            for i in range(len(words) - 7)
        }
        assert measured['validation'].runs == len(runs)
        with pytest.raises(errors.InputError) as caught:
            overlap.check(store, limit=0.01)
        message = str(caught.value)
        passage = ' '.join(trained.question.split()[2:19])
        assert (
            f'{held.id} has 10 of them in common with {trained.id}: "{passage}" '
            '(in 2 pairs)' in message
        )
        assert 'duplicates.threshold' in message
        assert 'split.max_shared_ngrams' in message
        overlap.check(store, limit=1.0)


def test_caps_keep_the_same_pairs_whatever_their_order() -> None:
    pairs = [pair(i) for i in range(30)] + [
        pair(i, source='reddit:other') for i in range(30, 50)
    ]
    pairs += [pair(i, source='chat') for i in range(50, 55)]
    chosen = settings.MixSettings(caps=('reddit:advice=10', 'reddit=25'))
    kept = []
    for seed in (1, 2):
        random.Random(seed).shuffle(pairs)
        with stores.filled(pairs) as store:
            caps_and_weights.check(store, chosen)
            caps_and_weights.cap(store, chosen)
            kept.append(stores.kept_ids(store))
            reasons = collections.Counter(each.reason for each in store.gone())
        assert reasons == {
            'over the cap of reddit:advice': 20,
            'over the cap of reddit': 5,
        }
    assert kept[0] == kept[1]


def test_weights_repeat_pairs_of_train_alone() -> None:
    pairs = [pair(i, source='chat', weight=2.0) for i in range(200)]
    pairs += [pair(i) for i in range(200, 600)]
    pairs += [pair(i, source='reddit:other') for i in range(600, 1000)]
    chosen = settings.MixSettings(
        weights=('chat=1.5', 'reddit=0.5', 'reddit:other=1.25')
    )
    with stores.filled(pairs, settings.DuplicateSettings(near=False)) as store:
        components.join(store)
        split.assign(store, shares=SHARES)
        before = {name: list(store.pairs(name)) for name in records.SPLITS}
        account = caps_and_weights.weigh(store, chosen)
        after = {name: list(store.pairs(name)) for name in records.SPLITS}
        dropped = {each.id for each in store.gone()}
    assert after['validation'] == before['validation']
    assert after['test'] == before['test']
    times = collections.Counter(
        (each.id.partition('#')[0], each.source) for each in after['train']
    )
    assert len({each.id for each in after['train']}) == len(after['train'])
    trained = {each.id: each.source for each in before['train']}
    assert account.keys() == {'chat', 'reddit:advice', 'reddit:other'}
    counts = collections.defaultdict(collections.Counter)
    for name, source in trained.items():
        counts[source][times[name, source]] += 1
    assert counts['chat'].keys() == {3}  # 2.0 of its own, 1.5 of its source
    assert counts['reddit:advice'].keys() == {0, 1}
    assert counts['reddit:other'].keys() == {1, 2}
    assert {name for name in trained if not times[name, trained[name]]} == dropped
    # The share of 240 that a fair coin gives is within 4 standard deviations (31).
    assert abs(counts['reddit:advice'][0] - 120) < 31
    assert abs(counts['reddit:other'][2] - 60) < 27
    off = dataclasses.replace(chosen, oversample=False)
    with stores.filled(pairs, settings.DuplicateSettings(near=False)) as store:
        components.join(store)
        split.assign(store, shares=SHARES)
        assert (
            caps_and_weights.weigh(store, off)['chat']['after']
            < 2 * account['chat']['before']
        )


def test_a_weight_that_would_fill_the_disk_is_refused() -> None:
    with pytest.raises(errors.InputError, match='use each source once with a number'):
        convert.from_dict({'mix': {'weights': ('chat=1e9',)}}, settings.Settings)
    chosen = settings.MixSettings(weights=('chat=1000',))
    for weight, copies in ((1e300, r'1e\+303'), (1.5, '1,500')):
        pairs = [pair(i, source='chat', weight=weight) for i in range(20)]
        with (
            stores.filled(pairs, settings.DuplicateSettings(near=False)) as store,
            pytest.raises(errors.InputError, match=rf':\d+: .+ have {copies} copies'),
        ):
            components.join(store)
            split.assign(store, shares=SHARES)
            caps_and_weights.weigh(store, chosen)


def test_a_source_that_is_not_there_is_named_with_those_that_are() -> None:
    chosen = settings.MixSettings(caps=('reddit:advise=3',), weights=('chat=2',))
    with (
        stores.filled([pair(1)]) as store,
        pytest.raises(
            errors.InputError, match="did you mean 'reddit:advice'"
        ) as caught,
    ):
        caps_and_weights.check(store, chosen)
    assert "mix.weights names 'chat'" in str(caught.value)


def made_up_corpus(seed: int) -> list[records.QaPair]:
    """Pairs with copies of every kind among them."""
    rng = random.Random(seed)
    pairs = [pair(i, score=rng.randrange(5)) for i in range(40)]
    pairs += [
        pair(i, source='chat', group=f'chat{i % 4}', weight=rng.choice([1.0, 2.0, 0.5]))
        for i in range(40, 60)
    ]
    for number in range(60, 80):
        of = rng.choice(pairs[:60])
        pairs.append(
            rng.choice(
                [
                    dataclasses.replace(of, score=9),  # its id again
                    dataclasses.replace(of, id=f'c{number}', group=f'c{number}'),
                    dataclasses.replace(
                        of,
                        id=f'n{number}',
                        group=f'n{number}',
                        answer=of.answer + ' ok',
                    ),
                    dataclasses.replace(
                        of,
                        id=f'r{number}',
                        group=f'r{number}',
                        answer=story(number + 10**6),
                    ),
                ]
            )
        )
    return pairs


@pytest.mark.parametrize('seed', range(4))
def test_each_pair_is_kept_or_dropped_and_nothing_depends_on_order_or_batches(
    seed: int,
) -> None:
    corpus = made_up_corpus(seed)
    chosen = settings.Settings(
        mix=settings.MixSettings(caps=('reddit:advice=30',), weights=('chat=1.5',))
    )
    outcomes = []
    for cut in (1, 7, 1000):
        random.Random(cut).shuffle(corpus)
        with pair_store.PairStore() as store:
            rows = [compared_row.make(each, each, chosen.duplicates) for each in corpus]
            for start in range(0, len(rows), cut):
                store.add(packed_rows.packed(rows[start : start + cut]))
            ledger = stage_ledger.Ledger()
            gathered = all_steps.run(store, chosen, ledger, shares=SHARES)
            splits = {name: list(store.pairs(name)) for name in records.SPLITS}
            gone = list(store.gone())
            homes = joined_groups(store)
        outcomes.append((splits, gone, ledger.as_json(), gathered))
        kept = [each for part in splits.values() for each in part]
        originals = [each.id for each in kept if '#' not in each.id]
        assert sorted(originals + [each.id for each in gone]) == sorted(
            each.id for each in corpus
        )
        assert {each.kept_id for each in gone} - {''} <= set(originals) | {
            each.id for each in gone if not each.kept_id
        }
        side = {each.group: name for name, part in splits.items() for each in part}
        for component in homes:
            assert len({side[group] for group in component if group in side}) == 1
        for stage in ledger.as_json():
            dropped = sum(reason['pairs'] for reason in stage['dropped'].values())
            assert stage['in'] == stage['out'] + dropped
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_a_prepared_batch_comes_back_from_json(tmp_path: pathlib.Path) -> None:
    chosen = settings.Settings()
    told = 'My sister keeps the old ladder in our garage and *never* asks me first.'
    raw = [
        pair(
            1,
            question=f'Update on us\n\nhttps://redd.it/p2 &amp; {told}',
            answer='Then you should ask her, calmly and before the summer begins.',
            flags=('update',),
        ),
        pair(2, question=told, answer='https://example.com'),
    ]
    path = tmp_path / 'pairs.jsonl'
    path.write_text(
        ''.join(json.dumps(dataclasses.asdict(each)) + '\n' for each in raw)
    )
    (batch,) = reader.batches_of(inputs.find([f'pairs:{path}']))
    made = prepare_batch.prepare(batch, chosen=chosen, names={str(path): 'pairs.jsonl'})
    with pair_store.PairStore() as store:
        store.add(made.rows)
        ((kept, links),) = store.found('SELECT {pair}, links FROM pairs')
    assert (kept.id, kept.file) == ('reddit:p1', 'pairs.jsonl')
    assert links == ['reddit:p2']
    left = dataclasses.replace(raw[1], question=told.replace('*', ''), answer='[URL]')
    assert made.gone == [packed_rows.dropped(left, 'quality: answer of links alone')]
    assert made.read.sources == {'reddit:advice': 2} and made.read.pairs == []
    sent = msgspec.json.encode({'value': made})
    assert beam_map.decoded(sent, prepare_batch.Prepared) == made


def test_what_spills_stays_in_the_folder(tmp_path: pathlib.Path) -> None:
    with pair_store.PairStore(tmp_path, memory_mb=64) as store:
        rows = [
            compared_row.make(each, each, stores.CHOSEN)
            for each in map(pair, range(500))
        ]
        store.add(packed_rows.packed(rows))
        components.join(store)
        split.assign(store, shares=SHARES)
        assert sum(1 for name in records.SPLITS for _ in store.pairs(name)) == 500
