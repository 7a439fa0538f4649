"""launch.train as its user meets it: in a process of its own."""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys

import forks
import programs
import pytest
import tiny_data

# What the config leaves out, in one run of these.
_ALL = (
    '--config.train.num_sample_questions=2',
    '--config.train.sample_max_new_tokens=8',
    '--config.train.layer_metrics_every_steps=2',
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forks.run('-m', *arguments)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A dataset of made-up pairs at data/ and a config of a tiny model."""
    root = tmp_path_factory.mktemp('program')
    tiny_data.make(root)
    return root


def train(
    folder: pathlib.Path, workdir: pathlib.Path, *more: str
) -> subprocess.CompletedProcess[str]:
    given = [*command(folder), f'--workdir={workdir}']
    return run(*programs.replaced(given, *more))


def command(folder: pathlib.Path) -> list[str]:
    return [
        'launch.train',
        f'--config={folder}/tiny.py',
        f'--config.data.path={folder}/data',
    ]


@pytest.fixture(scope='module')
def done(folder: pathlib.Path) -> tuple[pathlib.Path, str]:
    """A finished run and what it printed."""
    result = train(folder, folder / 'run', *_ALL)
    assert result.returncode == 0, result.stderr
    return folder / 'run', result.stdout


def test_a_run_says_what_it_will_be_and_how_it_ended(
    done: tuple[pathlib.Path, str],
) -> None:
    workdir, printed = done
    assert 'training a SentencePiece tokenizer' in printed
    assert 'loss before training' in printed
    assert 'done: 6 steps\nbest validation loss' in printed
    assert (workdir / 'tokenizer' / 'tokenizer.model').is_file()
    steps = sorted(int(path.name) for path in (workdir / 'checkpoints').iterdir())
    assert steps == [3, 6]
    rows = (workdir / 'metrics.jsonl').read_text().splitlines()
    kinds = {json.loads(row)['kind'] for row in rows}
    assert kinds == {'train', 'evaluation', 'samples', 'layers', 'call', 'summary'}


def test_the_same_command_again_has_nothing_to_do(
    folder: pathlib.Path, done: tuple[pathlib.Path, str]
) -> None:
    again = train(folder, done[0], *_ALL)
    assert again.returncode == 0, again.stderr
    assert (
        'goes on       6 steps (24 rows) are done, 0 steps (0 rows) are left'
        in again.stdout
    )
    assert 'continuing from step 6 of 6' in again.stdout
    assert 'packing' not in again.stdout


def test_a_dry_run_prints_the_plan_and_makes_no_run(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    result = train(folder, tmp_path / 'never', '--dry_run')
    assert result.returncode == 0, result.stderr
    for word in (
        'trained',
        'frozen',
        'tokens per step',
        'epochs',
        'padding',
        'checkpoint',
        'for a step (gradients, activations, logits; xla attention)',
        'learning rate by step (cosine):',
    ):
        assert word in result.stdout
    plot = result.stdout.partition('learning rate by step')[2]
    assert plot.isascii()  # as in a log
    assert '1.00e-03 | **' in plot
    assert not (tmp_path / 'never').exists()


def test_a_run_for_other_machines_is_planned_with_its_price_and_joins_none(
    folder: pathlib.Path,
) -> None:
    others = {'JAX_COORDINATOR_ADDRESS': '127.0.0.1:9', 'JAX_NUM_PROCESSES': '2'}
    done = forks.run(
        '-m',
        *command(folder),
        '--dry_run',
        '--topology=h100x8',
        '--price_per_hour=12.5',
        '--config.train.batch_size=8',
        **{**others, 'JAX_PROCESS_ID': '1'},
    )
    assert done.returncode == 0, done.stderr
    assert 'devices       8 gpu devices, mesh 8x1x1 (data, fsdp, tensor), b' in (
        done.stdout
    )
    assert "can't be compiled here: its memory and collectives are esti" in done.stdout
    assert ' for 6 steps (an estimate by formula: ' in done.stdout
    assert ' h at 12.5 an hour' in done.stdout


def test_quick_cuts_the_run_to_ten_steps_and_needs_neither_tensorflow_nor_tfds(
    folder: pathlib.Path, done: tuple[pathlib.Path, str], tmp_path: pathlib.Path
) -> None:
    both = train(folder, tmp_path, '--quick', '--config.train.num_steps=5000')
    assert both.returncode == 2
    assert '--quick sets --config.train.num_steps itself' in both.stderr
    # The packed rows are there, and neither library can be imported.
    blocked = tmp_path / 'blocked'
    for name in ('tensorflow', 'tensorflow_datasets'):
        (blocked / name).mkdir(parents=True)
        (blocked / name / '__init__.py').write_text('raise ImportError("not here")')
    path = os.pathsep.join([str(blocked), str(programs.ROOT)])
    workdir = f'--workdir={tmp_path}/run'
    result = programs.run('-m', *command(folder), workdir, '--quick', PYTHONPATH=path)
    assert result.returncode == 0, result.stderr
    assert '--quick: 10 steps' in result.stdout
    assert 'done: 10 steps' in result.stdout


def test_every_wrong_override_is_named_at_once(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    result = train(
        folder,
        tmp_path / 'never',
        '--config.optimizer.learning_rat=1',
        '--config.train.num_steps=many',
    )
    assert result.returncode == 2
    assert 'did you mean optimizer.learning_rate' in result.stderr
    assert "train.num_steps='many' is not accepted" in result.stderr
    assert 'Traceback' not in result.stderr
    assert not (tmp_path / 'never').exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--config.data.path=nowhere'], 'nowhere is not a dataset'),
        (['--config.data.seq_len=256'], 'model.n_positions'),
        (['--config.model.pretrained=nowhere/at/all'], 'nowhere/at/all'),
        (['--config.lora.rank=2'], 'lora.rank=2 without model.pretrained'),
        (['--config.tokenizer.path=/nowhere/at/all'], '/nowhere/at/all'),
        (['--config.model.vocab_size=300'], 'model.vocab_size=300'),
        (['--allow_change=train.batchsize'], 'did you mean train.batch_size'),
        (['--topology=h100x8'], '--topology=h100x8 belongs to a plan; add --dry_run'),
    ],
)
def test_bad_input_gives_one_error_that_names_it(
    folder: pathlib.Path, tmp_path: pathlib.Path, arguments: list[str], message: str
) -> None:
    result = train(folder, tmp_path / 'never', *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith('error: ')
    assert message in result.stderr
    assert 'Traceback' not in result.stderr
    assert not (tmp_path / 'never').exists()


def test_a_checkpoint_of_another_model_is_refused(
    folder: pathlib.Path, done: tuple[pathlib.Path, str]
) -> None:
    result = train(folder, done[0], '--config.model.n_layer=3')
    assert result.returncode == 2
    assert 'model.n_layer: 1 -> 3' in result.stderr


def test_lora_on_the_run_and_a_base_that_moved(
    folder: pathlib.Path, done: tuple[pathlib.Path, str], tmp_path: pathlib.Path
) -> None:
    lora = [
        '--config.lora.rank=2',
        '--config.tokenizer.path=',
        *(f'--config.model.{size}=0' for size in ('n_layer', 'n_head')),
    ]
    base = tmp_path / 'base'
    base.symlink_to(done[0])
    first = train(folder, tmp_path / 'lora', f'--config.model.pretrained={base}', *lora)
    assert first.returncode == 0, first.stderr
    base.unlink()
    # A plan reads the base too: it refuses what the run would refuse.
    plan = [f'--config.model.pretrained={base}', *lora, '--dry_run']
    shutil.copytree(done[0], base)
    for step in (base / 'checkpoints').glob('[0-9]*'):
        shutil.rmtree(step / 'params')
    refused = train(folder, tmp_path / 'never', *plan)
    assert refused.returncode == 2
    assert 'no checkpoint that is whole' in refused.stderr
    shutil.rmtree(base)
    sample = ['launch.sample', f'--workdir={tmp_path}/lora', '--prompt=Why?']
    sample += ['--max_new_tokens=4']
    gone = run(*sample)
    assert gone.returncode == 2
    assert '--base' in gone.stderr
    found = run(*sample, f'--base={done[0]}')
    assert found.returncode == 0, found.stderr


def test_a_rate_that_ruins_the_weights_ends_in_a_command_that_works(
    folder: pathlib.Path, done: tuple[pathlib.Path, str], tmp_path: pathlib.Path
) -> None:
    workdir = shutil.copytree(done[0], tmp_path / 'run')
    more = ['--config.train.num_steps=9', '--config.optimizer.learning_rate=1e6']
    leave = '--allow_change=optimizer.learning_rate'
    stopped = train(folder, workdir, *more, leave)
    assert stopped.returncode == 2
    assert 'error: training has diverged: the state of step' in stopped.stderr
    assert 'the newest good step on disk is 6' in stopped.stderr
    assert 'Traceback' not in stopped.stderr
    *_, command = stopped.stderr.splitlines()
    python, m, *arguments = shlex.split(command)
    assert (python, m, arguments[-1]) == ('python', '-m', leave)
    again = run(*arguments)
    assert again.returncode == 0, again.stderr
    assert 'done: 9 steps' in again.stdout


def test_a_run_killed_at_random_moments_is_the_run_that_nothing_stopped(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    result = run(
        'launch.prove_resume',
        *command(folder)[1:],
        '--kills=2',
        '--steps=18',
        '--seed=23',
        f'--output={tmp_path}/proof',
        '--config.model.n_layer=2',
        '--config.model.resid_pdrop=0.1',
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.match(r'bit-equal after 2 kills .*: 18 losses, 6 evalu', result.stdout)
    report = json.loads((tmp_path / 'proof' / 'report.json').read_text())
    hits = report['kills']
    assert [hit['aim'] for hit in hits] == ['step', 'save']
    assert {hit['signal'] for hit in hits} == {'SIGKILL', 'SIGTERM'}
    assert any(hit['logged'] > hit['step_before'] for hit in hits)


def test_prove_resume_names_every_wrong_flag(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    result = run(
        'launch.prove_resume',
        *command(folder)[1:],
        '--kills=0',
        '--steps=7',
        '--seed=-1',
        f'--output={tmp_path}',
        '--config.train.num_steps=5',
        '--config.train.checkpoint_every_steps=3',
    )
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        'error: --kills=0 is not accepted; use from 1 to 1,048,576.',
        '--config.train.num_steps is set by launch.prove_resume itself; give --steps.',
        '--steps=7 with a checkpoint every 3 steps makes under 3 checkpoints; give '
        '--steps=9 or more.',
        '--seed=-1 is not accepted; use 0 or more.',
        f'--output={tmp_path} exists; give a new name, or move it away.',
    ]


def test_a_run_out_of_time_exits_75_and_the_same_command_goes_on(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    result = train(folder, tmp_path, '--config.train.max_minutes=0.0001')
    assert result.returncode == 75, result.stderr
    assert 'stopped at step 1 of 6: train.max_minutes are over; saved' in result.stdout
    assert 'next: the same command goes on from there' in result.stdout


def test_ctrl_c_while_libraries_load_is_one_line(tmp_path: pathlib.Path) -> None:
    # A library that loads for ever, and says when it has begun.
    (tmp_path / 'absl.py').write_text(
        "import sys, time\nprint('loading', flush=True)\ntime.sleep(60)\n"
    )
    for program in ('launch.train', 'launch.sample', 'data_pipeline.build'):
        child = subprocess.Popen(
            [sys.executable, '-m', program],
            cwd=programs.ROOT,
            env={
                **os.environ,
                'PYTHONPATH': os.pathsep.join([str(tmp_path), str(programs.ROOT)]),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts what is in its background without SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert child.stdout.readline() == 'loading\n'
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
        assert (child.returncode, said) == (130, 'stopped by Ctrl-C\n')


@pytest.mark.parametrize(
    'name', ['gpt2', pytest.param('openai-community/gpt2-xl', marks=pytest.mark.slow)]
)
def test_a_published_model_is_planned_without_a_network(
    name: str, folder: pathlib.Path
) -> None:
    done = programs.run(
        '-m',
        'launch.train',
        '--config=gpt2_lora',
        f'--config.model.pretrained={name}',
        f'--config.data.path={folder}/data',
        '--config.data.seq_len=128',
        '--config.train.num_steps=50',
        '--topology=h100x8',
        '--dry_run',
        '--json',
        HF_HUB_OFFLINE='1',
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)['plan']
    # 124M and 1.5B, by hand: wte, wpe, the blocks' 12 n^2 + 13 n, ln_f.
    width, layers = (768, 12) if name == 'gpt2' else (1600, 48)
    count = (50257 + 1024 + 2) * width + layers * (12 * width**2 + 13 * width)
    assert plan['frozen_parameters'] == count
    assert f'{count:,} frozen' in done.stderr
    said = f'sizes of {name} from the published config, not checked; rows estimated at'
    assert 'the hub can not be reached from this machine: ' + said in done.stderr
    # By hand: at 35% of 8 * 989 TFLOP/s, 6 FLOPs a parameter and more.
    assert 0 < plan['seconds_per_step'] < 0.1
    # About 45 tokens in each of the 45 pairs of 24 short words.
    assert 10 <= plan['num_rows'] <= 29
