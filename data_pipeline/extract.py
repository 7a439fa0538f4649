"""Raw files of every layout, and named data sets, to one JSON object a pair.

    python -m data_pipeline.extract --input='chats/*.md' --input='raw/*.jsonl' \\
        --input=tfds:reddit_tifu/long --fields='question=documents, answer=tldr' \\
        --output=pairs.jsonl

Of exact duplicates the pair with the highest score is kept. The program prints its
counts. Everything that is in no pair is listed in OUTPUT.left_out.txt: posts without an
answer, lines that no rule explains (file, number, and the part that their text joined),
duplicates, warnings; the program prints the first of each.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterator

from absl import flags

from data_pipeline import settings
from hax_jax import errors, files
from hax_jax.data import records
from hax_jax.program import entry, later, output_file, results

with later.imports():
    from data_pipeline.all_pairs import equal_ids, exact_duplicates, pair_store
    from data_pipeline.compared import compared_row, packed_rows
    from data_pipeline.pair_stages import stage_ledger
    from data_pipeline.reading import inputs, path_patterns, read_report, reader

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
    "id=id'; for some inputs alone: 'raw/*.csv: question=…' (fields/field_map.py).",
)
_OUTPUT = flags.DEFINE_string(
    'output', '', 'JSON Lines file to write, whole or not at all: one object a pair.'
)
_SKIP = flags.DEFINE_bool(
    'skip_unreadable', False, 'Go on without the files that give no pair.'
)
_LEFT_OUT = '.left_out.txt'  # behind the name of the output
_WRITTEN = {'question', 'answer', 'file', 'line', 'flags'}  # of each row it writes
_SHOWN = 3  # lines of each kind that are printed
_EXACT_ALONE = settings.DuplicateSettings(near=False)


def main() -> None:
    """Reads, deduplicates, writes and prints what was found."""
    if not _OUTPUT.value:
        raise errors.InputError('--output is not given; give a .jsonl file.')
    path = pathlib.Path(_OUTPUT.value)
    errors.refuse(output_file.problems('output', path))
    found = inputs.find(_INPUT.value, fields=_FIELDS.value, skip_unreadable=_SKIP.value)
    paths = [each.path for each in found if each.path]
    for line in path_patterns.folders_left_out(_INPUT.value, paths):
        print(line)
    for line in inputs.describe(found):
        print(line)
    report = read_report.ReadReport()
    if path.resolve() in [pathlib.Path(each.path).resolve() for each in found]:
        raise errors.InputError(
            f'--output={path} is one of the inputs, which it would replace; give '
            'another file.'
        )
    what = 'file that data_pipeline.extract wrote'
    errors.refuse(output_file.foreign('output', path, _is_ours, what))
    with pair_store.beside(path) as store:
        for batch in reader.batches_of(found):
            read = reader.read_batch(batch)
            report.add(batch, read)
            rows = [compared_row.make(pair, pair, _EXACT_ALONE) for pair in read.pairs]
            store.add(packed_rows.packed(rows))
        report.check_pairs(skip_unreadable=_SKIP.value)
        equal_ids.tell_apart(store, stage_ledger.Ledger())
        exact_duplicates.drop(store)
        replaced = ', in place of what it held' if path.exists() else ''
        kept = files.write_lines(path, _lines(store))
        print(report.summary())
        for warning in read_report.folded(report.warnings, report.files):
            print(f'warning: {warning}', file=sys.stderr)
        listed = path.with_name(f'{path.name}{_LEFT_OUT}')
        if files.write_lines(listed, _left_out(store, report)):
            print(f'all of these are in {listed}')
        else:
            listed.unlink()
        dropped = store.count - kept
        print(f'{dropped:>10,}  duplicate{"" if dropped == 1 else "s"} dropped')
        print(
            f'{kept:>10,}  pair{"" if kept == 1 else "s"} written to {path}{replaced}'
        )
        results.give({'output': path, 'pairs': kept, 'duplicates': store.count - kept})


def _is_ours(head: bytes) -> bool:
    return output_file.first_row(head).keys() >= _WRITTEN


def _left_out(
    store: pair_store.PairStore, report: read_report.ReadReport
) -> Iterator[str]:
    """All that is in no pair, a line each; prints the first lines of each kind."""
    duplicates = (f'{g.id} of {g.kept_id}: {g.reason}' for g in store.gone())
    for kind, lines in (
        ('no pair', report.dropped),
        ('unknown line', report.unknown_lines),
        ('duplicate', duplicates),
    ):
        count = 0
        for line in lines:
            count += 1
            if count <= _SHOWN:
                print(f'{kind}: {line}')
            yield f'{kind}: {line}'
        if count > _SHOWN:
            print(f'{kind}: {count - _SHOWN:,} more')
    yield from (f'warning: {line}' for line in report.warnings)


def _lines(store: pair_store.PairStore) -> Iterator[str]:
    """Each pair that is kept as a line of JSON, in the order they were read."""
    query = 'SELECT {pair}, ordinal FROM kept AS pairs ORDER BY ordinal'
    for pair, _ in store.found(query):
        yield json.dumps(records.as_row(pair), ensure_ascii=False, allow_nan=False)


if __name__ == '__main__':
    entry.run(main, in_one_process=True)
