"""The language of a text, by a small model that needs no network."""

import functools
import pathlib
import re
from collections.abc import Collection, Sequence

import numpy as np
from py3langid import langid

from data_pipeline.pair_stages import language_model

_PART = 600  # characters; a whole long text would take most of the stages' time
_TOGETHER = 1024  # texts
_LONGEST = 6  # bytes of a feature of the model
_PIECE = 58  # bytes
_BETWEEN = b'\xff'  # stands in no text, and no feature goes on behind it
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
        ours = _surely_not_foreign(part, accepted, confidence=confidence)
        for text, is_ours in zip(part, ours, strict=True):
            if is_ours:
                continue
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
    found, num_found = _features(encoded, sizes)
    scores = _scores(found, num_found) + model.nb_pc
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


def _features(
    encoded: Sequence[bytes], sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """([found] int32 the features of the texts, text by text, [texts] their numbers).

    The model's state after a byte follows from the last `_LONGEST` bytes. So all texts
    are cut into pieces that are walked side by side, each from `_LONGEST` bytes before
    its first one.
    """
    moves, rows, features = _walk()
    ends = np.cumsum(sizes + 1)
    num_pieces = -(-int(ends[-1]) // _PIECE)
    joined = _BETWEEN * _LONGEST + _BETWEEN.join(encoded)
    signs = np.frombuffer(joined.ljust(num_pieces * _PIECE + _LONGEST, _BETWEEN), 'u1')
    pieces = np.lib.stride_tricks.sliding_window_view(signs, _PIECE + _LONGEST)
    columns = np.ascontiguousarray(pieces[::_PIECE].T)  # [bytes of a piece, pieces]
    visited = np.empty(columns.shape, moves.dtype)
    state, at = np.zeros(num_pieces, moves.dtype), np.empty(num_pieces, rows.dtype)
    for column, after in zip(columns, visited, strict=True):
        rows.take(state, out=at, mode='clip')  # is not checked, so faster
        at += column
        state = moves.take(at, out=after, mode='clip')
    by_place = features[visited[_LONGEST:].T.ravel()]
    places = np.flatnonzero(by_place >= 0)
    return by_place[places], np.diff(np.searchsorted(places, ends), prepend=0)


def _scores(found: np.ndarray, num_found: np.ndarray) -> np.ndarray:
    """[texts, classes] float32: the sums of log(1 + how often) * a feature's weights.

    `found` has the features text by text, `num_found` their number in each text.
    """
    weights = _weights(found)
    keys = np.repeat(np.arange(len(num_found)) * len(weights), num_found) + found
    keys.sort()
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    counts = np.log1p(np.diff(first, append=len(keys)), dtype=np.float32)
    of_text, features = np.divmod(keys[first], len(weights))
    ends = np.searchsorted(of_text, np.arange(len(num_found) + 1))
    scores = np.empty((len(num_found), weights.shape[1]), np.float32)
    taken = np.empty((num_found.max(), weights.shape[1]), np.float32)
    for start, end, score in zip(ends[:-1], ends[1:], scores, strict=True):
        own = taken[: end - start]
        weights.take(features[start:end], axis=0, out=own, mode='clip')
        np.dot(counts[start:end], own, out=score)
    return scores


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
    rows = np.array(model._rowbase, np.intp)
    return moves, rows, np.array(model.tk_output, np.int32)


def _weights(features: np.ndarray) -> np.ndarray:
    """[all features, classes] float32, of which the rows of `features` are filled.

    To make float32 of a model's float16 takes longer than all else here.
    """
    table, is_filled = _table()
    new = np.unique(features[~is_filled[features]])
    table[new] = _identifier().nb_ptc[new]
    is_filled[new] = True
    return table


@functools.cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    shape = _identifier().nb_ptc.shape
    return np.empty(shape, np.float32), np.zeros(shape[0], bool)


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
