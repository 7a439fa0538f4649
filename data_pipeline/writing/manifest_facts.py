"""The manifest's entry for each split, gathered as its pairs pass by.

Keeps 16 bytes for each pair: a hash of its id and one of its group (8 bytes less where
the pair before has the same group). The checks at the end need 24 bytes.
"""

import array
import collections
import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from data_pipeline.compared import described_pairs, packed_rows
from hax_jax.data import records


class SplitFacts:
    """The counts, the hash and the identities of the pairs of one split, in order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._by_source: collections.Counter[str] = collections.Counter()
        self._ids = array.array('Q')
        self._groups = array.array('Q')

    def add(self, some: described_pairs.Described) -> None:
        self._digest.update(b''.join(some.lines))
        self._by_source.update(some.sources)
        self._ids.extend(some.id_hashes)
        # Pairs of a group follow one another.
        self._groups.extend(group for group, _ in itertools.groupby(some.group_hashes))

    def ids(self) -> np.ndarray:
        """[pairs] uint64, a hash an id."""
        return np.array(self._ids, np.uint64)

    def groups(self) -> np.ndarray:
        """[groups] uint64, a hash a group, each once."""
        return np.unique(np.array(self._groups, np.uint64))

    def as_json(self) -> dict[str, Any]:
        """The split's entry in the manifest."""
        return {
            'pairs': len(self._ids),
            'groups': len(self.groups()),
            'by_source': dict(sorted(self._by_source.items())),
            'sha256': self._digest.hexdigest(),
        }


def check(
    facts: Mapping[str, SplitFacts], reread: Callable[[str], Iterator[records.QaPair]]
) -> None:
    """Raises ValueError (a defect of this program) if two splits share a pair or group.

    Where hashes are equal, compares the names themselves: `reread` gives the pairs of a
    split once more.
    """
    ids = _twice([each.ids() for each in facts.values()])
    groups = _twice([each.groups() for each in facts.values()])
    if not ids and not groups:
        return
    home: dict[str, str] = {}
    seen = set()
    for name, each in facts.items():
        if not each.as_json()['pairs']:
            continue
        for pair in reread(name):
            suspect = packed_rows.name_hash(pair.group) in groups
            if suspect and home.setdefault(pair.group, name) != name:
                raise ValueError(
                    f'group {pair.group!r} is in {home[pair.group]} and in {name}.'
                )
            if packed_rows.name_hash(pair.id) in ids:
                if pair.id in seen:
                    raise ValueError(f'pair {pair.id!r} is there twice.')
                seen.add(pair.id)


def _twice(hashes: list[np.ndarray]) -> set[int]:
    together = np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)
    together.sort()
    return set(together[1:][together[1:] == together[:-1]].tolist())
