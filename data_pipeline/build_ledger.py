"""The account of a build: what was read, what became of it, in words and in JSON."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from data_pipeline import dataset, settings
from data_pipeline.all_pairs import pair_store
from data_pipeline.pair_stages import stage_ledger
from data_pipeline.preparing import preparation
from data_pipeline.reading import inputs, sources
from hax_jax.config import convert
from hax_jax.data import records


@dataclasses.dataclass
class Account:
    """What was read so far, and what became of it."""

    report: sources.ReadReport = dataclasses.field(default_factory=sources.ReadReport)
    by_source: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    ledger: stage_ledger.Ledger = dataclasses.field(default_factory=stage_ledger.Ledger)


def portable_names(paths: Mapping[str, str]) -> dict[str, str]:
    """For each file's name its path below the folder that all of them share.

    /home/ann/corpus/chats/a.md and /home/ann/corpus/reddit/b.md -> chats/a.md and
    reddit/b.md: a corpus has the same records and hashes wherever it lies.
    """
    here = pathlib.Path.cwd()
    absolute = {
        name: pathlib.Path(os.path.normpath(here / path))
        for name, path in paths.items()
    }
    if not absolute:
        return {}
    shared = os.path.commonpath([path.parent for path in absolute.values()])
    return {
        name: whole.relative_to(shared).as_posix() for name, whole in absolute.items()
    }


def make(
    account: Account,
    store: pair_store.PairStore,
    gathered: preparation.Gathered,
    names: dict[str, str],
    chosen: settings.Settings,
) -> dict[str, Any]:
    """The ledger: every pair that was read is in one split or dropped with its reason.

    Raises:
      ValueError: it does not add up, which is a defect of ours.
    """
    report = account.report
    dropped = {
        reason: {'pairs': count}
        for reason, count in store.rows(
            'SELECT reason, count(*) FROM (SELECT reason FROM never UNION ALL '
            'SELECT reason FROM gone) GROUP BY reason ORDER BY reason'
        )
    }
    kept: dict[str, dict[str, Any]] = {
        name: {'pairs': 0, 'by_source': {}} for name in records.SPLITS
    }
    for name, source, count in store.rows(
        'SELECT split, source, count(*) FROM kept JOIN home USING (grp) GROUP BY ALL '
        'ORDER BY ALL'
    ):
        kept[name]['pairs'] += count
        kept[name]['by_source'][source] = count
    num_read = account.by_source.total()
    num_dropped = sum(row['pairs'] for row in dropped.values())
    num_kept = sum(split['pairs'] for split in kept.values())
    if num_read != num_dropped + num_kept or num_read != sum(report.files.values()):
        raise ValueError(
            f'{num_read} pairs were read (the files are said to hold '
            f'{sum(report.files.values())}), {num_kept} kept and {num_dropped} dropped.'
        )

    def without_paths(line: str) -> str:
        for path in sorted(names, key=len, reverse=True):
            line = line.replace(path, names[path])
        return line

    return {
        'schema': dataset.SCHEMA,
        'pairs': {'read': num_read, 'dropped': num_dropped, 'kept': num_kept},
        'read': {
            'by_source': dict(sorted(account.by_source.items())),
            'by_file': {
                names.get(path, path): count for path, count in report.files.items()
            },
            'counts': report.counts,
            'unknown_lines': [without_paths(line) for line in report.unknown_lines],
            'warnings': [without_paths(line) for line in report.warnings],
        },
        'dropped': dropped,
        'stages': account.ledger.as_json(),
        'gathered': gathered.account,
        'kept': kept,
        'notes': gathered.notes,
        'settings': convert.to_dict(chosen),
    }


def summary(ledger: dict[str, Any]) -> str:
    """What was read, dropped and kept, for people."""
    lines = []
    pairs = ledger['pairs']
    lines.append(f'read {_counted(pairs["read"], ledger["read"]["by_source"])}')
    reasons = {reason: row['pairs'] for reason, row in ledger['dropped'].items()}
    lines.append(f'dropped {_counted(pairs["dropped"], reasons)}')
    for name, row in ledger['kept'].items():
        lines.append(f'{name} {_counted(row["pairs"], row["by_source"])}')
    lines += [f'note: {note}' for note in ledger['notes']]
    return '\n'.join(lines)


def described(
    each: sources.Input, names: dict[str, str], report: sources.ReadReport
) -> dict[str, Any]:
    """What the manifest says of an input: its bytes, or the version of a data set."""
    facts: dict[str, Any] = {'file': names.get(each.name, each.name)}
    if each.path:
        facts['sha256'] = inputs.sha256(each)
    else:
        facts['version'] = each.version
    if each.fields is not None:
        facts['fields'] = str(each.fields)
    return {**facts, 'pairs': report.files.get(each.name, 0)}


def _counted(total: int, parts: dict[str, int]) -> str:
    """Counts in words, forums of one kind of source together.

    3, {'chat': 1, 'reddit:a': 1, 'reddit:b': 1} -> '3 pairs (1 chat, 2 reddit)'
    """
    kinds: collections.Counter[str] = collections.Counter()
    for name, count in parts.items():
        kinds[records.kind(name)] += count
    words = f'{total:,} pair' + 's' * (total != 1)
    if kinds:
        words += f' ({", ".join(f"{count:,} {kind}" for kind, count in kinds.items())})'
    return words
