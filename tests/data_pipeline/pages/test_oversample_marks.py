"""Weights of the sets in merged files."""

import pytest

from data_pipeline.pages import merged, page

PAIR = 'QUESTION: Why?\nANSWER: Because.\n'


def _weights(text: str) -> list[float]:
    found = merged.parse(text, file='m.md')
    assert {pair.answer for pair in found.pairs} <= {'Because.'}
    return [pair.weight for pair in found.pairs]


def _mark(weight: str) -> str:
    return f'OVERSAMPLE_WEIGHT: {weight} <END_OF_SET>\n'


def test_a_mark_weighs_every_pair_since_the_mark_above() -> None:
    text = PAIR * 2 + _mark('3') + PAIR + _mark('0.5') + PAIR
    assert _weights(text) == [3.0, 3.0, 0.5, 1.0]
    found = merged.parse(text, file='m.md')
    assert found.counts['merged pairs weighted'] == 3
    assert found.unknown == []


@pytest.mark.parametrize(
    'mark',
    [
        'OVERSAMPLE_WEIGHT:3<END_OF_SET>\n',
        'OVERSAMPLE_WEIGHT: 3\n<END_OF_SET>\n',
        '  OVERSAMPLE_WEIGHT: 3.0 <END_OF_SET>  \r\n\r\n',
        'OVERSAMPLE_WEIGHT: 3 &lt;END_OF_SET&gt;\n',
    ],
)
def test_marks_come_in_many_forms(mark: str) -> None:
    assert _weights(PAIR + mark + PAIR) == [3.0, 1.0]


def test_a_mark_may_be_glued_to_an_answer_and_to_a_question() -> None:
    text = PAIR.rstrip() + ' ' + _mark('3').rstrip() + PAIR
    assert _weights(text) == [3.0, 1.0]


@pytest.mark.parametrize(
    'weight', ['0', '-1', 'nan', 'inf', '1e999', 'much', '', '1_0']
)
def test_a_weight_that_is_no_number_over_0_is_reported(weight: str) -> None:
    text = PAIR + _mark(weight) + PAIR + _mark('2')
    assert _weights(text) == [1.0, 2.0]
    found = merged.parse(text, file='m.md')
    assert found.unknown == [
        (3, _mark(weight).strip(), 'left out, its weight is no number over 0')
    ]
    assert found.counts['merged pairs weighted'] == 1


def test_a_weight_without_an_end_is_reported() -> None:
    found = merged.parse(PAIR + 'OVERSAMPLE_WEIGHT: 3\n' + PAIR, file='m.md')
    assert [pair.weight for pair in found.pairs] == [1.0, 1.0]
    assert found.unknown == [
        (3, 'OVERSAMPLE_WEIGHT: 3', 'left out, no <END_OF_SET> follows')
    ]


def test_an_end_without_a_weight_ends_a_set_of_weight_1() -> None:
    assert _weights(PAIR + '<END_OF_SET>\n' + PAIR + _mark('2')) == [1.0, 2.0]


def test_marks_above_the_first_pair_and_none_below_the_last_lead_their_sets() -> None:
    assert _weights(_mark('3') + PAIR * 2 + _mark('2') + PAIR) == [3.0, 3.0, 2.0]
    glued = _mark('3').rstrip() + PAIR + _mark('2').rstrip() + PAIR
    assert _weights(glued) == [3.0, 2.0]


def test_a_weight_is_for_the_pairs_up_to_its_end() -> None:
    text = 'OVERSAMPLE_WEIGHT: 3\n' + PAIR * 2 + '<END_OF_SET>\n' + PAIR
    assert _weights(text) == [3.0, 3.0, 1.0]
    assert merged.parse(text, file='m.md').unknown == []


def test_a_mark_without_pairs_is_reported() -> None:
    found = merged.parse(_mark('3') + PAIR + _mark('2'), file='m.md')
    assert [pair.weight for pair in found.pairs] == [2.0]
    assert found.unknown == [(1, _mark('3').strip(), 'left out, no pair belongs to it')]


def test_below_a_mark_stands_the_next_topic() -> None:
    text = f'{PAIR}{_mark("3")}Left over\nThe ladder\n{PAIR}'
    found = merged.parse(text, file='m.md')
    assert [(p.topic, p.answer) for p in found.pairs] == [
        ('', 'Because.'),
        ('The ladder', 'Because.'),
    ]
    assert found.unknown == [(4, 'Left over', 'left out')]
    assert page.words(found.pieces)['trainer mark'] == 3
