"""A model that gets more tokens: their ids, their rows, the folder that others load."""

import dataclasses
import pathlib

import numpy as np
import pytest
import transformers

from hax_jax import errors, files
from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.formats import hf_folder
from hax_jax.model import naming
from hax_jax.runs import grown_base, import_model, origin

_TOKENS = ['<NAME>', 'zq']


@pytest.fixture(
    scope='module', params=['gpt2_tokenizer_folder', 'sentencepiece_folder']
)
def base(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    tokenizer = text.load_tokenizer(str(request.getfixturevalue(request.param)))
    model = schema.ModelConfig(
        n_layer=1,
        n_head=2,
        n_embd=8,
        n_positions=64,
        vocab_size=tokenizer.vocab_size,
        tie_embeddings=False,
    )
    rng = np.random.default_rng(0)
    parameters = {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in naming.parameter_shapes(model).items()
    }
    folder = tmp_path_factory.mktemp('grown') / 'base'
    with files.new_folder(folder) as new:
        hf_folder.write(new, model, parameters, tokenizer, card='a base')
    return folder


def test_a_new_token_is_one_id_whose_row_is_the_mean_of_its_pieces(
    base: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    out = tmp_path / 'grown'
    found = import_model.grown(str(base), tokens=_TOKENS)
    assert import_model.write(found, out, format='hf') == []
    before, after = text.load_tokenizer(str(base)), text.load_tokenizer(str(out))
    size = before.vocab_size
    assert after.vocab_size == size + 2
    assert after.encode(_TOKENS) == [[size], [size + 1]]
    letter = 'Dear <NAME>, why zqzq? \u2026 <unk> </s>'
    assert after.decode(after.encode([letter])[0]) == letter
    assert after.encode(['My mother visits.']) == before.encode(['My mother visits.'])
    old = hf_folder.read_parameters(base, hf_folder.read_model_config(base))
    new = hf_folder.read_parameters(out, hf_folder.read_model_config(out))
    for name in ('wte.embedding', 'lm_head.embedding'):
        assert np.array_equal(new[name][:size], old[name])
        for i, ids in enumerate(before.encode(_TOKENS)):
            mean = np.mean([old[name][j] for j in ids], axis=0)
            np.testing.assert_allclose(new[name][size + i], mean, rtol=1e-6)
    theirs = transformers.AutoTokenizer.from_pretrained(out)
    assert (
        theirs(letter, split_special_tokens=True).input_ids == after.encode([letter])[0]
    )


@pytest.mark.parametrize('base', ['sentencepiece_folder'], indirect=True)
def test_a_run_that_adds_tokens_stands_on_a_base_that_is_grown_once(
    base: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = schema.Config(
        data=schema.DataConfig(path=str(tmp_path / 'data'), seq_len=64),
        tokenizer=schema.TokenizerConfig(add_tokens=tuple(_TOKENS)),
        model=schema.ModelConfig(pretrained=str(base)),
    )
    with pytest.raises(errors.InputError, match='add_tokens=<NAME>,zq'):
        grown_base.find(run)
    made = grown_base.make(run)
    assert 'adding 2 tokens' in capsys.readouterr().out
    assert made == grown_base.make(run) == grown_base.find(run)
    assert 'adding' not in capsys.readouterr().out
    resolved, path = origin.resolve(made)
    tokenizer = text.load_tokenizer(path)
    assert resolved.model.vocab_size == tokenizer.vocab_size
    assert [len(ids) for ids in tokenizer.encode(_TOKENS)] == [1, 1]
    assert grown_base.make(made) == made  # a second start with the run's own config
    other = dataclasses.replace(run.tokenizer, add_tokens=('<NAME>',))
    assert grown_base.make(dataclasses.replace(run, tokenizer=other)) != made


@pytest.mark.parametrize('tokens', [['<NAME>', '<NAME>'], ['a'], ['two words'], ['']])
def test_what_can_be_no_new_token_is_named(
    base: pathlib.Path, tokens: list[str]
) -> None:
    with pytest.raises(errors.InputError, match='can not be added: '):
        import_model.grown(str(base), tokens=tokens)
