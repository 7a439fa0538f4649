"""launch/quickstart.sh with smaller models: the gain, before and after, and --gpt2."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

import machine_room
import pytest

from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.formats import hf_folder, model_card

# Appended to a config: the same for less time.
_SMALLER = """

_whole = get_config


def get_config():
    draft = _whole()
    for field, value in {changes}.items():
        setattr(getattr(draft, field.split('.')[0]), field.split('.')[1], value)
    return draft
"""
_LESS = {
    'data.reader': 'numpy',
    'train.eval_every_steps': 30,
    'train.checkpoint_every_steps': 30,
    'train.tensorboard': False,
    'train.sample_max_new_tokens': 16,
    'train.num_sample_questions': 1,
}
BASE = {
    **_LESS,
    'model.n_layer': 1,
    'model.n_head': 2,
    'model.n_embd': 48,
    'train.num_steps': 30,
    'tokenizer.vocab_size': 1024,
    'train.num_sample_questions': 0,
}
ADAPTED = {**_LESS, 'train.num_steps': 30, 'lora.rank': 16}

Quickstart = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A checkout with smaller configs, whose .venv is the Python of the tests."""
    root = tmp_path_factory.mktemp('quickstart')
    for name in ('hax_jax', 'data_pipeline', 'launch', 'requirements.txt'):
        (root / name).symlink_to(machine_room.ROOT / name)
    shutil.copytree(machine_room.ROOT / 'configs', root / 'configs')
    for name, changes in (
        ('scratch_small', BASE),
        ('scratch_small_lora', ADAPTED),
        ('gpt2_lora', {'train.sample_max_new_tokens': 16}),
    ):
        with (root / 'configs' / f'{name}.py').open('a') as file:
            file.write(_SMALLER.format(changes=changes))
    python = root / '.venv' / 'bin' / 'python'
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    requirements = (root / 'requirements.txt').read_bytes()
    digest = hashlib.sha256(requirements + requirements).hexdigest()
    (root / '.venv' / f'installed-{digest}').touch()
    return root


@pytest.fixture(scope='module')
def quickstart(root: pathlib.Path) -> Quickstart:
    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ['bash', 'launch/quickstart.sh', *arguments],
            cwd=root,
            env={**os.environ, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )

    return run


def test_help_and_a_folder_without_a_model_come_before_any_install(
    quickstart: Quickstart,
) -> None:
    done = quickstart('--help')
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith('From raw text to an adapted model')
    done = quickstart('--gpt2=/none')
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr.startswith('error: --gpt2=/none is no folder with a config.json')


def test_the_adapter_gains_on_letters_that_neither_has_seen(
    root: pathlib.Path, quickstart: Quickstart
) -> None:
    done = quickstart()
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((root / 'runs/sample_column/compared.json').read_text())
    base, adapted = report['models']
    gain = report['comparison']['by']['all']
    assert gain['num_pairs'] == gain['num_groups'] >= 15
    assert gain['better'] == 'B'
    assert min(gain['low'], gain['formula_low']) > 0
    assert adapted['by']['all']['answer']['nll'] < base['by']['all']['answer'][
        'nll'
    ] - (gain['mean'] - gain['low'])
    assert adapted['tokenizer'] == base['tokenizer']

    # The letters of one dataset are in no split of the other.
    ids = {pair['id'] for pair in adapted['pairs']}
    assert all(one.startswith('merged:column_') for one in ids)
    ledger = json.loads((root / 'data/sample_base/manifest.json').read_text())
    assert not any(
        'merged' in split['by_source'] for split in ledger['splits'].values()
    )

    screen = done.stdout.split('== done in')[1]
    assert re.search(rf'\ngain +{gain["mean"]:.3f} nats per answer token', screen)
    letter, before, after = (
        screen.index(f'\n{title}\n')
        for title in (
            'A letter of that split:',
            'The base answers:',
            'The adapted model answers:',
        )
    )
    assert letter < before < after
    samples = [
        json.loads(line)
        for line in (root / 'runs/sample_column/samples.jsonl').read_text().splitlines()
    ]
    assert {row['step'] for row in samples} >= {0, adapted['step']}
    assert samples[0]['id'] in ids


@pytest.mark.slow
def test_gpt2_without_a_network_is_one_line(quickstart: Quickstart) -> None:
    done = quickstart(
        '--gpt2', HF_ENDPOINT='http://127.0.0.1:9', HF_HUB_CACHE='/nonexistent'
    )
    assert done.returncode == 2
    (line,) = [x for x in done.stderr.splitlines() if x.startswith('error:')]
    assert 'the hub can not be reached from this machine' in line


@pytest.mark.slow
def test_gpt2_in_a_folder_is_adapted_and_compared(
    root: pathlib.Path,
    quickstart: Quickstart,
    tmp_path: pathlib.Path,
    gpt2_tokenizer_folder: pathlib.Path,
) -> None:
    import tiny_steps

    tokenizer = text.load_tokenizer(str(gpt2_tokenizer_folder))
    model = schema.ModelConfig(
        n_layer=1, n_head=2, n_embd=16, n_positions=512, vocab_size=50257
    )
    folder = tmp_path / 'gpt2 folder'
    folder.mkdir()
    hf_folder.write(
        folder,
        model,
        tiny_steps.random_parameters(model, scale=0.02),
        tokenizer,
        card=model_card.make('gpt2', {}, n_positions=512),
    )
    done = quickstart(f'--gpt2={folder}')
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((root / 'runs/gpt2_column/compared.json').read_text())
    assert [model['path'] for model in report['models']] == [
        str(folder),
        'runs/gpt2_column',
    ]
    assert 'The adapted model answers:' in done.stdout
