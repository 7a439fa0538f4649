import dataclasses
import random

import pytest

from data_pipeline.pair_stages import stage_ledger, stages
from hax_jax.data import records


def pair(
    number: int, *, question: str = 'Why?', answer: str = 'Because.'
) -> records.QaPair:
    return records.QaPair(
        f'p{number}', f'p{number}', 'chat', 'a.md', number, '', '', question, answer
    )


def drop_thirds(each: records.QaPair) -> stages.Outcome:
    if each.line % 3 == 0:
        return stages.Dropped('a third', f'line {each.line}')
    return stages.Kept(each)


def shout(text: str) -> tuple[str, int]:
    return text.replace('.', '!'), text.count('.')


SEQUENCE = (
    stages.Stage('thirds', drop_thirds),
    stages.Stage(
        'shout', lambda each: stages.rewrite(each, [stages.TextRule('shouted', shout)])
    ),
)


def ran(
    pairs: list[records.QaPair],
) -> tuple[list[records.QaPair], stage_ledger.Ledger]:
    ledger = stage_ledger.Ledger()
    for stage in SEQUENCE:
        ledger.open(stage.name)
    found = ledger.run(pairs, SEQUENCE)
    return [pair for pair, reason in found if not reason], ledger


def test_what_comes_in_goes_out_or_is_dropped_and_the_next_stage_gets_the_rest() -> (
    None
):
    kept, ledger = ran([pair(i, answer='A. B.' if i % 2 else 'C') for i in range(30)])
    assert [each.line for each in kept] == [i for i in range(30) if i % 3]
    assert {each.answer for each in kept} == {'A! B!', 'C'}
    thirds, shouted = ledger.as_json()
    assert (thirds['in'], thirds['out'], thirds['changed_pairs']) == (30, 20, 0)
    assert thirds['dropped']['a third']['pairs'] == 10
    # Of 1..29 without multiples of three, ten are odd; each has two full stops.
    assert (shouted['in'], shouted['out'], shouted['changed_pairs']) == (20, 20, 10)
    found = shouted['changed']['shouted']
    assert (found['pairs'], found['times']) == (10, 20)
    assert found['examples'][0]['before'] == 'A. B.'
    assert found['examples'][0]['after'] == 'A! B!'


def test_examples_are_five_and_do_not_depend_on_the_order_of_the_pairs() -> None:
    pairs = [pair(i) for i in range(60)]
    _, in_order = ran(pairs)
    random.Random(0).shuffle(pairs)
    _, shuffled = ran(pairs)
    assert shuffled.as_json() == in_order.as_json()
    examples = in_order.as_json()[0]['dropped']['a third']['examples']
    assert len(examples) == 5
    lines = {int(each['detail'].removeprefix('line ')) for each in examples}
    assert len(lines) == 5
    assert lines != {0, 3, 6, 9, 12}  # not merely the first that came


def test_pairs_of_one_id_have_examples_that_do_not_depend_on_their_order() -> None:
    same = [dataclasses.replace(pair(0), answer=f'Answer {i}.') for i in range(20)]
    _, one = ran(same)
    _, other = ran(same[::-1])
    assert one.as_json() == other.as_json()


def test_ledgers_of_two_parts_merge_to_the_ledger_of_the_whole() -> None:
    pairs = [pair(i) for i in range(50)]
    _, whole = ran(pairs)
    _, first = ran(pairs[:7])
    _, second = ran(pairs[7:])
    second.merge(first)
    assert second.as_json() == whole.as_json()


def test_a_stage_that_nothing_reaches_is_listed_with_zeros() -> None:
    _, ledger = ran([])
    assert [(row['stage'], row['in'], row['out']) for row in ledger.as_json()] == [
        ('thirds', 0, 0),
        ('shout', 0, 0),
    ]


def test_a_stage_that_does_not_add_up_is_a_defect() -> None:
    _, ledger = ran([pair(1)])
    ledger.by_stage['thirds'].num_out += 1
    with pytest.raises(ValueError, match="1 pairs came into 'thirds', 2 came out"):
        ledger.as_json()


def test_rules_that_leave_nothing_of_an_answer_drop_the_pair() -> None:
    def empty(text: str) -> tuple[str, int]:
        return text.replace('Because.', ' '), 1

    outcome = stages.rewrite(pair(1), [stages.TextRule('emptied', empty)])
    assert outcome == stages.Dropped('nothing is left of the answer', 'Because.')


def test_a_dropped_pair_is_told_with_its_stage_and_reason() -> None:
    ledger, sequence = stage_ledger.Ledger(), (SEQUENCE[1], SEQUENCE[0])
    assert ledger.run([pair(3)], sequence) == [
        (pair(3, answer='Because!'), 'thirds: a third')
    ]
    assert ledger.run([pair(4)], sequence) == [(pair(4, answer='Because!'), '')]


@pytest.mark.parametrize(
    ('before', 'after', 'shown'),
    [
        ('I *do* care', 'I do care', ('I *do* care', 'I do care')),
        (
            'a' * 100 + 'X' + 'b' * 100,
            'a' * 100 + 'b' * 100,
            ('…' + 'a' * 40 + 'X' + 'b' * 40 + '…', '…' + 'a' * 40 + 'b' * 40 + '…'),
        ),
        ('aa', 'a', ('aa', 'a')),
        ('', 'new', ('', 'new')),
    ],
)
def test_an_example_shows_where_the_texts_differ(
    before: str, after: str, shown: tuple[str, str]
) -> None:
    assert stage_ledger.difference(before, after) == shown
