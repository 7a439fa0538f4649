"""Raw files of every layout, and named data sets, to one JSON object a pair.

    python -m data_pipeline.extract --input='chats/*.md' --input='raw/*.jsonl' \\
        --input=tfds:reddit_tifu/long --fields='question=documents, answer=tldr' \\
        --output=pairs.jsonl

Exact duplicates are dropped, the highest score kept. Every line that no rule explains
is printed with its file and number, and where its text went.
"""

import dataclasses
import sys
from typing import Any

from absl import flags

from data_pipeline import dedupe, program, sources
from hax_jax import config, files, records

_INPUT = flags.DEFINE_multi_string(
    'input',
    [],
    'What to read: a path or a quoted pattern, with its layout before it where that is '
    'not to be found out (threads: messages: pairs: csv: chat: reddit: merged:), or '
    'tfds:NAME or hf:OWNER/NAME; repeat for more.',
)
_FIELDS = flags.DEFINE_multi_string(
    'fields',
    [],
    "What rows' fields make a pair: 'question=title+selftext, answer=comment, id=id'; "
    "for some inputs alone: 'raw/*.csv: question=…'. See data_pipeline/field_map.py.",
)
_OUTPUT = flags.DEFINE_string(
    'output', '', 'JSON Lines file to write, whole or not at all: one object a pair.'
)


def main() -> None:
    """Reads, deduplicates, writes and prints what was found."""
    if not _OUTPUT.value:
        raise config.InputError('--output is not given; give a .jsonl file.')
    found = sources.find(_INPUT.value, fields=_FIELDS.value)
    for line in sources.describe(found):
        print(line)
    pairs, report = sources.read_all(found)
    kept, duplicates = dedupe.exact(pairs)
    files.write_json_lines(_OUTPUT.value, [record(pair) for pair in kept])
    for warning in report.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    for post in report.dropped:
        print(f'no pair: {post}')
    for line in report.unknown_lines:
        print(f'unknown line: {line}')
    for duplicate in duplicates:
        print(f'duplicate: {duplicate.id} of {duplicate.kept_id}: {duplicate.reason}')
    print(report.summary())
    print(f'{len(duplicates):>10,}  duplicates dropped')
    print(f'{len(kept):>10,}  pairs written to {_OUTPUT.value}')


def record(pair: records.QaPair) -> dict[str, Any]:
    """The pair as the JSON object that stands for it."""
    return dataclasses.asdict(pair)


if __name__ == '__main__':
    program.run(main)
