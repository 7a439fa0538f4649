"""launch.export as its user meets it: real runs in, folders of other software out."""

import dataclasses
import json
import pathlib
import re
import subprocess

import forks
import gguf
import ml_dtypes
import numpy as np
import programs
import pytest
import safetensors.numpy
import tiny_data
import yaml

from hax_jax import errors
from hax_jax.config import export_request
from hax_jax.data import records, text
from hax_jax.formats import gguf_file, hf_folder, peft_adapter
from hax_jax.model import naming
from hax_jax.runs import export as run_export
from hax_jax.runs import restore, run_folder, same_logits

_ROOT = pathlib.Path(__file__).parents[2]
_FULL = [
    '--config.model.n_layer=2',  # what is told of a layer is that layer's
    '--config.model.pad_vocab_to_multiple_of=128',
    '--config.train.num_steps=3',
    '--config.optimizer.learning_rate=1e-2',
]
_LORA = [
    '--config.tokenizer.path=',
    '--config.model.n_layer=0',
    '--config.model.n_head=0',
    '--config.lora.rank=2',
    '--config.lora.targets=attn.c_attn,mlp.c_proj,lm_head',
    '--config.lora.dora=true',
    '--config.lora.rslora=true',
]


def export(workdir: pathlib.Path, *more: str) -> subprocess.CompletedProcess[str]:
    given = programs.replaced([f'--workdir={workdir}'], *more)
    return forks.run('-m', 'launch.export', *given)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run at full/, of a padded vocabulary, and a LoRA run on it at lora/."""
    root = tmp_path_factory.mktemp('program')
    tiny_data.make(root)
    train = [
        '-m',
        'launch.train',
        f'--config={root}/tiny.py',
        f'--config.data.path={root}/data',
        *_FULL,
    ]
    for command in (
        [*train, f'--workdir={root}/full'],
        programs.replaced(
            [
                *train,
                f'--workdir={root}/lora',
                f'--config.model.pretrained={root}/full',
            ],
            *_LORA,
        ),
    ):
        done = forks.run(*command)
        assert done.returncode == 0, done.stderr
    return root


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) for name in one
    )


def check_card(card: str, folder: pathlib.Path, *, library: str) -> None:
    """What each card says, and what none does."""
    front = yaml.safe_load(card.split('---\n')[1])
    assert front['library_name'] == library
    assert 'QUESTION:\n{question}\n\nANSWER:\n{answer}<EOS>' in card
    (cache,) = (p for p in (folder / 'data' / 'packed').iterdir() if p.is_dir())
    assert records.open_cache(cache).fingerprint in card
    assert 'step 3 (the best validation loss' in card
    assert re.search(r'\| validation loss \| \d\.\d{4} nats', card)
    assert str(folder) not in card and '/tmp' not in card
    assert not any(word in card.lower() for word in ('quarrel', 'garden', 'supper'))


def test_a_full_run_becomes_a_folder_that_the_next_run_begins_from(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    out = tmp_path / 'deep' / 'out'
    done = export(folder / 'full', '--format=hf', f'--output={out}')
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    assert 'at step 3 (the best validation loss' in done.stdout
    assert "largest difference of its logits from the run's own: 0 " in done.stdout
    size = (out / 'model.safetensors').stat().st_size
    assert f'{size:,} bytes  model.safetensors' in done.stdout
    assert sorted(path.name for path in out.iterdir()) == [
        'README.md',
        'SHA256SUMS',
        'config.json',
        'generation_config.json',
        'model.safetensors',
        'tokenizer.json',
        'tokenizer.model',
        'tokenizer_config.json',
    ]
    tokenizer = text.load_tokenizer(str(folder / 'full' / 'tokenizer'))
    model = hf_folder.read_model_config(out)
    assert model.vocab_size == tokenizer.vocab_size  # no padding
    read = hf_folder.read_parameters(out, model)
    assert same(read, restore.parts(str(folder / 'full')).parameters)
    check_card((out / 'README.md').read_text(), folder, library='transformers')
    assert len({path.stat().st_mode for path in out.iterdir()}) == 1
    assert 'none: trained from random weights' in (out / 'README.md').read_text()
    again = forks.run(
        '-m',
        'launch.train',
        f'--config={folder}/tiny.py',
        f'--config.data.path={folder}/data',
        f'--config.model.pretrained={out}',
        *_LORA[:3],
        f'--workdir={tmp_path}/again',
    )
    assert again.returncode == 0, again.stderr
    begun = json.loads((tmp_path / 'again' / 'run.json').read_text())
    ended = json.loads((folder / 'full' / 'run.json').read_text())
    assert begun['tokenizer'] == ended['tokenizer']


def test_a_lora_run_becomes_a_merged_folder_or_an_adapter(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    parts = restore.parts(str(folder / 'lora'))
    done = export(folder / 'lora', '--format=merged', f'--output={tmp_path}/merged')
    assert done.returncode == 0, done.stderr
    merged = tmp_path / 'merged'
    values = json.loads((merged / 'config.json').read_text())
    assert values['tie_word_embeddings'] is False  # the head was adapted
    tensors = safetensors.numpy.load_file(merged / 'model.safetensors')
    for name, before in parts.base.parameters.items():
        changed = re.search(r'c_attn\.kernel|mlp\.c_proj\.kernel', name)
        equal = np.array_equal(tensors[naming.hugging_face(name)], before)
        assert equal != bool(changed), name
    wte, head = tensors['transformer.wte.weight'], tensors['lm_head.weight']
    assert wte.shape == head.shape and not np.array_equal(wte, head)
    check_card((merged / 'README.md').read_text(), folder, library='transformers')

    done = export(folder / 'lora', '--format=peft', f'--output={tmp_path}/adapter')
    assert done.returncode == 0, done.stderr
    adapter = tmp_path / 'adapter'
    assert sorted(path.name for path in adapter.iterdir()) == [
        'README.md',
        'SHA256SUMS',
        'adapter_config.json',
        'adapter_model.safetensors',
        'tokenizer.json',
        'tokenizer.model',
        'tokenizer_config.json',
    ]
    assert len({path.stat().st_mode for path in adapter.iterdir()}) == 1
    values = json.loads((adapter / 'adapter_config.json').read_text())
    # No path of this machine, and no name that a hub could have.
    assert values['base_model_name_or_path'] == './full'
    assert (values['r'], values['use_dora'], values['use_rslora']) == (2, True, True)
    assert same(peft_adapter.read(adapter, parts.model).parameters, parts.parameters)
    card = (adapter / 'README.md').read_text()
    check_card(card, folder, library='peft')
    assert 'base_model:' not in card  # it would be a link to the hub
    assert 'rank 2, alpha 32, scaled by alpha / sqrt(rank), DoRA' in card
    config = adapter / 'adapter_config.json'
    config.write_text(json.dumps({**values, 'lora_alpha': 33}))
    with pytest.raises(errors.InputError, match=r'adapter_config\.json has other byt'):
        peft_adapter.read(adapter, parts.model)


@pytest.mark.parametrize('workdir', ['full', 'lora'])
def test_any_run_becomes_a_gguf_file_with_a_modelfile(
    folder: pathlib.Path, tmp_path: pathlib.Path, workdir: str
) -> None:
    out = tmp_path / 'out'
    done = export(folder / workdir, '--format=gguf', '--dtype=q8_0', f'--output={out}')
    assert done.returncode == 0, done.stderr
    assert 'as q8_0 they differ by up to ' in done.stdout
    names = ['Modelfile', 'README.md', 'SHA256SUMS', 'model.gguf']
    assert sorted(path.name for path in out.iterdir()) == names
    parts = restore.parts(str(folder / workdir))
    model, parameters = gguf_file.read(out / 'model.gguf')
    assert model.vocab_size == parts.model.vocab_size
    assert same(parameters, gguf_file.as_stored(parts.merged(), dtype='q8_0'))
    name = gguf.GGUFReader(out / 'model.gguf').fields['general.name']
    assert name.contents() == workdir
    check_card((out / 'README.md').read_text(), folder, library='gguf')


def test_a_smaller_type_and_several_files_hold_the_same_model(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    request = export_request.Request('merged', dtype='bfloat16', max_shard_size='20KB')
    made = run_export.write(str(folder / 'lora'), str(tmp_path / 'out'), request)
    assert made.comparison.largest == 0 < made.rounding < 0.1
    index = json.loads((tmp_path / 'out/model.safetensors.index.json').read_text())
    assert len(set(index['weight_map'].values())) > 1
    assert json.loads((tmp_path / 'out/config.json').read_text())['dtype'] == 'bfloat16'
    model = hf_folder.read_model_config(tmp_path / 'out')
    read = hf_folder.read_parameters(tmp_path / 'out', model)
    merged = made.parts.merged()
    kept = {
        n: x.astype(ml_dtypes.bfloat16).astype('float32') for n, x in merged.items()
    }
    assert same(read, kept)


def test_a_type_that_a_format_does_not_have_is_refused(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    request = export_request.Request('hf', dtype='q8_0')
    with pytest.raises(errors.InputError, match='use one of float32, float16, bfloat'):
        run_export.write(str(folder / 'full'), str(tmp_path / 'out'), request)


def test_a_format_that_is_not_for_the_run_is_refused_by_the_one_that_is(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    out = str(tmp_path / 'out')
    with pytest.raises(errors.InputError, match=r'=merged .*--format=peft'):
        run_export.write(str(folder / 'lora'), out, export_request.Request('hf'))
    for format_ in ('merged', 'peft'):
        with pytest.raises(errors.InputError, match=r'lora\.rank=0\); use --format=hf'):
            run_export.write(str(folder / 'full'), out, export_request.Request(format_))
    assert not list(tmp_path.iterdir())


def test_every_wrong_flag_is_named_at_once_before_anything_is_read(
    tmp_path: pathlib.Path,
) -> None:
    there = tmp_path / 'there'
    there.mkdir()
    (there / 'file').write_text('mine')
    done = export(pathlib.Path(), '--workdir=', '--format=onnx', f'--output={there}')
    assert done.returncode == 2
    assert '--workdir is missing' in done.stderr
    accepted = 'hf, merged, peft, gguf'
    assert f"--format='onnx' is not accepted; use one of {accepted}" in done.stderr
    assert f'--output={there} exists' in done.stderr
    assert (there / 'file').read_text() == 'mine'


def test_what_is_no_run_or_no_step_of_it_is_refused(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    out = str(tmp_path / 'out')
    with pytest.raises(errors.InputError, match=r'is not a run of launch\.train'):
        run_export.write(str(tmp_path), out, export_request.Request('hf'))
    with pytest.raises(
        errors.InputError, match=r'has no checkpoint of step 2; it has 3'
    ):
        run_export.write(
            str(folder / 'full'), out, export_request.Request('hf'), step=2
        )
    assert not list(tmp_path.iterdir())


_BROKEN = """
import runpy, sys
import safetensors.numpy

save = safetensors.numpy.save_file

def broken(tensors, path, metadata):
    name = 'transformer.h.1.ln_2.bias'
    tensors[name] = tensors[name] + 0.01
    save(tensors, path, metadata)

safetensors.numpy.save_file = broken
sys.argv = ['launch.export', *sys.argv[1:]]
runpy.run_module('launch.export', run_name='__main__')
"""


def test_a_folder_that_is_not_the_run_fails_loudly_and_is_kept_aside(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / 'out.mismatch').mkdir()  # of an earlier export
    done = forks.run(
        '-c',
        _BROKEN,
        f'--workdir={folder}/full',
        '--format=hf',
        f'--output={tmp_path}/out',
    )
    assert done.returncode == 1
    assert done.stderr.startswith('error: the logits of the folder differ from')
    assert re.search(r'by \d\S* at row \d, place \d+ of the probe', done.stderr)
    assert f'kept as {tmp_path}/out.mismatch2' in done.stderr
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ['out.mismatch', 'out.mismatch2']
    assert not list((tmp_path / 'out.mismatch').iterdir())
    assert (tmp_path / 'out.mismatch2' / 'model.safetensors').is_file()


@pytest.mark.parametrize(
    ('workdir', 'format_', 'name', 'rows', 'factor', 'message'),
    [
        ('full', 'hf', 'h.1.ln_2.bias', 5, 1, "can't be read back"),
        ('lora', 'merged', 'c_attn.weight', None, 1.01, 'the logits of the folder'),
        ('lora', 'peft', 'lora_B.weight', None, 2, 'the logits of the folder'),
    ],
)
def test_wrong_tensors_of_every_format_are_found(
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    workdir: str,
    format_: str,
    name: str,
    rows: int | None,
    factor: float,
    message: str,
) -> None:
    save = safetensors.numpy.save_file

    def broken(tensors: dict, path: pathlib.Path, metadata: dict) -> None:
        for key, tensor in tensors.items():
            if key.endswith(name):
                tensors[key] = tensor[:rows] * np.float32(factor)
        save(tensors, path, metadata)

    monkeypatch.setattr(safetensors.numpy, 'save_file', broken)
    with pytest.raises(errors.MismatchError, match=message):
        run_export.write(
            str(folder / workdir),
            str(tmp_path / 'out'),
            export_request.Request(format_),
        )
    assert [path.name for path in tmp_path.iterdir()] == ['out.mismatch']


def test_an_adapter_that_tells_another_scale_is_found(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = peft_adapter.write

    def broken(new, settings, *rest, **names):  # noqa: ANN001, ANN002, ANN003, ANN202
        settings = dataclasses.replace(settings, alpha=settings.alpha * 1.1)
        write(new, settings, *rest, **names)

    monkeypatch.setattr(peft_adapter, 'write', broken)
    with pytest.raises(errors.MismatchError, match='the logits of the folder'):
        run_export.write(
            str(folder / 'lora'),
            str(tmp_path / 'out'),
            export_request.Request('peft'),
            step=3,
        )
    assert [path.name for path in tmp_path.iterdir()] == ['out.mismatch']


def test_a_run_of_another_template_or_without_numbers_is_refused(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / 'out')
    nothing = np.full((1, 1, 1), np.nan, np.float32)
    with monkeypatch.context() as patch:
        patch.setattr(same_logits, 'probe', lambda _: nothing)
        with pytest.raises(errors.InputError, match='at step 3 gives logits that are'):
            run_export.write(str(folder / 'full'), out, export_request.Request('hf'))
    monkeypatch.setattr(text, 'TEMPLATE_VERSION', 'question-answer-2')
    with pytest.raises(errors.InputError) as error:
        run_export.write(str(folder / 'full'), out, export_request.Request('peft'))
    for message in ("template 'question-answer-1'", 'use --format=hf'):
        assert message in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_base_that_moved_is_named_with_base(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workdir = tmp_path / 'run'
    workdir.mkdir()
    for path in (folder / 'lora').iterdir():
        (workdir / path.name).symlink_to(path)
    (workdir / 'run.json').unlink()
    (workdir / 'config.json').unlink()
    values = run_folder.read_run(folder / 'lora')
    values['base']['path'] = str(tmp_path / 'gone')
    run_folder.write(workdir, run_folder.read_config(folder / 'lora'), values)
    out = str(tmp_path / 'out')
    with pytest.raises(errors.InputError, match='--base=PATH'):
        run_export.write(str(workdir), out, export_request.Request('merged'))
    assert not (tmp_path / 'out').exists()
    run_export.write(
        str(workdir), out, export_request.Request('merged'), base=str(folder / 'full')
    )
    assert (tmp_path / 'out' / 'model.safetensors').is_file()
