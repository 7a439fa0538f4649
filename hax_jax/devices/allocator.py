"""What the C library's memory allocator is told; it listens when a process begins.

XLA asks the system for a step's temporary memory anew in each step, gigabytes on a CPU,
and the system hands it out and clears it in pages of 4 KB: a million page faults a
step. In huge pages, of 2 MB, there are 500 times fewer.
"""

import ctypes
import os
import pathlib
import sys
from collections.abc import Mapping

_TUNABLES = 'GLIBC_TUNABLES'
_HUGE_PAGES = 'glibc.malloc.hugetlb'
_SETTING = pathlib.Path('/sys/kernel/mm/transparent_hugepage/enabled')


def begin_again() -> None:
    """Starts the program that `python -m` is about to load anew, with huge pages.

    The process stays the same one, and nothing has been loaded yet. Where it is of no
    use, where the user has set it, and where Python was started in another way, nothing
    happens.
    """
    if (
        sys.argv[0] != '-m' or not sys.executable
    ):  # what it is while the module is looked for
        return
    more = tunables(os.environ, libc=_libc(), huge_pages=_huge_pages())
    if more:
        arguments = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, arguments, {**os.environ, **more})


def tunables(
    environment: Mapping[str, str], *, libc: str, huge_pages: str
) -> dict[str, str]:
    """The variables to add to `environment`; none where they would be of no use.

    `libc` is such as 'glibc 2.36', `huge_pages` the kernel's 'always [madvise] never':
    the kernel must leave them to those who ask, and glibc can ask from 2.35 on.
    """
    name, _, version = libc.partition(' ')
    numbers = [int(part) for part in version.split('.') if part.isdigit()]
    given = environment.get(_TUNABLES, '')
    if name != 'glibc' or numbers < [2, 35] or '[madvise]' not in huge_pages:
        return {}
    if any(entry.split('=')[0] == _HUGE_PAGES for entry in given.split(':')):
        return {}
    entries = [entry for entry in given.split(':') if entry]
    return {_TUNABLES: ':'.join([*entries, f'{_HUGE_PAGES}=1'])}


def for_a_child() -> dict[str, str]:
    """This process's environment, with what `begin_again` would add."""
    more = tunables(os.environ, libc=_libc(), huge_pages=_huge_pages())
    return {**os.environ, **more}


def give_back() -> None:
    """Returns to the system what is free in this process.

    Compiling leaves hundreds of MB free but scattered, beside which a step would take
    new memory: they would count in its peak.
    """
    if _libc().startswith('glibc '):
        ctypes.CDLL(None).malloc_trim(0)


def _libc() -> str:
    try:
        return os.confstr('CS_GNU_LIBC_VERSION') or ''
    except (AttributeError, ValueError, OSError):  # no such system, or another library
        return ''


def _huge_pages() -> str:
    try:
        return _SETTING.read_text(encoding='utf-8')
    except OSError:
        return ''
