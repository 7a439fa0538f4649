"""The device mesh, and the one table that places each axis of each array on it."""

import math
import re

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from hax_jax import errors
from hax_jax.config import schema

AXES = ('data', 'fsdp', 'tensor')
BATCH = ('data', 'fsdp')  # a batch's rows are spread over both

# Logical axis -> mesh axis. Other axes are whole on every device.
RULES = {
    'batch': BATCH,
    'vocab': 'tensor',
    'embed': 'fsdp',
    'heads': 'tensor',
    'mlp': 'tensor',
}

# Parameter path -> the logical axis of each dimension; the first match counts. A LoRA
# pair A [in, r], B [r, out] is placed as the kernel [in, out] that it adapts.
PARAMETERS = (
    (r'(wte|lm_head)\.embedding$', ('vocab', 'embed')),
    (r'wpe\.embedding$', (None, 'embed')),
    (r'c_attn\.kernel$', ('embed', 'heads')),
    (r'attn\.c_proj\.kernel$', ('heads', 'embed')),
    (r'c_fc\.kernel$', ('embed', 'mlp')),
    (r'mlp\.c_proj\.kernel$', ('mlp', 'embed')),
    (r'lm_head\.lora_a$', ('embed', None)),
    (r'lm_head\.lora_b$', (None, 'vocab')),
    (r'c_attn\.lora_a$', ('embed', None)),
    (r'c_attn\.lora_b$', (None, 'heads')),
    (r'attn\.c_proj\.lora_a$', ('heads', None)),
    (r'attn\.c_proj\.lora_b$', (None, 'embed')),
    (r'c_fc\.lora_a$', ('embed', None)),
    (r'c_fc\.lora_b$', (None, 'mlp')),
    (r'mlp\.c_proj\.lora_a$', ('mlp', None)),
    (r'mlp\.c_proj\.lora_b$', (None, 'embed')),
    (r'', ()),  # biases, norms, counts: whole on every device
)


def make_mesh(shape: schema.MeshConfig) -> Mesh:
    """The mesh of all devices, 1x1x1 on a laptop.

    Raises:
      InputError: the shape is not one of all devices.
    """
    num_devices = jax.device_count()
    rest = shape.fsdp * shape.tensor
    data = num_devices // rest if shape.data == -1 else shape.data
    if data * rest != num_devices:
        raise errors.InputError(
            f'mesh.data={shape.data} mesh.fsdp={shape.fsdp} mesh.tensor={shape.tensor} '
            f'do not use up the {num_devices} devices; their product must be '
            f'{num_devices} (data=-1 takes what fsdp and tensor leave).'
        )
    sizes = (data, shape.fsdp, shape.tensor)
    # jax 0.10's default is Explicit axes; the model's code is written for Auto.
    return jax.make_mesh(sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def num_batch_shards(mesh: Mesh) -> int:
    return mesh.shape['data'] * mesh.shape['fsdp']


def check_batch_size(mesh: Mesh, batch_size: int, *, field: str) -> None:
    """Raises InputError if `batch_size` rows can't be spread evenly."""
    shards = num_batch_shards(mesh)
    if batch_size % shards:
        raise errors.InputError(
            f'{field}={batch_size} is not divisible by data*fsdp={shards}, the devices '
            f'that share the rows; use a multiple of {shards}.'
        )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows spread over the data and fsdp axes: [B, ...]."""
    return NamedSharding(mesh, PartitionSpec(BATCH))


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def parameter_sharding(mesh: Mesh, path: str, shape: tuple[int, ...]) -> NamedSharding:
    """The sharding of the parameter at a dotted path.

    A dimension that its mesh axis does not divide stays whole (`undivided` lists them).
    """
    axes = _mesh_axes(path)
    spec = [
        axis if axis and size % mesh.shape[axis] == 0 else None
        for axis, size in zip(axes, shape, strict=False)
    ]
    return NamedSharding(mesh, PartitionSpec(*spec))


def undivided(mesh: Mesh, shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Each parameter dimension that its mesh axis does not divide, in words."""
    return [
        f'{path} {shape}: {size} is not divisible by {axis}={mesh.shape[axis]}'
        for path, shape in shapes.items()
        for axis, size in zip(_mesh_axes(path), shape, strict=False)
        if axis and size % mesh.shape[axis]
    ]


def _mesh_axes(path: str) -> list[str | None]:
    for pattern, logical in PARAMETERS:
        if re.search(pattern, path):
            return [RULES.get(name) for name in logical]
    raise AssertionError('the last pattern matches every path')


def constrain(x: jax.Array, *logical: str | None) -> jax.Array:
    """Pins an activation's axes inside jit by RULES; does nothing outside a mesh.

    `logical` names each axis: 'batch', 'heads', 'mlp' or None.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    spec = []
    for name, size in zip(logical, x.shape, strict=True):
        axis = RULES.get(name)
        names = (axis,) if isinstance(axis, str) else axis or ()
        shards = math.prod(mesh.shape[a] for a in names)
        spec.append(axis if axis and size % shards == 0 else None)
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*spec))
