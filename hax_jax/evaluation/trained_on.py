"""Whether evaluated texts stand in the rows that a run, or its base, was trained on.

A text counts as trained on where over half of its runs of tokens (data/token_runs.py)
stand in those rows: near copies, cut answers and other splits count too.
"""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from hax_jax import counted, errors, places
from hax_jax.data import dataset_folder, records, token_runs
from hax_jax.evaluation import scoring
from hax_jax.runs import run_folder

_TOKENS_AT_A_TIME = 2**21  # of training rows: some 100 MB
_ANEW = 'Perhaps the dataset was built anew.'


@dataclasses.dataclass(frozen=True)
class Counts:
    """Of `pairs`: those whose answer, and those whose question, was trained on.

    `untold` are shorter than a run of tokens, and so can't be told.
    """

    pairs: int
    answers: int
    questions: int
    untold: int


def look(
    candidate: scoring.Candidate, cache: records.PackedCache, split: str
) -> tuple[list[str], list[str]]:
    """(warnings of texts that were trained on, notes of what could not be looked at).

    `cache` has the split's rows, made with the candidate's tokenizer.
    """
    if candidate.step is None:
        return [], [f'what {candidate.path} was trained on is not known here']
    warnings, notes, seen = [], [], set()
    for name, rows in _rows_of_runs(candidate, cache):
        if isinstance(rows, str):
            notes.append(
                f'whether {name} was trained on these texts is unknown: {rows}'
            )
        elif rows.fingerprint not in seen:
            seen.add(rows.fingerprint)
            found = count(cache, split, rows)
            if found.answers + found.questions:
                answers = counted.of(found.answers, 'answers')
                questions = counted.of(found.questions, 'questions')
                warnings.append(
                    f'{answers} and {questions} of these {found.pairs:,} {split} pairs '
                    f'stand in the rows that {name} was trained on, whole or for over '
                    'half of their text'
                    + (': their scores measure memory' if found.answers else '')
                )
            if found.untold:
                notes.append(
                    f'{counted.of(found.untold, "pairs")} too short to tell whether '
                    f'{name} was trained on them'
                )
    return warnings, notes


def count(
    cache: records.PackedCache, split: str, trained: records.PackedCache
) -> Counts:
    """Counts the split's pairs that stand in the train split of `trained`.

    Both have the tokens of one tokenizer. An answer shorter than a run is looked for
    with the tokens before it, and counts only if its question was trained on too.
    """
    targets = np.asarray(cache.features(split)['targets'])
    segments = cache.segments(split)
    learned = sum(end - start for each in segments for start, end in each.learned)
    run = token_runs.length(learned, sum(each.answer_bytes for each in segments))
    pairs: dict[int, int] = {}  # ordinal -> number
    texts: dict[str, list[np.ndarray]] = {'answer': [], 'question': []}
    of_pair: dict[str, list[int]] = {'answer': [], 'question': []}
    long: set[int] = set()
    for each in segments:
        pair, row = pairs.setdefault(each.ordinal, len(pairs)), targets[each.row]
        texts['question'].append(row[each.start : each.prompt_end])
        of_pair['question'].append(pair)
        for start, end in each.learned:
            if end - start >= run:
                long.add(pair)
            else:
                start = max(each.start, start - run + 1)
            texts['answer'].append(row[start:end])
            of_pair['answer'].append(pair)
    runs = {kind: token_runs.of_texts(texts[kind], run) for kind in texts}
    known = _known(np.concatenate([each for _, each in runs.values()]), trained, run)
    shares = {
        kind: token_runs.shares(
            np.array(of_pair[kind], np.int64)[owners],
            np.isin(hashes, known),
            len(pairs),
        )
        for kind, (owners, hashes) in runs.items()
    }
    asked = shares['question'] > token_runs.COPIED
    is_long = np.isin(np.arange(len(pairs)), list(long))
    answered = (shares['answer'] > token_runs.COPIED) & (is_long | asked)
    untold = np.isnan(shares['answer']) & np.isnan(shares['question'])
    return Counts(len(pairs), int(answered.sum()), int(asked.sum()), int(untold.sum()))


def _known(hashes: np.ndarray, trained: records.PackedCache, run: int) -> np.ndarray:
    """Those of the hashes that a run of tokens within one training pair has."""
    hashes, rows = np.unique(hashes), trained.features('train')
    is_known = np.zeros(len(hashes), bool)
    step = max(1, _TOKENS_AT_A_TIME // trained.seq_len)
    for first in range(0, trained.num_rows('train'), step):
        chosen = slice(first, first + step)
        pairs = np.asarray(rows['segment_ids'][chosen], np.int64)  # [R, T]
        is_text = pairs > 0
        owners = pairs + np.arange(len(pairs))[:, None] * (trained.seq_len + 1)
        ids = np.asarray(rows['targets'][chosen])[is_text]
        is_known |= np.isin(hashes, token_runs.of_tokens(ids, owners[is_text], run)[1])
    return hashes[is_known]


def _rows_of_runs(
    candidate: scoring.Candidate, verified: records.PackedCache
) -> Iterator[tuple[str, records.PackedCache | str]]:
    """(name, its rows, or why there are none) of the run, its base, the base's base."""
    name, folder, base = candidate.path, places.path(candidate.path), candidate.base
    while True:
        try:
            identity = run_folder.read_run(folder)
        except errors.InputError as error:
            yield name, str(error)
            return
        try:
            yield name, _rows_of(folder, identity, candidate, verified)
        except errors.InputError as error:
            yield name, str(error)
        if 'imported' in identity and identity['dataset']:
            yield f'{name}, before it was imported,', 'its rows are not here'
        if identity['base'].get('step') is None:
            return  # no base, or one of Hugging Face
        path, base = base or identity['base']['path'], ''
        name, folder = f'{path}, the base of {name},', places.path(path).expanduser()


def _rows_of(
    folder: pathlib.Path,
    identity: dict[str, Any],
    candidate: scoring.Candidate,
    verified: records.PackedCache,
) -> records.PackedCache | str:
    if not identity['dataset']:
        return 'no row of its training is known'
    if identity['tokenizer'] != candidate.tokenizer.fingerprint:
        return 'its tokenizer is another one'
    data = run_folder.read_config(folder).data
    rows = dataset_folder.packed(data, candidate.tokenizer, remedy=_ANEW)
    cache = verified
    if rows != verified.path:
        cache = records.open_cache(rows)
        cache.verify()
    if cache.fingerprint != identity['dataset']:
        return f'{rows} has other rows than it was trained with'
    return cache
