"""The TFDS builder `hax_qa`. Imports TensorFlow, so import it inside functions.

Plain TFDS reads its files:

    tfds.builder_from_directory('data/advice/tfds/hax_qa/1.0.0').as_dataset('train')
"""

import contextlib
import dataclasses
import io
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from absl import logging

from data_pipeline.preparing import beam_pipeline
from data_pipeline.quiet_tfds import tf, tfds
from data_pipeline.writing import beam_rows
from hax_jax import errors, sha256sums
from hax_jax.data import records

FOLDER = 'tfds/hax_qa/1.0.0'  # under the dataset's folder
TFDS_VERSION = tfds.__version__
_DESCRIPTIONS = ['dataset_info.json', 'features.json']
_SHARD = 65_536  # pairs in a file, about 150 MB of advice
_BEAM_SHARD_BYTES = 2**28  # TFDS holds a shard in a worker's memory
_READ = 256  # examples read at a time
_BATCH = 1024  # pairs held at a time; TFDS writes its metadata after each batch


class HaxQa(tfds.core.GeneratorBasedBuilder):
    """A dataset of `records.QaPair`, with a feature for each of its fields.

    `splits` has a transform of Apache Beam for each split, which gives (ordinal,
    example).
    """

    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES = {'1.0.0': 'Question, answer and where they come from.'}  # noqa: RUF012
    # TFDS 4.9.10 would look for checksums of downloads beside this file, which needs
    # importlib_resources, an undeclared requirement. There are no downloads.
    code_path = None

    def __init__(
        self, splits: Mapping[str, Any], *, data_dir: str | pathlib.Path
    ) -> None:
        self._splits = splits
        super().__init__(data_dir=data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            field.name: _feature(field.type)
            for field in dataclasses.fields(records.QaPair)
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description='Questions put to an advice columnist, with the answers.',
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


def write(folder: pathlib.Path, splits: Mapping[str, Iterable[records.QaPair]]) -> None:
    """Writes the splits to `folder`/tfds in their order, each read once.

    Leaves out a split without pairs, which TFDS can't represent. Uses TFDS's sequential
    writer, which holds one batch of pairs. TFDS's shuffler would keep up to 1 GB and
    read all it spilled back at once: keys that are ordinals fall into the first of its
    1,000 buckets.
    """
    with _quiet():
        builder = HaxQa({}, data_dir=folder / 'tfds')
    (folder / FOLDER).mkdir(parents=True)
    writer = tfds.core.SequentialWriter(builder.info, max_examples_per_shard=_SHARD)
    for name, pairs in splits.items():
        examples = map(example, pairs)
        while batch := list(itertools.islice(examples, _BATCH)):
            writer.initialize_splits([name], fail_if_exists=False)
            writer.add_examples({name: batch})
    writer.close_all()


def write_with_beam(
    folder: pathlib.Path,
    splits: Mapping[str, Iterable[records.QaPair]],
    options: beam_pipeline.Options,
) -> None:
    """As `write`, by Apache Beam: the same records in the same order, in other files.

    The pairs reach the workers as JSON lines.

    Raises:
      InputError: Apache Beam is not installed, or its pipeline fails.
    """
    tfds.disable_progress_bar()
    with beam_pipeline.work_folder(options, beside=folder) as work:
        rows = {
            name: beam_rows.write(work, name, map(vars, pairs))
            for name, pairs in splits.items()
        }
        biggest = max((num_bytes for _, num_bytes in rows.values()), default=0)
        builder = HaxQa(
            {name: beam_rows.read(files) for name, (files, _) in rows.items() if files},
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
        (folder / FOLDER).mkdir(parents=True)
        for name in tf.io.gfile.listdir(f'{work}/{FOLDER}'):
            tf.io.gfile.copy(f'{work}/{FOLDER}/{name}', str(folder / FOLDER / name))


def example(pair: records.QaPair) -> dict[str, object]:
    """The pair with TFDS's types."""
    return {**vars(pair), 'flags': list(pair.flags)}


def read(folder: pathlib.Path, split: str) -> Iterator[records.QaPair]:
    """The pairs of a split that is not empty, in the order in which they were written.

    Parses the examples itself, which takes a fourth of the time of TFDS's tf.data.

    Raises:
      InputError: a file that it reads is not what was written, or is damaged.
    """
    path = folder / FOLDER
    sha256sums.check(path, [*_DESCRIPTIONS, f'{HaxQa.name}-{split}.tfrecord*'])
    try:
        with _quiet():
            builder = tfds.builder_from_directory(path)
        paths = [str(path) for path in builder.info.splits[split].filepaths]
        for batch in tf.data.TFRecordDataset(paths).batch(_READ).as_numpy_iterator():
            for serialized in batch:
                yield _pair(tf.train.Example.FromString(serialized).features.feature)
    except Exception as error:  # TensorFlow, TFDS and protobuf raise many kinds
        reason = (str(error) or repr(error)).splitlines()[0]
        raise errors.InputError(
            f'{path} is damaged: its {split} split is not to be read ({reason}). Copy '
            'it again, or build the dataset again.'
        ) from error


def _pair(features: Mapping[str, Any]) -> records.QaPair:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(records.QaPair):
        feature = features[field.name]
        stored = feature.bytes_list.value
        if field.type is int:
            (values[field.name],) = feature.int64_list.value
        elif field.type is float:
            values[field.name] = float(np.frombuffer(stored[0], np.float64)[0])
        elif field.type is str:
            values[field.name] = stored[0].decode()
        else:
            values[field.name] = tuple(each.decode() for each in stored)
    return records.QaPair(**values)


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
