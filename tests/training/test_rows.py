"""A run goes on after the last row that it trained, whatever changes in between."""

import dataclasses
import json
import pathlib
import random
import shutil

import forks
import jax
import jax.numpy as jnp
import numpy as np
import programs
import pytest
import tiny_runs

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import records, row_stream
from hax_jax.devices import mesh
from hax_jax.model import param_tree
from hax_jax.planning import planner
from hax_jax.runs import run_folder
from hax_jax.training import between_steps, run_setup, run_step, starting, train_loop
from hax_jax.training import train_state as ts

ROOT = pathlib.Path(__file__).parents[2]
OLD = ROOT / 'tests' / 'golden' / 'run_without_digests'
CHANGES = ['train.batch_size', 'train.grad_accum_steps', 'train.seed', 'mesh.tensor']


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return tiny_runs.write_cache(tmp_path_factory.mktemp('data') / 'cache')


def make_config(**changes: object) -> schema.Config:
    return tiny_runs.make_config(
        **{
            'model__n_layer': 1,
            'model__n_embd': 8,
            'optimizer__warmup_steps': 1,
            'train__eval_every_steps': 1000,
            **changes,
        }
    )


def train(
    cache: records.PackedCache, workdir: pathlib.Path, **changes: object
) -> list[int]:
    """Goes on with a run; the rows of the cache that this call trained, in order."""
    number = {
        row.tobytes(): index
        for index, row in enumerate(cache.features('train')['inputs'])
    }
    assert len(number) == cache.num_rows('train')
    found = []
    batches = run_step.input_pipeline.train_batches

    def noted(*args: object, **kwargs: object) -> object:
        for batch in batches(*args, **kwargs):
            inputs = np.asarray(batch['inputs']).astype(
                cache.features('train')['inputs'].dtype
            )
            found.extend(number[row.tobytes()] for row in inputs)
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_step.input_pipeline, 'train_batches', noted)
        compute_little(patch)
        setup = run_setup.prepare(make_config(**changes), cache)
        train_loop.train(setup, workdir, allow_change=CHANGES)
    return found


def compute_little(patch: pytest.MonkeyPatch) -> None:
    """Steps only count and evaluations give 1.0: a run then compiles at once."""
    patch.setattr(run_step, 'step_function', counting)
    patch.setattr(between_steps.BetweenSteps, 'evaluated', lambda *_: 1.0)
    patch.setattr(between_steps.BetweenSteps, '_check_state', lambda *_: None)


def counting(setup: run_setup.Setup) -> object:
    """A step that compiles at once: it counts, and moves no parameter."""

    def step(state: ts.TrainState, batch: dict[str, jax.Array]) -> object:
        one = jnp.sum(batch['inputs'] >= 0) / batch['inputs'].size
        names = ('loss', 'weight', 'tokens', 'grad_norm', 'learning_rate')
        metrics = {**dict.fromkeys(names, one), 'bad': one * 0, 'action': one * 0}
        return dataclasses.replace(state, step=state.step + 1), metrics

    state = param_tree.shardings(setup.blueprint.state)
    return jax.jit(
        step,
        in_shardings=(state, mesh.batch_sharding(setup.mesh)),
        out_shardings=(state, mesh.replicated(setup.mesh)),
        donate_argnums=0,
    )


CHILD = """
import json, pathlib, sys
from hax_jax.data import records
import test_rows
cache, workdir, calls = sys.argv[1:]
cache, out = records.open_cache(cache), []
for changes in json.loads(calls):
    out += test_rows.train(cache, pathlib.Path(workdir), **changes)
print(json.dumps(out))
"""


def on_eight_devices(
    cache: records.PackedCache, workdir: pathlib.Path, calls: list[dict[str, object]]
) -> list[int]:
    done = forks.run(
        '-c',
        CHILD,
        str(cache.path),
        str(workdir),
        json.dumps(calls),
        **programs.devices(8),
        PYTHONPATH=f'{ROOT}:{ROOT}/tests:{pathlib.Path(__file__).parent}',
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_three_epochs_have_each_row_once_over_batch_sizes_accumulation_and_devices(
    cache: records.PackedCache, tmp_path: pathlib.Path
) -> None:
    chance = random.Random(0)
    num_rows, found, steps = cache.num_rows('train'), [], 0

    def call(*, sizes: list[tuple[int, int]], **changes: object) -> dict[str, object]:
        nonlocal steps
        steps += chance.randint(2, 4)
        batch_size, accumulated = chance.choice(sizes)
        return {
            'train__num_steps': steps,
            'train__batch_size': batch_size,
            'train__grad_accum_steps': accumulated,
            **changes,
        }

    alone = [(3, 1), (6, 2), (12, 4), (5, 5), (16, 1)]
    found += train(cache, tmp_path, **call(sizes=alone))
    eight = [(16, 2), (8, 1), (24, 1)]
    calls = [call(sizes=eight), call(sizes=eight, mesh__tensor=2)]
    found += on_eight_devices(cache, tmp_path, calls)
    last = train(
        cache, tmp_path, train__batch_size=10, train__num_steps=0, train__num_epochs=3.0
    )
    assert last and len(found) + len(last) < 3 * num_rows + 10
    found += last
    for epoch in range(3):
        rows = found[epoch * num_rows : (epoch + 1) * num_rows]
        assert rows == row_stream.permutation(0, epoch, num_rows).tolist()


@pytest.fixture(scope='module')
def begun(
    cache: records.PackedCache, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A run of 4 steps of 4 rows."""
    workdir = tmp_path_factory.mktemp('runs') / 'begun'
    train(cache, workdir, train__num_steps=4, train__batch_size=4)
    return workdir


def test_the_plan_counts_what_is_done_and_what_is_left(
    cache: records.PackedCache, begun: pathlib.Path
) -> None:
    num_rows = cache.num_rows('train')

    def going_on(**changes: object) -> run_setup.Setup:
        run = make_config(train__batch_size=16, **changes)
        return run_setup.prepare(run, cache, begin=starting.progress(begun))

    setup = going_on(train__num_steps=0, train__num_epochs=2.0)
    left = -(-(2 * num_rows - 16) // 16)
    assert setup.begin == run_setup.Progress(4, 16, 0)
    assert setup.num_steps == 4 + left
    assert setup.progress(5).rows == 32
    text = planner.render(planner.make_plan(setup))
    assert (
        f'4 steps (16 rows) are done, {left} steps ({16 * left} rows) are left' in text
    )
    assert f'{(16 + 16 * left) / num_rows:.2f} epochs of {num_rows} rows' in text
    # Due at 5 and at the last step; 4 is behind.
    plan = planner.make_plan(going_on(train__num_steps=6))
    assert (plan.scheduled_checkpoints, plan.rows_ahead) == (2, 32)
    new = planner.render(planner.make_plan(run_setup.prepare(make_config(), cache)))
    assert 'goes on' not in new


def test_a_checkpoint_without_rows_has_those_of_the_batch_size_it_was_made_with(
    cache: records.PackedCache, tmp_path: pathlib.Path
) -> None:
    # 10 steps of 8 rows, by a version that counted steps alone.
    workdir = shutil.copytree(OLD, tmp_path / 'old')
    num_rows = cache.num_rows('train')
    order = [row_stream.permutation(0, epoch, num_rows) for epoch in range(3)]
    expected = np.concatenate(order)[80:112].tolist()
    changes = {'optimizer__warmup_steps': 5, 'train__batch_size': 16}
    assert train(cache, workdir, train__num_steps=12, **changes) == expected
    # Gone back to, after config.json has the new batch size.
    shutil.rmtree(workdir / 'checkpoints' / '12')
    assert run_folder.read_config(workdir).train.batch_size == 16
    assert train(cache, workdir, train__num_steps=12, **changes) == expected


def test_another_seed_begins_with_the_next_epoch_and_it_is_said(
    cache: records.PackedCache,
    begun: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
) -> None:
    workdir = shutil.copytree(begun, tmp_path / 'seed')
    num_rows = cache.num_rows('train')
    changes = {'train__batch_size': 8, 'train__seed': 1}
    found = train(cache, workdir, train__num_steps=6, **changes)
    step = 4 + -(-(num_rows - 16) // 8)
    said = f'keeps the row order of seed 0 to its end, in step {step}; the epochs after'
    assert said in capsys.readouterr().out
    found += train(cache, workdir, train__num_steps=step + 2, **changes)
    assert said in capsys.readouterr().out
    orders = [
        row_stream.permutation(seed, epoch, num_rows).tolist()
        for seed, epoch in ((0, 0), (1, 1))
    ]
    assert found == (orders[0] + orders[1])[16 : 16 + len(found)]
    assert len(found) > num_rows
    begin = starting.progress(workdir)
    stream = run_setup.prepare(make_config(**changes), cache, begin=begin).stream
    assert stream.seed_at(stream.start) == 1


def test_a_run_is_not_made_shorter_than_its_rows(
    cache: records.PackedCache, begun: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workdir = shutil.copytree(begun, tmp_path / 'shorter')

    def shorter(epochs: float) -> list[int]:
        changes = {'train__num_steps': 0, 'train__num_epochs': epochs}
        return train(cache, workdir, train__batch_size=4, **changes)

    with pytest.raises(errors.InputError) as error:
        shorter(0.1)
    assert 'has trained 16 rows already' in str(error.value)
    least = float(
        str(error.value).split('give --config.train.num_epochs=')[1].split()[0]
    )
    assert len(shorter(least)) <= 4  # the remedy works


def test_without_a_run_there_is_no_progress(tmp_path: pathlib.Path) -> None:
    assert starting.progress(tmp_path) == run_setup.Progress()
