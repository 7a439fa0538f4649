import math
import pathlib

import numpy as np
import pytest

from hax_jax import files
from hax_jax.data import packing, records, shift_check
from hax_jax.watch import verdicts


def make_sequence(ids: list[int], prompt_length: int = 1) -> records.TokenizedPair:
    return records.TokenizedPair(
        ordinal=0,
        id='p',
        source='chat',
        ids=np.array(ids, np.int32),
        prompt_length=prompt_length,
        question_bytes=1,
        answer_bytes=1,
    )


def random_rows(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sequences = [
        make_sequence(rng.integers(1, 500, rng.integers(3, 15)).tolist())
        for _ in range(20)
    ]
    return packing.pack(sequences, seq_len=16, question_weight=0.0).features


def test_packed_rows_are_shifted_once() -> None:
    for seed in range(5):
        assert shift_check.shift_problem(random_rows(seed)) == ''


def test_labels_that_are_shifted_again_are_caught() -> None:
    rows = random_rows()
    # What a model that shifts labels by itself would learn from ours.
    rows['targets'] = np.roll(rows['targets'], -1, axis=1)
    assert shift_check.shift_problem(rows) != ''


def test_sequences_that_were_shifted_before_packing_are_caught() -> None:
    rng = np.random.default_rng(0)
    whole = [rng.integers(1, 500, 12) for _ in range(6)]
    inputs = np.stack([ids[:-2] for ids in whole])
    rows = {'inputs': inputs, 'targets': np.stack([ids[2:] for ids in whole])}
    rows['segment_ids'] = np.ones_like(inputs)
    assert shift_check.shift_problem(rows) == (
        'targets are not the next inputs at 54 of 54 places, first in row 0 at place 0'
    )


def test_labels_that_are_not_shifted_are_caught() -> None:
    rows = random_rows()
    rows['targets'] = rows['inputs']
    problem = shift_check.shift_problem(rows)
    assert problem.startswith('targets are not the next inputs at ')


def test_one_wrong_target_is_named_with_its_place() -> None:
    rows = packing.pack(
        [make_sequence([5, 6, 7, 8, 9]), make_sequence([1, 2, 3])],
        seq_len=8,
        question_weight=0.0,
    ).features
    assert shift_check.shift_problem(rows) == ''
    rows['targets'][0, 2] = 99
    assert shift_check.shift_problem(rows) == (
        'targets are not the next inputs at 1 of 4 places, first in row 0 at place 2'
    )


def test_borders_between_segments_and_padding_are_no_problem() -> None:
    rows = {
        'inputs': np.array([[1, 2, 5, 6, 0, 0]]),
        'targets': np.array([[2, 3, 6, 7, 0, 0]]),
        'segment_ids': np.array([[1, 1, 2, 2, 0, 0]]),
    }
    assert shift_check.shift_problem(rows) == ''
    for width in (1, 2):
        narrow = {name: array[:, :width] for name, array in rows.items()}
        assert shift_check.shift_problem(narrow) == ''


@pytest.mark.parametrize(
    ('loss', 'pretrained', 'verdict'),
    [
        (math.log(50257), False, 'good: near ln(vocabulary) = 10.82'),
        (10.9, False, 'good'),
        (3.5, False, 'SUSPECT: untrained weights score near'),
        (40.0, False, 'SUSPECT: untrained weights score near'),
        (3.6, True, 'good: trained models score so'),
        (7.0, True, 'fair: token frequencies alone cost 6.50'),
        (8.6, True, 'fair: token frequencies alone cost 6.50'),
        (9.8, True, 'BAD: a trained model scores below 8.66, far below'),
        (12.0, True, 'BAD: a trained model scores below 8.66, far below'),
        (math.nan, True, 'BAD: the loss before training is nan'),
        (math.inf, False, 'BAD: the loss before training is inf'),
    ],
)
def test_the_first_loss_is_judged(loss: float, pretrained: bool, verdict: str) -> None:
    said, why = verdicts.start(
        loss, ln_vocab=math.log(50257), unigram_entropy=6.5, pretrained=pretrained
    )
    assert f'{said}: {why}'.startswith(verdict)


@pytest.mark.parametrize('loss', [9.40, 9.55, 9.61])
def test_each_first_loss_of_the_predecessor_is_found_out(loss: float) -> None:
    # They come from PREDECESSOR.md: GPT-2 124M with labels shifted twice.
    said, why = verdicts.start(
        loss, ln_vocab=math.log(50257), unigram_entropy=0.0, pretrained=True
    )
    assert said == verdicts.BAD
    assert 'labels are shifted' in why


def test_the_unigram_entropy_is_of_the_tokens_that_carry_loss(
    tmp_path: pathlib.Path,
) -> None:
    # Answers: 7 7 8 9, of which 7 is half; the prompts' 1 and the padding count not.
    split = packing.pack(
        [make_sequence([1, 1, 7, 7], 2), make_sequence([1, 1, 8, 9], 2)],
        seq_len=8,
        question_weight=0.0,
    )
    meta = {'seq_len': 8, 'splits': {'train': packing.count_positions(split)}}
    with files.new_folder(tmp_path / 'cache') as folder:
        records.write_cache(folder, {'train': split}, meta)
    cache = records.open_cache(tmp_path / 'cache')
    expected = 0.5 * math.log(2) + 2 * 0.25 * math.log(4)
    assert verdicts.unigram_entropy(cache) == pytest.approx(expected, rel=1e-12)
