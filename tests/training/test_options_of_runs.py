"""Frozen, multiplied and bfloat16 parameters in runs: saved, restored, gone on with."""

import pathlib
import shutil

import ml_dtypes
import numpy as np
import pytest
import tiny_runs

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import records
from hax_jax.model import naming
from hax_jax.runs import origin, restore, run_folder
from hax_jax.training import run_setup
from hax_jax.watch import profiling

FROZEN = ('wte.*=0', 'h.0.*=0', 'h.1.*=0.5')


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return tiny_runs.write_cache(tmp_path_factory.mktemp('data') / 'cache')


def train_cut_and_go_on(
    cache: records.PackedCache, folder: pathlib.Path, run: schema.Config
) -> pathlib.Path:
    """A run of 6 steps; in the folder `cut` beside it the same, its last 3 redone."""
    whole = tiny_runs.train(cache, folder / 'whole', run)
    shutil.copytree(whole, folder / 'cut')
    shutil.rmtree(folder / 'cut' / 'checkpoints' / '6')
    tiny_runs.train(cache, folder / 'cut', run)
    one, other = (restore.parameters(str(folder / n), step=6) for n in ('whole', 'cut'))
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
    return whole


SHORT = {
    'train__num_steps': 6,
    'train__eval_every_steps': 6,
    'train__checkpoint_every_steps': 3,
    'optimizer__warmup_steps': 2,
}
TWO = {**SHORT, 'model__n_layer': 2}


@pytest.fixture(scope='module')
def frozen(
    cache: records.PackedCache, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    run = tiny_runs.make_config(**TWO, optimizer__lr_multipliers=FROZEN)
    return train_cut_and_go_on(cache, tmp_path_factory.mktemp('runs'), run)


def test_frozen_parameters_are_found_in_the_run_and_have_not_moved(
    frozen: pathlib.Path,
) -> None:
    early = restore.parameters(str(frozen), step=3)
    late = restore.parameters(str(frozen), step=6)
    shapes = naming.parameter_shapes(tiny_runs.make_config(**TWO).model)
    assert {name: value.shape for name, value in late.items()} == shapes
    for name, value in late.items():
        still = name.startswith(('wte.', 'h.0.'))
        assert np.array_equal(value, early[name]) == still, name


def test_what_is_frozen_makes_the_run(
    cache: records.PackedCache, frozen: pathlib.Path
) -> None:
    run = tiny_runs.make_config(**TWO, optimizer__lr_multipliers=('wte.*=0',))
    with pytest.raises(errors.InputError) as caught:
        tiny_runs.train(cache, frozen, run)
    assert "lr_multipliers: ['wte.*=0', 'h.0.*=0', 'h.1.*=0.5'] -> ['wte.*=0']: " in (
        str(caught.value)
    )
    assert 'give its workdir as model.pretrained' in str(caught.value)


def test_a_run_of_bfloat16_goes_on_bit_for_bit_and_is_read_as_float32(
    cache: records.PackedCache,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tiny_runs.make_config(
        **SHORT,
        optimizer__learning_rate=1e-5,
        optimizer__moment_dtype='bfloat16',
        train__param_dtype='bfloat16',
    )
    workdir = train_cut_and_go_on(cache, tmp_path, run)
    for value in restore.parameters(str(workdir)).values():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, value.astype(ml_dtypes.bfloat16))
    rows = tiny_runs.lines(workdir, 'train')
    assert all(row['lost_updates'] > 0.5 for row in rows)
    whole, again = capsys.readouterr().out.split('continuing from step 3')
    for printed in (whole, again):
        assert printed.count('of the updates are too small for bfloat16') == 1
    assert f'{rows[0]["lost_updates"]:.0%} of the updates' in whole


def test_a_base_in_bfloat16_is_held_by_the_hash_of_its_float32(
    cache: records.PackedCache, frozen: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = tiny_runs.make_config(
        **TWO, train__param_dtype='bfloat16', train__z_loss=1e-3
    )
    run, _ = origin.resolve(tiny_runs.lora(run, frozen))
    tiny_runs.train(cache, tmp_path / 'lora', run)
    base = restore.load_base(str(frozen))
    assert run_folder.read_run(tmp_path / 'lora')['base']['hash'] == base.hash
    merged = restore.parameters(str(tmp_path / 'lora'))
    for name in ('wte.embedding', 'ln_f.scale'):  # which the adapters left as it was
        np.testing.assert_array_equal(merged[name], base.parameters[name])
    rows = tiny_runs.lines(tmp_path / 'lora', 'train')
    assert all(row['z_loss'] > 0 and 'lost_updates' not in row for row in rows)


def test_recomputation_that_would_do_nothing_is_refused(
    cache: records.PackedCache,
) -> None:
    run = tiny_runs.make_config(train__remat='block')
    says = r'give --config\.model\.scan_layers=true'
    with pytest.raises(errors.InputError, match=says):
        run_setup.prepare(run, cache)


def test_a_trace_past_the_end_of_the_run_is_refused(cache: records.PackedCache) -> None:
    run = tiny_runs.make_config(train__profile_steps='28:31')
    with pytest.raises(errors.InputError, match='reaches past the 30 steps of the run'):
        run_setup.prepare(run, cache)
    run_setup.prepare(tiny_runs.make_config(train__profile_steps='28:30'), cache)


def test_a_run_of_more_steps_than_a_state_can_count_is_refused(
    cache: records.PackedCache,
) -> None:
    run = tiny_runs.make_config(train__num_steps=2**31)
    with pytest.raises(errors.InputError, match='make 2147483648 steps; use'):
        run_setup.prepare(run, cache)


def test_a_call_behind_the_steps_of_a_profile_says_that_it_writes_none(
    tmp_path: pathlib.Path,
) -> None:
    profiler = profiling.Profiler('2:4', tmp_path)
    assert [profiler.missed(step) for step in (0, 2)] == ['', '']
    assert 'step 2 was made by an earlier call' in profiler.missed(3)
    (tmp_path / 'a.xplane.pb').touch()  # which an earlier call wrote
    assert profiler.missed(3) == ''
    assert profiling.Profiler('', tmp_path / 'none').missed(3) == ''
