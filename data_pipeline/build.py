"""Raw corpus files to a dataset: read, prepare, drop duplicates, split, write.

    python -m data_pipeline.build --input='chats/*.md' --input='reddit/*.md' \\
        --output=data/advice --config=configs/data/advice.py

configs/data/advice.py is also the default of --config. Prints the number of pairs that
each stage changed and dropped; the dataset's ledger has examples.
"""

from __future__ import annotations

import pathlib
import shlex
from collections.abc import Sequence
from typing import Any

from absl import flags

from data_pipeline import settings
from hax_jax import errors
from hax_jax.program import config_flag, entry, later, output_file, results

with later.imports():
    from data_pipeline import build_steps, dataset
    from data_pipeline.preferences import preference_files
    from data_pipeline.preparing import batch_cache, beam_pipeline
    from data_pipeline.reading import path_patterns
    from data_pipeline.writing import dropped_file

_MOST_WORKERS = 1024  # more is a slip, and would take all memory
CONFIG = config_flag.ConfigFlag(
    settings.Settings,
    subject='how pairs are prepared',
    example='configs/data/advice.py',
    draft='settings.draft',
    override='--config.quality.min_score=5',
    common='quality.min_score quality.min_answer_tokens quality.max_answer_tokens '
    'quality.keep_yes_no quality.languages duplicates.threshold clean.keep_edits '
    'clean.cut_standing mix.caps mix.weights',
    default_file=str(pathlib.Path(__file__).parents[1] / 'configs/data/advice.py'),
)


def define_flags() -> None:
    flags.DEFINE_multi_string(
        'input',
        [],
        'A path, a pattern in quotes, tfds:NAME or hf:NAME; a prefix names the layout '
        'of a path: threads: messages: pairs: csv: chat: reddit: merged: '
        'qa: sets: or letters:. Repeat '
        'for more.',
    )
    flags.DEFINE_multi_string(
        'fields',
        [],
        "The columns of a pair: 'question=title+body, answer=comment, score=ups'.",
    )
    flags.DEFINE_string('output', '', 'The folder to make.')
    flags.DEFINE_float('validation_share', 0.05, "Validation's share of the pairs.")
    flags.DEFINE_float('test_share', 0.05, "Test's share of the pairs; 0 for none.")
    flags.DEFINE_bool('overwrite', False, 'Replace the dataset at --output.')
    flags.DEFINE_integer(
        'num_workers',
        0,
        'Processes that prepare pairs; 0: one, or one a core for large inputs.',
    )
    flags.DEFINE_bool('chat_messages', False, 'Write chat/<split>.jsonl too.')
    flags.DEFINE_bool(
        'preferences',
        False,
        'Write preferences/<split>.jsonl too, pairs of a better and a worse answer for '
        'DPO; --config.preferences.ratio and others have the rule.',
    )
    flags.DEFINE_string('system', '', 'The system message of chat messages.')
    flags.DEFINE_string(
        'beam_runner', '', 'Prepare and write by Apache Beam: DirectRunner, …'
    )
    flags.DEFINE_multi_string('beam_options', [], "Beam's own options, '--region=…'.")
    flags.DEFINE_string(
        'beam_folder', '', "A folder that Beam's workers share with this process."
    )
    flags.DEFINE_string(
        'cache',
        '',
        'A folder that keeps what each part of the inputs gave, so that the next build '
        "prepares new parts alone; by default '.build_cache' beside --output; 'off' "
        'for none.',
    )
    flags.DEFINE_float(
        'cache_gb', 10, 'The most GB that stay in it; the longest unused parts go.', 0
    )
    flags.DEFINE_bool(
        'skip_unreadable', False, 'Go on without the files that give no pair.'
    )
    CONFIG.define()


def main() -> None:
    values = flags.FLAGS
    beam = None
    if values.beam_runner:
        beam = beam_pipeline.Options(
            values.beam_runner, tuple(values.beam_options), values.beam_folder
        )
    elif values.beam_options or values.beam_folder:
        raise errors.InputError(
            '--beam_options and --beam_folder need --beam_runner, such as DirectRunner.'
        )
    if not 0 <= values.num_workers <= _MOST_WORKERS:
        raise errors.InputError(
            f'--num_workers={values.num_workers} is not accepted; use 0 (chosen by '
            f'size) or up to {_MOST_WORKERS:,} processes.'
        )
    if values.system and not values.chat_messages:
        raise errors.InputError(
            '--system needs --chat_messages; give it too, or leave --system out.'
        )
    if values.input:
        path_patterns.check(values.input)  # before the databases are imported
    made = build(
        values.input,
        output=values.output,
        validation_share=values.validation_share,
        test_share=values.test_share,
        chosen=CONFIG.value(),
        options=build_steps.Options(
            fields=tuple(values.fields),
            num_workers=values.num_workers,
            beam=beam,
            chat=values.chat_messages,
            preferences=values.preferences,
            system=values.system,
            overwrite=values.overwrite,
            skip_unreadable=values.skip_unreadable,
            cache=_cache(values),
            cache_bytes=int(values.cache_gb * 1e9),
        ),
    )
    results.give({'output': values.output, **made})


def _cache(values: flags.FlagValues) -> pathlib.Path | None:
    """The folder of the cache, None for none."""
    if values.cache == 'off' or not values.output:
        return None
    if values.beam_runner:
        if values.cache:
            raise errors.InputError(
                f'--cache={values.cache} and --beam_runner do not go together: the '
                'workers of Apache Beam keep nothing; give one of them.'
            )
        return None
    if values.cache:
        folder = pathlib.Path(values.cache).expanduser()
        errors.refuse(output_file.wrong_place('cache', folder))
        return folder
    return pathlib.Path(values.output).absolute().parent / batch_cache.FOLDER


def build(
    patterns: Sequence[str],
    *,
    output: str | pathlib.Path,
    validation_share: float = 0.05,
    test_share: float = 0.05,
    chosen: settings.Settings = settings.Settings(),  # noqa: B008
    options: build_steps.Options | None = None,
) -> dict[str, Any]:
    """Makes the dataset, prints the counts of every step and returns its manifest.

    Raises:
      InputError: an input can't be read, split or written; then no dataset is made.
    """
    if not patterns or not str(output):
        raise errors.InputError(
            'give the files with --input=PATTERN and the folder to make with '
            '--output=FOLDER.'
        )
    shares = {
        'train': round(1 - validation_share - test_share, 9),
        'validation': validation_share,
        'test': test_share,
    }
    folder = pathlib.Path(output)
    options = options or build_steps.Options()
    manifest = build_steps.run(patterns, folder, chosen, shares=shares, options=options)
    written = manifest.get('preferences', {}).values()
    print(
        f'wrote {output} (sha256 {manifest["sha256"][:12]})\n'
        f'  {folder / dataset.REPORT}: all counts, with examples, as a page\n'
        f'  {folder / dataset.LEDGER}: the same as JSON\n'
        f'  {folder / dropped_file.NAME}: each pair that was dropped\n'
        + (
            f'  {folder / preference_files.FOLDER}: preference pairs, and a card\n'
            if any(each['pairs'] for each in written)
            else ''
        )
        + 'next: python -m launch.train --config=configs/gpt2_lora.py '
        f'--config.data.path={shlex.quote(str(output))} --workdir=runs/lora'
    )
    return manifest


if __name__ == '__main__':
    define_flags()
    entry.run(main, prepare=CONFIG.check, in_one_process=True)
