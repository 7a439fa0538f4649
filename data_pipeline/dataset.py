"""The dataset's folder: the pairs of each split, what they are, where the rest went.

    manifest.json         what is in it: sources, counts, hashes, how it was split
    ledger.json           each pair that was read: kept where, or dropped why
    tfds/hax_qa/1.0.0/    the pairs, for `tfds.builder_from_directory`
    packed/<key>/         packed rows, made later (hax_jax/records.py)
    tokenizers/           SentencePiece models, made later

The hashes are over the pairs' canonical JSON, never over TFDS's files, whose bytes
differ from build to build. Equal input gives an equal manifest and ledger, byte for
byte: no clock and no path of a machine is in them.
"""

import collections
import collections.abc
import dataclasses
import hashlib
import json
import pathlib
from typing import Any

from hax_jax import config, files, records, text

SCHEMA = 2  # 2: pairs have a weight
MANIFEST = 'manifest.json'
LEDGER = 'ledger.json'


def write(
    path: str | pathlib.Path,
    splits: collections.abc.Mapping[str, list[records.QaPair]],
    *,
    sources: list[dict[str, Any]],
    split_rule: dict[str, Any],
    ledger: dict[str, Any],
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes a dataset's folder whole or not at all and returns its manifest.

    `sources` and `split_rule` are recorded in the manifest as they are.

    Raises:
      InputError: as `check_output`.
    """
    path = pathlib.Path(path)
    check_output(path, overwrite=overwrite)
    _check_groups(splits)
    from data_pipeline import hax_qa  # TensorFlow: only when a dataset is written

    manifest = {
        'schema': SCHEMA,
        'sha256': '',
        'template_version': text.TEMPLATE_VERSION,
        'splits': {name: _describe(splits[name]) for name in records.SPLITS},
        'sources': sources,
        'split_rule': split_rule,
        'tfds': {'folder': hax_qa.FOLDER, 'version': hax_qa.TFDS_VERSION},
    }
    manifest['sha256'] = records.sha256(
        {name: split['sha256'] for name, split in manifest['splits'].items()}
    )
    with files.new_folder(path, replace=overwrite) as folder:
        hax_qa.write(folder, splits)
        files.write_json(folder / LEDGER, ledger)
        files.write_json(folder / MANIFEST, manifest)
    return manifest


def check_output(path: str | pathlib.Path, *, overwrite: bool) -> None:
    """Raises InputError unless a dataset can be written to `path`.

    Only a dataset or an empty folder is ever replaced.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return
    if not overwrite:
        raise config.InputError(
            f'{path} exists already; give another --output, or --overwrite to replace '
            'it with all that was made from it (packed rows, tokenizers).'
        )
    if not path.is_dir() or (any(path.iterdir()) and not (path / MANIFEST).is_file()):
        raise config.InputError(
            f'{path} is not a dataset (it has no {MANIFEST}), so --overwrite does not '
            'replace it; give another --output.'
        )


def read_manifest(path: str | pathlib.Path) -> dict[str, Any]:
    """The manifest of the dataset at `path`. Needs no TensorFlow.

    Raises:
      InputError: there is no dataset at `path`, or another version made it.
    """
    path = pathlib.Path(path)
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding='utf-8'))
    except ValueError as error:
        raise config.InputError(
            f'{path / MANIFEST} is damaged ({error}); build the dataset again with '
            'python -m data_pipeline.build --overwrite.'
        ) from error
    except OSError as error:
        raise config.InputError(
            f'{path} is not a dataset ({error}); make one with '
            'python -m data_pipeline.build --input=FILES --output=FOLDER.'
        ) from error
    schema = manifest.get('schema') if isinstance(manifest, dict) else None
    if schema != SCHEMA:
        raise config.InputError(
            f'{path / MANIFEST} has schema {schema}, this version reads {SCHEMA}; '
            'build the dataset again with python -m data_pipeline.build --overwrite.'
        )
    return manifest


def read_pairs(
    path: str | pathlib.Path, split: str
) -> collections.abc.Iterator[records.QaPair]:
    """The pairs of a split, one by one, always in the order they were written.

    Raises:
      InputError: there is no dataset at `path`, or (at the end) its pairs are not those
        that the manifest was written for.
    """
    if split not in records.SPLITS:
        raise config.InputError(
            f'{split!r} is not a split; use one of {records.SPLITS}.'
        )
    path = pathlib.Path(path)
    expected = read_manifest(path)['splits'][split]
    if not expected['pairs']:
        return
    from data_pipeline import hax_qa  # TensorFlow: only when a dataset is read

    digest, count = hashlib.sha256(), 0
    for pair in hax_qa.read(path, split):
        digest.update(_line(pair))
        count += 1
        yield pair
    if digest.hexdigest() != expected['sha256']:
        raise config.InputError(
            f'{path} is damaged: the {count} pairs of its {split} split are not the '
            f'{expected["pairs"]} that {MANIFEST} was written for. Build it again.'
        )


def source_of(path: str | pathlib.Path, name: str, *, pairs: int) -> dict[str, Any]:
    """What the manifest says of one input file; `name` is free of machine paths."""
    with open(path, 'rb') as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
    return {'file': name, 'sha256': digest, 'pairs': pairs}


def _describe(pairs: list[records.QaPair]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(_line(pair))
    return {
        'pairs': len(pairs),
        'groups': len({pair.group for pair in pairs}),
        'by_source': count_by_source(pairs),
        'sha256': digest.hexdigest(),
    }


def count_by_source(
    pairs: collections.abc.Iterable[records.QaPair],
) -> dict[str, int]:
    """{'chat': 51, 'reddit': 52}, sorted by name."""
    return dict(sorted(collections.Counter(pair.source for pair in pairs).items()))


def _line(pair: records.QaPair) -> bytes:
    return records.canonical_json(dataclasses.asdict(pair)).encode() + b'\n'


def _check_groups(
    splits: collections.abc.Mapping[str, list[records.QaPair]],
) -> None:
    """Raises ValueError (a defect of ours) if a pair or a group is in two splits."""
    home = {}
    seen = set()
    for name, pairs in splits.items():
        for pair in pairs:
            if home.setdefault(pair.group, name) != name:
                raise ValueError(
                    f'group {pair.group!r} is in {home[pair.group]} and in {name}.'
                )
            if pair.id in seen:
                raise ValueError(f'pair {pair.id!r} is there twice.')
            seen.add(pair.id)
