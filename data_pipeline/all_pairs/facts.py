"""What comparing asks of a pair: computed once, by whoever read it.

    row = facts.row(raw_pair, prepared_pair, chosen)

Links and titles are looked at as they were read, since cleaning drops where a link led;
all else is of the pair as it will be trained on.
"""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Sequence
from typing import Any

import datasketch
import numpy as np

from data_pipeline import settings
from data_pipeline.all_pairs import word_runs
from data_pipeline.pair_stages import folding
from hax_jax.data import records

_POST_LINK = re.compile(r'(?:reddit\.com/(?:r/\w+/)?comments/|redd\.it/)(\w+)')
_UPDATE_MARK = re.compile(
    r'[\W_]*\b(?:final |small |quick )?(?:up ?date)s?\b[\W\d_]*', re.I
)
_SHINGLE = 3  # words
_SEED = 1
_SCHEME = 'affine32'
# Missing a duplicate costs more than a comparison too many: those are checked.
_WEIGHTS = (0.2, 0.8)  # of false positives and negatives, as the bands are chosen


@dataclasses.dataclass(frozen=True)
class Row:
    """A prepared pair with what is needed to compare it with all others.

    `links` are the groups ('reddit:abc123') of posts that an update names, `title` its
    first line without case, signs and the word update; both are '' or empty elsewhere.
    `text` is 16 hex digits of the two texts but for case, blanks and punctuation. The
    signatures are of the words in threes, each [num_perm] uint32 as bytes, `runs` a
    sample of the runs of eight words (word_runs.py), and `words` how many words
    question and answer have.
    """

    pair: records.QaPair
    links: tuple[str, ...]
    title: str
    is_update: bool
    text: str
    question_signature: bytes
    answer_signature: bytes
    runs: tuple[int, ...]
    words: tuple[int, int]


def row(
    raw: records.QaPair,
    pair: records.QaPair,
    chosen: settings.DuplicateSettings,
) -> Row:
    """The facts of a pair; `raw` is the same pair before the stages."""
    is_update = 'update' in raw.flags
    title = ''
    links: tuple[str, ...] = ()
    if records.kind(raw.source) == 'reddit':
        first = raw.question.split('\n', 1)[0]
        title = folding.folded(_UPDATE_MARK.sub(' ', first) if is_update else first)
        if is_update:
            named = _POST_LINK.findall(f'{raw.question}\n{raw.answer}')
            links = tuple(sorted({f'reddit:{post}' for post in named} - {raw.group}))
    question, answer = folding.folded(pair.question), folding.folded(pair.answer)
    signatures = (b'', b'')
    if chosen.near:
        signatures = (
            _signature(question, chosen.num_perm),
            _signature(answer, chosen.num_perm),
        )
    texts = [question.split(), answer.split()]
    same = f'{question}\n{answer}'.encode('utf-8', 'surrogatepass')
    return Row(
        pair,
        links,
        title,
        is_update,
        hashlib.blake2b(same, digest_size=8).hexdigest(),
        *signatures,
        word_runs.sample(texts),
        (len(texts[0]), len(texts[1])),
    )


def to_json(each: Row) -> dict[str, Any]:
    """The row in JSON's types."""
    values = dataclasses.asdict(each)
    for name in ('question_signature', 'answer_signature'):
        values[name] = values[name].hex()
    return values


def from_json(values: dict[str, Any]) -> Row:
    """The row that `to_json` wrote."""
    pair = {**values['pair'], 'flags': tuple(values['pair']['flags'])}
    return Row(
        **{
            **values,
            'pair': records.QaPair(**pair),
            'links': tuple(values['links']),
            'runs': tuple(values['runs']),
            'words': tuple(values['words']),
            'question_signature': bytes.fromhex(values['question_signature']),
            'answer_signature': bytes.fromhex(values['answer_signature']),
        }
    )


def bands(
    signatures: Sequence[bytes], chosen: settings.DuplicateSettings
) -> np.ndarray:
    """[N, bands] uint64: texts that share one in the same column may be near.

    How many bands of how many hashes follows from the threshold, as datasketch's index
    chooses them.
    """
    count, width = _band_shape(chosen.threshold, chosen.num_perm)
    found = np.frombuffer(b''.join(signatures), np.uint32)
    found = found.reshape(len(signatures), chosen.num_perm)[:, : count * width]
    rows = found.reshape(len(signatures), count, width).astype(np.uint64)
    odd = np.random.Generator(np.random.Philox(7)).bit_generator.random_raw(width) | 1
    return (rows * odd).sum(axis=2, dtype=np.uint64)


@functools.cache
def _band_shape(threshold: float, num_perm: int) -> tuple[int, int]:
    index = datasketch.MinHashLSH(
        threshold=threshold, num_perm=num_perm, weights=_WEIGHTS
    )
    return index.b, index.r


@functools.cache
def _blank(num_perm: int) -> datasketch.MinHash:
    return datasketch.MinHash(num_perm=num_perm, seed=_SEED, scheme=_SCHEME)


def _signature(folded: str, num_perm: int) -> bytes:
    words = folded.split()
    shingles = {
        ' '.join(words[i : i + _SHINGLE])
        for i in range(max(1, len(words) - _SHINGLE + 1))
    }
    signature = _blank(num_perm).copy()
    signature.update_batch([each.encode() for each in sorted(shingles)])
    return np.asarray(signature.hashvalues, np.uint32).tobytes()
