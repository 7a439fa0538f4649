"""Conversations that share a beginning, or an exchange, with other pairs."""

import stores

from data_pipeline.all_pairs import components, exact_duplicates
from hax_jax.data import records


def pair(number: int, *turns: tuple[str, str, float]) -> records.QaPair:
    made = records.QaPair(
        f'p{number}', f'p{number}', 'chat', 'a.md', number, '', '', '', ''
    )
    return made.with_exchanges([records.Exchange(*turn) for turn in turns])


def test_a_pair_that_begins_a_conversation_is_dropped_for_the_longest() -> None:
    first, second, third = (f'Who took boat {i}?' for i in range(3))
    talk = [(first, 'Ann did.', 1.0), (second, 'Bo did.', 1.0), (third, 'No one.', 1.0)]
    given = [
        pair(1, talk[0]),
        pair(2, *talk[:2]),
        pair(3, *talk),
        pair(4, talk[1]),  # no beginning
        pair(5, (first, 'Ann did.', 0.0), talk[2]),  # learns another answer
    ]
    with stores.filled(given) as store:
        exact_duplicates.drop(store)
        reason = 'beginning of a conversation'
        assert stores.gone(store) == [('p1', 'p3', reason), ('p2', 'p3', reason)]


def test_conversations_with_an_exchange_in_common_stay_on_one_side() -> None:
    long = 'Who took the old boat away last night?', 'Ann did, I think.', 1.0
    thanks = 'Thanks!', 'You are welcome.', 1.0
    given = [
        pair(1, ('Is it cold?', 'Yes, it is.', 1.0), long),
        pair(2, (long[0], long[1], 0.0), ('And then?', 'She rowed.', 1.0), thanks),
        pair(3, ('Is tea good?', 'Very good.', 1.0), thanks),
    ]
    with stores.filled(given) as store:
        components.join(store)
        homes = dict(store.rows('SELECT grp, component FROM home'))
    assert homes['p1'] == homes['p2'] != homes['p3']


def test_conversations_that_open_with_one_question_stay_on_one_side() -> None:
    asked = 'How do I get a ladder from him?'
    given = [
        pair(1, (asked, 'Ask him.', 1.0), ('He laughs.', 'Then laugh too.', 1.0)),
        pair(2, (asked.upper(), 'Write to him.', 1.0), ('And then?', 'Wait.', 1.0)),
        pair(3, (asked, 'Buy another one.', 1.0)),
        pair(4, ('How so?', 'It just is.', 1.0), ('And then?', 'No.', 1.0)),
    ]
    with stores.filled(given) as store:
        components.join(store)
        homes = dict(store.rows('SELECT grp, component FROM home'))
    assert homes['p1'] == homes['p2'] == homes['p3'] != homes['p4']
