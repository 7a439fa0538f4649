"""Folders of models by themselves: each with what is wrong with it."""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import tiny_steps

from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.doctor import diagnosis, examine_folder
from hax_jax.formats import hf_folder, model_card, peft_adapter, pretrained
from hax_jax.model import lora, naming

_MODEL = schema.ModelConfig(
    n_layer=1, n_head=2, n_embd=16, n_positions=64, vocab_size=384
)
Make = Callable[..., pathlib.Path]


@pytest.fixture
def make(tmp_path: pathlib.Path, sentencepiece_folder: pathlib.Path) -> Make:
    tokenizer = text.load_tokenizer(str(sentencepiece_folder))

    def made(**changes: np.ndarray) -> pathlib.Path:
        parameters = tiny_steps.random_parameters(_MODEL, scale=0.05)
        folder = tmp_path / 'folder'
        folder.mkdir(exist_ok=True)
        card = model_card.make('gpt2', {}, n_positions=64)
        hf_folder.write(folder, _MODEL, parameters | changes, tokenizer, card=card)
        return folder

    return made


def _bad(folder: pathlib.Path) -> dict[str, str]:
    found, _ = examine_folder.examine(folder)
    return {each.id: each.cause for each in found if each.verdict == diagnosis.FAIL}


def test_weights_that_were_drawn_and_positions_of_zero_are_named(make: Make) -> None:
    found, _ = examine_folder.examine(
        make(**{'wpe.embedding': np.zeros((64, 16), np.float32)})
    )
    bad = {each.id: each.cause for each in found if each.verdict == diagnosis.FAIL}
    assert bad.keys() == {'arrays'}  # from which the others follow
    assert '(wpe) are zero' in bad['arrays']
    drawn = _bad(make())
    assert 'drawn' in drawn['start']


_NARROW = (
    'so the third gate opens only if the first lamp is lit and no bell has rung twice '
    'since the water rose over the second mark on the wall by the stair'
)


def _knowing_pairs(tokenizer: text.Tokenizer) -> dict[str, np.ndarray]:
    """What gives each token of `_NARROW` the one that follows it there, by the head.

    Embeddings are orthogonal, so a row of the head that is the sum of those before a
    token scores that token after each of them, and blocks add nearly nothing.
    """
    (ids,) = tokenizer.encode([_NARROW])
    rng = np.random.default_rng(6)
    size = _WIDE.n_embd
    axes = np.linalg.qr(rng.normal(size=(size, size)))[0][: _WIDE.vocab_size]
    head = np.zeros((_WIDE.vocab_size, size))
    for one, following in set(itertools.pairwise(ids)):
        head[following] += 0.5 * axes[one] * np.sqrt(size)
    made = {'wte.embedding': axes, 'lm_head.embedding': head}
    return {name: array.astype(np.float32) for name, array in made.items()}


_WIDE = dataclasses.replace(_MODEL, n_embd=384, tie_embeddings=False)


def test_a_model_of_other_texts_is_doubted_and_not_called_damaged(
    tmp_path: pathlib.Path, sentencepiece_folder: pathlib.Path
) -> None:
    tokenizer = text.load_tokenizer(str(sentencepiece_folder))
    parameters = tiny_steps.random_parameters(_WIDE, scale=1e-3)
    parameters |= _knowing_pairs(tokenizer)
    card = model_card.make('gpt2', {}, n_positions=64)
    folder = tmp_path / 'narrow'
    folder.mkdir()
    hf_folder.write(folder, _WIDE, parameters, tokenizer, card=card)
    found, _ = examine_folder.examine(folder)
    (bad,) = (each for each in found if each.verdict != diagnosis.OK)
    assert (bad.id, bad.verdict) == ('start', diagnosis.WARN)
    assert 'learned other texts' in bad.cause
    assert '--data=' in bad.remedy
    found, _ = examine_folder.examine(folder, texts=[_NARROW, _NARROW[:60]])
    assert {each.id: each.verdict for each in found}['start'] == diagnosis.OK


def test_an_adapter_that_was_never_trained_is_named(
    make: Make, tmp_path: pathlib.Path
) -> None:
    folder = make()
    settings = schema.LoraConfig(rank=2, targets=('attn.c_attn',))
    shapes = lora.adapter_shapes(naming.parameter_shapes(_MODEL), settings)
    parameters = {
        name: np.full(shape, float(name.endswith('lora_a')), np.float32)
        for name, shape in shapes.items()
    }
    base = hf_folder.read_parameters(folder, _MODEL)
    adapter = tmp_path / 'adapter'
    adapter.mkdir()
    peft_adapter.write(
        adapter,
        settings,
        parameters,
        _MODEL,
        base_name=str(folder),
        base_hash=pretrained.fingerprint(base),
    )
    said: list[str] = []
    found, numbers = examine_folder.examine(folder, adapter, say=said.append)
    assert (said[0], said[-1], len(said)) == ('the weights', 'the adapter', 4)
    (of_it,) = (each for each in found if each.id == 'adapter')
    assert of_it.verdict == diagnosis.FAIL
    assert 'never trained' in of_it.cause
    assert numbers['adapter_loss'] == pytest.approx(numbers['base_loss'], abs=1e-5)


def test_a_last_norm_of_zeros_is_named(make: Make) -> None:
    bad = _bad(make(**{'ln_f.scale': np.zeros(16, np.float32)}))
    assert bad.keys() == {'arrays'} and 'ln_f.scale: all zeros' in bad['arrays']


def test_an_end_that_is_not_the_tokenizers_is_named(make: Make) -> None:
    folder = make()
    assert 'vocabulary' not in _bad(folder)
    config = json.loads((folder / 'config.json').read_text())
    config['eos_token_id'] += 1
    (folder / 'config.json').write_text(json.dumps(config))
    (folder / 'SHA256SUMS').unlink()
    assert 'another token than the model learned' in _bad(folder)['vocabulary']
