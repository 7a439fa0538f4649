"""Passages that many answers share: quoted, left out of the overlap, cut if asked."""

import dataclasses
import random
import re

import pytest
import stores

from data_pipeline import settings
from data_pipeline.all_pairs import (
    components,
    near_duplicates,
    overlap,
    pair_store,
    split,
    standing,
)
from data_pipeline.pair_stages import stage_ledger
from hax_jax import errors
from hax_jax.data import records

SIGNATURE = (
    'Marian Vale answers letters from readers on Tuesdays and Fridays; write to her at '
    'the desk below the stairs, and please do not send ladders, spoons or cats.'
)
WORDS = [f'word{i}' for i in range(3_000)]
SHARES = {'train': 0.8, 'validation': 0.1, 'test': 0.1}


def story(seed: int, *, length: int = 40) -> str:
    return ' '.join(random.Random(seed).choices(WORDS, k=length))


def corpus(*, signed: int, total: int = 60) -> list[records.QaPair]:
    """Pairs, each a group of its own; the first ones' answers are signed."""
    return [
        records.QaPair(
            id=f'p{i}',
            group=f'p{i}',
            source='pairs',
            file='a.jsonl',
            line=i,
            topic='',
            time='',
            question=story(i),
            answer=story(1_000 + i) + f'\n\n{SIGNATURE}' * (i < signed),
        )
        for i in range(total)
    ]


def checked(
    store: pair_store.PairStore, share: float
) -> tuple[dict[str, overlap.Shared], list[str]]:
    fewest = standing.least(store, settings.SplitSettings(standing_share=share))
    store.sql.execute('DELETE FROM home; DROP TABLE IF EXISTS joined')
    components.join(store, standing=fewest)
    split.assign(store, shares=SHARES)
    return overlap.check(store, limit=0.01, standing=fewest)


def test_a_signature_is_quoted_and_counted_and_stops_no_build() -> None:
    with stores.filled(corpus(signed=30)) as store:
        measured, (note,) = checked(store, 0.05)
    assert all(each.shared == 0 for each in measured.values())
    assert (
        max(each.standing for each in measured.values())
        == len(re.findall(r'\w+', SIGNATURE)) - 7
    )
    assert 'many of the 60 pairs' in note
    assert f': "{SIGNATURE[:100]}' in note
    assert '" (30). ' in note
    assert '--config.clean.cut_standing=true' in note


def test_a_passage_below_the_share_is_quoted_with_a_remedy_that_works() -> None:
    with stores.filled(corpus(signed=70, total=100)) as store:  # over 64: joins nothing
        with pytest.raises(errors.InputError) as caught:
            checked(store, 1.0)
        message = str(caught.value)
        assert 1 <= message.count(SIGNATURE[:60]) <= 2  # once a split
        assert '(in 70 pairs)' in message
        share = float(re.search(r'standing_share=([\d.]+)', message)[1])
        assert share == 0.7
        _, (note,) = checked(store, share)
        assert 'many of the 100 pairs' in note
        assert '" (70). ' in note


def test_several_passages_are_one_note() -> None:
    pairs = corpus(signed=30)
    for i in range(20, 60):
        left = (
            f'Sent from a phone with small keys and a cracked pane. {pairs[i].answer}'
        )
        pairs[i] = dataclasses.replace(pairs[i], answer=left)
    with stores.filled(pairs) as store:
        _, (note,) = checked(store, 0.05)
    assert '" (30), "' in note or '" (40), "' in note
    assert note.count('does not count') + note.count('do not count') == 1


def test_of_passages_that_overlap_the_part_that_stands_most_often_is_quoted() -> None:
    pairs = corpus(signed=0)
    for i, pair in enumerate(pairs):
        signed = f'In year {i % 6} we wrote: {SIGNATURE[:65]}\nWe are {i % 4} here.'
        pairs[i] = dataclasses.replace(pair, answer=f'{story(1_000 + i)}\n{signed}')
    with stores.filled(pairs) as store:
        _, (note,) = checked(store, 0.05)
    assert f': "we wrote: {SIGNATURE[:65]} We are" (60), ' in note


def test_answers_of_one_thread_make_no_passage_standing() -> None:
    """A question with nine answers, and its repost, are on one side."""
    body = story(7, length=60)
    thread = [
        dataclasses.replace(each, group='t', question=body)
        for each in corpus(signed=0, total=9)
    ]
    repost = dataclasses.replace(thread[0], id='r', group='r', question='New. ' + body)
    others = [
        dataclasses.replace(p, id=f'o{p.id}', group=f'o{p.id}')
        for p in corpus(signed=0)[9:]
    ]
    with stores.filled([*thread, repost, *others]) as store:
        fewest = standing.least(store, settings.SplitSettings())
        assert fewest == 5
        components.join(store, standing=fewest)
        found = store.rows(
            "SELECT DISTINCT component FROM home WHERE grp IN ('t', 'r')"
        )
        assert len(list(found)) == 1


def test_standing_lines_are_cut_off_answers_and_counted() -> None:
    pairs = corpus(signed=20)
    pairs[3] = dataclasses.replace(pairs[3], answer=SIGNATURE)
    pairs[4] = dataclasses.replace(
        pairs[4], answer=f'First, {story(1)}\n{SIGNATURE.upper()}\n\nThen leave.'
    )
    pairs[5] = dataclasses.replace(
        pairs[4], id='copy', group='copy', answer=f'First, {story(1)}\n\nThen leave.'
    )
    ledger = stage_ledger.Ledger()
    chosen = settings.Settings(clean=settings.CleanSettings(cut_standing=True))
    with stores.filled(pairs) as store:
        standing.cut(store, chosen, ledger)
        near_duplicates.find(store, chosen.duplicates)
        near_duplicates.drop(store)
        assert [gone for _, _, gone in stores.gone(store)] == [
            'near duplicate less tidy'  # p4 is what its copy is, by a cut
        ]
        checked(store, 1.0)  # nothing is left to share
        left = {
            each.id: each.answer
            for name in records.SPLITS
            for each in store.pairs(name)
        }
    assert left['p0'] == pairs[0].answer.split('\n')[0]
    assert left['p3'] == SIGNATURE
    assert left['p30'] == pairs[30].answer
    assert left['copy'] == f'First, {story(1)}\n\nThen leave.'
    (row, *_) = ledger.as_json()
    assert (row['stage'], row['in'], row['out']) == ('standing lines', 60, 60)
    assert row['changed']['standing line cut']['pairs'] == 18
    assert row['noted']['answer of standing lines alone, kept']['pairs'] == 1


def test_what_only_raw_texts_show_stays_with_a_pair_whose_line_was_cut() -> None:
    pairs = corpus(signed=20)
    with stores.filled(pairs) as store:
        store.sql.execute("UPDATE pairs SET links = ['reddit:x'], is_update = true")
        chosen = settings.Settings(clean=settings.CleanSettings(cut_standing=True))
        standing.cut(store, chosen, stage_ledger.Ledger())
        kept = store.rows('SELECT links, is_update, count(*) FROM pairs GROUP BY ALL')
        assert list(kept) == [(['reddit:x'], True, 60)]
        assert store.count == 60
