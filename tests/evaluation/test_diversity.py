"""Repetition and distinct-n against examples counted by hand."""

import pytest

from hax_jax import errors
from hax_jax.evaluation import diversity


def test_distinct_n_is_counted_over_all_answers_together() -> None:
    answers = [[1, 2, 1, 2], [1, 2]]
    assert diversity.distinct(answers, 1) == 2 / 6
    # (1, 2), (2, 1), (1, 2) and (1, 2): two kinds of four; none spans two answers.
    assert diversity.distinct(answers, 2) == 2 / 4
    assert diversity.distinct(answers, 3) == 2 / 2
    assert diversity.distinct(answers, 4) == 1 / 1
    assert diversity.distinct(answers, 5) == 0.0
    assert diversity.distinct([], 1) == 0.0


def test_repetition_is_counted_within_an_answer() -> None:
    assert diversity.repetition([7] * 10) == 1 - 1 / 7  # 7 4-grams, all the same
    assert diversity.repetition(list(range(10))) == 0.0
    assert diversity.repetition([1, 2, 3]) == 0.0  # shorter than a 4-gram
    assert diversity.repetition([1, 2, 1, 2, 1, 2], 2) == pytest.approx(3 / 5)


def test_texts_are_compared_by_their_words() -> None:
    assert diversity.words('The tea,  the TEA.\nNow') == [
        'the',
        'tea,',
        'the',
        'tea.',
        'now',
    ]
    letters = [diversity.words('Call her. Call her.')]
    assert diversity.distinct(letters, 1) == 2 / 4
    assert diversity.distinct(letters, 2) == 2 / 3


def test_answers_are_described_as_by_hand() -> None:
    answers = [[1, 2, 3, 4, 1, 2, 3, 4], [5, 6], []]
    found = diversity.describe(answers, [True, False, True])
    assert found == {
        'distinct_1': 6 / 10,
        'distinct_2': (4 + 1) / (7 + 1),  # 12 23 34 41 12 23 34; 56
        'distinct_3': 4 / 6,  # 123 234 341 412 123 234
        'distinct_4': 4 / 5,  # 1234 2341 3412 4123 1234
        'repetition_4': pytest.approx((1 - 4 / 5) / 3),
        'mean_length': 10 / 3,
        'eos_share': 2 / 3,
        'answers': 3,
    }
    found = diversity.describe(answers, [True, False, True], lengths=[9, 3, 1])
    assert found['mean_length'] == 13 / 3


def test_no_answer_is_one_clear_error() -> None:
    with pytest.raises(errors.InputError, match='there is no answer to describe'):
        diversity.describe([], [])
