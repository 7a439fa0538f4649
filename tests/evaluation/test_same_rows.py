import dataclasses
import pathlib

import pytest

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import packing, text
from hax_jax.evaluation import same_rows, scoring


def runs(
    tokenizer: text.Tokenizer, *lengths: int, n_positions: int
) -> list[scoring.Candidate]:
    """Runs whose rows have these lengths."""
    whole = schema.Config()
    return [
        scoring.Candidate(
            path=f'run_{length}',
            step=1,
            why='',
            run=dataclasses.replace(
                whole,
                model=dataclasses.replace(whole.model, n_positions=n_positions),
                data=dataclasses.replace(whole.data, seq_len=length),
            ),
            tokenizer=tokenizer,
            dataset='',
        )
        for length in lengths
    ]


def nothing_fits(data: schema.DataConfig, tokenizer: text.Tokenizer) -> None:
    raise packing.NothingFits(f'no pair fits in data.seq_len={data.seq_len}.')


@pytest.mark.parametrize(
    ('lengths', 'n_positions', 'remedy'),
    [
        ((8, 64), 64, '[8, 64]); for rows of 64 give --seq_len=64.'),
        ((8, 64), 32, ''),  # a model has no positions for the longer rows
        ((8, 8), 64, ''),
    ],
)
def test_where_nothing_fits_in_the_shorter_rows_the_longer_are_offered(
    sentencepiece_folder: pathlib.Path,
    lengths: tuple[int, int],
    n_positions: int,
    remedy: str,
) -> None:
    tokenizer = text.load_tokenizer(str(sentencepiece_folder))
    with pytest.raises(errors.InputError) as raised:
        same_rows.of_each(
            runs(tokenizer, *lengths, n_positions=n_positions),
            data='d',
            split='validation',
            seq_len=0,
            packed=nothing_fits,
        )
    said = str(raised.value)
    assert said.startswith('no pair fits in data.seq_len=8.')
    assert said.endswith(remedy or 'data.seq_len=8.')
