"""Forks beside real processes: `python -m code` runs what its standard input says."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import forks
import programs
import pytest

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason="prctl is Linux's")
_SAID = """
import atexit, os, pathlib, signal, sys, threading, time
print(sys.argv, sys.orig_argv[1:], pathlib.Path.cwd(), os.environ['ASKED'])
print(__import__('__main__').__spec__.name, os.getpgid(0), os.getsid(0))
print([signal.getsignal(each).__repr__()[:20] for each in sorted(signal.Signals)])
print('an error', file=sys.stderr)
"""


@pytest.mark.parametrize(
    'ends',
    [
        '',
        'sys.exit(3)',
        'sys.exit("in words")',
        'os._exit(4)',
        'os.kill(os.getpid(), signal.SIGTERM)',
        'os.kill(os.getpid(), signal.SIGKILL)',
        'os.close(1); sys.exit(0)',
        'atexit.register(print, "the last"); sys.exit(5)',
        'threading.Timer(0.2, print, ["a thread"]).start(); sys.exit(6)',
    ],
)
def test_a_fork_says_and_ends_as_a_process_does(ends: str) -> None:
    given = f'{_SAID}\n{ends}\n'
    real, fork = (
        each.run('-m', 'code', '-q', given=given, ASKED='for é')
        for each in (programs, forks)
    )
    assert 'for é' in real.stdout
    assert (fork.returncode, fork.stdout) == (real.returncode, real.stdout)
    assert fork.stderr == real.stderr


@pytest.mark.parametrize('kind', ['-c', 'file'])
def test_code_and_files_have_the_names_and_paths_of_a_process(
    kind: str, tmp_path: pathlib.Path
) -> None:
    code = (
        'import os, sys, jax\n'
        'main = sys.modules["__main__"]\n'
        'class Mine: pass\n'
        'print(__name__, main.__spec__, main.__dict__ is globals(), Mine.__module__)\n'
        'print(sys.argv, sys.orig_argv[1:], globals().get("__file__"))\n'
        'print(jax.device_count(), jax.config.jax_platforms)\n'
        'import beside\n'
    )
    (tmp_path / 'beside.py').write_text('print("beside it")')
    (tmp_path / 'named.py').write_text(code)
    given = ('-c', code) if kind == '-c' else (tmp_path / 'named.py',)
    real, fork = (
        each.run(*given, '--flag', 'x', **programs.devices(3))
        for each in (programs, forks)
    )
    assert ('beside it' in real.stdout) == (kind == 'file')
    assert fork.stdout == real.stdout
    assert fork.returncode == real.returncode
    last = [each.stderr.splitlines()[-1:] for each in (real, fork)]
    assert last[0] == last[1]


def test_a_fork_is_our_child_until_a_signal_ends_it() -> None:
    child = forks.start('-m', 'code', stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    child.stdin.write('import os; print(os.getppid(), os.getpid(), flush=True)\n')
    child.stdin.flush()
    said = child.stdout.readline().removeprefix('>>> ').split()
    assert said == [str(os.getpid()), str(child.pid)]
    assert child.poll() is None
    child.send_signal(signal.SIGTERM)
    child.communicate()
    assert child.returncode == -signal.SIGTERM
    assert not pathlib.Path(f'/proc/{child.pid}').exists()


def test_a_fork_that_takes_too_long_is_killed() -> None:
    begun = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        forks.run('-m', 'code', given='import time; time.sleep(60)\n', seconds=1)
    assert time.monotonic() - begun < 50


def test_variables_that_were_read_before_the_fork_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\['JAX_ENABLE_X64'\]; use programs\.run"):
        forks.run('-m', 'launch.train', JAX_ENABLE_X64='1')


def test_no_device_is_asked_for_before_the_fork() -> None:
    code = (
        'import os, sys, forks; forks._import_libraries()\n'
        'from jax._src import xla_bridge\n'
        "print(xla_bridge._backends, 'tensorflow' in sys.modules)"
    )
    done = programs.run('-c', code)
    assert done.stdout == '{} False\n', done.stderr
