"""Conversations in packed rows: one segment, a loss weight for each answer."""

import dataclasses
import pathlib

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from test_packing import EOS, Letters, make_pair

from hax_jax.data import packing, records, shift_check, text
from hax_jax.evaluation import evaluate

Turns = list[tuple[str, str, float]]


def conversation(turns: Turns, *, id: str = 'p') -> records.QaPair:
    exchanges = [records.Exchange(*turn) for turn in turns]
    return make_pair('', '', id=id).with_exchanges(exchanges)


def tokenized(*turns: Turns, seq_len: int = 500, **options: str) -> packing.Tokenized:
    options = {'long_answers': 'drop'} | options
    pairs = [conversation(each, id=f'p{i}') for i, each in enumerate(turns)]
    return packing.tokenize(pairs, Letters(), seq_len=seq_len, **options)


def spelled(ids: np.ndarray) -> str:
    return ''.join('¶' if i == EOS else chr(i) for i in ids)


def oracle(turns: Turns, question_weight: float) -> tuple[str, list[float]]:
    """The text of a segment and the weight of each letter, letter by letter."""
    letters, weights = '', []
    for question, answer, weight in turns:
        for part, its_weight in (
            (f'QUESTION:\n{question}\n\nANSWER:\n', question_weight),
            (f'{answer}¶', weight),
        ):
            letters += part
            weights += [its_weight] * len(part)
    return letters, weights


TALK: Turns = [('Why?', 'So.', 1.0), ('And?', 'No.', 0.0), ('Who?', 'I.', 0.5)]


def test_a_pair_is_a_conversation_of_one_exchange() -> None:
    pair = make_pair('Why?', 'So.')
    assert pair.exchanges == (records.Exchange('Why?', 'So.', 1.0),)
    assert pair.with_exchanges(pair.exchanges) == pair
    assert 'more' not in records.as_row(pair)
    talk = conversation(TALK)
    assert (talk.question, talk.answer) == ('Why?', 'So.')
    assert talk.more == ('And?', 'No.', 'Who?', 'I.')
    assert talk.answer_weights == (1.0, 0.0, 0.5)
    assert [dataclasses.astuple(each) for each in talk.exchanges] == TALK
    for each in (pair, talk):
        assert records.QaPair(**records.as_row(each)) == each


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    talks=st.lists(
        st.lists(
            st.tuples(
                st.text('abc ', max_size=9),
                st.text('xyz', max_size=9),
                st.sampled_from([0.0, 0.5, 1.0]),
            ),
            min_size=1,
            max_size=4,
        ).filter(lambda turns: turns[-1][2] > 0),
        min_size=1,
        max_size=5,
    ),
    question_weight=st.sampled_from([0.0, 0.25]),
)
def test_turns_are_one_segment_shifted_once_and_weighed(
    talks: list[Turns], question_weight: float
) -> None:
    made = tokenized(*talks)
    split = packing.pack(made.pairs, seq_len=500, question_weight=question_weight)
    assert not shift_check.shift_problem(split.features)
    assert sorted(s.ordinal for s in split.segments) == list(range(len(talks)))
    for segment in split.segments:
        row = {k: v[segment.row, segment.start : segment.end]
               for k, v in split.features.items()}  # fmt: skip
        letters, weights = oracle(talks[segment.ordinal], question_weight)
        assert spelled(row['inputs']) == letters[:-1]
        assert spelled(row['targets']) == letters[1:]
        assert row['loss_weights'].tolist() == weights[1:]
        assert row['positions'].tolist() == list(range(len(letters) - 1))
        assert len(set(row['segment_ids'].tolist())) == 1
        answers = [f'{a}¶' for _, a, w in talks[segment.ordinal] if w]
        targets = split.features['targets'][segment.row]
        assert [spelled(targets[slice(*each)]) for each in segment.learned] == answers
        assert segment.answer_bytes == sum(len(each) - 1 for each in answers)
        ends = letters.count('¶')
        assert segment.question_bytes + segment.answer_bytes == len(letters) - 1 - ends
    counted = packing.count_positions(split)
    learned = [f'{a}¶' for turns in talks for _, a, w in turns if w]
    assert counted['answer'] == sum(map(len, learned))
    assert counted['positions'] == sum(
        counted[name] for name in ('prompt', 'answer', 'padding')
    )


def test_a_long_conversation_loses_its_oldest_exchanges() -> None:
    turns: Turns = [('a' * 9, 'b' * 9, 1.0), ('c' * 9, 'd' * 9, 1.0), ('e', 'f', 1.0)]
    lengths = [len(oracle([turn], 0.0)[0]) for turn in turns]
    for seq_len, left in (
        (sum(lengths) - 1, 0),  # the last token is a target alone
        (sum(lengths) - 2, 1),
        (sum(lengths[1:]) - 1, 1),
        (sum(lengths[1:]) - 2, 2),
        (lengths[2] - 1, 2),
    ):
        made = tokenized(turns, seq_len=seq_len)
        assert [spelled(each.ids) for each in made.pairs] == [
            oracle(turns[left:], 0.0)[0]
        ]
        assert made.counts['exchanges_forgotten'] == left
        assert made.counts['forgotten'] == sum(lengths[:left])
        assert made.forgotten_ids == ['p0'] * bool(left)


def test_the_last_exchange_alone_follows_the_rule_of_pairs() -> None:
    turns: Turns = [('Hi', 'Ho', 1.0), ('q' * 90, 'a' * 40, 1.0)]
    alone = make_pair(*turns[1][:2], id='p0')
    for seq_len, long_answers in ((120, 'drop'), (80, 'split')):
        rule = {'seq_len': seq_len, 'long_answers': long_answers}
        made = tokenized(turns, **rule)
        expected = packing.tokenize([alone], Letters(), **rule)
        assert [p.ids.tolist() for p in made.pairs] == [
            p.ids.tolist() for p in expected.pairs
        ]
        assert made.shortened_ids == expected.shortened_ids
        assert made.dropped_ids == expected.dropped_ids
        assert made.split_ids == expected.split_ids
        assert made.cut_off_ids == []


def test_a_conversation_ends_before_an_answer_that_leaves_no_room() -> None:
    hello: Turns = [('Hi', 'Ho', 1.0), ('Ha', 'He', 0.5)]
    context: Turns = [('Well?', 'Hm.', 0.0)]
    too_long: Turns = [('q' * 90, 'a' * 80, 1.0)]
    talks = [
        hello + too_long,
        hello + context + too_long + too_long,  # ends with an answer that is learned
        too_long + hello,  # the oldest is forgotten as before
        context + too_long,  # nothing to learn is left
        too_long,
    ]
    made = tokenized(*talks, seq_len=100)
    texts = [oracle(hello, 0.0)[0]] * 3
    assert [spelled(each.ids) for each in made.pairs] == texts
    assert made.pairs[0].answers == tokenized(hello).pairs[0].answers
    assert made.cut_off_ids == ['p0', 'p1']
    assert made.forgotten_ids == ['p2']
    assert made.dropped_ids == ['p3', 'p4']

    def length(turns: Turns) -> int:
        return len(oracle(turns, 0.0)[0])

    counts = made.counts
    assert counts['exchanges_cut_off'] == 1 + 3
    assert counts['cut_off'] == 3 * length(too_long) + length(context)
    assert counts['dropped'] == 2 * length(too_long) + length(context)
    assert counts['forgotten'] == length(too_long)
    # With 'split' each of them is kept, but for rows that no part would fit in.
    made = tokenized(*talks, seq_len=100, long_answers='split')
    assert (made.cut_off_ids, made.dropped_ids) == ([], [])
    short: Turns = [('Hi', 'Ho', 1.0), ('q' * 90, 'a' * 80, 1.0)]
    made = tokenized(short, seq_len=60, long_answers='split')
    assert made.cut_off_ids == ['p0']


def test_a_cache_keeps_the_answers_and_a_pair_s_line_is_as_it_was(
    tmp_path: pathlib.Path,
) -> None:
    made = tokenized(TALK, [('Why?', 'So.', 1.0)])
    split = packing.pack(made.pairs, seq_len=500, question_weight=0.0)
    folder = tmp_path / 'cache'
    folder.mkdir()
    counts = packing.count_positions(split)
    meta = {'seq_len': 500, 'splits': {'train': counts}}
    records.write_cache(folder, {'train': split}, meta)
    cache = records.open_cache(folder)
    cache.verify()
    assert cache.segments('train') == split.segments
    lines = (folder / 'train' / 'segments.jsonl').read_text().splitlines()
    assert ['answers' in line for line in lines] == [True, False]


def test_every_learned_answer_counts_in_the_evaluation() -> None:
    made = tokenized(TALK)
    split = packing.pack(made.pairs, seq_len=500, question_weight=0.0)
    targets = split.features['targets']
    nll = np.arange(targets.size, dtype=np.float64).reshape(targets.shape) / 100
    (pair,) = evaluate.pair_scores(
        nll, targets == ord('o'), targets, split.segments, eos_id=EOS
    )
    letters, weights = oracle(TALK, 0.0)
    places = [i - 1 for i, weight in enumerate(weights) if weight]
    assert pair.answer.tokens == len('So.¶I.¶') == len(places)
    assert pair.answer.nats == pytest.approx(nll[0, places].sum())
    assert pair.answer.likeliest == 1
    assert pair.question.tokens == len(letters) - 1 - len(places)
    ends = [i - 1 for i in places if letters[i + 1] == '¶' for i in (i + 1,)]
    assert (pair.eos.tokens, pair.eos.nats) == (2, pytest.approx(nll[0, ends].sum()))
    assert pair.end_probability == pytest.approx(np.exp(-nll[0, ends]).sum())


def test_the_latest_turns_have_room_first() -> None:
    assert [text.num_latest([5, 1, 2], room) for room in (-1, 0, 2, 3, 8)] == [
        *(0, 0, 1, 2, 3)
    ]
