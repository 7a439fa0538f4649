"""What a run has learned, out of its checkpoints again: whole, merged, on a mesh."""

import dataclasses
import functools
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import tiny_runs
from jax.sharding import PartitionSpec
from orbax.checkpoint import v1 as ocp

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import records, text
from hax_jax.devices import mesh
from hax_jax.model import lora_merge, naming
from hax_jax.runs import origin, restore, run_folder, saved_steps

_SIZES = {'n_layer': 2, 'n_head': 2, 'n_embd': 32, 'n_positions': 64}
make_config = functools.partial(tiny_runs.make_config, model__n_layer=2)


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return tiny_runs.write_cache(tmp_path_factory.mktemp('data') / 'cache')


@pytest.fixture(scope='module')
def full(
    cache: records.PackedCache, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A run of all parameters, its vocabulary of 16 padded to 24."""
    run = make_config(train__num_steps=10, model__pad_vocab_to_multiple_of=12)
    return tiny_runs.train(cache, tmp_path_factory.mktemp('runs') / 'full', run)


@pytest.fixture(scope='module')
def adapted(cache: records.PackedCache, full: pathlib.Path) -> pathlib.Path:
    """A LoRA run on it, padded too, with an adapter of the head."""
    run = tiny_runs.lora(make_config(train__num_steps=10), full)
    settings = dataclasses.replace(run.lora, targets=('attn.c_attn', 'lm_head'))
    model = dataclasses.replace(run.model, pad_vocab_to_multiple_of=12)
    run, _ = origin.resolve(dataclasses.replace(run, lora=settings, model=model))
    return tiny_runs.train(cache, full.parent / 'adapted', run)


def test_parameters_come_as_plain_numpy_without_the_padding(full: pathlib.Path) -> None:
    parameters = restore.parameters(str(full))
    sizes = make_config().model
    assert {n: v.shape for n, v in parameters.items()} == naming.parameter_shapes(sizes)
    assert all(type(array) is np.ndarray for array in parameters.values())
    # What lies in the checkpoint has the padding, which never moved from its start.
    saved = ocp.load_checkpointables(full / 'checkpoints' / '10')['params']
    assert saved['wte.embedding'].shape == (24, 32)
    ours = restore.parameters(str(full), step=10)
    for name, array in saved.items():
        kept = np.asarray(array)[:16] if name == 'wte.embedding' else array
        np.testing.assert_array_equal(ours[name], kept)


def test_an_adapter_comes_alone_or_merged(
    full: pathlib.Path, adapted: pathlib.Path
) -> None:
    adapter = restore.parameters(str(adapted), adapter_only=True)
    assert {name: array.shape for name, array in adapter.items()} == {
        **{f'h.{i}.attn.c_attn.lora_a': (32, 4) for i in (0, 1)},
        **{f'h.{i}.attn.c_attn.lora_b': (4, 96) for i in (0, 1)},
        'lm_head.lora_a': (32, 4),
        'lm_head.lora_b': (4, 16),
    }
    base = restore.parameters(
        str(full), step=run_folder.read_run(adapted)['base']['step']
    )
    merged = restore.parameters(str(adapted))
    name = 'h.1.attn.c_attn'
    update = 2.0 * adapter[f'{name}.lora_a'] @ adapter[f'{name}.lora_b']
    np.testing.assert_allclose(
        merged[f'{name}.kernel'], base[f'{name}.kernel'] + update, atol=1e-6
    )
    update = 2.0 * adapter['lm_head.lora_a'] @ adapter['lm_head.lora_b']
    np.testing.assert_allclose(
        merged['lm_head.embedding'], base['wte.embedding'] + update.T, atol=1e-6
    )
    np.testing.assert_array_equal(merged['wte.embedding'], base['wte.embedding'])


def test_parameters_come_onto_a_mesh(full: pathlib.Path) -> None:
    here = mesh.make_mesh(schema.MeshConfig())
    plain = restore.parameters(str(full))
    placed = restore.parameters(str(full), mesh=here)
    assert placed.keys() == plain.keys()
    for name, array in placed.items():
        assert isinstance(array, jax.Array)
        assert array.sharding.mesh == here
        np.testing.assert_array_equal(array, plain[name])
    assert placed['h.0.mlp.c_fc.kernel'].sharding.spec == PartitionSpec(
        'fsdp', 'tensor'
    )


def test_a_full_run_has_no_adapter_and_no_base(full: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match='stands on no base; leave it out'):
        restore.parts(str(full), base='elsewhere')
    with pytest.raises(errors.InputError, match='leave out adapter_only'):
        restore.parameters(str(full), adapter_only=True)


def test_parts_say_what_stands_on_what(
    full: pathlib.Path, adapted: pathlib.Path
) -> None:
    parts = restore.parts(str(adapted))
    assert parts.base is not None
    assert parts.base.hash == run_folder.read_run(adapted)['base']['hash']
    assert parts.model.tie_embeddings
    assert (parts.model.vocab_size, parts.model.num_table_rows) == (16, 16)
    assert parts.validation_loss is not None
    assert f'{parts.validation_loss:.4f}' in parts.why
    both = {**parts.base.parameters, **parts.parameters}
    unmerged = restore.build(
        parts.model, both, lora_settings=parts.lora, dtype='float32'
    )
    merged = restore.build(
        lora_merge.merged_model(parts.model, parts.lora),
        parts.merged(),
        dtype='float32',
    )
    ids = np.arange(12).reshape(2, 6)
    rows = [jax.numpy.asarray(x) for x in (ids, np.indices(ids.shape)[1], ids * 0 + 1)]
    one, other = (
        features @ table.T
        for features, table in (
            model.head(model(*rows)) for model in (unmerged, merged)
        )
    )
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_base_of_a_run_may_itself_be_an_adapted_run(
    cache: records.PackedCache, adapted: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    assert not origin.find_source(str(adapted)).model.tie_embeddings
    run = tiny_runs.lora(make_config(train__num_steps=10), adapted)
    run, _ = origin.resolve(run)
    assert not run.model.tie_embeddings
    tiny_runs.train(cache, tmp_path, run)
    first = tiny_runs.lines(tmp_path, 'evaluation')[0]
    best = restore.parts(str(adapted)).validation_loss
    assert first['eval_loss'] == pytest.approx(best, abs=1e-5)


def test_a_folder_that_is_no_run_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match=r'is not a run of launch\.train'):
        restore.load(str(tmp_path))
    (tmp_path / 'run.json').write_text('{"schema": 99}')
    with pytest.raises(errors.InputError, match='has schema 99'):
        restore.load(str(tmp_path))
    (tmp_path / 'run.json').write_text('{}')
    says = 'damaged: it has no schema.*copy it from a backup'
    with pytest.raises(errors.InputError, match=says):
        restore.load(str(tmp_path))
    with pytest.raises(errors.InputError, match=r"is one, and 'best' is no step of it"):
        restore.load(f'{tmp_path}@best')


def test_a_run_of_another_template_or_without_a_checkpoint_is_named(
    tmp_path: pathlib.Path,
) -> None:
    model = dataclasses.asdict(schema.ModelConfig(**_SIZES, vocab_size=300))
    lora = {**dataclasses.asdict(schema.LoraConfig()), 'targets': []}
    run = {'schema': 1, 'model': model, 'lora': lora, 'base': {}}
    run['template'] = 'question-answer-0'
    (tmp_path / 'run.json').write_text(json.dumps(run))
    with pytest.raises(errors.InputError, match="template 'question-answer-0'"):
        restore.load(str(tmp_path))
    run['template'] = text.TEMPLATE_VERSION
    (tmp_path / 'run.json').write_text(json.dumps(run))
    with pytest.raises(errors.InputError, match='has no checkpoint; let'):
        restore.load(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['run.json']


def test_a_step_that_its_run_deletes_meanwhile_is_gone_and_not_damaged(
    full: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / 'run'
    shutil.copytree(full, run)
    best = restore.find_step(run, None).step
    listed = saved_steps.list_steps

    def as_seen_before(folder: pathlib.Path, run_id: str) -> list[saved_steps.StepInfo]:
        found = listed(folder, run_id)
        if (folder / str(best)).exists():
            saved_steps.delete(folder / str(best))
        return found

    monkeypatch.setattr(saved_steps, 'list_steps', as_seen_before)
    assert restore.find_step(run, None).step != best
    assert capsys.readouterr().err == ''
    with pytest.raises(errors.InputError, match=f'has no checkpoint of step {best}'):
        restore.find_step(run, best)

    monkeypatch.setattr(restore, 'find_step', lambda *_: deleted)
    deleted = restore.Chosen(saved_steps.StepInfo(run / 'checkpoints' / str(best)), '')
    says = f'checkpoints/{best} is gone: .* Give the same command again'
    with pytest.raises(errors.InputError, match=says):
        restore.parts(str(run))
