"""What is found in a run's folder, also where the run was refused at its first step."""

import json
import pathlib
from typing import Any

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


def _record(
    folder: pathlib.Path, rows: dict[str, list[dict[str, Any]]], **changes: Any
) -> run_record.RunRecord:
    config = {
        'data': {'path': 'nowhere'},
        'model': {'pretrained': 'gpt2', 'vocab_size': 50257},
        'train': {'num_steps': 2},
    }
    made = {
        'name': 'run',
        'place': str(folder),
        'run_id': 'a',
        'config': convert.from_dict(config),
        'rows': rows,
        'answers': [],
        'bad_steps': [],
        'environments': [],
        'num_unread': 0,
    }
    return run_record.RunRecord(**made | changes)


_BAD = {'step': 62, 'kind': 'loss not finite', 'action': 'stopped', 'loss': 'nan'}


def _bad(found: list[diagnosis.Finding]) -> dict[str, str]:
    return {x.id: x.verdict for x in found if x.verdict != diagnosis.OK}


def test_a_run_that_a_bad_step_stopped_has_diverged(tmp_path: pathlib.Path) -> None:
    rows = {'train': [{'step': 61, 'loss': 3.0}]}
    found = after_training.of_record(_record(tmp_path, rows, bad_steps=[_BAD]))
    assert _bad(found) == {'bad steps': diagnosis.FAIL}
    assert 'stopped at step 62' in found[0].cause
    went_on = {'train': [{'step': 900, 'loss': 3.0}]}
    found = after_training.of_record(_record(tmp_path, went_on, bad_steps=[_BAD]))
    assert _bad(found) == {}
    found = after_training.of_record(_record(tmp_path, went_on, bad_steps=[_BAD] * 20))
    assert _bad(found) == {'bad steps': diagnosis.WARN}
    # Before its first save a run has its bad steps and what the doctor found alone.
    (tmp_path / run_folder.UNSAVED).touch()
    (tmp_path / 'bad_steps.jsonl').write_text(json.dumps(_BAD) + '\n')
    good = diagnosis.good('labels', 'equal', '')
    diagnosis.write(tmp_path, [good], {})
    found = after_training.of(str(tmp_path))
    assert [each.id for each in found] == ['bad steps', 'labels']


def test_records_that_can_not_be_read_are_a_finding(tmp_path: pathlib.Path) -> None:
    rows = {'train': [{'step': 1, 'loss': 3.0}]}
    (tmp_path / diagnosis.FILE).write_text('')
    found = after_training.of_record(_record(tmp_path, rows, num_unread=3))
    (told,) = (each for each in found if each.id == 'records')
    assert told.evidence == '3 lines of its logs and all of doctor.json can not be read'
    diagnosis.write(tmp_path, [diagnosis.good('labels', 'equal', '')], {})
    assert _bad(after_training.of_record(_record(tmp_path, rows))) == {}


def test_a_line_with_a_number_that_is_none_is_not_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'metrics.jsonl'
    path.write_text('{"step": 1, "loss": NaN}\n{"step": 2, "loss": 3.0}\n')
    assert run_record._lines(path) == ([{'step': 2, 'loss': 3.0}], 1)


@pytest.mark.parametrize('verdict', [diagnosis.OK, diagnosis.WARN])
def test_a_start_that_the_doctor_found_good_is_not_judged_by_its_curve(
    tmp_path: pathlib.Path, verdict: str
) -> None:
    """A loss of 9.5 before training is one of shifted labels, by the curve alone."""
    record = _record(tmp_path, {'evaluation': [{'step': 0, 'eval_loss': 9.5}]})
    assert after_training.curve_of(record).steps_left == 2
    before = diagnosis.Finding('start', verdict, '9.50', 'nothing', 'none', 'here')
    diagnosis.write(tmp_path, [before], {})
    found = after_training.of_record(record)
    by_curve = [each for each in found if each.id == 'start' and each != before]
    assert [each.verdict for each in by_curve] == (
        [] if verdict == diagnosis.OK else [diagnosis.FAIL]
    )
