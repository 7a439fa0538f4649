"""Devices that are described instead of asked for: a run planned for another machine.

A TPU slice's compiler runs on any host with libtpu; GPUs are described by their sizes.
"""

import dataclasses
import importlib.metadata
import importlib.util
import math
import os
import re
from typing import Any

import jax

from hax_jax import errors
from hax_jax.devices import peaks

_GIB, _GB = 2**30, 10**9


@dataclasses.dataclass(frozen=True)
class _Chip:
    kind: str  # as JAX names it
    memory_bytes: int
    dims: int = 0  # of a TPU's slice; a GPU has none
    options: tuple[tuple[str, Any], ...] = ()
    compute_capability: str | None = None  # of a GPU


# A TPU's memory is what its compiler gives a program ("available HBM (15.75G)", libtpu
# 0.0.42.1); cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e} name 32, 16, 95 and 32 GB.
_TPUS = {
    'v4': _Chip(
        'TPU v4', int(30.75 * _GIB), 3, (('chip_config_name', 'megacore'),)
    ),  # one device a chip, as on the machine
    'v5e': _Chip('TPU v5 lite', int(15.75 * _GIB), 2),
    'v5p': _Chip('TPU v5', int(95.74 * _GIB), 3),
    'v6e': _Chip('TPU v6 lite', int(31.25 * _GIB), 2),
}
# Sources: NVIDIA's data sheets of A100, H100, H200 and L4;
# developer.nvidia.com/cuda-gpus for the compute capability.
_GPUS = {
    'a100': _Chip('NVIDIA A100-SXM4-80GB', 80 * _GB, compute_capability='8.0'),
    'a100-40gb': _Chip('NVIDIA A100-SXM4-40GB', 40 * _GB, compute_capability='8.0'),
    'h100': _Chip('NVIDIA H100 80GB HBM3', 80 * _GB, compute_capability='9.0'),
    'h200': _Chip('NVIDIA H200', 141 * _GB, compute_capability='9.0'),
    'l4': _Chip('NVIDIA L4', 24 * _GB, compute_capability='8.9'),
}
_GPUS_A_HOST = 8
# JAX takes this share of a GPU: XLA_PYTHON_CLIENT_MEM_FRACTION,
# docs.jax.dev/en/latest/gpu_memory_allocation.html.
_GPU_SHARE = 0.75
_OF_GPU = f'{_GPU_SHARE:.0%} of it, as JAX takes'
_OF_TPU = 'by its compiler'
# libtpu asks the machine for these, and Google's metadata server for minutes. Those of
# a machine that has a TPU are not the described one's.
_NO_TPU_HERE = {
    'TPU_SKIP_MDS_QUERY': '1',
    'TPU_ACCELERATOR_TYPE': 'v5litepod-8',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_WORKER_ID': '0',
    # Nothing runs, so it may be loaded beside a program that uses a TPU here.
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
    # Its log's warnings, among them what xla_log.py looks for.
    'TPU_MIN_LOG_LEVEL': '1',
    'TPU_STDERR_LOG_LEVEL': '1',
}


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU that is not here. Has what a mesh and its shardings ask of a device."""

    id: int
    process_index: int
    slice_index: int
    device_kind: str
    compute_capability: str | None
    platform: str = 'gpu'


@dataclasses.dataclass(frozen=True)
class Topology:
    """Described devices. `memory_bytes` are those that a program can have on each.

    `compiles` says that a program can be compiled for them here.
    """

    name: str
    devices: tuple[Any, ...]
    memory_bytes: int
    share: str  # of the device's memory, in words
    compiles: bool

    @property
    def platform(self) -> str:
        return self.devices[0].platform

    @property
    def device_kind(self) -> str:
        return self.devices[0].device_kind

    @property
    def peak_flops(self) -> float:
        """Of all devices together."""
        return peaks.peak_flops(self.device_kind) * len(self.devices)


def find(name: str) -> Topology:
    """The devices of a name such as 'v5e:4x4', '2xv5e:4x4' (two slices) or 'h100x8'.

    Asks no device for anything; of JAX's backends only the CPU's may start afterwards.

    Raises:
      InputError: no such machine is known; or it is a TPU's and libtpu is not installed
        or refuses its shape.
    """
    tpu = re.fullmatch(r'(?:(\d+)x)?(v\d\w*):(\d+(?:x\d+)+)', name)
    gpu = re.fullmatch(r'([a-z]\w*?(?:-\w+)?)x(\d+)', name)
    if tpu and tpu[2] in _TPUS:
        sizes = tuple(int(size) for size in tpu[3].split('x'))
        return _tpu(name, _TPUS[tpu[2]], f'{tpu[2]}:{tpu[3]}', sizes, int(tpu[1] or 1))
    if gpu and gpu[1] in _GPUS:
        return _gpu(name, _GPUS[gpu[1]], int(gpu[2]))
    raise _unknown(name)


def _tpu(
    name: str, chip: _Chip, layout: str, sizes: tuple[int, ...], num_slices: int
) -> Topology:
    if len(sizes) != chip.dims or not math.prod(sizes) or not num_slices:
        raise _unknown(name)
    if importlib.util.find_spec('libtpu') is None:
        raise errors.InputError(
            f'--topology={name} is compiled by libtpu, which is not installed; give '
            f"pip install '{_libtpu()}' (it needs no TPU), or plan for GPUs, such as "
            '--topology=h100x8.'
        )
    os.environ.update(_NO_TPU_HERE)
    jax.config.update('jax_platforms', 'cpu')
    from jax.experimental import topologies

    options = dict(chip.options)
    if math.prod(sizes) == 1:
        options['chips_per_host_bounds'] = (1, 1, 1)  # else 2x2 chips
    if num_slices > 1:
        options['num_slices'] = num_slices
    try:
        described = topologies.get_topology_desc(layout, 'tpu', **options)
    except Exception as error:  # jaxlib's own type, for any reason
        said = ' '.join(str(error).split())[:200]
        raise errors.InputError(
            f'--topology={name} is not accepted by libtpu ({said}). {_forms()}'
        ) from error
    return Topology(
        name, tuple(described.devices), chip.memory_bytes, _OF_TPU, compiles=True
    )


def _gpu(name: str, chip: _Chip, count: int) -> Topology:
    if not count or (count > _GPUS_A_HOST and count % _GPUS_A_HOST):
        raise errors.InputError(
            f'--topology={name} has {count} GPUs; use 1 to {_GPUS_A_HOST}, or a '
            f'multiple of {_GPUS_A_HOST}, which are hosts of {_GPUS_A_HOST}.'
        )
    jax.config.update('jax_platforms', 'cpu')
    hosts = [i // _GPUS_A_HOST for i in range(count)]
    devices = tuple(
        Gpu(i, host, host, chip.kind, chip.compute_capability)
        for i, host in enumerate(hosts)
    )
    memory = int(_GPU_SHARE * chip.memory_bytes)
    return Topology(name, devices, memory, _OF_GPU, compiles=False)


def _libtpu() -> str:
    """The libtpu that this jax asks for: 'libtpu==0.0.42.*'."""
    for line in importlib.metadata.requires('jax') or []:
        requirement, _, marker = line.partition(';')
        if requirement.startswith('libtpu') and 'tpu' in marker:
            return requirement.strip()
    return 'libtpu'


def _unknown(name: str) -> errors.InputError:
    return errors.InputError(f'--topology={name!r} is no known machine. {_forms()}')


def _forms() -> str:
    tpus = ', '.join(
        f'{name}:{"x".join("ABC"[: chip.dims])}' for name, chip in _TPUS.items()
    )
    return (
        f'Use a TPU slice ({tpus}), such as v5e:4x4 or v5p:2x2x1; N slices, such as '
        '2xv5e:4x4; or N GPUs of one kind '
        f'({", ".join(_GPUS)}), such as h100x8, or h100x16 for 2 hosts.'
    )
