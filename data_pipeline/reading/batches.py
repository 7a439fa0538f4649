"""A batch of the input to its pairs and the account of it: what each worker does."""

from data_pipeline.reading import inputs, named_datasets, whole_files
from data_pipeline.rows import (
    batch_types,
    csv_rows,
    message_rows,
    pair_rows,
    thread_pairs,
)


def read_batch(batch: batch_types.Batch) -> batch_types.BatchRead:
    """The pairs of a batch, and where everything in it went.

    Depends on the batch, and on the file that it names, alone.

    Raises:
      InputError: the file is no text.
    """
    if batch.layout == '' or batch.layout in inputs.WHOLE:
        result = whole_files.read(batch)
    else:
        result = batch_types.BatchRead()
        _READERS[batch.layout](batch, result)
        if batch.first and batch.path:
            result.counts[f'files of layout {batch.layout}'] += 1
    if batch.first:
        result.counts['files' if batch.path else 'named data sets'] += 1
    return result.capped()


_READERS = {
    'threads': thread_pairs.read,
    'pairs': pair_rows.read_lines,
    'messages': message_rows.read,
    'csv': csv_rows.read,
    'tfds': named_datasets.read,
    'hf': named_datasets.read,
}
