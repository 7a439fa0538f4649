"""Meshes x features: the largest difference to one device after 3 steps of training.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 JAX_PLATFORMS=cpu \
        PYTHONPATH=.:tests python tests/mesh_features.py

prints a table, in float32: the largest difference of a loss, and of a parameter as a
share of the learning rate, which is about what a step moves each parameter by.
tests/devices/test_mesh.py holds its most telling rows.
"""

import dataclasses

import jax
import mesh_child
import numpy as np

from hax_jax.config import schema
from hax_jax.devices import mesh as mesh_lib
from hax_jax.model import param_tree
from hax_jax.training import optimizer, train_step
from hax_jax.training import train_state as ts

MESHES = [(8, 1, 1), (1, 8, 1), (1, 1, 4), (2, 2, 2), (4, 2, 1), (1, 4, 2)]
LORA = schema.LoraConfig(rank=2)


@dataclasses.dataclass(frozen=True)
class Feature:
    model: schema.ModelConfig = mesh_child.MODEL
    lora: schema.LoraConfig = dataclasses.field(default_factory=schema.LoraConfig)
    grad_accum_steps: int = 1
    remat: str = 'none'


def _model(**changes: object) -> schema.ModelConfig:
    return dataclasses.replace(mesh_child.MODEL, **changes)


def _lora(**changes: object) -> schema.LoraConfig:
    return dataclasses.replace(LORA, **changes)


FEATURES = {
    'full': Feature(_model()),
    'LoRA': Feature(_model(), LORA),
    'LoRA, dropout 0.1': Feature(_model(), _lora(dropout=0.1)),
    'DoRA': Feature(_model(), _lora(dora=True)),
    'LoRA and head': Feature(_model(), _lora(targets=(*LORA.targets, 'lm_head'))),
    '2 microbatches': Feature(_model(), grad_accum_steps=2),
    'scan': Feature(_model(scan_layers=True)),
    'scan, remat': Feature(_model(scan_layers=True), remat='block'),
    'padded vocabulary': Feature(_model(vocab_size=61, pad_vocab_to_multiple_of=16)),
    'undivided vocabulary': Feature(_model(vocab_size=61)),
}


def trained(
    feature: Feature, shape: tuple[int, int, int]
) -> tuple[list[float], dict[str, np.ndarray]]:
    """The losses of the steps, and the parameters after them."""
    devices = jax.devices()[: int(np.prod(shape))]
    mesh = mesh_lib.make_mesh(schema.MeshConfig(*shape), devices)
    tx = optimizer.make_optimizer(mesh_child.OPTIMIZER, num_steps=mesh_child.NUM_STEPS)
    schedule = optimizer.schedule(mesh_child.OPTIMIZER, num_steps=mesh_child.NUM_STEPS)
    rows = mesh_lib.batch_sharding(mesh)
    losses = []
    with jax.set_mesh(mesh):
        blueprint = ts.make_blueprint(
            feature.model,
            feature.lora,
            tx,
            compute_dtype='float32',
            mesh=mesh,
            remat=feature.remat,
        )
        state = ts.create(blueprint, seed=0)
        step = train_step.make_train_step(
            blueprint,
            schedule,
            mesh=mesh,
            grad_accum_steps=feature.grad_accum_steps,
            seed=0,
        )
        for number in range(mesh_child.NUM_STEPS):
            batch = mesh_child.batch(number, rows=8 * feature.grad_accum_steps)
            for name in ('inputs', 'targets'):
                batch[name] = batch[name] % feature.model.vocab_size
            placed = {k: param_tree.place(v, rows) for k, v in batch.items()}
            state, metrics = step(state, placed)
            jax.block_until_ready(state)
            losses.append(float(metrics['loss']))
    named = param_tree.named(state.params)
    return losses, {name: np.asarray(leaf) for name, leaf in named.items()}


def main() -> None:
    meshes = ['x'.join(map(str, shape)) for shape in MESHES]
    print(f'| | {" | ".join(meshes)} |')
    print(f'|---{"|---" * len(meshes)}|')
    rate = mesh_child.OPTIMIZER.learning_rate
    for name, feature in FEATURES.items():
        losses, parameters = trained(feature, (1, 1, 1))
        cells = []
        for shape in MESHES:
            other_losses, other = trained(feature, shape)
            loss = np.abs(np.subtract(losses, other_losses)).max()
            moved = max(np.abs(parameters[n] - other[n]).max() for n in parameters)
            cells.append(f'{loss:.0e}, {moved / rate:.0e}')
        print(f'| {name} | {" | ".join(cells)} |', flush=True)


if __name__ == '__main__':
    main()
