"""Where a stop string ends an answer: at the first token that completes one."""

from collections.abc import Sequence

from hax_jax.data import text

_BROKEN = '\ufffd'  # what a decoder shows for the first bytes of a character


def find(
    tokenizer: text.Decoder,
    ids: list[int],
    stops: Sequence[str],
    *,
    stem: list[int],
    seen: int,
    min_new_tokens: int,
) -> tuple[int, str] | None:
    """How many of `ids` complete the first stop string, and the text before it.

    The text is that of stem and ids; a stop string must reach beyond the stem and the
    first `min_new_tokens` - 1 ids. `seen` ids were looked at before, and had none. What
    is found does not depend on how many ids there are behind it.
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
    """The part of a growing text that no later token can take back.

    'Ask her. QUES' with the stop string 'QUESTION:' -> 'Ask her. '.
    """
    sure = text_so_far.rstrip(_BROKEN)
    begun = (  # how much of a stop string the text ends with
        length
        for stop in stops
        for length in range(1, len(stop))
        if sure.endswith(stop[:length])
    )
    return sure[: len(sure) - max(begun, default=0)]
