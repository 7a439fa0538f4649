"""launch.import_checkpoint as its user meets it, and what goes on from its folders."""

import dataclasses
import pathlib
import shutil
import subprocess
from typing import Any

import forks
import numpy as np
import pytest
import tiny_data

from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.formats import hf_folder, peft_adapter, pretrained
from hax_jax.model import naming
from hax_jax.runs import restore, run_folder

_NEEDS_TORCH = 'torch makes and reads .pt files, a development tool: not installed'
_STEP = 20
_RANK, _ALPHA = 2, 6.0
_LINEAR = {
    'attn.c_attn': (32, 96),
    'attn.c_proj': (32, 32),
    'mlp.c_fc': (32, 128),
    'mlp.c_proj': (128, 32),
}
_CONFIG = """
from hax_jax.config import convert

def get_config():
    draft = convert.draft()
    draft.data.update(seq_len=128, reader='numpy', path={data!r})
    draft.train.update(num_steps=23, batch_size=4, eval_every_steps=3)
    # They take seconds to compile.
    draft.train.update(num_sample_questions=0, layer_metrics_every_steps=0)
    draft.optimizer.learning_rate = 1e-3
    return draft
"""
Tensors = dict[str, np.ndarray]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forks.run('-m', *arguments, COLUMNS='80')


def convert(*arguments: str) -> str:
    """What the program printed; it went well."""
    done = run('launch.import_checkpoint', *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    return done.stdout


def refusal(*arguments: str) -> str:
    done = run('launch.import_checkpoint', *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith('error: ')
    return done.stderr


@pytest.fixture(scope='module')
def tokenizer(sentencepiece_folder: pathlib.Path) -> text.Tokenizer:
    return text.load_tokenizer(str(sentencepiece_folder))


@pytest.fixture(scope='module')
def model(tokenizer: text.Tokenizer) -> schema.ModelConfig:
    return schema.ModelConfig(
        n_layer=2, n_head=4, n_embd=32, n_positions=128, vocab_size=tokenizer.vocab_size
    )


@pytest.fixture(scope='module')
def parameters(model: schema.ModelConfig) -> Tensors:
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in naming.parameter_shapes(model).items()
    }


@pytest.fixture(scope='module')
def adapter(model: schema.ModelConfig) -> Tensors:
    """An adapter of each layer and the head."""
    rng = np.random.default_rng(1)
    sizes = {
        f'h.{i}.{layer}': size for i in range(2) for layer, size in _LINEAR.items()
    }
    sizes['lm_head'] = (32, model.vocab_size)
    tensors = {}
    for layer, (size_in, size_out) in sizes.items():
        for end, shape in (('a', (size_in, _RANK)), ('b', (_RANK, size_out))):
            tensors[f'{layer}.lora_{end}'] = rng.normal(0, 0.1, shape)
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


@pytest.fixture(scope='module')
def merged(parameters: Tensors, adapter: Tensors) -> Tensors:
    """The formula of the paper: W + alpha / r * A B, of the head too."""
    out = dict(parameters)
    for name in adapter:
        layer, _, kind = name.rpartition('.')
        if kind == 'lora_a':
            update = _ALPHA / _RANK * (adapter[name] @ adapter[f'{layer}.lora_b'])
            if layer == 'lm_head':
                out['lm_head.embedding'] = parameters['wte.embedding'] + update.T
            else:
                out[f'{layer}.kernel'] = parameters[f'{layer}.kernel'] + update
    return out


@pytest.fixture(scope='module')
def base(
    model: schema.ModelConfig,
    parameters: Tensors,
    tokenizer: text.Tokenizer,
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    """The base as a Hugging Face folder."""
    folder = tmp_path_factory.mktemp('base')
    hf_folder.write(folder, model, parameters, tokenizer, card='')
    return folder


@pytest.fixture(scope='module')
def adapter_folder(
    model: schema.ModelConfig,
    parameters: Tensors,
    adapter: Tensors,
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    folder = tmp_path_factory.mktemp('adapter')
    peft_adapter.write(
        folder,
        schema.LoraConfig(rank=_RANK, alpha=_ALPHA, targets=(*_LINEAR, 'lm_head')),
        adapter,
        model,
        base_name='some/base',
        base_hash=pretrained.fingerprint(parameters),
    )
    return folder


def write_old(
    path: pathlib.Path,
    parameters: Tensors,
    model: schema.ModelConfig,
    adapter: Tensors | None = None,
    **said: Any,
) -> pathlib.Path:
    """A .pt file of the old project; `adapter` makes it one of LoRA."""
    torch = pytest.importorskip('torch', reason=_NEEDS_TORCH)
    adapter = adapter or {}
    adapted = {name.rpartition('.')[0] for name in adapter}
    state = {}
    for name, array in parameters.items():
        module, _, kind = naming.hugging_face(name).rpartition('.')
        end = '.base_layer' if module.removeprefix('transformer.') in adapted else ''
        state[f'model.{module}{end}.{kind}'] = torch.tensor(array)
    head = 'lm_head.base_layer' if 'lm_head' in adapted else 'lm_head'
    state[f'model.{head}.weight'] = state['model.transformer.wte.weight']
    for name, array in adapter.items():
        layer, _, kind = name.rpartition('.')
        prefix = 'model.' if layer == 'lm_head' else 'model.transformer.'
        state[f'{prefix}{layer}.lora_{kind[-1].upper()}'] = torch.tensor(array)
    stored = {
        'step': _STEP,
        'model_state_dict': state,
        'hyperparameters': {'n_head': 4, 'lr': 1e-5, 'data': '/home/me/x.txt', **said},
        'vocab_size': model.vocab_size,
        'block_size': 16,
        'batch_size': 8,
    }
    torch.save(stored, path)
    return path


@pytest.fixture(scope='module')
def train_config(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A config file on a dataset of made-up pairs, 23 steps long."""
    root = tmp_path_factory.mktemp('data')
    tiny_data.make(root)
    (root / 'tiny.py').write_text(_CONFIG.format(data=str(root / 'data')))
    return root / 'tiny.py'


def go_on(printed: str, train_config: pathlib.Path) -> str:
    """Runs the command that the program advised, on the tiny config."""
    (command,) = [line for line in printed.splitlines() if line.startswith('next: ')]
    _, _, program, *flags = command.removeprefix('next: ').split(' ')
    ours = ('--config=', '--config.data.path=', '--config.train.num_steps=')
    done = run(
        program,
        f'--config={train_config}',
        *(flag for flag in flags if not flag.startswith(ours)),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(folder: pathlib.Path) -> tuple[Tensors, schema.ModelConfig]:
    model = hf_folder.read_model_config(folder)
    return hf_folder.read_parameters(folder, model), model


def same(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def close(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=1e-6)


def test_an_adapter_folder_becomes_a_whole_model(
    adapter_folder: pathlib.Path,
    base: pathlib.Path,
    merged: Tensors,
    tmp_path: pathlib.Path,
) -> None:
    out = tmp_path / 'out'
    printed = convert(str(adapter_folder), f'--base={base}', f'--output={out}')
    found, model = read(out)
    close(found, merged)
    assert not model.tie_embeddings
    assert f'--config.model.pretrained={out}' in printed
    assert (
        'nothing shows that it was trained on' not in printed
    )  # the base's hash was there
    card = (out / 'README.md').read_text()
    assert f'{adapter_folder.name}, an adapter of peft' in card
    assert 'rank 2, alpha 6, scaled by alpha / rank' in card
    assert str(tmp_path) not in card


def test_an_adapter_folder_becomes_a_run_that_training_goes_on_with(
    adapter_folder: pathlib.Path,
    base: pathlib.Path,
    adapter: Tensors,
    train_config: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    out = tmp_path / 'out'
    printed = convert(
        str(adapter_folder), f'--base={base}', f'--output={out}', '--format=run'
    )
    same(restore.parameters(str(out), adapter_only=True), adapter)
    assert '--config.data.seq_len=128' in printed  # all of the base's positions
    said = go_on(printed, train_config)
    assert 'continuing from step 0 of 23' in said
    assert 'done: 23 steps' in said
    moved = restore.parameters(str(out), step=23, adapter_only=True)
    assert not np.array_equal(moved['lm_head.lora_b'], adapter['lm_head.lora_b'])


def test_another_base_is_refused_by_its_hash(
    adapter_folder: pathlib.Path,
    model: schema.ModelConfig,
    parameters: Tensors,
    tokenizer: text.Tokenizer,
    tmp_path: pathlib.Path,
) -> None:
    other = parameters | {'ln_f.bias': parameters['ln_f.bias'] + 1}
    (tmp_path / 'other').mkdir()
    hf_folder.write(tmp_path / 'other', model, other, tokenizer, card='')
    out = tmp_path / 'out'
    said = refusal(str(adapter_folder), f'--base={tmp_path}/other', f'--output={out}')
    assert 'is not the base of' in said
    assert pretrained.fingerprint(parameters)[:16] in said
    assert 'some/base' in said
    assert not out.exists()
    # An export names a folder by its last part, which is a path from nowhere.
    moved = shutil.copytree(adapter_folder, tmp_path / 'moved')
    config = moved / 'adapter_config.json'
    config.write_text(config.read_text().replace('some/base', './k'))
    (moved / 'SHA256SUMS').unlink(missing_ok=True)
    said = refusal(str(moved), f'--base={tmp_path}/other', f'--output={out}')
    assert '(a folder named k); give that one' in said


def test_a_head_of_another_base_is_refused_and_a_missing_hash_is_told(
    adapter_folder: pathlib.Path,
    base: pathlib.Path,
    parameters: Tensors,
    tmp_path: pathlib.Path,
) -> None:
    import safetensors.numpy

    copied = tmp_path / 'adapter'
    copied.mkdir()
    settings = (adapter_folder / 'adapter_config.json').read_bytes()
    (copied / 'adapter_config.json').write_bytes(settings)
    name = 'adapter_model.safetensors'
    tensors = safetensors.numpy.load_file(adapter_folder / name)
    head = 'base_model.model.lm_head.base_layer.weight'
    wte = parameters['wte.embedding']
    safetensors.numpy.save_file(tensors | {head: wte + 1}, copied / name)
    arguments = [str(copied), f'--base={base}', f'--output={tmp_path}/out']
    assert 'stores a head that is not that of' in refusal(*arguments)
    safetensors.numpy.save_file(tensors | {head: wte}, copied / name)
    assert 'nothing shows that it was trained on' in convert(*arguments)


def test_all_wrong_flags_are_named_at_once(
    adapter_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    said = refusal(
        str(adapter_folder),
        '--alpha=3',
        '--n_head=4',
        '--format=onnx',
        f'--output={tmp_path}',
    )
    for part in (
        f'--output={tmp_path} exists',
        "--format='onnx' is not accepted; use one of hf, run",
        '--base=FOLDER',
        '--alpha applies only to .pt files',
        '--n_head applies only to .pt files',
    ):
        assert part in said
    (tmp_path / 'old.pt').touch()
    said = refusal(str(tmp_path / 'old.pt'), '--base=gpt2')
    assert '--output is missing' in said
    assert '--base=gpt2 applies only to an adapter folder of peft' in said
    (tmp_path / 'model.gguf').write_bytes(b'GGUF')
    said = refusal(str(tmp_path / 'model.gguf'), f'--output={tmp_path}/o', '--alpha=3')
    assert '--alpha applies only to .pt files of the old project; ' in said


def test_one_input_is_asked_for(tmp_path: pathlib.Path) -> None:
    said = refusal('a.pt', 'b.pt', f'--output={tmp_path}/out')
    assert '2 inputs are given (a.pt, b.pt)' in said
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'run.json').write_text('{}')
    said = refusal(f'{tmp_path}/run', f'--output={tmp_path}/out')
    assert 'run is a run of launch.train, which is not imported: give it as' in said
    assert f'--workdir={tmp_path}/run to launch.sample and launch.export' in said
    said = refusal(f'{tmp_path}/a.pt', f'--output={tmp_path}/out')
    assert f'{tmp_path}/a.pt does not exist' in said


def test_a_full_checkpoint_becomes_a_hugging_face_folder(
    parameters: Tensors,
    model: schema.ModelConfig,
    sentencepiece_folder: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    path = write_old(tmp_path / 'old.pt', parameters, model)
    out = tmp_path / 'out'
    arguments = [str(path), f'--output={out}']
    said = refusal(*arguments)
    assert 'give the tokenizer that it was trained with as --tokenizer' in said
    printed = convert(*arguments, f'--tokenizer={sentencepiece_folder}')
    found, sizes = read(out)
    same(found, parameters)
    assert sizes == model
    assert 'note: block_size=16' in printed
    card = (out / 'README.md').read_text()
    assert 'step 20; {"n_head": 4, "lr": 1e-05}' in card  # and no path


def test_a_full_checkpoint_becomes_a_run_that_training_goes_on_with(
    parameters: Tensors,
    model: schema.ModelConfig,
    sentencepiece_folder: pathlib.Path,
    train_config: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    path = write_old(tmp_path / 'old.pt', parameters, model)
    out = tmp_path / 'run'
    printed = convert(
        str(path),
        f'--output={out}',
        f'--tokenizer={sentencepiece_folder}',
        '--format=run',
    )
    same(restore.parameters(str(out)), parameters)
    assert '--config.train.num_steps=1020' in printed
    said = go_on(printed, train_config)
    assert 'continuing from step 20 of 23' in said
    assert 'the parameters are those of old.pt' in said
    assert 'done: 23 steps' in said


def test_a_lora_checkpoint_is_merged_or_goes_on_as_an_adapter(
    parameters: Tensors,
    adapter: Tensors,
    merged: Tensors,
    model: schema.ModelConfig,
    sentencepiece_folder: pathlib.Path,
    train_config: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    path = write_old(tmp_path / 'old.pt', parameters, model, adapter)
    tokenizer = f'--tokenizer={sentencepiece_folder}'
    said = refusal(str(path), f'--output={tmp_path}/out', tokenizer)
    assert 'give --alpha as it was in training' in said
    alpha = f'--alpha={_ALPHA}'
    convert(str(path), f'--output={tmp_path}/out', tokenizer, alpha)
    found, sizes = read(tmp_path / 'out')
    close(found, merged)
    assert sizes == dataclasses.replace(model, tie_embeddings=False)

    out = tmp_path / 'run'
    printed = convert(str(path), f'--output={out}', tokenizer, alpha, '--format=run')
    same(restore.parameters(str(out), adapter_only=True), adapter)
    close(restore.parameters(str(out)), merged)
    same(read(out / 'base')[0], parameters)
    assert run_folder.lora_config(run_folder.read_run(out)) == schema.LoraConfig(
        rank=_RANK, alpha=_ALPHA, targets=(*_LINEAR, 'lm_head')
    )
    said = go_on(printed, train_config)
    assert 'continuing from step 20 of 23' in said
    assert 'done: 23 steps' in said
    # The base is in the run's folder, so the folder may move.
    moved = restore.parts(str(out.rename(tmp_path / 'moved')), step=23)
    same(moved.base.parameters, parameters)
    assert moved.parameters.keys() == adapter.keys()
