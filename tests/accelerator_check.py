"""On a machine with an accelerator: is its attention right, and how fast is a step?

    python tests/accelerator_check.py

One call, no data, no TensorFlow. It compares each attention that this device runs with
`xla`, in bfloat16 and float32, on rows of 1,024 with many segments (law 2: equal
outputs and gradients, no leak from a segment), then times the 124M's train step in
bfloat16 at 8 x 1024 with each, and prints one JSON line each. What fails to compile is
a line too. Exits with 1 if a comparison fails.
--quick compares rows of 256 and times nothing; on a CPU it runs the kernels of
accelerators in Pallas's interpreter.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
import numpy as np

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.data import records
from hax_jax.devices import mesh, runtime
from hax_jax.model import attention, kernels
from hax_jax.training import optimizer, train_state, train_step

_GPT2 = schema.ModelConfig(
    n_layer=12, n_head=12, n_embd=768, n_positions=1024, vocab_size=50257
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--quick', action='store_true')
    quick = parser.parse_args().quick
    runtime.start()
    kernels.INTERPRET = quick and jax.default_backend() == 'cpu'
    print(json.dumps({'environment': runtime.environment()}), flush=True)
    good = True
    for dtype in ('bfloat16', 'float32'):
        for name in able(dtype):
            if name != 'xla':
                good &= attempt(compare, name, dtype, length=256 if quick else 1024)
    for name in () if quick else able('bfloat16'):
        attempt(time_step, name)
    return 0 if good else 1


def able(dtype: str) -> list[str]:
    """The implementations that this device runs in `dtype`; each if interpreted."""
    if kernels.INTERPRET:
        return [name for name in attention.IMPLEMENTATIONS if name != 'cudnn']
    names = []
    for name in attention.IMPLEMENTATIONS:
        try:
            attention.resolve(
                name, seq_len=1024, head_dim=64, attn_pdrop=0.0, compute_dtype=dtype
            )
        except errors.InputError as error:
            print(json.dumps({'left out': name, 'why': str(error)}), flush=True)
        else:
            names.append(name)
    return names


def attempt(check: Callable[..., dict[str, Any]], *args: Any, **more: Any) -> bool:
    """Prints a check's line; a compiler's error is one that is not good."""
    try:
        row = check(*args, **more)
    except Exception as error:  # any of a compiler's; the other checks go on
        row = {check.__name__: args, 'good': False, 'why': str(error)[:1000]}
    print(json.dumps(row), flush=True)
    return row.get('good', True)


def segments(length: int) -> np.ndarray:
    """Two rows [B, T]: 12 segments of unlike lengths and padding; two segments."""
    cuts = np.sort(
        np.random.default_rng(1).choice(np.arange(1, length), 12, replace=False)
    )
    many = np.searchsorted(cuts, np.arange(length), side='right') + 1
    many[many == 13] = 0
    return np.stack([many, np.arange(length) * 2 // length + 1]).astype(np.int32)


def compare(name: str, dtype: str, *, length: int) -> dict[str, Any]:
    """Outputs and gradients of an implementation against `xla`, on packed rows.

    Both stand against `xla` in float32: in bfloat16 a kernel may be twice as far from
    it as `xla` in bfloat16 is. In float32, where `xla` multiplies exactly, 1e-2 allows
    products in TensorFloat-32 or bfloat16, as accelerators make them unless told.
    """
    rng = np.random.default_rng(0)
    shape = (2, length, 12 if length == 1024 else 3, 64)  # [B, T, N, H]
    drawn = [jnp.asarray(rng.normal(size=shape), jnp.float32) for _ in range(4)]
    ids = segments(length)

    def run(implementation: str, dtype: str, *, added: np.ndarray | float = 0.0) -> Any:
        q, k, v, towards = (x.astype(dtype) for x in drawn)
        v = v + jnp.asarray(added, dtype)

        def total(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
            out = attention.attend(
                q, k, v, jnp.asarray(ids), implementation=implementation
            )
            # Padding attends to padding: what comes out there is never used.
            out = jnp.where(ids[..., None, None] > 0, out, 0)
            return (out * towards).sum(dtype=jnp.float32), out

        (_, out), grads = jax.jit(
            jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True)
        )(q, k, v)
        return [np.asarray(x, np.float32) for x in (out, *grads)]

    with jax.default_matmul_precision('highest'):
        exact = run('xla', 'float32')
    got = run(name, dtype)
    found = distances(got, exact)
    if dtype == 'float32':
        allowed = [1e-2] * 4
    else:
        allowed = [2 * each for each in distances(run('xla', dtype), exact)]
    second = (ids == 2)[..., None, None]
    other = run(name, dtype, added=np.where(second, 1.0, 0.0))[0]
    leak = float(np.abs(other - got[0])[ids != 2].max())
    return {
        'compare': name,
        'dtype': dtype,
        'length': length,
        'relative_errors': found,
        'allowed': allowed,
        'leak': leak,
        'good': leak == 0.0
        and all(a <= b for a, b in zip(found, allowed, strict=True)),
    }


def distances(found: list[np.ndarray], exact: list[np.ndarray]) -> list[float]:
    return [
        float(np.linalg.norm(a - b) / np.linalg.norm(b))
        for a, b in zip(found, exact, strict=True)
    ]


def time_step(name: str, *, batch_size: int = 8, num_steps: int = 20) -> dict[str, Any]:
    """Tokens per second of the 124M's step, and its compile time."""
    model = dataclasses.replace(_GPT2, attention=name)
    settings = schema.OptimizerConfig()
    tx = optimizer.make_optimizer(settings, num_steps=1000)
    devices = mesh.make_mesh(schema.MeshConfig())
    batch_size *= mesh.num_batch_shards(devices)
    lora = schema.LoraConfig()
    with jax.set_mesh(devices):
        blueprint = train_state.make_blueprint(
            model, lora, tx, compute_dtype='bfloat16', mesh=devices
        )
        state = train_state.create(blueprint, seed=0)
        step = train_step.make_train_step(
            blueprint,
            optimizer.schedule(settings, num_steps=1000),
            mesh=devices,
            grad_accum_steps=1,
            seed=0,
        )
        batch = make_batch(batch_size, devices)
        begun = time.monotonic()
        state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
        compiled = time.monotonic() - begun
        begun = time.monotonic()
        for _ in range(num_steps):
            state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
        seconds = (time.monotonic() - begun) / num_steps
    return {
        'time_step': name,
        'batch_size': batch_size,
        'compile_seconds': round(compiled, 2),
        'step_seconds': round(seconds, 4),
        'tokens_per_second': round(batch_size * 1024 / seconds),
        'loss': float(metrics['loss']),
    }


def make_batch(batch_size: int, devices: jax.sharding.Mesh) -> dict[str, jax.Array]:
    """Random tokens in rows of four segments of 256."""
    rng = np.random.default_rng(0)
    shape = (batch_size, 1024)
    rows = {
        'inputs': rng.integers(0, 50257, shape, np.int32),
        'targets': rng.integers(0, 50257, shape, np.int32),
        'loss_weights': np.ones(shape, np.float32),
        'segment_ids': np.broadcast_to(
            np.arange(1024, dtype=np.int32) // 256 + 1, shape
        ),
        'positions': np.broadcast_to(np.arange(1024, dtype=np.int32) % 256, shape),
    }
    assert rows.keys() == set(records.FEATURES)
    return jax.device_put(rows, mesh.batch_sharding(devices))


if __name__ == '__main__':
    sys.exit(main())
