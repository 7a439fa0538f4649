"""Nested parts of a training split: whole groups, each source in proportion."""

import collections
import hashlib
from collections.abc import Mapping, Sequence

from hax_jax import counted


def nested(
    groups: Mapping[str, tuple[str, int]], shares: Sequence[float], *, seed: int
) -> dict[float, set[str]]:
    """Share -> the groups in it; each share holds those of all smaller shares.

    `groups` maps a group to its source and its size, such as characters of answers.
    Within a source groups are ordered by a hash of `seed` and their name, and a group
    is in a share that reaches its middle: of groups of equal size a, b, c, d in that
    order, a half has a and b, a quarter has a. A source's only group is in from a half
    on.
    """
    by_source = collections.defaultdict(list)
    for group, (source, size) in groups.items():
        by_source[source].append((_key(seed, group), group, size))
    chosen: dict[float, set[str]] = {share: set() for share in shares}
    for members in by_source.values():
        total, before = sum(size for *_, size in members), 0
        for _, group, size in sorted(members):
            middle = (before + size / 2) / total if total else 0.0
            before += size
            for share in shares:
                if middle <= share:
                    chosen[share].add(group)
    return chosen


def _key(seed: int, group: str) -> str:
    return hashlib.sha256(f'{seed}/{group}'.encode()).hexdigest()


def absent(
    groups: Mapping[str, tuple[str, int]], chosen: Mapping[float, set[str]]
) -> list[str]:
    """A sentence for each source that a share has nothing of."""
    lines = []
    for source in sorted({source for source, _ in groups.values()}):
        own = {group for group, (of, _) in groups.items() if of == source}
        without = sorted(share for share, part in chosen.items() if not own & part)
        if without:
            named = ', '.join(f'{share:.3g}' for share in without)
            lines.append(
                f'{source} has {counted.of(len(own), "groups")}, none in the share of '
                f'{named}: that part knows nothing of this source, so data looks more '
                'useful than it is'
            )
    return lines
