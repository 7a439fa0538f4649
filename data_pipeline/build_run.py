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
    stages_known = preparation.sequence(chosen)  # what it can't load is said at once
    found = sources.inputs(patterns, fields=options.fields)
    names = portable_names([each.path for each in found.files])
    for path in names:
        if pathlib.Path(path).resolve().is_relative_to(output.resolve()):
            raise config.InputError(
                f'{path} lies in --output={output}, which would be replaced with all '
                'that is in it; move the file or give another --output.'
            )
    account = Account()
    for stage in stages_known:
        account.ledger.open(stage.name)
    with _work_folder(output) as folder, pair_store.PairStore(folder) as store:
        _prepare(found, names, chosen, store, account, options=options, output=output)
        _say(account)
        gathered = preparation.gather(store, chosen, account.ledger, shares=shares)
        print(account.ledger.summary())
        ledger = _ledger(account, store, gathered, names, chosen)
        print(summary(ledger))
        print(f'writing {output} ...', flush=True)
        manifest = dataset.write(
            output,
            {name: lambda name=name: store.pairs(name) for name in records.SPLITS},
            sources=[each.described(names) for each in found.described(account.report)],
            split_rule={'shares': dict(shares), 'salt': split.SALT},
            ledger=ledger,
            dropped=(dataclasses.asdict(each) for each in store.gone()),
            tokenizer=_tokenizer(chosen),
            chat=options.chat,
            system=options.system,
            beam=options.beam,
            overwrite=options.overwrite,
        )
    return manifest
