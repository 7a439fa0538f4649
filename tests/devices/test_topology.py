import importlib.util
import json

import jax
import programs
import pytest

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.devices import mesh, topology

HAS_LIBTPU = importlib.util.find_spec('libtpu') is not None
NEEDS_LIBTPU = pytest.mark.skipif(
    not HAS_LIBTPU, reason='TPU slices are described by libtpu: not installed'
)


@pytest.fixture(autouse=True)
def platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """`find` leaves JAX the CPU alone, which is all that tests have."""
    before = jax.config.jax_platforms
    yield
    jax.config.update('jax_platforms', before)


def test_gpus_are_described_with_their_hosts() -> None:
    found = topology.find('h100x16')
    assert [d.slice_index for d in found.devices] == [0] * 8 + [1] * 8
    assert (found.platform, found.compiles) == ('gpu', False)
    # 75% of 80 GB; 16 times 989.4 TFLOP/s.
    assert (found.memory_bytes, found.peak_flops) == (60 * 10**9, 16 * 989.4e12)
    made = mesh.make_mesh(schema.MeshConfig(-1, 8, 1), found.devices)
    assert made.devices.shape == (2, 8, 1)
    assert topology.find('a100-40gbx8').memory_bytes == 30 * 10**9


@pytest.mark.parametrize(
    'name',
    [
        '',
        'v5e',
        'v5e:4',
        'v5e:2x2x2',
        'v5p:4x4',
        'v9:2x2',
        'v5e:0x4',
        '0xv5e:2x2',
        'h100',
        'h100x0',
        'x8',
        'b900x8',
        'h100x8x8',
        '2xh100x8',
        ' v5e:2x4',
    ],
)
def test_an_unknown_machine_is_refused_with_what_is_known(name: str) -> None:
    with pytest.raises(errors.InputError) as caught:
        topology.find(name)
    assert f'--topology={name}' in str(caught.value).replace("'", '')
    if name != 'h100x0':
        assert 'such as v5e:4x4 or v5p:2x2x1' in str(caught.value)
        assert 'such as h100x8, or h100x16 for 2 hosts' in str(caught.value)


def test_gpus_that_fill_no_hosts_are_refused() -> None:
    with pytest.raises(errors.InputError, match='h100x12 has 12 GPUs; use 1 to 8, or'):
        topology.find('h100x12')


def test_without_libtpu_its_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology.importlib.util, 'find_spec', lambda _: None)
    with pytest.raises(errors.InputError) as caught:
        topology.find('v5e:4x4')
    # Of the metadata of the jax that is installed: jax[tpu] asks for it.
    assert "pip install 'libtpu==0." in str(caught.value)
    assert '.*' in str(caught.value)


SLICES = """
import json
from hax_jax.config import schema
from hax_jax.devices import mesh, topology
found = topology.find('2xv5e:2x4')
made = mesh.make_mesh(schema.MeshConfig(-1, 4, 2), found.devices)
try:
    mesh.make_mesh(schema.MeshConfig(-1, 16, 1), found.devices)
except Exception as error:
    told = str(error)
print(json.dumps({
    'shape': made.devices.shape,
    'slices': [[d.slice_index for d in each.flat] for each in made.devices],
    'different': len({d.id for d in made.devices.flat}),
    'told': told,
    'others': [
        [t.device_kind, len(t.devices)]
        for t in map(topology.find, ('v4:2x2x1', 'v5e:1x1', 'v5p:2x2x1', 'v6e:2x4'))
    ],
}))
"""


@NEEDS_LIBTPU
def test_slices_of_tpus_are_meshes_with_data_across() -> None:
    done = programs.run('-c', SLICES)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found['shape'] == [2, 4, 2]
    assert found['slices'] == [[0] * 8, [1] * 8]
    assert found['different'] == 16
    assert 'there are 2 slices (GPU hosts are slices) of 8 devices' in found['told']
    assert found['others'] == [
        ['TPU v4', 4],
        ['TPU v5 lite', 1],
        ['TPU v5', 4],
        ['TPU v6 lite', 8],
    ]
    assert done.stderr == ''


@NEEDS_LIBTPU
def test_a_shape_that_libtpu_refuses_is_told_in_one_line() -> None:
    code = "from hax_jax.devices import topology\ntopology.find('v5e:3x5')"
    done = programs.run('-c', code)
    last = done.stderr.strip().splitlines()[-1]
    assert '--topology=v5e:3x5 is not accepted by libtpu (INVALID_ARGUMENT' in last
