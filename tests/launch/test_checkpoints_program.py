"""launch.checkpoints on a small run, whole and damaged."""

import json
import pathlib
import re
import shlex
import shutil
from typing import Any

import forks
import numpy as np
import pytest
import tiny_runs

from hax_jax.data import records
from hax_jax.runs import checkpoint, only_writer, restore, run_folder, saved_steps

# Calls the program's main once for each list of arguments, in one process.
_CHILD = """
import contextlib, io, json, sys
from absl import flags
from absl.testing import flagsaver
from hax_jax import errors
from launch import checkpoints
results = []
for arguments in json.loads(sys.stdin.read()):
    said = io.StringIO()
    with flagsaver.flagsaver(), contextlib.redirect_stdout(said):
        flags.FLAGS(['checkpoints', *arguments])
        try:
            code = checkpoints.main()
        except errors.InputError as error:
            code = 2
            print(error)
    results.append([code, said.getvalue()])
print(json.dumps(results))
"""
_SIZES = {'model__n_layer': 1, 'model__n_embd': 8}


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return tiny_runs.write_cache(tmp_path_factory.mktemp('data') / 'cache')


@pytest.fixture(scope='module')
def runs(
    cache: records.PackedCache, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """whole/ has steps 5, 10 and 15; of damaged/ step 15 and config.json changed."""
    folder = tmp_path_factory.mktemp('runs')
    config = tiny_runs.make_config(
        **_SIZES, train__num_steps=15, train__keep_last=3, train__eval_every_steps=15
    )
    tiny_runs.train(cache, folder / 'whole', config)
    damaged = shutil.copytree(folder / 'whole', folder / 'damaged')
    shutil.copytree(folder / 'whole', folder / 'fewer')
    (damaged / 'checkpoints' / '15' / 'params' / '_METADATA').write_text('{}')
    (damaged / 'config.json').write_text('{}')
    return folder


@pytest.fixture(scope='module')
def results(runs: pathlib.Path) -> dict[str, tuple[int, str]]:
    """Name of a call -> (exit code, what was printed)."""
    whole, damaged, fewer = (
        f'--workdir={runs / name}' for name in ('whole', 'damaged', 'fewer')
    )
    calls = {
        'list': [whole, f'--output={runs}/list.json'],
        'damaged': [damaged],
        'inspect': [whole, '--inspect=10', f'--output={runs}/step.json'],
        'inspect damaged': [damaged, '--inspect=15'],
        'inspect none': [whole, '--inspect=7'],
        'verify': [whole, '--verify'],
        'delete none': [fewer, '--delete=5,7'],
        'delete all': [fewer, '--delete=5,10,15'],
        'delete': [fewer, '--delete=15,5'],
        'delete last': [fewer, '--delete=10'],
        'delete force': [fewer, '--delete=10', '--force'],
        'delete of damaged': [damaged, '--delete=5,10'],
        'compact': [whole, f'--compact={runs}/small', '--step=10'],
        'nothing': [],
        'wrong': [
            whole,
            '--delete=5,x',
            '--verify',
            f'--compact={runs}',
            f'--output={runs}',
        ],
        'alone': [whole, '--force', '--step=5'],
        'empty': [whole, '--delete='],
        'no run': [f'--workdir={runs}', '--verify'],
    }
    done = forks.run('-c', _CHILD, given=json.dumps(list(calls.values())))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return dict(zip(calls, map(tuple, found), strict=True))


def report(runs: pathlib.Path, name: str) -> dict[str, Any]:
    return json.loads((runs / f'{name}.json').read_text('utf-8'))


def test_the_list_has_losses_sizes_and_what_is_damaged(
    runs: pathlib.Path, results: dict[str, tuple[int, str]]
) -> None:
    code, said = results['list']
    assert code == 0
    assert [line.split()[-1] for line in said.splitlines()[1:4]] == ['whole'] * 3
    assert '3 of 3 steps are whole' in said
    rows = report(runs, 'list')['steps']
    assert [row['step'] for row in rows] == [5, 10, 15]
    logged = {
        row['step']: row['loss'] for row in tiny_runs.lines(runs / 'whole', 'train')
    }
    (_, evaluated) = tiny_runs.lines(runs / 'whole', 'evaluation')
    assert [row['training_loss'] for row in rows] == [logged[s] for s in (5, 10, 15)]
    best = evaluated['eval_loss']
    assert [row['validation_loss'] for row in rows] == [None, None, best]
    files = (runs / 'whole' / 'checkpoints' / '5').rglob('*')
    assert rows[0]['bytes'] == sum(f.stat().st_size for f in files if f.is_file())
    code, said = results['damaged']
    assert code == 0
    assert 'DAMAGED: params/_METADATA has other bytes than were written' in said
    assert '2 of 3 steps are whole' in said


def test_a_step_is_shown_tensor_by_tensor(
    runs: pathlib.Path, results: dict[str, tuple[int, str]]
) -> None:
    code, said = results['inspect']
    assert code == 0
    assert len(said.splitlines()) <= 40
    tensors = {(t['tree'], t['name']): t for t in report(runs, 'step')['tensors']}
    parameters = restore.parts(str(runs / 'whole'), step=10).parameters
    for name, array in parameters.items():
        tensor = tensors['params', name]
        assert tensor['shape'] == list(array.shape)
        assert tensor['norm'] == pytest.approx(np.linalg.norm(array))
        assert (tensor['dtype'], tensor['not_finite']) == ('float32', 0)
    moments = [name for tree, name in tensors if tree == 'optimizer']
    assert len(moments) == 2 * len(parameters) + 2  # and counts of Adam and schedule
    total = np.sqrt(sum(np.sum(np.square(a, dtype=float)) for a in parameters.values()))
    assert f'params: {len(parameters)} tensors' in said
    assert f'norm {total:.6g}, 0 values not finite' in said
    assert (
        'is damaged: params/_METADATA has other bytes' in results['inspect damaged'][1]
    )
    assert results['inspect damaged'][0] == 2
    assert 'no checkpoint of step 7; it has 5, 10, 15' in results['inspect none'][1]


def test_verify_exits_with_1_and_names_all_that_is_damaged(
    runs: pathlib.Path, results: dict[str, tuple[int, str]]
) -> None:
    assert results['verify'][0] == 0
    workdir = shutil.copytree(runs / 'whole', runs / 'verified')
    (workdir / 'checkpoints' / '15' / 'step.json').write_text('{}')
    (workdir / 'config.json').write_text('{}')
    done = forks.run('-m', 'launch.checkpoints', f'--workdir={workdir}', '--verify')
    assert done.returncode == 1, done.stderr
    first, second, last = done.stdout.splitlines()
    assert first.startswith(f'{workdir}/config.json is damaged')
    assert second.startswith('step 15 is damaged: ')
    assert last.startswith('2 of 3 steps are whole')
    shutil.rmtree(workdir / 'checkpoints')
    flags = f'--workdir={workdir}', '--verify', '--json'
    done = forks.run('-m', 'launch.checkpoints', *flags)
    assert done.returncode == 1
    assert f'{workdir} has no checkpoint' in done.stderr
    found = json.loads(done.stdout)
    assert (found['steps'], found['whole'], len(found['damaged'])) == (0, 0, 2)
    code, said = results['no run']
    assert (code, 'is not a run of launch.train' in said) == (2, True)


def test_steps_are_deleted_but_the_last_whole_one(
    runs: pathlib.Path, results: dict[str, tuple[int, str]]
) -> None:
    code, said = results['delete none']
    assert (code, 'no checkpoint of step 7' in said) == (2, True)
    code, said = results['delete all']
    assert (code, 'say --force' in said) == (2, True)
    code, said = results['delete']
    assert code == 0
    assert 'deleted step 5' in said
    assert 'deleted step 15' in said
    assert re.search(r'step 15 was the best validation loss, \d', said)
    assert 'whole steps left: 10\n' in said
    assert results['delete last'][0] == 2
    assert results['delete force'][0] == 0
    assert list((runs / 'fewer' / 'checkpoints').iterdir()) == []
    # The step that would be left is damaged.
    code, said = results['delete of damaged']
    assert code == 2
    assert (runs / 'damaged' / 'checkpoints' / '5').is_dir()


def test_nothing_is_deleted_while_the_run_is_written(runs: pathlib.Path) -> None:
    workdir = runs / 'whole'
    with only_writer.held(workdir):
        done = forks.run(
            '-m', 'launch.checkpoints', f'--workdir={workdir}', '--delete=5'
        )
    assert done.returncode == 2
    assert 'another launch.train is writing' in done.stderr
    assert (workdir / 'checkpoints' / '5').is_dir()


def test_a_compacted_run_is_the_run_without_moments(
    cache: records.PackedCache,
    runs: pathlib.Path,
    results: dict[str, tuple[int, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = results['compact']
    assert code == 0
    assert f'wrote {runs}/small: step 10 of {runs}/whole in ' in said
    small, step = runs / 'small', runs / 'small' / 'checkpoints' / '10'
    assert checkpoint.parts(step) == [checkpoint.PARAMS]
    one, other = (restore.parts(str(path), step=10) for path in (runs / 'whole', small))
    assert one.parameters.keys() == other.parameters.keys()
    for name, array in one.parameters.items():
        assert array.tobytes() == other.parameters[name].tobytes()
    ids = {run_folder.read_run(folder)['id'] for folder in (runs / 'whole', small)}
    assert len(ids) == 2
    assert run_folder.read_config(small) == run_folder.read_config(runs / 'whole')
    config = tiny_runs.make_config(**_SIZES, train__num_steps=12)
    tiny_runs.train(cache, small, config)
    printed = capsys.readouterr().out
    assert 'the moments begin at zero' in printed
    assert 'resumed moments' not in printed
    assert [r['step'] for r in tiny_runs.lines(small, 'train')] == [11, 12]
    rows = [
        saved_steps.list_steps(folder / 'checkpoints', '')[at].metadata['rows']
        for folder, at in ((runs / 'whole', 1), (small, 0), (small, -1))
    ]
    assert rows == [80, 80, 96]  # at steps 10, 10 and 12


def test_every_wrong_flag_is_named(
    runs: pathlib.Path, results: dict[str, tuple[int, str]]
) -> None:
    assert results['nothing'] == (
        2,
        '--workdir is missing; give the folder of a run.\n',
    )
    code, said = results['wrong']
    assert code == 2
    assert said.splitlines() == [
        '--verify and --delete and --compact are given; give one of them.',
        "--delete='x' is not a step; give numbers such as --delete=100,200.",
        '--output goes with the list and --inspect alone; remove it.',
        f'--output={runs} is a folder; give the name of a file in it.',
        f'--compact={runs} exists; give a new name, or move it away.',
    ]
    assert '--delete= is empty; give steps' in results['empty'][1]
    twice = forks.run('-m', 'launch.checkpoints', '--delete=5', '--delete=15')
    assert (twice.returncode, '--delete is given 2 times' in twice.stderr) == (2, True)
    other = forks.run(
        '-m', 'launch.checkpoints', f'--workdir={runs}/whole', f'--output={__file__}'
    )
    assert (other.returncode, 'is no report of' in other.stderr) == (2, True)
    assert results['alone'][1].splitlines() == [
        '--force goes with --delete alone; remove it.',
        '--step goes with --compact alone; remove it.',
    ]


def test_the_doctor_names_damaged_bytes_and_its_remedy_works(
    runs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = shutil.copytree(runs / 'whole', tmp_path / 'run')
    looked = forks.run('-m', 'launch.doctor', f'--workdir={run}', '--all')
    assert 'OK   bytes: every file of 3 steps has the digest' in looked.stdout
    file = run / 'checkpoints' / '15' / 'step.json'
    file.write_text(
        file.read_text('utf-8').replace('"step": 15', '"step": 16'), 'utf-8'
    )
    looked = forks.run('-m', 'launch.doctor', f'--workdir={run}')
    assert (looked.returncode, looked.stderr) == (1, '')
    assert 'FAIL bytes: step 15 is damaged: ' in looked.stdout
    remedy = re.search(r'-m launch.checkpoints .*', looked.stdout)
    assert remedy
    assert forks.run(*shlex.split(remedy[0])).returncode == 0
    assert not file.parent.exists()
    assert 'bytes' not in forks.run('-m', 'launch.doctor', f'--workdir={run}').stdout
    for step in (5, 10):  # without a whole step, none is to be deleted
        (run / 'checkpoints' / f'{step}' / 'step.json').write_text('{}', 'utf-8')
    looked = forks.run('-m', 'launch.doctor', f'--workdir={run}')
    assert 'remedy: copy it from a backup\n' in looked.stdout
