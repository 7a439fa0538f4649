"""On a machine with an accelerator: is its attention right, and how fast is a step?

    python tests/accelerator_check.py

One call, no data, no TensorFlow. It compares the fused attention of this backend with
`xla` on packed rows (law 2: equal outputs and gradients, no leak from a segment), then
times the 124M's train step in bfloat16 at 8 x 1024 with each implementation that runs,
and prints one JSON line each. Exits with 1 if a comparison fails.
"""

import dataclasses
import json
import pathlib
import sys
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
import numpy as np

from hax_jax.config import schema
from hax_jax.data import records
from hax_jax.devices import mesh, runtime
from hax_jax.model import attention
from hax_jax.training import optimizer, train_state, train_step

_FUSED = {'gpu': 'cudnn', 'tpu': 'splash'}
_GPT2 = schema.ModelConfig(
    n_layer=12, n_head=12, n_embd=768, n_positions=1024, vocab_size=50257
)


def main() -> int:
    runtime.start()
    names = ['xla', 'blockwise']
    if jax.default_backend() in _FUSED:
        names.append(_FUSED[jax.default_backend()])
    print(json.dumps({'environment': runtime.environment()}), flush=True)
    good = all([compare(name) for name in names[1:]])
    for name in names:
        print(json.dumps(time_step(name)), flush=True)
    return 0 if good else 1


def compare(name: str) -> bool:
    """Outputs and gradients of an implementation against `xla`, on packed rows."""
    rng = np.random.default_rng(0)
    shape = (2, 1024, 12, 64)  # [B, T, N, H]
    q, k, v, g = (jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for _ in range(4))
    segments = jnp.asarray(np.repeat([[1, 2, 3, 0], [1, 1, 2, 2]], 256, axis=1))

    def run(implementation: str, v: jax.Array) -> Any:
        def total(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
            out = attention.attend(
                q,
                k,
                v,
                q_segment_ids=segments,
                kv_segment_ids=segments,
                implementation=implementation,
            )
            # Padding attends to padding: what comes out there is never used.
            out = jnp.where(segments[..., None, None] > 0, out, 0)
            return (out * g).sum(dtype=jnp.float32), out

        (_, out), grads = jax.jit(
            jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True)
        )(q, k, v)
        return [np.asarray(x, np.float32) for x in (out, *grads)]

    wanted, got = run('xla', v), run(name, v)
    errors = [
        float(np.linalg.norm(a - b) / np.linalg.norm(b))
        for a, b in zip(got, wanted, strict=True)
    ]
    other = run(name, v.at[:, 256:512].add(1.0))[0]  # segment 2 of the first row
    leak = float(np.abs(other - got[0])[0, :256].max())
    good = max(errors) < 0.02 and leak == 0.0  # bfloat16 has 8 bits: 0.4% a value
    row = {'compare': name, 'relative_errors': errors, 'leak': leak, 'good': good}
    print(json.dumps(row), flush=True)
    return good


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
