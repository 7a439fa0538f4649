"""Memory that is free for arrays: on a device, or on this host for those of a CPU."""

import pathlib

import jax

_PROC, _CGROUP = pathlib.Path('/proc'), pathlib.Path('/sys/fs/cgroup')
# (limit, usage, what the kernel can take back of it) in cgroup v2, and in v1.
_FILES = (
    ('memory.max', 'memory.current', 'inactive_file'),
    ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'),
)


def free(device: jax.Device) -> int | None:
    """Bytes that are free on a device; None where that is not known.

    The CPU devices of a process have equal shares of the host's.
    """
    if device.platform == 'cpu':
        on_host = host_free()
        return None if on_host is None else on_host // jax.local_device_count()
    stats = device.memory_stats() or {}
    if 'bytes_limit' not in stats:
        return None
    return stats['bytes_limit'] - stats.get('bytes_in_use', 0)


def host_free(proc: pathlib.Path = _PROC, cgroup: pathlib.Path = _CGROUP) -> int | None:
    """Bytes that this host, or this process's control group, has left; None: unknown.

    Source: /proc/meminfo (MemAvailable) and the kernel's cgroup-v1 and -v2 documents.
    """
    try:
        lines = (proc / 'meminfo').read_text().splitlines()
        fields = dict(line.split(':', 1) for line in lines)
        found = [1024 * int(fields['MemAvailable'].split()[0])]
    except (OSError, KeyError, ValueError):
        return None
    for folder in _groups(proc, cgroup):
        for limit, usage, idle in _FILES:
            try:
                most = int((folder / limit).read_text())  # 'max' is no limit
                used = int((folder / usage).read_text())
                stat = (folder / 'memory.stat').read_text().split()
            except (OSError, ValueError):
                continue
            of = dict(zip(stat[::2], map(int, stat[1::2]), strict=False))
            found.append(most - used + of.get(idle, 0))
    return max(0, min(found))


def _groups(proc: pathlib.Path, cgroup: pathlib.Path) -> list[pathlib.Path]:
    """The folders of this process's groups and of those around them."""
    found = [cgroup, cgroup / 'memory']
    try:
        lines = (proc / 'self' / 'cgroup').read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(':', 2)
        if controllers and 'memory' not in controllers.split(','):
            continue
        root = cgroup / 'memory' if controllers else cgroup
        inside = root / path.lstrip('/')
        found += [inside, *(p for p in inside.parents if root in p.parents)]
    return found
