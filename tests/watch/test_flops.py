"""FLOPs by closed forms of the architecture, peaks by the names that JAX reports."""

from hax_jax.config import schema
from hax_jax.model import lora, naming
from hax_jax.watch import flops as flops_of

L, D, V, T = 12, 768, 50257, 1024
GPT2 = schema.ModelConfig(n_layer=L, n_head=12, n_embd=D, n_positions=T, vocab_size=V)
SHAPES = naming.parameter_shapes(GPT2)
BLOCK = 12 * D * D  # 3 D^2 + D^2 for attention, 4 D^2 + 4 D^2 for the MLP
ATTENTION = D * T  # of one layer; 4 forward, 8 backward


def flops(trained: flops_of.Shapes, frozen: flops_of.Shapes) -> float:
    return flops_of.flops_per_token(trained, frozen, n_embd=D, seq_len=T)


def test_full_training_costs_palm_s_formula() -> None:
    assert flops(SHAPES, {}) == 6 * (L * BLOCK + V * D) + 12 * L * ATTENTION


def test_lora_has_no_gradients_of_frozen_weights() -> None:
    settings = schema.LoraConfig(rank=8)
    adapters = lora.adapter_shapes(SHAPES, settings)
    # c_attn D + 3D, c_proj D + D, c_fc D + 4D, mlp.c_proj 4D + D: 16 D a layer.
    own = L * 8 * 16 * D
    expected = 4 * (L * BLOCK + V * D) + 6 * own + 12 * L * ATTENTION
    assert flops(adapters, SHAPES) == expected


def test_nothing_flows_below_the_lowest_block_that_is_trained() -> None:
    trained = {name: s for name, s in SHAPES.items() if name.startswith('h.11.')}
    frozen = {name: s for name, s in SHAPES.items() if name not in trained}
    below = (L - 1) * (2 * BLOCK + 4 * ATTENTION)
    assert flops(trained, frozen) == 6 * BLOCK + 12 * ATTENTION + 4 * V * D + below


def test_a_head_of_its_own_leaves_the_embedding_a_lookup() -> None:
    shapes = {**SHAPES, 'lm_head.embedding': (V, D)}
    assert flops(shapes, {}) == flops(SHAPES, {})
