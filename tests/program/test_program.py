"""How a program takes arguments that are no flags, in a process of its own."""

import os
import pathlib
import signal
import subprocess
import sys
import time

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


def test_a_tilde_behind_an_equals_sign_is_the_home() -> None:
    """As behind a blank, where bash itself puts it: else a folder named ~ is made."""
    command = ('-c', _PROGRAM.format(True), '--output=~/runs/a', '~/b')
    assert programs.run(*command, HOME='/h').stdout == "['~/b'] /h/runs/a\n"


def test_a_misspelt_flag_behind_an_argument_is_an_error() -> None:
    done = run('a.pt', '--ouput=o', positional=True)
    assert done.returncode == 2
    assert done.stderr == (
        'error: --ouput is not a flag; did you mean --output?\nTry --help.\n'
    )
    assert done.stdout == ''


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        (['--output=a', 'x', '--output', 'b'], '--output is given twice, as a and as'),
        (['--json', '--nojson'], '--json is given twice, as true and as false; give'),
        (['--flagfile=FILE', '--output=b'], '--output is given twice, as a and as b'),
        (['--output=a', '--output=a', '--json', '--json=true'], ''),
        (['--output=a', '--', '--output=b'], ''),
    ],
)
def test_two_values_for_a_flag_that_takes_one_are_refused(
    tmp_path: pathlib.Path, given: list[str], said: str
) -> None:
    (tmp_path / 'flags').write_text('--output=a\n')
    given = [each.replace('FILE', str(tmp_path / 'flags')) for each in given]
    done = run(*given, positional=True)
    assert (done.returncode, said in done.stderr) == (2 if said else 0, True)


def test_a_program_that_takes_none_says_so() -> None:
    done = run('a.pt', '--output=o', positional=False)
    assert done.returncode == 2
    assert done.stderr == (
        "error: 'a.pt' is not a flag; give arguments as --name=value.\n"
    )
    assert run('--output=o', positional=False).stdout == 'None o\n'


_FAILS = """
import os, sys
from hax_jax.program import entry
from hax_jax import files


class JaxRuntimeError(RuntimeError):
    pass


def main(arguments):
    print('a line', 'Grüße' if len(arguments) > 1 else '')
    exec(arguments[0])


entry.run(main, positional=True, smaller='lower --batch_size')
"""


@pytest.mark.parametrize(
    ('work', 'said'),
    [
        (
            "raise JaxRuntimeError('RESOURCE_EXHAUSTED: Out of\\n memory')",
            'memory (RES',
        ),
        (
            'raise MemoryError',
            'the program is out of memory (MemoryError); lower --batch_size.',
        ),
        ("open('a' * 300)", 'file name too long'),
        ('open(chr(0))', 'a path has a zero byte in it'),
        (
            'import os, pathlib, tempfile\n'
            'with tempfile.TemporaryDirectory() as made:\n'
            "    path = pathlib.Path(made, 'loop')\n"
            '    path.symlink_to(path)\n'
            '    path.resolve()\n'
            '    path.read_text()',
            'loop',
        ),
        ("files.write_text('/dev/full/x', '')", '/dev/full: file exists; give a path'),
        (
            "raise OSError(28, 'Full', '/tmp/no/such')",
            '/tmp/no/such can not be written: ',
        ),
        (
            'import os, jax; os.environ["JAX_PLATFORMS"] = "cuda"; '
            'jax.config.update("jax_platforms", "cuda"); jax.devices()',
            'JAX_PLATFORMS=cuda names devices that do not start: JAX has no plugin for',
        ),
        (
            'import os, jax; os.environ["JAX_PLATFORMS"] = "cdua"; '
            'jax.config.update("jax_platforms", "cdua"); jax.devices()',
            "Backend 'cdua' is not in the list of known backends: ['cpu', 'tpu']. Unse",
        ),
        (
            'import os; os.environ["JAX_DISABLE_JIT"] = "maybe"; import jax',
            "value 'maybe' for environment 'JAX_DISABLE_JIT'; use 0 or 1, or unset JAX",
        ),
    ],
)
def test_a_failure_of_the_machine_is_one_line(work: str, said: str) -> None:
    done = programs.run('-c', _FAILS, work)
    assert (done.returncode, done.stdout) == (2, 'a line \n')
    assert done.stderr.startswith('error: ')
    assert said in done.stderr
    assert done.stderr.count('\n') == 1


@pytest.mark.parametrize(
    ('redirected', 'code', 'said'),
    [
        ('| true', 141, ''),
        ('2>&1 | true', 141, ''),
        ('>&-', 2, 'error: standard output is closed; give it a file, a pipe or '),
        ('>/dev/full', 2, 'error: standard output can not be written to: no space le'),
        ('2>&- <&-', 0, ''),
    ],
)
def test_an_output_that_takes_nothing_ends_a_program_in_at_most_one_line(
    redirected: str, code: int, said: str
) -> None:
    work = 'sys.stdin.isatty() or [print("x" * 99) for _ in range(9999)]'
    line = f'"$0" -c "$1" "$2" {redirected}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ['bash', '-c', line, sys.executable, _FAILS, work],
        cwd=programs.ROOT,
        env={**os.environ, 'PYTHONPATH': str(programs.ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.count('\n') == bool(said)


@pytest.mark.parametrize('unbuffered', ['', '1'])
def test_a_full_standard_output_is_blamed_on_no_file_that_is_written_beside(
    unbuffered: str, tmp_path: pathlib.Path
) -> None:
    work = f"""
with files.named({str(tmp_path / 'answers.jsonl')!r}):
    print('an answer', flush=True)
"""
    with open('/dev/full', 'w') as full:
        done = subprocess.run(
            [sys.executable, '-c', _FAILS, work],
            cwd=programs.ROOT,
            env={
                **os.environ,
                'PYTHONPATH': str(programs.ROOT),
                'PYTHONUNBUFFERED': unbuffered,
            },
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        2,
        'error: standard output can not be written to: no space left on device; make '
        'room where it goes, or send it elsewhere.\n',
    )


def test_a_pipe_that_does_not_block_loses_nothing_that_is_printed() -> None:
    source, sink = os.pipe()  # it holds 64 KB
    os.set_blocking(sink, False)
    work = 'for _ in range(9999): print("x" * 99)'
    with open(source, 'rb') as read:
        program = programs.start('-c', _FAILS, work, stdout=sink)
        os.close(sink)
        time.sleep(1)  # it is full before anybody reads
        assert len(read.read()) == len('a line \n') + 100 * 9999
    assert program.wait() == 0


def test_a_text_that_no_encoding_or_file_holds_is_shown_or_refused() -> None:
    shown = programs.run('-c', _FAILS, 'pass', 'more', PYTHONIOENCODING='ascii')
    assert (shown.returncode, shown.stdout) == (0, 'a line Gr\\xfc\\xdfe\n')
    refused = programs.run('-c', _FAILS, 'pass', os.fsdecode(b'/tmp/\xff'))
    assert (refused.returncode, refused.stdout) == (2, '')
    assert refused.stderr == (
        "error: '/tmp/\\udcff' is not UTF-8 text; rename the file, or write the text "
        'as UTF-8.\n'
    )


_SLOW = """
import pathlib, signal, sys, time
# A shell starts what is in its background without SIGINT, and its children too.
signal.signal(signal.SIGINT, signal.default_int_handler)
import duckdb
from hax_jax.program import entry
from hax_jax import files


def main(arguments):
    with files.new_folder(arguments[0]) as new:
        (new / 'part').touch()
        print('begun', flush=True)
        exec(arguments[1])


entry.run(main, positional=True)
"""


_SLEEPS = 'time.sleep(60)'
# DuckDB raises an error of its own in place of the signal's.
_REGISTERS = (
    'class Rows:\n'
    '    def __arrow_c_stream__(self, requested_schema=None):\n'
    '        time.sleep(60)\n'
    "duckdb.connect().register('rows', Rows())"
)


@pytest.mark.parametrize(
    ('sent', 'code', 'name', 'work'),
    [
        (signal.SIGTERM, 143, 'SIGTERM', _SLEEPS),
        (signal.SIGTERM, 143, 'SIGTERM', _REGISTERS),
        (signal.SIGHUP, 129, 'SIGHUP', _SLEEPS),
        (signal.SIGUSR1, 138, 'SIGUSR1', _SLEEPS),
        (signal.SIGINT, 130, 'Ctrl-C', _SLEEPS),
        (signal.SIGINT, 130, 'Ctrl-C', _REGISTERS),
    ],
)
def test_a_program_that_is_ended_says_so_and_leaves_nothing_half_written(
    tmp_path: pathlib.Path, sent: signal.Signals, code: int, name: str, work: str
) -> None:
    child = subprocess.Popen(
        [sys.executable, '-c', _SLOW, str(tmp_path / 'out'), work],
        cwd=programs.ROOT,
        env={**os.environ, 'PYTHONPATH': str(programs.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == 'begun\n'
    time.sleep(0.5)  # now DuckDB is at work; before it, Python itself is stopped
    child.send_signal(sent)
    _, said = child.communicate(timeout=30)
    assert (child.returncode, said) == (code, f'stopped by {name}\n')
    assert list(tmp_path.iterdir()) == []
