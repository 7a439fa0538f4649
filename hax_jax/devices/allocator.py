"""Settings of the C library's memory allocator, which reads them as a process begins.

XLA asks the system for a step's temporary memory in each step, gigabytes on a CPU, and
the system maps and clears it in pages of 4 KB: a million page faults a step. In huge
pages, of 2 MB, there are 500 times fewer.
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
    """Restarts the program that `python -m` is about to load, with huge pages.

    The process stays the same one, and nothing has been loaded yet. Does nothing where
    huge pages would not help, where the user has set them, and where Python was started
    in another way.
    """
    finding_module = sys.argv[0] == '-m'  # Python sets it before it loads the module
    if not finding_module or not sys.executable:
        return
    more = tunables(os.environ)
    if more:
        arguments = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, arguments, {**os.environ, **more})


def tunables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to `environment`; none where they would not help.

    The kernel must leave huge pages to programs that ask, and glibc can ask from 2.35
    on.
    """
    name, _, version = _libc().partition(' ')
    numbers = [int(part) for part in version.split('.') if part.isdigit()]
    if name != 'glibc' or numbers < [2, 35] or '[madvise]' not in _huge_pages():
        return {}
    entries = [entry for entry in environment.get(_TUNABLES, '').split(':') if entry]
    if any(entry.split('=')[0] == _HUGE_PAGES for entry in entries):
        return {}
    return {_TUNABLES: ':'.join([*entries, f'{_HUGE_PAGES}=1'])}


def give_back() -> None:
    """Returns this process's free memory to the system.

    Compiling leaves hundreds of MB free but scattered. A step would take new memory
    beside them, and they would count in its peak.
    """
    if _libc().startswith('glibc '):
        ctypes.CDLL(None).malloc_trim(0)


def _libc() -> str:
    """Such as 'glibc 2.36'; '' for another library."""
    try:
        return os.confstr('CS_GNU_LIBC_VERSION') or ''
    except (AttributeError, ValueError, OSError):  # no such system, or another library
        return ''


def _huge_pages() -> str:
    """The kernel's setting, such as 'always [madvise] never'."""
    try:
        return _SETTING.read_text(encoding='utf-8')
    except OSError:
        return ''
