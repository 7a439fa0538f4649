"""The packed rows that models are scored on: the same pairs for each."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import dataset_folder, packing, records, text
from hax_jax.evaluation import evaluate, scoring, trained_on


@dataclasses.dataclass(frozen=True)
class WithRows:
    """A model and the packed rows that it is evaluated on.

    `warnings` count the texts of the split that it was trained on.
    """

    candidate: scoring.Candidate
    data: schema.DataConfig
    cache: records.PackedCache
    notes: list[str]
    warnings: list[str]


def of_each(
    candidates: Sequence[scoring.Candidate],
    *,
    data: str,
    split: str,
    seq_len: int,
    packed: Callable[[schema.DataConfig, text.Tokenizer], pathlib.Path],
) -> list[WithRows]:
    """The rows of each: the same pairs and lengths, each its own tokens.

    `data` '' is the runs' own, `seq_len` 0 the smaller of theirs. `packed` gives the
    folder of a dataset's rows for a tokenizer.

    Raises:
      InputError: there is no dataset, or the runs have not the same one, or it has no
        rows, or damaged ones.
    """
    owns = [c.run.data for c in candidates if c.step is not None]
    own = owns[0] if owns else candidates[0].run.data
    path = data or _own_dataset(owns)
    lengths = [c.run.data.seq_len for c in candidates]
    shorter = not seq_len and len(set(lengths)) > 1
    seq_len = seq_len or min(lengths)
    out = []
    for candidate in candidates:
        n_positions = candidate.run.model.n_positions
        if seq_len > n_positions:
            raise errors.InputError(
                f'seq_len={seq_len} is over the {n_positions} positions of '
                f'{candidate.path}; lower it.'
            )
        packed_as = dataclasses.replace(
            candidate.run.data,
            path=path,
            seq_len=seq_len,
            long_answers=own.long_answers,
        )
        try:
            folder = packed(packed_as, candidate.tokenizer)
        except packing.NothingFits as error:
            longest = max(lengths)
            if not shorter or longest > min(
                c.run.model.n_positions for c in candidates
            ):
                raise
            raise errors.InputError(
                f"{error}\nRows of {seq_len} are the shorter of the models' "
                f'({lengths}); for rows of {longest} give --seq_len={longest}.'
            ) from error
        cache = records.open_cache(folder)
        cache.verify()
        evaluate.require_rows(cache, split)
        notes = []
        if shorter:
            notes.append(f'rows of {seq_len} for both, the smaller of {lengths}')
        if not data and candidate.dataset not in ('', cache.fingerprint):
            notes.append(
                f'these are not the rows that the run was trained with: {path}, '
                'data.seq_len or data.long_answers differs now, so its metrics.jsonl '
                'has other numbers'
            )
        warnings, unknown = trained_on.look(candidate, cache, split)
        out.append(WithRows(candidate, packed_as, cache, [*notes, *unknown], warnings))
    return out


def _own_dataset(owns: list[schema.DataConfig]) -> str:
    """The one dataset of the runs."""
    if not owns:
        raise errors.InputError(
            'data is missing: a Hugging Face folder has no dataset of its own; give a '
            'folder that data_pipeline.build made.'
        )
    hashes = {}
    for own in owns:
        try:
            hashes[own.path] = dataset_folder.read_manifest(own.path)['sha256']
        except errors.InputError as error:
            raise errors.InputError(
                f"the run's own dataset is not where it was: {error}\n"
                'If it moved, or for another, give --data=FOLDER.'
            ) from error
    if len(set(hashes.values())) > 1:
        raise errors.InputError(
            f'the runs were trained on different datasets ({", ".join(hashes)}), whose '
            'pairs differ; say with --data=FOLDER on which to compare them.'
        )
    return owns[0].path
