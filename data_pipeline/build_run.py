"""A build: inputs read in batches, prepared anywhere, gathered, written."""

import collections
import collections.abc
import contextlib
import dataclasses
import os
import pathlib
from typing import Any

import tqdm

from data_pipeline import (
    batch_work,
    beam_map,
    beam_pipeline,
    dataset,
    pair_store,
    preparation,
    settings,
    sources,
    split,
    stage_ledger,
    worker_map,
)
from data_pipeline.inputs import sha256 as inputs_sha
from hax_jax import config, files, records, text


@dataclasses.dataclass(frozen=True)
class Options:
    """Where a build runs and what it writes beside the dataset.

    `num_workers` 0 is one for small inputs, else one for each core. With `beam` the
    batches are prepared, and TFDS's files written, by its pipelines.
    """

    fields: tuple[str, ...] = ()
    num_workers: int = 0
    beam: beam_pipeline.Options | None = None
    chat: bool = False
    system: str = ''
    overwrite: bool = False


_SMALL_BYTES = 20 * 2**20  # a worker takes seconds to start


@dataclasses.dataclass
class Account:
    """What was read so far, and what became of it."""

    report: sources.ReadReport = dataclasses.field(default_factory=sources.ReadReport)
    by_source: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    ledger: stage_ledger.Ledger = dataclasses.field(default_factory=stage_ledger.Ledger)


def run(
    patterns: collections.abc.Sequence[str],
    output: pathlib.Path,
    chosen: settings.Settings,
    *,
    shares: collections.abc.Mapping[str, float],
    options: Options,
) -> dict[str, Any]:
    """Makes the dataset, prints what became of each pair and returns its manifest.

    Raises:
      InputError: what was given cannot be read, split or written; nothing is made.
    """
    split.check_shares(shares)
    dataset.check_output(output, overwrite=options.overwrite)
    found = sources.find(patterns)
    names = portable_names({each.name: each.path for each in found if each.path})
    _check_places(found, output)
    account = Account()
    for stage in preparation.sequence(chosen):  # what it can't load is said at once
        account.ledger.open(stage.name)
    with _work_folder(output) as folder, pair_store.PairStore(folder) as store:
        _prepare(found, names, chosen, store, account, options=options, folder=folder)
        sources.check_pairs(account.report)
        print(account.report.summary())
        for warning in account.report.warnings:
            print(f'warning: {warning}')
        gathered = preparation.gather(store, chosen, account.ledger, shares=shares)
        print(account.ledger.summary())
        ledger = _ledger(account, store, gathered, names, chosen)
        print(summary(ledger))
        print(f'writing {output} ...', flush=True)
        return dataset.write(
            output,
            {name: store.pairs(name) for name in records.SPLITS},
            sources=[_described(each, names, account.report) for each in found],
            split_rule={'shares': dict(shares), 'salt': split.SALT},
            ledger=ledger,
            dropped=(dataclasses.asdict(each) for each in store.gone()),
            tokenizer=_tokenizer(chosen),
            chat=options.chat,
            system=options.system,
            beam=options.beam,
            overwrite=options.overwrite,
        )


def portable_names(paths: collections.abc.Mapping[str, str]) -> dict[str, str]:
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


def _check_places(found: list[sources.Input], output: pathlib.Path) -> None:
    for each in found:
        path = pathlib.Path(each.path)
        if each.path and path.resolve().is_relative_to(output.resolve()):
            raise config.InputError(
                f'{path} lies in --output={output}, which would be replaced with all '
                'that is in it; move the file or give another --output.'
            )


def _prepare(
    found: list[sources.Input],
    names: dict[str, str],
    chosen: settings.Settings,
    store: pair_store.PairStore,
    account: Account,
    *,
    options: Options,
    folder: pathlib.Path,
) -> None:
    """Reads and prepares every batch, and puts what comes of it into the store."""
    taken: collections.deque[sources.Batch] = collections.deque()
    work = batch_work.Work(chosen, tuple(sorted(names.items())))

    def noted() -> collections.abc.Iterator[sources.Batch]:
        for batch in sources.batches(found):
            taken.append(batch)
            yield batch

    if options.beam is not None:
        results = beam_map.ordered(
            work,
            noted(),
            options=options.beam,
            beside=folder,
            encode=batch_work.to_json,
            decode=batch_work.from_json,
        )
    else:
        results = worker_map.ordered(
            work, noted(), num_workers=options.num_workers or _worth(found)
        )
    with tqdm.tqdm(unit='pair', desc='preparing', disable=None, leave=False) as bar:
        for done in results:
            account.report.add(taken.popleft(), done.read)
            account.by_source += done.by_source
            account.ledger.merge(done.ledger)
            store.add(done.rows)
            store.leave_out(done.gone)
            bar.update(len(done.rows) + len(done.gone))


def _worth(found: list[sources.Input]) -> int:
    """One worker for little, else one for each core."""
    paths = [pathlib.Path(each.path) for each in found]
    size = sum(path.stat().st_size for path in paths if path.is_file())
    return 1 if size < _SMALL_BYTES else os.cpu_count() or 1


def _described(
    each: sources.Input, names: dict[str, str], report: sources.ReadReport
) -> dict[str, Any]:
    """What the manifest says of an input."""
    return {
        'file': names.get(each.name, each.name),
        'sha256': inputs_sha(each.path),
        'pairs': report.files.get(each.name, 0),
    }


def _ledger(
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
        'settings': settings.to_dict(chosen),
    }


def _tokenizer(chosen: settings.Settings) -> text.Tokenizer | None:
    """The tokenizer that lengths are counted in, for the report."""
    name = chosen.quality.tokenizer
    return text.load_tokenizer(name) if name else None


@contextlib.contextmanager
def _work_folder(output: pathlib.Path) -> collections.abc.Iterator[pathlib.Path]:
    try:
        with files.work_folder(output) as folder:
            yield folder
    except files.LockedError as error:
        raise config.InputError(
            f'another build of --output={output} is running; wait for it or give '
            'another --output.'
        ) from error


def _counted(total: int, parts: dict[str, int]) -> str:
    """Counts in words, forums of one kind of source together.

    3, {'chat': 1, 'reddit:a': 1, 'reddit:b': 1} -> '3 pairs (1 chat, 2 reddit)'
    """
    kinds: collections.Counter[str] = collections.Counter()
    for name, count in parts.items():
        kinds[name.partition(':')[0]] += count
    words = f'{total:,} pair' + 's' * (total != 1)
    if kinds:
        words += f' ({", ".join(f"{count:,} {kind}" for kind, count in kinds.items())})'
    return words
