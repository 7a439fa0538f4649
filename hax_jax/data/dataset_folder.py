"""A dataset's folder as a trainer reads it: its manifest, its tokenizers, its rows.

data_pipeline makes all three (data_pipeline/dataset.py lists the files). The names of a
tokenizer's folder and of the packed rows' follow from what they are made from, so they
are found here without making them.
"""

import pathlib
from typing import Any

from hax_jax import digests, errors, files, local_copy, near_names
from hax_jax.config import schema
from hax_jax.data import packing, records, text

MANIFEST = 'manifest.json'
SCHEMA = 2  # of manifest and ledger; 2: pairs have a weight


def refuse_as_workdir(workdir: pathlib.Path) -> None:
    """Raises InputError if a run would be written into a dataset."""
    if (workdir / MANIFEST).is_file():
        raise errors.InputError(
            f'--workdir={workdir} is a dataset, which a new build would replace with '
            'all that is in it; give the run a folder of its own.'
        )


def read_manifest(path: str | pathlib.Path) -> dict[str, Any]:
    """The manifest of the dataset at `path`. Needs no TensorFlow.

    Raises:
      InputError: there is no dataset at `path`, its manifest is damaged, or another
        version made it.
    """
    path = local_copy.folder(path)
    try:
        manifest = files.read_json_object(path / MANIFEST)
        if digests.SEAL in manifest and not digests.is_sealed(manifest):
            raise ValueError('it has other contents than were written')
    except ValueError as error:
        raise errors.InputError(
            f'{path / MANIFEST} is damaged ({error}); copy it again, or build the '
            'dataset again with python -m data_pipeline.build --overwrite.'
        ) from error
    except OSError as error:
        why = f'it cannot be read: {error.strerror}'
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            why = 'it is a file' if path.exists() else 'there is no such folder'
            if path.is_dir():
                why = f'it has no {MANIFEST}'
        raise errors.InputError(
            f'{path} is not a dataset ({why}); make one with '
            'python -m data_pipeline.build --input=FILES --output=FOLDER.'
            + near_names.meant(path)
        ) from error
    schema = manifest.get('schema')
    if schema != SCHEMA:
        raise errors.InputError(
            f'{path / MANIFEST} has schema {schema}, this version reads {SCHEMA}; '
            'build the dataset again with python -m data_pipeline.build --overwrite.'
        )
    return manifest


def tokenizer_of(
    data: schema.DataConfig, settings: schema.TokenizerConfig
) -> tuple[pathlib.Path, dict[str, Any]]:
    """The folder of the tokenizer trained on a dataset, and what it is made from."""
    made_from = {
        'train': read_manifest(data.path)['splits']['train']['sha256'],
        'vocab_size': settings.vocab_size,
        'model_type': settings.model_type,
    }
    key = records.sha256(made_from)[:16]
    return local_copy.folder(data.path) / 'tokenizers' / key, made_from


def rows_of(
    data: schema.DataConfig, tokenizer: text.Tokenizer
) -> tuple[pathlib.Path, dict[str, Any]]:
    """The folder of a dataset's packed rows, and what they are made from."""
    made_from = {
        'dataset': read_manifest(data.path)['sha256'],
        'tokenizer': tokenizer.fingerprint,
        'template': text.TEMPLATE_VERSION,
        'packing': packing.PACKING_VERSION,
        'schema': records.CACHE_SCHEMA,
        'seq_len': data.seq_len,
        'question_weight': data.question_weight,
        'long_answers': data.long_answers,
    }
    key = records.sha256(made_from)[:16]
    return local_copy.folder(data.path) / 'packed' / key, made_from


def packed(
    data: schema.DataConfig, tokenizer: text.Tokenizer, *, remedy: str
) -> pathlib.Path:
    """The folder of the packed rows, which were made before.

    Raises:
      InputError: they were not; `remedy` ends the sentence.
    """
    folder, _ = rows_of(data, tokenizer)
    if not folder.is_dir():
        raise errors.InputError(
            f'{data.path} is not packed yet into rows of {data.seq_len} of this '
            f"model's tokens (question_weight={data.question_weight}, long_answers="
            f'{data.long_answers!r}): {folder} is missing. {remedy}'
        )
    return folder
