"""Rows of a data set of TFDS or of the Hugging Face hub, by its name.

    tfds:reddit_tifu/long     NAME[/CONFIG][:VERSION][@SPLIT], downloaded if need be
    tfds:path/to/a/dataset    a folder with a prepared data set
    hf:owner/name             owner/name[:CONFIG][:SPLIT], streamed

Without a split, all splits are read in the data set's order. Code of a data set is
never run: there is no trust_remote_code.
"""

import contextlib
import importlib
import itertools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from data_pipeline.fields import field_map
from data_pipeline.pages import encoding
from data_pipeline.rows import batches, message_rows, nested_rows, pair_rows
from hax_jax import errors

KINDS = ('tfds', 'hf')
_BATCH_ROWS = 1_000
_BATCH_CHARACTERS = 2**21
_HEAD_ROWS = 20


def is_named(pattern: str) -> bool:
    """Whether an input names a data set, and no file of that name exists."""
    prefix, colon, rest = pattern.strip().partition(':')
    exists = pathlib.Path(pattern).exists()
    return bool(colon and rest) and prefix in KINDS and not exists


def identify(given: str) -> tuple[str, str]:
    """(the data set's name, its version) of an input 'tfds:…' or 'hf:…'.

    A TFDS folder has the name of its data set: no record names a path of this machine.

    Raises:
      InputError: the data set does not exist or cannot be downloaded.
    """
    kind, _, rest = given.strip().partition(':')
    if kind == 'hf':
        first = next(iter(_open_hugging_face(rest).values()), None)
        version = getattr(getattr(first, 'info', None), 'version', None)
        return f'hf:{rest}', str(version or '')
    builder, split = _tfds_builder(rest)
    config = builder.builder_config
    name = f'{builder.name}/{config.name}' if config else builder.name
    return f'tfds:{name}' + (f'@{split}' if split else ''), str(builder.version)


def source_of(name: str) -> str:
    """The source that a data set's pairs have: its name, without its split.

    'tfds:x/long@train' -> 'tfds:x/long', 'hf:a/b::train' -> 'hf:a/b'
    """
    if name.startswith('tfds:'):
        return name.partition('@')[0]
    return ':'.join(name.split(':')[:3]).rstrip(':')


def head(given: str, fields: field_map.FieldMap | None = None) -> list[dict[str, Any]]:
    """The first rows."""
    first = [_decoded(row)[0] for row in itertools.islice(rows(given), _HEAD_ROWS)]
    return [each for row in first for each in nested_rows.unfolded(row, fields)]


def rows(given: str) -> Iterator[dict[str, Any]]:
    """Every row as plain Python values; texts of TFDS are still bytes.

    Raises:
      InputError: as `identify`, or the rows cannot be read.
    """
    kind, _, rest = given.strip().partition(':')
    return _hugging_face_rows(rest) if kind == 'hf' else _tfds_rows(rest)


def spans(given: str) -> Iterator[tuple[tuple[int, dict[str, Any]], ...]]:
    """The rows with their numbers in pieces of fixed size."""
    return batches.pieces(
        enumerate(rows(given), start=1),
        lambda row: _size(row[1]),
        most=_BATCH_CHARACTERS,
        most_rows=_BATCH_ROWS,
    )


def read(batch: batches.Batch, result: batches.BatchRead) -> None:
    """Adds the pairs of a batch of rows."""
    for line, raw in batch.rows:
        row, notes = _decoded(raw)
        for note in notes:
            result.counts['fields that are not UTF-8'] += 1
            result.warnings.append(f'{batch.name}:{line}: a field {note}.')
        text = json.dumps(row, ensure_ascii=False, default=str)
        add = pair_rows.add if batch.fields else message_rows.add
        for each in nested_rows.unfolded(row, batch.fields):
            add(each, text=text, line=line, batch=batch, result=result)


def is_folder(path: pathlib.Path) -> bool:
    """Whether a prepared data set lies in a folder, or in its folders NAME/VERSION."""
    places = ('features.json', '*/features.json', '*/*/features.json')
    return any(any(path.glob(place)) for place in places)


def _tfds_builder(rest: str) -> tuple[Any, str]:
    """(the builder of a prepared data set, the split that is named or '')."""
    name, _, split = rest.partition('@')
    path = pathlib.Path(name).expanduser()
    # TensorFlow is imported only for a data set that is named.
    from data_pipeline.quiet_tfds import tfds

    if path.is_dir():
        return tfds.builder_from_directory(_prepared_folder(path)), split
    if name.startswith(('/', '.', '~')):
        raise errors.InputError(f"'tfds:{rest}': there is no folder {name}.")
    with _explained(
        f"'tfds:{rest}' is no folder, and no data set of TFDS {tfds.__version__}"
    ):
        builder = tfds.builder(name)
    if not builder.is_prepared():
        size = builder.info.download_size
        print(f'downloading {builder.info.full_name} ({size}) to {builder.data_dir}')
        try:
            builder.download_and_prepare()
        except Exception as error:  # of the network, of a host, of a script
            raise errors.InputError(
                f"'tfds:{rest}' could not be downloaded ({_first_line(error)}); "
                f'prepare it on a machine that can (tfds build {name}) and give its '
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


def _tfds_rows(rest: str) -> Iterator[dict[str, Any]]:
    from data_pipeline.quiet_tfds import tfds

    builder, split = _tfds_builder(rest)
    names = list(builder.info.splits)
    if split and split.partition('[')[0] not in names:
        raise errors.InputError(
            f"'tfds:{rest}' has no split {split!r}; it has {', '.join(names)}."
        )
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    for name in [split] if split else names:
        examples = builder.as_dataset(
            split=name, shuffle_files=False, read_config=in_order
        )
        for example in tfds.as_numpy(examples):
            yield _plain(example)


def _open_hugging_face(rest: str) -> dict[str, Any]:
    """The data set's splits by name, each an iterable of rows."""
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
    name, config, split = [*parts, '', ''][:3]
    with _explained(f"'hf:{rest}' cannot be opened"):
        opened = datasets.load_dataset(
            name, config or None, split=split or None, streaming=True
        )
    return {split: opened} if split else dict(opened)


def _hugging_face_rows(rest: str) -> Iterator[dict[str, Any]]:
    for split in _open_hugging_face(rest).values():
        with _explained(f"'hf:{rest}' cannot be read on"):
            for row in split:
                yield _plain(row)


def _plain(value: Any) -> Any:
    """The value with arrays as lists and scalars as Python's own."""
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
    """The row with its bytes as texts, and notes on their encoding."""
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
    """The number of characters of all texts, and one for any other value."""
    if isinstance(value, dict | list):
        return sum(map(_size, value.values() if isinstance(value, dict) else value))
    return len(value) if isinstance(value, str | bytes) else 1


@contextlib.contextmanager
def _explained(problem: str) -> Iterator[None]:
    """Turns any error of the block into an InputError that opens with `problem`."""
    try:
        yield
    except Exception as error:  # many kinds: names, versions, network, damaged files
        raise errors.InputError(f'{problem}: {_first_line(error)}') from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f'{type(error).__name__}: {lines[0] if lines else "no reason given"}'
