"""The dataset's folder: the pairs of each split, and the account of all others.

    manifest.json         its sources, counts, hashes, and how it was split
    ledger.json           the account of every pair that was read, stage by stage
    dropped.jsonl         each pair that was dropped: id, kept_id, reason, source, and
                          its texts, shortened and without personal data
    report.html           all of it as one page for people
    preferences/          preference pairs, if the build was asked for them
    chat/<split>.jsonl    the pairs as chat messages, if the build was asked for them
    tfds/hax_qa/1.0.0/    the pairs, for `tfds.builder_from_directory`, and SHA256SUMS
    packed/<key>/         packed rows, made later (hax_jax/data/records.py)
    tokenizers/           SentencePiece models, made later

The manifest's hashes are over the pairs' canonical JSON, never over TFDS's files, whose
bytes differ from build to build and are compared with the SHA256SUMS beside them. All
other files are equal byte for byte for equal inputs: they hold no time and no path of a
machine. The manifest is sealed by its own digest.
"""

import contextlib
import hashlib
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from data_pipeline.compared import described_pairs, packed_rows
from data_pipeline.preferences import choosing, preference_files
from data_pipeline.preparing import beam_pipeline
from data_pipeline.writing import (
    chat_files,
    dropped_file,
    manifest_facts,
    report_facts,
    tfds_files,
)
from hax_jax import counted, digests, errors, files, local_copy, sha256sums
from hax_jax.data import dataset_folder, records, text
from hax_jax.program import output_file, progress

LEDGER = 'ledger.json'
REPORT = 'report.html'
# What --overwrite replaces: the build's own files, and what is made from them.
_OWN = {dataset_folder.MANIFEST, LEDGER, REPORT, dropped_file.NAME}
_OWN |= {preference_files.FOLDER, 'chat', 'tfds', 'packed', 'tokenizers', 'grown'}

Pairs = Iterable[records.QaPair] | Iterable[described_pairs.Described]


def write(
    path: str | pathlib.Path,
    splits: Mapping[str, Pairs | Callable[[], Pairs]],
    *,
    sources: list[dict[str, Any]],
    split_rule: dict[str, Any],
    ledger: dict[str, Any],
    dropped: Iterable[dict[str, Any]] = (),
    tokenizer: text.Tokenizer | None = None,
    preferences: Callable[[str], Iterator[choosing.Preference]] | None = None,
    chat: bool = False,
    system: str = '',
    beam: beam_pipeline.Options | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes a dataset's folder whole or not at all and returns its manifest.

    Each split is an iterable of pairs, or of pairs described, or a function that
    returns one; it is read once, in order. The manifest records `sources` and
    `split_rule` as they are. `dropped` are the rows of dropped.jsonl. With a
    `tokenizer` the report counts tokens and packed rows. `preferences` gives those of a
    split, of which the ledger has the account. `chat` adds chat messages, which begin
    with `system` if that is given. With `beam`, Apache Beam writes the TFDS files.

    Raises:
      InputError: as `check_output`, or the pipeline of `beam` fails.
    """
    path = pathlib.Path(path)
    check_output(path, overwrite=overwrite)
    from data_pipeline.writing import report_page  # Jinja, when a dataset is written

    facts = {name: manifest_facts.SplitFacts() for name in records.SPLITS}
    with files.new_folder(path, replace=overwrite) as folder:
        tally = dropped_file.write(folder / dropped_file.NAME, dropped)
        wanted = [each.kept_id for each in tally.clusters]
        report = report_facts.Collector(tokenizer=tokenizer, wanted=wanted)
        with contextlib.ExitStack() as opened:
            watched = {}
            for name in records.SPLITS:
                watchers = [facts[name].add, report.of(name)]
                if chat:
                    writer = chat_files.writer(folder, name, system=system)
                    watchers.append(opened.enter_context(writer))
                watched[name] = _watched(splits[name], watchers)
            _write_tfds(folder, watched, beam)
        manifest_facts.check(facts, lambda name: tfds_files.read(folder, name))
        sha256sums.write(folder / tfds_files.FOLDER)
        entries = {name: each.as_json() for name, each in facts.items()}
        _check_counts(entries, ledger)
        manifest = _manifest(entries, sources, split_rule)
        if preferences is not None:
            manifest['preferences'] = preference_files.write(
                folder, preferences, ledger['preferences']
            )
        manifest = digests.sealed(manifest)
        page = report_page.render(manifest, ledger, report.facts(), tally)
        files.write_text(folder / REPORT, page)
        digest = digests.of_file(folder / dropped_file.NAME)
        files.write_json(folder / LEDGER, {**ledger, dropped_file.DIGEST: digest})
        files.write_json(folder / dataset_folder.MANIFEST, manifest)
    return manifest


def _write_tfds(
    folder: pathlib.Path,
    watched: Mapping[str, Iterator[described_pairs.Described]],
    beam: beam_pipeline.Options | None,
) -> None:
    if beam is None:
        tfds_files.write(folder, watched)
    else:
        from data_pipeline.writing import hax_qa  # TensorFlow

        hax_qa.write_with_beam(folder, watched, beam)


def _manifest(
    entries: Mapping[str, dict[str, Any]],
    sources: list[dict[str, Any]],
    split_rule: dict[str, Any],
) -> dict[str, Any]:
    """The manifest, but for preferences and its seal."""
    digests_of_splits = {name: entry['sha256'] for name, entry in entries.items()}
    return {
        'schema': dataset_folder.SCHEMA,
        'sha256': records.sha256(digests_of_splits),
        'template_version': text.TEMPLATE_VERSION,
        'splits': entries,
        'sources': sources,
        'split_rule': split_rule,
        'tfds': {'folder': tfds_files.FOLDER, 'version': tfds_files.TFDS_VERSION},
    }


def _check_counts(
    entries: Mapping[str, dict[str, Any]], ledger: dict[str, Any]
) -> None:
    """Raises ValueError (a defect of this program) if other pairs were written."""
    for name, row in ledger.get('kept', {}).items():
        if entries[name]['pairs'] != row['pairs'] + row['copies']:
            raise ValueError(
                f'{entries[name]["pairs"]} records of {name} were written; the ledger '
                f'has {row["pairs"]} pairs and {row["copies"]} copies of them.'
            )


def _watched(
    pairs: Pairs | Callable[[], Pairs],
    watchers: list[Callable[[described_pairs.Described], None]],
) -> Iterator[described_pairs.Described]:
    given = iter(pairs() if callable(pairs) else pairs)
    first = next(given, None)
    if first is None:
        return
    whole = itertools.chain([first], given)
    is_plain = isinstance(first, records.QaPair)
    for some in described_pairs.of(whole) if is_plain else whole:
        for watch in watchers:
            watch(some)
        yield some


def check_output(path: str | pathlib.Path, *, overwrite: bool) -> None:
    """Raises InputError unless a dataset can be written to `path`.

    Only a dataset or an empty folder may be replaced.
    """
    path = pathlib.Path(path)
    errors.refuse(output_file.wrong_place('output', path))
    above = next((each for each in (path, *path.parents) if each.exists()), path)
    if above.exists() and not above.is_dir():
        raise errors.InputError(
            f'--output={path} can not be a folder: {above} is a file; give another '
            '--output.'
        )
    if why := output_file.closed(above):
        raise errors.InputError(f'--output={path}: {why}; give another --output.')
    if not path.exists():
        return
    if not overwrite:
        raise errors.InputError(
            f'{path} exists already; give another --output, or --overwrite to replace '
            'it with all that was made from it (packed rows, tokenizers).'
        )
    names = {each.name for each in path.iterdir()}
    if names and not (path / dataset_folder.MANIFEST).is_file():
        raise errors.InputError(
            f'{path} is not a dataset (it has no {dataset_folder.MANIFEST}), so '
            '--overwrite does not replace it; give another --output.'
        )
    if others := sorted(names - _OWN):
        raise errors.InputError(
            f'{path} holds {counted.first(others)} too, which no build made and '
            '--overwrite would delete; move it away, or give another --output.'
        )


def shown_pairs(path: str | pathlib.Path, split: str) -> Iterator[records.QaPair]:
    """As `read_pairs`, with a progress display."""
    total = dataset_folder.read_manifest(path)['splits'][split]['pairs']
    return progress.over(read_pairs(path, split), f'  {split}', total, 'pair')


def read_pairs(path: str | pathlib.Path, split: str) -> Iterator[records.QaPair]:
    """The pairs of a split, one by one, in the order in which they were written.

    Raises:
      InputError: there is no dataset at `path`, one of its files is not what was
        written, or (at the end) its pairs differ from those in the manifest.
    """
    if split not in records.SPLITS:
        raise errors.InputError(
            f'{split!r} is not a split; use one of {", ".join(records.SPLITS)}.'
        )
    path = local_copy.folder(path)
    expected = dataset_folder.read_manifest(path)['splits'][split]
    nothing = hashlib.sha256().hexdigest()
    if not expected['pairs'] and expected['sha256'] == nothing:
        return
    digest, count = hashlib.sha256(), 0
    for pair in tfds_files.read(path, split):
        digest.update(packed_rows.line(pair))
        count += 1
        yield pair
    if (count, digest.hexdigest()) != (expected['pairs'], expected['sha256']):
        raise errors.InputError(
            f'{path} is damaged: the {count} pairs of its {split} split are not the '
            f'{expected["pairs"]} that {dataset_folder.MANIFEST} was written for. '
            'Build it again.'
        )
