"""Law 1: the training loss is an independent numpy next-token cross-entropy."""

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hax_jax.config import schema
from hax_jax.data import packing, records
from hax_jax.model import gpt2, loss

VOCAB, WIDTH, LENGTH = 64, 32, 24
token_nll = jax.jit(loss.token_nll, static_argnames='chunk')


def numpy_logits(hidden: np.ndarray, table: np.ndarray) -> np.ndarray:
    return hidden.astype(np.float64) @ table.astype(np.float64).T


def numpy_nll(logits: np.ndarray, target: int) -> float:
    """-log softmax(logits)[target] in float64."""
    shifted = logits - logits.max()
    return float(np.log(np.exp(shifted).sum()) - shifted[target])


def random_sequences(seed: int) -> list[records.TokenizedPair]:
    """Raw, unshifted sequences; two sources, prompts of 2 to 6 tokens."""
    rng = np.random.default_rng(seed)
    made = []
    for ordinal in range(12):
        prompt_length = int(rng.integers(2, 7))
        length = prompt_length + int(rng.integers(1, 12))
        made.append(
            records.TokenizedPair(
                ordinal=ordinal,
                id=f'p{ordinal}',
                source='chat',
                ids=rng.integers(0, VOCAB, length).astype(np.int32),
                prompt_length=prompt_length,
                question_bytes=1,
                answer_bytes=1,
            )
        )
    return made


def expected_loss(
    sequences: list[records.TokenizedPair],
    hidden_of: list[np.ndarray],
    table: np.ndarray,
    question_weight: float,
) -> tuple[float, float]:
    """(weighted nll, weight): each sequence alone, position t predicts token t + 1."""
    total = weight = 0.0
    for sequence, hidden in zip(sequences, hidden_of, strict=True):
        for t in range(len(sequence.ids) - 1):
            target = t + 1
            w = 1.0 if target >= sequence.prompt_length else question_weight
            logits = numpy_logits(hidden[t], table)
            total += w * numpy_nll(logits, int(sequence.ids[target]))
            weight += w
    return total, weight


@pytest.mark.parametrize('question_weight', [0.0, 0.3, 1.0])
@pytest.mark.parametrize('chunk', [5, 8, 128])
def test_the_packed_loss_is_the_cross_entropy_of_each_sequence_alone(
    question_weight: float, chunk: int
) -> None:
    sequences = random_sequences(seed=chunk)
    rng = np.random.default_rng(0)
    # A model that knows the token and its place in its own text, no more.
    by_token = rng.normal(size=(VOCAB, WIDTH)).astype(np.float32)
    by_place = rng.normal(size=(LENGTH, WIDTH)).astype(np.float32)
    table = rng.normal(size=(VOCAB, WIDTH)).astype(np.float32)
    alone = [by_token[s.ids] + by_place[: len(s.ids)] for s in sequences]
    expected, weight = expected_loss(sequences, alone, table, question_weight)

    rows = packing.pack(
        sequences, seq_len=LENGTH, question_weight=question_weight
    ).features
    assert rows['inputs'].shape[0] < len(sequences)  # some rows hold several
    hidden = by_token[rows['inputs']] + by_place[rows['positions']]
    nll, _ = token_nll(
        jnp.asarray(hidden),
        jnp.asarray(table),
        jnp.asarray(rows['targets']),
        chunk=chunk,
    )
    summed, _ = loss.weighted_sum(
        jnp.asarray(hidden),
        jnp.asarray(table),
        *(jnp.asarray(rows[name]) for name in ('targets', 'loss_weights')),
        chunk=chunk,
    )
    total = float((np.asarray(nll, np.float64) * rows['loss_weights']).sum())
    assert float(summed) == pytest.approx(expected, rel=1e-5)
    assert float(rows['loss_weights'].sum()) == pytest.approx(weight, rel=1e-6)
    assert total == pytest.approx(expected, rel=1e-5)
    assert total / weight == pytest.approx(expected / weight, abs=1e-5)


def test_the_loss_of_gpt2_on_packed_rows_is_that_of_each_sequence_alone() -> None:
    sizes = schema.ModelConfig(
        attention='xla',
        n_layer=2,
        n_head=2,
        n_embd=WIDTH,
        n_positions=LENGTH,
        vocab_size=VOCAB,
    )
    graphdef, state = nnx.split(
        nnx.eval_shape(
            lambda: gpt2.Gpt2(sizes, dtype=jnp.dtype('float32'), rngs=nnx.Rngs(0))
        )
    )
    # Larger than at init: a loss away from ln(vocabulary) that depends on the text.
    rng = np.random.default_rng(0)
    state = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(0, 0.5, x.shape).astype(np.float32)), state
    )
    table = np.asarray(state['wte']['embedding'][...])

    @jax.jit
    def hidden_of(
        inputs: jax.Array, positions: jax.Array, segment_ids: jax.Array
    ) -> jax.Array:
        return nnx.merge(graphdef, state)(inputs, positions, segment_ids)

    sequences = random_sequences(seed=1)
    inputs = np.zeros((len(sequences), LENGTH), np.int32)  # one sequence a row
    for row, sequence in enumerate(sequences):
        inputs[row, : len(sequence.ids)] = sequence.ids
    lengths = np.array([[len(sequence.ids)] for sequence in sequences])
    places = np.broadcast_to(np.arange(LENGTH, dtype=np.int32), inputs.shape)
    alone = list(np.asarray(hidden_of(inputs, places, (places < lengths).astype(int))))
    expected, weight = expected_loss(sequences, alone, table, 0.25)

    rows = packing.pack(sequences, seq_len=LENGTH, question_weight=0.25).features
    hidden = hidden_of(rows['inputs'], rows['positions'], rows['segment_ids'])
    targets = jnp.asarray(rows['targets'])
    nll, _ = token_nll(hidden, jnp.asarray(table), targets, chunk=7)
    total = float((np.asarray(nll, np.float64) * rows['loss_weights']).sum())
    assert abs(expected / weight - np.log(VOCAB)) > 0.2
    assert total / weight == pytest.approx(expected / weight, abs=1e-5)


def random_inputs(length: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    rng = np.random.default_rng(length)
    hidden = rng.normal(size=(2, length, WIDTH)).astype(np.float32)
    table = rng.normal(size=(VOCAB, WIDTH)).astype(np.float32)
    targets = rng.integers(0, VOCAB, (2, length)).astype(np.int32)
    return jnp.asarray(hidden), jnp.asarray(table), jnp.asarray(targets)


@pytest.mark.parametrize(
    ('length', 'chunk'), [(7, 8), (8, 8), (9, 8), (16, 8), (23, 8)]
)
def test_chunks_change_nothing_whatever_the_length(length: int, chunk: int) -> None:
    hidden, table, targets = random_inputs(length)
    nll, logsumexp = map(np.asarray, token_nll(hidden, table, targets, chunk=chunk))
    logits = numpy_logits(np.asarray(hidden), np.asarray(table))
    for row in range(2):
        for t in range(length):
            each = logits[row, t]
            total = np.log(np.exp(each - each.max()).sum()) + each.max()
            assert float(logsumexp[row, t]) == pytest.approx(total, abs=1e-4)
            wanted = numpy_nll(each, int(targets[row, t]))
            assert float(nll[row, t]) == pytest.approx(wanted, abs=1e-4)
    assert nll.shape == logsumexp.shape == (2, length)
    whole, _ = token_nll(hidden, table, targets, chunk=length)
    np.testing.assert_allclose(nll, whole, atol=1e-5)


@pytest.mark.parametrize('z_loss', [0.0, 0.1])
@pytest.mark.parametrize('length', [7, 19])
@pytest.mark.parametrize('times', [1.0, -3.0])  # what the sum is multiplied by
def test_the_sum_and_its_gradients_are_the_formulas(
    length: int, z_loss: float, times: float
) -> None:
    hidden, table, targets = random_inputs(length)
    targets %= VOCAB - 4  # the other rows are padding
    weights = np.random.default_rng(1).random((2, length)).astype(np.float32)

    def total(
        hidden: jax.Array, table: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        found, parts = loss.weighted_sum(
            hidden,
            table,
            targets,
            jnp.asarray(weights),
            z_loss=z_loss,
            vocab_size=VOCAB - 4,
            chunk=8,
        )
        return times * found, parts

    without = jax.jit(total)(hidden, table)  # another pass than the gradient's
    found, (by_hidden, by_table) = jax.jit(
        jax.value_and_grad(total, argnums=(0, 1), has_aux=True)
    )(hidden, table)
    h, e = (np.asarray(x, np.float64) for x in (hidden, table))
    logits = (h @ e.T)[..., : VOCAB - 4]
    highest = logits.max(-1, keepdims=True)
    summed = np.exp(logits - highest).sum(-1, keepdims=True)
    logsumexp = np.log(summed) + highest
    p = np.exp(logits - highest) / summed
    wanted = np.eye(VOCAB - 4)[np.asarray(targets)]
    w = weights[..., None]
    nll = (w * (logsumexp - (logits * wanted).sum(-1, keepdims=True))).sum()
    extra = (z_loss * w * logsumexp**2).sum()
    for value, parts in (without, found):
        assert float(value) == pytest.approx(times * (nll + extra), rel=1e-5)
        np.testing.assert_allclose(parts, [nll, extra], rtol=1e-5)
    error = times * w * (p - wanted + 2 * z_loss * logsumexp * p)  # [B, T, V]
    np.testing.assert_allclose(by_hidden, error @ e[: VOCAB - 4], atol=3e-4)
    expected = np.zeros_like(e)
    expected[: VOCAB - 4] = np.einsum('btv,btd->vd', error, h)
    np.testing.assert_allclose(by_table, expected, atol=3e-4)


def test_the_loss_of_bfloat16_hidden_states_is_float32() -> None:
    hidden, table, targets = random_inputs(9)
    nll, logsumexp = token_nll(hidden.astype(jnp.bfloat16), table, targets, chunk=4)
    assert nll.dtype == logsumexp.dtype == jnp.float32
    rounded = np.asarray(hidden.astype(jnp.bfloat16), np.float32)
    rounded_table = np.asarray(table.astype(jnp.bfloat16), np.float32)
    logits = numpy_logits(rounded, rounded_table)
    # Sums in float32 of products of bfloat16: no rounding of logits to 8 bits.
    assert float(nll[1, 8]) == pytest.approx(
        numpy_nll(logits[1, 8], int(targets[1, 8])), abs=1e-3
    )


def test_large_logits_stay_finite() -> None:
    hidden = jnp.full((1, 3, 2), 1e3)
    table = jnp.asarray([[1e2, 1e2], [-1e2, -1e2]])
    nll, _ = token_nll(hidden, table, jnp.asarray([[0, 1, 0]]), chunk=2)
    np.testing.assert_allclose(nll, [[0.0, 4e5, 0.0]])


def test_logits_are_made_once_and_never_whole() -> None:
    hidden, table, targets = random_inputs(40)

    def total(hidden: jax.Array, table: jax.Array) -> jax.Array:
        ones = jnp.ones(targets.shape)
        return loss.weighted_sum(hidden, table, targets, ones, chunk=8)[0]

    shapes, products = set(), []

    def visit(jaxpr: jax.extend.core.Jaxpr) -> None:
        for equation in jaxpr.eqns:
            shapes.update(getattr(v.aval, 'shape', ()) for v in equation.outvars)
            if equation.primitive.name == 'dot_general':
                products.append(equation.outvars[0].aval.shape)
            for sub in jax.extend.core.jaxprs_in_params(equation.params):
                visit(sub)

    visit(jax.make_jaxpr(jax.grad(total, argnums=(0, 1)))(hidden, table).jaxpr)
    assert (2, 8, VOCAB) in shapes
    assert not [shape for shape in shapes if np.prod(shape) >= 2 * 40 * VOCAB]
    # The logits, and the gradients by the table and by hidden.
    assert sorted(products) == [(2, 8, WIDTH), (2, 8, VOCAB), (VOCAB, WIDTH)]


@pytest.mark.parametrize('chunk', [5, 128])
def test_the_likeliest_id_is_numpys_argmax_in_any_chunk_and_nll_is_the_same(
    chunk: int,
) -> None:
    rng = np.random.default_rng(chunk)
    hidden = rng.normal(size=(3, LENGTH, WIDTH)).astype(np.float32)
    table = rng.normal(size=(VOCAB, WIDTH)).astype(np.float32)
    logits = numpy_logits(hidden, table)
    # The likeliest of the first 50 ids at every other place; the rest is padding.
    best = logits[..., :50].argmax(-1)
    targets = np.where(np.arange(LENGTH) % 2, best, (best + 1) % 50)
    nll, is_likeliest = loss.token_scores(
        jnp.asarray(hidden),
        jnp.asarray(table),
        jnp.asarray(targets),
        vocab_size=50,
        chunk=chunk,
    )
    np.testing.assert_array_equal(is_likeliest, targets == best)
    assert is_likeliest.sum() == 3 * LENGTH / 2
    expected, _ = loss.token_nll(
        jnp.asarray(hidden),
        jnp.asarray(table),
        jnp.asarray(targets),
        vocab_size=50,
        chunk=chunk,
    )
    np.testing.assert_allclose(nll, expected, atol=1e-6, rtol=0)


def test_logits_that_tie_are_each_the_likeliest() -> None:
    hidden, table = jnp.ones((1, 2, 4)), jnp.ones((3, 4))
    _, is_likeliest = loss.token_scores(hidden, table, jnp.array([[0, 2]]))
    assert is_likeliest.all()
