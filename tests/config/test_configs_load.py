import ast
import pathlib

import pytest

from hax_jax import errors
from hax_jax.config import convert, schema
from launch import shared_flags

ROOT = pathlib.Path(__file__).parents[2]
FILES = sorted((ROOT / 'configs').glob('*.py'))


def load(name: str) -> schema.Config:
    draft = shared_flags.CONFIG.load(str(ROOT / 'configs' / name))
    draft.data.path = 'data/advice'
    return convert.freeze(draft)


def test_the_config_files_are_these() -> None:
    assert {'gpt2_full.py', 'gpt2_lora.py', 'scratch_small.py'} <= {
        path.name for path in FILES
    }


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_a_config_file_loads_and_lacks_the_data_path_alone(path: pathlib.Path) -> None:
    with pytest.raises(errors.InputError) as caught:
        convert.freeze(shared_flags.CONFIG.load(str(path)))
    (problem,) = str(caught.value).split('\n')
    assert problem.startswith("data.path='' names no dataset")
    load(path.name)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_a_config_file_says_what_on_what_how_long_which_loss_and_how(
    path: pathlib.Path,
) -> None:
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text is not None
    assert text.startswith('Trains ')
    for opening in ('\nOn: ', '\nHow long: ', '\nLoss to expect: '):
        assert opening in text
    assert f'python -m launch.train --config=configs/{path.name} ' in text
    assert '--workdir=' in text


def test_full_and_lora_differ_in_what_is_trained() -> None:
    full, lora = load('gpt2_full.py'), load('gpt2_lora.py')
    assert (full.lora.rank, lora.lora.rank, lora.lora.alpha) == (0, 16, 32.0)
    assert full.model.pretrained == lora.model.pretrained == 'gpt2'
    assert full.data == lora.data
    assert lora.optimizer.weight_decay == 0.0
    assert (full.optimizer.clip_norm, lora.optimizer.clip_norm) == (1.0, 2.0)


def test_lora_on_a_run_takes_rows_that_the_run_was_trained_with() -> None:
    base, lora = load('scratch_small.py'), load('scratch_small_lora.py')
    assert lora.data.seq_len == base.data.seq_len
    assert base.tokenizer.path == 'train'
    assert lora.tokenizer.path == ''  # the run's own
    assert lora.lora.rank > 0
