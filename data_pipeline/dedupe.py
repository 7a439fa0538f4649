"""Exact duplicates out: the same Reddit post, or the same text."""

import collections.abc
import dataclasses
import re

from hax_jax import records

SAME_ID = 'same id'
SAME_TEXT = 'same text'

_FOLDED = re.compile(r'[\W_]+')


@dataclasses.dataclass(frozen=True)
class Duplicate:
    """A pair that was dropped: its id, the id kept in its place, and why."""

    id: str
    kept_id: str
    reason: str


def exact(
    pairs: collections.abc.Sequence[records.QaPair],
) -> tuple[list[records.QaPair], list[Duplicate]]:
    """The pairs without exact duplicates, in their order, and what was dropped.

    Two pairs are the same where their ids are (a Reddit id is its post's), or where
    both texts are, but for case, blanks and punctuation. The highest score is kept, of
    equals the longest answer; what is kept does not depend on the order of the input.
    """
    best_first = sorted(range(len(pairs)), key=lambda i: _rank(pairs[i]))
    by_id: dict[str, str] = {}
    by_text: dict[tuple[str, str], str] = {}
    dropped: dict[int, Duplicate] = {}
    for i in best_first:
        pair = pairs[i]
        text = (folded(pair.question), folded(pair.answer))
        if pair.id in by_id:
            dropped[i] = Duplicate(pair.id, by_id[pair.id], SAME_ID)
        elif text in by_text:
            dropped[i] = Duplicate(pair.id, by_text[text], SAME_TEXT)
        else:
            by_id[pair.id] = by_text[text] = pair.id
    kept = [pair for i, pair in enumerate(pairs) if i not in dropped]
    return kept, [dropped[i] for i in sorted(dropped)]


def folded(text: str) -> str:
    """The text without case, blanks and punctuation; itself where nothing else is.

    'Well -- REALLY?' -> 'well really'
    """
    return _FOLDED.sub(' ', text.casefold()).strip() or text.strip()


def _rank(pair: records.QaPair) -> tuple[int, int, str, str, int, str, str]:
    answer = (-len(pair.answer), pair.id, pair.file, pair.line)
    return (-pair.score, *answer, pair.question, pair.answer)
