"""Free memory: the host's, under the limits of the process's control groups."""

import pathlib

import jax
import pytest

from hax_jax.devices import memory

KB = 1024


def write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ('group', 'files', 'expected'),
    [
        ('', {}, 8000 * KB),
        # v2, the limit at the root that a container sees.
        (
            '0::/',
            {
                'memory.max': '5000',
                'memory.current': '4000',
                'memory.stat': 'anon 1\ninactive_file 300\n',
            },
            5000 - 4000 + 300,
        ),
        ('0::/', {'memory.max': 'max', 'memory.current': '4000'}, 8000 * KB),
        # v2, the limit of a group around this process's own.
        (
            '0::/job/task',
            {
                'job/memory.max': '700',
                'job/memory.current': '100',
                'job/memory.stat': 'inactive_file 0\n',
                'job/task/memory.max': 'max',
            },
            600,
        ),
        # v1: no limit is a number over all memory.
        (
            '3:cpu:/x\n5:memory:/job',
            {
                'memory/memory.limit_in_bytes': str(2**63 - 4096),
                'memory/memory.usage_in_bytes': '1',
                'memory/memory.stat': 'total_inactive_file 0\n',
                'memory/job/memory.limit_in_bytes': '900',
                'memory/job/memory.usage_in_bytes': '1000',
                'memory/job/memory.stat': 'total_inactive_file 0\n',
            },
            0,
        ),
    ],
)
def test_the_host_has_what_its_groups_leave(
    tmp_path: pathlib.Path, group: str, files: dict[str, str], expected: int
) -> None:
    proc, cgroup = tmp_path / 'proc', tmp_path / 'cgroup'
    write(proc / 'meminfo', 'MemTotal: 9000 kB\nMemAvailable:    8000 kB\n')
    write(proc / 'self' / 'cgroup', group + '\n' * bool(group))
    for name, text in files.items():
        write(cgroup / name, text)
    assert memory.host_free(proc, cgroup) == expected


def test_a_host_that_does_not_say_is_not_guessed(tmp_path: pathlib.Path) -> None:
    assert memory.host_free(tmp_path, tmp_path) is None


def test_the_cpus_of_a_process_share_its_host() -> None:
    device = jax.devices('cpu')[0]
    on_host = memory.host_free()
    if on_host is None:
        pytest.skip('this host does not say what memory is free')
    assert 0 < memory.free(device) <= 2 * on_host
