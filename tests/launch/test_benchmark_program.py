"""launch.benchmark as its user meets it."""

import json
import pathlib
import subprocess

import forks
import programs
import pytest

from hax_jax.benchmark import workloads
from hax_jax.config import convert


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    small = [
        '--config=tests/benchmarks/gpt2_124m.py',
        '--config.model.n_layer=1',
        '--config.model.n_head=2',
        '--config.model.n_embd=16',
        '--config.model.vocab_size=64',
        '--config.data.seq_len=16',
        '--config.train.batch_size=2',
    ]
    return forks.run('-m', 'launch.benchmark', *programs.replaced(small, *arguments))


def test_each_part_prints_a_line_of_json(tmp_path: pathlib.Path) -> None:
    done = run(
        f'--profile={tmp_path}',
        '--only=train,evaluation,generation,checkpoint',
        '--repeats=2',
        '--generation_batch_sizes=1,3',
        '--prompt_tokens=8',
        '--new_tokens=4',
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line.pop('benchmark') for line in lines] == [
        'machine',
        'train',
        'profile',
        'evaluation',
        'checkpoint',
        'generation',
        'generation',
    ]
    assert lines[0]['config']['model']['n_embd'] == 16
    step = lines[1]['step_seconds']
    assert 0 < step['minimum'] <= step['median'] <= step['maximum']
    assert lines[1]['positions_per_second'] == pytest.approx(32 / step['median'])
    assert 0 < lines[1]['share_of_matmul_peak'] < 1
    shares = lines[2]['share_of_device_time']
    assert 0.5 < sum(shares.values()) < 1.001
    assert any('dot' in name or 'fusion' in name for name in shares)
    assert list(tmp_path.rglob('*.xplane.pb'))
    # 1 layer of 16: 12 * 16 * 16 + 208, tables of 64 and 1024, the last norm.
    assert lines[4]['parameter_bytes'] == 4 * (3072 + 208 + 1088 * 16 + 32)
    assert [line['batch_size'] for line in lines[5:]] == [1, 3]


def test_a_config_needs_no_dataset_and_no_hub(tmp_path: pathlib.Path) -> None:
    small = ['n_layer=1', 'n_head=2', 'n_embd=16']
    done = forks.run(
        '-m',
        'launch.benchmark',
        '--config=configs/scratch_small.py',
        *[f'--config.model.{each}' for each in small],
        '--config.data.seq_len=16',
        '--only=generation',
        '--repeats=1',
        '--prompt_tokens=4',
        '--new_tokens=2',
        '--generation_batch_sizes=1',
    )
    assert done.returncode == 0, done.stderr
    asked = json.loads(done.stdout.splitlines()[0])['config']
    assert asked['model']['vocab_size'] == asked['tokenizer']['vocab_size'] > 0
    published = convert.draft()
    published.train.num_steps = 1
    published.data.path, published.model.pretrained = 'synthetic', 'gpt2-medium'
    sizes = workloads.with_sizes(convert.freeze(published)).model
    assert (sizes.n_layer, sizes.n_embd, sizes.n_head) == (24, 1024, 16)
    assert (sizes.vocab_size, sizes.pretrained) == (50257, '')


@pytest.mark.parametrize(
    ('flag', 'named'),
    [
        ('--only=trian', '--only=trian is not a part; use some of train, evaluation'),
        ('--repeats=0', '--repeats=0 is not accepted'),
        ('--generation_batch_sizes=1,two', "'two' is not an integer"),
        ('--config.model.vocab_size=0', 'model.vocab_size=0'),
        ('--prompt_tokens=1000', 'are over the 1024 positions of the model'),
    ],
)
def test_a_wrong_flag_is_named(flag: str, named: str) -> None:
    done = run(flag)
    assert done.returncode == 2
    assert named in done.stderr
    assert 'Traceback' not in done.stderr
