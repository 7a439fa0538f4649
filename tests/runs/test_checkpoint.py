"""Checkpoints: what is stored, what is kept, what is refused."""

import contextlib
import pathlib
import shutil
import threading
import time

import jax
import numpy as np
import pytest

from hax_jax import digests, errors
from hax_jax.config import schema
from hax_jax.devices import mesh
from hax_jax.model import param_tree
from hax_jax.runs import checkpoint, saved_steps
from hax_jax.training import optimizer
from hax_jax.training import train_state as ts

RUN = 'run-1'
_MODEL = schema.ModelConfig(
    n_layer=1, n_head=2, n_embd=16, n_positions=8, vocab_size=32, attention='xla'
)


def make(rank: int = 0) -> tuple[ts.Blueprint, ts.TrainState]:
    tx = optimizer.make_optimizer(schema.OptimizerConfig(), num_steps=10)
    lora = schema.LoraConfig(rank=rank)
    devices = mesh.make_mesh(schema.MeshConfig())
    blueprint = ts.make_blueprint(
        _MODEL, lora, tx, compute_dtype='float32', mesh=devices
    )
    state = ts.create(blueprint, seed=0)
    return blueprint, state


@pytest.fixture(scope='module')
def saved(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp('checkpoints')
    _, state = make()
    with checkpoint.Checkpoints(folder, run_id=RUN) as checkpoints:
        checkpoints.save(
            0, ts.checkpointed(state), validation_loss=2.5, metadata={'who': 'me'}
        )
    return folder


def test_a_state_comes_back_bit_for_bit(saved: pathlib.Path) -> None:
    blueprint, state = make()
    (info,) = saved_steps.list_steps(saved, RUN)
    assert (info.step, info.validation_loss, info.metadata) == (0, 2.5, {'who': 'me'})
    assert info.damage() == ''
    restored = checkpoint.restore(info.path, ts.checkpointed(blueprint.state))
    expected = ts.checkpointed(state)
    assert jax.tree.structure(restored) == jax.tree.structure(expected)
    assert jax.tree.all(jax.tree.map(np.array_equal, restored, expected))


def test_a_checkpoint_of_another_model_is_refused_with_every_name(
    saved: pathlib.Path,
) -> None:
    blueprint, _ = make(rank=2)
    with pytest.raises(errors.InputError) as error:
        checkpoint.restore(saved / '0', ts.checkpointed(blueprint.state))
    assert 'params: h.0.attn.c_attn.lora_a is missing' in str(error.value)
    assert 'params: wte.embedding is extra' in str(error.value)
    shapes = {'wte.embedding': (31, 16)}
    with pytest.raises(errors.InputError, match=r'has shape \(32, 16\), wanted \(31'):
        checkpoint.load_parameters(saved / '0', shapes)


def files_of(step: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in step.rglob('*') if path.is_file())


@pytest.mark.parametrize('how', ['flip', 'cut', 'empty', 'delete', 'swap', 'add'])
def test_damage_to_any_file_of_a_step_is_named(
    saved: pathlib.Path, tmp_path: pathlib.Path, how: str
) -> None:
    names = [str(path.relative_to(saved / '0')) for path in files_of(saved / '0')]
    assert saved_steps.RECORD in names
    assert len(names) > 10
    for name in names:
        folder = tmp_path / name.replace('/', '-')
        shutil.copytree(saved, folder)
        file = folder / '0' / name
        whole = file.read_bytes()
        if how == 'delete':
            file.unlink()
        elif how == 'swap':
            other = next(f for f in files_of(folder / '0') if f.read_bytes() != whole)
            file.write_bytes(other.read_bytes())
        elif how == 'add':
            file.with_name('more').write_bytes(b'')
        elif not whole:
            continue
        elif how == 'flip':
            middle = len(whole) // 2
            changed = bytes([whole[middle] ^ 16])
            file.write_bytes(whole[:middle] + changed + whole[middle + 1 :])
        else:
            file.write_bytes(whole[: len(whole) // 2 if how == 'cut' else 0])
        (info,) = saved_steps.list_steps(folder, RUN)
        assert ('more' if how == 'add' else name) in info.damage()
        assert saved_steps.first_whole([info]) == (
            None,
            [f'step 0 is damaged: {info.damage()}'],
        )


def test_a_step_of_another_run_or_another_number_is_no_step(
    saved: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(saved / '0', tmp_path / '4')
    (info,) = saved_steps.list_steps(tmp_path, RUN)
    assert 'is of step 0' in info.damage()
    (info,) = saved_steps.list_steps(saved, 'another')
    assert 'is of another run' in info.damage()


def test_a_damaged_file_that_no_digest_covers_is_one_short_error(
    saved: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """As in a run of an older version."""
    shutil.copytree(saved, tmp_path / 'run')
    (tmp_path / 'run' / '0' / saved_steps.RECORD).unlink()
    for file in files_of(tmp_path / 'run' / '0' / 'params'):
        if file.stat().st_size > 1000:
            file.write_bytes(file.read_bytes()[:100])
    (info,) = saved_steps.list_steps(tmp_path / 'run', '')
    blueprint, _ = make()
    with pytest.raises(errors.InputError, match='is damaged; move that') as error:
        checkpoint.restore(info.path, ts.checkpointed(blueprint.state))
    assert len(str(error.value)) < 600
    (info.path / '_CHECKPOINT_METADATA').write_text('{')
    (info,) = saved_steps.list_steps(tmp_path / 'run', '')
    assert info.damage()


@pytest.mark.parametrize(
    ('failed', 'raised', 'said'),
    [
        (
            AttributeError("'NoneType'"),
            errors.InputError,
            'its bytes are those that were',
        ),
        (MemoryError('no more'), MemoryError, 'no more'),
    ],
)
def test_what_fails_on_a_whole_step_is_not_called_damage(
    saved: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    failed: Exception,
    raised: type[Exception],
    said: str,
) -> None:
    """Such as a store that refused for a moment: the step must not be moved away."""

    def fail(*_: object) -> None:
        raise failed

    monkeypatch.setattr(checkpoint.ocp, 'load_checkpointables', fail)
    with pytest.raises(raised, match=said):
        checkpoint.load_parameters(saved / '0', _shapes())


def _shapes() -> dict[str, tuple[int, ...]]:
    return {
        name: leaf.shape for name, leaf in param_tree.named(make()[1].params).items()
    }


def test_a_step_that_can_not_be_read_is_damaged(
    saved: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: pathlib.Path) -> str:
        raise OSError(5, 'Input/output error', str(path))

    (info,) = saved_steps.list_steps(saved, RUN)
    (info.path / saved_steps.RECORD).touch()  # else it is known to be whole
    monkeypatch.setattr(digests, 'of_file', fail)
    assert ': input/output error)' in info.damage()


def test_the_last_and_the_best_are_kept_and_another_goes_when_a_newer_is_whole(
    tmp_path: pathlib.Path,
) -> None:
    trees = {checkpoint.PARAMS: {'x': jax.numpy.ones(3)}}
    there: list[list[int]] = []

    def look() -> None:
        there.append(sorted(s.step for s in saved_steps.list_steps(tmp_path, RUN)))

    with checkpoint.Checkpoints(
        tmp_path, run_id=RUN, keep_last=1, keep_best=1, before_commit=look
    ) as checkpoints:
        for step, loss in enumerate([None, 2.0, 1.0, 3.0, None]):
            checkpoints.save(step, trees, validation_loss=loss, metadata={})
        assert not checkpoints.among_best(1.0)
        assert checkpoints.among_best(0.9)
    assert there == [[], [0], [1], [2], [2, 3]]
    assert [s.step for s in saved_steps.list_steps(tmp_path, RUN)] == [2, 4]
    with (
        checkpoint.Checkpoints(tmp_path, run_id=RUN) as checkpoints,
        pytest.raises(FileExistsError, match='4 exists already'),
    ):
        checkpoints.save(4, trees, metadata={})


def test_a_save_that_fails_is_told_and_what_is_left_of_it_goes(
    tmp_path: pathlib.Path,
) -> None:
    trees = {checkpoint.PARAMS: {'x': jax.numpy.ones(3)}}

    def fail() -> None:
        raise OSError('no room')

    with (
        pytest.raises(OSError, match='no room'),
        checkpoint.Checkpoints(tmp_path, before_commit=fail) as checkpoints,
    ):
        checkpoints.save(1, trees, metadata={})
    assert [path.name for path in tmp_path.iterdir()] == ['saving-1']
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, trees, metadata={})
    assert [path.name for path in tmp_path.iterdir()] == ['1']


class _OrbaxThread(threading.Thread):
    """A thread of a save that failed elsewhere; it writes on for half a second."""

    __module__ = 'orbax.checkpoint'

    def __init__(self, folder: pathlib.Path, pause: float) -> None:
        super().__init__()
        self._folder, self._pause, self.begun = folder, pause, threading.Event()

    def run(self) -> None:
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            with contextlib.suppress(FileNotFoundError):  # removed between two lines
                self._folder.mkdir(exist_ok=True)
                (self._folder / str(time.monotonic_ns())).write_bytes(b'')
                self.begun.set()
            if self._pause:
                time.sleep(self._pause)


class _FailedSave:
    def result(self) -> None:
        raise OSError('no room')


def test_the_room_of_a_failed_save_is_given_back_when_its_threads_have_ended(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = _OrbaxThread(tmp_path / 'saving-4.orbax-tmp', pause=0.05)

    def save(*_: object) -> _FailedSave:
        writer.start()
        assert writer.begun.wait(60)
        return _FailedSave()

    monkeypatch.setattr(checkpoint.ocp, 'save_checkpointables_async', save)
    with (
        pytest.raises(OSError, match='no room'),
        checkpoint.Checkpoints(tmp_path) as checkpoints,
    ):
        checkpoints.save(4, {checkpoint.PARAMS: {}}, metadata={})
    writer.join()
    assert list(tmp_path.iterdir()) == []


def test_a_start_removes_a_folder_that_is_still_written(tmp_path: pathlib.Path) -> None:
    writer = _OrbaxThread(tmp_path / 'saving-4', pause=0)
    writer.start()
    assert writer.begun.wait(60)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == []
    writer.join()
