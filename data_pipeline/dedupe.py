"""Exact duplicates out: the same Reddit post, or the same text."""

import collections.abc
import dataclasses

from hax_jax import records


@dataclasses.dataclass(frozen=True)
class Duplicate:
    """A pair that was dropped: its id, the id kept in its place, and why."""

    id: str
    kept_id: str
    reason: str


def exact(
    pairs: collections.abc.Sequence[records.QaPair],
) -> tuple[list[records.QaPair], list[Duplicate]]:
    """The pairs without exact duplicates, in their order, and what was dropped."""
    raise NotImplementedError
