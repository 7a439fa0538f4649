"""Raw files of every layout, and named data sets, to one JSON object a pair.

    python -m data_pipeline.extract --input='chats/*.md' --input='raw/*.jsonl' \\
        --input=tfds:reddit_tifu/long --fields='question=documents, answer=tldr' \\
        --output=pairs.jsonl

Of exact duplicates the pair with the highest score is kept. The program prints each
line that no rule explains: its file, its number, and the part that its text joined.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterator

from absl import flags

from data_pipeline import settings
from data_pipeline.all_pairs import compared_row, exact_duplicates, pair_store
from data_pipeline.reading import inputs, read_report, reader
from hax_jax import errors, files
from hax_jax.program import entry, output_file, results

_INPUT = flags.DEFINE_multi_string(
    'input',
    [],
    'A path or quoted pattern to read, or tfds:NAME or hf:OWNER/NAME; repeat for more. '
    'A layout before a path skips its detection: threads: messages: pairs: csv: chat: '
    'reddit: merged:.',
)
_FIELDS = flags.DEFINE_multi_string(
    'fields',
    [],
    "The fields of rows that make a pair: 'question=title+selftext, answer=comment, "
    "id=id'; for some inputs alone: 'raw/*.csv: question=…' (rows/field_map.py).",
)
_OUTPUT = flags.DEFINE_string(
    'output', '', 'JSON Lines file to write, whole or not at all: one object a pair.'
)
_EXACT_ALONE = settings.DuplicateSettings(near=False)


def main() -> None:
    """Reads, deduplicates, writes and prints what was found."""
    if not _OUTPUT.value:
        raise errors.InputError('--output is not given; give a .jsonl file.')
    path = pathlib.Path(_OUTPUT.value)
    if problems := output_file.problems('output', path):
        raise errors.InputError('\n'.join(problems))
    found = inputs.find(_INPUT.value, fields=_FIELDS.value)
    for line in inputs.describe(found):
        print(line)
    report = read_report.ReadReport()
    if path.resolve() in [pathlib.Path(each.path).resolve() for each in found]:
        raise errors.InputError(
            f'--output={path} is one of the inputs, which it would replace; give '
            'another file.'
        )
    with pair_store.beside(path) as store:
        for batch in reader.batches_of(found):
            read = reader.read_batch(batch)
            report.add(batch, read)
            rows = [compared_row.make(pair, pair, _EXACT_ALONE) for pair in read.pairs]
            store.add(pair_store.packed(rows))
        report.check_pairs()
        exact_duplicates.drop(store)
        replaced = ', in place of what it held' if path.exists() else ''
        kept = files.write_lines(path, _lines(store))
        for warning in report.warnings:
            print(f'warning: {warning}', file=sys.stderr)
        for post in report.dropped:
            print(f'no pair: {post}')
        for line in report.unknown_lines:
            print(f'unknown line: {line}')
        for gone in store.gone():
            print(f'duplicate: {gone.id} of {gone.kept_id}: {gone.reason}')
        print(report.summary())
        print(f'{store.count - kept:>10,}  duplicates dropped')
        print(f'{kept:>10,}  pairs written to {path}{replaced}')
        results.give({'output': path, 'pairs': kept, 'duplicates': store.count - kept})


def _lines(store: pair_store.PairStore) -> Iterator[str]:
    """Each pair that is kept as a line of JSON, in the order they were read."""
    query = 'SELECT {pair}, ordinal FROM kept AS pairs ORDER BY ordinal'
    for pair, _ in store.found(query):
        yield json.dumps(dataclasses.asdict(pair), ensure_ascii=False, allow_nan=False)


if __name__ == '__main__':
    entry.run(main, in_one_process=True)
