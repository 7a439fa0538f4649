"""Packed rows to sharded device batches. Only this module imports TensorFlow.

A training batch is the next B rows of the stream (row_stream.py): a function of the
seed and of the rows consumed so far. So nothing is dropped at an epoch's end or where
the batch size changes, and any number of processes makes the same batch.
"""

import collections
import importlib.util
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from hax_jax import errors
from hax_jax.data import records, row_stream

Rows = dict[str, np.ndarray]  # records.FEATURES, each [rows, T]
PREFETCH = 2  # batches on their way to the devices
_WORTH = 60.0  # seconds of training to come, for which TensorFlow is imported


def train_batches(
    cache: records.PackedCache,
    *,
    sharding: NamedSharding,
    batch_size: int,
    stream: row_stream.RowStream,
    num_batches: int,
    reader: str,
) -> Iterator[dict[str, jax.Array]]:
    """The next batches of the stream, each [B, T] on its devices."""
    features = cache.features('train')
    local = _local_places(sharding, batch_size)

    def read(index: int) -> Rows:
        return _take(features, stream.batch(index, batch_size)[local])

    if reader == 'tf_data':
        batches = _with_tf_data(read, num_batches, cache.seq_len)
    else:
        batches = map(read, range(num_batches))
    return _prefetched(_on_devices(rows, sharding, batch_size) for rows in batches)


def eval_batches(
    cache: records.PackedCache, split: str, *, sharding: NamedSharding, batch_size: int
) -> Iterator[dict[str, jax.Array]]:
    """Every row of a split once, in order; the last batch is filled with empty rows.

    Empty rows have weight 0 and segment 0, as padding has. Read by numpy: the split is
    small, and TensorFlow would add nothing.
    """
    features = cache.features(split)
    num_rows = cache.num_rows(split)
    local = _local_places(sharding, batch_size)
    for start in range(0, num_rows, batch_size):
        places = start + local
        rows = _take(features, np.minimum(places, num_rows - 1))
        empty = places >= num_rows
        for array in rows.values():
            array[empty] = 0
        yield _on_devices(rows, sharding, batch_size)


def _take(features: dict[str, np.ndarray], rows: np.ndarray) -> Rows:
    taken = {name: features[name][rows] for name in records.FEATURES}
    return {
        name: array.astype(np.float32 if name == 'loss_weights' else np.int32)
        for name, array in taken.items()
    }


def _local_places(sharding: NamedSharding, batch_size: int) -> np.ndarray:
    """The places in a batch of B rows that this process's devices hold, ascending."""
    parts = sharding.addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[part] for part in parts]))


def _on_devices(
    rows: Rows, sharding: NamedSharding, batch_size: int
) -> dict[str, jax.Array]:
    local = _local_places(sharding, batch_size)
    places = np.arange(batch_size)
    return {
        name: jax.make_array_from_callback(
            (batch_size, *array.shape[1:]),
            sharding,
            lambda index, array=array: array[np.searchsorted(local, places[index[0]])],
        )
        for name, array in rows.items()
    }


def _prefetched(
    batches: Iterable[dict[str, jax.Array]],
) -> Iterator[dict[str, jax.Array]]:
    """Starts the copy of the next batches while the devices work on this one."""
    queue: collections.deque[dict[str, jax.Array]] = collections.deque()
    for batch in batches:
        queue.append(batch)
        if len(queue) > PREFETCH:
            yield queue.popleft()
    yield from queue


def _with_tf_data(
    read: Callable[[int], Rows], num_batches: int, seq_len: int
) -> Iterator[Rows]:
    """The same rows, read ahead by tf.data's threads once TensorFlow is imported.

    The import takes seconds of both cores of a laptop, and nothing waits for it: it
    begins, in a thread, when the batches to come will take over a minute at the pace
    of those before; until it has ended, rows are read as by 'numpy'. A shorter run
    imports nothing.
    """
    index, importing = 0, None
    if 'tensorflow' not in sys.modules:
        if importlib.util.find_spec('tensorflow') is None:
            raise _no_tensorflow('it is not installed')
        first, begun = PREFETCH + 2, 0.0  # a run looks at its second batch too
        while index < num_batches and not (importing and importing.done()):
            yield read(index)
            index += 1
            if index <= first:  # the first step is compiled meanwhile
                begun = time.perf_counter()
                continue
            pace = (time.perf_counter() - begun) / (index - first)
            if not importing and pace * (num_batches - index) > _WORTH:
                thread = futures.ThreadPoolExecutor(1)
                importing = thread.submit(importlib.import_module, 'tensorflow')
                # Not joined: a generator that is left behind may be closed in it.
                thread.shutdown(wait=False)
    if index == num_batches:  # an import that goes on is of no use
        return
    try:
        tf = importing.result() if importing else importlib.import_module('tensorflow')
    except ImportError as error:
        raise _no_tensorflow(error) from error
    if index:
        print(
            f'tf.data reads from batch {index + 1} on: TensorFlow is imported, and '
            'NumPy has read the rows before',
            flush=True,
        )
    yield from _tf_data(tf, read, range(index, num_batches), seq_len)


def _no_tensorflow(why: object) -> errors.InputError:
    return errors.InputError(
        f"data.reader='tf_data' needs TensorFlow ({why}); install requirements.txt, or "
        'read the same batches with --config.data.reader=numpy.'
    )


def _tf_data(
    tf: Any, read: Callable[[int], Rows], indices: range, seq_len: int
) -> Iterator[Rows]:
    """The batches of these numbers, read ahead by tf.data's threads."""
    tf.config.set_visible_devices([], 'GPU')  # the accelerator is JAX's
    dtypes = [
        tf.float32 if name == 'loss_weights' else tf.int32 for name in records.FEATURES
    ]

    def read_list(index: np.integer) -> list[np.ndarray]:
        rows = read(int(index))
        return [rows[name] for name in records.FEATURES]

    def load(index: Any) -> dict[str, Any]:
        arrays = tf.numpy_function(read_list, [index], dtypes, stateful=False)
        for array in arrays:
            array.set_shape([None, seq_len])
        return dict(zip(records.FEATURES, arrays, strict=True))

    dataset = tf.data.Dataset.range(indices.start, indices.stop)
    dataset = dataset.map(load, num_parallel_calls=2, deterministic=True)
    return dataset.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()
