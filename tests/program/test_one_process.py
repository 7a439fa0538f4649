"""Which of several processes this one is, and what the one that works forgets."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from hax_jax import errors
from hax_jax.devices import runtime
from hax_jax.program import one_process

_SLURM = {'SLURM_STEP_NODELIST': 'n[0-1]', 'SLURM_NTASKS': '8', 'SLURM_PROCID': '3'}
_MPI = {
    'OMPI_MCA_orte_hnp_uri': 'a',
    'OMPI_COMM_WORLD_SIZE': '4',
    'OMPI_COMM_WORLD_RANK': '2',
}
_TOLD = {
    'JAX_COORDINATOR_ADDRESS': 'a:1',
    'JAX_NUM_PROCESSES': '2',
    'JAX_PROCESS_ID': '1',
}


@pytest.mark.parametrize(
    ('environment', 'tpu', 'place'),
    [
        ({}, False, (0, 1)),
        (_TOLD, False, (1, 2)),
        (_SLURM, False, (3, 8)),
        (_SLURM | _TOLD, True, (1, 2)),
        # Set by salloc, and in a step of one task.
        ({'SLURM_NTASKS': '8', 'SLURM_PROCID': '0'}, False, (0, 1)),
        (_SLURM | {'SLURM_NTASKS': '1', 'SLURM_PROCID': '0'}, False, (0, 1)),
        (_MPI, False, (2, 4)),
        ({'TPU_WORKER_HOSTNAMES': 'localhost', 'TPU_WORKER_ID': '0'}, True, (0, 1)),
        ({'TPU_WORKER_HOSTNAMES': 'a,b,c', 'TPU_WORKER_ID': '2'}, True, (2, 3)),
        ({'TPU_WORKER_HOSTNAMES': 'a,b,c', 'TPU_WORKER_ID': '2'}, False, (0, 1)),
        (
            {
                'TPU_WORKER_HOSTNAMES': 'a,b',
                'TPU_WORKER_ID': '0',
                'MEGASCALE_NUM_SLICES': '2',
                'MEGASCALE_SLICE_ID': '1',
            },
            True,
            (2, 4),
        ),
        ({'TPU_SKIP_MDS_QUERY': '1'}, True, (0, 1)),
    ],
)
def test_the_environment_says_which_process_this_is(
    environment: dict[str, str], tpu: bool, place: tuple[int, int]
) -> None:
    assert one_process.place(environment, tpu=tpu) == place


def test_half_a_set_of_variables_is_refused() -> None:
    for name in ('JAX_NUM_PROCESSES', 'JAX_PROCESS_ID'):
        with pytest.raises(errors.InputError, match=f"{name}='' is not accepted"):
            one_process.place({**_TOLD, name: ''}, tpu=False)


@pytest.fixture
def metadata() -> Iterator[tuple[dict[str, str], str]]:
    """A TPU VM's metadata: attribute -> its text, and the server's address."""
    attributes: dict[str, str] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            key = self.path.removeprefix('/computeMetadata/v1/instance/attributes/')
            known = key in attributes and self.headers['Metadata-Flavor'] == 'Google'
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(attributes.get(key, '').encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield attributes, f'127.0.0.1:{server.server_port}'
        server.shutdown()


def test_a_tpu_vm_asks_its_metadata(metadata: tuple[dict[str, str], str]) -> None:
    attributes, address = metadata
    environment = {'GCE_METADATA_IP': address}
    with pytest.raises(errors.InputError, match='TPU_SKIP_MDS_QUERY=1 if it is the o'):
        one_process.place(environment, tpu=True)
    attributes |= {
        'worker-network-endpoints': 'u:0:10.0.0.2,u:1:10.0.0.3',
        'agent-worker-number': '1',
        'tpu-env': "ACCELERATOR_TYPE: 'v4-16'\nZONE: 'us'\n",
    }
    assert one_process.place(environment, tpu=True) == (1, 2)
    attributes['tpu-env'] += "MEGASCALE_NUM_SLICES: '4'\nMEGASCALE_SLICE_ID: '3'\n"
    assert one_process.place(environment, tpu=True) == (7, 8)


@pytest.mark.parametrize('environment', [_TOLD, _SLURM, _MPI])
def test_the_first_process_goes_on_as_if_it_were_alone(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = one_process.os.environ
    for name in list(own):
        if name.startswith(('JAX_C', 'JAX_N', 'JAX_PROCESS', 'SLURM', 'OMPI')):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert runtime.multihost_reason(own, tpu=False)
    assert not one_process.is_mine()
    assert 'works in process 0 alone; this is process' in capsys.readouterr().err
    for name in ('JAX_PROCESS_ID', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        if name in environment:
            monkeypatch.setenv(name, '0')
    assert one_process.is_mine()
    assert runtime.multihost_reason(own, tpu=False) == ''
    assert capsys.readouterr().err == ''


def test_one_machine_of_a_tpu_slice_computes_on_its_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(one_process, 'has_tpu', lambda _: True)
    monkeypatch.setenv('TPU_WORKER_HOSTNAMES', 'a,b')
    monkeypatch.setenv('TPU_WORKER_ID', '0')
    monkeypatch.setenv('JAX_PLATFORMS', '')
    assert one_process.is_mine()
    assert one_process.os.environ['JAX_PLATFORMS'] == 'cpu'
    assert 'computes on the CPU, as one machine of a TPU' in capsys.readouterr().err
