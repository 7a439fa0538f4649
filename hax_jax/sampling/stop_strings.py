"""The end of an answer: the first token that completes a stop string."""

from collections.abc import Sequence

from hax_jax.config import schema
from hax_jax.data import text

_BROKEN = '\ufffd'  # a decoder's sign for the first bytes of a character


class Search:
    """Looks for stop strings in one growing answer.

    Attributes:
      found: as `find` returns.
    """

    def __init__(
        self, tokenizer: text.Decoder, settings: schema.SamplingConfig, stem: list[int]
    ) -> None:
        self._tokenizer, self._settings, self._stem = tokenizer, settings, stem
        self._seen = 0
        self.found: tuple[int, str] | None = None

    def look(self, ids: list[int]) -> bool:
        """Whether the answer has met a stop string, given all its ids so far."""
        if self._settings.stop and not self.found and len(ids) > self._seen:
            self.found = find(
                self._tokenizer,
                ids,
                self._settings.stop,
                stem=self._stem,
                seen=self._seen,
                min_new_tokens=self._settings.min_new_tokens,
            )
            self._seen = len(ids)
        return self.found is not None


def find(
    tokenizer: text.Decoder,
    ids: list[int],
    stops: Sequence[str],
    *,
    stem: list[int],
    seen: int,
    min_new_tokens: int,
) -> tuple[int, str] | None:
    """The number of `ids` that complete the first stop string, and the text before it.

    The text includes the stem; a stop string must end after the stem and the first
    `min_new_tokens` - 1 ids. The first `seen` ids hold no stop string. The result
    does not depend on later ids.
    """
    fixed = tokenizer.decode(stem + ids[: max(min_new_tokens - 1, 0)])
    fixed_length = len(fixed.rstrip(_BROKEN))

    def hit(count: int) -> tuple[int, str] | None:
        whole = tokenizer.decode(stem + ids[:count])
        starts = [
            whole.find(stop, max(fixed_length - len(stop) + 1, 0)) for stop in stops
        ]
        starts = [start for start in starts if start >= 0]
        return (count, whole[: min(starts)]) if starts else None

    if hit(len(ids)) is None:
        return None
    low, high = seen, len(ids)  # none at low, one at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if hit(middle) else (middle, high)
    return hit(high)


def certain(text_so_far: str, stops: Sequence[str]) -> str:
    """The part of a growing text that no later token can change.

    'Ask her. QUES' with the stop string 'QUESTION:' -> 'Ask her. '.
    """
    sure = text_so_far.rstrip(_BROKEN)
    begun = (  # lengths of a stop string's beginning at the end of the text
        length
        for stop in stops
        for length in range(1, len(stop))
        if sure.endswith(stop[:length])
    )
    return sure[: len(sure) - max(begun, default=0)]
