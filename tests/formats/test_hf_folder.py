"""Hugging Face folders that are written, and what is refused."""

import json
import pathlib
import re
import resource

import numpy as np
import pytest
import safetensors
import sentencepiece
import transformers
import yaml

from hax_jax import files
from hax_jax.config import schema
from hax_jax.data import text, train_tokenizer
from hax_jax.formats import hf_folder, hf_tokenizer, model_card
from hax_jax.model import naming

LETTERS = [
    'My mother-in-law visits every Sunday and stays until the tea is cold.\n\nWhy?',
    'Ask her once, kindly, to call first. If she does not, be out on Sunday.',
    'No. Thank the host, find your coat, and go home to bed. You are 40.',
]


def make_model(**changes: object) -> schema.ModelConfig:
    sizes = {'n_layer': 1, 'n_head': 2, 'n_embd': 8, 'n_positions': 16}
    return schema.ModelConfig(**{**sizes, 'vocab_size': 320, **changes})


def random_parameters(model: schema.ModelConfig) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in naming.parameter_shapes(model).items()
    }


def stored_shapes(path: pathlib.Path) -> dict[str, list[int]]:
    with safetensors.safe_open(path, framework='numpy') as tensors:
        assert tensors.metadata() == {'format': 'pt'}
        names = tensors.keys()
        return {name: tensors.get_slice(name).get_shape() for name in names}


def write(folder: pathlib.Path, model_type: str, texts: list[str], size: int) -> str:
    """A SentencePiece model of its own in a folder."""
    folder.mkdir()
    model = train_tokenizer.of_texts(texts, vocab_size=size, model_type=model_type)
    (folder / text.SENTENCEPIECE_FILE).write_bytes(model)
    return str(folder)


@pytest.fixture
def tokenizer(sentencepiece_folder: pathlib.Path) -> text.Tokenizer:
    return text.load_tokenizer(str(sentencepiece_folder))


@pytest.mark.parametrize('tie', [True, False])
def test_a_folder_has_the_names_of_save_pretrained_and_reads_back_bit_equal(
    tmp_path: pathlib.Path, tokenizer: text.Tokenizer, tie: bool
) -> None:
    width = 32 if tie else 20
    model = make_model(
        tie_embeddings=tie,
        n_inner=0 if tie else width,
        activation='relu',
        layer_norm_epsilon=1e-6,
    )
    parameters = random_parameters(model)
    notes = hf_folder.write(tmp_path, model, parameters, tokenizer, card='')
    assert notes == []
    # Source: GPT2LMHeadModel.save_pretrained of transformers 5.23 with torch 2.13.
    head = {} if tie else {'lm_head.weight': [320, 8]}
    assert stored_shapes(tmp_path / 'model.safetensors') == {
        **head,
        'transformer.wte.weight': [320, 8],
        'transformer.wpe.weight': [16, 8],
        'transformer.h.0.ln_1.weight': [8],
        'transformer.h.0.ln_1.bias': [8],
        'transformer.h.0.attn.c_attn.weight': [8, 24],
        'transformer.h.0.attn.c_attn.bias': [24],
        'transformer.h.0.attn.c_proj.weight': [8, 8],
        'transformer.h.0.attn.c_proj.bias': [8],
        'transformer.h.0.ln_2.weight': [8],
        'transformer.h.0.ln_2.bias': [8],
        'transformer.h.0.mlp.c_fc.weight': [8, width],
        'transformer.h.0.mlp.c_fc.bias': [width],
        'transformer.h.0.mlp.c_proj.weight': [width, 8],
        'transformer.h.0.mlp.c_proj.bias': [8],
        'transformer.ln_f.weight': [8],
        'transformer.ln_f.bias': [8],
    }
    again = hf_folder.read_model_config(tmp_path)
    assert again == model
    read = hf_folder.read_parameters(tmp_path, again)
    assert read.keys() == parameters.keys()
    assert all(np.array_equal(read[name], parameters[name]) for name in read)


def test_the_configs_say_what_transformers_asks(
    tmp_path: pathlib.Path, tokenizer: text.Tokenizer
) -> None:
    model = make_model(attn_pdrop=0.25, resid_pdrop=0.125, tie_embeddings=False)
    hf_folder.write(tmp_path, model, random_parameters(model), tokenizer, card='')
    values = json.loads((tmp_path / 'config.json').read_text())
    expected = {
        'architectures': ['GPT2LMHeadModel'],
        'model_type': 'gpt2',
        'activation_function': 'gelu_new',
        'attn_pdrop': 0.25,
        'resid_pdrop': 0.125,
        'embd_pdrop': 0.0,
        'n_inner': None,
        'tie_word_embeddings': False,
        'bos_token_id': 1,
        'eos_token_id': 1,
        'pad_token_id': 1,
        'dtype': 'float32',
    }
    assert {name: values[name] for name in expected} == expected
    values = json.loads((tmp_path / 'generation_config.json').read_text())
    del values['transformers_version']
    assert values == {
        'do_sample': True,
        'temperature': 0.7,
        'top_k': 50,
        'top_p': 0.9,
        'max_new_tokens': 8,  # 300, but a model of 16 positions has no room for them
        'bos_token_id': 1,
        'eos_token_id': 1,
        'pad_token_id': 1,
    }
    assert model_card.max_new_tokens(1024) == 300


def test_rows_that_pad_the_vocabulary_must_be_gone(
    tmp_path: pathlib.Path, tokenizer: text.Tokenizer
) -> None:
    padded = make_model(pad_vocab_to_multiple_of=128)
    with pytest.raises(ValueError, match=r'wte\.embedding.*384'):
        hf_folder.write(tmp_path, padded, random_parameters(padded), tokenizer, card='')
    assert not list(tmp_path.iterdir())
    whole = random_parameters(make_model())
    hf_folder.write(tmp_path, padded, whole, tokenizer, card='')
    assert json.loads((tmp_path / 'config.json').read_text())['vocab_size'] == 320


def test_a_full_disk_is_an_error_of_the_system_and_leaves_nothing(
    tmp_path: pathlib.Path, tokenizer: text.Tokenizer
) -> None:
    model = make_model(n_embd=256)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with (
            pytest.raises(OSError, match=r"File too large: '.*/out'"),
            files.new_folder(tmp_path / 'out') as folder,
        ):
            hf_folder.write(folder, model, random_parameters(model), tokenizer, card='')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('model_type', 'size'),
    [('bpe', 340), ('char', 340), ('unigram', 330), ('bpe', 1024), ('unigram', 1024)],
)
def test_transformers_gives_the_ids_of_sentencepiece(
    tmp_path: pathlib.Path, model_type: str, size: int
) -> None:
    source = write(tmp_path / 'source', model_type, LETTERS, size)
    model = make_model()
    out = tmp_path / 'out'
    out.mkdir()
    tokenizer = text.load_tokenizer(source)
    model = make_model(vocab_size=tokenizer.vocab_size)
    assert not hf_folder.write(
        out, model, random_parameters(model), tokenizer, card='the card\n'
    )
    pieces = sentencepiece.SentencePieceProcessor(
        model_file=f'{source}/tokenizer.model'
    )
    fast = transformers.AutoTokenizer.from_pretrained(out)
    assert fast.eos_token_id == fast.pad_token_id == pieces.eos_id() == 1
    assert fast(LETTERS[0] + fast.eos_token).input_ids == [
        *pieces.encode(LETTERS[0]),
        1,
    ]
    contracted = "I don't, they're; she'd've said 's n't n'tn't"
    assert (len(pieces.encode("n't")) == 1) == (size >= 1024)
    for probe in [
        *LETTERS,
        contracted,
        text.TAIL,
        'a  b\n\n c </s> <0x41>',
        '\U0001f600\u0301 é',
    ]:
        ids = fast(probe, split_special_tokens=True).input_ids
        assert ids == pieces.encode(probe)
        assert fast.decode(ids, skip_special_tokens=True) == probe
    assert fast('a').keys() == {'input_ids', 'attention_mask'}
    assert text.load_tokenizer(str(out)).fingerprint == tokenizer.fingerprint
    assert (out / 'README.md').read_text() == 'the card\n'


def test_transformers_gives_the_ids_of_gpt2(
    tmp_path: pathlib.Path, gpt2_tokenizer_folder: pathlib.Path
) -> None:
    tokenizer = text.load_tokenizer(str(gpt2_tokenizer_folder))
    (tmp_path / 'config.json').write_text('{"model_type": "gpt2"}')
    assert hf_tokenizer.write(tmp_path, tokenizer, n_positions=16) == []
    fast = transformers.AutoTokenizer.from_pretrained(tmp_path)
    # Source: GPT-2's vocabulary; the last is EOS.
    assert fast('Hello world').input_ids == [15496, 995]
    assert fast.eos_token_id == fast.pad_token_id == 50256
    # As in transformers' own folder: who trains this one further ends with EOS so.
    assert fast('No.<|endoftext|>').input_ids == [2949, 13, 50256]
    # A letter that spells EOS can be kept from it: 27 is '<', 91 is '|'.
    letter = fast('<|endoftext|>', split_special_tokens=True)
    assert letter.input_ids[:2] == [27, 91]
    assert text.load_tokenizer(str(tmp_path)).fingerprint == tokenizer.fingerprint


def test_a_tokenizer_that_transformers_cant_follow_is_left_to_sentencepiece(
    tmp_path: pathlib.Path,
) -> None:
    # A unigram model has '</' as a piece, and in transformers finds '</s>' itself.
    source = write(tmp_path / 'source', 'unigram', ['a</b> </c> </d>'] * 9, 290)
    tokenizer = text.load_tokenizer(source)
    model = make_model(vocab_size=tokenizer.vocab_size)
    out = tmp_path / 'out'
    out.mkdir()
    (note,) = hf_folder.write(
        out, model, random_parameters(model), tokenizer, card='the card\n'
    )
    assert note.startswith('transformers can load no tokenizer from this folder')
    with pytest.raises(ValueError, match='tokenizer'):
        transformers.AutoTokenizer.from_pretrained(out)
    assert text.load_tokenizer(str(out)).fingerprint == tokenizer.fingerprint
    card = (out / 'README.md').read_text()
    assert card.startswith('the card\n') and note in card


def test_a_tokenizer_that_differs_is_found(
    tmp_path: pathlib.Path, tokenizer: text.Tokenizer
) -> None:
    (tmp_path / 'config.json').write_text('{"model_type": "gpt2"}')
    assert hf_tokenizer.write(tmp_path, tokenizer, n_positions=16) == []
    assert hf_tokenizer.difference(tmp_path, tokenizer) == ''
    path = tmp_path / 'tokenizer.json'
    whole = json.loads(path.read_text())

    def after(change: dict) -> str:
        path.write_text(json.dumps({**whole, **change}))
        return hf_tokenizer.difference(tmp_path, tokenizer)

    merges = whole['model']['merges']
    assert 'has ids' in after({'model': {**whole['model'], 'merges': merges[1:]}})
    assert 'has ids' in after({'pre_tokenizer': {'type': 'Whitespace'}})
    assert 'decoded otherwise' in after({'decoder': None})
    path.write_text('{')
    assert 'does not load' in hf_tokenizer.difference(tmp_path, tokenizer)
    path.write_text(json.dumps(whole))
    settings = tmp_path / 'tokenizer_config.json'
    settings.write_text(settings.read_text().replace('"</s>"', '"<unk>"'))
    assert 'EOS is 1' in hf_tokenizer.difference(tmp_path, tokenizer)


def python_of(card: str) -> str:
    return re.search(r'```python\n(.*?)```', card, re.DOTALL)[1]


@pytest.mark.parametrize(
    ('kind', 'library'), [('full', 'transformers'), ('adapter', 'peft')]
)
def test_a_card_has_front_matter_facts_the_template_and_code(
    kind: str, library: str
) -> None:
    card = model_card.make(
        'letters',
        {'base': 'gpt2', 'notes': 'one | two\nthree'},
        base_name='some: "name"',
        kind=kind,
        n_positions=16,
        license='mit',
        validation_loss=2.93456,
    )
    _, front, body = card.split('---\n', 2)
    values = yaml.safe_load(front)
    assert values['base_model'] == 'some: "name"'
    assert (values['library_name'], values['license']) == (library, 'mit')
    [result] = values['model-index'][0]['results']
    assert result['metrics'][0]['value'] == 2.9346
    assert '| notes | one \\| two three |\n' in body
    assert '```\nQUESTION:\n{question}\n\nANSWER:\n{answer}<EOS>\n```' in body
    compile(python_of(card), 'card', 'exec')
    assert "'QUESTION:\\n', question, '\\n\\nANSWER:\\n'" in python_of(card)


@pytest.mark.parametrize(
    ('path', 'is_run', 'name'),
    [
        ('gpt2', False, 'gpt2'),
        ('openai-community/gpt2', False, 'openai-community/gpt2'),
        ('runs/base', True, 'base'),
        ('/home/someone/models/gpt2', False, 'gpt2'),
        ('~/models/gpt2/', False, 'gpt2'),
        ('a/b/c', False, 'c'),
        ('hax_jax', False, 'hax_jax'),
    ],
)
def test_a_card_names_a_hub_model_whole_and_of_a_path_its_end(
    path: str, is_run: bool, name: str
) -> None:
    assert model_card.short_name(path, is_run=is_run) == name


def test_an_adapter_names_a_folder_as_one() -> None:
    assert model_card.base_path('openai/gpt2', is_run=False) == 'openai/gpt2'
    assert model_card.base_path('runs/full', is_run=True) == './full'
    assert model_card.base_path('/models/gpt2', is_run=False) == './gpt2'
    card = model_card.make('a', {}, base_name='./full', kind='adapter', n_positions=16)
    assert 'base_model' not in card


def test_the_example_of_a_card_runs(
    tmp_path: pathlib.Path,
    tokenizer: text.Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip('torch', reason='torch is a development package')
    model = make_model(n_positions=256)
    card = model_card.make('letters', {}, n_positions=model.n_positions)
    hf_folder.write(tmp_path, model, random_parameters(model), tokenizer, card=card)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(python_of(card), 'card', 'exec'), names)
    assert capsys.readouterr().out.strip()
    question = tokenizer.encode([names['question']])[0]
    pieces = text.template(tokenizer)
    prompt = text.prompt(pieces, question, max_length=256)
    assert names['ids'].tolist() == [prompt.ids]
