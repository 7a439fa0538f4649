"""The device mesh, and the one table that places each axis of each array on it."""

import collections
import math
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.experimental import mesh_utils
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


def make_mesh(shape: schema.MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh of all devices, 1x1x1 on a laptop, or of the described `devices`.

    Over several slices (TPU slices, GPU hosts) the data axis alone goes from one to
    the next: 16 GPUs on 2 hosts as 4x4x1 have data 0 and 1 on the first host.

    Raises:
      InputError: the shape is not one of all devices, or fsdp or tensor would have to
        go from one slice to another.
    """
    devices = jax.devices() if devices is None else devices
    num_devices = len(devices)
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
    types = (AxisType.Auto,) * len(AXES)
    slices = collections.Counter(map(_slice, devices))
    if len(slices) == 1:
        return jax.make_mesh(sizes, AXES, axis_types=types, devices=devices)
    in_a_slice = _devices_in_a_slice(slices, shape)
    placed = mesh_utils.create_hybrid_device_mesh(
        (in_a_slice // rest, *sizes[1:]),
        (len(slices), 1, 1),
        devices,
        # As jax.make_mesh does: a v5e's links make a plane, not a torus.
        allow_split_physical_axes=devices[0].device_kind in ('TPU v5 lite', 'TPU v5e'),
    )
    return Mesh(placed, AXES, axis_types=types)


def _slice(device: Any) -> int:
    """The slice that a device lies in: a TPU slice, a GPU host; 0 for any CPU."""
    return getattr(device, 'slice_index', 0)


def _devices_in_a_slice(
    slices: collections.Counter[int], shape: schema.MeshConfig
) -> int:
    """The devices of each slice, which fsdp times tensor must divide."""
    counts = [slices[index] for index in sorted(slices)]
    if len(set(counts)) > 1:
        raise errors.InputError(
            f'the {len(counts)} slices (GPU hosts are slices) have {counts} devices, '
            'and a mesh needs the same number in each; start the run on equal slices.'
        )
    count, rest = counts[0], shape.fsdp * shape.tensor
    if count % rest:
        valid = [n for n in range(1, count + 1) if count % n == 0]
        raise errors.InputError(
            f'mesh.fsdp={shape.fsdp} mesh.tensor={shape.tensor} would go from one '
            f'slice to another: there are {len(counts)} slices (GPU hosts are slices) '
            f'of {count} devices, and mesh.data alone may cross them. Choose fsdp * '
            f'tensor from {", ".join(map(str, valid))}, such as --config.mesh.data=-1 '
            f'--config.mesh.fsdp={count} --config.mesh.tensor=1.'
        )
    return count


def num_slices(mesh: Mesh) -> int:
    return len({_slice(device) for device in mesh.devices.flat})


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


def num_parts(axis: str, size: int) -> int:
    """Into how many parts the mesh around us splits `size` numbers over `axis`."""
    mesh = jax.sharding.get_abstract_mesh()
    parts = 1 if mesh.empty else mesh.shape[axis]
    return parts if size % parts == 0 else 1


def constrain(x: jax.Array, *logical: str | None) -> jax.Array:
    """Pins an activation's axes inside jit by RULES; does nothing outside a mesh.

    `logical` names each axis: 'batch', 'heads', 'mlp' or None. An axis
    over which a program is written device by device (own_rows.py) is left out.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    spec = []
    for name, size in zip(logical, x.shape, strict=True):
        axis = RULES.get(name)
        names = (axis,) if isinstance(axis, str) else axis or ()
        names = tuple(a for a in names if a not in mesh.manual_axes)
        shards = math.prod(mesh.shape[a] for a in names)
        spec.append(names if names and size % shards == 0 else None)
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*spec))
