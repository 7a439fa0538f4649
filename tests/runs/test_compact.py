"""A compacted run of an older version, which kept no digests and counted no rows."""

import pathlib
import shutil

import pytest

from hax_jax import errors
from hax_jax.runs import compact, restore, run_folder, saved_steps

_GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'run_without_digests'


def test_it_gets_digests_and_the_rows_that_its_steps_consumed(
    tmp_path: pathlib.Path,
) -> None:
    old, output = tmp_path / 'old', tmp_path / 'new' / 'small'
    shutil.copytree(_GOLDEN, old)
    (old / run_folder.TOKENIZER).mkdir()
    step = compact.write(old, output, step=None)
    assert step == restore.find_step(old, None).step
    (info,) = saved_steps.list_steps(
        output / run_folder.CHECKPOINTS, run_folder.read_run(output)['id']
    )
    batch_size = run_folder.read_config(old).train.batch_size
    assert info.metadata['rows'] == step * batch_size
    assert info.damage() == ''
    assert info.digests
    one, other = (restore.parts(str(path), step=step) for path in (old, output))
    for name, array in one.parameters.items():
        assert array.tobytes() == other.parameters[name].tobytes()


def test_a_step_that_is_not_there_leaves_no_folder(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match='no checkpoint of step 999'):
        compact.write(_GOLDEN, tmp_path / 'small', step=999)
    assert list(tmp_path.iterdir()) == []
