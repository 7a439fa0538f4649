"""How a program takes arguments that are no flags, in a process of its own."""

import os
import pathlib
import signal
import subprocess
import sys

import programs
import pytest

_PROGRAM = """
from absl import flags
from hax_jax.program import entry

OUTPUT = flags.DEFINE_string('output', '', 'Where.')


def main(arguments=None):
    print(arguments, OUTPUT.value)


entry.run(main, positional={})
"""


def run(*arguments: str, positional: bool) -> subprocess.CompletedProcess[str]:
    return programs.run('-c', _PROGRAM.format(positional), *arguments)


def test_arguments_may_stand_before_between_and_after_flags() -> None:
    for arguments in (
        ['a.pt', 'b', '--output=o'],
        ['--output=o', 'a.pt', 'b'],
        ['a.pt', '--output', 'o', 'b'],
    ):
        done = run(*arguments, positional=True)
        assert (done.stdout, done.stderr) == ("['a.pt', 'b'] o\n", '')
        assert done.returncode == 0
    assert run(positional=True).stdout == '[] \n'


def test_a_misspelt_flag_behind_an_argument_is_an_error() -> None:
    done = run('a.pt', '--ouput=o', positional=True)
    assert done.returncode == 2
    assert "Unknown command line flag 'ouput'" in done.stderr
    assert done.stdout == ''


def test_a_program_that_takes_none_says_so() -> None:
    done = run('a.pt', '--output=o', positional=False)
    assert done.returncode == 2
    assert done.stderr == (
        "error: 'a.pt' is not a flag; give arguments as --name=value.\n"
    )
    assert run('--output=o', positional=False).stdout == 'None o\n'


_SLOW = """
import pathlib, signal, sys, time
# A shell starts what is in its background without SIGINT, and its children too.
signal.signal(signal.SIGINT, signal.default_int_handler)
from hax_jax.program import entry
from hax_jax import files


def main(arguments):
    with files.new_folder(arguments[0]) as new:
        (new / 'part').touch()
        print('begun', flush=True)
        time.sleep(60)


entry.run(main, positional=True)
"""


@pytest.mark.parametrize(
    ('sent', 'code'),
    [
        (signal.SIGTERM, 143),
        (signal.SIGHUP, 129),
        (signal.SIGUSR1, 138),
        (signal.SIGINT, 130),
    ],
)
def test_a_program_that_is_ended_leaves_nothing_half_written(
    tmp_path: pathlib.Path, sent: signal.Signals, code: int
) -> None:
    child = subprocess.Popen(
        [sys.executable, '-c', _SLOW, str(tmp_path / 'out')],
        cwd=programs.ROOT,
        env={**os.environ, 'PYTHONPATH': str(programs.ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == 'begun\n'
    child.send_signal(sent)
    assert child.wait(timeout=30) == code
    child.stdout.close()
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_is_handled_before_any_library_is_loaded() -> None:
    code = (
        'import signal, sys\n'
        'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
        "sys.argv = ['-m']\n"
        'import data_pipeline\n'
        'heavy = {"absl", "jax", "numpy", "ml_collections", "msgspec", "tensorflow"}\n'
        'print(sorted(heavy & set(sys.modules)), flush=True)\n'
        'signal.raise_signal(signal.SIGINT)\n'
    )
    done = programs.run('-c', code)
    assert (done.stdout, done.stderr) == ('[]\n', 'stopped by Ctrl-C\n')
    assert done.returncode == 130
    kept = programs.run('-c', code.replace("['-m']", "['program.py']"))
    assert kept.stderr.endswith('KeyboardInterrupt\n')
