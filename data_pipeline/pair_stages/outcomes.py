"""What can become of a pair in a stage, and how its ledger shows it."""

import dataclasses

from hax_jax.data import records

EXCERPT = 160  # characters of a text that an example shows
_AROUND = 40  # characters shown on either side of a change


@dataclasses.dataclass(frozen=True)
class Change:
    """One thing that a stage did to one field of a pair, `times` times."""

    name: str
    field: str
    before: str
    after: str
    times: int = 1


@dataclasses.dataclass(frozen=True)
class Note:
    """Something to know of a pair that goes on as it is."""

    name: str
    text: str


@dataclasses.dataclass(frozen=True)
class Kept:
    """A pair that goes on, with all that was done to it."""

    pair: records.QaPair
    changes: tuple[Change, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclasses.dataclass(frozen=True)
class Dropped:
    """Why a pair goes no further; `detail` is what its example says of it."""

    reason: str
    detail: str = ''


Outcome = Kept | Dropped


def excerpt(text: str) -> str:
    """The text's beginning, marked where it goes on."""
    return text if len(text) <= EXCERPT else text[:EXCERPT] + '…'


def difference(before: str, after: str) -> tuple[str, str]:
    """What differs in two texts, with a little of what stands around it.

    ('I *do* care', 'I do care') are shown whole; of long texts, the places that differ.
    """
    head = _shared(before, after)
    tail = _shared(before[head:][::-1], after[head:][::-1])
    start = max(0, head - _AROUND)

    def shown(text: str) -> str:
        stop = min(len(text), len(text) - tail + _AROUND)
        lead, trail = '…' * (start > 0), ''
        if stop - start > 2 * EXCERPT:
            stop, trail = start + 2 * EXCERPT, '…'
        return lead + text[start:stop] + (trail or '…' * (stop < len(text)))

    return shown(before), shown(after)


def _shared(one: str, other: str) -> int:
    """How many characters the two texts begin with in common."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
