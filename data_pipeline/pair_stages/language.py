"""The language of a text, by a small model that needs no network."""

import functools
import pathlib
import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from py3langid import langid

from data_pipeline.pair_stages import language_model

_PART = 600  # characters; a whole long text would take most of the stages' time
_TOGETHER = 1024  # texts
_ALONE = 16  # texts or fewer are judged one by one as fast
_FEW = 4_000  # texts, for which importing scipy (0.2 s) does not pay
_num_judged = 0  # by this process
_folder: pathlib.Path | None = None  # of a cache
_NEAR = 0.01  # of probabilities
# Scripts without blanks between words: a sign counts as one.
UNSPACED = re.compile(
    '[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]'
)
NEVER_JUDGED_UNDER = 20  # words; 'Perfection. Thanks.' may be any of several languages


def keep_model_in(folder: pathlib.Path) -> None:
    """From now on, this process reads its model from a cache's folder."""
    global _folder
    _folder = folder


@functools.cache
def _identifier() -> langid.LanguageIdentifier:
    return language_model.read(_folder)


def known() -> list[str]:
    """The codes (ISO 639) of all languages that the model knows."""
    return sorted(_identifier().labels)


def identify(text: str) -> tuple[str, float]:
    """The likeliest language of a text and its probability."""
    return _identifier().classify(text)


def foreign(
    texts: Collection[str], accepted: tuple[str, ...], *, confidence: float
) -> dict[str, str]:
    """`is_foreign` of those texts where it is not ''; much faster over many texts."""
    if not accepted:
        return {}
    judged = [text for text in texts if is_judged(text)]
    codes = {}
    for start in range(0, len(judged), _TOGETHER):
        part = judged[start : start + _TOGETHER]
        if len(part) > _ALONE:
            ours = _surely_not_foreign(part, accepted, confidence=confidence)
            part = [
                text for text, is_ours in zip(part, ours, strict=True) if not is_ours
            ]
        for text in part:
            if code := is_foreign(text, accepted, confidence=confidence):
                codes[text] = code
    return codes


def _surely_not_foreign(
    texts: Sequence[str], accepted: tuple[str, ...], *, confidence: float
) -> np.ndarray:
    """[texts] bool: whether the beginnings alone say that the texts are not foreign.

    Computes `identify` of all at once. Its probabilities differ by less than 1e-4, so
    those near a limit count as not sure.
    """
    model = _identifier()
    encoded = [model._encode(text[:_PART]) for text in texts]
    sizes = np.array([len(each) for each in encoded])
    steps = int(sizes.max())
    letters = np.zeros((len(texts), steps), np.uint8)
    for row, each in zip(letters, encoded, strict=True):
        row[: len(each)] = np.frombuffer(each, np.uint8)
    moves, rows, features = _walk()
    state = np.zeros(len(texts), np.int64)
    visited = np.empty((steps, len(texts)), np.int32)
    for step, column in enumerate(letters.T):
        state = moves[rows[state] + column]
        visited[step] = features[state]
    visited[np.arange(steps)[:, None] >= sizes] = -1
    found = visited.T[visited.T >= 0]  # text by text
    is_found = np.zeros(len(model.nb_ptc), bool)
    is_found[found] = True
    kinds = np.flatnonzero(is_found)
    num_found = (visited >= 0).sum(axis=0)
    counts = _log_counts((np.cumsum(is_found) - 1)[found], num_found, len(kinds))
    scores = counts @ model.nb_ptc[kinds].astype(np.float32) + model.nb_pc
    scores /= np.sqrt(sizes, dtype=np.float32)[:, None]
    scores[num_found == 0] = 0
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    ours = np.isin(model.nb_classes, accepted)
    best_of_ours = shares[:, ours].max(axis=1, initial=0)
    best_of_others = shares[:, ~ours].max(axis=1, initial=0)
    # A language may have two columns, of which the model adds the shares.
    doubled = 2 * best_of_others if model._alias_pairs else best_of_others
    return (best_of_ours > doubled + _NEAR) | (doubled < confidence - _NEAR)


def _log_counts(found: np.ndarray, num_found: np.ndarray, num_kinds: int) -> Any:
    """[texts, kinds] float32: log(1 + how often a text has a kind), as a matrix.

    `found` has the kinds text by text, `num_found` their number in each text.
    """
    global _num_judged
    shape = len(num_found), num_kinds
    _num_judged += len(num_found)
    if _num_judged <= _FEW:
        rows = np.repeat(np.arange(len(num_found)), num_found)
        dense = np.zeros(shape, np.float32)
        np.add.at(dense, (rows, found), np.float32(1))
        return np.log1p(dense, out=dense, where=dense > 0)
    from scipy import sparse

    ends = np.concatenate([[0], np.cumsum(num_found)])
    counts = sparse.csr_array((np.ones(len(found), np.float32), found, ends), shape)
    counts.sum_duplicates()
    counts.data = np.log1p(counts.data)
    return counts


def is_judged(text: str) -> bool:
    """Whether a text is long enough to tell its language, in words or signs."""
    if len(text.split(None, NEVER_JUDGED_UNDER - 1)) == NEVER_JUDGED_UNDER:
        return True
    return not text.isascii() and len(UNSPACED.findall(text)) >= NEVER_JUDGED_UNDER


@functools.cache
def _walk() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(the next state for each row and byte, the row and the feature of each state)."""
    model = _identifier()
    moves = np.asarray(model.tk_nextmove)  # 40 MB, not copied
    return moves, np.array(model._rowbase), np.array(model.tk_output, np.int32)


def is_foreign(text: str, accepted: tuple[str, ...], *, confidence: float) -> str:
    """The code of the text's language if it surely is none of those accepted, else ''.

    It is sure with a probability of `confidence` or more both at the text's beginning
    and at its end, since a text that quotes another language continues in its own.
    Accepts every text under `NEVER_JUDGED_UNDER` words.
    """
    if not accepted or not is_judged(text):
        return ''
    code = ''
    for part in (text[:_PART], text[-_PART:]):
        code, probability = identify(part)
        if code in accepted or probability < confidence:
            return ''
    return code
