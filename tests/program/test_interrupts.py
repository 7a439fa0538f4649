"""Signals at any moment of a program, in a process of its own."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import programs
import pytest

from hax_jax.program import failures, interrupts

_BEGIN = """
from __future__ import annotations
import pathlib, signal, sys, time
# A shell starts what is in its background without SIGINT, and its children too.
signal.signal(signal.SIGINT, signal.default_int_handler)
from hax_jax import errors, files
from hax_jax.program import entry, interrupts, later

with later.imports():
    import jax


def main(arguments):
    with files.new_folder(arguments[0]) as new:
        (new / 'part').touch()
        print('begun', flush=True)
        exec(arguments[1])


entry.run(main, positional=True)
"""
_LOADS = 'jax.jit(lambda x: x + 1)(1)\ntime.sleep(60)'
_SWALLOWS = 'try:\n    time.sleep(60)\nexcept BaseException:\n    pass\ntime.sleep(60)'
_IN_A_CALLBACK = (
    'class Held:\n'
    '    def __del__(self):\n'
    '        time.sleep(60)\n'
    'held = Held()\n'
    'del held\n'
    'time.sleep(60)'
)
_SAYS_OTHERWISE = (
    'try:\n    time.sleep(60)\n'
    'except BaseException as error:\n'
    '    print("noise of a library", file=sys.stderr)\n'
    '    raise errors.InputError("step 6 is damaged") from error'
)


def stopped(
    work: str, folder: pathlib.Path, seconds: float, sent: signal.Signals
) -> tuple[int, str]:
    """(exit code, what it said) of a program that is sent a signal in its work."""
    child = subprocess.Popen(
        [sys.executable, '-c', _BEGIN, str(folder / 'out'), work],
        cwd=programs.ROOT,
        env={**os.environ, 'PYTHONPATH': str(programs.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == 'begun\n'
    time.sleep(seconds)
    child.send_signal(sent)
    _, said = child.communicate(timeout=60)
    return child.returncode, said


@pytest.mark.parametrize(
    ('work', 'seconds', 'sent'),
    [
        *[(_LOADS, seconds, signal.SIGINT) for seconds in (0.0, 0.1, 0.3, 0.6, 1.0)],
        (_LOADS, 0.2, signal.SIGTERM),
        (_SWALLOWS, 0.2, signal.SIGINT),
        (_SWALLOWS, 0.2, signal.SIGTERM),
        (_IN_A_CALLBACK, 0.2, signal.SIGINT),
        (_SAYS_OTHERWISE, 0.2, signal.SIGINT),
    ],
)
def test_a_signal_ends_a_program_in_one_line_whatever_it_breaks_off(
    tmp_path: pathlib.Path, work: str, seconds: float, sent: signal.Signals
) -> None:
    code, said = stopped(work, tmp_path, seconds, sent)
    assert (code, said) == (128 + sent, f'stopped by {interrupts.name(sent)}\n')
    assert list(tmp_path.iterdir()) == []


def test_who_goes_on_after_ctrl_c_is_not_stopped_again(tmp_path: pathlib.Path) -> None:
    work = (
        'try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n'
        '    interrupts.went_on()\ntime.sleep(0.5)\nprint("on", file=sys.stderr)'
    )
    assert stopped(work, tmp_path, 0.2, signal.SIGINT) == (0, 'on\n')


def test_a_query_that_duckdb_ends_at_ctrl_c_is_no_defect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = RuntimeError('Query interrupted')  # DuckDB's own, without a cause
    assert failures.explained(error, smaller='') is None
    monkeypatch.setattr(interrupts, '_since', 1.0)
    assert failures.explained(error, smaller='') == ('stopped by Ctrl-C', 130)


@pytest.mark.parametrize('name', ['-m', '/usr/bin/hax'])
def test_ctrl_c_is_handled_before_any_library_is_loaded(name: str) -> None:
    code = (
        'import signal, sys\n'
        'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
        f'sys.argv = [{name!r}]\n'
        'import data_pipeline\n'
        'heavy = {"absl", "jax", "numpy", "ml_collections", "msgspec", "tensorflow"}\n'
        'print(sorted(heavy & set(sys.modules)), flush=True)\n'
        'signal.raise_signal(signal.SIGINT)\n'
    )
    done = programs.run('-c', code)
    assert (done.stdout, done.stderr) == ('[]\n', 'stopped by Ctrl-C\n')
    assert done.returncode == 130
    kept = programs.run('-c', code.replace(repr(name), "'program.py'"))
    assert kept.stderr.endswith('KeyboardInterrupt\n')
