"""launch/environment.sh, and a stopped quickstart.sh, with a Python that is a fake."""

import os
import pathlib
import subprocess

import machine_room
import pytest

# Python of version $FAKE_VERSION; `-m NAME` exits with 130, its work half done, where
# $FAKE_STOP is NAME. One that lies in .venv has the version that made it.
_PYTHON = r"""#!/usr/bin/env bash
here=$(dirname "$(dirname "$0")")
version=$(cat "$here/version" 2>/dev/null || echo "$FAKE_VERSION")
stop() { [[ ${FAKE_STOP-} != "$1" ]] || exit 130; }
case "$1 ${2-}" in
  --version*) echo "Python $version" ;;
  '-c '*version_info*)
    [[ $2 != *', pip'* || -d $here/lib/python3/site-packages/pip ]] || exit 1
    ((${version#3.} >= 11)) || exit 1
    echo "Python $version"
    ;;
  '-c '*hashlib*) sha256sum | cut -c1-8 ;;
  '-m venv')
    mkdir -p "$3/bin" "$3/lib/python3/site-packages"
    cp "$0" "$3/bin/python"
    echo "$version" >"$3/version"
    stop venv
    mkdir "$3/lib/python3/site-packages/pip"
    ;;
  '-m '*)
    echo "$2" >>"$FAKE/calls"
    for argument in "$@"; do
      [[ $argument != --output=data/* ]] || output=${argument#*=}
    done
    [[ -z ${output-} ]] || mkdir -p "$output"
    stop "$2"
    [[ -z ${output-} ]] || touch "$output/manifest.json"
    ;;
esac
"""


class Checkout:
    """The scripts, in a folder of their own, and a Python on PATH."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.root, self.fake = folder / 'check out', folder / 'fake'
        (self.root / 'launch').mkdir(parents=True)
        self.fake.mkdir()
        for name in ('environment.sh', 'quickstart.sh'):
            text = (machine_room.ROOT / 'launch' / name).read_text()
            (self.root / 'launch' / name).write_text(text)
        (self.root / 'launch' / 'make.sh').write_text(
            'set -euo pipefail\nsource launch/environment.sh requirements.txt\n'
        )
        (self.root / 'requirements.txt').touch()
        self.python = folder / 'bin' / 'python3'
        self.write_python(self.python)

    def write_python(self, path: pathlib.Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_PYTHON)
        path.chmod(0o755)

    def foreign(self, version: str, *, pip: bool, packages: bool) -> None:
        """A .venv that another program made."""
        packages_folder = self.root / '.venv' / 'lib' / 'python3' / 'site-packages'
        packages_folder.mkdir(parents=True)
        self.write_python(self.root / '.venv' / 'bin' / 'python')
        (self.root / '.venv' / 'version').write_text(version)
        if pip:
            (packages_folder / 'pip').mkdir()
            (packages_folder / 'pip-25.0.dist-info').mkdir()
        if packages:
            (packages_folder / 'numpy-2.3.0.dist-info').mkdir()

    def run(
        self, script: str = 'make.sh', *arguments: str, stop: str = '', **more: str
    ) -> tuple[int, str]:
        """(exit code, output); `stop` is the module of the call that is interrupted."""
        done = subprocess.run(
            ['bash', f'launch/{script}', *arguments],
            cwd=self.root,
            env={
                'PATH': f'{self.python.parent}{os.pathsep}{os.environ["PATH"]}',
                'FAKE': str(self.fake),
                'FAKE_VERSION': '3.12',
                'FAKE_STOP': stop,
                **more,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr

    def calls(self) -> list[str]:
        """The modules that ran since the last call of this."""
        path = self.fake / 'calls'
        found = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return found


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> Checkout:
    return Checkout(tmp_path)


def test_an_environment_is_made_once_and_says_how_long_it_takes(
    checkout: Checkout,
) -> None:
    code, output = checkout.run()
    assert (code, checkout.calls()) == (0, ['pip'])
    assert 'making .venv with Python 3.12' in output
    assert '600 MB and 2 to 5 minutes' in output
    assert (*checkout.run(), checkout.calls()) == (0, 'reusing .venv\n', [])
    (checkout.root / 'requirements.txt').write_text('numpy\n')
    checkout.run()
    assert checkout.calls() == ['pip']


def test_an_environment_that_was_interrupted_when_it_was_made_is_made_anew(
    checkout: Checkout,
) -> None:
    assert checkout.run(stop='venv')[0] == 130
    assert (checkout.root / '.venv/bin/python').exists()
    code, output = checkout.run()
    assert (code, checkout.calls()) == (0, ['pip'])
    assert 'making .venv anew: it has no Python from 3.11 on that runs, or no pip' in (
        output
    )


def test_pip_alone_may_be_half_there_too(checkout: Checkout) -> None:
    checkout.run(stop='venv')
    (checkout.root / '.venv/lib/python3/site-packages/pip').mkdir()
    assert 'anew: it was interrupted when it was made' in checkout.run()[1]


def test_packages_that_were_half_installed_are_installed_at_the_next_call(
    checkout: Checkout,
) -> None:
    assert checkout.run(stop='pip')[0] == 130
    code, output = checkout.run()
    assert (code, checkout.calls()) == (0, ['pip', 'pip'])
    assert 'making .venv' not in output


def test_a_half_made_environment_of_an_earlier_version_is_made_anew(
    checkout: Checkout,
) -> None:
    checkout.foreign('3.12', pip=False, packages=False)
    code, output = checkout.run()
    assert (code, 'making .venv anew' in output) == (0, True)
    assert checkout.calls() == ['pip']


@pytest.mark.parametrize(
    ('version', 'pip', 'python', 'cause'),
    [
        ('3.12', False, '', 'or no pip'),  # as uv makes them
        ('3.10', True, '', 'no Python from 3.11 on'),
        ('3.11', True, 'python3', 'of Python 3.11, and PYTHON=python3 is Python 3.12'),
    ],
)
def test_an_environment_with_packages_of_others_is_refused_and_stays(
    checkout: Checkout, version: str, pip: bool, python: str, cause: str
) -> None:
    checkout.foreign(version, pip=pip, packages=True)
    code, output = checkout.run(PYTHON=python)
    assert code == 2
    assert output.startswith('error: .venv can not be used')
    assert cause in output
    assert output.endswith('rm -rf .venv\n')
    assert (checkout.root / '.venv/version').read_text() == version
    assert checkout.calls() == []


def test_an_environment_of_another_python_is_made_anew_if_it_is_ours(
    checkout: Checkout,
) -> None:
    checkout.run()
    code, output = checkout.run(PYTHON='python3', FAKE_VERSION='3.13')
    assert code == 0
    assert 'anew: it is of Python 3.12, and PYTHON=python3 is Python 3.13' in output
    # Without PYTHON the environment decides, whatever python3 is.
    assert checkout.run(FAKE_VERSION='3.10') == (0, 'reusing .venv\n')


def test_an_old_python_is_refused_before_anything_is_made(checkout: Checkout) -> None:
    code, output = checkout.run(FAKE_VERSION='3.10')
    assert code == 2
    assert 'python3 is not Python 3.11 or newer; name one' in output
    assert not (checkout.root / '.venv').exists()


BUILD, TRAIN, EVALUATE = 'data_pipeline.build', 'launch.train', 'launch.evaluate'


@pytest.mark.parametrize(
    ('stop', 'first', 'then'),
    [
        (BUILD, [BUILD], [BUILD, TRAIN, BUILD, TRAIN, EVALUATE]),
        (TRAIN, [BUILD, TRAIN], [TRAIN, BUILD, TRAIN, EVALUATE]),
        (EVALUATE, [BUILD, TRAIN, BUILD, TRAIN, EVALUATE], [TRAIN, TRAIN, EVALUATE]),
    ],
)
def test_the_quickstart_goes_on_where_it_was_stopped(
    checkout: Checkout, stop: str, first: list[str], then: list[str]
) -> None:
    code, output = checkout.run('quickstart.sh', stop=stop)
    assert (code, checkout.calls()) == (130, ['pip', *first])
    assert output.endswith('stopped: bash launch/quickstart.sh goes on from here\n')
    code, output = checkout.run('quickstart.sh')
    assert (code, checkout.calls()) == (0, then)
    assert '2 to 4 minutes on two cores' in output


def test_gpt2_is_the_base_in_place_of_a_run_from_scratch(checkout: Checkout) -> None:
    code, output = checkout.run('quickstart.sh', '--gpt2', stop=TRAIN)
    assert (code, checkout.calls()) == (130, ['pip', BUILD, TRAIN])
    assert '--config.model.pretrained=gpt2 ' in output
    assert output.endswith(
        'stopped: bash launch/quickstart.sh --gpt2 goes on from here\n'
    )
    (checkout.root / 'a folder').mkdir()
    (checkout.root / 'a folder/config.json').touch()
    output = checkout.run('quickstart.sh', '--gpt2=a folder')[1]
    assert checkout.calls() == [TRAIN, EVALUATE]
    assert f'--config.model.pretrained={checkout.root}/a folder ' in output


def test_the_quickstart_names_its_options(checkout: Checkout) -> None:
    assert checkout.run('quickstart.sh', '--gpt3') == (
        2,
        'error: --gpt3 is not an option; there are --gpt2, --gpt2=FOLDER, --fresh, '
        '--help\n',
    )
    assert not (checkout.root / '.venv').exists()
