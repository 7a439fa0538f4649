"""What is done to one batch of an input, by whichever process or machine has it.

    done = batch_work.Work(chosen, names)(batch)

Done in any number of processes, the results, taken in the order of the batches, are
those of one.
"""

import collections
import dataclasses
import functools
from typing import Any

from data_pipeline import settings
from data_pipeline.all_pairs import facts, pair_store
from data_pipeline.pair_stages import stage_ledger, stages
from data_pipeline.preparing import preparation
from data_pipeline.reading import sources


@dataclasses.dataclass(frozen=True)
class Done:
    """A batch's rows and pairs that were dropped, and an account of both."""

    read: sources.BatchRead
    by_source: collections.Counter[str]
    rows: list[facts.Row]
    gone: list[pair_store.Gone]
    ledger: stage_ledger.Ledger


@dataclasses.dataclass(frozen=True)
class Work:
    """Reads and prepares batches; `names` says what a dataset calls each file."""

    chosen: settings.Settings
    names: tuple[tuple[str, str], ...]

    def __call__(self, batch: sources.Batch) -> Done:
        names = dict(self.names)
        read = sources.read_batch(batch)
        pairs = [
            dataclasses.replace(pair, file=names.get(pair.file, pair.file))
            for pair in read.pairs
        ]
        ledger = stage_ledger.Ledger()
        rows, gone = preparation.each(
            pairs, _sequence(self.chosen), self.chosen, ledger
        )
        return Done(
            read.without_pairs(),
            collections.Counter(pair.source for pair in pairs),
            rows,
            gone,
            ledger,
        )


def to_json(done: Done) -> dict[str, Any]:
    """The result in JSON's types."""
    return {
        'read': done.read.to_json(),
        'by_source': done.by_source,
        'rows': [facts.to_json(row) for row in done.rows],
        'gone': [dataclasses.asdict(each) for each in done.gone],
        'ledger': done.ledger.as_json(keys=True),
    }


def from_json(values: dict[str, Any]) -> Done:
    """The result that `to_json` wrote."""
    return Done(
        sources.BatchRead.from_json(values['read']),
        collections.Counter(values['by_source']),
        [facts.from_json(row) for row in values['rows']],
        [pair_store.Gone(**each) for each in values['gone']],
        stage_ledger.Ledger.from_json(values['ledger']),
    )


@functools.cache
def _sequence(chosen: settings.Settings) -> list[stages.Stage]:
    """Made once a process: a language model and a tokenizer are in it."""
    return preparation.sequence(chosen)
