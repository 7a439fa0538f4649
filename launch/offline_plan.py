"""A plan of a published GPT-2 where neither its files nor the hub can be reached."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np

from data_pipeline import dataset
from hax_jax import errors
from hax_jax.config import published, schema
from hax_jax.data import packing, records, text
from hax_jax.formats import hf_folder

# Of GPT-2's BPE on the sample corpus: 88,733 bytes in 21,724 tokens.
_BYTES_PER_TOKEN = 4.1


@dataclasses.dataclass(frozen=True)
class Known:
    """A run with published sizes and rows that are estimated, and what to say of it."""

    run: schema.Config
    cache: records.PackedCache
    note: tuple[str, str]


def known(run: schema.Config) -> Known | None:
    """What can be planned without the base's files; None where they are there.

    Raises:
      InputError: there is no dataset, or rows are longer than the model's positions.
    """
    model = published.sized(run.model)
    if model is None:
        return None
    try:
        hf_folder.local_folder(run.model.pretrained)
        return None
    except errors.InputError as error:
        why = str(error).partition(', and ')[2].partition(';')[0]
    if run.data.seq_len > model.n_positions:
        raise errors.InputError(
            f'data.seq_len={run.data.seq_len} is over the {model.n_positions} '
            f'positions of {run.model.pretrained}; lower it.'
        )
    note = (
        f'{why}: sizes of {run.model.pretrained} from the published config, not '
        f'checked; rows estimated at {_BYTES_PER_TOKEN} bytes a token'
    )
    planned = dataclasses.replace(run, model=model)
    return Known(planned, _rows(run.data), ('offline', note))


def _rows(data: schema.DataConfig) -> records.PackedCache:
    """The counts of the train split, packed as pairs of about their lengths are."""
    split = packing.pack(
        list(_pairs(data)), seq_len=data.seq_len, question_weight=data.question_weight
    )
    if not split.num_rows:
        raise errors.InputError(
            f'no pair of {data.path} fits in data.seq_len={data.seq_len}; raise it.'
        )
    counts = {'train': packing.count_positions(split)}
    meta = {'seq_len': data.seq_len, 'fingerprint': '', 'splits': counts}
    return records.PackedCache(pathlib.Path(data.path, 'packed', 'none'), meta)


def _pairs(data: schema.DataConfig) -> Iterator[records.TokenizedPair]:
    """Each pair with as many ids as it may have; all ids are 0.

    A long question is cut, and a pair whose answer fills a row is left out. Of a
    conversation, all but the last answer is taken for its prompt.
    """
    for ordinal, pair in enumerate(dataset.shown_pairs(data.path, 'train')):
        *earlier, last = pair.exchanges
        prompt = _count(text.HEAD + last.question + text.TAIL)
        prompt += sum(
            _count(text.HEAD + turn.question + text.TAIL + turn.answer) + 1
            for turn in earlier
        )
        answer = _count(last.answer) + 1  # EOS
        room = data.seq_len + 1 - answer  # the last id is a target alone
        if room > 0:
            prompt = min(prompt, room)
            ids = np.zeros(prompt + answer, np.int32)
            yield records.TokenizedPair(
                ordinal, pair.id, pair.source, ids, prompt, 0, 0
            )


def _count(given: str) -> int:
    return max(1, round(len(given.encode()) / _BYTES_PER_TOKEN))
