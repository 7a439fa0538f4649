"""Raw corpus files to a dataset: read, prepare, drop duplicates, split, write.

    python -m data_pipeline.build --input='chats/*.md' --input='reddit/*.md' \\
        --output=data/advice --config=configs/data/advice.py

Without --config it does as that file says. What each stage changed and dropped is
printed, and stands in the dataset's ledger with examples.
"""

import collections
import collections.abc
import dataclasses
import os
import pathlib
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from data_pipeline import (
    config_file,
    dataset,
    overrides,
    preparation,
    program,
    settings,
    sources,
    split,
)
from hax_jax import config, records

_DEFAULT_FILE = pathlib.Path(__file__).parents[1] / 'configs' / 'data' / 'advice.py'


def define_flags() -> None:
    flags.DEFINE_multi_string(
        'input', [], 'Files to read: a path or a pattern in quotes. May be repeated.'
    )
    flags.DEFINE_string('output', '', 'The folder to make.')
    flags.DEFINE_float('validation_share', 0.05, "Validation's share of the pairs.")
    flags.DEFINE_float('test_share', 0.05, "Test's share of the pairs; 0 for none.")
    flags.DEFINE_bool('overwrite', False, 'Replace the dataset at --output.')
    sections = '\n'.join(
        f'{section.name}: {" ".join(f.name for f in dataclasses.fields(section.type))}'
        for section in dataclasses.fields(settings.Settings)
    )
    config_flags.DEFINE_config_file(
        'config',
        help_string='The file that says how pairs are prepared; without it, '
        'configs/data/advice.py. --config.SECTION.FIELD=VALUE sets any field, e.g. '
        '--config.quality.min_score=5 (their meaning: data_pipeline/settings.py):\n'
        + sections,
    )


def check(
    argv: collections.abc.Sequence[str], *, values: flags.FlagValues = flags.FLAGS
) -> list[str]:
    """As `overrides.check`, of a config that says how pairs are prepared."""
    schema = overrides.Schema(
        settings.draft, settings.freeze, _load, default_file=str(_DEFAULT_FILE)
    )
    return overrides.check(argv, schema, values=values)


def _load(file: str) -> ml_collections.ConfigDict:
    return config_file.load(
        file,
        what='how pairs are prepared',
        example='configs/data/advice.py',
        draft='settings.draft',
    )


def main() -> None:
    build(
        flags.FLAGS.input,
        output=flags.FLAGS.output,
        validation_share=flags.FLAGS.validation_share,
        test_share=flags.FLAGS.test_share,
        overwrite=flags.FLAGS.overwrite,
        chosen=settings.freeze(flags.FLAGS.config),
    )


def build(
    patterns: collections.abc.Sequence[str],
    *,
    output: str | pathlib.Path,
    validation_share: float = 0.05,
    test_share: float = 0.05,
    overwrite: bool = False,
    chosen: settings.Settings = settings.Settings(),  # noqa: B008
) -> dict[str, Any]:
    """Makes the dataset, prints what became of each pair and returns its manifest.

    Raises:
      InputError: what was given cannot be read, split or written; nothing is made.
    """
    if not patterns or not str(output):
        raise config.InputError(
            'give the files with --input=PATTERN and the folder to make with '
            '--output=FOLDER.'
        )
    shares = {
        'train': round(1 - validation_share - test_share, 9),
        'validation': validation_share,
        'test': test_share,
    }
    split.check_shares(shares)
    dataset.check_output(output, overwrite=overwrite)
    sequence = preparation.sequence(chosen)

    found, report = sources.read(patterns)
    for path in report.files:
        if pathlib.Path(path).resolve().is_relative_to(pathlib.Path(output).resolve()):
            raise config.InputError(
                f'{path} lies in --output={output}, which would be replaced with all '
                'that is in it; move the file or give another --output.'
            )
    names = portable_names(report.files)
    found = [dataclasses.replace(pair, file=names[pair.file]) for pair in found]
    prepared = preparation.prepare(found, sequence, chosen)
    print(report.summary())
    for warning in report.warnings:
        print(f'warning: {warning}')
    print(prepared.ledger.summary())
    splits = split.assign(prepared.pairs, shares=shares)
    notes = split.notes(splits, shares=shares)
    ledger = account(found, report, prepared, splits=splits, notes=notes)
    ledger['settings'] = settings.to_dict(chosen)
    print(summary(ledger))
    print(f'writing {output} ...', flush=True)
    manifest = dataset.write(
        output,
        splits,
        sources=[
            dataset.source_of(path, names[path], pairs=count)
            for path, count in report.files.items()
        ],
        split_rule={'shares': shares, 'salt': split.SALT},
        ledger=ledger,
        overwrite=overwrite,
    )
    print(
        f'wrote {output} (sha256 {manifest["sha256"][:12]}); what became of each pair '
        f'is in its {dataset.LEDGER}.\n'
        'next: python -m launch.train --config=configs/gpt2_lora.py '
        f'--config.data.path={output} --workdir=runs/lora'
    )
    return manifest


def portable_names(paths: collections.abc.Iterable[str]) -> dict[str, str]:
    """Each file's path below the folder that all of them share.

    ['/home/ann/corpus/chats/a.md', '/home/ann/corpus/reddit/b.md'] -> chats/a.md,
    reddit/b.md: a corpus has the same records and hashes wherever it lies.
    """
    here = pathlib.Path.cwd()
    absolute = {path: pathlib.Path(os.path.normpath(here / path)) for path in paths}
    shared = os.path.commonpath([path.parent for path in absolute.values()])
    return {
        path: whole.relative_to(shared).as_posix() for path, whole in absolute.items()
    }


def account(
    found: collections.abc.Sequence[records.QaPair],
    report: sources.ReadReport,
    prepared: preparation.Prepared,
    *,
    splits: collections.abc.Mapping[str, list[records.QaPair]],
    notes: collections.abc.Sequence[str],
) -> dict[str, Any]:
    """The ledger: every pair that was read is in one split or dropped with its reason.

    Raises:
      ValueError: it does not add up, which is a defect of ours.
    """
    kept = [pair.id for name in records.SPLITS for pair in splits[name]]
    gone = [row.id for row in [*prepared.gone, *prepared.duplicates]]
    read_ids = collections.Counter(pair.id for pair in found)
    if read_ids != collections.Counter(kept + gone):
        raise ValueError(
            f'{len(found)} pairs were read, {len(kept)} kept and {len(gone)} dropped: '
            'they are not the same pairs.'
        )
    if sum(report.files.values()) != len(found):
        raise ValueError(
            f'the files are said to hold {sum(report.files.values())} pairs, '
            f'{len(found)} were read.'
        )
    names = portable_names(report.files)

    def without_paths(line: str) -> str:
        for path in sorted(names, key=len, reverse=True):
            line = line.replace(path, names[path])
        return line

    dropped: dict[str, list[dict[str, str]]] = {}
    by_reason = sorted(prepared.duplicates, key=lambda each: (each.reason, each.id))
    for duplicate in by_reason:
        row = {'id': duplicate.id, 'kept_id': duplicate.kept_id}
        dropped.setdefault(duplicate.reason, []).append(row)
    for each in sorted(prepared.gone, key=lambda each: (each.reason, each.id)):
        dropped.setdefault(each.reason, []).append({'id': each.id})
    return {
        'schema': dataset.SCHEMA,
        'pairs': {'read': len(found), 'dropped': len(gone), 'kept': len(kept)},
        'read': {
            'by_source': dataset.count_by_source(found),
            'by_file': {names[path]: count for path, count in report.files.items()},
            'counts': report.counts,
            'unknown_lines': [without_paths(line) for line in report.unknown_lines],
            'warnings': [without_paths(line) for line in report.warnings],
        },
        'dropped': {
            reason: {'pairs': len(rows), 'ids': rows}
            for reason, rows in dropped.items()
        },
        'stages': prepared.ledger.as_json(),
        'kept': {
            name: {
                'pairs': len(splits[name]),
                'by_source': dataset.count_by_source(splits[name]),
            }
            for name in records.SPLITS
        },
        'notes': list(notes),
    }


def summary(ledger: dict[str, Any]) -> str:
    """What was read, dropped and kept, for people."""
    lines = []
    pairs = ledger['pairs']
    lines.append(f'read {_counted(pairs["read"], ledger["read"]["by_source"])}')
    reasons = {reason: row['pairs'] for reason, row in ledger['dropped'].items()}
    lines.append(f'dropped {_counted(pairs["dropped"], reasons)}')
    for name, row in ledger['kept'].items():
        lines.append(f'{name} {_counted(row["pairs"], row["by_source"])}')
    lines += [f'note: {note}' for note in ledger['notes']]
    return '\n'.join(lines)


def _counted(total: int, parts: dict[str, int]) -> str:
    """Counts in words, forums of one kind of source together.

    3, {'chat': 1, 'reddit:a': 1, 'reddit:b': 1} -> '3 pairs (1 chat, 2 reddit)'
    """
    kinds: collections.Counter[str] = collections.Counter()
    for name, count in parts.items():
        kinds[name.partition(':')[0]] += count
    text = f'{total:,} pair' + 's' * (total != 1)
    if kinds:
        text += f' ({", ".join(f"{count:,} {kind}" for kind, count in kinds.items())})'
    return text


if __name__ == '__main__':
    define_flags()
    program.run(main, prepare=check)
