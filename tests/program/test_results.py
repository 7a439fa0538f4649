import json
import subprocess

import programs
import pytest

PROGRAM = """
import pathlib, sys
from hax_jax import errors
from hax_jax.program import entry, results

def main(arguments):
    print('about to work')
    results.give({'folder': pathlib.Path('runs/a'), 'loss': 2.5})
    if arguments:
        raise errors.InputError('no.')
    return 3

entry.run(main, positional=True)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return programs.run('-c', PROGRAM, *arguments)


def test_json_is_the_result_alone_and_the_rest_goes_to_standard_error() -> None:
    done = run('--json')
    assert done.returncode == 3
    assert json.loads(done.stdout) == {'folder': 'runs/a', 'loss': 2.5}
    assert done.stderr == 'about to work\n'


@pytest.mark.parametrize(
    ('arguments', 'code', 'out'), [([], 3, 'about to work\n'), (['--json', 'x'], 2, '')]
)
def test_without_the_flag_or_with_an_error_there_is_no_json(
    arguments: list[str], code: int, out: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (code, out)
