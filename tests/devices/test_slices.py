import dataclasses

import jax
import numpy as np
import pytest

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.devices import mesh, topology


def gpus(counts: list[int]) -> list[topology.Gpu]:
    """Hosts of so many GPUs; the devices come out of order, as from jax.devices()."""
    hosts = [host for host, count in enumerate(counts) for _ in range(count)]
    found = [topology.Gpu(i, h, h, 'NVIDIA H100', '9.0') for i, h in enumerate(hosts)]
    return found[::-1]


def ids(made: jax.sharding.Mesh) -> np.ndarray:
    return np.vectorize(lambda device: device.id)(made.devices)


@pytest.mark.parametrize(
    ('shape', 'sizes'),
    [((-1, 1, 1), (16, 1, 1)), ((-1, 4, 2), (2, 4, 2)), ((4, 2, 2), (4, 2, 2))],
)
def test_data_alone_goes_from_one_host_to_another(
    shape: tuple[int, int, int], sizes: tuple[int, int, int]
) -> None:
    made = mesh.make_mesh(schema.MeshConfig(*shape), gpus([8, 8]))
    assert made.devices.shape == sizes
    assert made.axis_types == (jax.sharding.AxisType.Auto,) * 3
    # Along fsdp and tensor every device is of one host; hosts follow along data.
    assert ids(made).ravel().tolist() == list(range(16))
    assert mesh.num_slices(made) == 2


@pytest.mark.parametrize(('fsdp', 'tensor'), [(16, 1), (1, 16), (4, 4)])
def test_fsdp_or_tensor_over_hosts_is_refused_with_what_is_valid(
    fsdp: int, tensor: int
) -> None:
    with pytest.raises(errors.InputError) as caught:
        mesh.make_mesh(schema.MeshConfig(-1, fsdp, tensor), gpus([8, 8]))
    assert str(caught.value) == (
        f'mesh.fsdp={fsdp} mesh.tensor={tensor} would go from one slice to another: '
        'there are 2 slices (GPU hosts are slices) of 8 devices, and mesh.data alone '
        'may cross them. Choose fsdp * tensor from 1, 2, 4, 8, such as '
        '--config.mesh.data=-1 --config.mesh.fsdp=8 --config.mesh.tensor=1.'
    )
    # The remedy works when it is typed.
    assert mesh.make_mesh(schema.MeshConfig(-1, 8, 1), gpus([8, 8])).size == 16


def test_slices_of_other_sizes_are_refused() -> None:
    with pytest.raises(errors.InputError, match=r'the 2 slices .* have \[8, 4\] dev'):
        mesh.make_mesh(schema.MeshConfig(), gpus([8, 4]))


def test_one_slice_has_the_order_that_jax_gives_it() -> None:
    shape, devices = (2, 2, 2), gpus([8])
    made = mesh.make_mesh(schema.MeshConfig(*shape), devices)
    types = (jax.sharding.AxisType.Auto,) * 3
    assert made == jax.make_mesh(shape, mesh.AXES, axis_types=types, devices=devices)


def test_devices_without_a_slice_are_one() -> None:
    @dataclasses.dataclass(frozen=True)
    class Cpu:
        id: int
        process_index: int
        platform: str = 'cpu'
        device_kind: str = 'cpu'

    devices = [Cpu(i, i // 2) for i in range(4)]
    made = mesh.make_mesh(schema.MeshConfig(-1, 4, 1), devices)
    assert ids(made).tolist() == [[[0], [1], [2], [3]]]
