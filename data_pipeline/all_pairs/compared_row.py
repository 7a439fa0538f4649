"""A prepared pair with all that comparing it to other pairs needs, computed once."""

import dataclasses
import hashlib
import re

import numpy as np

from data_pipeline import settings
from data_pipeline.all_pairs import signatures
from data_pipeline.pair_stages import folding, word_runs
from hax_jax.data import records

_OPENING = 100  # characters that hold its words
_POST_LINK = re.compile(r'(?:reddit\.com/(?:r/\w+/)?comments/|redd\.it/)(\w+)')
_UPDATE_MARK = re.compile(
    r'[\W_]*\b(?:final |small |quick )?(?:up ?date)s?\b[\W\d_]*', re.I
)


@dataclasses.dataclass(frozen=True)
class Row:
    """A prepared pair; all other fields are columns of `pair_store.PairStore`.

    For pairs of Reddit, `title` is the first line, folded and without the word update,
    and `links` are the groups ('reddit:abc123') of posts that an update links. `text`
    is a hash (16 hex digits) of both folded texts, `opening` the answer's first words,
    folded. The signatures are '' where near duplicates are off. `runs` are the runs of
    eight words of both texts (word_runs.py), [N] uint64 as bytes, and `sample` a fourth
    of them, each once.
    """

    pair: records.QaPair
    links: tuple[str, ...]
    title: str
    is_update: bool
    text: str
    opening: str
    question_signature: bytes
    answer_signature: bytes
    runs: bytes
    sample: np.ndarray
    question_words: int
    answer_words: int


def make(
    raw: records.QaPair, pair: records.QaPair, chosen: settings.DuplicateSettings
) -> Row:
    """The row of a pair; `raw` is the same pair before the stages.

    Reads links and titles from `raw`, since cleaning removes the targets of links.
    """
    is_update = 'update' in raw.flags
    title = ''
    links: tuple[str, ...] = ()
    if records.kind(raw.source) == 'reddit':
        first = raw.question.split('\n', 1)[0]
        title = folding.folded(_UPDATE_MARK.sub(' ', first) if is_update else first)
        if is_update:
            named = _POST_LINK.findall(f'{raw.question}\n{raw.answer}')
            links = tuple(sorted({f'reddit:{post}' for post in named} - {raw.group}))
    texts = folding.folded(pair.question), folding.folded(pair.answer)
    of_question, of_answer = (
        signatures.signature(text, chosen.num_perm) if chosen.near else b''
        for text in texts
    )
    runs = np.concatenate([word_runs.of(text) for text in texts])
    return Row(
        pair,
        links,
        title,
        is_update,
        text=hashlib.blake2b(
            '\n'.join(texts).encode('utf-8', 'surrogatepass'), digest_size=8
        ).hexdigest(),
        opening=' '.join(texts[1][:_OPENING].split()[:3]),
        question_signature=of_question,
        answer_signature=of_answer,
        runs=runs.tobytes(),
        sample=word_runs.sample(runs),
        question_words=word_runs.num_words(texts[0]),
        answer_words=word_runs.num_words(texts[1]),
    )
