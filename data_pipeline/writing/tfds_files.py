"""The pairs of a dataset in TFDS's files, written and read without TFDS.

Plain TFDS reads them:

    tfds.builder_from_directory('data/advice/tfds/hax_qa/1.0.0').as_dataset('train')
"""

import contextlib
import dataclasses
import importlib.metadata
import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from data_pipeline.compared import described_pairs, tf_example
from hax_jax import errors, files, sha256sums
from hax_jax.data import records

NAME, VERSION = 'hax_qa', '1.0.0'
FOLDER = f'tfds/{NAME}/{VERSION}'  # under the dataset's folder
TFDS_VERSION = importlib.metadata.version('tensorflow-datasets')
DESCRIPTION = 'Questions put to an advice columnist, with the answers.'
RELEASE_NOTES = {VERSION: 'Question, answer and where they come from.'}
_INFO, _FEATURES = 'dataset_info.json', 'features.json'
_SHARD = 65_536  # pairs in a file, about 150 MB of advice
_CLASSES = 'tensorflow_datasets.core.features'
Some = Iterable[described_pairs.Described]
_TEXT = {'pythonClassName': f'{_CLASSES}.text_feature.Text', 'text': {}}


def write(folder: pathlib.Path, splits: Mapping[str, Some]) -> None:
    """Writes the splits to `folder`/tfds in their order, each read once.

    Leaves out a split without pairs, which TFDS can't represent. The features of
    conversations are there only if there is one.
    """
    path = folder / FOLDER
    path.mkdir(parents=True)
    described = []
    used = Used()
    for name, pairs in splits.items():
        lengths, num_bytes = _write_split(path, name, used.seen(pairs))
        if lengths:
            described.append(
                {
                    'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}',
                    'name': name,
                    'numBytes': str(num_bytes),
                    'shardLengths': [str(count) for count in lengths],
                }
            )
    info = {
        'description': DESCRIPTION,
        'disableShuffling': True,  # keeps the order of the examples
        'fileFormat': 'tfrecord',
        'moduleName': 'data_pipeline.writing.hax_qa',
        'name': NAME,
        'releaseNotes': RELEASE_NOTES,
        'splits': described,
        'version': VERSION,
    }
    (path / _INFO).write_text(json.dumps(info, indent=2))
    features = {field.name: _feature(field.type) for field in used.fields()}
    whole = {
        'featuresDict': {'features': dict(sorted(features.items()))},
        'pythonClassName': f'{_CLASSES}.features_dict.FeaturesDict',
    }
    (path / _FEATURES).write_text(json.dumps(whole, indent=4))


class Used:
    """The features that a dataset's pairs need, once all were seen."""

    def __init__(self) -> None:
        self._optional: set[str] = set()

    def seen(self, pairs: Some) -> Iterator[described_pairs.Described]:
        """The pairs, each looked at."""
        for some in pairs:
            for place in some.conversations:
                pair = some.pair(place)
                self._optional.update(
                    name for name in records.OF_CONVERSATIONS if getattr(pair, name)
                )
            yield some

    def fields(self) -> list[dataclasses.Field[Any]]:
        unused = set(records.OF_CONVERSATIONS) - self._optional
        fields = dataclasses.fields(records.QaPair)
        return [field for field in fields if field.name not in unused]


def _write_split(path: pathlib.Path, name: str, pairs: Some) -> tuple[list[int], int]:
    """Writes the shards of a split; returns their numbers of pairs, and all bytes."""
    lengths, num_bytes = [], 0
    with contextlib.ExitStack() as opened:
        file = None
        for some in pairs:
            left = some.records
            while left:
                if file is None or lengths[-1] == _SHARD:
                    opened.close()
                    shard = path / f'{NAME}-{name}.tfrecord-{len(lengths):05}'
                    file = opened.enter_context(open(shard, 'wb'))
                    lengths.append(0)
                room = _SHARD - lengths[-1]
                part, left = left[:room], left[room:]
                file.writelines(part)
                lengths[-1] += len(part)
                num_bytes += sum(map(len, part)) - len(part) * tf_example.FRAME
    return lengths, num_bytes


def read(folder: pathlib.Path, split: str) -> Iterator[records.QaPair]:
    """The pairs of a split that is not empty, in the order in which they were written.

    Raises:
      InputError: a file that it reads is not what was written, or is damaged.
    """
    path = folder / FOLDER
    pattern = f'{NAME}-{split}.tfrecord*'
    sha256sums.check(path, [_INFO, _FEATURES, pattern])
    made = tf_example.example_class()
    try:
        for name in (_INFO, _FEATURES):
            files.read_json_object(path / name)  # TFDS reads nothing without them
        for file in sorted(path.glob(pattern)):
            for data in tf_example.records_of(file):
                yield _pair(made.FromString(data).features.feature)
    except Exception as error:  # protobuf and damaged values raise many kinds
        if errors.is_of_machine(error):
            raise
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
    values['answer_weights'] = tuple(map(float, values['answer_weights']))
    return records.QaPair(**values)


def _feature(kind: type) -> dict[str, Any]:
    """TFDS's description of a field."""
    if kind is int:
        tensor = {'dtype': 'int64', 'encoding': 'none', 'shape': {}}
        return {'pythonClassName': f'{_CLASSES}.scalar.Scalar', 'tensor': tensor}
    if kind is float:
        tensor = {'dtype': 'float64', 'encoding': 'bytes', 'shape': {}}
        return {
            'pythonClassName': f'{_CLASSES}.tensor_feature.Tensor',
            'tensor': tensor,
        }
    if kind is str:
        return _TEXT
    return {
        'pythonClassName': f'{_CLASSES}.sequence_feature.Sequence',
        'sequence': {'feature': _TEXT, 'length': '-1'},
    }
