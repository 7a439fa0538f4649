"""Texts of a split that a run was trained on, counted from packed rows."""

import pathlib
from typing import Any

import answered_runs
import numpy as np
import pytest

from hax_jax import errors, files
from hax_jax.config import schema
from hax_jax.data import packing, records, text
from hax_jax.evaluation import scoring, trained_on
from hax_jax.runs import run_folder

WORDS = ['aunt', 'door', 'letter', 'garden', 'train', 'quarrel', 'supper', 'coat']


@pytest.fixture(scope='module')
def tokenizer(sentencepiece_folder: pathlib.Path) -> text.Tokenizer:
    return text.load_tokenizer(str(sentencepiece_folder))


def words(seed: int, count: int) -> str:
    return ' '.join(np.random.default_rng(seed).choice(WORDS, count))


def pair(number: int, **changes: object) -> records.QaPair:
    """A pair of words that no other number has."""
    values = {'question': words(number, 20), 'answer': words(1000 + number, 40)}
    return answered_runs.pair(number, **(values | changes))


def write(
    folder: pathlib.Path,
    tokenizer: text.Tokenizer,
    *,
    train: list[records.QaPair],
    validation: list[records.QaPair],
    seq_len: int,
) -> records.PackedCache:
    splits = {}
    for name, pairs in (('train', train), ('validation', validation)):
        made = packing.tokenize(pairs, tokenizer, seq_len=seq_len, long_answers='split')
        splits[name] = packing.pack(made.pairs, seq_len=seq_len, question_weight=0.0)
    counts = {name: packing.count_positions(split) for name, split in splits.items()}
    meta = {'seq_len': seq_len, 'splits': counts}
    with files.new_folder(folder) as new:
        records.write_cache(new, splits, meta)
    return records.open_cache(folder)


def test_copies_are_counted_whatever_rows_they_lie_in(
    tmp_path: pathlib.Path, tokenizer: text.Tokenizer
) -> None:
    whole, asked, short = pair(0), pair(1), pair(2, answer='No.')
    more = (words(20, 20), words(21, 40))
    talk = pair(3, question=words(22, 20), answer=words(23, 40), more=more)
    trained = write(
        tmp_path / 'trained',
        tokenizer,
        train=[whole, asked, short, talk, *(pair(i) for i in range(4, 9))],
        validation=[pair(9)],
        seq_len=1024,
    )
    evaluated = [
        whole,
        pair(31, question=asked.question),  # another answer to it
        pair(32, answer=f'{words(50, 12)} {words(1004, 40)}'),  # for the most part
        pair(33, answer=f'{words(51, 60)} {words(1005, 40)}'),  # under half of it
        short,
        pair(34, answer='No.'),  # chance
        pair(35, question=more[0], answer=more[1]),  # a later turn of the talk
        pair(36),
        pair(37, question='Why?', answer='No.'),
    ]
    # In shorter rows answers are in several parts, below a few tokens of the question.
    for seq_len, questions in ((1024, 4), (160, 1)):
        cache = write(
            tmp_path / f'rows of {seq_len}',
            tokenizer,
            train=[pair(60)],
            validation=evaluated,
            seq_len=seq_len,
        )
        assert trained_on.count(cache, 'validation', trained) == trained_on.Counts(
            pairs=9, answers=4, questions=questions, untold=1
        )


def test_texts_that_nobody_was_trained_on_count_nothing(
    tmp_path: pathlib.Path, tokenizer: text.Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = write(
        tmp_path / 'rows',
        tokenizer,
        train=[pair(i) for i in range(8)],
        validation=[pair(i) for i in range(8, 12)],
        seq_len=1024,
    )
    monkeypatch.setattr(trained_on, '_TOKENS_AT_A_TIME', 1)  # each row by itself
    none = trained_on.Counts(pairs=4, answers=0, questions=0, untold=0)
    assert trained_on.count(cache, 'validation', cache) == none
    own = trained_on.Counts(pairs=8, answers=8, questions=8, untold=0)
    assert trained_on.count(cache, 'train', cache) == own


def test_a_run_whose_rows_are_gone_is_named_and_its_base_is_looked_at(
    tmp_path: pathlib.Path, tokenizer: text.Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = write(
        tmp_path / 'rows',
        tokenizer,
        train=[pair(0)],
        validation=[pair(0), pair(1)],
        seq_len=1024,
    )
    own, base = tmp_path / 'own', tmp_path / 'base'
    identities = {
        own: {'dataset': 'x', 'base': {'path': str(base), 'step': 5}},
        base: {'dataset': cache.fingerprint, 'base': {}},
    }

    def rows_of(
        folder: pathlib.Path, identity: dict[str, Any], *_: object
    ) -> records.PackedCache:
        if folder == own:
            raise errors.InputError('it moved')
        assert identity is identities[base]
        return cache

    monkeypatch.setattr(run_folder, 'read_run', identities.__getitem__)
    monkeypatch.setattr(trained_on, '_rows_of', rows_of)
    run = schema.Config()
    candidate = scoring.Candidate(str(own), 5, '', run, tokenizer, 'x')
    warnings, notes = trained_on.look(candidate, cache, 'validation')
    assert notes == [f'whether {own} was trained on these texts is unknown: it moved']
    assert warnings == [
        f'1 answer and 1 question of these 2 validation pairs stand in the rows that '
        f'{base}, the base of {own}, was trained on, whole or for over half of their '
        'text: their scores measure memory'
    ]
