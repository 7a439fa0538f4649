"""`hax saturation` and `hax tune`, from their command to what they write."""

import json
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import programs
import pytest
import tiny_data

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    made = tmp_path_factory.mktemp('tuning')
    tiny_data.make(made)
    return made


def command(root: pathlib.Path, program: str, *more: str) -> list[str]:
    return [
        '-m',
        f'launch.{program}',
        f'--config={root}/tiny.py',
        f'--config.data.path={root}/data',
        '--config.train.num_steps=8',
        *more,
    ]


def found(done: Any, code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_saturation_is_stopped_goes_on_and_gives_its_verdict(
    root: pathlib.Path,
) -> None:
    output = root / 'saturation'
    asked = command(root, 'saturation', f'--output={output}', '--json')
    plan = found(programs.run(*asked, '--dry_run'))
    assert plan['steps'] == 5 * 8
    assert not output.exists()
    child = subprocess.Popen(
        [sys.executable, *asked],
        cwd=programs.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(output.glob('trials/*/metrics.jsonl')):
        time.sleep(0.1)
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    _, said = child.communicate()
    assert child.returncode == 130, said
    assert 'the same command goes on' in said
    done = programs.run(*asked)
    made = found(done)
    assert made['verdict'] in ('more data', 'not your problem', 'not known')
    assert sorted(made['sizes']) == made['sizes']
    assert made == json.loads((output / 'saturation.json').read_text())
    assert (output / 'saturation.html').is_file()
    again = programs.run(*asked)
    assert again.stderr.count('there already') >= 5
    assert found(again) == made
    refused = programs.run(*asked, '--max_steps=9')
    assert refused.returncode == 2
    assert 'give 40 or more' in refused.stderr


def test_tune_writes_a_config_that_training_takes(root: pathlib.Path) -> None:
    output = root / 'tuned advice'
    asked = command(root, 'tune', f'--output={output}', '--json', '--range_steps=20')
    refused = programs.run(*asked, '--dry_run', '--max_steps=9')
    assert refused.returncode == 2
    assert 'makes trials of 0 steps, and each needs 8; give 74' in refused.stderr
    assert 'packing' not in refused.stdout  # refused before anything is made
    done = programs.run(*asked)
    made = found(done)
    assert f"--config='{output}/recommended.py' --workdir=" in done.stderr
    fields = [each['field'] for each in made['decisions']]
    assert fields[0] == 'optimizer.learning_rate'
    assert fields[-1] == 'train.epochs'
    assert pathlib.Path(made['page']).is_file()
    trained = programs.run(
        '-m',
        'launch.train',
        f'--config={output}/recommended.py',
        f'--workdir={root}/run',
    )
    assert trained.returncode == 0, trained.stderr
    weighed = command(root, 'saturation', f'--output={root}/saturation', '--json')
    told = found(programs.run(*weighed, f'--tuned={output}'))
    assert told['tuning'] == made['gain']
