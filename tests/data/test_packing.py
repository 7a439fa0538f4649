import dataclasses
import pathlib
import random

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from data_pipeline import settings
from data_pipeline.all_pairs import components, exact_duplicates, pair_store, split
from data_pipeline.compared import compared_row, packed_rows
from data_pipeline.reading import reader
from hax_jax.data import packing, records, shift_check, text

SHARED = pathlib.Path(__file__).parents[3] / 'shared' / 'data'
EOS = 0


class Letters:
    """A tokenizer of one id a character, so that expected values can be written out."""

    vocab_size = 0x110000
    eos_id = EOS
    fingerprint = 'letters'
    num_replaced = 0

    def encode(self, texts: list[str]) -> list[list[int]]:
        return [[ord(letter) for letter in each] for each in texts]

    def decode(self, ids: list[int]) -> str:
        return ''.join(chr(i) for i in ids if i != EOS)

    def save(self, folder: pathlib.Path) -> None:
        raise NotImplementedError


HEAD, TAIL, CUT = len(text.HEAD), len(text.TAIL), len(text.CUT)
# 'QUESTION:\n' + '\n\nANSWER:\n' around a question, EOS after an answer.
AROUND = HEAD + TAIL + 1


def make_pair(
    question: str, answer: str, *, id: str = 'p', source: str = 'chat'
) -> records.QaPair:
    return records.QaPair(
        id=id,
        group=id,
        source=source,
        file='f',
        line=1,
        topic='',
        time='',
        question=question,
        answer=answer,
    )


def tokenize(
    pairs: list[records.QaPair], *, seq_len: int, long_answers: str = 'drop'
) -> packing.Tokenized:
    return packing.tokenize(
        pairs, Letters(), seq_len=seq_len, long_answers=long_answers
    )


def make_tokenized(ids: list[int], prompt_length: int = 1) -> records.TokenizedPair:
    return records.TokenizedPair(
        ordinal=0,
        id='p',
        source='chat',
        ids=np.array(ids, np.int32),
        prompt_length=prompt_length,
        question_bytes=3,
        answer_bytes=5,
    )


def spelled(sequence: records.TokenizedPair) -> tuple[str, str]:
    """What is before the answer, and the answer with ¶ for EOS."""
    ids = [int(i) for i in sequence.ids]
    before, after = ids[: sequence.prompt_length], ids[sequence.prompt_length :]
    return Letters().decode(before), ''.join('¶' if i == EOS else chr(i) for i in after)


# Tokenizing


def test_a_pair_is_the_prompt_the_answer_and_the_end() -> None:
    made = tokenize([make_pair('Why?', 'Because.')], seq_len=100)
    assert [spelled(each) for each in made.pairs] == [
        ('QUESTION:\nWhy?\n\nANSWER:\n', 'Because.¶')
    ]
    assert made.counts == {
        'pairs_read': 1,
        'read': 10 + 4 + 10 + 8 + 1,
        'dropped': 0,
        'exchanges_forgotten': 0,
        'forgotten': 0,
        'exchanges_cut_off': 0,
        'cut_off': 0,
        'shortened': 0,
        'added': 0,
        'replaced_characters': 0,
    }
    assert (made.dropped_ids, made.shortened_ids, made.split_ids) == ([], [], [])


def test_the_bytes_are_those_that_the_targets_spell() -> None:
    made = tokenize([make_pair('Où?', 'Là-bas 🙂', id='a')], seq_len=100)
    # The first token, Q, is the target of none.
    assert made.pairs[0].question_bytes == len('UESTION:\nOù?\n\nANSWER:\n'.encode())
    assert made.pairs[0].answer_bytes == len('Là-bas 🙂'.encode())


def test_a_pair_that_fills_the_row_exactly_is_not_cut() -> None:
    pair = make_pair('q' * 60, 'a' * 20)
    length = AROUND + 60 + 20  # the last token is a target alone: seq_len + 1 fit
    made = tokenize([pair], seq_len=length - 1)
    assert made.shortened_ids == []
    assert [len(each.ids) for each in made.pairs] == [length]

    made = tokenize([pair], seq_len=length - 2)
    assert made.shortened_ids == ['p']
    assert [len(each.ids) for each in made.pairs] == [length - 1]
    question, answer = spelled(made.pairs[0])
    kept = 60 - 1 - CUT
    assert (
        question
        == text.HEAD
        + 'q' * (kept - kept // 2)
        + text.CUT
        + 'q' * (kept // 2)
        + text.TAIL
    )
    assert answer == 'a' * 20 + '¶'
    assert made.counts['shortened'] == 1 + CUT
    assert made.counts['added'] == CUT


def test_a_shortened_question_keeps_its_beginning_and_its_end() -> None:
    question = ''.join(chr(0x4E00 + i) for i in range(200))
    made = tokenize([make_pair(question, 'Yes.')], seq_len=AROUND + 100 + 4 - 1)
    before, answer = spelled(made.pairs[0])
    start, end = before.removeprefix(text.HEAD).removesuffix(text.TAIL).split(text.CUT)
    assert question.startswith(start)
    assert question.endswith(end)
    assert (len(start), len(end)) == (47, 46)  # 100 less the mark's 7, in two halves
    assert answer == 'Yes.¶'


def test_the_question_is_cut_to_32_tokens_then_the_pair_is_dropped() -> None:
    pair = make_pair('q' * 200, 'a' * 50)
    least = AROUND + 32 + CUT + 50
    made = tokenize([pair], seq_len=least - 1)
    assert spelled(made.pairs[0]) == (
        text.HEAD + 'q' * 16 + text.CUT + 'q' * 16 + text.TAIL,
        'a' * 50 + '¶',
    )
    made = tokenize([pair], seq_len=least - 2)
    assert made.pairs == []
    assert made.dropped_ids == ['p']
    assert made.counts['dropped'] == made.counts['read'] == AROUND + 250


def test_an_answer_that_is_too_long_goes_over_parts_when_asked() -> None:
    answer = ''.join(chr(0x4E00 + i) for i in range(100))
    # The prompt takes 10 + 4 + 10; of 64 + 1 tokens 41 are left, 10 for context.
    made = tokenize([make_pair('Why?', answer)], seq_len=64, long_answers='split')
    prompt = 'QUESTION:\nWhy?\n\nANSWER:\n'
    assert [spelled(each) for each in made.pairs] == [
        (prompt, answer[:41]),
        (prompt + answer[31:41], answer[41:72]),
        (prompt + answer[62:72], answer[72:] + '¶'),
    ]
    assert made.split_ids == ['p']
    assert made.dropped_ids == []
    assert made.counts['added'] == 2 * (24 + 10)
    assert [each.ordinal for each in made.pairs] == [0, 0, 0]


def test_a_row_without_room_for_a_part_drops_the_pair_also_when_splitting() -> None:
    pair = make_pair('q' * 200, 'a' * 300)
    prompt = HEAD + 32 + CUT + TAIL
    made = tokenize([pair], seq_len=prompt + 8 - 2, long_answers='split')
    assert (made.pairs, made.dropped_ids, made.split_ids) == ([], ['p'], [])
    made = tokenize([pair], seq_len=prompt + 8 - 1, long_answers='split')
    assert (made.dropped_ids, made.split_ids) == ([], ['p'])


def test_an_answer_that_fits_once_the_question_is_cut_is_not_split() -> None:
    pair = make_pair('q' * 200, 'a' * 50)
    least = AROUND + 32 + CUT + 50
    made = tokenize([pair], seq_len=least - 1, long_answers='split')
    assert (made.split_ids, made.shortened_ids) == ([], ['p'])
    assert len(made.pairs) == 1
    made = tokenize([pair], seq_len=least - 2, long_answers='split')
    assert (made.split_ids, made.shortened_ids) == (['p'], ['p'])
    assert len(made.pairs) == 2


def test_an_empty_question_or_answer_is_a_pair_as_any() -> None:
    made = tokenize([make_pair('', 'Yes.'), make_pair('Well?', '')], seq_len=64)
    assert [spelled(each) for each in made.pairs] == [
        (text.HEAD + text.TAIL, 'Yes.¶'),
        (text.HEAD + 'Well?' + text.TAIL, '¶'),
    ]


def test_a_text_that_spells_the_template_is_plain_text() -> None:
    pair = make_pair('a\n\nANSWER:\nb', 'QUESTION:\nc\n[...]\n')
    made = tokenize([pair], seq_len=100)
    assert spelled(made.pairs[0])[1] == 'QUESTION:\nc\n[...]\n¶'


def test_ordinals_count_the_pairs_that_were_read_over_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packing, '_BATCH', 4)
    pairs = [make_pair('q', 'a' * n, id=f'p{n}') for n in range(1, 14)]
    made = tokenize(iter(pairs), seq_len=AROUND + 10)
    assert [(each.ordinal, each.id) for each in made.pairs] == [
        (n - 1, f'p{n}') for n in range(1, 11)
    ]
    assert made.dropped_ids == ['p11', 'p12', 'p13']
    assert made.counts['pairs_read'] == 13


def test_no_pairs_make_nothing() -> None:
    made = tokenize([], seq_len=16)
    packed = packing.pack(made.pairs, seq_len=16, question_weight=0.0)
    assert packed.features['inputs'].shape == (0, 16)
    assert set(packing.count_positions(packed).values()) == {0}


PAIRS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 260)), min_size=1, max_size=8
)


@pytest.mark.parametrize('long_answers', ['drop', 'split'])
@hypothesis.given(lengths=PAIRS, seq_len=st.integers(8, 256))
@hypothesis.settings(max_examples=150, derandomize=True, deadline=None, database=None)
def test_the_ledger_accounts_for_each_token(
    lengths: list[tuple[int, int]], seq_len: int, long_answers: str
) -> None:
    # Each text counts through letters of its own, so that order and loss show.
    pairs = [
        make_pair(
            ''.join(chr(0x4E00 + i) for i in range(q)),
            ''.join(chr(0x6E00 + i) for i in range(a)),
            id=f'p{n}',
        )
        for n, (q, a) in enumerate(lengths)
    ]
    made = tokenize(pairs, seq_len=seq_len, long_answers=long_answers)
    counts = made.counts
    total = sum(len(each.ids) for each in made.pairs)
    read = sum(AROUND + q + a for q, a in lengths)
    assert counts['read'] == read
    assert total == read - counts['dropped'] - counts['shortened'] + counts['added']

    added = shortened = 0
    pieces = text.template(Letters())
    for n, pair in enumerate(pairs):
        parts = [each for each in made.pairs if each.id == pair.id]
        assert (pair.id in made.dropped_ids) == (not parts)
        assert (pair.id in made.split_ids) == (len(parts) > 1)
        if not parts:
            continue
        assert all(each.ordinal == n for each in parts)
        assert all(len(each.ids) <= seq_len + 1 for each in parts)
        # Each answer token and the end is trained on once, in order.
        assert ''.join(spelled(each)[1] for each in parts) == pair.answer + '¶'
        whole = text.HEAD + pair.question + text.TAIL
        prompt = spelled(parts[0])[0]
        kept = prompt
        if text.CUT in prompt:
            start, end = prompt.split(text.CUT)
            assert whole.startswith(start)
            assert whole.endswith(end)
            kept = start + end
            assert len(kept) - HEAD - TAIL >= 32
            added += CUT
        else:
            assert prompt == whole
        shortened += len(whole) - len(kept)
        assert (pair.id in made.shortened_ids) == (len(kept) < len(whole))
        done = spelled(parts[0])[1]
        for part in parts[1:]:
            before, answer = spelled(part)
            assert before.startswith(prompt)
            context = before.removeprefix(prompt)
            assert done.endswith(context)
            added += len(before)
            done += answer
        # What sampling builds, in the room that training had, is what training saw.
        room = parts[0].prompt_length
        question = Letters().encode([pair.question])[0]
        sampled = text.prompt(pieces, question, max_length=room)
        assert sampled is not None
        for part in parts:
            assert list(part.ids[:room]) == sampled.ids
    assert counts['added'] == added
    assert counts['shortened'] == shortened
    dropped = [pair for pair in pairs if pair.id in made.dropped_ids]
    assert counts['dropped'] == sum(
        AROUND + len(pair.question) + len(pair.answer) for pair in dropped
    )

    packed = packing.pack(made.pairs, seq_len=seq_len, question_weight=0.25)
    places = packing.count_positions(packed)
    # Each token but the first of a sequence is one target.
    assert places['prompt'] + places['answer'] == total - len(made.pairs)
    assert places['answer'] == sum(
        len(pair.answer) + 1 for pair in pairs if pair.id not in made.dropped_ids
    )
    weights = packed.features['loss_weights']
    segment_ids = packed.features['segment_ids']
    assert int((weights == 1.0).sum()) == places['answer']
    assert int((weights == 0.25).sum()) == places['prompt']
    assert int((segment_ids == 0).sum()) == places['padding']
    assert not weights[segment_ids == 0].any()
    assert places['positions'] == packed.num_rows * seq_len


@pytest.mark.parametrize('seq_len', [64, 128])
def test_a_prompt_for_sampling_is_a_prefix_of_the_training_ids(
    gpt2_tokenizer_folder: pathlib.Path,
    sentencepiece_folder: pathlib.Path,
    seq_len: int,
) -> None:
    pairs = [
        make_pair(
            ' My aunt  Ångström says \n' * n, 'No' + ', never' * n + '.', id=str(n)
        )
        for n in range(1, 12)
    ]
    for folder in (gpt2_tokenizer_folder, sentencepiece_folder):
        tokenizer = text.load_tokenizer(str(folder))
        made = packing.tokenize(pairs, tokenizer, seq_len=seq_len, long_answers='split')
        pieces = text.template(tokenizer)
        assert made.pairs
        for sequence in made.pairs:
            pair = pairs[sequence.ordinal]
            (question,) = tokenizer.encode([pair.question])
            answer = tokenizer.encode([pair.answer])[0]
            room = seq_len + 1 - (len(answer) + 1)
            prompt = text.prompt(pieces, question, max_length=room)
            if prompt is None:
                assert pair.id in made.split_ids
                continue
            assert list(sequence.ids) == [*prompt.ids, *answer, tokenizer.eos_id]
            assert sequence.prompt_length == len(prompt.ids)


# Rows


def slow_best_fit(lengths: list[int], capacity: int) -> list[list[int]]:
    """Best-fit decreasing, by looking at every row for every length."""
    rows: list[list[int]] = []
    room: list[int] = []
    since: list[int] = []  # when a row got the room that it has
    for time, index in enumerate(
        sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True)
    ):
        fits = [r for r in range(len(rows)) if room[r] >= lengths[index]]
        if fits:
            best = min(fits, key=lambda r: (room[r], since[r]))
        else:
            best = len(rows)
            rows.append([])
            room.append(capacity)
            since.append(time)
        rows[best].append(index)
        room[best] -= lengths[index]
        since[best] = time
    return rows


def test_best_fit_is_what_its_docstring_shows() -> None:
    assert packing.best_fit([2, 1, 3], 4) == [[2, 1], [0]]
    assert packing.best_fit([], 4) == []
    assert packing.best_fit([4, 4], 4) == [[0], [1]]
    # 5 leaves 3, 4 leaves 4: the 3 goes where it leaves nothing, the 2 beside the 4.
    assert packing.best_fit([3, 5, 4, 2], 8) == [[1, 0], [2, 3]]


@hypothesis.given(
    capacity=st.integers(1, 40), draws=st.lists(st.integers(0, 10**6), max_size=60)
)
@hypothesis.settings(max_examples=300, derandomize=True, deadline=None, database=None)
def test_best_fit_is_best_fit_decreasing(capacity: int, draws: list[int]) -> None:
    lengths = [1 + draw % capacity for draw in draws]
    rows = packing.best_fit(lengths, capacity)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in row) <= capacity for row in rows)
    assert rows == slow_best_fit(lengths, capacity)


@pytest.mark.parametrize('length', [0, 5])
def test_a_length_that_fits_no_row_is_named(length: int) -> None:
    with pytest.raises(ValueError, match=rf'lengths\[1\]={length} is not in 1 to 4'):
        packing.best_fit([2, length], 4)


def test_packing_is_what_its_docstring_shows() -> None:
    packed = packing.pack(
        [make_tokenized([8, 7, 1]), make_tokenized([2, 3])],
        seq_len=4,
        question_weight=0.5,
    )
    shown = {name: array.tolist() for name, array in packed.features.items()}
    assert shown == {
        'inputs': [[8, 7, 2, 0]],
        'targets': [[7, 1, 3, 0]],
        'segment_ids': [[1, 1, 2, 0]],
        'positions': [[0, 1, 0, 0]],
        'loss_weights': [[1.0, 1.0, 1.0, 0.0]],
    }
    assert {name: array.dtype for name, array in packed.features.items()} == {
        'inputs': np.int32,
        'targets': np.int32,
        'segment_ids': np.int32,
        'positions': np.int32,
        'loss_weights': np.float32,
    }


def test_labels_are_shifted_exactly_once() -> None:
    ids = np.array([8, 7, 1, 4, 6], np.int32)
    inputs, targets = packing.shifted(ids)
    assert (inputs.tolist(), targets.tolist()) == ([8, 7, 1, 4], [7, 1, 4, 6])
    packed = packing.pack(
        [make_tokenized([8, 7, 1, 4, 6])], seq_len=4, question_weight=1.0
    )
    assert packed.features['inputs'].tolist() == [[8, 7, 1, 4]]
    assert packed.features['targets'].tolist() == [[7, 1, 4, 6]]


def test_targets_shifted_twice_are_found() -> None:
    packed = packing.pack(
        [make_tokenized([8, 7, 1, 4, 6])], seq_len=4, question_weight=1.0
    )
    assert shift_check.shift_problem(packed.features) == ''
    twice = packed.features | {'targets': np.array([[1, 4, 6, 0]], np.int32)}
    assert shift_check.shift_problem(twice) == (
        'targets are not the next inputs at 3 of 3 places, first in row 0 at place 0'
    )


def test_weights_begin_with_the_first_answer_token_as_a_target() -> None:
    # Prompt 5 6 7, answer 8, end 9: the place of 7 predicts 8.
    pair = make_tokenized([5, 6, 7, 8, 9], prompt_length=3)
    packed = packing.pack([pair], seq_len=6, question_weight=0.25)
    assert packed.features['targets'].tolist() == [[6, 7, 8, 9, 0, 0]]
    assert packed.features['loss_weights'].tolist() == [[0.25, 0.25, 1, 1, 0, 0]]
    (segment,) = packed.segments
    assert (segment.row, segment.start) == (0, 0)
    assert (segment.prompt_end, segment.end) == (2, 4)
    assert (segment.question_bytes, segment.answer_bytes) == (3, 5)


def random_sequences(seed: int) -> list[records.TokenizedPair]:
    rng = random.Random(seed)
    made = []
    for ordinal in range(30):
        prompt_length = rng.randint(1, 6)
        length = prompt_length + rng.randint(1, 10)
        ids = [rng.randrange(1000) for _ in range(length)]
        made.append(
            dataclasses.replace(
                make_tokenized(ids, prompt_length), ordinal=ordinal, id=f'p{ordinal}'
            )
        )
    return made


@pytest.mark.parametrize('seed', range(5))
def test_the_segment_table_says_where_each_sequence_lies(seed: int) -> None:
    sequences = random_sequences(seed)
    packed = packing.pack(sequences, seq_len=16, question_weight=0.0)
    seen = np.zeros(packed.features['inputs'].shape, bool)
    assert sorted(segment.ordinal for segment in packed.segments) == list(range(30))
    order = [(segment.row, segment.start) for segment in packed.segments]
    assert order == sorted(order)
    for segment in packed.segments:
        sequence = sequences[segment.ordinal]
        place = (segment.row, slice(segment.start, segment.end))
        assert packed.features['inputs'][place].tolist() == list(sequence.ids[:-1])
        assert packed.features['targets'][place].tolist() == list(sequence.ids[1:])
        length = segment.end - segment.start
        assert packed.features['positions'][place].tolist() == list(range(length))
        assert len(set(packed.features['segment_ids'][place].tolist())) == 1
        assert segment.prompt_end - segment.start == sequence.prompt_length - 1
        assert not seen[place].any()
        seen[place] = True
    assert ((packed.features['segment_ids'] > 0) == seen).all()
    for row in range(packed.num_rows):
        ids = packed.features['segment_ids'][row]
        ids = ids[ids > 0]
        assert sorted(set(ids.tolist())) == list(range(1, ids.max() + 1))
    assert shift_check.shift_problem(packed.features) == ''


def test_packing_twice_gives_the_same_rows() -> None:
    first = packing.pack(random_sequences(0), seq_len=16, question_weight=0.0)
    again = packing.pack(random_sequences(0), seq_len=16, question_weight=0.0)
    assert first.segments == again.segments
    for name in records.FEATURES:
        np.testing.assert_array_equal(first.features[name], again.features[name])


@pytest.fixture(scope='module')
def shared_train_pairs() -> list[records.QaPair]:
    if not SHARED.is_dir():
        pytest.skip(f'the real chats and posts are not here ({SHARED})')
    found, _ = reader.read(
        [str(SHARED / 'chats' / '*.md'), str(SHARED / 'reddit/*.md')]
    )
    shares = {'train': 0.9, 'validation': 0.05, 'test': 0.05}
    with pair_store.PairStore() as store:
        off = settings.DuplicateSettings(near=False)
        rows = [compared_row.make(pair, pair, off) for pair in found]
        store.add(packed_rows.packed(rows))
        exact_duplicates.drop(store)
        components.join(store)
        split.assign(store, shares=shares)
        return list(store.pairs('train'))


@pytest.mark.parametrize('seq_len', [512, 1024])
def test_real_rows_are_filled_to_97_percent(
    shared_train_pairs: list[records.QaPair],
    gpt2_tokenizer_folder: pathlib.Path,
    seq_len: int,
) -> None:
    tokenizer = text.load_tokenizer(str(gpt2_tokenizer_folder))
    made = packing.tokenize(
        shared_train_pairs, tokenizer, seq_len=seq_len, long_answers='drop'
    )
    packed = packing.pack(made.pairs, seq_len=seq_len, question_weight=0.0)
    places = packing.count_positions(packed)
    assert 1 - places['padding'] / places['positions'] >= 0.97
    assert len(made.dropped_ids) < 0.05 * len(shared_train_pairs)
    assert shift_check.shift_problem(packed.features) == ''
