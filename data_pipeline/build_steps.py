"""The steps of a build: read and prepare batches, compare all pairs, write."""

import collections
import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from data_pipeline import build_ledger, dataset, settings
from data_pipeline.all_pairs import all_steps, caps_and_weights, pair_store, split
from data_pipeline.compared import described_pairs
from data_pipeline.pair_stages import stage_ledger
from data_pipeline.preferences import choosing
from data_pipeline.preparing import (
    batch_cache,
    beam_map,
    beam_pipeline,
    prepare_batch,
    worker_map,
)
from data_pipeline.reading import (
    file_names,
    inputs,
    one_input,
    path_patterns,
    read_report,
    reader,
)
from data_pipeline.rows import batches
from hax_jax import counted, errors
from hax_jax.data import records, text
from hax_jax.program import progress

_LESS_MB = pair_store.MEMORY_MB // 2
_SMALL_BYTES = 20 * 2**20  # less than that is not worth the start of workers


@dataclasses.dataclass(frozen=True)
class Options:
    """Where a build runs, and the files it writes beside the dataset.

    `num_workers` 0 is one for small inputs, else one for each core. With `beam`,
    Apache Beam prepares the batches and writes TFDS's files. `preferences` writes
    preference pairs too. `skip_unreadable` goes on
    without the files that give nothing. `cache` is the folder in which the results of
    batches stay for the next build, `cache_bytes` its largest size at the end.
    """

    fields: tuple[str, ...] = ()
    num_workers: int = 0
    beam: beam_pipeline.Options | None = None
    chat: bool = False
    system: str = ''
    preferences: bool = False
    skip_unreadable: bool = False
    overwrite: bool = False
    cache: pathlib.Path | None = None
    cache_bytes: int = 10 * 10**9


def run(
    patterns: Sequence[str],
    output: pathlib.Path,
    chosen: settings.Settings,
    *,
    shares: Mapping[str, float],
    options: Options,
) -> dict[str, Any]:
    """Makes the dataset, prints the counts of every step and returns its manifest.

    Raises:
      InputError: an input can't be read, split or written; then no dataset is made.
    """
    split.check_shares(shares)
    dataset.check_output(output, overwrite=options.overwrite)
    found = _inputs(patterns, output, chosen, options)
    portable = file_names.portable([each.path for each in found if each.path])
    names = {each.name: portable[each.path] for each in found if each.path}
    with pair_store.beside(output) as store:
        preferences = choosing.Preferences(store) if options.preferences else None
        read = _read(found, names, chosen, options, store, preferences)
        print(f'comparing {counted.of(store.count, "pairs")} ...', flush=True)
        store.limit_memory(pair_store.MEMORY_MB)
        account = all_steps.run(store, chosen, read.ledger, shares=shares)
        whole = build_ledger.make(
            store,
            read.report,
            read.by_source,
            read.ledger,
            account,
            names=names,
            chosen=chosen,
        )
        if preferences:
            lines = account.standing_lines
            whole['preferences'] = preferences.choose(
                chosen.preferences, standing_lines=lines
            )
        print(build_ledger.summary(whole))
        if options.beam is not None:
            store.limit_memory(_LESS_MB)  # TensorFlow takes 600 MB
        print(f'writing {output} ...', flush=True)
        tokenizer = chosen.quality.tokenizer
        return dataset.write(
            output,
            {
                name: _shown(store.described(name), name, whole)
                for name in records.SPLITS
            },
            sources=[_described(each, names, read.report) for each in found],
            split_rule={'shares': dict(shares), 'salt': split.SALT},
            ledger=whole,
            dropped=map(vars, store.gone()),
            tokenizer=text.load_tokenizer(tokenizer) if tokenizer else None,
            preferences=preferences.of if preferences else None,
            chat=options.chat,
            system=options.system,
            beam=options.beam,
            overwrite=options.overwrite,
        )


def _inputs(
    patterns: Sequence[str],
    output: pathlib.Path,
    chosen: settings.Settings,
    options: Options,
) -> list[one_input.Input]:
    """The inputs, which are described in print.

    Raises:
      InputError: an input can't be read, lies in `output`, or has no source of a name
        in the settings.
    """
    found = inputs.find(
        patterns, fields=options.fields, skip_unreadable=options.skip_unreadable
    )
    if sources := inputs.sources(found):
        caps_and_weights.check_names(chosen.mix, sources)
    for line in (
        *path_patterns.folders_left_out(patterns, [e.path for e in found if e.path]),
        *inputs.describe(found, preferences=options.preferences),
    ):
        print(line)
    if chosen.preferences != settings.PreferenceSettings() and not options.preferences:
        print('note: the settings of preferences have no effect without --preferences.')
    for each in found:
        path = pathlib.Path(each.path)
        if each.path and path.resolve().is_relative_to(output.resolve()):
            raise errors.InputError(
                f'{path} lies in --output={output}, which would be replaced with all '
                'its files; move the file or give another --output.'
            )
    return found


@dataclasses.dataclass(frozen=True)
class _Read:
    """The accounts of reading and of the stages of one pair, and pairs by source."""

    report: read_report.ReadReport
    ledger: stage_ledger.Ledger
    by_source: collections.Counter[str]


def _read(
    found: list[one_input.Input],
    names: dict[str, str],
    chosen: settings.Settings,
    options: Options,
    store: pair_store.PairStore,
    preferences: choosing.Preferences | None,
) -> _Read:
    """Puts the prepared pairs of all inputs into the store; prints what was read."""
    report, ledger = read_report.ReadReport(), stage_ledger.Ledger()
    by_source: collections.Counter[str] = collections.Counter()
    for stage in prepare_batch.sequence(chosen):  # fails at once on a wrong setting
        ledger.open(stage.name)
    cache = None
    if options.cache and not options.beam:
        cache = batch_cache.opened(options.cache, chosen, names)
    store.limit_memory(_LESS_MB)  # while there are workers beside it
    for batch, done in _prepared(
        found,
        names,
        chosen,
        store.folder,
        num_workers=_num_workers(found, options),
        beam=options.beam,
        cache=cache,
        preferences=options.preferences,
    ):
        report.add(batch, done.read)
        by_source += done.read.sources
        ledger.merge(done.ledger)
        store.add(done.rows)
        store.leave_out(done.gone)
        if preferences:
            preferences.add(done.answer_sides)
    if cache:
        print(cache.summary(most_bytes=options.cache_bytes))
    report.check_pairs(skip_unreadable=options.skip_unreadable)
    print(report.summary())
    for line in report.left_out():
        print(line)
    for warning in read_report.folded(report.warnings, report.files):
        print(f'warning: {warning}')
    _say_unscored(by_source, chosen)
    return _Read(report, ledger, by_source)


def _prepared(
    found: list[one_input.Input],
    names: dict[str, str],
    chosen: settings.Settings,
    folder: pathlib.Path,
    *,
    num_workers: int,
    beam: beam_pipeline.Options | None,
    cache: batch_cache.Cache | None,
    preferences: bool,
) -> Iterator[tuple[batches.Batch, prepare_batch.Prepared]]:
    """Each batch of the inputs with its result, in order, with a progress bar."""
    taken: collections.deque[batches.Batch] = collections.deque()
    prepare = functools.partial(prepare_batch.prepare, chosen=chosen, names=names)

    def noted() -> Iterator[batches.Batch]:
        for batch in reader.batches_of(found, preferences=preferences):
            taken.append(dataclasses.replace(batch, rows=()))  # they may be many
            yield batch

    sizes = {each.name: _size(each) for each in found}
    if beam is not None:
        results = beam_map.ordered(
            prepare,
            noted(),
            result_type=prepare_batch.Prepared,
            options=beam,
            beside=folder,
        )
    elif cache is None:
        results = worker_map.ordered(prepare, noted(), num_workers=num_workers)
    else:
        results = worker_map.ordered(
            cache.prepare, noted(), num_workers=num_workers, known=cache.known
        )
    num_pairs = 0
    with progress.Progress('preparing', sum(sizes.values()), 'byte') as shown:
        for done in results:
            batch = taken.popleft()
            yield batch, done
            num_pairs += done.read.num_pairs
            # A batch of lines is a part of its file, any other batch all of it.
            size = batch.end - batch.start or sizes[batch.name]
            shown.add(size, f'{num_pairs:,} pairs')


def _num_workers(found: list[one_input.Input], options: Options) -> int:
    small = sum(map(_size, found)) < _SMALL_BYTES
    return options.num_workers or (1 if small else os.cpu_count() or 1)


def _size(each: one_input.Input) -> int:
    """Bytes of a file's text, 0 of a named dataset."""
    return each.size


def _say_unscored(by_source: Mapping[str, int], chosen: settings.Settings) -> None:
    """Prints how many pairs have no votes, so that no least score applies to them."""
    others = sum(
        count for name, count in by_source.items() if records.kind(name) != 'reddit'
    )
    if chosen.quality.min_score and others:
        print(
            f'note: quality.min_score is asked of Reddit alone, not of {others:,} '
            'pairs of other sources (source="reddit" in --fields makes rows Reddit\'s).'
        )


def _described(
    each: one_input.Input, names: dict[str, str], report: read_report.ReadReport
) -> dict[str, Any]:
    """An input's entry in the manifest: its hash, or the version of a named dataset."""
    facts: dict[str, Any] = {'file': names.get(each.name, each.name)}
    if each.path:
        facts['sha256'] = inputs.sha256(each)
    else:
        facts['version'] = each.version
    if each.fields is not None:
        facts['fields'] = str(each.fields)
    return {**facts, 'pairs': report.files.get(each.name, 0)}


def _shown(
    pairs: Iterable[described_pairs.Described], name: str, ledger: dict[str, Any]
) -> Iterator[described_pairs.Described]:
    """The pairs of a split, with a progress bar while they are written."""
    total = ledger['kept'][name]['pairs'] + ledger['kept'][name]['copies']
    with progress.Progress(f'writing {name}', total, 'pair') as shown:
        for some in pairs:
            yield some
            shown.add(len(some))
