"""Attention against a formula in numpy, written as loops over the segments."""

import functools
import importlib.util
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hax_jax import errors
from hax_jax.model import attention

HERE = ('xla', 'blockwise')  # what runs on a CPU
# On both sides of the query block, which is 128, and with a rest.
LENGTHS = (1, 24, 128, 129, 300)
HEADS, HEAD_DIM = 2, 8


def segments(length: int) -> np.ndarray:
    """Two rows [B, T]: three segments and padding, which is segment 0; one segment."""
    bounds = np.array([0.3, 0.45, 0.9]) * length
    packed = np.searchsorted(bounds, np.arange(length), side='right') + 1
    packed[packed == 4] = 0
    return np.stack([packed, np.ones(length)]).astype(np.int32)


def tensors(length: int, seed: int = 0) -> tuple[jax.Array, ...]:
    drawn = np.random.default_rng(seed).normal(size=(3, 2, length, HEADS, HEAD_DIM))
    return tuple(jnp.asarray(x, jnp.float32) for x in drawn)  # q, k, v


def by_hand(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, segment_ids: np.ndarray
) -> np.ndarray:
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    out = np.zeros_like(v)
    for b, row in enumerate(segment_ids):
        for t in range(len(row)):
            seen = [s for s in range(t + 1) if row[s] == row[t]]
            for n in range(q.shape[2]):
                scores = k[b, seen, n] @ q[b, t, n] / np.sqrt(q.shape[3])
                weights = np.exp(scores - scores.max())
                out[b, t, n] = weights @ v[b, seen, n] / weights.sum()
    return out


@functools.partial(jax.jit, static_argnames=('implementation', 'rate'))
def attend(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    segment_ids: jax.Array,
    implementation: str,
    rate: float = 0.0,
    key: jax.Array | None = None,
) -> jax.Array:
    return attention.attend(
        q,
        k,
        v,
        q_segment_ids=segment_ids,
        kv_segment_ids=segment_ids,
        implementation=implementation,
        dropout_rate=rate,
        dropout_key=key,
    )


@pytest.mark.parametrize('length', LENGTHS)
@pytest.mark.parametrize('implementation', HERE)
def test_it_equals_the_formula_in_numpy(implementation: str, length: int) -> None:
    q, k, v = tensors(length)
    ids = segments(length)
    found = attend(q, k, v, ids, implementation)
    np.testing.assert_allclose(found, by_hand(q, k, v, ids), atol=1e-5)


@pytest.mark.parametrize('length', LENGTHS[1:])
@pytest.mark.parametrize('implementation', HERE)
def test_changing_a_segment_changes_no_bit_of_the_others(
    implementation: str, length: int
) -> None:
    ids = segments(length)
    before = attend(*tensors(length), ids, implementation)
    for segment in (0, 1, 2, 3):
        mine = (ids == segment)[:, :, None, None]
        changed = [
            jnp.where(mine, 1e3 * other, x)
            for x, other in zip(tensors(length), tensors(length, seed=1), strict=True)
        ]
        after = attend(*changed, ids, implementation)
        others = ids != segment
        np.testing.assert_array_equal(before[others], after[others])
        assert not np.array_equal(before[~others], after[~others])


@pytest.mark.parametrize('length', LENGTHS[1:])
@pytest.mark.parametrize('implementation', HERE)
def test_no_gradient_flows_between_segments(implementation: str, length: int) -> None:
    ids = segments(length)

    @jax.jit
    @jax.grad
    def gradients(qkv: tuple[jax.Array, ...], mine: jax.Array) -> jax.Array:
        out = attend(*qkv, ids, implementation)
        return jnp.sum(jnp.where(mine[:, :, None, None], out, 0) ** 2)

    for segment in (0, 1, 2, 3):
        mine = ids == segment
        for grad in gradients(tensors(length), mine):
            assert np.all(np.asarray(grad)[~mine] == 0)
            assert np.any(np.asarray(grad)[mine] != 0)


@pytest.mark.parametrize('length', LENGTHS)
def test_blockwise_equals_xla_in_outputs_and_gradients(length: int) -> None:
    ids = segments(length)

    def total(qkv: tuple[jax.Array, ...], implementation: str) -> jax.Array:
        return jnp.sum(jnp.sin(attend(*qkv, ids, implementation)))

    found, expected = (
        (
            attend(*tensors(length), ids, name),
            *jax.jit(jax.grad(total), static_argnums=1)(tensors(length), name),
        )
        for name in ('blockwise', 'xla')
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


_TEMPORARY_BYTES = """
import jax, jax.numpy as jnp
from hax_jax.model import attention

x = jax.ShapeDtypeStruct((2, 1024, 8, 8), jnp.float32)
ids = jax.ShapeDtypeStruct((2, 1024), jnp.int32)
for name in ('xla', 'blockwise'):
    def total(qkv, ids):
        out = attention.attend(
            *qkv, q_segment_ids=ids, kv_segment_ids=ids, implementation=name
        )
        return jnp.sum(jnp.sin(out))
    for function in (total, jax.grad(total)):
        compiled = jax.jit(function).lower((x, x, x), ids).compile()
        print(compiled.memory_analysis().temp_size_in_bytes)
"""


def test_blockwise_holds_a_block_of_scores_where_xla_holds_all() -> None:
    # With what runtime.start sets: XLA's own schedule runs the blocks together.
    flag = '--xla_cpu_enable_concurrency_optimized_scheduler=false'
    child = in_child(_TEMPORARY_BYTES, XLA_FLAGS=flag, timeout_seconds=60)
    xla, xla_grad, blockwise, blockwise_grad = map(int, child.split())
    all_scores = 2 * 8 * 1024 * 1024 * 4  # bytes of [B, N, T, T] in float32
    assert xla > all_scores
    assert xla_grad > 2 * all_scores
    assert blockwise < all_scores / 3  # a block's are all_scores / 8
    assert blockwise_grad < xla_grad / 2


def in_child(code: str, *, timeout_seconds: int, **environment: str) -> str:
    """What the code prints, run in a process of its own that can't hang the suite."""
    child = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, 'JAX_PLATFORMS': 'cpu', **environment},
    )
    assert child.returncode == 0, child.stderr[-3000:]
    return child.stdout


def test_queries_from_a_later_place_see_the_keys_before_it() -> None:
    q, k, v = tensors(24)
    ids = segments(24)
    found = attention.attend(
        q[:, 17:20],
        k,
        v,
        q_segment_ids=jnp.asarray(ids[:, 17:20]),
        kv_segment_ids=jnp.asarray(ids),
        q_start=jnp.int32(17),
    )
    np.testing.assert_allclose(found, by_hand(q, k, v, ids)[:, 17:20], atol=1e-5)


def test_softmax_is_in_float32_also_where_the_model_computes_in_bfloat16() -> None:
    q, k, v = (x.astype(jnp.bfloat16) for x in tensors(300))
    ids = segments(300)
    expected = by_hand(q, k, v, ids)
    for implementation in HERE:
        found = attend(q, k, v, ids, implementation)
        assert found.dtype == jnp.bfloat16
        # bfloat16 has 8 bits of mantissa: 1/256 of values up to 4.
        np.testing.assert_allclose(
            found.astype(jnp.float32), expected, atol=4 / 256, rtol=0
        )


@pytest.mark.parametrize('implementation', HERE)
def test_dropout_acts_only_with_a_key_and_is_the_same_with_the_same_key(
    implementation: str,
) -> None:
    q, k, v = tensors(130)
    ids = segments(130)
    plain = attend(q, k, v, ids, implementation)
    np.testing.assert_array_equal(plain, attend(q, k, v, ids, implementation, 0.3))
    one, again, other = (
        attend(q, k, v, ids, implementation, 0.3, jax.random.key(seed))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, plain)
    # Without a rate, a key does nothing.
    keyed = attend(q, k, v, ids, implementation, 0.0, jax.random.key(0))
    np.testing.assert_array_equal(plain, keyed)


@pytest.mark.parametrize('implementation', HERE)
def test_dropout_keeps_the_expectation(implementation: str) -> None:
    q, k, v = tensors(130)
    ids = segments(130)
    draws = jax.lax.map(
        lambda key: attend(q, k, v, ids, implementation, 0.3, key),
        jax.random.split(jax.random.key(0), 400),
    )
    error = np.mean(draws, 0) - attend(q, k, v, ids, implementation)
    deviation = np.std(draws, 0) / np.sqrt(400)
    assert np.mean(np.abs(error) < 3 * deviation + 1e-6) > 0.98  # of a normal: 0.997
    assert np.abs(error).max() < 0.5


@pytest.mark.parametrize('which', [0, 1, 2])
def test_gradients_of_blockwise_with_dropout_are_the_slopes_of_its_outputs(
    which: int,
) -> None:
    ids, key = segments(300), jax.random.key(3)
    given = list(tensors(300))
    towards, direction = tensors(300, seed=1)[0], tensors(300, seed=2)[0]

    @jax.jit
    def total(moved: jax.Array) -> jax.Array:
        q, k, v = [*given[:which], moved, *given[which + 1 :]]
        return jnp.sum(attend(q, k, v, ids, 'blockwise', 0.3, key) * towards)

    step = 1e-2
    rise = total(given[which] + step * direction) - total(
        given[which] - step * direction
    )
    slope = jnp.sum(jax.grad(total)(given[which]) * direction)
    np.testing.assert_allclose(slope, rise / (2 * step), rtol=5e-3, atol=5e-2)


def test_blockwise_draws_bits_anew_in_each_block() -> None:
    # Scores are equal and v is 0 but at key 0, the first place that the first query of
    # a block draws a bit for: an output is 0 where that was dropped.
    q = k = jnp.zeros((1, 256, 1, 1))
    v = jnp.zeros((1, 256, 1, 1)).at[0, 0].set(1)
    ids = jnp.ones((1, 256), jnp.int32)
    out = jax.vmap(lambda key: attend(q, k, v, ids, 'blockwise', 0.5, key))(
        jax.random.split(jax.random.key(0), 64)
    )
    first, second = (np.asarray(out[:, 0, t, 0, 0] > 0) for t in (0, 128))
    assert not np.array_equal(first, second)
    assert 10 < first.sum() < 54


@pytest.mark.parametrize('name', ['cudnn', 'splash'])
def test_an_implementation_without_dropout_refuses_attn_pdrop_by_name(
    name: str,
) -> None:
    with pytest.raises(errors.InputError, match=rf"'{name}'.*model.attn_pdrop=0.1"):
        attention.resolve(name, seq_len=1024, attn_pdrop=0.1, compute_dtype='bfloat16')


@pytest.mark.parametrize(
    ('name', 'backend'),
    [('cudnn', 'cpu'), ('cudnn', 'tpu'), ('splash', 'cpu'), ('splash', 'gpu')],
)
def test_an_implementation_refuses_a_backend_that_it_does_not_run_on(
    monkeypatch: pytest.MonkeyPatch, name: str, backend: str
) -> None:
    monkeypatch.setattr(jax, 'default_backend', lambda: backend)
    with pytest.raises(errors.InputError, match=f"'{name}' does not run on {backend}"):
        attention.resolve(name, seq_len=1024, attn_pdrop=0.0, compute_dtype='bfloat16')


def test_cudnn_refuses_float32_and_splash_rows_that_are_no_multiple_of_128(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    with pytest.raises(errors.InputError, match=r"train\.compute_dtype='float32'"):
        attention.resolve('cudnn', seq_len=128, attn_pdrop=0.0, compute_dtype='float32')
    monkeypatch.setattr(jax, 'default_backend', lambda: 'tpu')
    with pytest.raises(errors.InputError, match=r'data\.seq_len=200'):
        attention.resolve(
            'splash', seq_len=200, attn_pdrop=0.0, compute_dtype='bfloat16'
        )


@pytest.mark.parametrize(
    ('backend', 'seq_len', 'attn_pdrop', 'compute_dtype', 'expected'),
    [
        ('cpu', 512, 0.0, 'float32', 'blockwise'),
        ('cpu', 1024, 0.0, 'float32', 'blockwise'),
        ('cpu', 1024, 0.1, 'bfloat16', 'blockwise'),
        ('gpu', 512, 0.0, 'bfloat16', 'cudnn'),
        ('gpu', 512, 0.1, 'bfloat16', 'blockwise'),
        ('gpu', 1024, 0.1, 'bfloat16', 'blockwise'),
        ('gpu', 1024, 0.0, 'float32', 'blockwise'),
        ('tpu', 1024, 0.0, 'bfloat16', 'splash'),
        ('tpu', 200, 0.0, 'bfloat16', 'xla'),
        ('tpu', 1024, 0.1, 'bfloat16', 'blockwise'),
    ],
)
def test_auto_takes_the_fused_kernel_where_it_can_do_what_is_asked(
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    seq_len: int,
    attn_pdrop: float,
    compute_dtype: str,
    expected: str,
) -> None:
    monkeypatch.setattr(jax, 'default_backend', lambda: backend)
    asked = {
        'seq_len': seq_len,
        'attn_pdrop': attn_pdrop,
        'compute_dtype': compute_dtype,
    }
    assert attention.resolve('auto', **asked) == expected
    assert attention.resolve(expected, **asked) == expected
    # Of described devices, whatever this process has.
    monkeypatch.setattr(jax, 'default_backend', lambda: 'none')
    assert attention.resolve('auto', **asked, platform=backend) == expected


@pytest.mark.parametrize('name', HERE)
def test_a_named_implementation_that_runs_everywhere_is_taken(name: str) -> None:
    asked = {'seq_len': 77, 'attn_pdrop': 0.1, 'compute_dtype': 'float32'}
    assert attention.resolve(name, **asked) == name


def test_splash_equals_the_formula_when_its_kernel_is_interpreted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel

    make = splash_attention_kernel.make_splash_mha
    monkeypatch.setattr(
        splash_attention_kernel,
        'make_splash_mha',
        functools.partial(make, interpret=True),
    )
    q, k, v = tensors(256)
    ids = segments(256)
    found = attention.attend(
        q,
        k,
        v,
        q_segment_ids=jnp.asarray(ids),
        kv_segment_ids=jnp.asarray(ids),
        implementation='splash',
    )
    np.testing.assert_allclose(found, by_hand(q, k, v, ids), atol=1e-5)


# Head size 64 is GPT-2's own; 3 heads are not divisible by tensor=2.
_COMPILE_FOR_TPU = """
import jax, numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh
from hax_jax.config import schema
from hax_jax.devices import mesh as mesh_lib
from hax_jax.training import optimizer, train_state, train_step

devices = topologies.get_topology_desc(platform='tpu', topology_name='v5e:2x2').devices
axis_types = (AxisType.Auto,) * 3
mesh = Mesh(np.reshape(devices, (1, 2, 2)), mesh_lib.AXES, axis_types=axis_types)
settings = schema.OptimizerConfig()
tx = optimizer.make_optimizer(settings, num_steps=10)
for n_head in (2, 3):
    model = schema.ModelConfig(
        n_layer=1, n_head=n_head, n_embd=64 * n_head, n_positions=1024,
        vocab_size=128, attention='splash',
    )
    blueprint = train_state.make_blueprint(
        model, schema.LoraConfig(), tx, compute_dtype='bfloat16', mesh=mesh
    )
    batch = {
        name: jax.ShapeDtypeStruct((4, 1024), dtype)
        for name, dtype in dict(
            inputs='int32', targets='int32', loss_weights='float32',
            segment_ids='int32', positions='int32',
        ).items()
    }
    with jax.set_mesh(mesh):
        step = train_step.make_train_step(
            blueprint, optimizer.schedule(settings, num_steps=10), mesh=mesh,
            grad_accum_steps=1, seed=0,
        )
        compiled = step.lower(blueprint.state, batch).compile()
    kernels = compiled.as_text().count('custom_call_target="tpu_custom_call"')
    print(f'{n_head} heads: {kernels} kernels')
"""


def test_splash_compiles_for_a_tpu_in_the_train_step_on_four_devices() -> None:
    if importlib.util.find_spec('libtpu') is None:
        pytest.skip('libtpu is not installed: pip install "libtpu==0.0.42.*"')
    printed = in_child(
        _COMPILE_FOR_TPU,
        TPU_SKIP_MDS_QUERY='1',
        ALLOW_MULTIPLE_LIBTPU_LOAD='1',  # else two compilers at a time refuse
        timeout_seconds=300,
    )
    # One kernel forward, two backward: for queries, and for keys and values.
    assert printed.splitlines() == ['2 heads: 3 kernels', '3 heads: 3 kernels']
