"""Folders of models by themselves: each with what is wrong with it."""

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
        folder.mkdir()
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
    assert bad.keys() == {'start', 'position embeddings', 'arrays'}
    assert 'drawn' in bad['start']
    assert '(wpe) are zero' in bad['position embeddings']
    assert '(wpe) are zero' in bad['arrays']


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
    found, numbers = examine_folder.examine(folder, adapter)
    (of_it,) = (each for each in found if each.id == 'adapter')
    assert of_it.verdict == diagnosis.FAIL
    assert 'never trained' in of_it.cause
    assert numbers['adapter_loss'] == pytest.approx(numbers['base_loss'], abs=1e-5)
