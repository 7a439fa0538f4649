"""`hax doctor` on a run that is not begun, and on that run afterwards."""

import json
import pathlib

import forks
import pytest
import tiny_data

from hax_jax.doctor import diagnosis
from hax_jax.runs import run_folder


@pytest.mark.parametrize('program', ['launch.doctor', 'launch.report'])
def test_a_step_of_a_run_is_refused_by_programs_of_whole_runs(
    program: str, tmp_path: pathlib.Path
) -> None:
    run = tmp_path / 'run'
    done = forks.run('-m', program, f'--workdir={run}@2')
    assert (done.returncode, done.stderr) == (
        2,
        f'error: {run}@2 is not a run: the folder is {run}; this program looks at a '
        f'whole run: give --workdir={run}.\n',
    )


def test_a_run_given_as_the_folder_of_a_model_is_called_a_run(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / 'run.json').write_text('{}')
    done = forks.run('-m', 'launch.doctor', f'--folder={tmp_path}')
    assert (done.returncode, done.stderr) == (
        2,
        f'error: --folder={tmp_path} is a run of launch.train; give it as --workdir, '
        'or export it first and give the folder that was made.\n',
    )


def test_texts_without_a_model_to_read_them_are_refused() -> None:
    done = forks.run('-m', 'launch.doctor', '--data=data/advice', '--workdir=runs/a')
    assert (done.returncode, done.stderr) == (
        2,
        'error: --data=data/advice has no effect without --config=FILE of a run to '
        'begin, or --folder=FOLDER of a model; give one of them.\n',
    )


def test_a_run_that_was_refused_at_its_first_step_is_told_why(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / run_folder.UNSAVED).touch()
    found = diagnosis.Finding(
        'labels', diagnosis.FAIL, '100% equal', 'Shifted twice.', 'Pack anew.', 'here'
    )
    diagnosis.write(tmp_path, [found], {})
    done = forks.run('-m', 'launch.doctor', f'--workdir={tmp_path}')
    assert (done.returncode, done.stderr) == (1, '')
    assert 'FAIL labels: 100% equal' in done.stdout
    assert 'cause: Shifted twice.' in done.stdout


@pytest.mark.slow
def test_a_run_is_examined_before_it_begins_and_after_it_ended(
    tmp_path: pathlib.Path,
) -> None:
    tiny_data.make(tmp_path)
    config = [f'--config={tmp_path}/tiny.py', f'--config.data.path={tmp_path}/data']
    given = [config[0], f'--data={tmp_path}/data']
    before = forks.run('-m', 'launch.doctor', *given, '--json')
    assert before.returncode in (0, 1), before.stderr
    assert 'looking at: trial steps on one batch (' in before.stderr
    found = {each['id']: each for each in json.loads(before.stdout)['before step 1']}
    for name in ('labels', 'EOS', 'loss mask', 'causality', 'schedule', 'gradients'):
        assert found[name]['verdict'] == 'ok', found[name]
    workdir = tmp_path / 'run'
    trained = forks.run('-m', 'launch.train', *config, f'--workdir={workdir}')
    assert trained.returncode == 0, trained.stderr
    assert 'checks found nothing wrong' in trained.stdout
    after = forks.run('-m', 'launch.doctor', f'--workdir={workdir}', '--all')
    assert 'causality' in after.stdout
    assert 'rate by step' in after.stdout or 'divergence' in after.stdout


def test_what_is_given_for_something_else_is_named(tmp_path: pathlib.Path) -> None:
    run, adapter, empty = (tmp_path / name for name in ('run', 'adapter', 'empty'))
    empty.mkdir()
    for folder, name in ((run, 'run.json'), (adapter, 'adapter_config.json')):
        folder.mkdir()
        (folder / name).write_text('{}')
    for flags, said in (
        ((f'--folder={adapter}',), f'--folder={adapter} is an adapter; give it as'),
        (
            ('--folder=base', f'--adapter={run}'),
            f'--adapter={run} is a run of launch.train; give it as --workdir,',
        ),
        (('--folder=base', '--adapter=nope'), '--adapter=nope is no folder; '),
        (
            ('--folder=base', f'--adapter={empty}'),
            f'--adapter={empty} has no adapter_config.json; give one that peft or hax',
        ),
        (('--workdir=',), '--workdir is empty; give it a value, or leave it out.'),
        # A run is refused as --folder, so it is no remedy.
        (
            (f'--folder={empty}',),
            f'--folder: {empty} has no config.json; give a Hugging Face GPT-2 '
            'folder.\n',
        ),
        ((f'--workdir={run}', '--base=nope'), '--base=nope has no effect without'),
        (
            ('--config=scratch_small', '--data=a', '--config.data.path=b'),
            '--data and --config.data.path are both given; give one of them.',
        ),
        (('--config=scratch_small', '--data=nope'), 'nope'),
    ):
        done = forks.run('-m', 'launch.doctor', *flags)
        assert (done.returncode, done.stdout) == (2, ''), done.stderr
        assert f'error: {said}' in done.stderr
        assert "data.path=''" not in done.stderr
