"""A pair as a tf.train.Example, and TFRecord files, without TensorFlow.

`import tensorflow` takes seconds and 600 MB, and both formats are small.

Source: tensorflow/core/example/example.proto and feature.proto (the fields' numbers);
https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

import dataclasses
import functools
import pathlib
import struct
from collections.abc import Iterator
from typing import Any

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from hax_jax.data import records

_FIELD = descriptor_pb2.FieldDescriptorProto
_MASK_DELTA = 0xA282EAD8
_FIELDS = dataclasses.fields(records.QaPair)
FRAME = 16  # bytes of a record beside its data


@functools.cache
def example_class() -> Any:
    """The class of messages; its fields are as tf.train.Example's.

    Made in a pool of its own, so that TensorFlow may be imported too.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name='example.proto', package='hax', syntax='proto3'
    )

    def message(name: str, *fields: tuple[str, int, int, str]) -> Any:
        made = file.message_type.add(name=name)
        for field, number, kind, of in fields:
            repeated = field in ('value', 'feature')
            made.field.add(
                name=field,
                number=number,
                type=kind,
                type_name=of or None,
                label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL,
            )
        return made

    def of(name: str, number: int, kind: str) -> tuple[str, int, int, str]:
        return name, number, _FIELD.TYPE_MESSAGE, f'.hax.{kind}'

    message('BytesList', ('value', 1, _FIELD.TYPE_BYTES, ''))
    message('FloatList', ('value', 1, _FIELD.TYPE_FLOAT, ''))
    message('Int64List', ('value', 1, _FIELD.TYPE_INT64, ''))
    feature = message(
        'Feature',
        of('bytes_list', 1, 'BytesList'),
        of('float_list', 2, 'FloatList'),
        of('int64_list', 3, 'Int64List'),
    )
    feature.oneof_decl.add(name='kind')
    for field in feature.field:
        field.oneof_index = 0
    features = message('Features', of('feature', 1, 'Features.FeatureEntry'))
    entry = features.nested_type.add(name='FeatureEntry')
    entry.options.map_entry = True
    entry.field.add(
        name='key', number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL
    )
    entry.field.add(
        name='value',
        number=2,
        type=_FIELD.TYPE_MESSAGE,
        type_name='.hax.Feature',
        label=_FIELD.LABEL_OPTIONAL,
    )
    message('Example', of('features', 1, 'Features'))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('hax.Example'))


def serialized(pair: records.QaPair) -> bytes:
    """The pair as a tf.train.Example's bytes, the same for equal pairs.

    A pair of one exchange has no features of conversations, which TFDS reads as empty.
    """
    example = example_class()()
    feature = example.features.feature
    for field in _FIELDS:
        value = stored_value(pair, field.name)
        if field.name in records.OF_CONVERSATIONS and not value:
            continue
        stored = feature[field.name]
        if field.type is int:
            stored.int64_list.value.append(value)
        elif field.type is float:
            # As bytes: the floats of a tf.Example have 32 bits and would turn 0.1 into
            # 0.10000000149.
            stored.bytes_list.value.append(np.float64(value).tobytes())
        elif field.type is str:
            stored.bytes_list.value.append(value.encode())
        else:
            stored.bytes_list.SetInParent()
            stored.bytes_list.value.extend(each.encode() for each in value)
    return example.SerializeToString(deterministic=True)


def stored_value(pair: records.QaPair, name: str) -> Any:
    """A field of the pair; weights of answers as texts, which keep all their bits."""
    value = getattr(pair, name)
    return tuple(map(repr, value)) if name == 'answer_weights' else value


def record(data: bytes) -> bytes:
    """A record of a file: the length of the data and the data, each with a checksum."""
    size = struct.pack('<Q', len(data))
    return b''.join((size, _checksum(size), data, _checksum(data)))


def records_of(path: pathlib.Path) -> Iterator[bytes]:
    """The data of each record of a file.

    Raises:
      ValueError: the file is cut, or has a checksum of other bytes.
    """
    with open(path, 'rb') as file:
        while head := file.read(12):
            if len(head) < 12 or head[8:] != _checksum(head[:8]):
                raise ValueError(f'{path.name} has a damaged record')
            (size,) = struct.unpack('<Q', head[:8])
            data, checksum = file.read(size), file.read(4)
            if len(data) < size or checksum != _checksum(data):
                raise ValueError(f'{path.name} has a damaged record')
            yield data


def _checksum(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack('<I', ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)
