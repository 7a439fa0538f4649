"""GPT-2 against transformers (golden), and against the formulas written in numpy."""

import dataclasses
import functools
import math
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hax_jax.config import schema
from hax_jax.formats import hf_folder
from hax_jax.model import gpt2, loss, naming, param_tree

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'
HERE = ('xla', 'blockwise')  # what runs on a CPU
TINY = schema.ModelConfig(
    n_layer=2, n_head=4, n_embd=32, n_positions=300, vocab_size=64, attention='xla'
)


@functools.cache  # a graphdef equals itself alone: jit would compile anew for another
def skeleton(
    model: schema.ModelConfig, dtype: str = 'float32'
) -> tuple[nnx.GraphDef, nnx.State]:
    return nnx.split(
        nnx.eval_shape(
            lambda: gpt2.Gpt2(model, dtype=jnp.dtype(dtype), rngs=nnx.Rngs(0))
        )
    )


def with_parameters(
    model: schema.ModelConfig, parameters: dict[str, np.ndarray], dtype: str = 'float32'
) -> gpt2.Gpt2:
    graphdef, state = skeleton(model, dtype)
    leaves = [jnp.asarray(parameters[name]) for name in param_tree.named(state)]
    return nnx.merge(graphdef, jax.tree.unflatten(jax.tree.structure(state), leaves))


def random_parameters(
    model: schema.ModelConfig, seed: int = 0
) -> dict[str, np.ndarray]:
    """Large enough that each part of the model shows in its output."""
    rng = np.random.default_rng(seed)
    return {
        name: (name.endswith('.scale') + 0.2 * rng.normal(size=shape)).astype(
            np.float32
        )
        for name, shape in naming.parameter_shapes(model).items()
    }


@functools.partial(jax.jit, static_argnums=0)
def _hidden(
    graphdef: nnx.GraphDef,
    state: nnx.State,
    rows: tuple[jax.Array, ...],
    key: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    model = nnx.merge(graphdef, state)
    return model.head(model(*rows, dropout_key=key))


def hidden_of(
    model: gpt2.Gpt2, *rows: jax.Array, key: jax.Array | None = None
) -> jax.Array:
    return _hidden(*nnx.split(model), rows, key)[0]


def logits_of(model: gpt2.Gpt2, *rows: jax.Array) -> jax.Array:
    hidden, table = _hidden(*nnx.split(model), rows, None)
    return hidden @ table.T


def whole_rows(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(inputs, positions, segment_ids) of rows that are one segment each."""
    positions = np.broadcast_to(np.arange(inputs.shape[1]), inputs.shape)
    return (
        inputs.astype(np.int32),
        positions.astype(np.int32),
        np.ones(inputs.shape, np.int32),
    )


def in_numpy(
    model: schema.ModelConfig, p: dict[str, np.ndarray], tokens: np.ndarray
) -> np.ndarray:
    """Logits [T, V] of one sequence in float64. Source: Radford et al. 2019; HF."""

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        x = (x - mean) / np.sqrt(variance + model.layer_norm_epsilon)
        return x * p[f'{name}.scale'] + p[f'{name}.bias']

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ p[f'{name}.kernel'] + p[f'{name}.bias']

    activation = {
        'relu': lambda x: np.maximum(x, 0),
        'gelu': lambda x: x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2,
        'gelu_new': lambda x: (
            0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        ),
    }[model.activation]
    p = {name: value.astype(np.float64) for name, value in p.items()}
    length, size = len(tokens), model.n_embd // model.n_head
    x = p['wte.embedding'][tokens] + p['wpe.embedding'][:length]
    for i in range(model.n_layer):
        q, k, v = np.split(linear(norm(x, f'h.{i}.ln_1'), f'h.{i}.attn.c_attn'), 3, -1)
        heads = []
        for n in range(model.n_head):
            head = slice(n * size, (n + 1) * size)
            scores = q[:, head] @ k[:, head].T / np.sqrt(size)
            scores[np.triu_indices(length, 1)] = -np.inf
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(weights / weights.sum(-1, keepdims=True) @ v[:, head])
        x = x + linear(np.concatenate(heads, -1), f'h.{i}.attn.c_proj')
        wide = activation(linear(norm(x, f'h.{i}.ln_2'), f'h.{i}.mlp.c_fc'))
        x = x + linear(wide, f'h.{i}.mlp.c_proj')
    table = p['wte.embedding'] if model.tie_embeddings else p['lm_head.embedding']
    return norm(x, 'ln_f') @ table.T


def golden() -> tuple[schema.ModelConfig, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(sizes, parameters, what transformers computed) of the golden model."""
    model = hf_folder.read_model_config(GOLDEN / 'gpt2')
    model = dataclasses.replace(model, attention='xla')
    parameters = hf_folder.read_parameters(GOLDEN / 'gpt2', model)
    with np.load(GOLDEN / 'gpt2.npz') as computed:
        return model, parameters, dict(computed)


def shifted_loss(model: gpt2.Gpt2, ids: np.ndarray) -> jax.Array:
    hidden = model(*map(jnp.asarray, whole_rows(ids[:, :-1])))
    features, table = model.head(hidden)
    nll, _ = loss.token_nll(features, table, jnp.asarray(ids[:, 1:]))
    return jnp.mean(nll)


@pytest.mark.parametrize('attention', HERE)
def test_logits_are_those_of_transformers(attention: str) -> None:
    model, parameters, expected = golden()
    built = with_parameters(dataclasses.replace(model, attention=attention), parameters)
    found = logits_of(built, *whole_rows(expected['ids']))
    np.testing.assert_allclose(found, expected['logits'], atol=1e-4, rtol=0)


def test_loss_on_labels_shifted_once_is_that_of_transformers() -> None:
    model, parameters, expected = golden()
    found = shifted_loss(with_parameters(model, parameters), expected['ids'])
    np.testing.assert_allclose(found, expected['loss'], atol=1e-5, rtol=0)
    # And transformers' own is the plain formula on its logits.
    logits = expected['logits'].astype(np.float64)[:, :-1]
    chosen = np.take_along_axis(logits, expected['ids'][:, 1:, None], 2)[..., 0]
    by_hand = np.mean(np.log(np.exp(logits).sum(-1)) - chosen)
    np.testing.assert_allclose(expected['loss'], by_hand, atol=1e-5, rtol=0)


@pytest.mark.parametrize('attention', HERE)
def test_the_gradient_of_each_tensor_is_that_of_transformers(attention: str) -> None:
    model, parameters, expected = golden()
    graphdef, state = nnx.split(
        with_parameters(dataclasses.replace(model, attention=attention), parameters)
    )

    @jax.jit
    @jax.grad
    def gradients(state: nnx.State) -> jax.Array:
        return shifted_loss(nnx.merge(graphdef, state), expected['ids'])

    found = param_tree.named(gradients(state))
    theirs = {
        theirs_to_ours(name.removeprefix('grad transformer.')): grad
        for name, grad in expected.items()
        if name.startswith('grad ')
    }
    assert found.keys() == theirs.keys()
    for name, grad in theirs.items():
        ours, grad = np.asarray(found[name]), np.asarray(grad)
        if name.endswith('c_attn.bias'):
            # Softmax does not see what is added to all keys: the gradient is zero.
            for keys in (ours, grad):
                assert np.abs(keys[32:64]).max() < 1e-6
            ours, grad = np.delete(ours, np.s_[32:64]), np.delete(grad, np.s_[32:64])
        error = np.linalg.norm(ours - grad) / np.linalg.norm(grad)
        assert error < 1e-4, (name, error)


def theirs_to_ours(name: str) -> str:
    name = re.sub(r'^(wte|wpe)\.weight$', r'\1.embedding', name)
    name = re.sub(r'(ln_\w)\.weight$', r'\1.scale', name)
    return re.sub(r'\.weight$', '.kernel', name)


@pytest.mark.parametrize(('tie_embeddings', 'n_inner'), [(True, 0), (False, 50)])
@pytest.mark.parametrize('activation', schema.ACTIVATIONS)
def test_logits_are_those_of_the_formulas_in_numpy(
    activation: str, tie_embeddings: bool, n_inner: int
) -> None:
    model = dataclasses.replace(
        TINY,
        activation=activation,
        tie_embeddings=tie_embeddings,
        n_inner=n_inner,
        layer_norm_epsilon=1e-2,
    )
    parameters = random_parameters(model)
    tokens = np.random.default_rng(1).integers(0, 64, (2, 40))
    found = logits_of(with_parameters(model, parameters), *whole_rows(tokens))
    for row, expected in zip(found, tokens, strict=True):
        np.testing.assert_allclose(
            row, in_numpy(model, parameters, expected), atol=1e-4, rtol=0
        )


@pytest.mark.parametrize('tie_embeddings', [True, False])
def test_a_model_has_the_parameters_that_parameter_shapes_lists(
    tie_embeddings: bool,
) -> None:
    model = dataclasses.replace(TINY, tie_embeddings=tie_embeddings)
    leaves = param_tree.named(skeleton(model, 'bfloat16')[1])
    found = {name: leaf.shape for name, leaf in leaves.items()}
    assert found == naming.parameter_shapes(model)
    assert {leaf.dtype for leaf in leaves.values()} == {jnp.dtype('float32')}


def test_the_124m_has_124439808_parameters() -> None:
    model = schema.ModelConfig(
        n_layer=12, n_head=12, n_embd=768, n_positions=1024, vocab_size=50257
    )
    shapes = naming.parameter_shapes(model).values()
    assert sum(math.prod(shape) for shape in shapes) == 124_439_808


def test_a_fresh_model_is_drawn_as_gpt2_was() -> None:
    model = dataclasses.replace(TINY, n_embd=64)
    fresh = jax.jit(
        lambda: nnx.state(
            gpt2.Gpt2(model, dtype=jnp.dtype('float32'), rngs=nnx.Rngs(0))
        )
    )()
    for name, leaf in param_tree.named(fresh).items():
        if name.endswith('.bias'):
            assert np.all(leaf == 0), name
        elif name.endswith('.scale'):
            assert np.all(leaf == 1), name
        else:  # what is added to the residual stream is smaller, by sqrt(2 * layers)
            expected = 0.02 / 2 if name.endswith('c_proj.kernel') else 0.02
            np.testing.assert_allclose(np.std(leaf), expected, rtol=0.05)


def test_it_computes_in_bfloat16_where_told_to() -> None:
    parameters = random_parameters(TINY)
    rows = whole_rows(np.arange(8)[None])
    found = hidden_of(with_parameters(TINY, parameters, 'bfloat16'), *rows)
    assert found.dtype == jnp.bfloat16
    exact = hidden_of(with_parameters(TINY, parameters), *rows)
    # Of 8 bits of mantissa, values up to 4 keep 1/64; two layers add some up.
    np.testing.assert_allclose(found.astype(jnp.float32), exact, atol=8 / 64, rtol=0)


def packed(lengths: list[int], length: int, seed: int = 0) -> list[jax.Array]:
    """One row [1, T] of segments of these lengths, then padding; positions restart."""
    rng = np.random.default_rng(seed)
    inputs, positions, segment_ids = np.zeros((3, 1, length), np.int32)
    start = 0
    for number, size in enumerate(lengths, start=1):
        place = slice(start, start + size)
        inputs[0, place] = rng.integers(0, 64, size)
        positions[0, place] = np.arange(size)
        segment_ids[0, place] = number
        start += size
    return [jnp.asarray(x) for x in (inputs, positions, segment_ids)]


# Rows of 128 (the query block), of no multiple of it, with and without padding.
ROWS = [([9, 1, 14], 24), ([60, 61], 128), ([128, 100, 60], 300), ([290, 10], 300)]


@pytest.mark.parametrize(('lengths', 'length'), ROWS)
@pytest.mark.parametrize('attention', HERE)
def test_a_packed_row_gives_each_segment_the_logits_that_it_has_alone(
    attention: str, lengths: list[int], length: int
) -> None:
    model = dataclasses.replace(TINY, attention=attention)
    parameters = random_parameters(model)
    built = with_parameters(model, parameters)
    row = packed(lengths, length)
    together = logits_of(built, *row)[0]
    for number in range(1, len(lengths) + 1):
        mine = np.asarray(row[2][0]) == number
        tokens = np.asarray(row[0][0])[mine]
        at_the_start = whole_rows(np.pad(tokens, (0, length - len(tokens)))[None])
        at_the_start[2][0, len(tokens) :] = 0
        alone = logits_of(built, *at_the_start)[0, : len(tokens)]
        np.testing.assert_allclose(together[mine], alone, atol=1e-5, rtol=0)
        expected = in_numpy(model, parameters, tokens)
        np.testing.assert_allclose(together[mine], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(('lengths', 'length'), ROWS)
@pytest.mark.parametrize('attention', HERE)
def test_changing_a_neighbour_changes_no_bit(
    attention: str, lengths: list[int], length: int
) -> None:
    model = dataclasses.replace(TINY, attention=attention)
    built = with_parameters(model, random_parameters(model))
    inputs, positions, segment_ids = packed(lengths, length)
    before = np.asarray(logits_of(built, inputs, positions, segment_ids))
    for number in range(len(lengths) + 1):  # 0 is the padding
        mine = np.asarray(segment_ids) == number
        changed = jnp.where(mine, (inputs + 7) % 64, inputs)
        after = np.asarray(logits_of(built, changed, positions, segment_ids))
        np.testing.assert_array_equal(before[~mine], after[~mine])
        assert not mine.any() or not np.array_equal(before[mine], after[mine])


@pytest.mark.parametrize('attention', HERE)
def test_no_gradient_flows_from_a_segment_to_its_neighbours(attention: str) -> None:
    model = dataclasses.replace(TINY, attention=attention, tie_embeddings=False)
    graphdef, state = nnx.split(with_parameters(model, random_parameters(model)))
    _, positions, segment_ids = packed([60, 61], 128)
    # Each segment has its own tokens: 0 the padding, 1 to 9, 11 to 19.
    inputs = (segment_ids > 0) * (10 * (segment_ids - 1) + 1 + positions % 9)

    @jax.jit
    @jax.grad
    def gradients(state: nnx.State, number: int) -> jax.Array:
        hidden = nnx.merge(graphdef, state)(inputs, positions, segment_ids)
        return jnp.sum(jnp.where(segment_ids[..., None] == number, hidden, 0) ** 3)

    for number, own in ((1, range(1, 10)), (2, range(11, 20))):
        table = gradients(state, number)['wte']['embedding'][...]
        moved = np.flatnonzero(np.any(np.asarray(table) != 0, axis=1))
        assert moved.tolist() == list(own)


def pdrops(**rates: float) -> gpt2.Gpt2:
    model = dataclasses.replace(TINY, **rates)
    return with_parameters(model, random_parameters(model))


@pytest.mark.parametrize('rate', ['embd_pdrop', 'attn_pdrop', 'resid_pdrop'])
@pytest.mark.parametrize('attention', HERE)
def test_dropout_acts_only_with_a_key_and_is_the_same_with_the_same_key(
    attention: str, rate: str
) -> None:
    rows = packed([60, 61], 128)
    dropping = pdrops(**{rate: 0.2, 'attention': attention})
    plain = hidden_of(pdrops(attention=attention), *rows)
    np.testing.assert_array_equal(hidden_of(dropping, *rows), plain)
    one, again, other = (
        hidden_of(dropping, *rows, key=jax.random.key(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, plain)


def test_dropout_zeroes_a_share_and_scales_up_the_rest() -> None:
    x = jnp.full((400, 250), 3.0)
    dropped = np.asarray(gpt2.dropout(x, 0.2, jax.random.key(0)))
    values, counts = np.unique(dropped, return_counts=True)
    np.testing.assert_allclose(values, [0.0, 3.0 / 0.8])
    # Of 100,000 draws, the share's deviation is sqrt(0.2 * 0.8 / 1e5) = 0.0013.
    np.testing.assert_allclose(counts / x.size, [0.2, 0.8], atol=4 * 0.0013)
    np.testing.assert_allclose(dropped.mean(), 3.0, rtol=0.01)


def test_each_place_of_dropout_in_each_layer_draws_bits_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # embedding, and in each of two layers: attention's weights, its output, the mlp's
    used = []
    draw = jax.random.bernoulli

    def recorded(key: jax.Array, *args: object) -> jax.Array:
        used.append(tuple(jax.random.key_data(key).tolist()))
        return draw(key, *args)

    monkeypatch.setattr(jax.random, 'bernoulli', recorded)
    model = pdrops(embd_pdrop=0.1, attn_pdrop=0.1, resid_pdrop=0.1)
    with jax.disable_jit():  # else one trace stands for all blocks
        model(*packed([5], 8), dropout_key=jax.random.key(0))
    assert len(used) == len(set(used)) == 1 + 2 * 3


def test_blocks_that_are_alike_are_traced_once() -> None:
    def num_products(n_layer: int) -> int:
        parts = nnx.split(pdrops(n_layer=n_layer))
        step = jax.jit(jax.grad(lambda state, x: nnx.merge(parts[0], state)(*x).sum()))
        text = step.lower(parts[1], packed([5], 8)).as_text()
        return text.count('dot_general')

    assert 0 < num_products(2) == num_products(5)


@pytest.mark.parametrize(
    ('attention', 'pieces'),
    [
        ('xla', [20]),
        ('xla', [1] * 20),
        ('blockwise', [13, 1, 1, 1, 4]),
        ('splash', [13, 1, 1, 1, 4]),  # for training alone: decoding has its own
        ('triton', [13, 7]),
    ],
)
def test_decoding_in_pieces_equals_the_full_pass_also_for_left_padded_rows(
    attention: str, pieces: list[int]
) -> None:
    parameters = random_parameters(TINY)
    built = with_parameters(dataclasses.replace(TINY, attention=attention), parameters)
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 64, (3, 20))
    padding = [0, 5, 12]  # places on the left that are no tokens
    segment_ids = (np.arange(20) >= np.array(padding)[:, None]).astype(np.int32)
    positions = np.maximum(np.arange(20) - np.array(padding)[:, None], 0)
    cache = gpt2.make_cache(TINY, batch_size=3, length=26, dtype=jnp.dtype('float32'))
    graphdef, state = nnx.split(built)
    decode = jax.jit(lambda *inputs: nnx.merge(graphdef, state).decode(*inputs))
    hidden, start = [], 0
    for size in pieces:
        piece = np.s_[:, start : start + size]
        out, cache = decode(
            jnp.asarray(tokens[piece], jnp.int32),
            jnp.asarray(positions[piece], jnp.int32),
            jnp.asarray(segment_ids[piece]),
            cache,
        )
        hidden.append(out)
        start += size
        assert int(cache.length) == start
    features, table = built.head(jnp.concatenate(hidden, axis=1))
    logits = features @ table.T
    for row, start in enumerate(padding):
        expected = in_numpy(TINY, parameters, tokens[row, start:])
        np.testing.assert_allclose(logits[row, start:], expected, atol=1e-4, rtol=0)
    if attention in HERE:
        full = logits_of(
            built,
            jnp.asarray(tokens, jnp.int32),
            jnp.asarray(positions, jnp.int32),
            jnp.asarray(segment_ids),
        )
        own = segment_ids == 1
        np.testing.assert_allclose(logits[own], full[own], atol=1e-5, rtol=0)


def test_a_position_past_the_last_gives_nan_rather_than_another_position() -> None:
    inputs = jnp.zeros((1, 2), jnp.int32)
    hidden = hidden_of(pdrops(), inputs, jnp.array([[299, 300]], jnp.int32), inputs + 1)
    assert np.isnan(hidden[0, 1]).all()
