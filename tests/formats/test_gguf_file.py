"""GGUF files against gguf's own names and an engine that runs them.

The engine is a development package:

    pip install xllamacpp && python -m pytest tests/formats/test_gguf_file.py
"""

import json
import pathlib
import random
import urllib.request
from collections.abc import Iterator

import conftest
import gguf
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers

from hax_jax import errors
from hax_jax.config import export_request, schema
from hax_jax.data import text, train_tokenizer
from hax_jax.formats import chat_template, gguf_file, gguf_tokenizer, hf_tokenizer
from hax_jax.model import naming
from hax_jax.runs import restore

_PROMPT = f'{text.HEAD}My  cat, \u201cTom\u201d?{text.TAIL}'


@pytest.fixture(scope='module', params=['gpt2', 'bpe', 'char', 'unigram'])
def tokenizer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> text.Tokenizer:
    if request.param == 'gpt2':
        folder = request.getfixturevalue('gpt2_tokenizer_folder')
        return text.load_tokenizer(str(folder))
    return _sentencepiece(tmp_path_factory.mktemp(request.param), request.param)


def _sentencepiece(folder: pathlib.Path, model_type: str) -> text.Tokenizer:
    texts = [text.HEAD, text.TAIL, 'My cat sat on a mat. ' * 9, 'No, no; not at all.']
    size = 1024 if model_type == 'bpe' else 300  # which has pieces of contractions
    proto = train_tokenizer.of_texts(texts, vocab_size=size, model_type=model_type)
    (folder / text.SENTENCEPIECE_FILE).write_bytes(proto)
    return text.load_tokenizer(str(folder))


def _model(tokenizer: text.Tokenizer, **changes: object) -> schema.ModelConfig:
    sizes = {'n_layer': 2, 'n_head': 2, 'n_embd': 32, 'n_positions': 128, 'n_inner': 96}
    sizes |= {'vocab_size': tokenizer.vocab_size + 3}  # rows that no token has
    return schema.ModelConfig(**{**sizes, **changes})


def _parameters(model: schema.ModelConfig) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: (name.endswith('.scale') + 0.1 * rng.normal(size=shape)).astype('float32')
        for name, shape in naming.parameter_shapes(model).items()
    }


@pytest.mark.parametrize('tie', [True, False])
@pytest.mark.parametrize('dtype', export_request.DTYPES['gguf'])
def test_a_file_reads_back_as_it_was_stored(
    tmp_path: pathlib.Path, dtype: str, tie: bool
) -> None:
    tokenizer = _sentencepiece(tmp_path, 'bpe')
    model = _model(tokenizer, tie_embeddings=tie)
    parameters = _parameters(model)
    path = tmp_path / 'model.gguf'
    notes = gguf_file.write(path, model, parameters, tokenizer, dtype=dtype, name='a')
    again, read = gguf_file.read(path)
    assert again == model
    kept = gguf_file.as_stored(parameters, dtype=dtype)
    assert all(np.array_equal(read[name], kept[name]) for name in parameters)
    assert any('8 bits' in note for note in notes) == (dtype == 'q8_0')
    # Half a unit in the last place of 24, 11 and 8 bits; of 254 steps, and the scale's.
    most = {'float32': 0, 'float16': 2**-11, 'bfloat16': 2**-8, 'q8_0': 1 / 220}[dtype]
    for name, array in parameters.items():
        scale = np.abs(array).max() if dtype == 'q8_0' else np.abs(array)
        assert (np.abs(kept[name] - array) <= most * scale + 1e-7).all(), name


def test_the_fields_are_those_of_the_model_and_its_tokenizer(
    tmp_path: pathlib.Path, tokenizer: text.Tokenizer
) -> None:
    model = _model(tokenizer)
    path = tmp_path / 'model.gguf'
    parameters = _parameters(model)
    notes = gguf_file.write(path, model, parameters, tokenizer, dtype='q8_0', name='a')
    reader = gguf.GGUFReader(path)
    values = {name: field.contents() for name, field in reader.fields.items()}
    assert '8 bits' in notes.pop()
    # Which texts the engine reads otherwise: those with this sign, and rare characters.
    assert [note.split()[2] for note in notes] == {
        'gpt2': [],
        'llama': ['U+2581,'],
        't5': ['U+2581,', 'a'],
    }[values['tokenizer.ggml.model']]
    if len(notes) == 2:  # by the texts that made it
        assert notes[1].endswith('for all of ASCII and for 0 other characters.')
    assert values['gpt2.context_length'] == 128
    assert values['gpt2.feed_forward_length'] == 96
    assert values['general.file_type'] == gguf.LlamaFileType.MOSTLY_Q8_0
    assert values['tokenizer.chat_template'] == chat_template.JINJA
    assert values['tokenizer.ggml.eos_token_id'] == tokenizer.eos_id
    assert not values['tokenizer.ggml.add_bos_token']
    assert len(values['tokenizer.ggml.tokens']) == model.vocab_size
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert tensors['blk.1.attn_qkv.weight'].tensor_type.name == 'Q8_0'
    assert tensors['position_embd.weight'].tensor_type.name == 'F32'
    assert 'output.weight' not in tensors
    # Values by llama.cpp's own names: kernels are turned, no two tensors are swapped.
    for theirs, ours in (
        ('blk.1.attn_norm.weight', parameters['h.1.ln_1.scale']),
        ('blk.1.ffn_norm.bias', parameters['h.1.ln_2.bias']),
        ('position_embd.weight', parameters['wpe.embedding']),
        ('output_norm.weight', parameters['ln_f.scale']),
    ):
        assert np.array_equal(tensors[theirs].data, ours)
    for theirs, ours in (
        ('attn_qkv', 'attn.c_attn'),
        ('attn_output', 'attn.c_proj'),
        ('ffn_up', 'mlp.c_fc'),
        ('ffn_down', 'mlp.c_proj'),
    ):
        stored = tensors[f'blk.1.{theirs}.weight']
        turned = gguf.quants.dequantize(stored.data, stored.tensor_type)
        kernel = parameters[f'h.1.{ours}.kernel']
        np.testing.assert_allclose(turned, kernel.T, atol=np.abs(kernel).max() / 220)
    assert gguf_tokenizer.eos_of(path) in ('</s>', '<|endoftext|>')
    again = gguf_tokenizer.read(path)
    probes = [_PROMPT, '</s> <unk> <0x41>', '  two  \n\n\t a', *conftest.LETTERS]
    assert again.encode(probes) == tokenizer.encode(probes)
    assert (again.vocab_size, again.eos_id) == (tokenizer.vocab_size, tokenizer.eos_id)


def test_what_llama_cpp_would_compute_otherwise_is_refused(
    tmp_path: pathlib.Path, tokenizer: text.Tokenizer
) -> None:
    assert gguf_file.problems(_model(tokenizer), tokenizer) == []
    [problem] = gguf_file.problems(_model(tokenizer, activation='relu'), tokenizer)
    assert 'model.activation=relu' in problem


def _kind(path: pathlib.Path) -> str:
    return gguf.GGUFReader(path).fields['tokenizer.ggml.model'].contents()


def test_a_file_of_others_changes_texts_as_the_engine_does(
    tmp_path: pathlib.Path,
) -> None:
    tokenizer = _sentencepiece(tmp_path, 'bpe')
    path, model = tmp_path / 'model.gguf', _model(tokenizer)
    parameters = _parameters(model)
    gguf_file.write(path, model, parameters, tokenizer, dtype='q8_0', name='a')
    whole = path.read_bytes()
    key = b'tokenizer.ggml.add_space_prefix'
    # A field's name, its type (7, a bool: 4 bytes), its value.
    at = whole.index(key) + len(key) + 4
    path.write_bytes(whole[:at] + b'\x01' + whole[at + 1 :])
    with_prefix = gguf_tokenizer.read(path)
    assert with_prefix.encode(['cat']) == tokenizer.encode([' cat'])


def test_added_tokens_are_read_in_texts_and_shown_in_answers(
    tmp_path: pathlib.Path,
) -> None:
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    ids = {token: i for i, token in enumerate([*letters, 'ca', '<|endoftext|>'])}
    (tmp_path / 'vocab.json').write_text(json.dumps(ids), encoding='utf-8')
    (tmp_path / 'merges.txt').write_text('#version: 0.2\nc a\n')
    own = text.load_tokenizer(str(tmp_path))
    tokenizer = text.with_tokens(own, ['<NAME>', 'zxq'])
    model = _model(tokenizer, n_layer=1, n_embd=2, vocab_size=tokenizer.vocab_size)
    path = tmp_path / 'model.gguf'
    parameters = _parameters(model)
    gguf_file.write(path, model, parameters, tokenizer, dtype='float32', name='a')
    types = gguf.GGUFReader(path).fields['tokenizer.ggml.token_type'].contents()
    # llama.cpp shows no token of type 3 (control), and reads none in a text.
    assert types[-3:] == [3, 4, 4]
    again = gguf_tokenizer.read(path)
    assert again.fingerprint == tokenizer.fingerprint
    assert again.encode(['zxq']) == [[259]]
    path.write_bytes(path.read_bytes().replace(b'gpt-2', b'falco'))
    with pytest.raises(errors.InputError, match="splits texts as 'falco' does"):
        gguf_tokenizer.read(path)
    path.write_bytes(path.read_bytes().replace(b'eos_token_id', b'eot_token_id'))
    with pytest.raises(errors.InputError, match=r'lacks tokenizer\.ggml\.eos_token_id'):
        gguf_tokenizer.read(path)


def test_another_file_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'model.gguf'
    path.write_bytes(b'PK' + bytes(100))
    with pytest.raises(errors.InputError, match='no GGUF file, or damaged'):
        gguf_file.read(path)
    path.unlink()
    writer = gguf.GGUFWriter(path, 'llama')
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(errors.InputError, match="architecture 'llama'"):
        gguf_file.read(path)


def test_each_tensor_of_a_file_is_the_model_s_or_refused(
    tmp_path: pathlib.Path,
) -> None:
    tokenizer = _sentencepiece(tmp_path, 'bpe')
    model = _model(tokenizer)
    parameters = _parameters(model)
    parameters['ln_f.bias'][3] = np.nan
    path = tmp_path / 'model.gguf'
    gguf_file.write(path, model, parameters, tokenizer, dtype='float32', name='a')
    key, whole = b'gpt2.block_count', path.read_bytes()
    at = whole.index(key) + len(key) + 4
    path.write_bytes(whole[:at] + b'\x01' + whole[at + 1 :])  # one block, not two
    with pytest.raises(errors.InputError) as error:
        gguf_file.read(path)
    said = str(error.value).splitlines()[1:]
    assert len(said) == 13
    assert said[0] == 'extra: blk.1.attn_norm.bias'
    assert said[12] == 'output_norm.bias holds numbers that are not finite'


class _Engine:
    """llama.cpp's server, as the package xllamacpp has it."""

    def __init__(self, path: pathlib.Path) -> None:
        engine = pytest.importorskip('xllamacpp', reason='xllamacpp runs GGUF files')
        settings = engine.CommonParams()
        settings.model.path, settings.n_ctx, settings.n_parallel = str(path), 128, 1
        settings.use_jinja, settings.warmup = True, False
        # float16 in the cache would round what is compared.
        settings.cache_type_k = settings.cache_type_v = engine.ggml_type.GGML_TYPE_F32
        settings.flash_attn_type = (
            engine.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        self._server = engine.Server(settings)

    def ask(self, what: str, **body: object) -> dict:
        url = f'{self._server.listening_address}/{what}'
        headers = {'Content-Type': 'application/json'}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)


@pytest.fixture(scope='module')
def engine(
    tokenizer: text.Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[_Engine, pathlib.Path]]:
    pytest.importorskip('xllamacpp', reason='xllamacpp runs GGUF files')
    path = tmp_path_factory.mktemp('engine') / 'model.gguf'
    model = _model(tokenizer)
    gguf_file.write(
        path, model, _parameters(model), tokenizer, dtype='float32', name='a'
    )
    yield _Engine(path), path


def test_the_engine_has_the_ids_of_training(
    tokenizer: text.Tokenizer, engine: tuple[_Engine, pathlib.Path]
) -> None:
    texts = [_PROMPT, '</s> <unk> <0x41>', '  two  \n\n\t a', "don't n'tn't 's've"]
    texts += hf_tokenizer.random_texts(tokenizer)
    probes = [each for each in texts if not {'\u2581', '\0'} & set(each)]
    if _kind(engine[1]) == 't5':  # the note's exception
        probes = [''.join(filter(str.isascii, each)) for each in probes]
    probes = probes[:4] + random.Random(1).sample(probes[4:], 500)
    for probe, own in zip(probes, tokenizer.encode(probes), strict=True):
        found = engine[0].ask('tokenize', content=probe, parse_special=False)
        assert found['tokens'] == own, ascii(probe)


def test_the_engine_pays_for_a_character_that_only_longer_pieces_have(
    tmp_path: pathlib.Path,
) -> None:
    pytest.importorskip('xllamacpp', reason='xllamacpp runs GGUF files')
    from sentencepiece import sentencepiece_model_pb2

    path = tmp_path / text.SENTENCEPIECE_FILE
    _sentencepiece(tmp_path, 'unigram')
    proto = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
    [alone] = [piece for piece in proto.pieces if piece.piece == 'a']
    alone.piece, alone.score = 'oa', -20.0  # 'a' is a byte now, but for this piece
    path.write_bytes(proto.SerializeToString())
    tokenizer = text.load_tokenizer(str(tmp_path))
    probes = ['a', 'oa', 'toa mat', 'a mat, a cat', 'oaoa']
    model = _model(tokenizer)
    gguf_file.write(
        tmp_path / 'model.gguf',
        model,
        _parameters(model),
        tokenizer,
        dtype='float32',
        name='a',
    )
    engine = _Engine(tmp_path / 'model.gguf')
    for probe, own in zip(probes, tokenizer.encode(probes), strict=True):
        found = engine.ask('tokenize', content=probe, parse_special=False)
        assert found['tokens'] == own, probe


def test_the_engine_asks_by_the_template(
    tokenizer: text.Tokenizer, engine: tuple[_Engine, pathlib.Path]
) -> None:
    turns = [('user', 'One?'), ('assistant', 'No.'), ('user', 'Two?')]
    messages = [{'role': role, 'content': content} for role, content in turns]
    found = engine[0].ask('apply-template', messages=messages)['prompt']
    one, two = (f'{text.HEAD}{each}{text.TAIL}' for each in ('One?', 'Two?'))
    assert found == f'{one}No.{gguf_tokenizer.eos_of(engine[1])}{two}'


def test_the_engine_gives_our_logits(
    tokenizer: text.Tokenizer, engine: tuple[_Engine, pathlib.Path]
) -> None:
    model, parameters = gguf_file.read(engine[1])
    ours = restore.build(model, parameters, dtype='float32')
    num_compared = 0
    for number in range(20):
        [ids] = tokenizer.encode([f'{_PROMPT} {number}'])
        row = jnp.asarray([ids])
        hidden = ours(row, jnp.arange(len(ids))[None], jnp.ones_like(row))
        features, table = ours.head(hidden)
        logits = np.asarray(features[0, -1] @ table.T, np.float64)
        expected = logits - np.logaddexp.reduce(logits)
        reply = engine[0].ask('completion', prompt=ids, n_predict=1, n_probs=20)
        # The reply has none after a token that is part of a character.
        for each in reply.get('completion_probabilities', [])[:1]:
            num_compared += 1
            top = {one['id']: one['logprob'] for one in each['top_logprobs']}
            assert top.keys() >= set(np.argsort(-expected)[:5].tolist())
            for token, found in top.items():
                # llama.cpp looks its GELU up in float16.
                assert abs(found - expected[token]) < 5e-3
    assert num_compared > 3


def _rounded(array: np.ndarray) -> np.ndarray:
    """What q8_0 keeps of the last axis: 8 bits a number, a float16 scale to 32 of them.

    Source: quantize_row_q8_0 of ggml.
    """
    blocks = array.reshape(*array.shape[:-1], -1, 32).astype(np.float32)
    scale = np.abs(blocks).max(axis=-1, keepdims=True) / np.float32(127)
    numbers = np.rint(blocks / np.where(scale == 0, 1, scale))
    return (numbers * scale.astype(np.float16).astype(np.float32)).reshape(array.shape)


def _as_engine(
    model: schema.ModelConfig, parameters: dict[str, np.ndarray], ids: list[int]
) -> np.ndarray:
    """The logits [V] after `ids` of a q8_0 file: both sides of a product are rounded.

    Of a table's row, the embedding, only the stored side; the cache is float32, and
    GELU a table in float16.
    """

    def product(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:  # [in, out]
        return _rounded(x) @ _rounded(np.ascontiguousarray(matrix.T)).T

    def affine(x: np.ndarray, name: str) -> np.ndarray:
        return product(x, parameters[f'{name}.kernel']) + parameters[f'{name}.bias']

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt((x**2).mean(axis=-1, keepdims=True) + model.layer_norm_epsilon)
        return x * parameters[f'{name}.scale'] + parameters[f'{name}.bias']

    T = len(ids)
    table = parameters['wte.embedding']
    x = _rounded(table[ids]) + parameters['wpe.embedding'][:T]  # [T, D]
    for i in range(model.n_layer):
        qkv = affine(norm(x, f'h.{i}.ln_1'), f'h.{i}.attn.c_attn')
        q, k, v = qkv.reshape(T, 3, model.n_head, -1).transpose(1, 2, 0, 3)
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])  # [N, T, T]
        weights = np.exp(np.where(np.tri(T, dtype=bool), scores, -np.inf))
        weights /= weights.sum(axis=-1, keepdims=True)
        seen = (weights @ v).transpose(1, 0, 2).reshape(T, -1)
        x = x + affine(seen, f'h.{i}.attn.c_proj')
        wide = affine(norm(x, f'h.{i}.ln_2'), f'h.{i}.mlp.c_fc')
        wide = wide.astype(np.float16).astype(np.float32)
        inner = np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)
        wide = (0.5 * wide * (1 + np.tanh(inner))).astype(np.float16)
        x = x + affine(wide.astype(np.float32), f'h.{i}.mlp.c_proj')
    return product(norm(x[-1:], 'ln_f'), parameters['lm_head.embedding'].T)[0]


def test_the_engine_gives_the_greedy_text_of_8_bits(tmp_path: pathlib.Path) -> None:
    pytest.importorskip('xllamacpp', reason='xllamacpp runs GGUF files')
    tokenizer = _sentencepiece(tmp_path, 'bpe')
    model = _model(tokenizer, vocab_size=tokenizer.vocab_size, tie_embeddings=False)
    parameters = _parameters(model)
    for name, array in parameters.items():
        if name.endswith(('.kernel', '.embedding')):
            array *= 2  # else it repeats itself
    head = parameters['lm_head.embedding']
    head[[tokenizer.eos_id, 315]] = head[[315, tokenizer.eos_id]]  # often drawn
    path = tmp_path / 'model.gguf'
    gguf_file.write(path, model, parameters, tokenizer, dtype='q8_0', name='a')
    engine, ends = _Engine(path), set()
    for number in range(6):
        [prompt] = tokenizer.encode([f'{_PROMPT} {number}'])
        ids = list(prompt)
        while len(ids) < len(prompt) + 64 and ids[-1] != tokenizer.eos_id:
            ids.append(int(_as_engine(model, parameters, ids).argmax()))
        found = engine.ask(
            'completion', prompt=prompt, n_predict=64, temperature=0, return_tokens=True
        )
        assert found['tokens'] == ids[len(prompt) :]
        ends.add(found['stop_type'])
    assert ends == {'eos', 'limit'}
