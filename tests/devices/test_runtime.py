import os
import pathlib
import re
import socket
import subprocess
import sys
import time

import jax
import jaxlib
import pytest

from hax_jax import errors
from hax_jax.devices import joining, runtime

ROOT = pathlib.Path(__file__).parents[2]
SCHEDULER = '--xla_cpu_enable_concurrency_optimized_scheduler'
OTHERS = '--xla_cpu_copy_insertion_use_region_analysis=true'
OURS = f'{SCHEDULER}=false {OTHERS}'


def run_child(code: str, **environment: str) -> subprocess.Popen[str]:
    mine = {k: v for k, v in os.environ.items() if not k.startswith(('XLA', 'JAX'))}
    return subprocess.Popen(
        [sys.executable, '-c', code],
        env={**mine, 'PYTHONPATH': str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(child: subprocess.Popen[str]) -> str:
    try:
        out, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 0, errors
    assert errors == ''
    return out


def test_a_flag_is_set_only_for_the_jaxlib_that_it_was_tried_on() -> None:
    assert runtime.xla_flags('', '0.10.2') == OURS
    assert runtime.xla_flags('', '0.11.2') == OURS
    assert runtime.xla_flags('', '0.99.0') == ''
    assert runtime.xla_flags('', '0.9.9') == ''


def test_what_the_user_set_in_xla_flags_stays() -> None:
    other = '--xla_force_host_platform_device_count=8'
    assert runtime.xla_flags(other, '0.10.2') == f'{other} {OURS}'
    theirs = f'{SCHEDULER}=true'
    assert runtime.xla_flags(theirs, '0.10.2') == f'{theirs} {OTHERS}'
    assert runtime.xla_flags(OURS, '0.10.2') == OURS
    assert runtime.xla_flags('flags.txt', '0.10.2') == 'flags.txt'


def test_the_cache_folder_follows_the_xdg_rules() -> None:
    home = pathlib.Path('/home/ann')

    def parent(**environment: str) -> str:
        return str(runtime.cache_folder(environment, home=home, cpu='a').parent)

    assert parent() == '/home/ann/.cache/hax_jax/compiled'
    assert parent(XDG_CACHE_HOME='') == '/home/ann/.cache/hax_jax/compiled'
    assert parent(XDG_CACHE_HOME='here') == '/home/ann/.cache/hax_jax/compiled'
    assert parent(XDG_CACHE_HOME='/scratch/ann') == '/scratch/ann/hax_jax/compiled'


def test_each_kind_of_cpu_has_a_cache_of_its_own() -> None:
    home = pathlib.Path('/home/ann')
    one, other, again = (
        runtime.cache_folder({}, home=home, cpu=cpu)
        for cpu in ('avx2', 'avx512', 'avx2')
    )
    assert one == again
    assert one != other


SLURM = {'SLURM_NTASKS': '2', 'SLURM_STEP_NODELIST': 'node[1-2]'}


@pytest.mark.parametrize(
    ('environment', 'tpu', 'reason'),
    [
        ({}, False, ''),
        ({'JAX_COORDINATOR_ADDRESS': 'a:1'}, False, 'told'),
        (SLURM, False, 'SLURM'),
        ({**SLURM, 'SLURM_NTASKS': '1'}, False, ''),
        ({'SLURM_NTASKS': '2'}, False, ''),  # salloc's shell, no srun
        (
            {'OMPI_COMM_WORLD_SIZE': '4', 'OMPI_MCA_orte_hnp_uri': 'x'},
            False,
            'Open MPI',
        ),
        ({'TPU_WORKER_HOSTNAMES': 'a,b'}, False, ''),
        ({'TPU_WORKER_HOSTNAMES': 'a,b'}, True, 'TPU'),
        ({'TPU_WORKER_HOSTNAMES': 'localhost'}, True, ''),
        ({'MEGASCALE_NUM_SLICES': '2', 'TPU_WORKER_HOSTNAMES': 'a'}, True, 'TPU'),
        ({'TPU_SKIP_MDS_QUERY': '1'}, True, ''),
        ({}, True, 'TPU'),
    ],
)
def test_other_hosts_are_joined_where_there_are_some(
    environment: dict[str, str], tpu: bool, reason: str
) -> None:
    assert runtime.multihost_reason(environment, tpu=tpu) == reason


def test_half_a_set_of_variables_for_several_processes_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('JAX_COORDINATOR_ADDRESS', 'localhost:1')
    monkeypatch.setenv('JAX_NUM_PROCESSES', '2')
    with pytest.raises(errors.InputError, match='JAX_PROCESS_ID is not set'):
        joining.join('told', None, lambda: None)


START = """
import sys
from hax_jax.devices import joining, runtime
runtime.start()
runtime.start()
import jax
now = runtime.environment()
print(now['num_processes'], now['xla_flags'], jax.config.jax_compilation_cache_dir)
assert 'tensorflow' not in sys.modules
"""


def test_64_bits_are_refused_before_anything_computes() -> None:
    with jax.enable_x64(True), pytest.raises(errors.InputError, match='JAX_ENABLE_X64'):
        runtime.start()


def test_a_laptop_starts_alone_with_flags_and_a_cache(tmp_path: pathlib.Path) -> None:
    child = run_child(START, XDG_CACHE_HOME=str(tmp_path))
    folder = tmp_path / 'hax_jax' / 'compiled'
    flags = sorted(runtime.xla_flags('', jaxlib.__version__).split())
    printed = re.escape(f'1 {flags} {folder}/')
    assert re.fullmatch(printed + '[0-9a-f]+\n', output(child))
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o700]


def test_a_cache_folder_that_the_user_chose_stays(tmp_path: pathlib.Path) -> None:
    code = START + 'print(jax.config.jax_persistent_cache_min_compile_time_secs)'
    child = run_child(
        code, XDG_CACHE_HOME=str(tmp_path), JAX_COMPILATION_CACHE_DIR='/tmp/chosen'
    )
    # JAX's own limit, 1 s, would keep most programs of a small model out of it.
    assert output(child).endswith(' /tmp/chosen\n0.05\n')
    assert list(tmp_path.iterdir()) == []


def test_a_chosen_cache_that_can_not_be_read_is_said_in_a_line_each() -> None:
    child = run_child(COMPILE, JAX_COMPILATION_CACHE_DIR='/proc/none')
    _, warned = child.communicate(timeout=60)
    assert child.returncode == 0
    lines = warned.splitlines()
    assert lines
    assert all('in /proc/none failed in ' in line for line in lines)


def test_two_processes_that_are_told_of_each_other_join(tmp_path: pathlib.Path) -> None:
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = free.getsockname()[1]
    children = [
        run_child(
            START,
            XDG_CACHE_HOME=str(tmp_path),
            JAX_COORDINATOR_ADDRESS=f'localhost:{port}',
            JAX_NUM_PROCESSES='2',
            JAX_PROCESS_ID=str(number),
        )
        for number in range(2)
    ]
    assert [output(child)[:2] for child in children] == ['2 ', '2 ']


COMPILE = """
from hax_jax.devices import joining, runtime
runtime.start()
import jax, jax.numpy as jnp
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
print(float(jax.jit(lambda x: jnp.sin(x).sum())(jnp.arange(9.0))))
"""


def test_a_program_is_compiled_once_and_gives_the_same_from_the_cache(
    tmp_path: pathlib.Path,
) -> None:
    first = output(run_child(COMPILE, XDG_CACHE_HOME=str(tmp_path)))
    programs = sorted(path.name for path in tmp_path.rglob('*-cache'))
    again = output(run_child(COMPILE, XDG_CACHE_HOME=str(tmp_path)))
    assert first == again
    assert any('lambda' in name for name in programs)
    assert sorted(path.name for path in tmp_path.rglob('*-cache')) == programs


def test_a_damaged_program_of_the_cache_is_said_in_a_line_and_replaced(
    tmp_path: pathlib.Path,
) -> None:
    first = output(run_child(COMPILE, XDG_CACHE_HOME=str(tmp_path)))
    (entry,) = tmp_path.rglob('jit__lambda*-cache')
    entry.write_bytes(entry.read_bytes()[:99])
    child = run_child(COMPILE, XDG_CACHE_HOME=str(tmp_path))
    said, warned = child.communicate(timeout=60)
    assert (child.returncode, said) == (0, first)
    assert warned.count('\n') == 1
    assert f'in {entry.parent} failed in reading (' in warned
    assert output(run_child(COMPILE, XDG_CACHE_HOME=str(tmp_path))) == first
    # A kill between the program and its time, which stops JAX's keeping of all others.
    old = time.time() - 100
    for path in tmp_path.rglob('jit__lambda*'):
        path.unlink() if path.name.endswith('-atime') else os.utime(path, (old, old))
    assert output(run_child(COMPILE, XDG_CACHE_HOME=str(tmp_path))) == first
    assert len(list(tmp_path.rglob('jit__lambda*'))) == 2


def test_the_environment_says_where_this_computes() -> None:
    now = runtime.environment()
    assert set(now) == {
        'jax',
        'jaxlib',
        'platform',
        'device_kind',
        'num_devices',
        'num_processes',
        'cpu_cores',
        'xla_flags',
    }
    assert now['cpu_cores'] >= 1
    assert runtime.differences(now, now) == []


def test_differences_are_named_one_by_one() -> None:
    then = {'platform': 'cpu', 'jaxlib': '0.10.2', 'cpu_cores': 2, 'gone': 1}
    now = {'platform': 'cpu', 'jaxlib': '0.11.0', 'cpu_cores': 4, 'mesh': {'data': 1}}
    assert runtime.differences(then, now) == [
        "jaxlib was '0.10.2', is '0.11.0'",
        'cpu_cores was 2, is 4',
        'gone was 1, is not recorded',
        "mesh was not recorded, is {'data': 1}",
    ]


def test_cores_do_not_matter_where_an_accelerator_computes() -> None:
    then = {'platform': 'gpu', 'cpu_cores': 2}
    assert runtime.differences(then, {'platform': 'gpu', 'cpu_cores': 4}) == []
    assert runtime.differences(then, {'platform': 'cpu', 'cpu_cores': 4}) == [
        "platform was 'gpu', is 'cpu'",
        'cpu_cores was 2, is 4',
    ]
