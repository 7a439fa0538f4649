"""hax_jax from Python: the four functions of its __init__."""

import dataclasses
import pathlib
import runpy
import shlex
import subprocess
import sys

import numpy as np
import programs
import pytest
import tiny_data
import tiny_runs

import hax_jax
from hax_jax import errors
from hax_jax.config import schema
from hax_jax.runs import packed_rows


def test_importing_the_package_loads_no_library() -> None:
    done = subprocess.run(
        [sys.executable, '-c', 'import hax_jax, sys; print("jax" in sys.modules)'],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == 'False\n'


def test_a_dataset_is_packed_trained_on_asked_scored_and_restored(
    tmp_path: pathlib.Path,
) -> None:
    tiny_data.make(tmp_path)
    draft = runpy.run_path(str(tmp_path / 'tiny.py'))['get_config']()
    draft.data.path = str(tmp_path / 'data')
    workdir = str(tmp_path / 'run')
    with pytest.raises(errors.InputError, match='has no tokenizer of 400 ids') as said:
        hax_jax.train(draft, workdir)
    command = shlex.split(str(said.value).split('Pack it with: ')[1])
    assert command[:2] == ['hax', 'pack']
    done = programs.run('-m', 'launch.hax', *command[1:])
    assert done.returncode == 0, done.stderr
    summary = hax_jax.train(draft, workdir)
    assert (summary.step, summary.reason) == (6, 'finished')

    # Of two models the better is named, and an evaluation has training's own numbers.
    both = hax_jax.evaluate(f'{workdir}@3', f'{workdir}@6')
    rows = tiny_runs.lines(pathlib.Path(workdir), 'evaluation')
    assert [one.evaluation.loss for one in both.scored] == [
        row['loss'] for row in rows if row['step'] in (3, 6)
    ]
    assert both.to_json()['models'][1]['by'] == rows[-1]['by']
    assert both.comparison.by['all'].better == 'B'
    assert 'no groups of pairs are known here' in str(both)
    assert str(both).splitlines()[-1].startswith(f'{workdir} at step 6 is better than')

    parameters = hax_jax.restore(workdir, step=6)
    assert parameters['wte.embedding'].shape == (400, 32)
    assert all(isinstance(array, np.ndarray) for array in parameters.values())

    settings = schema.SamplingConfig(max_new_tokens=5, seed=3)
    letters = ['Is it rude?', 'Who pays?']
    answers = hax_jax.sample(workdir, letters, settings=settings, num_samples=2)
    assert [answer.prompt for answer in answers] == [
        letter for letter in letters for _ in range(2)
    ]
    # The same letter and seed give the same answer, whatever stands beside it.
    [alone] = hax_jax.sample(workdir, letters[1:], settings=settings)
    assert alone.token_ids == answers[2].token_ids


def test_what_is_not_packed_names_a_command_for_every_kind_of_config(
    tmp_path: pathlib.Path,
) -> None:
    run = schema.Config(
        data=schema.DataConfig(path="data/it's", seq_len=64, long_answers='split'),
        model=schema.ModelConfig(pretrained='runs/full'),
        train=schema.TrainConfig(num_steps=5),
    )
    assert shlex.split(packed_rows.pack_command(run)) == [
        'hax',
        'pack',
        '--config=gpt2_full',
        "--config.data.path=data/it's",
        '--config.data.seq_len=64',
        '--config.data.question_weight=0.0',
        '--config.data.long_answers=split',
        '--config.tokenizer.path=',
        '--config.model.pretrained=runs/full',
    ]
    with pytest.raises(errors.InputError, match=r'learning_rate=-1\.0 is not accepted'):
        hax_jax.train(
            dataclasses.replace(
                run, optimizer=schema.OptimizerConfig(learning_rate=-1.0)
            ),
            str(tmp_path),
        )
    with pytest.raises(errors.InputError, match="it's is not a dataset"):
        hax_jax.train(run, str(tmp_path))
    with pytest.raises(errors.InputError, match="split='tset'; use"):
        hax_jax.evaluate('runs/full', split='tset')
