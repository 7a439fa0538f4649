"""What is found in a run's folder, also where the run was refused at its first step."""

import dataclasses
import json
import math
import pathlib
from typing import Any

import pytest

from hax_jax import errors
from hax_jax.config import convert
from hax_jax.curves import after_training, curve_checks, measure_run, run_record
from hax_jax.doctor import diagnosis, model_checks
from hax_jax.reference import rates
from hax_jax.report import page
from hax_jax.runs import run_folder
from hax_jax.watch import verdicts


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
    told, lost = after_training.of(str(tmp_path))
    assert (told, lost.id, lost.verdict) == (found, 'checkpoints', diagnosis.WARN)
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
    assert [each.id for each in found] == ['bad steps', 'checkpoints', 'labels']


def test_a_run_without_a_checkpoint_has_its_figures_and_says_so(
    tmp_path: pathlib.Path,
) -> None:
    config = _record(tmp_path, {}).config
    train = dataclasses.replace(config.train, checkpoint_every_steps=70)
    run_folder.mark_unsaved(tmp_path, dataclasses.replace(config, train=train))
    bad = {**_BAD, 'grad_norm': 'inf', 'pairs': []}
    (tmp_path / 'bad_steps.jsonl').write_text(json.dumps(bad) + '\n')
    rows = [{'kind': 'train', 'step': step, 'loss': 3.0} for step in (60, 61)]
    (tmp_path / 'metrics.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    record = run_record.read(str(tmp_path))
    assert (record.num_checkpoints, record.is_saved) == (0, False)
    assert record.config.train.checkpoint_every_steps == 70
    found = after_training.of(str(tmp_path))
    assert _bad(found) == {'bad steps': 'fail', 'checkpoints': 'warn'}
    (lost,) = (each for each in found if each.id == 'checkpoints')
    assert lost.evidence.endswith('figures are of step 61, one is due every 70 steps')
    assert 'the command of the run again' in lost.remedy
    assert 'begins it again' in '\n'.join(page.verdict(record, found)[1])
    assert page.render([record])
    deleted = dataclasses.replace(record, is_saved=True)
    (lost,) = (x for x in after_training.of_record(deleted) if x.id == 'checkpoints')
    assert lost.remedy.startswith('copy checkpoints/ from a backup')
    whole = dataclasses.replace(record, num_checkpoints=1)
    assert 'checkpoints' not in _bad(after_training.of_record(whole))


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


@pytest.mark.parametrize('verdict', [diagnosis.OK, diagnosis.WARN, diagnosis.FAIL])
def test_a_start_that_the_doctor_judged_is_not_judged_again_by_its_curve(
    tmp_path: pathlib.Path, verdict: str
) -> None:
    """A loss of 9.5 before training is one of shifted labels, by the curve alone."""
    record = _record(tmp_path, {'evaluation': [{'step': 0, 'eval_loss': 9.5}]})
    assert after_training.curve_of(record).steps_left == 2
    before = diagnosis.Finding('start', verdict, '9.50', 'nothing', 'none', 'here')
    diagnosis.write(tmp_path, [before], {})
    found = after_training.of_record(record)
    assert [each for each in found if each.id == 'start'] == [before]


@pytest.mark.parametrize('loss', [3.5, 6.6, 8.5, 8.7, 9.5])
@pytest.mark.parametrize('entropy', [0.0, 6.0, 8.0])
def test_doctor_curve_and_run_have_one_verdict_on_the_loss_before_training(
    tmp_path: pathlib.Path, loss: float, entropy: float
) -> None:
    """Of a hardly trained base the run said BAD where the doctor said OK."""
    numbers = {
        'pretrained': True,
        'batch_loss': 1.0,  # of the first rows: the run judges its validation loss
        'validation_loss': loss,
        'ln_vocab': math.log(50257),
        'unigram_entropy': entropy,
    }
    by_doctor = model_checks.knowledge(numbers)
    record = _record(tmp_path, {'evaluation': [{'step': 0, 'eval_loss': loss}]})
    diagnosis.write(tmp_path, [], numbers)
    by_curve = curve_checks.start(after_training.curve_of(record))
    by_run, _ = verdicts.start(
        loss, ln_vocab=math.log(50257), unigram_entropy=entropy, pretrained=True
    )
    assert by_doctor is not None and by_curve is not None
    expected = diagnosis.FAIL if by_run == verdicts.BAD else diagnosis.OK
    assert by_doctor.verdict == by_curve.verdict == expected
    by_report = page.verdict(record, [by_doctor])[1]
    assert any(f': {"BAD" if by_run == "BAD" else "good"}' in x for x in by_report)


def test_a_run_that_was_made_longer_has_the_rates_of_its_newest_call(
    tmp_path: pathlib.Path,
) -> None:
    def call(first: int, last: int, total: int) -> list[dict[str, Any]]:
        settings = _record(tmp_path, {}).config.optimizer
        return [
            {
                'step': step,
                'loss': 3.0,
                'learning_rate': rates.rate(settings, step - 1, num_steps=total),
            }
            for step in range(first, last + 1)
        ]

    config = _record(tmp_path, {}).config
    longer = dataclasses.replace(config.train, num_steps=50)
    config = dataclasses.replace(config, train=longer)
    ends = [{'step': step, 'num_steps': step} for step in (40, 50)]
    rows = {'train': [*call(1, 40, 40), *call(41, 50, 50)], 'summary': ends}
    record = _record(tmp_path, rows, config=config)
    told = measure_run._of_rates(record)
    assert abs(told['rate_off']) < 1e-6 and told['rate_off_step'] > 40
    rows['train'][-5]['learning_rate'] = config.optimizer.learning_rate
    assert measure_run._of_rates(record)['rate_off_step'] == 46
    # Killed at step 40, or gone back to it: no call ended there.
    begun = [{'step': 0, 'num_steps': 60}, {'step': 40, 'num_steps': 50}]
    rows = {'train': [*call(1, 40, 60), *call(41, 50, 50)], 'call': begun}
    told = measure_run._of_rates(_record(tmp_path, rows, config=config))
    assert abs(told['rate_off']) < 1e-6 and told['rate_off_step'] > 40
