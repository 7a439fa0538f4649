"""A run whose state is damaged or gone goes back, or refuses; it never starts over."""

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny_runs

from hax_jax import errors, files
from hax_jax.data import records
from hax_jax.runs import (
    checkpoint,
    only_writer,
    origin,
    restore,
    run_folder,
    saved_steps,
)
from hax_jax.training import run_setup, train_loop, train_step

_SIZES = {'model__n_layer': 1, 'model__n_embd': 8, 'optimizer__warmup_steps': 2}
_GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'run_without_digests'


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return tiny_runs.write_cache(tmp_path_factory.mktemp('data') / 'cache')


def train(
    cache: records.PackedCache,
    workdir: pathlib.Path,
    *,
    restart: bool = False,
    **changes: Any,
) -> None:
    run = tiny_runs.make_config(**{**_SIZES, 'train__num_steps': 15, **changes})
    train_loop.train(
        run_setup.prepare(run, cache), workdir, allow_change=[], restart=restart
    )


@pytest.fixture(scope='module')
def whole(
    cache: records.PackedCache, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A run of 15 steps, which has steps 10 and 15, the best one."""
    workdir = tmp_path_factory.mktemp('runs') / 'whole'
    train(cache, workdir)
    assert steps(workdir) == [10, 15]
    return workdir


@pytest.fixture
def copied(whole: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return shutil.copytree(whole, tmp_path / 'run')


def steps(workdir: pathlib.Path) -> list[int]:
    return sorted(int(path.name) for path in (workdir / 'checkpoints').iterdir())


def damage(workdir: pathlib.Path, step: int) -> None:
    """Flips a bit in the largest file of a step."""
    folder = workdir / 'checkpoints' / str(step)
    flip(max(folder.rglob('*'), key=lambda p: p.is_file() and p.stat().st_size))


def flip(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 2
    path.write_bytes(content)


def contents(workdir: pathlib.Path) -> dict[str, bytes]:
    found = (path for path in workdir.rglob('*') if path.is_file())
    return {str(p.relative_to(workdir)): p.read_bytes() for p in found}


def losses(workdir: pathlib.Path) -> list[float]:
    return [row['loss'] for row in tiny_runs.lines(workdir, 'train')]


def parameters(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    return restore.parameters(str(workdir), step=15)


def test_training_goes_back_to_the_newest_step_that_is_whole(
    cache: records.PackedCache,
    whole: pathlib.Path,
    copied: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(copied, 15)
    train(cache, copied)
    said = capsys.readouterr().out
    assert 'WARNING: step 15 is damaged: ' in said
    assert 'continuing from step 10 of 15' in said
    assert steps(copied) == [10, 15]
    assert [path.name for path in (copied / 'damaged').iterdir()] == ['15']
    expected = parameters(whole)
    assert all(np.array_equal(v, expected[k]) for k, v in parameters(copied).items())
    assert losses(copied) == losses(whole)


def test_what_samples_and_exports_takes_the_next_best_step(
    copied: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore.find_step(copied, None).step == 15
    damage(copied, 15)
    found = restore.find_step(copied, None)
    assert found.step == 10
    assert found.why.endswith(', of the steps that are whole')
    assert 'step 15 is damaged: ' in capsys.readouterr().err
    with pytest.raises(errors.InputError, match=r'15 is damaged: .*steps: 10'):
        restore.find_step(copied, 15)
    damage(copied, 10)
    with pytest.raises(errors.InputError, match='no checkpoint that is whole') as error:
        restore.find_step(copied, None)
    assert '--' not in str(error.value)  # which program reads, this does not know


def swap_run_json(workdir: pathlib.Path) -> None:
    """As if the file came from another run with the same settings."""
    run = run_folder.read_run(workdir)
    run_folder.write(
        workdir, run_folder.read_config(workdir), {**run, 'id': run_folder.new_id()}
    )


def edit_run_json(workdir: pathlib.Path) -> None:
    run = files.read_json_object(workdir / 'run.json')
    files.write_json(workdir / 'run.json', {**run, 'dataset': 'another'})


def edit_config(workdir: pathlib.Path) -> None:
    config = files.read_json_object(workdir / 'config.json')
    config['optimizer']['learning_rate'] = 1e-3
    files.write_json(workdir / 'config.json', config)


def damage_all(workdir: pathlib.Path) -> None:
    for step in (10, 15):
        damage(workdir, step)


@pytest.mark.parametrize(
    ('harm', 'said'),
    [
        (damage_all, 'no checkpoint that is whole:\nstep 15 is damaged'),
        (lambda run: shutil.rmtree(run / 'checkpoints'), 'and no checkpoint'),
        (lambda run: (run / 'run.json').unlink(), r'whose run\.json is missing'),
        (lambda run: flip(run / 'run.json'), r'run\.json'),
        (edit_run_json, r'run\.json is damaged: its contents are not what was'),
        (swap_run_json, 'is of another run'),
        (lambda run: (run / 'config.json').unlink(), r'whose config\.json is missing'),
        (edit_config, r'config\.json is damaged: its contents are not what was'),
        (
            lambda run: (run / 'tokenizer' / 'more').write_text('x'),
            'tokenizer is damaged: more was added',
        ),
    ],
)
def test_a_run_without_its_state_is_refused_and_left_as_it_is(
    cache: records.PackedCache,
    copied: pathlib.Path,
    harm: Callable[[pathlib.Path], object],
    said: str,
) -> None:
    harm(copied)
    before = contents(copied)
    with pytest.raises(errors.InputError, match=said):
        train(cache, copied)
    assert contents(copied) == before


def test_a_restart_moves_the_old_run_aside(
    cache: records.PackedCache, whole: pathlib.Path, copied: pathlib.Path
) -> None:
    (copied / 'run.json').unlink()  # which would be refused without it
    train(cache, copied, restart=True, train__num_steps=5)
    assert steps(copied) == [5]
    before = contents(whole)
    del before['run.json'], before['lock']
    assert contents(copied / 'old-1') == before
    train(cache, copied, restart=True, train__num_steps=5)
    assert steps(copied / 'old-2') == steps(copied) == [5]
    assert restore.find_step(copied / 'old-2', None).step == 5


def test_a_call_that_dies_before_its_first_save_claims_nothing(
    cache: records.PackedCache,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workdir = tmp_path / 'run'
    with monkeypatch.context() as patch:
        patch.setattr(
            train_step, 'compiled', lambda *_: (_ for _ in ()).throw(SystemError)
        )
        with pytest.raises(SystemError):
            train(cache, workdir, model__n_embd=16)
    assert not (workdir / 'run.json').exists()
    with pytest.raises(errors.InputError, match='has no checkpoint yet'):
        restore.find_step(workdir, None)
    train(cache, workdir, train__num_steps=5)  # of another width
    assert 'ended before its first checkpoint' in capsys.readouterr().out
    assert not (workdir / run_folder.UNSAVED).exists()
    assert steps(workdir) == [5]


def test_a_step_that_another_run_stands_on_is_kept(
    cache: records.PackedCache,
    copied: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tiny_runs.make_config(**{**_SIZES, 'train__num_steps': 5})
    run, _ = origin.resolve(tiny_runs.lora(run, copied))
    train_loop.train(run_setup.prepare(run, cache), tmp_path / 'lora', allow_change=[])
    step = copied / 'checkpoints' / '15'
    assert saved_steps.kept_for(step) == [str(tmp_path / 'lora')]
    with checkpoint.Checkpoints(step.parent, run_id='x', keep_last=1) as checkpoints:
        for number in (20, 25):
            trees = {checkpoint.PARAMS: {'x': np.ones(3, np.float32)}}
            checkpoints.save(number, trees, metadata={})
    assert step.is_dir()
    assert restore.load_run_base(tmp_path / 'lora').step == 15
    # A restart moves it away from there, which is said.
    moved = shutil.copytree(copied, tmp_path / 'moved')
    only_writer.move_aside(moved)
    said = capsys.readouterr().out
    assert f'is the base of {tmp_path / "lora"}, which find it' in said
    assert f'--base={moved / "old-1"} alone' in said
    saved_steps.delete(step)
    assert saved_steps.kept_for(step) == []  # of a step 15 that comes after it


def test_a_kill_within_the_first_save_loses_nothing(
    cache: records.PackedCache, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """run.json is there, and the step has not got its name yet."""
    with monkeypatch.context() as patch:
        patch.setattr(files, 'rename', lambda *_: (_ for _ in ()).throw(SystemError))
        with pytest.raises(SystemError):
            train(cache, tmp_path, train__num_steps=5)
    assert (tmp_path / 'run.json').exists()
    assert [p.name for p in (tmp_path / 'checkpoints').iterdir()] == ['saving-5']
    train(cache, tmp_path, train__num_steps=5)
    assert steps(tmp_path) == [5]
    assert restore.find_step(tmp_path, None).step == 5
    assert not (tmp_path / run_folder.UNSAVED).exists()


def test_a_run_of_an_older_version_is_read_with_a_warning_and_gets_digests(
    cache: records.PackedCache,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workdir = shutil.copytree(_GOLDEN, tmp_path / 'run')
    found = restore.find_step(workdir, None)
    assert (found.step, found.info.validation_loss) == (10, 2.7297471463680267)
    assert 'is of an older version, which kept no digests' in capsys.readouterr().err
    train(cache, workdir, train__num_steps=12, optimizer__warmup_steps=5)
    said = capsys.readouterr().out
    assert 'its files have digests now' in said
    assert 'continuing from step 10 of 12' in said
    run = run_folder.read_run(workdir)
    assert 'train.num_steps: 10 -> 12' in run['changes']
    infos = saved_steps.list_steps(workdir / 'checkpoints', run['id'])
    assert [info.step for info in infos] == [10, 12]
    assert [info.damage() for info in infos] == ['', '']
    damage(workdir, 10)
    with pytest.raises(errors.InputError, match='step 10 is damaged'):
        restore.find_step(workdir, 10)
