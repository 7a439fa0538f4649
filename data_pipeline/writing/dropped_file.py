"""dropped.jsonl: a line for each dropped pair, and a tally of them."""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from data_pipeline.writing import stream_counts
from hax_jax import digests, errors, files, local_copy
from hax_jax.data import records

NAME = 'dropped.jsonl'
_SORTED = msgspec.json.Encoder(order='sorted')
DIGEST = 'dropped_sha256'  # of the ledger
_CLUSTERS = 5
_NAMED = 6  # ids of a cluster


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A kept pair, the number of pairs dropped for it, and the first of their ids."""

    kept_id: str
    num_dropped: int
    ids: list[str]


def read(path: str | pathlib.Path) -> Iterator[dict[str, Any]]:
    """The rows of a dataset's folder, one by one.

    Raises:
      InputError: there is no such file, or a line of it is damaged.
    """
    file = local_copy.folder(path) / NAME
    try:
        opened = open(file, encoding='utf-8', errors='replace')  # noqa: SIM115
    except FileNotFoundError:
        raise errors.InputError(
            f'{file} is missing; copy it again, or build the dataset again.'
        ) from None
    with opened:
        for number, line in enumerate(opened, 1):
            try:
                row = json.loads(line)
                row['id'], row['reason']
            except (ValueError, TypeError, KeyError):
                raise errors.InputError(
                    f'{file}:{number} is damaged: it names no pair and no reason. Copy '
                    'the file again, or build the dataset again.'
                ) from None
            yield row


def is_as_written(path: str | pathlib.Path, ledger: str) -> bool:
    """Whether the file has the digest that the ledger beside it names, if it does."""
    folder = local_copy.folder(path)
    try:
        known = json.loads((folder / ledger).read_text(encoding='utf-8')).get(DIGEST)
    except (OSError, ValueError, AttributeError):
        return True  # of an older version, or copied alone
    return known in (None, digests.of_file(folder / NAME))


@dataclasses.dataclass(frozen=True)
class Tally:
    """The number of dropped pairs by reason, and the biggest clusters of duplicates."""

    total: int
    by_reason: dict[str, int]
    clusters: list[Cluster]


def write(path: pathlib.Path, rows: Iterable[dict[str, Any]]) -> Tally:
    """Writes the rows {'id': ..., 'kept_id': ..., 'reason': ...} in their order.

    `kept_id` is '' or missing where no other pair was kept instead.
    """
    reasons: collections.Counter[str] = collections.Counter()
    kept = stream_counts.TopCounts()

    def counted() -> Iterator[dict[str, Any]]:
        for row in rows:
            reasons[row['reason']] += 1
            if row.get('kept_id'):
                kept.add([row['kept_id']])
            yield row

    # The same text as `records.canonical_json`, of rows of texts alone.
    lines = (_SORTED.encode(row).decode() for row in counted())
    total = files.write_lines(path, lines)
    biggest = kept.top(_CLUSTERS)
    ids: dict[str, list[str]] = {kept_id: [] for kept_id, _ in biggest}
    marks = [f'"kept_id":{records.canonical_json(name)}' for name in ids]
    with open(path, encoding='utf-8') as file:
        for line in file:
            if not any(mark in line for mark in marks):
                continue  # without a look at its texts
            row = json.loads(line)
            of = ids[row['kept_id']]
            if len(of) < _NAMED:
                of.append(row['id'])
    return Tally(
        total,
        dict(sorted(reasons.items())),
        [Cluster(name, count, ids[name]) for name, count in biggest],
    )
