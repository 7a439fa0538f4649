"""A split of a dataset as chat messages in JSON lines, for other trainers.

    python -m data_pipeline.export_chat --data=data/advice --split=train \\
        --output=train.jsonl --system='You are a kind advice columnist.'
"""

import pathlib

from absl import flags

from hax_jax import errors
from hax_jax.data import records
from hax_jax.program import entry, later, output_file, results

with later.imports():
    from data_pipeline import dataset
    from data_pipeline.writing import chat_files

_DATA = flags.DEFINE_string('data', '', "The dataset's folder.")
_SPLIT = flags.DEFINE_string('split', 'train', f'One of {", ".join(records.SPLITS)}.')
_OUTPUT = flags.DEFINE_string(
    'output', '', 'JSON Lines file to write, whole or not at all.'
)
_SYSTEM = flags.DEFINE_string('system', '', 'A system message for each line.')


def main() -> None:
    """Writes the file and prints its number of lines."""
    missing = [flag.name for flag in (_DATA, _OUTPUT) if not flag.value]
    if missing:
        raise errors.InputError(
            ' and '.join(f'--{name}' for name in missing) + ' not given; give '
            '--data=FOLDER, a dataset of data_pipeline.build, and --output=FILE.jsonl.'
        )
    output = pathlib.Path(_OUTPUT.value)
    errors.refuse(
        output_file.problems('output', output)
        or output_file.foreign('output', output, _is_ours, 'file of messages alone')
    )
    if _SPLIT.value not in records.SPLITS:
        raise errors.InputError(
            f'--split={_SPLIT.value} is not a split; use one of '
            f'{", ".join(records.SPLITS)}.'
        )
    pairs = dataset.shown_pairs(_DATA.value, _SPLIT.value)
    replaced = ', in place of what it held' if output.exists() else ''
    count = chat_files.write(output, pairs, system=_SYSTEM.value)
    print(f'wrote {output}: {count:,} lines{replaced}')
    results.give({'output': output, 'lines': count})


def _is_ours(head: bytes) -> bool:
    return output_file.first_row(head).keys() == {'messages'}


if __name__ == '__main__':
    entry.run(main, in_one_process=True)
