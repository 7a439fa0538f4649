"""What test_mesh.py runs in a child process on 8 virtual CPU devices.

Prints one JSON object: what each run measured, and what each mistake is told.
"""

import dataclasses
import json
import sys
from typing import Any

import jax
import numpy as np

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.devices import mesh as mesh_lib
from hax_jax.evaluation import eval_step
from hax_jax.model import naming, param_tree
from hax_jax.training import optimizer, train_step
from hax_jax.training import train_state as ts

MODEL = schema.ModelConfig(
    n_layer=2, n_head=4, n_embd=32, n_positions=16, vocab_size=64, attention='xla'
)
OPTIMIZER = schema.OptimizerConfig(learning_rate=1e-2)
NUM_STEPS, ROWS, LENGTH = 3, 8, 16


def batch(step: int, *, rows: int = ROWS) -> dict[str, np.ndarray]:
    """Two segments a row, unequal weights, a padded end."""
    rng = np.random.default_rng(step)
    ids = rng.integers(0, MODEL.vocab_size, (rows, LENGTH + 1)).astype(np.int32)
    segments = np.array([1] * 7 + [2] * 6 + [0] * 3, np.int32)
    positions = np.array([*range(7), *range(6), 0, 0, 0], np.int32)
    weights = rng.uniform(size=(rows, LENGTH)).astype(np.float32) * (segments > 0)
    return {
        'inputs': ids[:, :-1],
        'targets': ids[:, 1:],
        'loss_weights': weights,
        'segment_ids': np.tile(segments, (rows, 1)),
        'positions': np.tile(positions, (rows, 1)),
    }


def random_base() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in naming.parameter_shapes(MODEL).items()
    }


def train(
    shape: tuple[int, int, int], *, rank: int, grad_accum_steps: int, remat: str
) -> dict[str, Any]:
    if np.prod(shape) == 1:
        mesh = jax.make_mesh(
            shape,
            mesh_lib.AXES,
            axis_types=(jax.sharding.AxisType.Auto,) * 3,
            devices=jax.devices()[:1],
        )
    else:
        mesh = mesh_lib.make_mesh(schema.MeshConfig(*shape))
    targets = (*schema.LoraConfig().targets, 'lm_head')
    # Runs with adapters have dropout too, which must be one device's.
    rate = 0.1 if rank else 0.0
    lora = schema.LoraConfig(rank=rank, dora=True, targets=targets, dropout=rate)
    model = dataclasses.replace(
        MODEL, embd_pdrop=rate, resid_pdrop=rate, scan_layers=remat != 'none'
    )
    tx = optimizer.make_optimizer(OPTIMIZER, num_steps=NUM_STEPS)
    schedule = optimizer.schedule(OPTIMIZER, num_steps=NUM_STEPS)
    rows = mesh_lib.batch_sharding(mesh)
    with jax.set_mesh(mesh):
        blueprint = ts.make_blueprint(
            model, lora, tx, compute_dtype='float32', mesh=mesh, remat=remat
        )
        state = ts.create(blueprint, seed=0)
        step = train_step.make_train_step(
            blueprint, schedule, mesh=mesh, grad_accum_steps=grad_accum_steps, seed=0
        )
        seen = []
        for number in range(NUM_STEPS):
            placed = {k: param_tree.place(v, rows) for k, v in batch(number).items()}
            state, metrics = step(state, placed)
            # Several steps in flight deadlock in the CPU's collectives.
            jax.block_until_ready(state)
            seen.append({name: float(value) for name, value in metrics.items()})
        evaluated = eval_step.make_eval_step(blueprint.model, mesh=mesh)(
            state.params,
            state.frozen,
            {k: param_tree.place(v, rows) for k, v in batch(9).items()},
        )
        evaluated = np.asarray(jax.block_until_ready(evaluated['nll']))
    base = random_base()
    placed_base = ts.create(blueprint, seed=0, base=base)
    leaves = param_tree.named(placed_base.params) | param_tree.named(placed_base.frozen)
    return {
        'each_shard_is_its_part_of_the_base': all(
            np.array_equal(shard.data, array[shard.index])
            for name, array in base.items()
            for shard in leaves[name].addressable_shards
        ),
        'metrics': seen,
        'compiled': step._cache_size(),
        'nll': evaluated.tolist(),
        'params': {
            name: np.asarray(leaf).ravel().tolist()
            for name, leaf in param_tree.named(state.params).items()
        },
        'shards': {
            name: sorted({s.data.shape for s in leaf.addressable_shards})
            for name, leaf in (
                param_tree.named(state.params) | param_tree.named(state.frozen)
            ).items()
        },
        'moments': {
            name: sorted({s.data.shape for s in leaf.addressable_shards})
            for name, leaf in param_tree.named(state.opt_state).items()
        },
        'rows_held': sorted(
            {s.data.shape for s in placed['inputs'].addressable_shards}
        ),
    }


def message(shape: tuple[int, int, int], *, batch_size: int) -> str:
    """The error of a mesh, or of a batch on it; '' if both are right."""
    try:
        mesh = mesh_lib.make_mesh(schema.MeshConfig(*shape))
        mesh_lib.check_batch_size(mesh, batch_size, field='train.batch_size')
    except errors.InputError as error:
        return str(error)
    return ''


def undivided() -> list[str]:
    """What is said of two parameters, one of which a mesh of tensor=2 can't split."""
    mesh = mesh_lib.make_mesh(schema.MeshConfig(2, 2, 2))
    shapes = {'wte.embedding': (65, 32), 'wpe.embedding': (16, 32)}
    place = mesh_lib.parameter_sharding(mesh, 'wte.embedding', (65, 32))
    return [*mesh_lib.undivided(mesh, shapes), str(place.shard_shape((65, 32)))]


if __name__ == '__main__':
    spec = json.loads(sys.argv[1])
    out = {
        'runs': {
            name: train(
                tuple(shape), rank=rank, grad_accum_steps=grad_accum_steps, remat=remat
            )
            for name, (shape, rank, grad_accum_steps, remat) in spec['runs'].items()
        },
        'messages': [
            message(tuple(shape), batch_size=size) for shape, size in spec['mistakes']
        ],
        'undivided': undivided(),
    }
    json.dump(out, sys.stdout)
