"""The TFDS builder `hax_qa`. It imports TensorFlow: import it only where it is used.

What is written here reads with plain TFDS:

    tfds.builder_from_directory('data/advice/tfds/hax_qa/1.0.0').as_dataset('train')
"""

import collections.abc
import contextlib
import dataclasses
import io
import os
import pathlib

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # errors only
# Nothing is computed here; when it is on, TensorFlow says so in four lines.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from hax_jax import records

tf.config.set_visible_devices([], 'GPU')  # the GPU's memory is JAX's

FOLDER = 'tfds/hax_qa/1.0.0'  # under the dataset's folder
TFDS_VERSION = tfds.__version__


class HaxQa(tfds.core.GeneratorBasedBuilder):
    """The splits of `records.QaPair`, a feature for each of its fields, in order."""

    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES = {'1.0.0': 'Question, answer and where they come from.'}  # noqa: RUF012
    # TFDS 4.9.10 looks for checksums of downloads beside this file, and for that needs
    # importlib_resources, which it does not declare. There are no downloads.
    code_path = None

    def __init__(
        self,
        splits: collections.abc.Mapping[str, list[records.QaPair]],
        *,
        data_dir: pathlib.Path,
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
            disable_shuffling=True,  # the order is the one that was given
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, collections.abc.Iterator[tuple[int, dict[str, object]]]]:
        del dl_manager  # nothing is downloaded
        # TFDS refuses a split without examples: an empty one is left out.
        return {
            name: self._generate_examples(pairs)
            for name, pairs in self._splits.items()
            if pairs
        }

    def _generate_examples(
        self, pairs: list[records.QaPair]
    ) -> collections.abc.Iterator[tuple[int, dict[str, object]]]:
        for ordinal, pair in enumerate(pairs):
            yield ordinal, {**dataclasses.asdict(pair), 'flags': list(pair.flags)}


def _feature(kind: type) -> tfds.features.FeatureConnector:
    if kind is int:
        return tfds.features.Scalar(tf.int64)
    if kind is float:
        return tfds.features.Scalar(tf.float64)
    if kind is str:
        return tfds.features.Text()
    return tfds.features.Sequence(tfds.features.Text())


def write(
    folder: pathlib.Path, splits: collections.abc.Mapping[str, list[records.QaPair]]
) -> None:
    """Writes the splits to `folder`/tfds, without network and without a word."""
    tfds.disable_progress_bar()
    with _quiet():
        builder = HaxQa(splits, data_dir=folder / 'tfds')
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                try_download_gcs=False, compute_stats='skip'
            )
        )


def read(folder: pathlib.Path, split: str) -> collections.abc.Iterator[records.QaPair]:
    """The pairs of a split that is not empty, in the order they were written."""
    with _quiet():
        builder = tfds.builder_from_directory(folder / FOLDER)
        examples = builder.as_dataset(split=split)
    for example in examples.as_numpy_iterator():
        values = {}
        for field in dataclasses.fields(records.QaPair):
            value = example[field.name]
            if field.type in (int, float):
                values[field.name] = field.type(value)
            elif field.type is str:
                values[field.name] = value.decode()
            else:
                values[field.name] = tuple(text.decode() for text in value)
        yield records.QaPair(**values)


@contextlib.contextmanager
def _quiet() -> collections.abc.Iterator[None]:
    """TFDS prints and logs of downloads and of temporary folders; warnings still show.

    Its progress bars are off for good: they too name temporary folders.
    """
    verbosity = logging.get_verbosity()
    logging.set_verbosity(min(verbosity, logging.WARNING))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
