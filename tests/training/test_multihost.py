"""Two real processes, one device each: the same batches, the same run."""

import json
import pathlib
import time

import jax
import numpy as np
import processes
import pytest
import tiny_runs

from hax_jax.data import input_pipeline, records
from hax_jax.devices import mesh
from hax_jax.guards import bad_steps
from hax_jax.runs import restore, saved_steps
from hax_jax.training import run_setup, train_loop

# The fourth step is bad, which is read at the sixth: back to the second.
BACK = {
    'model__n_layer': 1,
    'model__n_embd': 8,
    'train__num_steps': 8,
    'train__log_every_steps': 3,
    'train__eval_every_steps': 8,
    'train__checkpoint_every_steps': 2,
    'train__on_bad_step': 'rollback',
}
_CHILD = """
import pathlib, sys
sys.path.append('tests/training')
import test_multihost
from hax_jax.devices import runtime
runtime.start()
test_multihost.name_late()
test_multihost.read_and_train(*map(pathlib.Path, sys.argv[1:]))
"""


def read_and_train(
    cache_path: pathlib.Path, workdir: pathlib.Path, out: pathlib.Path
) -> None:
    """Writes this process's part of 40 batches into `out`, and trains for 10 steps."""
    cache = records.open_cache(cache_path)
    run = tiny_runs.make_config(train__num_steps=10)
    setup = run_setup.prepare(run, cache)
    read = input_pipeline.train_batches(
        cache,
        sharding=mesh.batch_sharding(setup.mesh),
        batch_size=8,
        stream=setup.stream,
        num_batches=40,
        reader='numpy',
    )
    for step, batch in enumerate(read):
        parts = {
            f'{step}.{name}.{part.index[0].start or 0}': np.asarray(part.data)
            for name, array in batch.items()
            for part in array.addressable_shards
        }
        np.savez(out / f'{step}.{jax.process_index()}.npz', **parts)
    train_loop.train(setup, workdir, allow_change=[])
    run = tiny_runs.make_config(**BACK)
    setup = run_setup.prepare(run, records.open_cache(cache_path.parent / 'poisoned'))
    train_loop.train(setup, workdir.with_name(f'{workdir.name} back'), allow_change=[])


def name_late() -> None:
    """Process 0 gives step 2 its name so late that the others could look before."""
    write_record = saved_steps.write_record

    def late(folder: pathlib.Path, info: saved_steps.StepInfo, run_id: str) -> None:
        time.sleep(2.0 * (info.step == 2))
        write_record(folder, info, run_id)

    saved_steps.write_record = late


def poison(folder: pathlib.Path) -> None:
    """Rows whose fourth step has no finite loss."""
    cache = tiny_runs.write_cache(folder, num_train=240)
    setup = run_setup.prepare(tiny_runs.make_config(**BACK), cache)
    weights = np.array(cache.features('train')['loss_weights'])
    weights[setup.rows_of(4)[0]] = 3e38  # together over what float32 has
    np.save(cache.path / 'train' / 'loss_weights.npy', weights)


def batches(out: pathlib.Path) -> dict[str, np.ndarray]:
    """'step.feature' -> the global batch, its parts put together by their rows."""
    parts: dict[str, dict[int, np.ndarray]] = {}
    for path in out.glob('*.npz'):
        for name, array in np.load(path).items():
            step_and_feature, _, start = name.rpartition('.')
            parts.setdefault(step_and_feature, {})[int(start)] = array
    return {
        name: np.concatenate([rows[start] for start in sorted(rows)])
        for name, rows in parts.items()
    }


def losses(workdir: pathlib.Path, kind: str) -> dict[int, float]:
    rows = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
    return {
        row['step']: row.get('loss', row.get('eval_loss'))
        for row in rows
        if row['kind'] == kind
    }


@pytest.fixture(scope='module')
def two_ways(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """10 steps with one process, this one, and with two."""
    root = tmp_path_factory.mktemp('multihost')
    cache = tiny_runs.write_cache(root / 'cache')
    poison(root / 'poisoned')
    for name in ('batches1', 'batches2'):
        (root / name).mkdir()
    read_and_train(cache.path, root / 'one', root / 'batches1')
    arguments = ['-c', _CHILD, cache.path, root / 'two', root / 'batches2']
    processes.run_well(*arguments, num_processes=2)
    return root


def test_the_global_batch_does_not_depend_on_the_number_of_processes(
    two_ways: pathlib.Path,
) -> None:
    one, two = batches(two_ways / 'batches1'), batches(two_ways / 'batches2')
    assert len(one) == 40 * len(records.FEATURES)
    assert one.keys() == two.keys()
    for name, rows in one.items():
        assert rows.shape == (8, tiny_runs.SEQ_LEN)
        np.testing.assert_array_equal(rows, two[name])


def test_two_processes_train_as_one_does(two_ways: pathlib.Path) -> None:
    for kind in ('train', 'evaluation'):
        one = losses(two_ways / 'one', kind)
        two = losses(two_ways / 'two', kind)
        assert one.keys() == two.keys()
        np.testing.assert_allclose(list(two.values()), list(one.values()), rtol=1e-5)
    one = restore.load_base(str(two_ways / 'one')).parameters
    two = restore.load_base(str(two_ways / 'two')).parameters
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, atol=2e-4, err_msg=name)


def test_two_processes_roll_back_as_one_does(two_ways: pathlib.Path) -> None:
    lines = [
        (two_ways / f'{name} back' / bad_steps.FILE).read_text().splitlines()
        for name in ('one', 'two')
    ]
    (one,), (two,) = (map(json.loads, each) for each in lines)
    assert (one['step'], one['action'], one['skip']) == (4, 'rolled back', [24, 31])
    assert one == two
    one, two = (losses(two_ways / f'{name} back', 'train') for name in ('one', 'two'))
    assert one.keys() == two.keys()
    np.testing.assert_allclose(list(two.values()), list(one.values()), rtol=1e-5)
