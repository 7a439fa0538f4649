import os
import pathlib
import sys

import pytest

from hax_jax.devices import allocator

HUGE = {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'}


@pytest.mark.parametrize(
    ('given', 'libc', 'huge_pages', 'expected'),
    [
        ({}, 'glibc 2.36', 'always [madvise] never', HUGE),
        ({'A': 'b'}, 'glibc 3.0', '[madvise]', HUGE),
        ({}, 'glibc 2.34', 'always [madvise] never', {}),
        ({}, '', 'always [madvise] never', {}),
        ({}, 'musl 1.2', 'always [madvise] never', {}),
        ({}, 'glibc 2.36', '[always] madvise never', {}),
        ({}, 'glibc 2.36', 'always madvise [never]', {}),
        ({}, 'glibc 2.36', '', {}),
        ({'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=0'}, 'glibc 2.36', '[madvise]', {}),
        (
            {'GLIBC_TUNABLES': 'glibc.malloc.arena_max=2'},
            'glibc 2.36',
            '[madvise]',
            {'GLIBC_TUNABLES': 'glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1'},
        ),
    ],
)
def test_huge_pages_are_asked_for_where_they_help_and_nothing_is_set(
    given: dict[str, str],
    libc: str,
    huge_pages: str,
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allocator, '_libc', lambda: libc)
    monkeypatch.setattr(allocator, '_huge_pages', lambda: huge_pages)
    assert allocator.tunables(given) == expected


def test_a_program_begins_again_once_with_its_own_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = []
    monkeypatch.setattr(os, 'execve', lambda *given: begun.append(given))
    monkeypatch.setattr(allocator, '_libc', lambda: 'glibc 2.36')
    monkeypatch.setattr(allocator, '_huge_pages', lambda: '[madvise]')
    monkeypatch.setattr(sys, 'orig_argv', ['python', '-u', '-m', 'launch.train', '-x'])
    monkeypatch.delenv('GLIBC_TUNABLES', raising=False)
    monkeypatch.setattr(sys, 'argv', ['launch/train.py', '-x'])
    allocator.begin_again()
    assert begun == []  # imported, not started by python -m
    monkeypatch.setattr(sys, 'argv', ['-m', '-x'])
    allocator.begin_again()
    ((path, arguments, environment),) = begun
    assert path == sys.executable
    assert arguments == [sys.executable, '-u', '-m', 'launch.train', '-x']
    assert environment == {**os.environ, **HUGE}
    monkeypatch.setenv('GLIBC_TUNABLES', environment['GLIBC_TUNABLES'])
    allocator.begin_again()
    assert len(begun) == 1


def _resident_bytes() -> int:
    pages = pathlib.Path('/proc/self/statm').read_text().split()[1]
    return int(pages) * os.sysconf('SC_PAGE_SIZE')


def test_what_is_free_is_given_back_where_the_library_is_glibc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not allocator._libc().startswith('glibc '):
        pytest.skip('the C library is not glibc')
    held = [bytes(1000) for _ in range(200_000)]
    scattered = held[::100]  # what is freed lies between them
    del held
    before = _resident_bytes()
    allocator.give_back()
    assert before - _resident_bytes() > 50e6
    assert len(scattered) == 2000
    monkeypatch.setattr(allocator, '_libc', lambda: '')
    monkeypatch.setattr(allocator.ctypes, 'CDLL', None)
    allocator.give_back()  # another library's is not asked
