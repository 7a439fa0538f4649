"""Pairs of one id: which are one pair, and which a file's numbers that begin again."""

import dataclasses
from collections.abc import Sequence

import stores

from data_pipeline.all_pairs import equal_ids, exact_duplicates
from data_pipeline.pages import reddit
from data_pipeline.pair_stages import stage_ledger
from hax_jax.data import records

GIFT = 'May I return a gift that I was given in May, without its receipt?'
EDITED = 'No. Edit: ask the shop by letter, which may be kind to you.'
NORWAY = 'Do you send parcels to Norway, and who pays what customs ask for?'


def _pair(
    question: str, answer: str, *, pair_id: str = 'csv:a:7', line: int = 1
) -> records.QaPair:
    return records.QaPair(
        id=pair_id,
        group=pair_id,
        source='csv',
        file='a.csv',
        line=line,
        topic='',
        time='',
        question=question,
        answer=answer,
        score=0,
    )


def _kept(pairs: Sequence[records.QaPair]) -> tuple[list[str], stage_ledger.Ledger]:
    ledger = stage_ledger.Ledger()
    with stores.filled(pairs) as store:
        equal_ids.tell_apart(store, ledger)
        exact_duplicates.drop(store)
        query = 'SELECT {pair}, id, grp FROM kept AS pairs ORDER BY ordinal'
        found = list(store.found(query))
        assert all((p.id, p.group) == (name, name) for p, name, _ in found)
        assert all(name == group for _, name, group in found)
        return [name for _, name, _ in found], ledger


def test_numbers_that_begin_again_name_other_pairs() -> None:
    pairs = [
        _pair(GIFT, 'Yes, within thirty days.', line=1),
        _pair(NORWAY, 'We do, and you pay them.', line=2),
        _pair('Why?', 'Yes.', line=3),
        _pair('When?', 'Yes.', line=4),
        _pair('x', 'y', pair_id='csv:a:7~2', line=5),
    ]
    names, ledger = _kept(pairs)
    assert names == ['csv:a:7', 'csv:a:7~3', 'csv:a:7~4', 'csv:a:7~5', 'csv:a:7~2']
    (stage,) = ledger.as_json()
    assert stage['changed']['an id of other texts too']['pairs'] == 3


def test_a_later_form_takes_the_number_of_its_first() -> None:
    first = _pair(GIFT, 'Yes.', line=1)
    second = _pair(NORWAY, 'Yes.', line=2)
    edited = _pair(f'{NORWAY} Edit: I ask for my aunt.', 'No.', line=3)
    names, _ = _kept([first, second, edited])
    assert names == ['csv:a:7', 'csv:a:7~2']


def test_a_post_that_was_saved_again_is_one_pair() -> None:
    first = _pair(GIFT, 'Yes, within thirty days.', line=1)
    edited = _pair(GIFT, EDITED, line=2)
    asked_anew = _pair(NORWAY, EDITED, line=3)
    removed = dataclasses.replace(
        _pair('A gift', 'Ask the shop.', line=4), flags=(reddit.BODY_REMOVED,)
    )
    names, ledger = _kept([first, edited, asked_anew, removed])
    assert names == ['csv:a:7']
    assert ledger.as_json() == []
