"""A build: inputs read in batches, prepared anywhere, gathered, written."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from data_pipeline import build_ledger, dataset, settings
from data_pipeline.all_pairs import pair_store, split
from data_pipeline.preparing import (
    batch_work,
    beam_map,
    beam_pipeline,
    preparation,
    worker_map,
)
from data_pipeline.reading import sources
from hax_jax import errors
from hax_jax.data import records, text
from hax_jax.program import progress


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


def run(
    patterns: Sequence[str],
    output: pathlib.Path,
    chosen: settings.Settings,
    *,
    shares: Mapping[str, float],
    options: Options,
) -> dict[str, Any]:
    """Makes the dataset, prints what became of each pair and returns its manifest.

    Raises:
      InputError: what was given cannot be read, split or written; nothing is made.
    """
    split.check_shares(shares)
    dataset.check_output(output, overwrite=options.overwrite)
    found = sources.find(patterns, fields=options.fields)
    for line in sources.describe(found):
        print(line)
    names = build_ledger.portable_names(
        {each.name: each.path for each in found if each.path}
    )
    _check_places(found, output)
    account = build_ledger.Account()
    for stage in preparation.sequence(chosen):  # what it can't load is said at once
        account.ledger.open(stage.name)
    with pair_store.beside(output) as store:
        _prepare(found, names, chosen, store, account, options=options)
        sources.check_pairs(account.report)
        print(account.report.summary())
        for warning in account.report.warnings:
            print(f'warning: {warning}')
        _say_unscored(account, chosen)
        print(f'comparing {store.count:,} pairs ...', flush=True)
        gathered = preparation.gather(store, chosen, account.ledger, shares=shares)
        print(account.ledger.summary())
        ledger = build_ledger.make(account, store, gathered, names, chosen)
        print(build_ledger.summary(ledger))
        store.shrink()
        print(f'writing {output} ...', flush=True)
        return dataset.write(
            output,
            {name: _shown(store.pairs(name), name, ledger) for name in records.SPLITS},
            sources=[
                build_ledger.described(each, names, account.report) for each in found
            ],
            split_rule={'shares': dict(shares), 'salt': split.SALT},
            ledger=ledger,
            dropped=(dataclasses.asdict(each) for each in store.gone()),
            tokenizer=_tokenizer(chosen),
            chat=options.chat,
            system=options.system,
            beam=options.beam,
            overwrite=options.overwrite,
        )


def _check_places(found: list[sources.Input], output: pathlib.Path) -> None:
    for each in found:
        path = pathlib.Path(each.path)
        if each.path and path.resolve().is_relative_to(output.resolve()):
            raise errors.InputError(
                f'{path} lies in --output={output}, which would be replaced with all '
                'that is in it; move the file or give another --output.'
            )


def _prepare(
    found: list[sources.Input],
    names: dict[str, str],
    chosen: settings.Settings,
    store: pair_store.PairStore,
    account: build_ledger.Account,
    *,
    options: Options,
) -> None:
    """Reads and prepares every batch, and puts what comes of it into the store."""
    taken: collections.deque[sources.Batch] = collections.deque()
    work = batch_work.Work(chosen, tuple(sorted(names.items())))

    def noted() -> Iterator[sources.Batch]:
        for batch in sources.batches(found):
            taken.append(batch)
            yield batch

    if options.beam is not None:
        results = beam_map.ordered(
            work,
            noted(),
            options=options.beam,
            beside=store.folder,
            encode=batch_work.to_json,
            decode=batch_work.from_json,
        )
    else:
        results = worker_map.ordered(
            work, noted(), num_workers=options.num_workers or _worth(found)
        )
    sizes = {each.name: _size(each) for each in found}
    with progress.Progress('preparing', sum(sizes.values()), 'byte') as shown:
        for done in results:
            batch = taken.popleft()
            account.report.add(batch, done.read)
            account.by_source += done.by_source
            account.ledger.merge(done.ledger)
            store.add(done.rows)
            store.leave_out(done.gone)
            # A batch of lines is a part of its file, any other all of it.
            size = batch.end - batch.start or sizes[batch.name]
            shown.add(size, f'{account.by_source.total():,} pairs')


def _say_unscored(account: build_ledger.Account, chosen: settings.Settings) -> None:
    """Says how many pairs a least score is not asked of: they have no votes."""
    others = sum(
        count
        for source, count in account.by_source.items()
        if records.kind(source) != 'reddit'
    )
    if chosen.quality.min_score and others:
        print(
            f'note: quality.min_score is asked of Reddit alone, not of {others:,} '
            'pairs of other sources (source="reddit" in --fields makes rows Reddit\'s).'
        )


def _size(each: sources.Input) -> int:
    """Bytes of a file, 0 of a named dataset."""
    path = pathlib.Path(each.path)
    return path.stat().st_size if each.path and path.is_file() else 0


def _worth(found: list[sources.Input]) -> int:
    """One worker for little, else one for each core."""
    small = sum(map(_size, found)) < _SMALL_BYTES
    return 1 if small else os.cpu_count() or 1


def _shown(
    pairs: Iterable[records.QaPair], name: str, ledger: dict[str, Any]
) -> Iterator[records.QaPair]:
    """The pairs, while it is shown how many of a split are written."""
    total = ledger['kept'][name]['pairs']
    with progress.Progress(f'writing {name}', total, 'pair') as shown:
        for pair in pairs:
            yield pair
            shown.add('#' not in pair.id)


def _tokenizer(chosen: settings.Settings) -> text.Tokenizer | None:
    """The tokenizer that lengths are counted in, for the report."""
    name = chosen.quality.tokenizer
    return text.load_tokenizer(name) if name else None
