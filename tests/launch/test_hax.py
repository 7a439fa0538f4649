"""`hax`: its list, its programs, its words for the Tab key."""

import importlib.util
import pathlib
import re
import subprocess
import sys
import tomllib

import programs
import pytest

from launch import hax


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return programs.run('-m', 'launch.hax', *arguments)


def test_hax_alone_lists_every_program_with_a_line() -> None:
    listed = run().stdout
    for name in hax.PROGRAMS:
        assert f'\n  {name} ' in listed
    assert 'Answers letters with the models' in listed
    assert max(map(len, listed.splitlines())) <= 100


def test_hax_says_that_its_output_can_not_be_written() -> None:
    with open('/dev/full', 'w') as full:
        done = subprocess.run(
            [sys.executable, '-m', 'launch.hax'],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=programs.ROOT,
        )
    assert done.returncode == 2
    assert done.stderr == (
        'error: standard output can not be written to: [Errno 28] No space left on '
        'device\n'
    )


def test_every_program_of_hax_is_one() -> None:
    for module in hax.PROGRAMS.values():
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None
        source = pathlib.Path(spec.origin).read_text()
        assert "if __name__ == '__main__':" in source, module


def test_every_program_has_a_result_for_json() -> None:
    for module in {*hax.PROGRAMS.values()} - {'launch.chat'}:
        source = (programs.ROOT / f'{module.replace(".", "/")}.py').read_text()
        assert 'results.give(' in source, module


def test_every_program_that_a_text_names_is_there() -> None:
    """A remedy works as it is typed: `hax NAME` and `python -m MODULE`."""
    unknown = []
    files = [programs.ROOT / 'README.md']
    for folder in ('hax_jax', 'launch', 'data_pipeline', 'configs'):
        files += sorted((programs.ROOT / folder).rglob('*.py'))
    for path in files:
        text = path.read_text(encoding='utf-8')
        names = re.findall(r"\bhax(?: '\s+f?'|\s)\s*([a-z]\S*\b)", text)
        modules = re.findall(r'python -m ((?:launch|data_pipeline)\.\w+)', text)
        unknown += [(path.name, name) for name in {*names} - {*hax.PROGRAMS}]
        known = {*hax.PROGRAMS.values(), 'launch.hax'}
        unknown += [(path.name, name) for name in {*modules} - known]
    assert unknown == []


def test_pip_installs_hax() -> None:
    project = tomllib.loads((programs.ROOT / 'pyproject.toml').read_text())
    assert project['project']['scripts'] == {'hax': 'launch.hax:main'}
    included = project['tool']['setuptools']['packages']['find']['include']
    assert {f'{name.split(".")[0]}*' for name in hax.PROGRAMS.values()} <= {*included}
    assert 'configs*' in included


@pytest.mark.parametrize(
    ('name', 'more'),
    [
        ('trian', '; did you mean train?'),
        ('prove-resume', '; did you mean prove_resume?'),
        ('exprt', '; did you mean export?'),
        ('quite_another_thing', '.'),
        *[(each, f'; did you mean {name}?') for name, each in hax.PROGRAMS.items()],
        *[
            (each.rpartition('.')[2], f'; did you mean {name}?')
            for name, each in hax.PROGRAMS.items()
            if each.rpartition('.')[2] not in hax.PROGRAMS
        ],
        ('launch/import_checkpoint.py', '; did you mean import?'),
    ],
)
def test_a_program_that_is_not_there_is_named_with_the_nearest(
    name: str, more: str
) -> None:
    more = more.replace('compare', 'evaluate')  # one module
    assert hax._unknown(name) == f'{name} is not a program of hax{more}'


def test_an_unknown_program_is_a_mistake() -> None:
    done = run('trian')
    assert done.returncode == 2
    assert done.stderr == (
        'error: trian is not a program of hax; did you mean train?\nTry hax --help.\n'
    )


def test_compare_takes_two_models() -> None:
    done = run('compare', '--workdir=none')
    assert done.returncode == 2
    assert done.stderr.startswith('error: one model is given; give a second')


def test_a_config_is_found_by_its_name_from_any_folder(tmp_path: pathlib.Path) -> None:
    script = 'import os, sys; os.chdir(sys.argv.pop(1)); from launch import hax; '
    script += 'hax.main()'
    given = '--config=scratch_small', '--config.data.path=none', '--workdir=w'
    done = programs.run('-c', script, tmp_path, 'train', *given)
    assert done.returncode == 2
    assert done.stderr.startswith('error: none is not a dataset')
    given = '--config=scratch_smal', '--config.data.path=none'
    done = programs.run('-c', script, tmp_path, 'train', *given)
    assert '--config=scratch_smal is not a file; did you mean scratch_small?' in (
        done.stderr
    )


@pytest.mark.parametrize(
    ('words', 'some', 'none'),
    [
        ([''], 'train', '--config='),
        (['--', 'train'], '--workdir=', '--temperature='),
        (['--', 'train'], '--dry_run', 'train'),
        (['--config.lo', 'train'], '--config.lora.rank=', '--workdir='),
        (['--', 'sample'], '--temperature=', '--config.'),
        (['--', 'build'], '--config.', '--workdir='),
        (['--', 'nothing'], '', 'train'),
    ],
)
def test_names_are_what_may_follow(words: list[str], some: str, none: str) -> None:
    names = run('--names', *words).stdout.splitlines()
    assert (some in names or not some) and none not in names


def test_bash_completes_programs() -> None:
    script = f'{hax._COMPLETION}\nhax() {{ printf "train\\nsample\\n"; }}\n'
    script += 'COMP_WORDS=(hax tr) COMP_CWORD=1\n_hax hax tr hax 2>/dev/null\n'
    script += 'echo "${COMPREPLY[@]}"'
    done = subprocess.run(['bash', '-c', script], capture_output=True, text=True)
    assert done.stdout.split() == ['train']
