"""Law 6: every place of dropout draws with a key of its own, in every layer.

A random generator notes each key that it makes bits from, so that no place of dropout
can hide: neither in a loop over blocks, nor in an adapter, nor in a microbatch.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hax_jax.config import schema
from hax_jax.devices import mesh
from hax_jax.model import blockwise, gpt2, lora
from hax_jax.training import optimizer, train_step
from hax_jax.training import train_state as ts

NUM_LAYERS = 3
# Of a block: attention's weights, two residual branches, and four adapters.
PLACES_OF_A_BLOCK = 1 + 2 + 4
PLACES = 1 + NUM_LAYERS * PLACES_OF_A_BLOCK + 1  # the embeddings, the head's adapter
MODEL = schema.ModelConfig(
    n_layer=NUM_LAYERS,
    n_head=2,
    n_embd=8,
    n_positions=8,
    vocab_size=16,
    attention='xla',
    embd_pdrop=0.1,
    attn_pdrop=0.1,
    resid_pdrop=0.1,
)
LORA = schema.LoraConfig(
    rank=2, dropout=0.1, targets=(*schema.LoraConfig().targets, lora.HEAD)
)
BATCH = {
    'inputs': jnp.ones((4, 8), jnp.int32),
    'targets': jnp.ones((4, 8), jnp.int32),
    'loss_weights': jnp.ones((4, 8), jnp.float32),
    'segment_ids': jnp.ones((4, 8), jnp.int32),
    'positions': jnp.tile(jnp.arange(8), (4, 1)),
}
DRAWN: list[bytes] = []
PARENTS: set[bytes] = set()


def _noting_generator() -> object:
    """JAX's own generator, which notes the keys that give bits, and other keys."""
    own = jax.extend.random.threefry_prng_impl

    def random_bits(key: jax.Array, width: int, shape: tuple[int, ...]) -> jax.Array:
        jax.debug.callback(lambda key: DRAWN.append(np.asarray(key).tobytes()), key)
        return own.random_bits(key, width, shape)

    def fold_in(key: jax.Array, data: jax.Array) -> jax.Array:
        jax.debug.callback(lambda key: PARENTS.add(np.asarray(key).tobytes()), key)
        return own.fold_in(key, data)

    return jax.extend.random.define_prng_impl(
        key_shape=own.key_shape,
        seed=own.seed,
        split=own.split,
        random_bits=random_bits,
        fold_in=fold_in,
        name='noting',
    )


NOTING = _noting_generator()


def drawn(function: Callable[[], object]) -> list[bytes]:
    """The keys that gave bits while `function` ran; none of them gave a key too."""
    DRAWN.clear()
    PARENTS.clear()
    jax.block_until_ready(function())
    jax.effects_barrier()
    assert PARENTS
    assert not PARENTS & set(DRAWN)
    return list(DRAWN)


def forward(model: schema.ModelConfig, settings: schema.LoraConfig) -> list[bytes]:
    made = gpt2.Gpt2(model, dtype=jnp.dtype('float32'), rngs=nnx.Rngs(0))
    lora.add_lora(made, settings, rngs=nnx.Rngs(1))
    key = jax.random.key(0, impl=NOTING)
    rows = [BATCH[name] for name in ('inputs', 'positions', 'segment_ids')]
    return drawn(lambda: made.head(made(*rows, dropout_key=key), dropout_key=key))


@pytest.mark.parametrize('scan', [False, True])
@pytest.mark.parametrize('dora', [False, True])
def test_every_place_of_dropout_in_every_layer_has_a_key_of_its_own(
    dora: bool, scan: bool
) -> None:
    model = dataclasses.replace(MODEL, scan_layers=scan)
    keys = forward(model, dataclasses.replace(LORA, dora=dora))
    assert len(keys) == len(set(keys)) == PLACES


def test_each_block_of_queries_in_blockwise_attention_has_one_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blockwise, 'BLOCK', 4)  # two blocks in a row of 8
    keys = forward(dataclasses.replace(MODEL, attention='blockwise'), LORA)
    assert len(keys) == len(set(keys)) == PLACES + NUM_LAYERS


def test_so_has_every_place_in_each_microbatch_of_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = mesh.make_mesh(schema.MeshConfig())
    settings = schema.OptimizerConfig()
    tx = optimizer.make_optimizer(settings, num_steps=2)
    blueprint = ts.make_blueprint(MODEL, LORA, tx, compute_dtype='float32', mesh=here)
    state = ts.create(blueprint, seed=0)
    step = train_step.make_train_step(
        blueprint,
        optimizer.schedule(settings, num_steps=2),
        mesh=here,
        grad_accum_steps=2,
        seed=0,
    )
    own = jax.random.key
    monkeypatch.setattr(jax.random, 'key', lambda seed: own(seed, impl=NOTING))
    keys = drawn(lambda: step(step(state, BATCH)[0], BATCH))
    # Each of 2 steps has 2 microbatches. Going back, a place may draw its bits again.
    assert len(set(keys)) == 2 * 2 * PLACES
