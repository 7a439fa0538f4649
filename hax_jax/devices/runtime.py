"""Settings to make before JAX's backend starts; programs call `start` first.

Importing JAX starts no backend; the first array does, or the first question about
devices. allocator.py makes its settings earlier still.
"""

import contextlib
import functools
import glob
import hashlib
import logging
import os
import pathlib
import platform
import re
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jaxlib

from hax_jax import errors
from hax_jax.devices import joining, peers, same_run, slurm, xla_log
from hax_jax.program import one_process

_TRIED = ('0.10.2', '0.11.0', '0.11.1', '0.11.2')
# XLA flag -> the jaxlib versions that it was tried on. It is left out with others: an
# unknown flag aborts the process.
_XLA_FLAGS = {
    # On two CPU cores a step takes 1.13 to 1.18 times less time, and a quarter less
    # temporary memory. Other platforms know the flags and have no use for them.
    '--xla_cpu_enable_concurrency_optimized_scheduler=false': _TRIED,
    # Without it each step copies the donated state, 1.5 GB of the 124M with moments.
    '--xla_cpu_copy_insertion_use_region_analysis=true': _TRIED,
}
_QUIET = {
    'TF_CPP_MIN_LOG_LEVEL': '2',  # XLA and TensorFlow log errors alone
    'GRPC_VERBOSITY': 'ERROR',
    'TF_ENABLE_ONEDNN_OPTS': '0',  # else TensorFlow logs that it uses it
    'TRANSFORMERS_VERBOSITY': 'error',
    'TRANSFORMERS_NO_ADVISORY_WARNINGS': '1',  # of a missing PyTorch
}
_CACHE_BYTES = 2**30  # the least recently used programs are removed first
_CACHED_FROM_SECONDS = 0.05  # programs that compile faster are not kept
_PROGRAM = '-cache'  # ends the file of a compiled program
_WRITTEN_SECONDS = 60  # after which no process still writes an entry
_CACHE_WARNING = re.compile(
    r'Error (?P<done>reading|writing) persistent compilation cache entry for '
    r"'(?P<program>[^']+)': (?P<why>.*)",
    re.DOTALL,
)


def start(*, alone: bool = False) -> None:
    """Sets up JAX: XLA flags, quiet logs, the compilation cache, other hosts.

    A process that is `alone` joins no others, whatever the environment says.

    Keeps all settings that the user made in the environment. A second call changes
    nothing.

    Raises:
      InputError: the other processes of the run can't be joined, or run another
        program, code, packages or settings of XLA and JAX; or JAX computes in 64 bits.
    """
    if jax.config.jax_enable_x64:
        raise errors.InputError(
            'JAX_ENABLE_X64 is set, and models here compute in float32 or bfloat16; '
            'unset it (unset JAX_ENABLE_X64).'
        )
    xla_log.check_flags(os.environ.get('XLA_FLAGS', ''))
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if os.environ.get('JAX_PLATFORMS') == 'cpu':  # perhaps since JAX was imported
        jax.config.update('jax_platforms', 'cpu')
    tpu = one_process.has_tpu(jax.config.jax_platforms)
    if not tpu:  # a TPU's own compiler reads XLA_FLAGS as well
        given = os.environ.get('XLA_FLAGS', '')
        os.environ['XLA_FLAGS'] = xla_flags(given, jaxlib.__version__)
    _use_compilation_cache()
    if alone or peers.have_joined():
        return
    reason = multihost_reason(os.environ, tpu=tpu)
    if reason or jax.distributed.is_initialized():  # by the user's own program
        local = slurm.local_devices(os.environ)
        if local:
            print(local.in_words, file=sys.stderr, flush=True)
        peers.join(reason, local.ids if local else None)
        same_run.check_environment()


def xla_flags(given: str, jaxlib_version: str) -> str:
    """XLA_FLAGS: those `given`, then those of ours that they do not set.

    '--xla_a=1' with 0.10.2 -> '--xla_a=1 --xla_cpu_enable_…=false'
    """
    if given.strip() and not given.lstrip().startswith('-'):
        return given  # the name of a file of flags
    names = {flag.split('=')[0] for flag in given.split()}
    ours = [
        flag
        for flag, versions in _XLA_FLAGS.items()
        if jaxlib_version in versions and flag.split('=')[0] not in names
    ]
    return ' '.join([*given.split(), *ours])


def cache_folder(
    environment: Mapping[str, str], *, home: pathlib.Path, cpu: str
) -> pathlib.Path:
    """The user's folder of compiled programs for machines with this `cpu`.

    Each kind of CPU has a folder: machines share home folders, and a program that was
    compiled on one CPU may use instructions that another lacks.
    """
    base = pathlib.Path(environment.get('XDG_CACHE_HOME', ''))
    if not base.is_absolute():  # the XDG rules ignore an empty or a relative path
        base = home / '.cache'
    return base / 'hax_jax' / 'compiled' / _digest(cpu)


def multihost_reason(environment: Mapping[str, str], *, tpu: bool) -> str:
    """Who says that this process is one of several; '' if it is alone.

    'told' by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID; 'SLURM'
    (slurm.py); 'Open MPI'; or 'TPU', where the machine asks its pod.
    """

    def several(name: str) -> bool:
        return environment.get(name, '1') not in ('', '0', '1')

    if any(environment.get(name) for name in joining.VARIABLES):
        return 'told'
    # SLURM_NTASKS alone is set in an allocation too; a step that srun began has more.
    if several('SLURM_NTASKS') and 'SLURM_STEP_NODELIST' in environment:
        return 'SLURM'
    if several('OMPI_COMM_WORLD_SIZE') and 'OMPI_MCA_orte_hnp_uri' in environment:
        return 'Open MPI'
    if not tpu:
        return ''
    if several('MEGASCALE_NUM_SLICES'):
        return 'TPU'
    for name in ('TPU_PROCESS_ADDRESSES', 'TPU_WORKER_HOSTNAMES'):
        if environment.get(name):
            return 'TPU' if ',' in environment[name] else ''
    # Else JAX asks the machine's metadata; this variable says that there are none.
    return '' if 'TPU_SKIP_MDS_QUERY' in environment else 'TPU'


def environment() -> dict[str, Any]:
    """The devices and versions that this process computes with; starts the backend.

    Values are JSON's. Equal environments give bit-equal runs.
    """
    device = jax.devices()[0]
    return {
        'jax': jax.__version__,
        'jaxlib': jaxlib.__version__,
        'platform': device.platform,
        'device_kind': _cpu_kind() if device.platform == 'cpu' else device.device_kind,
        'num_devices': jax.device_count(),
        'num_processes': jax.process_count(),
        'cpu_cores': _num_cores(),
        'xla_flags': sorted(os.environ.get('XLA_FLAGS', '').split()),
    }


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The differences between two environments, a line each.

    {'jaxlib': '0.10.2'}, {'jaxlib': '0.11.0'} -> ["jaxlib was '0.10.2', is '0.11.0'"].
    Ignores the number of CPU cores where another device computes.
    """
    lines = []
    for name in then | now:
        if name == 'cpu_cores' and 'cpu' not in (then.get('platform'), now['platform']):
            continue
        was = repr(then[name]) if name in then else 'not recorded'
        is_now = repr(now[name]) if name in now else 'not recorded'
        if was != is_now:
            lines.append(f'{name} was {was}, is {is_now}')
    return lines


def _use_compilation_cache() -> None:
    """Keeps compiled programs on disk; in a folder of the user's, if one is set."""
    _set_default('jax_persistent_cache_min_compile_time_secs', _CACHED_FROM_SECONDS)
    chosen = jax.config.jax_compilation_cache_dir
    if chosen:
        _show_warnings_of(chosen)
        return
    try:
        folder = cache_folder(os.environ, home=pathlib.Path.home(), cpu=_cpu_kind())
        # JAX runs the programs in it unchecked: nobody else may write them.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        logging.warning('no compilation cache, so each start compiles anew: %s', error)
        return
    if not usable:
        logging.warning('no compilation cache: %s is read-only', folder)
        return
    jax.config.update('jax_compilation_cache_dir', str(folder))
    _set_default('jax_compilation_cache_max_size', _CACHE_BYTES)
    if jax.config.jax_compilation_cache_max_size != -1:  # else no entry has a time
        _remove_cut_entries(folder)
    _show_warnings_of(folder)


def _remove_cut_entries(folder: pathlib.Path) -> None:
    """Deletes what a kill or a full disk left in JAX's cache, half written.

    An entry's time is written behind its program. JAX keeps no program under the name
    of one that is there, and none at all while one has no time.
    """
    for entry in folder.glob(f'*{_PROGRAM}'):
        written = entry.with_name(f'{entry.name.removesuffix(_PROGRAM)}-atime')
        with contextlib.suppress(OSError):  # another process deletes it
            age = time.time() - entry.stat().st_mtime
            if age > _WRITTEN_SECONDS and not written.exists():
                entry.unlink()


def _show_warnings_of(folder: pathlib.Path | str) -> None:
    show = warnings.showwarning
    if getattr(show, 'func', None) is not _show_warning:  # a second start
        warnings.showwarning = functools.partial(_show_warning, show, folder)


def _show_warning(
    show: Callable[..., None],
    folder: pathlib.Path | str,
    message: Warning | str,
    *rest: Any,
    **named: Any,
) -> None:
    """Shows JAX's warnings of its cache in a line.

    Deletes what it can't read in a folder of ours, a path; one that the user chose, a
    text, may be a bucket or belong to many machines.
    """
    found = _CACHE_WARNING.match(str(message))
    if not found:
        show(message, *rest, **named)
        return
    if found['done'] == 'reading' and isinstance(folder, pathlib.Path):
        for entry in folder.glob(f'{glob.escape(found["program"])}-*'):
            entry.unlink(missing_ok=True)
    logging.warning(
        'the compiled program %s in %s failed in %s (%s): it is compiled anew',
        found['program'],
        folder,
        found['done'],
        found['why'],
    )


def _set_default(name: str, value: float) -> None:
    """Sets one of JAX's own settings, unless the environment does."""
    if name.upper() not in os.environ:
        jax.config.update(name, value)


def _num_cores() -> int:
    """The number of cores that this process may use; XLA uses as many."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_kind() -> str:
    """The CPU's name, and a digest of the instructions that it has.

    A virtual machine's CPU may hide its name, and have any instructions.
    """
    name = _cpuinfo('model name') or platform.processor() or platform.machine()
    features = _cpuinfo('flags') or _cpuinfo('Features')
    return f'{name} ({platform.machine()}, {_digest(features)})'


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _cpuinfo(key: str) -> str:
    """The first value of a key in /proc/cpuinfo; '' where there is none."""
    try:
        text = pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8')
    except OSError:
        return ''
    for line in text.splitlines():
        name, _, value = line.partition(':')
        if name.strip() == key:
            return value.strip()
    return ''
