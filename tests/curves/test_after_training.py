"""What is found in a run's folder, also where the run was refused at its first step."""

import pathlib

import pytest

from hax_jax import errors
from hax_jax.curves import after_training
from hax_jax.doctor import diagnosis
from hax_jax.runs import run_folder


def test_a_run_that_was_refused_at_its_first_step_is_told_why(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / run_folder.UNSAVED).touch()
    with pytest.raises(errors.InputError, match='no checkpoint yet'):
        after_training.of(str(tmp_path))
    found = diagnosis.Finding(
        'labels', diagnosis.FAIL, '100% equal', 'Shifted twice.', 'Pack anew.', 'here'
    )
    diagnosis.write(tmp_path, [found], {})
    assert after_training.of(str(tmp_path)) == [found]
    (tmp_path / run_folder.UNSAVED).unlink()  # a run whose figures are lost says so
    with pytest.raises(errors.InputError):
        after_training.of(str(tmp_path))
