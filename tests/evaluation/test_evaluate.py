import dataclasses
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hax_jax import errors, files
from hax_jax.config import schema
from hax_jax.data import records
from hax_jax.devices import mesh
from hax_jax.evaluation import evaluate

SEGMENT = records.Segment(
    ordinal=0,
    id='p0',
    source='chat',
    row=0,
    start=0,
    prompt_end=2,
    end=4,
    question_bytes=10,
    answer_bytes=4,
)
# Two segments in row 0 of 8 places, one in row 1; the rest is padding.
SEGMENTS = [
    SEGMENT,
    dataclasses.replace(
        SEGMENT,
        ordinal=1,
        source='reddit',
        start=4,
        prompt_end=5,
        end=7,
        question_bytes=3,
        answer_bytes=6,
    ),
    dataclasses.replace(
        SEGMENT, ordinal=2, row=1, prompt_end=1, end=2, question_bytes=2, answer_bytes=1
    ),
]
PADDED = 1e9  # what padding must never bring into a sum
NLL = np.array(
    [
        [1.0, 3.0, 2.0, 4.0, 5.0, 1.0, 2.0, PADDED],
        [7.0, 6.0, PADDED, PADDED, PADDED, PADDED, PADDED, PADDED],
    ],
    np.float32,
)
WEIGHTS = np.array(
    [[0.5, 0.5, 1, 1, 0.5, 1, 1, 0], [0.5, 1, 0, 0, 0, 0, 0, 0]], np.float32
)


EOS = 9
# Both segments of row 0 end in EOS; the one of row 1 does not: a part of an answer.
TARGETS = np.array([[1, 2, 3, EOS, 4, 5, EOS, 0], [6, 7, EOS, EOS, 0, 0, 0, 0]])
IS_LIKELIEST = np.array(
    [[1, 0, 1, 1, 0, 1, 0, 1], [0, 1, 1, 1, 1, 1, 1, 1]], bool
)  # 1 on padding, where it must not count


def evaluated(
    nll: np.ndarray, weights: np.ndarray, segments: list[records.Segment]
) -> evaluate.Evaluation:
    """Of targets of which none is EOS or the likeliest."""
    none = np.zeros(nll.shape, np.int32)
    pairs = evaluate.pair_scores(nll, none > 0, none, segments, eos_id=EOS)
    return evaluate.summarize(pairs, nll, weights)


def test_a_split_is_summed_as_by_hand() -> None:
    pairs = evaluate.pair_scores(NLL, IS_LIKELIEST, TARGETS, SEGMENTS, eos_id=EOS)
    found = evaluate.summarize(pairs, NLL, WEIGHTS)
    # Questions 1 + 3 + 5 + 7 at half weight, answers 2 + 4 + 1 + 2 + 6 whole.
    assert found.loss == pytest.approx((0.5 * 16 + 15) / (0.5 * 4 + 5))
    by_hand = {  # (nats, tokens, bytes, how many were the likeliest)
        ('chat', 'question'): (1 + 3 + 7, 3, 12, 1),
        ('chat', 'answer'): (2 + 4 + 6, 3, 5, 3),
        ('chat', 'all'): (23, 6, 17, 4),
        ('reddit', 'question'): (5, 1, 3, 0),
        ('reddit', 'answer'): (1 + 2, 2, 6, 1),
        ('reddit', 'all'): (8, 3, 9, 1),
        ('all', 'question'): (16, 4, 15, 1),
        ('all', 'answer'): (15, 5, 11, 4),
        ('all', 'all'): (31, 9, 26, 5),
    }
    seen = {(source, part) for source, parts in found.by.items() for part in parts}
    assert seen - {(source, 'eos') for source in found.by} == set(by_hand)
    for (source, part), (nats, tokens, num_bytes, likeliest) in by_hand.items():
        values = found.by[source][part]
        assert set(values) == {
            'nll',
            'perplexity',
            'bits_per_byte',
            'accuracy',
            'tokens',
        }
        assert values['accuracy'] == pytest.approx(likeliest / tokens)
        assert values['tokens'] == tokens
        assert values['nll'] == pytest.approx(nats / tokens)
        assert values['perplexity'] == pytest.approx(math.exp(nats / tokens))
        assert values['bits_per_byte'] == pytest.approx(nats / math.log(2) / num_bytes)


def test_a_source_of_the_name_all_is_counted_once() -> None:
    segments = [dataclasses.replace(each, source='all') for each in SEGMENTS]
    found = evaluated(NLL, WEIGHTS, segments).by
    assert {name: found[name]['all']['tokens'] for name in found} == {'all': 9}


def test_eos_is_scored_where_an_answer_ends_and_nowhere_else() -> None:
    pairs = evaluate.pair_scores(NLL, IS_LIKELIEST, TARGETS, SEGMENTS, eos_id=EOS)
    by = evaluate.summarize(pairs, NLL, WEIGHTS).by
    assert by['chat']['eos'] == {
        'probability': pytest.approx(math.exp(-4)),
        'nll': 4.0,
        'likeliest': 1.0,
        'answers': 1,
    }
    # The mean of the probabilities, which is not e to the minus mean nll.
    assert by['all']['eos'] == {
        'probability': pytest.approx((math.exp(-4) + math.exp(-2)) / 2),
        'nll': 3.0,
        'likeliest': 0.5,
        'answers': 2,
    }
    no_end = evaluate.pair_scores(NLL, IS_LIKELIEST, TARGETS, SEGMENTS[2:], eos_id=EOS)
    assert 'eos' not in evaluate.summarize(no_end, NLL, WEIGHTS).by['all']


def test_the_parts_of_a_split_answer_are_one_pair() -> None:
    # The second part of p0 stands before the first: packing goes by length.
    parts = [SEGMENTS[0], dataclasses.replace(SEGMENTS[2], ordinal=0)]
    (pair,) = evaluate.pair_scores(NLL, IS_LIKELIEST, TARGETS, parts, eos_id=EOS)
    assert (pair.id, pair.source) == ('p0', 'chat')
    assert pair.question == evaluate.Part(1.0 + 3 + 7, 3, 10 + 2, 1)
    assert pair.answer == evaluate.Part(2.0 + 4 + 6, 3, 4 + 1, 3)
    assert pair.eos == evaluate.Part(4.0, 1, 0, 1)


def test_a_loss_that_is_not_finite_is_named_by_its_pair() -> None:
    nll = NLL.copy()
    nll[1, 0] = np.nan
    with pytest.raises(FloatingPointError, match=r'1 of 3 pairs is not finite \(p0\)'):
        evaluated(nll, WEIGHTS, SEGMENTS)


def test_one_bit_a_byte_is_one_bit_a_byte() -> None:
    # A token of 2 bytes guessed among 4: 2 bits, ln 4 nats, perplexity 4.
    segment = dataclasses.replace(
        SEGMENT, prompt_end=0, end=1, question_bytes=0, answer_bytes=2
    )
    nll = np.full((1, 4), math.log(4), np.float32)
    weights = np.array([[1, 0, 0, 0]], np.float32)
    answers = evaluated(nll, weights, [segment]).by['all']['answer']
    assert answers['bits_per_byte'] == pytest.approx(1.0)
    assert answers['perplexity'] == pytest.approx(4.0)


def test_a_part_without_tokens_or_bytes_divides_by_nothing() -> None:
    segment = dataclasses.replace(
        SEGMENT, prompt_end=0, end=1, question_bytes=0, answer_bytes=0
    )
    nll = np.array([[800.0, 0, 0, 0]], np.float32)
    weights = np.array([[1, 0, 0, 0]], np.float32)
    by = evaluated(nll, weights, [segment]).by
    assert by['all']['question']['tokens'] == 0
    assert by['all']['question']['nll'] == 0.0
    assert math.isfinite(by['all']['answer']['perplexity'])  # e**800 is not
    assert math.isfinite(by['all']['answer']['bits_per_byte'])


def test_sums_are_in_float64() -> None:
    # In float32, 2**24 + 1 is 2**24: the ones would be lost.
    length = 1001
    segment = dataclasses.replace(SEGMENT, prompt_end=0, end=length)
    nll = np.ones((1, length), np.float32)
    nll[0, 0] = 2.0**24
    found = evaluated(nll, np.ones((1, length), np.float32), [segment])
    assert found.loss * length == pytest.approx(2**24 + 1000, abs=1e-3)
    assert found.by['all']['answer']['nll'] * length == pytest.approx(
        2**24 + 1000, abs=1e-3
    )


def make_cache(path: pathlib.Path, num_rows: int) -> records.PackedCache:
    """Rows of 6 places: row r holds one segment whose targets are all r."""
    shape = (num_rows, 6)
    features = {name: np.zeros(shape, np.int32) for name in records.FEATURES}
    features['targets'][:, :4] = np.arange(num_rows)[:, None]
    features['segment_ids'][:, :4] = 1
    features['loss_weights'] = np.zeros(shape, np.float32)
    features['loss_weights'][:, 2:4] = 1.0
    segments = [
        dataclasses.replace(SEGMENT, ordinal=row, row=row) for row in range(num_rows)
    ]
    split = records.PackedSplit(features, segments)
    counts = {'rows': num_rows, 'segments': num_rows}
    with files.new_folder(path) as folder:
        records.write_cache(
            folder,
            {'validation': split},
            {'seq_len': 6, 'splits': {'validation': counts}, 'eos_id': EOS},
        )
    return records.open_cache(path)


@pytest.mark.parametrize('num_rows', [1, 4, 5, 8])
def test_each_row_counts_once_whatever_the_batch_size(
    tmp_path: pathlib.Path, num_rows: int
) -> None:
    cache = make_cache(tmp_path / 'cache', num_rows)
    sharding = mesh.batch_sharding(mesh.make_mesh(schema.MeshConfig(data=1)))
    sizes = []

    def score_step(batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """The row's number; what filler rows give must not count."""
        sizes.append(batch['inputs'].shape[0])
        real = batch['segment_ids'] > 0
        nll = jnp.where(real, batch['targets'].astype(jnp.float32), PADDED)
        return {'nll': nll, 'is_likeliest': ~real}

    def run() -> evaluate.Evaluation:
        return evaluate.evaluate(
            score_step, cache, 'validation', sharding=sharding, batch_size=4
        )

    found = run()
    # One shape, so one compilation; no row of it is padding where none has to be.
    assert set(sizes) == {min(4, num_rows)}
    assert len(sizes) == math.ceil(num_rows / 4)
    assert found.loss == sum(range(num_rows)) / num_rows
    assert found.by['all']['all']['tokens'] == 4 * num_rows
    assert found.by['all']['all']['nll'] == sum(range(num_rows)) / num_rows
    assert run() == found
    assert [pair.id for pair in found.pairs] == ['p0'] * num_rows
    assert [pair.answer.nats for pair in found.pairs] == [
        2 * row for row in range(num_rows)
    ]


def test_a_split_without_rows_is_one_clear_error(tmp_path: pathlib.Path) -> None:
    cache = make_cache(tmp_path / 'cache', 0)
    sharding = mesh.batch_sharding(mesh.make_mesh(schema.MeshConfig(data=1)))
    for split, named in (
        ('validation', 'the validation split of .* is empty, .* --validation_share'),
        ('test', "'test' is not a split of .* use one of validation"),
    ):
        with pytest.raises(errors.InputError, match=named):
            evaluate.evaluate(dict, cache, split, sharding=sharding, batch_size=4)
