"""Raw corpus files to a dataset: read, drop exact duplicates, split, write.

    python -m data_pipeline.build --input='chats/*.md' --input='reddit/*.md' \\
        --output=data/advice
"""

import collections
import collections.abc
import dataclasses
import os
import pathlib
from typing import Any

from absl import flags

from data_pipeline import dataset, dedupe, program, sources, split
from hax_jax import config, records


def define_flags() -> None:
    flags.DEFINE_multi_string(
        'input', [], 'Files to read: a path or a pattern in quotes. May be repeated.'
    )
    flags.DEFINE_string('output', '', 'The folder to make.')
    flags.DEFINE_float('validation_share', 0.05, "Validation's share of the pairs.")
    flags.DEFINE_float('test_share', 0.05, "Test's share of the pairs; 0 for none.")
    flags.DEFINE_bool('overwrite', False, 'Replace the dataset at --output.')


def main() -> None:
    build(
        flags.FLAGS.input,
        output=flags.FLAGS.output,
        validation_share=flags.FLAGS.validation_share,
        test_share=flags.FLAGS.test_share,
        overwrite=flags.FLAGS.overwrite,
    )


def build(
    patterns: collections.abc.Sequence[str],
    *,
    output: str | pathlib.Path,
    validation_share: float = 0.05,
    test_share: float = 0.05,
    overwrite: bool = False,
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

    found, report = sources.read(patterns)
    for path in report.files:
        if pathlib.Path(path).resolve().is_relative_to(pathlib.Path(output).resolve()):
            raise config.InputError(
                f'{path} lies in --output={output}, which would be replaced with all '
                'that is in it; move the file or give another --output.'
            )
    names = portable_names(report.files)
    found = [dataclasses.replace(pair, file=names[pair.file]) for pair in found]
    pairs, duplicates = dedupe.exact(found)
    splits = split.assign(pairs, shares=shares)
    notes = split.notes(splits, shares=shares)
    ledger = account(found, report, duplicates, splits=splits, notes=notes)
    print(report.summary())
    for warning in report.warnings:
        print(f'warning: {warning}')
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
    duplicates: collections.abc.Sequence[dedupe.Duplicate],
    *,
    splits: collections.abc.Mapping[str, list[records.QaPair]],
    notes: collections.abc.Sequence[str],
) -> dict[str, Any]:
    """The ledger: every pair that was read is in one split or dropped with its reason.

    Raises:
      ValueError: it does not add up, which is a defect of ours.
    """
    kept = [pair.id for name in records.SPLITS for pair in splits[name]]
    gone = [duplicate.id for duplicate in duplicates]
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
    for duplicate in sorted(duplicates, key=lambda each: (each.reason, each.id)):
        row = {'id': duplicate.id, 'kept_id': duplicate.kept_id}
        dropped.setdefault(duplicate.reason, []).append(row)
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
    program.run(main)
