"""Attention against a formula in numpy, written as loops over the segments."""

import functools
import importlib.util
import re
import types
from typing import Any

import forks
import jax
import jax.numpy as jnp
import numpy as np
import programs
import pytest

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import attention, kernels
from hax_jax.training import optimizer, train_state, train_step

HERE = ('xla', 'blockwise')  # what runs on a CPU
# On both sides of the query block, which is 128, and with a rest.
LENGTHS = (1, 24, 128, 129, 300)
HEADS, HEAD_DIM = 2, 8
KERNELS = ('triton', 'splash')  # of accelerators; here in Pallas's interpreter
EACH = [(name, length) for name in HERE for length in LENGTHS[1:]]
EACH += [(name, 256) for name in KERNELS]


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, 'INTERPRET', True)


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
        segment_ids,
        implementation=implementation,
        dropout_rate=rate,
        dropout_key=key,
    )


@pytest.mark.parametrize(('implementation', 'length'), [*EACH, ('xla', 1)])
def test_it_equals_the_formula_in_numpy(implementation: str, length: int) -> None:
    q, k, v = tensors(length)
    ids = segments(length)
    found = attend(q, k, v, ids, implementation)
    np.testing.assert_allclose(found, by_hand(q, k, v, ids), atol=1e-5)


@pytest.mark.parametrize(('implementation', 'length'), EACH)
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


@pytest.mark.parametrize(('implementation', 'length'), EACH)
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
            *qkv, ids, implementation=name
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


def in_child(
    code: str, *arguments: str, timeout_seconds: int, **environment: str
) -> str:
    """What the code prints, run in a process of its own that can't hang the suite."""
    variables = {'JAX_PLATFORMS': 'cpu', **environment}
    child = forks.run('-c', code, *arguments, seconds=timeout_seconds, **variables)
    assert child.returncode == 0, child.stderr[-3000:]
    return child.stdout


@pytest.mark.parametrize('queries', [slice(17, 20), slice(23, 24), slice(0, 24)])
def test_queries_from_a_later_place_see_the_keys_of_a_cache_before_it(
    queries: slice,
) -> None:
    q, k, v = tensors(24)
    ids = segments(24)
    keys, values = k.swapaxes(1, 2), v.swapaxes(1, 2)
    found = attention.attend_cached(
        q[:, queries],
        keys,
        values,
        q_segment_ids=jnp.asarray(ids[:, queries]),
        kv_segment_ids=jnp.asarray(ids),
        q_start=jnp.int32(queries.start),
    )
    np.testing.assert_allclose(found, by_hand(q, k, v, ids)[:, queries], atol=1e-5)
    alone = attention.attend_cached(
        q[1:, queries],
        keys[1],
        values[1],
        q_segment_ids=jnp.asarray(ids[1:, queries]),
        kv_segment_ids=jnp.asarray(ids[1:]),
        q_start=jnp.int32(queries.start),
    )
    np.testing.assert_allclose(alone, found[1:], atol=1e-6)


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
        jax.random.split(jax.random.key(0), 200),
    )
    error = np.mean(draws, 0) - attend(q, k, v, ids, implementation)
    deviation = np.std(draws, 0) / np.sqrt(200)
    assert np.mean(np.abs(error) < 3 * deviation + 1e-6) > 0.98  # of a normal: 0.997
    assert np.abs(error).max() < 0.7


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


def packed(length: int) -> np.ndarray:
    """Three rows [B, T]: 16 segments and padding; one segment; segments of 1."""
    rng = np.random.default_rng(1)
    cuts = np.sort(rng.choice(np.arange(1, length), 16, replace=False))
    many = np.searchsorted(cuts, np.arange(length), side='right') + 1
    many[many == 17] = 0
    return np.stack([many, np.ones(length), np.arange(length) + 1]).astype(np.int32)


def outputs_and_gradients(
    length: int, dtype: str, implementation: str, heads: int
) -> list[np.ndarray]:
    """Of rows of `packed`; padding carries no gradient, as in the loss."""
    ids = packed(length)
    shape = (4, len(ids), length, heads, 16)
    q, k, v, towards = jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)

    @jax.jit
    def total(qkv: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        out = attend(*qkv, ids, implementation)
        of_pairs = jnp.where(ids[..., None, None] > 0, out * towards, 0)
        return jnp.sum(of_pairs, dtype=jnp.float32), out

    (_, out), grads = jax.value_and_grad(total, has_aux=True)((q, k, v))
    assert all(x.dtype == dtype for x in (out, *grads))
    return [np.asarray(x, np.float64) for x in (out, *grads)]


@pytest.mark.parametrize('implementation', KERNELS)
@pytest.mark.parametrize(
    ('length', 'heads', 'dtype'),
    [
        (256, 3, 'float32'),
        (256, 1, 'bfloat16'),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (384, 1, 'bfloat16'),
                (512, 2, 'float32'),
                (640, 5, 'bfloat16'),
                (768, 3, 'float32'),
                (1024, 3, 'float32'),
                (1024, 3, 'bfloat16'),
            )
        ),
    ],
)
def test_a_kernel_equals_xla_in_outputs_and_gradients_on_many_segments(
    implementation: str, length: int, heads: int, dtype: str
) -> None:
    found, exact = (
        outputs_and_gradients(length, *how, heads)
        for how in ((dtype, implementation), ('float32', 'xla'))
    )
    if dtype == 'float32':
        for one, other in zip(found, exact, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5)
        return
    # No further from the truth than twice what xla is in bfloat16.
    rounded = outputs_and_gradients(length, dtype, 'xla', heads)
    for one, other, truth in zip(found, rounded, exact, strict=True):
        assert np.linalg.norm(one - truth) < 2 * np.linalg.norm(other - truth)


_ON_EIGHT_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from hax_jax.config import schema
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import attention, kernels

kernels.INTERPRET = True
mesh = mesh_lib.make_mesh(schema.MeshConfig(data=2, fsdp=2, tensor=2))
ids = np.repeat([[1, 2, 3, 0], [1, 1, 2, 2], [1, 2, 2, 2], [1, 1, 1, 1]], 32, axis=1)

def total(qkv, ids, name):
    out = attention.attend(
        *qkv, ids, implementation=name
    )
    return jnp.sum(jnp.sin(out)), out

def run(name, heads, inside=False):
    qkv = tuple(np.random.default_rng(0).normal(size=(3, 4, 128, heads, 8)))
    qkv = jax.tree.map(jnp.float32, qkv)
    def local(qkv, ids):
        (_, out), grads = jax.value_and_grad(total, has_aux=True)(qkv, ids, name)
        return out, *grads
    if inside:
        rows = P(('data', 'fsdp'))
        local = jax.shard_map(
            local, mesh=mesh, in_specs=(rows, rows), out_specs=rows,
            axis_names={'data', 'fsdp'}, check_vma=False,
        )
    with jax.set_mesh(mesh):
        here = NamedSharding(mesh, P(('data', 'fsdp')))
        return jax.jit(local)(*jax.device_put((qkv, jnp.int32(ids)), here))

# 3 heads are not divisible by tensor=2, so each device has all of its rows.
for heads, inside in ((2, True), (3, False)):
    wanted = run('xla', heads)
    for name in ('triton', 'splash'):
        for a, b in zip(run(name, heads, inside), wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)
        print(name, heads, inside)
"""


def test_kernels_share_rows_and_heads_also_inside_a_shard_map_over_the_batch() -> None:
    printed = in_child(_ON_EIGHT_DEVICES, **programs.devices(8), timeout_seconds=240)
    assert len(printed.splitlines()) == 4, printed


def device(platform: str, compute_capability: str | None = None) -> Any:
    return types.SimpleNamespace(
        platform=platform, compute_capability=compute_capability
    )


ASKED = {
    'seq_len': 1024,
    'head_dim': 64,
    'attn_pdrop': 0.0,
    'compute_dtype': 'bfloat16',
}
H100, TPU, CPU = device('gpu', '9.0'), device('tpu'), device('cpu')


@pytest.mark.parametrize(
    ('name', 'on', 'asked', 'problem'),
    [
        (
            'cudnn',
            H100,
            {'attn_pdrop': 0.1},
            'has no dropout, and model.attn_pdrop=0.1',
        ),
        ('triton', H100, {'attn_pdrop': 0.1}, 'has no dropout'),
        ('splash', TPU, {'attn_pdrop': 0.1}, 'has no dropout'),
        ('cudnn', CPU, {}, 'does not run on cpu'),
        ('cudnn', TPU, {}, 'does not run on tpu'),
        ('triton', TPU, {}, 'does not run on tpu'),
        ('splash', CPU, {}, 'does not run on cpu'),
        ('splash', H100, {}, 'does not run on gpu'),
        ('triton', device('gpu', '7.5'), {}, 'no bfloat16 products below 8.0'),
        ('cudnn', H100, {'compute_dtype': 'float32'}, "train.compute_dtype='float32'"),
        ('triton', H100, {'compute_dtype': 'float32'}, 'computes in bfloat16 alone'),
        ('triton', H100, {'seq_len': 200}, 'data.seq_len=200'),
        ('splash', TPU, {'seq_len': 200}, 'data.seq_len=200'),
        ('triton', H100, {'head_dim': 8}, 'n_embd / n_head=8'),
        ('triton', H100, {'head_dim': 128}, 'takes heads of 16 to 64'),
    ],
)
def test_a_named_kernel_refuses_what_it_can_not_do(
    name: str, on: Any, asked: dict[str, Any], problem: str
) -> None:
    with pytest.raises(errors.InputError) as refused:
        attention.resolve(name, **ASKED | asked, device=on)
    assert str(refused.value).startswith(f'model.attention={name!r} ')
    assert problem in str(refused.value)
    # 'auto' takes another one there, and says why.
    other = attention.resolve('auto', **ASKED | asked, device=on)
    assert other.name in HERE or not asked
    if other.name in HERE and name != 'cudnn' and asked:
        assert problem in other.reason


@pytest.mark.parametrize(
    ('on', 'asked', 'name', 'reason'),
    [
        (CPU, {}, 'blockwise', 'a cpu has no kernel of its own'),
        (CPU, {'seq_len': 511}, 'xla', 'rows are shorter than 512'),
        (CPU, {'attn_pdrop': 0.1}, 'blockwise', 'a cpu'),
        (H100, {}, 'triton', 'compute capability 9.0'),
        (H100, {'seq_len': 128}, 'triton', 'compute capability 9.0'),
        (H100, {'seq_len': 64}, 'xla', 'shorter than 512; triton needs rows'),
        (H100, {'attn_pdrop': 0.1}, 'blockwise', 'triton has no dropout'),
        (
            H100,
            {'compute_dtype': 'float32'},
            'blockwise',
            'triton computes in bfloat16',
        ),
        (device('gpu', '8.0'), {}, 'triton', 'compute capability 8.0'),
        (device('gpu', '8.6'), {}, 'triton', 'compute capability 8.6'),
        (device('gpu', '8.9'), {}, 'triton', 'compute capability 8.9'),
        (device('gpu', '10.0'), {}, 'triton', 'compute capability 10.0'),
        (device('gpu', '12.0'), {}, 'triton', 'compute capability 12.0'),
        (device('gpu', '7.5'), {}, 'blockwise', 'no bfloat16 products below 8.0'),
        (device('gpu', 'gfx942'), {}, 'blockwise', 'no NVIDIA compute capability'),
        (device('gpu'), {}, 'blockwise', 'no NVIDIA compute capability'),
        (TPU, {}, 'splash', "the TPU's kernel"),
        (TPU, {'seq_len': 200}, 'xla', 'splash needs rows of a multiple of 128'),
        (TPU, {'attn_pdrop': 0.1}, 'blockwise', 'splash has no dropout'),
    ],
)
def test_auto_takes_the_kernel_of_the_device_where_it_can_and_says_why(
    on: Any, asked: dict[str, Any], name: str, reason: str
) -> None:
    found = attention.resolve('auto', **ASKED | asked, device=on)
    assert found.name == name
    assert reason in found.reason
    assert attention.resolve(name, **ASKED | asked, device=on).name == name


def test_auto_follows_the_device_of_this_process_if_none_is_given() -> None:
    assert attention.resolve('auto', **ASKED).name == 'blockwise'


@pytest.mark.parametrize('name', HERE)
def test_a_named_implementation_that_runs_everywhere_is_taken(name: str) -> None:
    asked = {**ASKED, 'seq_len': 77, 'attn_pdrop': 0.1, 'compute_dtype': 'float32'}
    assert attention.resolve(name, **asked).name == name


def lowered_for_a_gpu(implementation: str, dtype: str, length: int) -> str:
    """The train step of a layer, as XLA for CUDA gets it; no GPU is needed."""
    model = schema.ModelConfig(
        n_layer=1,
        n_head=3,
        n_embd=192,
        n_positions=length,
        vocab_size=64,
        attention=implementation,
    )
    settings = schema.OptimizerConfig()
    tx = optimizer.make_optimizer(settings, num_steps=10)
    mesh = mesh_lib.make_mesh(schema.MeshConfig())
    row = jax.ShapeDtypeStruct((2, length), jnp.int32)
    batch = {name: row for name in ('inputs', 'targets', 'segment_ids', 'positions')}
    batch['loss_weights'] = jax.ShapeDtypeStruct(row.shape, jnp.float32)
    with jax.set_mesh(mesh):
        blueprint = train_state.make_blueprint(
            model, schema.LoraConfig(), tx, compute_dtype=dtype, mesh=mesh
        )
        step = train_step.make_train_step(
            blueprint,
            optimizer.schedule(settings, num_steps=10),
            mesh=mesh,
            grad_accum_steps=1,
            seed=0,
        )
        traced = step.trace(blueprint.state, batch)
        return traced.lower(lowering_platforms=('cuda',)).as_text()


def square(program: str, length: int) -> list[str]:
    """The types of a program that have T at least twice: 'tensor<2x3x1024x1024xf32>'"""
    types = set(re.findall(r'tensor<([\dx]+)x\w+>', program))
    return [t for t in types if sum(int(n) >= length for n in t.split('x')) > 1]


def test_no_gpu_ever_stores_scores_or_masks_of_a_long_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernels, 'INTERPRET', False)
    of_gpu = 'jax._src.pallas.triton.gpu_info'
    if importlib.util.find_spec(of_gpu):  # jax 0.11 asks the device, which is a CPU
        monkeypatch.setattr(f'{of_gpu}.get_device_kind', lambda: 'NVIDIA H100')
    taken = {
        attention.resolve(
            'auto', **ASKED | asked, device=device('gpu', capability)
        ).name
        for capability in ('7.5', '8.0', '9.0', '12.0', None)
        for asked in ({}, {'attn_pdrop': 0.1}, {'compute_dtype': 'float32'})
    }
    assert taken == {'triton', 'blockwise'}
    for name in taken:
        program = lowered_for_a_gpu(name, 'bfloat16', 1024)
        assert square(program, 1024) == []
        # Forward, the sums that the backward pass needs first, backward.
        kernels_in = program.count('__gpu$xla.gpu.triton')
        assert kernels_in == (3 if name == 'triton' else 0)
    assert square(lowered_for_a_gpu('blockwise', 'float32', 1024), 1024) == []
    assert square(lowered_for_a_gpu('xla', 'bfloat16', 1024), 1024) != []


@pytest.mark.parametrize(
    ('length', 'block'),
    [
        (128, 128),
        (256, 256),
        (384, 384),
        (512, 512),
        (640, 640),
        (768, 768),
        (896, 896),
        (1024, 512),
        (1152, 384),
        (1280, 640),
        (2048, 512),
    ],
)
def test_the_blocks_of_splash_divide_the_row_and_are_large(
    length: int, block: int
) -> None:
    assert kernels.splash_block(length) == block
    assert length % block == 0


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


_SPLASH_BY_LENGTH = """
import sys
import jax, jax.numpy as jnp, numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import attention, kernels

layout, before, *lengths = sys.argv[1:]
devices = topologies.get_topology_desc(platform='tpu', topology_name=layout).devices
mesh = Mesh(
    np.reshape(devices[:2], (1, 1, 2)), mesh_lib.AXES, axis_types=(AxisType.Auto,) * 3
)
here = NamedSharding(mesh, P())
if before == 'before':
    kernels.splash_block = lambda length: 128

def total(qkv, ids):
    out = attention.attend(
        *qkv, ids, implementation='splash'
    )
    return jnp.sum(jnp.sin(out.astype(jnp.float32)))

cases = [(int(length), 2) for length in lengths] + [(int(lengths[0]), 3)]
for length, heads in cases:
    x = jax.ShapeDtypeStruct((8, length, heads, 64), jnp.bfloat16, sharding=here)
    ids = jax.ShapeDtypeStruct((8, length), jnp.int32, sharding=here)
    with jax.set_mesh(mesh):
        compiled = jax.jit(jax.grad(total)).lower((x, x, x), ids).compile()
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    print(
        layout, length, heads, memory.temp_size_in_bytes, memory.peak_memory_in_bytes,
        int(cost.get('bytes accessed', -1)), flush=True,
    )
"""


@pytest.mark.slow
@pytest.mark.parametrize('layout', ['v5e:2x2', 'v5p:2x2x1', 'v6e:2x2'])
def test_splash_compiles_for_each_tpu_and_length(layout: str) -> None:
    if importlib.util.find_spec('libtpu') is None:
        pytest.skip('libtpu is not installed: pip install "libtpu==0.0.42.*"')
    lengths = ('128', '256', '384', '512', '640', '768', '896', '1024', '2048')
    printed = in_child(
        _SPLASH_BY_LENGTH,
        *(layout, 'now', *lengths),
        TPU_SKIP_MDS_QUERY='1',
        ALLOW_MULTIPLE_LIBTPU_LOAD='1',
        timeout_seconds=1200,
    )
    assert len(printed.splitlines()) == len(lengths) + 1
