"""A run's scores of each validation pair at its best step, in its folder.

With them two runs are compared pair by pair without being evaluated again.
"""

import dataclasses
import json
import pathlib
from typing import Any

from hax_jax import digests, errors, files
from hax_jax.evaluation import evaluate

FILE = 'validation_scores.json'


@dataclasses.dataclass(frozen=True)
class SavedScores:
    """The answers' scores at `step`, by pair, in the order of the rows.

    `rows` is the fingerprint of the packed rows, `tokenizer` that of their tokenizer.
    """

    step: int
    rows: str
    tokenizer: str
    seq_len: int
    pairs: list[evaluate.PairScore]


def write(workdir: pathlib.Path, scores: SavedScores) -> None:
    """Replaces the run's scores: about 60 bytes a pair, sealed by their digest."""
    pairs = scores.pairs
    made = {
        'step': scores.step,
        'rows': scores.rows,
        'tokenizer': scores.tokenizer,
        'seq_len': scores.seq_len,
        'id': [pair.id for pair in pairs],
        'source': [pair.source for pair in pairs],
        'answer_nats': [pair.answer.nats for pair in pairs],
        'answer_tokens': [pair.answer.tokens for pair in pairs],
        'answer_bytes': [pair.answer.bytes for pair in pairs],
    }
    text = json.dumps(digests.sealed(made), ensure_ascii=False, allow_nan=False)
    files.write_text(workdir / FILE, text + '\n')


def drop_after(workdir: pathlib.Path, step: int) -> None:
    """Removes scores of a later step, which a run that goes on from `step` repeats."""
    path = workdir / FILE
    if not path.exists():
        return
    try:
        is_later = step == 0 or _read(workdir)['step'] > step
    except errors.InputError:
        is_later = True  # damaged: the next best step writes them anew
    if is_later:
        path.unlink()


def read(workdir: pathlib.Path) -> SavedScores:
    """The scores of the run in `workdir`.

    Raises:
      InputError: there are none, or they are not what was written.
    """
    found = _read(workdir)
    columns = zip(
        *(found[name] for name in ('id', 'source')),
        *(found[f'answer_{name}'] for name in ('nats', 'tokens', 'bytes')),
        strict=True,
    )
    return SavedScores(
        step=found['step'],
        rows=found['rows'],
        tokenizer=found['tokenizer'],
        seq_len=found['seq_len'],
        pairs=[
            evaluate.PairScore(
                name, source, answer=evaluate.Part(nats, tokens, num_bytes)
            )
            for name, source, nats, tokens, num_bytes in columns
        ],
    )


def _read(workdir: pathlib.Path) -> dict[str, Any]:
    path = workdir / FILE
    if not path.exists():
        raise errors.InputError(
            f'{path} is missing: the best step is of an earlier version, or no step '
            'was evaluated yet'
        )
    return digests.read_sealed(path)
