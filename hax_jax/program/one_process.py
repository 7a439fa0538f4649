"""Programs that need one process, started as several: one works, the others end.

Launchers (srun, mpirun, a pod's --worker=all) start the same command in each process.
Which process this is, is read from the environment, or from the metadata of a TPU VM:
joining the others would only make them wait. This file imports no JAX.
"""

import importlib.util
import os
import pathlib
import re
import sys
import urllib.request
from collections.abc import Mapping

from hax_jax import errors

# Variables: this process's number, the number of processes, and one that is set where
# these two count.
_VARIABLES = (
    ('JAX_PROCESS_ID', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID'),
    ('JAX_PROCESS_ID', 'JAX_NUM_PROCESSES', 'JAX_NUM_PROCESSES'),
    ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_STEP_NODELIST'),
    ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_MCA_orte_hnp_uri'),
)
_METADATA_SECONDS = 10


def is_mine() -> bool:
    """Whether this process does the work; the others say that they do not.

    The process that works goes on as if it had been started alone: it takes away from
    its environment what names the others, so that neither it nor its children look for
    them. On a TPU slice of several machines it computes on the CPU, because the chips
    of a slice start only when all of its machines ask for them.

    Raises:
      InputError: the environment does not say which process this is.
    """
    program = getattr(sys.modules['__main__'].__spec__, 'name', 'this program')
    tpu = has_tpu(os.environ.get('JAX_PLATFORMS'))
    number, count = place(os.environ, tpu=tpu)
    if number:
        _say(f'{program} works in process 0 alone; this is process {number}')
        return False
    if count > 1:
        for name in ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID'):
            os.environ.pop(name, None)
        for name in {'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE'} & os.environ.keys():
            os.environ[name] = '1'
        if tpu:
            os.environ['JAX_PLATFORMS'] = 'cpu'
            _say(f'note: {program} computes on the CPU, as one machine of a TPU slice')
    return True


def may_be_several() -> bool:
    """Whether this process may have others to join, who then must hear how it ends.

    False only where nothing names others: no variable, and no TPU.
    """
    names = {'JAX_COORDINATOR_ADDRESS', *(needed for _, _, needed in _VARIABLES)}
    named = any(os.environ.get(name) for name in names)
    return named or has_tpu(os.environ.get('JAX_PLATFORMS'))


def place(environment: Mapping[str, str], *, tpu: bool) -> tuple[int, int]:
    """(this process's number, how many processes there are); (0, 1) if it is alone.

    Raises:
      InputError: a variable is no number, or a TPU VM's metadata can't be read.
    """
    for own, counter, needed in _VARIABLES:
        if environment.get(needed):
            count = _number(environment, counter)
            if own == 'JAX_PROCESS_ID' or count > 1:
                return _number(environment, own), count
    return _place_in_slices(environment) if tpu else (0, 1)


def has_tpu(platforms: str | None) -> bool:
    """Whether JAX will find a TPU: its library and its device files are here.

    `platforms` are those that JAX may use, such as 'tpu,cpu'; all if there are none.
    """
    if 'tpu' not in (platforms or 'tpu') or not importlib.util.find_spec('libtpu'):
        return False
    devices = pathlib.Path('/dev')
    return any(devices.glob('accel[0-9]*')) or any(devices.glob('vfio/[0-9]*'))


def _place_in_slices(environment: Mapping[str, str]) -> tuple[int, int]:
    """The place of a TPU VM among the workers of all slices, as JAX numbers them."""
    workers = environment.get('TPU_PROCESS_ADDRESSES') or environment.get(
        'TPU_WORKER_HOSTNAMES'
    )
    known = dict(environment)
    if workers is None:
        if 'TPU_SKIP_MDS_QUERY' in environment:
            return 0, 1
        workers = _metadata(environment, 'worker-network-endpoints')
        known['TPU_WORKER_ID'] = _metadata(environment, 'agent-worker-number')
        # Lines such as: MEGASCALE_NUM_SLICES: '2'
        said = re.findall(
            r"^(MEGASCALE_\w+): *'?(\d+)", _metadata(environment, 'tpu-env'), re.M
        )
        known = dict(said) | known
    per_slice = len(workers.split(','))
    slices = max(1, _number(known, 'MEGASCALE_NUM_SLICES', default='1'))
    which = _number(known, 'MEGASCALE_SLICE_ID', default='0')
    worker = _number(known, 'TPU_WORKER_ID', default='0')
    return worker + which * per_slice, per_slice * slices


def _metadata(environment: Mapping[str, str], key: str) -> str:
    host = environment.get('GCE_METADATA_IP', 'metadata.google.internal')
    request = urllib.request.Request(
        f'http://{host}/computeMetadata/v1/instance/attributes/{key}',
        headers={'Metadata-Flavor': 'Google'},
    )
    try:
        with urllib.request.urlopen(request, timeout=_METADATA_SECONDS) as answer:
            return answer.read().decode()
    except (OSError, ValueError) as error:
        raise errors.InputError(
            'this machine has a TPU, and its metadata do not say which of the workers '
            f'it is ({key}: {errors.cause(error)}); set TPU_SKIP_MDS_QUERY=1 if it is '
            'the only one.'
        ) from error


def _number(environment: Mapping[str, str], name: str, *, default: str = '') -> int:
    value = environment.get(name, default).strip()
    if not value.isdigit():
        raise errors.InputError(
            f'{name}={value!r} is not accepted; set it to a number from 0 on, or set '
            'none of the variables of several processes.'
        )
    return int(value)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
