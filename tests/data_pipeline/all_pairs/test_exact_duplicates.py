"""Exact duplicates: which pairs are the same, and which of them stays."""

import dataclasses
import itertools
from collections.abc import Sequence

import stores

from data_pipeline.all_pairs import exact_duplicates
from data_pipeline.pages import reddit
from hax_jax.data import records


def exact(
    pairs: Sequence[records.QaPair],
) -> tuple[list[records.QaPair], list[tuple[str, str, str]]]:
    """The pairs that stay, in their order, and (id, kept_id, reason) of the others."""
    with stores.filled(pairs) as store:
        exact_duplicates.drop(store)
        kept = store.found('SELECT {pair}, ordinal FROM kept AS pairs ORDER BY ordinal')
        return [pair for pair, _ in kept], stores.gone(store)


def _pair(
    pair_id: str,
    *,
    score: int = 0,
    question: str = '',
    answer: str = 'a',
    file: str = '',
) -> records.QaPair:
    return records.QaPair(
        id=pair_id,
        group=pair_id,
        source='reddit',
        file=file,
        line=1,
        topic='',
        time='',
        question=question or pair_id,
        answer=answer,
        score=score,
    )


def test_of_one_post_the_highest_score_stays() -> None:
    low, high = _pair('p', score=1, answer='x'), _pair('p', score=9, answer='y')
    other = _pair('q', answer='z')
    kept, dropped = exact([low, other, high])
    assert kept == [other, high]
    assert dropped == [('p', 'p', 'same id')]


def test_a_post_whose_body_was_removed_does_not_take_the_place_of_the_whole() -> None:
    gone = dataclasses.replace(_pair('p', score=9), flags=(reddit.BODY_REMOVED,))
    whole = _pair('p', score=1, question='Who?\n\nHe ate, I paid.')
    kept, dropped = exact([gone, whole])
    assert kept == [whole]
    assert dropped == [('p', 'p', 'same id')]


def test_case_blanks_and_punctuation_do_not_tell_texts_apart() -> None:
    first = _pair('p', question='Well -- REALLY?', answer='No.', score=2)
    second = _pair('q', question='well,\nreally', answer='no')
    kept, dropped = exact([second, first])
    assert kept == [first]
    assert dropped == [('q', 'p', 'same text, less tidy')]  # broken within a sentence


def test_of_equal_texts_the_tidy_one_stays_whatever_its_score() -> None:
    text = 'Tell him that it is over. He will not like it, I know. Say it anyway.'
    tidy = _pair('t', question='Why?', answer=text)
    for answer in (
        text.upper(),
        text.lower(),
        text.replace(' ', '  '),
        f'"{text}"',
        f'“{text}',
        text.replace('. ', ' . ').replace(',', ' ,'),
        text.replace(' that', '\nthat'),
    ):
        other = _pair('a', question='Why?', answer=answer, score=99)
        kept, dropped = exact([other, tidy])
        assert kept == [tidy], answer
        assert dropped == [('a', 't', 'same text, less tidy')]
    plain = dataclasses.replace(tidy, id='z', score=1)
    assert exact([tidy, plain])[1] == [('t', 'z', 'same text')]


def test_the_same_question_with_another_answer_stays() -> None:
    pairs = [_pair('p', question='Why?', answer='x'), _pair('q', question='Why?')]
    assert exact(pairs) == (pairs, [])


def test_texts_of_signs_alone_are_told_apart() -> None:
    pairs = [
        _pair('p', question='?', answer='👏'),
        _pair('q', question='?', answer='🙄'),
    ]
    assert exact(pairs) == (pairs, [])


def test_what_stays_does_not_depend_on_the_order() -> None:
    pairs = [
        _pair('p', file='b', answer='x'),
        _pair('p', file='a', answer='y'),
        _pair('q', question='p', answer='y'),
        _pair('r', score=-1, question='p', answer='y'),
    ]
    for order in itertools.permutations(pairs):
        kept, dropped = exact(order)
        assert kept == [pairs[1]]
        assert [(name, kept_id) for name, kept_id, _ in sorted(dropped)] == [
            ('p', 'p'),
            ('q', 'p'),
            ('r', 'p'),
        ]


def test_nothing_in_gives_nothing_out() -> None:
    assert exact([]) == ([], [])
