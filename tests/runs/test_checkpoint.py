"""Orbax behind one door: what is stored, what is refused."""

import pathlib

import jax
import numpy as np
import pytest

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.devices import mesh
from hax_jax.runs import checkpoint
from hax_jax.training import optimizer
from hax_jax.training import train_state as ts

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
    with checkpoint.Checkpoints(folder) as checkpoints:
        checkpoints.save(
            0, ts.checkpointed(state), validation_loss=2.5, metadata={'who': 'me'}
        )
    return folder


def test_a_state_comes_back_bit_for_bit(saved: pathlib.Path) -> None:
    blueprint, state = make()
    with checkpoint.Checkpoints(saved, read_only=True) as checkpoints:
        assert checkpoints.steps() == [checkpoint.StepInfo(0, 2.5)]
        assert checkpoints.metadata(0) == {'who': 'me'}
        restored = checkpoints.restore(0, ts.checkpointed(blueprint.state))
    expected = ts.checkpointed(state)
    assert jax.tree.structure(restored) == jax.tree.structure(expected)
    assert jax.tree.all(jax.tree.map(np.array_equal, restored, expected))


def test_a_checkpoint_of_another_model_is_refused_with_every_name(
    saved: pathlib.Path,
) -> None:
    blueprint, _ = make(rank=2)
    with (
        checkpoint.Checkpoints(saved, read_only=True) as checkpoints,
        pytest.raises(errors.InputError) as error,
    ):
        checkpoints.restore(0, ts.checkpointed(blueprint.state))
    assert 'params: h.0.attn.c_attn.lora_a is missing' in str(error.value)
    assert 'params: wte.embedding is extra' in str(error.value)
    shapes = {'wte.embedding': (31, 16)}
    with (
        checkpoint.Checkpoints(saved, read_only=True) as checkpoints,
        pytest.raises(errors.InputError, match=r'has shape \(32, 16\), wanted \(31'),
    ):
        checkpoints.load_parameters(0, shapes)


def test_a_step_that_is_not_there_is_named_with_those_that_are(
    saved: pathlib.Path,
) -> None:
    with (
        checkpoint.Checkpoints(saved, read_only=True) as checkpoints,
        pytest.raises(errors.InputError, match=r'the steps of this run are \[0\]'),
    ):
        checkpoints.metadata(7)


def test_a_damaged_checkpoint_is_one_short_error(tmp_path: pathlib.Path) -> None:
    blueprint, state = make()
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, ts.checkpointed(state), metadata={})
    for file in (tmp_path / '0' / 'params').rglob('*'):
        if file.is_file() and file.stat().st_size > 1000:
            file.write_bytes(file.read_bytes()[:100])
    with (
        checkpoint.Checkpoints(tmp_path, read_only=True) as checkpoints,
        pytest.raises(errors.InputError, match='is damaged: delete that') as error,
    ):
        checkpoints.restore(0, ts.checkpointed(blueprint.state))
    assert len(str(error.value)) < 600


def test_a_save_that_orbax_declines_is_an_error(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, state = make()
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        monkeypatch.setattr(
            checkpoints._checkpointer,
            'save_checkpointables_async',
            lambda *_, **__: None,
        )
        with pytest.raises(RuntimeError, match='declined to save step 0'):
            checkpoints.save(0, ts.checkpointed(state), metadata={})
