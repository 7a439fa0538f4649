"""One batch of an input: its pairs are read, put through the stages, made comparable.

Any process or machine may prepare a batch. The results, taken in the order of the
batches, are the same for any number of them.
"""

import dataclasses
import functools
from collections.abc import Mapping

from data_pipeline import settings
from data_pipeline.compared import compared_row, packed_rows
from data_pipeline.pair_stages import (
    cleaning,
    folding,
    personal_data,
    quality,
    quotes,
    stage_ledger,
    stages,
    word_runs,
)
from data_pipeline.preferences import sides
from data_pipeline.reading import reader
from data_pipeline.rows import batches
from hax_jax.data import records


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The rows and the dropped pairs of a batch, and the counts of both.

    `read` is the account of the reading, without its pairs. `answer_sides`
    are the answers for preferences, if the batch was read for them.
    """

    read: batches.BatchRead
    rows: packed_rows.Packed
    gone: list[packed_rows.Gone]
    ledger: stage_ledger.Ledger
    answer_sides: list[sides.Side] = dataclasses.field(default_factory=list)


@functools.cache
def sequence(chosen: settings.Settings) -> list[stages.Stage]:
    """The stages of one pair in their order; loads a language model and a tokenizer.

    Cleaning comes first, since it shows which links were only targets; quality judges
    the text that is left.

    Raises:
      InputError: a setting names an unknown tokenizer, region or language.
    """
    return [
        cleaning.stage(chosen.clean),
        personal_data.stage(chosen.personal_data),
        quality.stage(chosen.quality),
        quotes.stage(chosen.duplicates),
    ]


def prepare(
    batch: batches.Batch, *, chosen: settings.Settings, names: Mapping[str, str]
) -> Prepared:
    """The batch's prepared pairs; `names` has the dataset's name of each file."""
    read = reader.read_batch(batch)
    ledger = stage_ledger.Ledger()
    rows, gone = [], []
    pairs = [
        dataclasses.replace(pair, file=names.get(pair.file, pair.file))
        for pair in read.pairs
    ]
    outcomes = ledger.run(pairs, sequence(chosen))
    for raw, (left, reason) in zip(pairs, outcomes, strict=True):
        if reason:
            left = _redacted(left, chosen.personal_data)
            gone.append(packed_rows.dropped(left, reason))
        else:
            rows.append(compared_row.make(raw, left, chosen.duplicates))
    answer_sides = []
    if read.answers:
        known = dict(zip(read.pairs, outcomes, strict=True))
        answer_sides = sides.prepare(read.answers, sequence(chosen), known=known)
    folding.folded.cache_clear()  # of use within a batch alone; texts may be long
    word_runs.numbers.cache_clear()
    word_runs.of.cache_clear()
    account = read.without_pairs()
    return Prepared(account, packed_rows.packed(rows), gone, ledger, answer_sides)


def _redacted(
    pair: records.QaPair, chosen: settings.PersonalDataSettings
) -> records.QaPair:
    """A dropped pair without personal data, whichever stage it was dropped before."""
    whole = pair.as_one()
    # The stage drops a pair with an empty text.
    texts = {name: getattr(whole, name) for name in ('question', 'answer')}
    filled = {name: text if text.strip() else '…' for name, text in texts.items()}
    outcome = personal_data.stage(chosen).apply(dataclasses.replace(whole, **filled))
    assert isinstance(outcome, stages.Kept)  # a placeholder is never empty
    return outcome.pair
