"""Weights that are drawn: flax's own for a key, and drawn without costly tracing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax._src.interpreters import partial_eval

from hax_jax.config import schema
from hax_jax.model import abstract, gpt2, lora, param_tree

MODEL = schema.ModelConfig(
    n_layer=2, n_head=2, n_embd=16, n_positions=8, vocab_size=32, attention='xla'
)
LORA = schema.LoraConfig(rank=2)


def drawn(key: jax.Array) -> dict[str, jax.Array]:
    built = abstract.build(MODEL, LORA, compute_dtype='float32', key=key)
    return param_tree.named(nnx.state(built))


def test_they_are_those_of_flaxs_own_streams() -> None:
    rngs = nnx.Rngs(jax.random.key(3))
    own = gpt2.Gpt2(MODEL, dtype=jnp.dtype('float32'), rngs=rngs)
    lora.add_lora(own, LORA, rngs=rngs)

    expected = param_tree.named(nnx.state(own))
    found = drawn(jax.random.key(3))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_no_text_of_an_error_is_made_while_they_are_traced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It walks through all that was traced: 16 of 18 s of a model of 48 layers.
    def walk(self: object) -> str:
        raise AssertionError('the origin of a tracer is asked for')

    monkeypatch.setattr(partial_eval.DynamicJaxprTracer, '_origin_msg', walk)
    jax.jit(drawn).lower(jax.random.key(0))
