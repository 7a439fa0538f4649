"""A run at gs:// is the local run, bit for bit, whatever the store does in between."""

import pathlib

import fake_gcs
import numpy as np
import pytest
import tiny_runs

from hax_jax import errors, places
from hax_jax.data import records
from hax_jax.model import naming
from hax_jax.runs import checkpoint, only_writer, restore, run_folder, saved_steps
from hax_jax.training import run_setup, train_loop

_SIZES = {'model__n_layer': 1, 'model__n_embd': 8, 'optimizer__warmup_steps': 2}


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return tiny_runs.write_cache(tmp_path_factory.mktemp('data') / 'cache')


@pytest.fixture(scope='module')
def local(
    cache: records.PackedCache, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    workdir = tmp_path_factory.mktemp('runs') / 'local'
    train(cache, workdir)
    return workdir


def train(cache: records.PackedCache, workdir: pathlib.Path) -> None:
    run = tiny_runs.make_config(
        **_SIZES, train__num_steps=6, train__checkpoint_every_steps=2
    )
    setup = run_setup.prepare(run, cache)
    train_loop.train(setup, workdir, allow_change=[])


def losses(workdir: pathlib.Path) -> list[tuple[int, float]]:
    kinds = ('train', 'evaluation')
    rows = [row for kind in kinds for row in tiny_runs.lines(workdir, kind)]
    return [(row['step'], row.get('loss', row.get('eval_loss'))) for row in rows]


def parameters(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    run = run_folder.read_run(workdir)
    shapes = naming.parameter_shapes(run_folder.model_config(run))
    info = restore.find_step(workdir, 6).info
    return checkpoint.load_parameters(info.path, shapes)


def saved(gcs: fake_gcs.Server) -> list[str]:
    return [n.split('/')[2] for n in gcs.names('bucket') if n.endswith('step.json')]


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(array, other[name]) for name, array in one.items()
    )


def test_cut_short_in_a_save_it_goes_on_bit_for_bit(
    gcs: fake_gcs.Server,
    cache: records.PackedCache,
    local: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workdir = places.path('gs://bucket/run')
    # Rights are lost in the middle of the first save, then in that of step 4.
    gcs.faults.append(fake_gcs.Fault('POST .*upload.*checkpoints', '403', after=9))
    with pytest.raises(errors.PlaceError, match='There is no step yet') as caught:
        train(cache, workdir)
    assert not caught.value.passing
    assert saved(gcs) == []
    gcs.faults[:] = [fake_gcs.Fault('POST .*upload.*step.json', '403', after=1)]
    with pytest.raises(errors.PlaceError, match=r'The steps there are 2\.'):
        train(cache, workdir)
    assert 'the run begins again' in capsys.readouterr().out
    assert 'run/checkpoints/4/commit_success.txt' in gcs.names('bucket')
    assert saved(gcs) == ['2']
    gcs.faults.clear()
    train(cache, workdir)
    assert 'continuing from step 2 of 6' in capsys.readouterr().out
    assert losses(workdir) == losses(local)
    assert same(parameters(workdir), parameters(local))
    names = gcs.names('bucket')
    assert not {'run/lock', 'run/unsaved'} & set(names)
    assert saved(gcs) == [
        p.name for p in saved_steps.step_folders(local / 'checkpoints')
    ]
    # A flipped byte is found, and the step before it is taken.
    (path,) = [n for n in names if n.startswith('run/checkpoints/6/params/ocdbt')][:1]
    content = bytearray(gcs.content('bucket', path))
    content[-1] ^= 1
    gcs.put('bucket', path, bytes(content))
    with pytest.raises(errors.InputError, match='other bytes than were written'):
        restore.find_step(workdir, 6)
    train(cache, workdir)
    out = capsys.readouterr().out
    assert 'gs://bucket/run/checkpoints/6 was moved to gs://bucket/run/damaged/6' in out
    assert same(parameters(workdir), parameters(local))
    # A base is copied here; what --restart moves aside is whole.
    restore.load_base('gs://bucket/run')
    assert 'copying gs://bucket/run (' in capsys.readouterr().out
    only_writer.move_aside(workdir)
    assert all(name.startswith('run/old-1/') for name in gcs.names('bucket'))
    assert same(parameters(workdir / 'old-1'), parameters(local))


def test_a_refused_start_leaves_the_lock_of_the_other(tmp_path: pathlib.Path) -> None:
    workdir = tmp_path / 'run'
    with only_writer.held(workdir):
        with (
            pytest.raises(errors.InputError, match='is writing'),
            only_writer.held(workdir),
        ):
            pass
        assert (workdir / 'lock').exists()
    assert not workdir.exists()
