"""hax_jax from Python: the four functions of its __init__."""

import dataclasses
import json
import pathlib
import subprocess
import sys
from typing import Any

import programs
import pytest

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


NOTEBOOK = json.loads((programs.ROOT / 'launch' / 'first_run.ipynb').read_text())
# After the notebook's cells: what they left, and what else the functions say.
_AND_THEN = """
by_step = {row['step']: row for row in rows if row['kind'] == 'evaluation'}
assert [one.evaluation.loss for one in both.scored] == [
    by_step[6]['eval_loss'], by_step[12]['eval_loss']
]
assert both.to_json()['models'][1]['by'] == by_step[12]['by']
assert both.comparison.by['all'].better == 'B'
assert f'{run} at step 12 is better than {run} at step 6' in str(both)
assert 'no groups of pairs are known here' in str(both)
# The same letter and seed give the same answer, whatever stands beside it.
two = hax_jax.sample(run, letters[1:], settings=settings, num_samples=2)
assert [(x.prompt, x.sample) for x in two] == [(letters[1], 0), (letters[1], 1)]
assert two[0].token_ids == answers[1].token_ids
said = []
for name, value in (('data.seq_len', 96), ('tokenizer.vocab_size', 900)):
    draft.update_from_flattened_dict({name: value})
    try:
        hax_jax.train(draft, f'{FOLDER}/another')
    except ValueError as error:
        said.append(str(error))
print(json.dumps([summary.reason, list(parameters['wte.embedding'].shape), said]))
"""


def code_cells() -> list[dict[str, Any]]:
    return [cell for cell in NOTEBOOK['cells'] if cell['cell_type'] == 'code']


def test_the_notebook_is_one_of_jupyter_without_outputs() -> None:
    # Source: nbformat's schema of version 4.5.
    assert (NOTEBOOK['nbformat'], NOTEBOOK['nbformat_minor']) == (4, 5)
    assert NOTEBOOK['metadata']['kernelspec']['name'] == 'python3'
    ids = [cell['id'] for cell in NOTEBOOK['cells']]
    assert len(ids) == len(set(ids))
    for cell in NOTEBOOK['cells']:
        keys = {'cell_type', 'id', 'metadata', 'source'}
        if cell['cell_type'] == 'code':
            keys |= {'execution_count', 'outputs'}
            assert (cell['execution_count'], cell['outputs']) == (None, [])
        assert cell.keys() == keys
        assert all(isinstance(line, str) for line in cell['source'])


def test_the_notebook_trains_asks_scores_and_restores(tmp_path: pathlib.Path) -> None:
    cells = [''.join(cell['source']) for cell in code_cells()]
    assert code_cells()[0]['metadata'] == {'tags': ['parameters']}
    cells.insert(1, f'STEPS, N_LAYER, N_EMBD, FOLDER = 12, 1, 32, {str(tmp_path)!r}')
    done = programs.run('-c', '\n'.join([*cells, _AND_THEN]))
    assert done.returncode == 0, done.stderr
    reason, shape, said = json.loads(done.stdout.splitlines()[-1])
    assert (reason, shape) == ('finished', [1024, 32])
    rows, tokenizer = said
    assert 'is not packed yet into rows of 96' in rows
    assert 'has no tokenizer of 900 ids (bpe) yet' in tokenizer
    for each, field in ((rows, 'data.seq_len=96'), (tokenizer, 'vocab_size=900')):
        assert each.split('Pack it with: ')[1].startswith('hax pack --config=scratch')
        assert field in each


def test_what_is_not_packed_names_a_command_for_every_kind_of_config(
    tmp_path: pathlib.Path,
) -> None:
    run = schema.Config(
        data=schema.DataConfig(path="data/it's", seq_len=64, long_answers='split'),
        model=schema.ModelConfig(pretrained='runs/full'),
        train=schema.TrainConfig(num_steps=5),
    )
    assert packed_rows.pack_arguments(run) == [
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


@pytest.mark.parametrize(
    ('changes', 'says'),
    [
        ({'letters': 'Is it rude?'}, 'letters are no list of texts'),
        ({'letters': ['a', ' ']}, 'letter 2 is empty'),
        ({'settings': {'temperature': 1}}, 'settings is a dict'),
        ({'settings': schema.SamplingConfig(top_p=2.0)}, r'top_p=2\.0 is not'),
        ({'num_samples': 0}, 'num_samples=0 is not accepted'),
        ({'batch_size': 0}, 'batch_size=0 is not accepted'),
        ({}, 'is not a run of launch'),
        ({'workdir': 'no/run@20'}, 'step=20 in Python'),
    ],
)
def test_what_sample_can_not_take_is_named(changes: dict, says: str) -> None:
    given = {'workdir': 'no/run', 'letters': ['Is it rude?']} | changes
    with pytest.raises(errors.InputError, match=says):
        hax_jax.sample(**given)


def test_train_takes_a_config_or_a_draft_alone() -> None:
    with pytest.raises(errors.InputError, match='config is a str; give a config'):
        hax_jax.train('gpt2_lora', 'runs/no')


@pytest.mark.parametrize('place', ['file', 'file/run'])
def test_a_run_is_not_written_into_a_file(tmp_path: pathlib.Path, place: str) -> None:
    """It is refused beside the dataset, which is not there."""
    (tmp_path / 'file').touch()
    done = programs.run(
        '-m',
        'launch.train',
        '--config=configs/scratch_small.py',
        '--config.data.path=nowhere',
        f'--workdir={tmp_path / place}',
    )
    assert done.returncode == 2
    assert done.stderr.startswith(
        f'error: --workdir={tmp_path / place}: {tmp_path}/file is a file, not a '
        'folder; give the run a folder of its own.\nnowhere is not a dataset'
    )


def test_a_run_is_not_written_into_a_dataset(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'manifest.json').write_text('{}')
    done = programs.run(
        '-m',
        'launch.train',
        '--config=configs/scratch_small.py',
        f'--config.data.path={tmp_path}',
        f'--workdir={tmp_path}',
    )
    assert done.returncode == 2
    assert 'is a dataset, which a new build' in done.stderr
