"""Rows of a data set of TFDS or of the Hugging Face hub, by its name.

    tfds:reddit_tifu/long     NAME[/CONFIG][:VERSION][@SPLIT], downloaded if need be
    tfds:path/to/a/dataset    a folder of one that is prepared
    hf:owner/name             owner/name[:CONFIG][:SPLIT], streamed

Without a split all of them are read, in the order that the data set has them in. No
code of a data set's own is ever run: there is no trust_remote_code.
"""

import importlib
import itertools
import pathlib
from collections.abc import Iterator
from typing import Any

from data_pipeline.pages import encoding
from data_pipeline.rows import batch_types, json_lines, pair_rows
from hax_jax import errors

KINDS = ('tfds', 'hf')
BATCH_ROWS = 1_000
BATCH_CHARACTERS = 2**21
_HEAD_ROWS = 20


def is_named(pattern: str) -> bool:
    """Whether an input names a data set; no file does that is there."""
    prefix, colon, rest = pattern.strip().partition(':')
    there = pathlib.Path(pattern).exists()
    return bool(colon and rest) and prefix in KINDS and not there


def identify(given: str) -> tuple[str, str]:
    """(the data set's name, its version) of an input 'tfds:…' or 'hf:…'.

    A TFDS folder has the name of its data set: the path of no machine is in a record.

    Raises:
      InputError: there is no such data set here, or it cannot be had.
    """
    kind, _, rest = given.strip().partition(':')
    if kind == 'hf':
        return f'hf:{rest}', _hugging_face_version(rest)
    builder, split = _tfds_builder(rest)
    name = '/'.join(filter(None, [builder.name, _config_name(builder)]))
    return f'tfds:{name}' + (f'@{split}' if split else ''), str(builder.version)


def source_of(name: str) -> str:
    """The source that a data set's pairs have: its name, without its split.

    'tfds:x/long@train' -> 'tfds:x/long', 'hf:a/b::train' -> 'hf:a/b'
    """
    if name.startswith('tfds:'):
        return name.partition('@')[0]
    return ':'.join(name.split(':')[:3]).rstrip(':')


def head(given: str) -> list[dict[str, Any]]:
    """The first rows."""
    return [_decoded(row)[0] for row in itertools.islice(rows(given), _HEAD_ROWS)]


def rows(given: str) -> Iterator[dict[str, Any]]:
    """Every row as plain Python values; texts of TFDS are still bytes.

    Raises:
      InputError: as `identify`, or the rows cannot be read.
    """
    kind, _, rest = given.strip().partition(':')
    return _hugging_face_rows(rest) if kind == 'hf' else _tfds_rows(rest)


def spans(
    given: str,
) -> Iterator[tuple[tuple[int, dict[str, Any]], ...]]:
    """The rows with their numbers in pieces of fixed size."""
    held: list[tuple[int, dict[str, Any]]] = []
    size = 0
    for row in enumerate(rows(given), start=1):
        held.append(row)
        size += _size(row[1])
        if len(held) == BATCH_ROWS or size >= BATCH_CHARACTERS:
            yield tuple(held)
            held, size = [], 0
    if held:
        yield tuple(held)


def read(batch: batch_types.Batch, result: batch_types.BatchRead) -> None:
    """Adds the pairs of a batch of rows."""
    for line, raw in batch.rows:
        row, notes = _decoded(raw)
        for note in notes:
            result.counts['fields that are not UTF-8'] += 1
            result.warnings.append(f'{batch.name}:{line}: a field {note}.')
        text = json_lines.as_line(row)
        pair_rows.add(row, text=text, line=line, batch=batch, result=result)


def is_folder(path: pathlib.Path) -> bool:
    """Whether a prepared data set lies at a folder, or where its name puts it below."""
    places = ('features.json', '*/features.json', '*/*/features.json')
    return any(any(path.glob(place)) for place in places)


def _tfds_builder(rest: str) -> tuple[Any, str]:
    """(the builder of a data set that is prepared, the split that is named or '')."""
    name, _, split = rest.partition('@')
    path = pathlib.Path(name).expanduser()
    # TensorFlow: only when a data set is named.
    from data_pipeline.quiet_tfds import tfds

    if path.is_dir():
        return tfds.builder_from_directory(_prepared_folder(path)), split
    if name.startswith(('/', '.', '~')):
        raise errors.InputError(f"'tfds:{rest}': there is no folder {name}.")
    try:
        builder = tfds.builder(name)
    except Exception as error:  # its own, of many kinds: unknown names, versions, …
        raise errors.InputError(
            f"'tfds:{rest}' is no folder, and no data set of TFDS "
            f'{tfds.__version__}: {_first_line(error)}'
        ) from error
    if not builder.is_prepared():
        size = builder.info.download_size
        print(f'downloading {builder.info.full_name} ({size}) to {builder.data_dir}')
        try:
            builder.download_and_prepare()
        except Exception as error:  # of the network, of a host, of a script
            raise errors.InputError(
                f"'tfds:{rest}' could not be downloaded ({_first_line(error)}); "
                f'prepare it where that works (tfds build {name}) and give its '
                'folder: tfds:FOLDER.'
            ) from error
    return builder, split


def _prepared_folder(path: pathlib.Path) -> pathlib.Path:
    """The one folder of a prepared data set at or below a path.

    Raises:
      InputError: there is none, or more than one.
    """
    found = sorted({file.parent for file in path.rglob('features.json')})
    if len(found) != 1:
        has = 'holds no prepared data set (no features.json)'
        if found:
            has = f'holds {len(found)}: {", ".join(map(str, found[:5]))}'
        raise errors.InputError(f"'tfds:{path}' {has}; give the folder of one.")
    return found[0]


def _config_name(builder: Any) -> str:
    return builder.builder_config.name if builder.builder_config else ''


def _tfds_rows(rest: str) -> Iterator[dict[str, Any]]:
    builder, split = _tfds_builder(rest)
    names = list(builder.info.splits)
    if split and split.partition('[')[0] not in names:
        raise errors.InputError(
            f"'tfds:{rest}' has no split {split!r}; it has {', '.join(names)}."
        )
    from data_pipeline.quiet_tfds import tfds

    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    for name in [split] if split else names:
        examples = builder.as_dataset(
            split=name, shuffle_files=False, read_config=in_order
        )
        for example in tfds.as_numpy(examples):
            yield _plain(example)


def _hugging_face(rest: str) -> tuple[Any, list[str]]:
    """(the module `datasets`, [name, config, split] with '' for what is not said)."""
    try:
        datasets = importlib.import_module('datasets')
    except ImportError as error:
        raise errors.InputError(
            f"'hf:{rest}' needs a package that is not installed ({error}); "
            'pip install datasets'
        ) from error
    parts = rest.split(':')
    if len(parts) > 3:
        raise errors.InputError(f"'hf:{rest}' is not hf:owner/name[:CONFIG][:SPLIT].")
    return datasets, [*parts, '', ''][:3]


def _open_hugging_face(rest: str) -> dict[str, Any]:
    """The data set's splits by name, each an iterable of rows."""
    datasets, (name, chosen, split) = _hugging_face(rest)
    try:
        opened = datasets.load_dataset(
            name, chosen or None, split=split or None, streaming=True
        )
    except Exception as error:  # its own, of many kinds: names, configs, the network
        raise errors.InputError(
            f"'hf:{rest}' cannot be opened: {_first_line(error)}"
        ) from error
    return {split: opened} if split else dict(opened)


def _hugging_face_version(rest: str) -> str:
    first = next(iter(_open_hugging_face(rest).values()), None)
    return str(getattr(getattr(first, 'info', None), 'version', None) or '')


def _hugging_face_rows(rest: str) -> Iterator[dict[str, Any]]:
    for rows_of_split in _open_hugging_face(rest).values():
        iterator = iter(rows_of_split)
        while True:
            try:
                row = next(iterator)
            except StopIteration:
                break
            except Exception as error:  # of the network, or of a damaged file
                raise errors.InputError(
                    f"'hf:{rest}' cannot be read on: {_first_line(error)}"
                ) from error
            yield _plain(row)


def _plain(value: Any) -> Any:
    """Arrays as lists, scalars as Python's own; a row is small enough to recurse."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, 'to_list'):  # ragged
        return _plain(value.to_list())
    if hasattr(value, 'tolist'):
        return value.tolist()
    if value is None or isinstance(value, str | bytes | int | float):
        return value
    return str(value)  # dates and such


def _decoded(row: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The row with its bytes as texts, and what had to be done for it."""
    notes: list[str] = []

    def visit(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: visit(each) for name, each in value.items()}
        if isinstance(value, list):
            return [visit(each) for each in value]
        if isinstance(value, bytes):
            value, note = encoding.decode_part(value)
            notes.extend([note] if note else [])
        return value

    return visit(row), notes


def _size(value: Any) -> int:
    """The characters of all texts, and one for any other value."""
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, list):
        return sum(map(_size, value))
    return len(value) if isinstance(value, str | bytes) else 1


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f'{type(error).__name__}: {lines[0] if lines else "no reason given"}'
