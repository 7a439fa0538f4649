"""Programs answer mistakes and --help before they import JAX or another large library.

Their seconds: `python tests/benchmarks/start.py`.
"""

import json
import re
from typing import Any

import programs
import pytest

# What is imported with JAX, or takes long by itself.
_LARGE = 'jaxlib flax optax orbax tensorstore tensorflow transformers scipy pandas'
# Runs each program in a fork of one process, which has loaded nothing that is large.
_CHILD = """
import contextlib, io, json, os, runpy, sys
# What each of them would import for itself, and nothing else.
import hax_jax.config.schema, hax_jax.program.config_flag, hax_jax.program.entry

large = set(sys.argv[1].split())
assert not large & sys.modules.keys()
commands = json.loads(sys.argv[2])
for name, *arguments in commands:
    read, write = os.pipe()
    if not os.fork():
        sys.argv, said = [name, *arguments], io.StringIO()
        code = None
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                runpy.run_module(name, run_name='__main__', alter_sys=True)
            except SystemExit as end:
                code = end.code
        found = [code, said.getvalue(), sorted(large & sys.modules.keys())]
        with open(write, 'w') as pipe:
            json.dump(found, pipe)
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        print(pipe.read())
    os.wait()
"""
_CONFIG = '--config=configs/scratch_small.py'
_RUN = '--workdir=no/run'
_NO_RUN = 'no/run is not a run of launch.train: it does not exist.'
_NO_DATA = 'no/data is not a dataset'
_CLOSED = '=/proc/x: /proc is not a folder that can be written to ('
# Program -> flags that are right but for a file or a value, and what is said of it.
_WRONG = {
    'launch.benchmark': [
        (['--config=no.py'], '--config=no.py is not a file'),
        ([_CONFIG, '--only=trian'], '--only=trian is not a part'),
    ],
    'launch.chat': [([_RUN], _NO_RUN), ([_RUN, '--top_p=2'], 'top_p')],
    'launch.checkpoints': [([_RUN], _NO_RUN), ([_RUN, '--delete=x'], 'not a step')],
    'launch.doctor': [
        ([_RUN], _NO_RUN),
        (['--legacy_log=no.txt'], 'no.txt can not be read'),
        ([], 'nothing to look at is given'),
        (['--adapter=x'], 'stands on a base'),
        ([_CONFIG, '--config.data.path=no/data'], _NO_DATA),
    ],
    'launch.evaluate': [
        ([_RUN], _NO_RUN),
        (['--pretrained=gpt2', '--data=no/data'], _NO_DATA),
        (['--pretrained=gpt2', '--data=d', '--output=/proc/x'], _CLOSED),
        ([_RUN, '--split=tset'], '--split=tset is not accepted; use one of train, '),
        ([_RUN, '--step=a'], '--step=a is not accepted; use a whole number'),
    ],
    'launch.export': [
        ([_RUN, '--format=hf', '--output=no/out'], _NO_RUN),
        ([_RUN, '--format=fh', '--output=no/out'], "--format='fh' is not accepted"),
    ],
    'launch.import_checkpoint': [
        (['no.pt', '--output=no/out'], 'no.pt does not exist'),
        (['no.pt', '--output=/proc/x'], _CLOSED),
        (['no.pt', '--n_head=x'], '--n_head=x is not accepted; use a whole number'),
        (['no.pt', '--alpha=x'], '--alpha=x is not accepted; use a number such as'),
    ],
    'launch.pack': [
        (['--config=no.py'], '--config=no.py is not a file'),
        ([_CONFIG, '--config.data.path=no/data'], _NO_DATA),
    ],
    'launch.prove_resume': [
        (['--config=no.py'], '--config=no.py is not a file'),
        ([_CONFIG, '--config.data.path=no/data', '--kills=0'], '--kills=0 is not acc'),
        ([_CONFIG, '--config.data.path=no/data'], _NO_DATA),
    ],
    'launch.report': [
        ([_RUN], _NO_RUN),
        ([], '--workdir is missing'),
        ([_RUN, '--output=configs'], '--output=configs is a folder'),
    ],
    'launch.sample': [
        ([_RUN, '--prompt=why'], _NO_RUN),
        ([_RUN, '--prompts=no.txt'], 'no.txt does not exist'),
        ([_RUN, '--prompt=why', '--output=/proc/x'], _CLOSED),
        ([_RUN, '--prompt=why', '--batch_size=0'], '--batch_size=0 is not accepted'),
        ([_RUN, '--list=maybe'], '--list=maybe is not accepted; use true or false.'),
        ([_RUN, '--flagfile=no.txt'], '--flagfile: no.txt: no such file or directory'),
    ],
    'launch.saturation': [
        (
            [_CONFIG, '--config.data.path=d', '--output=no/out', '--tuned=no'],
            'no output of hax tune (no/tune.json: no such file or directory)',
        ),
        ([_CONFIG, '--config.data.path=no/data', '--output=no/out'], _NO_DATA),
        ([_CONFIG, '--config.data.path=no/data'], '--output is missing'),
        ([_CONFIG, '--minutes=-1'], 'findings.\n--minutes=-1.0 is not accepted'),
        (
            [_CONFIG, '--config.data.path=d', '--output=no/out', '--max_steps=-1'],
            '--max_steps=-1 is not accepted; use 1 or more, or 0 for as many as',
        ),
    ],
    'launch.train': [
        (['--config=no.py', _RUN], '--config=no.py is not a file'),
        ([_CONFIG, '--config.data.path=no/data', _RUN], _NO_DATA),
        ([_CONFIG, _RUN, '--config.train.batch_size=0'], 'train.batch_size=0'),
        ([_CONFIG], 'give its folder.\n--workdir is missing'),
        (
            [_CONFIG, '--flagfile=no.txt'],
            '--flagfile: no.txt: no such file or directory',
        ),
    ],
    'data_pipeline.browse': [
        (['--data=no/data'], _NO_DATA),
        (['--data=no/data', '--split=tset'], 'use one of train, validation, test.'),
    ],
    'data_pipeline.build': [
        (['--input=no.md', '--output=no/out'], 'no.md'),
        (['--input=README.md', '--output=/proc/x'], _CLOSED),
        (['--input=no.md', '--config.quality.min_score=x'], 'quality.min_score'),
    ],
    'data_pipeline.collect': [
        (['--source=dump', '--input=no.zst', '--output=no.jsonl'], 'no.zst')
    ],
    'data_pipeline.export_chat': [
        (['--data=no/data', '--output=no.jsonl'], _NO_DATA),
        (['--data=no/data', '--output=no.jsonl', '--split=tset'], 'not a split'),
    ],
    'data_pipeline.extract': [
        (['--input=no.md', '--output=no.jsonl'], 'no.md'),
        (['--input=README.md', '--output=/proc/x'], _CLOSED),
    ],
    'launch.tune': [
        # What is wrong with the config and with a flag is said at once.
        ([_CONFIG], 'give its folder.\n--output is missing'),
        (
            [_CONFIG, '--config.data.path=d', '--max_steps=3', '--range_steps=5'],
            'findings.\n--range_steps=5 is not accepted; use 10 to 500.\n'
            '--max_steps=3 makes trials of 0 steps, and each needs 8; give 59 or more.'
            '\nd is not a dataset (there is no such folder)',
        ),
        ([_CONFIG, '--config.data.path=no/data', '--output=no/out'], _NO_DATA),
        ([_CONFIG, '--config.data.path=no/data'], '--output is missing'),
        (
            [_CONFIG, '--config.data.path=d', '--output=no/out', '--range_steps=5'],
            '--range_steps=5 is not accepted',
        ),
    ],
}


def commands() -> list[tuple[list[str], int, str]]:
    """(program and flags, its exit code, what it says)."""
    found = []
    for name, wrong in _WRONG.items():
        found.append(([name, '--help'], 0, '\nflags:\n'))
        found.append(([name, '--wrokdir=a'], 2, 'wrokdir'))
        found += [([name, *arguments], 2, said) for arguments, said in wrong]
    return found


@pytest.fixture(scope='module')
def answers() -> list[Any]:
    asked = json.dumps([command for command, *_ in commands()])
    done = programs.run('-c', _CHILD, _LARGE, asked)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    'index', range(len(commands())), ids=lambda index: ' '.join(commands()[index][0])
)
def test_help_and_mistakes_are_answered_before_a_large_library_is_imported(
    answers: list[Any], index: int
) -> None:
    _, code, said = commands()[index]
    found_code, found_said, large = answers[index]
    assert said in found_said
    assert found_code == code
    assert large == []


def test_each_program_is_asked() -> None:
    found = {
        f'{folder}.{path.stem}'
        for folder in ('launch', 'data_pipeline')
        for path in (programs.ROOT / folder).glob('*.py')
        if re.search(r'^    entry\.run\(', path.read_text('utf-8'), re.M)
    }
    assert found == _WRONG.keys()


@pytest.mark.parametrize('name', _WRONG)
def test_a_program_gives_what_it_found_to_json(name: str) -> None:
    source = (programs.ROOT / f'{name.replace(".", "/")}.py').read_text('utf-8')
    assert 'results.give(' in source


@pytest.mark.parametrize(
    'name', ['build', 'extract', 'browse', 'export_chat', 'collect']
)
def test_flags_are_read_before_parsers_and_their_database(name: str) -> None:
    code = (
        f'import sys, data_pipeline.{name}; '
        'print({"duckdb", "pyarrow", "ftfy"} & set(sys.modules))'
    )
    assert programs.run('-c', code).stdout == 'set()\n'


def test_a_build_names_a_missing_file_before_its_database_is_imported() -> None:
    wrong = ('--input=no.md', '--output=no/out')
    done = programs.run('-X', 'importtime', '-m', 'data_pipeline.build', *wrong)
    assert done.returncode == 2
    assert "error: 'no.md' does not exist; check the path." in done.stderr
    assert ' duckdb' not in done.stderr
