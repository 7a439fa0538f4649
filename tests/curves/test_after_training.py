"""What is found in a run's folder, also where the run was refused at its first step."""

import pathlib

import pytest

from hax_jax import errors
from hax_jax.config import convert
from hax_jax.curves import after_training, run_record
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


@pytest.mark.parametrize('verdict', [diagnosis.OK, diagnosis.WARN])
def test_a_start_that_the_doctor_found_good_is_not_judged_by_its_curve(
    tmp_path: pathlib.Path, verdict: str
) -> None:
    """A loss of 9.5 before training is one of shifted labels, by the curve alone."""
    config = {
        'data': {'path': 'nowhere'},
        'model': {'pretrained': 'gpt2', 'vocab_size': 50257},
        'train': {'num_steps': 2},
    }
    record = run_record.RunRecord(
        name='run',
        place=str(tmp_path),
        run_id='a',
        config=convert.from_dict(config),
        rows={'evaluation': [{'step': 0, 'eval_loss': 9.5}]},
        answers=[],
        bad_steps=[],
        environments=[],
        num_unread=0,
    )
    assert after_training.curve_of(record).steps_left == 2
    before = diagnosis.Finding('start', verdict, '9.50', 'nothing', 'none', 'here')
    diagnosis.write(tmp_path, [before], {})
    found = after_training.of_record(record)
    by_curve = [each for each in found if each.id == 'start' and each != before]
    assert [each.verdict for each in by_curve] == (
        [] if verdict == diagnosis.OK else [diagnosis.FAIL]
    )
