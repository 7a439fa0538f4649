# ruff: noqa: E402 (imports follow the search for torch)
"""What transformers and peft make of what was exported, and the way back.

Development tests: they need torch and peft, which no user does.

    pip install torch peft && python -m pytest tests/formats/test_other_end.py
"""

import dataclasses
import pathlib
import shutil
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch reads what was exported')
peft = pytest.importorskip('peft', reason='peft reads what was exported')

import transformers

from hax_jax import errors, files
from hax_jax.config import export_request, schema
from hax_jax.data import text
from hax_jax.devices import mesh
from hax_jax.formats import hf_folder, pretrained
from hax_jax.model import lora, lora_merge, naming
from hax_jax.runs import export, origin, restore
from hax_jax.sampling import generation, prompt_fitting, prompts

_ROOT = pathlib.Path(__file__).parents[2]
_LETTER = 'My mother-in-law visits every Sunday.\n\nWhy?'
_LAYERS = schema.LoraConfig().targets
ADAPTERS = {
    'default': schema.LoraConfig(rank=4, alpha=6.0),
    'rslora': schema.LoraConfig(rank=4, alpha=6.0, rslora=True),
    'dora': schema.LoraConfig(rank=4, alpha=6.0, dora=True),
    'some layers': schema.LoraConfig(rank=2, targets=('h.0.attn.c_attn', 'h.1.mlp.*')),
    'head': schema.LoraConfig(rank=4, alpha=6.0, targets=(*_LAYERS, 'lm_head')),
    'dora head': schema.LoraConfig(rank=4, dora=True, targets=('c_attn', 'lm_head')),
}


@pytest.fixture(scope='module')
def tokenizer(gpt2_tokenizer_folder: pathlib.Path) -> text.Tokenizer:
    return text.load_tokenizer(str(gpt2_tokenizer_folder))


@pytest.fixture(scope='module')
def sentencepiece(sentencepiece_folder: pathlib.Path) -> text.Tokenizer:
    return text.load_tokenizer(str(sentencepiece_folder))


def sizes(tokenizer: text.Tokenizer) -> schema.ModelConfig:
    return schema.ModelConfig(
        n_layer=2,
        n_head=2,
        n_embd=32,
        n_positions=128,
        vocab_size=tokenizer.vocab_size,
        attn_pdrop=0.1,  # which must not act when the folder is used
    )


def random(shapes: dict[str, tuple[int, ...]], *, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: (name.endswith('.scale') + 0.2 * rng.normal(size=shape)).astype('float32')
        for name, shape in shapes.items()
    }


@dataclasses.dataclass
class Made:
    """A run with an adapter away from its start (none at rank 0), and its base."""

    workdir: pathlib.Path
    base: pathlib.Path


def make(
    folder: pathlib.Path, settings: schema.LoraConfig, tokenizer: text.Tokenizer
) -> Made:
    model = sizes(tokenizer)
    parameters = random(naming.parameter_shapes(model), seed=0)
    with files.new_folder(folder / 'base') as new:
        hf_folder.write(new, model, parameters, tokenizer, card='a base')
    base, learned = None, parameters
    if settings.rank:
        shapes = lora.adapter_shapes(naming.parameter_shapes(model), settings)
        learned = random(shapes, seed=1)
        for name, start in lora_merge.initial_magnitudes(parameters, settings).items():
            learned[name] = start * np.exp(learned[name])
        base = pretrained.Base(
            path=str(folder / 'base'),
            step=None,
            model=model,
            parameters=parameters,
            hash=pretrained.fingerprint(parameters),
        )
    with files.new_folder(folder / 'run') as new:
        origin.write_imported(
            new,
            model=model,
            lora_settings=settings,
            parameters=learned,
            base=base,
            tokenizer=tokenizer,
            step=3,
            origin='test',
        )
    return Made(folder / 'run', folder / 'base')


def our_logits(workdir: pathlib.Path, ids: np.ndarray) -> np.ndarray:
    """Of the run as it trained: its adapter beside its base, not merged."""
    parts = restore.parts(str(workdir))
    base = parts.base.parameters if parts.base else {}
    model = restore.build(
        parts.model,
        {**base, **parts.parameters},
        lora_settings=parts.lora,
        dtype='float32',
    )
    positions = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    rows = [jnp.asarray(x) for x in (ids, positions, np.ones_like(ids))]
    features, table = model.head(model(*rows))
    return np.asarray(features @ table.T)


def our_greedy(workdir: pathlib.Path) -> str:
    loaded = restore.load(str(workdir))
    fitted = prompt_fitting.fit(
        prompts.from_texts([_LETTER]).questions,
        loaded.tokenizer,
        n_positions=loaded.model_config.n_positions,
        max_new_tokens=64,
    )
    generator = generation.Generator(
        loaded.model, loaded.tokenizer, mesh=mesh.make_mesh(schema.MeshConfig())
    )
    settings = schema.SamplingConfig(temperature=0.0, max_new_tokens=64)
    (sample,) = generator.samples(fitted, settings)
    return sample.text


def their_logits(model: torch.nn.Module, ids: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(input_ids=torch.as_tensor(ids)).logits.numpy()


def their_greedy(
    model: torch.nn.Module, folder: pathlib.Path, ours: text.Tokenizer
) -> str:
    """Decoded by our tokenizer: transformers shows broken UTF-8 another way."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer(_LETTER)['input_ids']) == _LETTER
    prompt = text.HEAD + _LETTER + text.TAIL
    inputs = tokenizer(prompt, return_tensors='pt', add_special_tokens=False)
    out = model.generate(**inputs, do_sample=False, max_new_tokens=64)
    return ours.decode(out[0, inputs['input_ids'].shape[1] :].tolist())


def ids_for(tokenizer: text.Tokenizer) -> np.ndarray:
    return np.random.default_rng(2).integers(0, tokenizer.vocab_size, (2, 100))


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    largest = np.abs(ours - theirs).max()
    print(f'largest logit {np.abs(ours).max():.3g}, largest difference {largest:.3g}')
    assert np.abs(ours).max() > 0.5
    assert largest < 1e-4


def check_folder(made: Made, out: pathlib.Path, tokenizer: text.Tokenizer) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(out).eval()
    ids = ids_for(tokenizer)
    close(our_logits(made.workdir, ids), their_logits(model, ids))
    expected = our_greedy(made.workdir)
    assert expected
    assert their_greedy(model, out, tokenizer) == expected


@pytest.mark.parametrize('kind', ['tokenizer', 'sentencepiece'])
def test_transformers_loads_a_full_run(
    tmp_path: pathlib.Path, kind: str, request: pytest.FixtureRequest
) -> None:
    tokenizer = request.getfixturevalue(kind)
    made = make(tmp_path, schema.LoraConfig(), tokenizer)
    export.write(str(made.workdir), str(tmp_path / 'out'), export_request.Request('hf'))
    check_folder(made, tmp_path / 'out', tokenizer)


@pytest.mark.parametrize('name', ADAPTERS)
def test_transformers_loads_a_merged_run(
    tmp_path: pathlib.Path, name: str, sentencepiece: text.Tokenizer
) -> None:
    made = make(tmp_path, ADAPTERS[name], sentencepiece)
    export.write(
        str(made.workdir), str(tmp_path / 'out'), export_request.Request('merged')
    )
    check_folder(made, tmp_path / 'out', sentencepiece)


@pytest.mark.parametrize('name', ADAPTERS)
def test_peft_loads_an_adapter_on_its_base(
    tmp_path: pathlib.Path, name: str, sentencepiece: text.Tokenizer
) -> None:
    made = make(tmp_path, ADAPTERS[name], sentencepiece)
    export.write(
        str(made.workdir), str(tmp_path / 'out'), export_request.Request('peft')
    )
    base = transformers.AutoModelForCausalLM.from_pretrained(made.base)
    model = peft.PeftModel.from_pretrained(base, str(tmp_path / 'out')).eval()
    ids = ids_for(sentencepiece)
    close(our_logits(made.workdir, ids), their_logits(model, ids))
    assert their_greedy(model, made.base, sentencepiece) == our_greedy(made.workdir)


@pytest.mark.parametrize('name', [n for n in ADAPTERS if 'head' not in n])
def test_pefts_merge_is_our_merged_export(
    tmp_path: pathlib.Path, name: str, sentencepiece: text.Tokenizer
) -> None:
    made = make(tmp_path, ADAPTERS[name], sentencepiece)
    for format in ('peft', 'merged'):
        request = export_request.Request(format)
        export.write(str(made.workdir), str(tmp_path / format), request)
    base = transformers.AutoModelForCausalLM.from_pretrained(made.base)
    adapted = peft.PeftModel.from_pretrained(base, str(tmp_path / 'peft'))
    adapted.merge_and_unload().save_pretrained(tmp_path / 'theirs')
    ours, theirs = (
        hf_folder.read_parameters(folder, hf_folder.read_model_config(folder))
        for folder in (tmp_path / 'merged', tmp_path / 'theirs')
    )
    assert ours.keys() == theirs.keys()
    largest = max(np.abs(ours[n] - theirs[n]).max() for n in ours)
    print(f'largest difference of a parameter {largest:.3g}')
    assert largest < 1e-6
    stored = hf_folder.read_parameters(made.base, sizes(sentencepiece))
    assert any(not np.array_equal(ours[n], stored[n]) for n in ours)


@pytest.mark.parametrize(
    ('targets', 'more'),
    [
        (['c_attn', 'c_proj', 'c_fc'], {}),
        (['attn.c_proj', 'lm_head'], {'use_rslora': True}),
        ('all-linear', {'use_dora': True, 'lora_dropout': 0.1}),
    ],
)
def test_an_adapter_that_peft_trained_becomes_a_run(
    tmp_path: pathlib.Path,
    sentencepiece: text.Tokenizer,
    targets: list[str] | str,
    more: dict[str, object],
) -> None:
    made = make(tmp_path, schema.LoraConfig(), sentencepiece)
    base = transformers.AutoModelForCausalLM.from_pretrained(made.base)
    torch.manual_seed(0)
    adapted = peft.get_peft_model(
        base,
        peft.LoraConfig(
            r=4, lora_alpha=6, target_modules=targets, task_type='CAUSAL_LM', **more
        ),
    )
    optimizer = torch.optim.AdamW(adapted.parameters(), lr=0.02)
    ids = torch.as_tensor(ids_for(sentencepiece))
    for _ in range(5):
        adapted(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    adapted.eval().save_pretrained(tmp_path / 'adapter')
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'launch.import_checkpoint',
            str(tmp_path / 'adapter'),
            f'--base={made.base}',
            f'--output={tmp_path / "imported"}',
            '--format=run',
        ],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    close(our_logits(tmp_path / 'imported', ids.numpy()), their_logits(adapted, ids))
    expected = our_greedy(tmp_path / 'imported')
    assert their_greedy(adapted, made.base, sentencepiece) == expected
    # On another base it is refused.
    shutil.rmtree(made.base)
    other = random(naming.parameter_shapes(sizes(sentencepiece)), seed=9)
    with files.new_folder(made.base) as new:
        hf_folder.write(new, sizes(sentencepiece), other, sentencepiece, card='another')
    with pytest.raises(errors.InputError, match='is not the base that'):
        restore.parts(str(tmp_path / 'imported'))


@pytest.mark.parametrize('kind', ['gpt2_tokenizer_folder', 'sentencepiece_folder'])
def test_trl_trains_an_export_further_and_it_comes_back(
    tmp_path: pathlib.Path, request: pytest.FixtureRequest, kind: str
) -> None:
    trl = pytest.importorskip('trl', reason='trl trains what was exported')
    datasets = pytest.importorskip('datasets', reason='trl takes its datasets')
    tokenizer = text.load_tokenizer(str(request.getfixturevalue(kind)))
    made = make(tmp_path, schema.LoraConfig(), tokenizer)
    export.write(str(made.workdir), str(tmp_path / 'out'), export_request.Request('hf'))
    pair = {
        'prompt': [{'role': 'user', 'content': _LETTER}],
        'completion': [{'role': 'assistant', 'content': 'Say no.'}],
    }
    settings = trl.SFTConfig(
        output_dir=str(tmp_path / 'trl'),
        max_steps=2,
        per_device_train_batch_size=2,
        report_to='none',
        use_cpu=True,
        bf16=False,
        save_strategy='no',
    )
    trainer = trl.SFTTrainer(
        model=str(tmp_path / 'out'),
        args=settings,
        train_dataset=datasets.Dataset.from_list([pair] * 4),
    )
    [row, *_] = trainer.train_dataset
    pieces = text.template(tokenizer)
    question, answer = tokenizer.encode([_LETTER, 'Say no.'])
    prompt = text.prompt(pieces, question, max_length=128).ids
    assert row['input_ids'] == [*prompt, *answer, tokenizer.eos_id]
    batch = trainer.data_collator([row])
    learned = [-100] * len(prompt) + [*answer, tokenizer.eos_id]
    assert batch['labels'].tolist() == [learned]
    plain = datasets.Dataset.from_list([{'prompt': 'Why?', 'completion': ' No.'}])
    ended = trl.SFTTrainer(
        model=str(tmp_path / 'out'), args=settings, train_dataset=plain
    ).train_dataset[0]
    assert ended['input_ids'][-1] == tokenizer.eos_id
    trainer.train()
    trainer.save_model(str(tmp_path / 'back'))
    back = str(tmp_path / 'back')
    model = hf_folder.read_model_config(pathlib.Path(back))
    parameters = hf_folder.read_parameters(pathlib.Path(back), model)
    again = text.load_tokenizer(back)
    assert again.encode([_LETTER, '</s> <|endoftext|>']) == tokenizer.encode(
        [_LETTER, '</s> <|endoftext|>']
    )
    ids = np.asarray([row['input_ids']])
    theirs = trainer.model.eval()(input_ids=torch.from_numpy(ids)).logits
    built = restore.build(model, parameters, dtype='float32')
    places = np.arange(ids.shape[1])[None]
    features, table = built.head(
        built(jnp.asarray(ids), jnp.asarray(places), jnp.ones(ids.shape, jnp.int32))
    )
    ours = np.asarray(features @ table.T)
    assert np.abs(ours - theirs.detach().numpy()).max() < 1e-4
    resolved, path = origin.resolve(
        schema.Config(
            data=schema.DataConfig(path='', seq_len=64),
            model=schema.ModelConfig(pretrained=back),
        )
    )
    assert origin.with_vocab(resolved, text.load_tokenizer(path)) == resolved
