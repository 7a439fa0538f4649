import functools
import hashlib
import itertools
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hax_jax.config import schema
from hax_jax.sampling import next_token

LOGITS = np.log(np.array([[0.1, 0.4, 0.2, 0.3]], np.float32))


def numpy_distribution(
    logits: np.ndarray, temperature: float, top_k: int, top_p: float
) -> np.ndarray:
    """What transformers draws from, [B, V], written out by its definition.

    Source: TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper, in this order.
    """
    out = np.zeros(logits.shape)
    for row, scores in enumerate(logits.astype(np.float64) / temperature):
        kept = set(range(len(scores)))
        if top_k:
            least = sorted(scores)[-min(top_k, len(scores))]
            kept = {i for i in kept if scores[i] >= least}
        mass = {i: np.exp(scores[i] - scores.max()) for i in kept}
        total = sum(mass.values())
        if top_p < 1:
            ascending = sorted(kept, key=lambda i: scores[i])
            sums = itertools.accumulate(mass[i] / total for i in ascending)
            removed = {
                i for i, s in zip(ascending, sums, strict=True) if s <= 1 - top_p
            }
            kept -= removed - {ascending[-1]}
            total = sum(mass[i] for i in kept)
        for i in kept:
            out[row, i] = mass[i] / total
    return out


def drawn(
    temperature: Any, top_k: int = 0, top_p: Any = None, min_p: float | None = None
) -> next_token.Drawing:
    return next_token.Drawing(
        eos_id=0,
        vocab_size=9,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
    )


def distribution(
    logits: np.ndarray, *, temperature: float, top_k: int, top_p: float | None
) -> np.ndarray:
    scores, ids = next_token.candidates(
        jnp.asarray(logits), drawn(temperature, top_k, top_p)
    )
    out = np.zeros(logits.shape)
    np.put_along_axis(out, np.asarray(ids), np.asarray(jax.nn.softmax(scores)), axis=1)
    return out


def keys_of(seeds: list[int], prompts: list[int], samples: list[int]) -> jax.Array:
    return next_token.row_keys(
        *(jnp.asarray(x, jnp.uint32) for x in (seeds, prompts, samples))
    )


def test_top_p_keeps_the_fewest_tokens_that_reach_it() -> None:
    def kept(top_p: float) -> list[int]:
        probs = distribution(LOGITS, temperature=1.0, top_k=0, top_p=top_p)
        return np.flatnonzero(probs[0]).tolist()

    assert kept(0.01) == [1]
    assert kept(0.39) == [1]
    assert kept(0.41) == [1, 3]
    assert kept(0.69) == [1, 3]
    assert kept(0.71) == [1, 2, 3]
    assert kept(0.99) == [0, 1, 2, 3]


def test_top_k_renormalises_and_top_p_then_sees_what_is_left() -> None:
    # Of 0.4 and 0.3, top_p=0.5 keeps the first alone: it has 4/7 of what top_k left.
    both = distribution(LOGITS, temperature=1.0, top_k=2, top_p=0.5)
    np.testing.assert_allclose(both, [[0, 1, 0, 0]], atol=1e-6)
    one = distribution(LOGITS, temperature=1.0, top_k=2, top_p=None)
    np.testing.assert_allclose(one, [[0, 4 / 7, 0, 3 / 7]], atol=1e-6)


def test_temperature_comes_before_top_p() -> None:
    # Squared and normalised, 0.1 0.4 0.2 0.3 are 1/30 16/30 4/30 9/30.
    sharp = distribution(LOGITS, temperature=0.5, top_k=0, top_p=0.8)
    np.testing.assert_allclose(sharp, [[0, 16 / 25, 0, 9 / 25]], atol=1e-6)


@pytest.mark.parametrize('top_k', [0, 1, 5, 50, 1000])
def test_the_distribution_is_that_of_transformers(top_k: int) -> None:
    logits = np.random.default_rng(0).normal(size=(4, 300), scale=3).astype(np.float32)
    for temperature, top_p in itertools.product((0.3, 1.0, 2.5), (None, 0.1, 0.9)):
        ours = distribution(logits, temperature=temperature, top_k=top_k, top_p=top_p)
        expected = numpy_distribution(logits, temperature, top_k, top_p or 1.0)
        np.testing.assert_array_equal(ours > 0, expected > 0)
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_top_p_treats_equal_tokens_alike() -> None:
    probs = distribution(
        np.zeros((1, 6), np.float32), temperature=1.0, top_k=0, top_p=0.5
    )
    np.testing.assert_allclose(probs, np.full((1, 6), 1 / 6), atol=1e-6)


@pytest.mark.parametrize('temperature', [1e-45, 1e-6, 1e6, float('inf')])
def test_any_temperature_gives_numbers(temperature: float) -> None:
    logits = np.array([[5.0, 30.0, -1e30, 29.0]], np.float32)
    probs = distribution(logits, temperature=temperature, top_k=0, top_p=0.9)
    assert np.isfinite(probs).all()
    assert probs.sum() == pytest.approx(1)
    assert probs.argmax() == (1 if temperature < 1 else probs.argmax())


def test_greedy_takes_the_likeliest_token_and_no_random_bits() -> None:
    logits = jnp.asarray([[0.0, 3.0, 2.0], [1.0, 0.0, 0.5]])
    tokens = [
        next_token.next_tokens(
            logits,
            keys_of([seed, seed], [1, 2], [0, 0]),
            jnp.array([4, 9]),
            drawn(None, 0, None),
        ).tolist()
        for seed in range(3)
    ]
    assert tokens == [[1, 0]] * 3


@pytest.mark.parametrize(('top_k', 'top_p'), [(0, None), (5, None), (0, 0.8), (6, 0.8)])
def test_draws_have_the_exact_frequencies(top_k: int, top_p: float | None) -> None:
    num_draws = 20_000
    logits = np.random.default_rng(1).normal(size=(1, 12), scale=1.5).astype(np.float32)
    expected = numpy_distribution(logits, 0.8, top_k, top_p or 1.0)[0]
    keys = keys_of([7] * num_draws, [3] * num_draws, list(range(num_draws)))
    tokens = next_token.next_tokens(
        jnp.broadcast_to(logits, (num_draws, 12)),
        keys,
        jnp.zeros(num_draws, jnp.int32),
        drawn(0.8, top_k, top_p),
    )
    counts = np.bincount(np.asarray(tokens), minlength=12)
    assert counts[expected == 0].sum() == 0
    live = expected > 0
    assert stats.chisquare(counts[live], expected[live] * num_draws).pvalue > 1e-3


def test_successive_positions_draw_independently() -> None:
    # 4,096 pairs of neighbouring tokens over 4 x 4 equally likely cells.
    num = 4097
    tokens = np.asarray(
        next_token.next_tokens(
            jnp.zeros((num, 4)),
            keys_of([0] * num, [9] * num, [0] * num),
            jnp.arange(num),
            drawn(1.0, 0, None),
        )
    )
    pairs = np.bincount(tokens[:-1] * 4 + tokens[1:], minlength=16)
    assert stats.chisquare(pairs).pvalue > 1e-3


def test_a_key_is_the_documented_chain_of_folds() -> None:
    chain = jax.random.key(5, impl='threefry2x32')
    for number in (2**32 - 1, 3):
        chain = jax.random.fold_in(chain, number)
    key = keys_of([5], [2**32 - 1], [3])[0]
    np.testing.assert_array_equal(jax.random.key_data(key), jax.random.key_data(chain))


def test_a_draw_depends_on_its_own_row_alone() -> None:
    logits = jax.random.normal(jax.random.key(0), (6, 40))
    seeds, prompts, samples = [1, 1, 1, 2, 2, 3], [5, 5, 6, 6, 7, 8], [0, 1, 0, 1, 0, 0]
    positions = [3, 3, 4, 4, 5, 9]

    def draw(rows: list[int], top_k: int) -> list[int]:
        def take(values: list[int]) -> list[int]:
            return [values[i] for i in rows]

        return next_token.next_tokens(
            logits[jnp.array(rows)],
            keys_of(take(seeds), take(prompts), take(samples)),
            jnp.array(take(positions)),
            drawn(1.0, top_k, 0.95),
        ).tolist()

    for top_k in (0, 20):
        together = draw([0, 1, 2, 3, 4, 5], top_k)
        assert draw([5, 3, 1, 0, 2, 4], top_k) == [
            together[i] for i in (5, 3, 1, 0, 2, 4)
        ]
        assert [draw([i], top_k)[0] for i in range(6)] == together


def test_seed_prompt_sample_and_position_each_change_the_bits() -> None:
    def draw(seed: int, prompt: int, sample: int, position: int) -> tuple[int, ...]:
        tokens = next_token.next_tokens(
            jnp.zeros((1, 50_000)),
            keys_of([seed], [prompt], [sample]),
            jnp.array([position]),
            drawn(1.0, 0, None),
        )
        return tuple(tokens.tolist())

    cases = list(itertools.product((0, 1), repeat=4))
    assert len({draw(*case) for case in cases}) == len(cases)


def test_the_generator_setting_of_jax_does_not_matter() -> None:
    before = jax.random.key_data(keys_of([1], [2], [3]))
    with jax.default_prng_impl('rbg'):
        after = jax.random.key_data(keys_of([1], [2], [3]))
    np.testing.assert_array_equal(before, after)


def test_a_prompt_number_is_the_head_of_the_id_s_sha256() -> None:
    digest = hashlib.sha256('garden \u00e9'.encode()).hexdigest()
    assert next_token.prompt_number('garden \u00e9') == int(digest[:8], 16)


def test_another_temperature_or_top_p_compiles_nothing_anew() -> None:
    traces = []

    @jax.jit
    def draw(logits: jax.Array, temperature: jax.Array, top_p: jax.Array) -> jax.Array:
        traces.append(1)
        return next_token.next_tokens(
            logits, keys_of([0], [0], [0]), jnp.array([0]), drawn(temperature, 2, top_p)
        )

    for temperature, top_p in ((0.5, 0.9), (0.7, 0.3), (1.3, 0.99)):
        draw(jnp.asarray(LOGITS), jnp.float32(temperature), jnp.float32(top_p))
    assert len(traces) == 1


@functools.cache
def golden() -> dict[str, np.ndarray]:
    folder = pathlib.Path(__file__).parents[1] / 'golden'
    return dict(np.load(folder / 'processors.npz'))


CASES = json.loads(str(golden()['cases']))


def settings_of(case: dict[str, Any]) -> schema.SamplingConfig:
    """Ours of the arguments that transformers was given."""
    return schema.SamplingConfig(
        temperature=case.get('temperature', 1.0)
        if case.get('do_sample', True)
        else 0.0,
        top_k=case.get('top_k', 0),
        top_p=case.get('top_p', 1.0),
        min_p=case.get('min_p', 0.0),
        repetition_penalty=case.get('repetition_penalty', 1.0),
        no_repeat_ngram=case.get('no_repeat_ngram_size', 0),
        min_new_tokens=case.get('min_new_tokens', 0),
    )


def left_padded(rows: list[int], room: int) -> tuple[np.ndarray, int, int]:
    """The golden contexts of rows of as many new tokens; where they end; how many."""
    contexts = [golden()[f'context {i}'] for i in rows]
    end = max(map(len, contexts))
    out = np.full((len(rows), end + room), next_token.NO_TOKEN, np.int32)
    for row, context in zip(out, contexts, strict=True):
        row[end - len(context) : end] = context
    [number] = {int(golden()['lengths'][i, 1]) for i in rows}
    return out, end, number


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize(('rows', 'room'), [([0], 3), ([1, 2, 3], 0), ([3, 1, 2], 9)])
def test_processors_give_what_those_of_transformers_give(
    name: str, rows: list[int], room: int
) -> None:
    settings = settings_of(CASES[name])
    drawing = next_token.drawing(settings, eos_id=7, vocab_size=64)
    context, end, number = left_padded(rows, room)
    logits = next_token.processed(
        jnp.asarray(golden()['logits'][rows]),
        jnp.asarray(context) if drawing.needs_context else None,
        jnp.full(len(rows), end),
        jnp.full(len(rows), number),
        drawing,
    )
    expected = golden()[f'scores {name}'][rows]
    if settings.temperature == 0:
        np.testing.assert_allclose(logits, expected, rtol=1e-6)
        return
    scores, ids = next_token.candidates(logits, drawing)
    ours = np.full(expected.shape, -np.inf, np.float32)
    np.put_along_axis(ours, np.asarray(ids), np.asarray(scores), axis=1)
    np.testing.assert_array_equal(np.isinf(ours), np.isinf(expected))
    # Ours are shifted so that the likeliest has 0, which changes no draw.
    expected = expected - expected.max(-1, keepdims=True)
    np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_a_context_after_its_end_is_not_looked_at() -> None:
    # 1 2 | 1 is the prompt; a token after `end` stands only in a wrong computation.
    drawing = next_token.drawing(
        schema.SamplingConfig(no_repeat_ngram=2, repetition_penalty=2.0),
        eos_id=0,
        vocab_size=3,
    )
    logits = jnp.asarray([[1.0, 2.0, 3.0, -4.0]])
    context = jnp.asarray([[-1, 1, 2, 1, -1, -1]])
    found = next_token.processed(
        logits, context, jnp.array([4]), jnp.array([1]), drawing
    )
    np.testing.assert_array_equal(found, [[1.0, 1.0, -np.inf, -4.0]])


def test_eos_is_let_through_where_nothing_else_is_left() -> None:
    drawing = next_token.drawing(
        schema.SamplingConfig(no_repeat_ngram=1, min_new_tokens=9),
        eos_id=0,
        vocab_size=3,
    )
    logits = jnp.asarray([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    context = jnp.asarray([[1, 2], [-1, 2]])
    found = next_token.processed(
        logits, context, jnp.array([2, 2]), jnp.array([1, 1]), drawing
    )
    expected = [[1.0, -np.inf, -np.inf], [-np.inf, 2.0, -np.inf]]
    np.testing.assert_array_equal(found, expected)


def test_settings_that_are_off_are_no_part_of_the_computation() -> None:
    off = next_token.drawing(
        schema.SamplingConfig(temperature=0.0, min_p=0.5), eos_id=0, vocab_size=3
    )
    assert jax.tree.leaves(off) == []
    logits = jnp.zeros((2, 3))
    number = jnp.array([1, 1])
    assert next_token.processed(logits, None, number, number, off) is logits
    changed = [
        next_token.drawing(
            schema.SamplingConfig(min_p=p, repetition_penalty=1 + p),
            eos_id=0,
            vocab_size=3,
        )
        for p in (0.2, 0.3)
    ]
    first, second = (jax.tree.structure(x) for x in changed)
    assert first == second


def test_min_p_keeps_what_has_that_share_of_the_likeliest() -> None:
    def kept(min_p: float) -> list[int]:
        scores, _ = next_token.candidates(jnp.asarray(LOGITS), drawn(1.0, min_p=min_p))
        return np.flatnonzero(np.isfinite(scores[0])).tolist()

    # Of 0.1 0.4 0.2 0.3 the shares are 1/4, 1, 1/2 and 3/4.
    assert kept(0.24) == [0, 1, 2, 3]
    assert kept(0.26) == [1, 2, 3]
    assert kept(0.51) == [1, 3]
    assert kept(0.76) == [1]
    assert kept(1.0) == [1]
