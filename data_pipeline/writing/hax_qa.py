"""The TFDS builder `hax_qa`, by which Apache Beam writes the files of tfds_files.py.

Imports TensorFlow, so import it inside functions.
"""

import contextlib
import dataclasses
import io
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from absl import logging

from data_pipeline.compared import tf_example
from data_pipeline.preparing import beam_pipeline
from data_pipeline.quiet_tfds import tf, tfds
from data_pipeline.writing import beam_rows, tfds_files
from hax_jax.data import records

_BEAM_SHARD_BYTES = 2**28  # TFDS holds a shard in a worker's memory


class HaxQa(tfds.core.GeneratorBasedBuilder):
    """A dataset of `records.QaPair`, with a feature for each of `fields`.

    `splits` has a transform of Apache Beam for each split, which gives (ordinal,
    example).
    """

    VERSION = tfds.core.Version(tfds_files.VERSION)
    RELEASE_NOTES = tfds_files.RELEASE_NOTES
    # TFDS 4.9.10 would look for checksums of downloads beside this file, which needs
    # importlib_resources, an undeclared requirement. There are no downloads.
    code_path = None

    def __init__(
        self,
        splits: Mapping[str, Any],
        *,
        fields: list[dataclasses.Field[Any]],
        data_dir: str | pathlib.Path,
    ) -> None:
        self._splits = splits
        self._fields = fields
        super().__init__(data_dir=data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {field.name: _feature(field.type) for field in self._fields}
        return tfds.core.DatasetInfo(
            builder=self,
            description=tfds_files.DESCRIPTION,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,  # keeps the order of the examples
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Any]:
        del dl_manager
        return dict(self._splits)

    def _generate_examples(self) -> None:
        raise NotImplementedError('each split has its own transform')


def _feature(kind: type) -> tfds.features.FeatureConnector:
    if kind is int:
        return tfds.features.Scalar(tf.int64)
    if kind is float:
        # As bytes: the floats of a tf.Example have 32 bits and would turn 0.1 into
        # 0.10000000149.
        return tfds.features.Tensor(shape=(), dtype=tf.float64, encoding='bytes')
    if kind is str:
        return tfds.features.Text()
    return tfds.features.Sequence(tfds.features.Text())


def write_with_beam(
    folder: pathlib.Path,
    splits: Mapping[str, tfds_files.Some],
    options: beam_pipeline.Options,
) -> None:
    """As `tfds_files.write`, by Apache Beam: the same records, cut into other files.

    The pairs reach the workers as JSON lines.

    Raises:
      InputError: Apache Beam is not installed, or its pipeline fails.
    """
    tfds.disable_progress_bar()
    with beam_pipeline.work_folder(options, beside=folder) as work:
        used = tfds_files.Used()
        rows = {
            name: beam_rows.write(work, name, _rows(used.seen(pairs)))
            for name, pairs in splits.items()
        }
        names = [field.name for field in used.fields()]
        biggest = max((num_bytes for _, num_bytes in rows.values()), default=0)
        builder = HaxQa(
            {
                name: beam_rows.read(files, names)
                for name, (files, _) in rows.items()
                if files
            },
            fields=used.fields(),
            data_dir=f'{work}/tfds',
        )
        with beam_pipeline.named_errors('writing the dataset'), _quiet():
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(
                    try_download_gcs=False,
                    compute_stats='skip',
                    beam_options=beam_pipeline.parsed(options),
                    # One number for all splits: TFDS 4.9.10 ignores a largest size and
                    # leaves out shards without examples.
                    num_shards=biggest // _BEAM_SHARD_BYTES + 1,
                )
            )
        (folder / tfds_files.FOLDER).mkdir(parents=True)
        for name in tf.io.gfile.listdir(f'{work}/{tfds_files.FOLDER}'):
            tf.io.gfile.copy(
                f'{work}/{tfds_files.FOLDER}/{name}',
                str(folder / tfds_files.FOLDER / name),
            )


def _rows(pairs: tfds_files.Some) -> Iterator[dict[str, Any]]:
    names = [field.name for field in dataclasses.fields(records.QaPair)]
    for some in pairs:
        for pair in some.pairs():
            yield {name: tf_example.stored_value(pair, name) for name in names}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences TFDS's messages about downloads and temporary folders, not warnings."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(min(verbosity, logging.WARNING))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
