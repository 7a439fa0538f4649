"""Batches as a function of seed and rows; two real processes: test_multihost.py."""

import importlib
import json
import pathlib
import sys
import threading
import types
import unittest.mock
from collections.abc import Iterator

import forks
import jax
import numpy as np
import programs
import pytest
from jax.sharding import NamedSharding

from hax_jax import errors, files
from hax_jax.config import schema
from hax_jax.data import input_pipeline, records, row_stream
from hax_jax.devices import mesh

ROOT = pathlib.Path(__file__).parents[2]


def make_cache(
    path: pathlib.Path, *, num_rows: int = 7, seq_len: int = 5
) -> records.PackedCache:
    """Rows of distinct numbers: inputs of row r are 1000 r, 1000 r + 1, ..."""
    inputs = 1000 * np.arange(num_rows)[:, None] + np.arange(seq_len)
    features = {
        'inputs': inputs.astype(np.int32),
        'targets': (inputs + 1).astype(np.int32),
        'loss_weights': (1 / (1 + inputs)).astype(np.float32),
        'segment_ids': np.ones((num_rows, seq_len), np.int32),
        'positions': np.tile(np.arange(seq_len, dtype=np.int32), (num_rows, 1)),
    }
    splits = {
        name: records.PackedSplit(features, []) for name in ('train', 'validation')
    }
    counts = {'rows': num_rows, 'segments': 0}
    meta = {'seq_len': seq_len, 'splits': {name: counts for name in splits}}
    with files.new_folder(path) as folder:
        records.write_cache(folder, splits, meta)
    return records.open_cache(path)


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> records.PackedCache:
    return make_cache(tmp_path / 'cache')


def one_device() -> NamedSharding:
    return mesh.batch_sharding(mesh.make_mesh(schema.MeshConfig(data=1)))


def train(
    cache: records.PackedCache,
    *,
    start: int = 0,
    num_batches: int = 6,
    batch_size: int = 4,
    seed: int = 0,
    reader: str = 'numpy',
    sharding: NamedSharding | None = None,
) -> list[dict[str, np.ndarray]]:
    batches = input_pipeline.train_batches(
        cache,
        sharding=sharding or one_device(),
        batch_size=batch_size,
        stream=row_stream.RowStream(cache.num_rows('train'), seed, start),
        num_batches=num_batches,
        reader=reader,
    )
    return [on_host(batch) for batch in batches]


def on_host(batch: dict[str, jax.Array]) -> dict[str, np.ndarray]:
    return {name: np.asarray(array) for name, array in batch.items()}


def assert_equal(
    a: list[dict[str, np.ndarray]], b: list[dict[str, np.ndarray]]
) -> None:
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert list(one) == list(other) == list(records.FEATURES)
        for name in records.FEATURES:
            assert one[name].dtype == other[name].dtype
            np.testing.assert_array_equal(one[name], other[name])


# Batches


def test_batches_are_the_rows_of_the_cache(cache: records.PackedCache) -> None:
    features = cache.features('train')
    for index, batch in enumerate(train(cache)):
        rows = row_stream.RowStream(7, seed=0).batch(index, 4)
        for name in records.FEATURES:
            np.testing.assert_array_equal(batch[name], features[name][rows])
            wanted = np.float32 if name == 'loss_weights' else np.int32
            assert batch[name].dtype == wanted


@pytest.mark.parametrize('done', [0, 1, 3, 5, 6])
def test_resuming_gives_the_batches_of_the_run_that_was_never_stopped(
    cache: records.PackedCache, done: int
) -> None:
    again = train(cache, start=4 * done, num_batches=6 - done)
    assert_equal(again, train(cache)[done:])


def test_another_seed_gives_other_batches(cache: records.PackedCache) -> None:
    one, other = train(cache, seed=0), train(cache, seed=1)
    assert any(
        (a['inputs'] != b['inputs']).any() for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize('batch_size', [4, 20])
@pytest.mark.parametrize('start', [0, 5])
def test_tf_data_and_numpy_read_the_same_batches(
    cache: records.PackedCache, batch_size: int, start: int
) -> None:
    pytest.importorskip('tensorflow')
    made = [
        train(cache, batch_size=batch_size, start=start, reader=reader)
        for reader in ('numpy', 'tf_data')
    ]
    assert len(made[0]) == 6
    assert_equal(*made)


def test_numpy_reads_until_tensorflow_is_imported(
    cache: records.PackedCache,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tensorflow = pytest.importorskip('tensorflow')
    expected = train(cache, num_batches=20)
    monkeypatch.delitem(sys.modules, 'tensorflow')
    begun, may_end = threading.Event(), threading.Event()
    importer: list[threading.Thread] = []
    import_module = importlib.import_module

    def slow_import(name: str, *package: str) -> types.ModuleType:
        if name != 'tensorflow':
            return import_module(name, *package)
        importer.append(threading.current_thread())
        begun.set()
        assert may_end.wait(60)
        return tensorflow

    monkeypatch.setattr(importlib, 'import_module', slow_import)
    assert_equal(train(cache, num_batches=20, reader='tf_data'), expected)
    assert not begun.is_set()  # nothing is imported for so short a run
    monkeypatch.setattr(input_pipeline, '_WORTH', 0.0)
    assert_equal(train(cache, num_batches=3, reader='tf_data'), expected[:3])
    assert not begun.is_set()  # nor for so few batches
    batches = input_pipeline.train_batches(
        cache,
        sharding=one_device(),
        batch_size=4,
        stream=row_stream.RowStream(7, seed=0),
        num_batches=20,
        reader='tf_data',
    )
    made = [on_host(next(batches))]
    assert not begun.is_set()  # the first step waits for no import
    made += [on_host(next(batches)) for _ in range(6)]
    assert begun.wait(60)
    assert capsys.readouterr().out == ''
    may_end.set()
    importer[0].join(60)
    made += map(on_host, batches)
    assert_equal(made, expected)
    assert 'tf.data reads from batch 1' in capsys.readouterr().out


def process(places: list[slice]) -> NamedSharding:
    """A sharding of which this process has the devices that hold `places`."""
    sharding = unittest.mock.create_autospec(NamedSharding, instance=True)
    sharding.addressable_devices_indices_map.return_value = {
        f'device {number}': (place,) for number, place in enumerate(places)
    }
    return sharding


PROCESSES = {
    '1 process': [[slice(None)]],
    '2 processes': [[slice(0, 4)], [slice(4, 8)]],
    '4 processes of 2 devices': [
        [slice(2 * n, 2 * n + 1), slice(2 * n + 1, 2 * n + 2)] for n in range(4)
    ],
    '8 processes': [[slice(n, n + 1)] for n in range(8)],
    'devices in another order, each row on two': [
        [slice(6, 8), slice(0, 2), slice(0, 2), slice(6, 8)],
        [slice(4, 6), slice(2, 4), slice(2, 4), slice(4, 6)],
    ],
}


@pytest.mark.parametrize('processes', PROCESSES.values(), ids=PROCESSES)
def test_any_number_of_processes_reads_the_same_global_batch(
    cache: records.PackedCache,
    monkeypatch: pytest.MonkeyPatch,
    processes: list[list[slice]],
) -> None:
    alone = train(cache, batch_size=8)
    alone_eval = list(eval_rows(cache, 8, one_device()))
    # Each process keeps what it read, in place of handing it to its devices.
    monkeypatch.setattr(input_pipeline, '_on_devices', lambda rows, *_: rows)
    whole = [{k: np.full_like(v, -1) for k, v in batch.items()} for batch in alone]
    whole_eval = [{k: np.full_like(v, -1) for k, v in b.items()} for b in alone_eval]
    for places in processes:
        sharding = process(places)
        local = sorted({p for place in places for p in range(8)[place]})
        parts = train(cache, batch_size=8, sharding=sharding)
        assert parts[0]['inputs'].shape == (len(local), 5)  # no more than its own
        for batch, part in zip(whole, parts, strict=True):
            for name in batch:
                batch[name][local] = part[name]
        for batch, part in zip(whole_eval, eval_rows(cache, 8, sharding), strict=True):
            for name in batch:
                batch[name][local] = part[name]
    assert_equal(whole, alone)
    assert_equal(whole_eval, alone_eval)


# Evaluation


def eval_rows(
    cache: records.PackedCache, batch_size: int, sharding: NamedSharding
) -> Iterator[dict[str, np.ndarray]]:
    for batch in input_pipeline.eval_batches(
        cache, 'validation', sharding=sharding, batch_size=batch_size
    ):
        yield {name: np.asarray(array) for name, array in batch.items()}


@pytest.mark.parametrize('batch_size', [1, 3, 7, 8, 20])
def test_evaluation_gives_each_row_once_then_rows_that_are_empty(
    cache: records.PackedCache, batch_size: int
) -> None:
    batches = list(eval_rows(cache, batch_size, one_device()))
    assert all(batch['inputs'].shape == (batch_size, 5) for batch in batches)
    assert len(batches) == -(-7 // batch_size)
    features = cache.features('validation')
    for name in records.FEATURES:
        rows = np.concatenate([batch[name] for batch in batches])
        np.testing.assert_array_equal(rows[:7], features[name])
        assert not rows[7:].any()  # of weight 0 and segment 0 among them
    assert cache.features('validation')['segment_ids'].all()  # the cache is as it was


# Without TensorFlow, on several devices

CHILD = """
import json, sys
sys.modules['tensorflow'] = None  # importing it is an ImportError
import jax, numpy as np
from hax_jax.config import schema
from hax_jax.data import input_pipeline, records, row_stream
from hax_jax.devices import mesh
shape = schema.MeshConfig(data=2, fsdp=2, tensor=2)
batches = input_pipeline.train_batches(
    records.open_cache(sys.argv[1]),
    sharding=mesh.batch_sharding(mesh.make_mesh(shape)),
    batch_size=8, stream=row_stream.RowStream(7, seed=0), num_batches=6, reader='numpy',
)
out = []
for batch in batches:
    assert len(batch['inputs'].sharding.device_set) == 8
    assert {s.data.shape for s in batch['inputs'].addressable_shards} == {(2, 5)}
    out.append({name: np.asarray(array).tolist() for name, array in batch.items()})
json.dump(out, sys.stdout)
"""


def test_numpy_reads_on_eight_devices_where_there_is_no_tensorflow(
    cache: records.PackedCache,
) -> None:
    child = forks.run('-c', CHILD, cache.path, **programs.devices(8))
    assert child.returncode == 0, child.stderr
    made = [
        {name: np.array(value, here[name].dtype) for name, value in batch.items()}
        for batch, here in zip(
            json.loads(child.stdout), train(cache, batch_size=8), strict=True
        )
    ]
    assert_equal(made, train(cache, batch_size=8))


def test_the_reader_that_needs_tensorflow_says_so_where_it_is_not(
    cache: records.PackedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'tensorflow', None)
    with pytest.raises(errors.InputError, match=r'--config\.data\.reader=numpy'):
        train(cache, reader='tf_data')


def test_batches_are_on_their_devices(cache: records.PackedCache) -> None:
    sharding = one_device()
    batch = next(
        input_pipeline.train_batches(
            cache,
            sharding=sharding,
            batch_size=4,
            stream=row_stream.RowStream(7, seed=0),
            num_batches=2,
            reader='numpy',
        )
    )
    for array in batch.values():
        assert isinstance(array, jax.Array)
        assert array.sharding == sharding


def test_rows_that_are_left_behind_may_be_closed_by_the_importing_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, 'tensorflow', raising=False)
    monkeypatch.setattr(input_pipeline, '_WORTH', 0.0)
    may_close, closed = threading.Event(), threading.Event()
    found: list[BaseException | None] = []

    def slow_import(name: str) -> types.ModuleType:
        """Closes the reader, as the garbage collector may in any thread."""
        may_close.wait(60)
        try:
            rows.close()
            found.append(None)
        except RuntimeError as error:
            found.append(error)
        closed.set()
        return types.ModuleType(name)

    monkeypatch.setattr(importlib, 'import_module', slow_import)
    rows = input_pipeline._with_tf_data(lambda index: {}, 9, 8)
    for _ in range(input_pipeline.PREFETCH + 4):
        next(rows)
    may_close.set()
    assert closed.wait(60)
    assert found == [None]


def test_a_run_whose_rows_are_all_read_waits_for_no_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, 'tensorflow', raising=False)
    monkeypatch.setattr(input_pipeline, '_WORTH', 0.0)
    may_end = threading.Event()

    def slow_import(name: str) -> types.ModuleType:
        assert may_end.wait(5), 'it was waited for'
        return types.ModuleType(name)

    monkeypatch.setattr(importlib, 'import_module', slow_import)
    rows = input_pipeline._with_tf_data(lambda index: {}, 9, 8)
    assert len(list(rows)) == 9
    may_end.set()
