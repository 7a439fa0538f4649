"""GPT-2's parameters: as many as published, by the names that transformers writes."""

import dataclasses
import math
import pathlib

import flax.serialization
import flax.traverse_util
import numpy as np
import pytest
import safetensors.numpy

from hax_jax.config import schema
from hax_jax.model import naming

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'
TINY = schema.ModelConfig(n_layer=2, n_head=4, n_embd=32, n_positions=24, vocab_size=64)
UNTIED = dataclasses.replace(TINY, tie_embeddings=False)
Tensors = dict[str, np.ndarray]


def torchs() -> Tensors:
    """What transformers' GPT2LMHeadModel.save_pretrained wrote."""
    return safetensors.numpy.load_file(GOLDEN / 'gpt2' / 'model.safetensors')


def flaxs(name: str = 'gpt2_flax') -> Tensors:
    """What FlaxGPT2LMHeadModel.save_pretrained wrote, read by flax."""
    content = (GOLDEN / name / 'flax_model.msgpack').read_bytes()
    tree = flax.serialization.msgpack_restore(content)
    return flax.traverse_util.flatten_dict(tree, sep='/')


@pytest.mark.parametrize(
    ('sizes', 'number'),
    [  # as transformers counts them; distilgpt2 is GPT-2 with half of its layers
        ((6, 12, 768), 81_912_576),
        ((24, 16, 1024), 354_823_168),
        ((36, 20, 1280), 774_030_080),
        ((48, 25, 1600), 1_557_611_200),
    ],
)
def test_models_of_the_family_have_as_many_parameters_as_published(
    sizes: tuple[int, int, int], number: int
) -> None:
    n_layer, n_head, n_embd = sizes
    model = schema.ModelConfig(
        n_layer=n_layer,
        n_head=n_head,
        n_embd=n_embd,
        n_positions=1024,
        vocab_size=50257,
    )
    shapes = naming.parameter_shapes(model).values()
    assert sum(math.prod(shape) for shape in shapes) == number


def test_names_in_torch_are_those_that_transformers_wrote() -> None:
    names = naming.parameter_shapes(TINY)
    assert {naming.hugging_face(name) for name in names} == torchs().keys()
    assert naming.hugging_face('lm_head.embedding') == 'lm_head.weight'


def test_names_in_flax_are_those_that_transformers_wrote() -> None:
    names = naming.parameter_shapes(TINY)
    assert {naming.hugging_face_flax(name) for name in names} == flaxs().keys()
    assert naming.hugging_face_flax('lm_head.embedding') in flaxs('gpt2_flax_untied')
