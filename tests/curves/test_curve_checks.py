"""What curves say: each made from the fault or the health that it shows."""

import dataclasses
import pathlib

import pytest

from hax_jax import errors
from hax_jax.curves import curve_checks, legacy_log
from hax_jax.doctor import diagnosis

_LOG = """HYPERPARAMETERS
================
batch_size = {batch}
block_size = 128
eval_iters = 20
model_type = {kind}

OUTPUT
======
Vocabulary size: 50,257 tokens
{lines}
Final eval - train loss {last[0]}, val loss {last[1]}
"""
_LOGS = pathlib.Path(__file__).parents[3] / 'shared' / 'data' / 'logs'


def _log(
    folder: pathlib.Path,
    points: list[tuple[float, float]],
    *,
    kind: str = 'gpt2',
    batch: int = 16,
) -> curve_checks.Curve:
    """The curve of a log with (train, validation) every 500 steps."""
    total = 500 * (len(points) - 1)
    lines = '\n'.join(
        f'step {500 * i}/{total} (9.9%): train loss {train:.4f}, val loss {judged:.4f} '
        f'| LR: 1.00e-05 | 7.2s\nstep {500 * i + 25}/{total} (1.0%) | ETA: 2m'
        for i, (train, judged) in enumerate(points[:-1])
    )
    path = folder / 'OUTPUT.txt'
    path.write_text(_LOG.format(batch=batch, kind=kind, lines=lines, last=points[-1]))
    return legacy_log.read(path)


@pytest.mark.parametrize(
    ('points', 'expected'),
    [
        # Labels shifted twice: near ln(50257), then far above an untrained GPT-2.
        ([(9.5, 9.5), (6.5, 6.9), (6.0, 6.6), (5.8, 6.7)], {'start': 'fail'}),
        ([(9.4, 9.3), (5.6, 5.4), (5.2, 5.2)], {'start': 'fail'}),
        # The same, and the log begins after the first step is forgotten.
        ([(5.3, 5.2), (5.1, 5.2), (4.9, 5.2)], {'high_plateau': 'fail'}),
        (
            [(3.6, 3.8), (3.3, 3.5), (3.2, 3.44), (3.2, 3.43), (3.1, 3.43)],
            {'start': 'ok', 'standstill': 'ok'},
        ),
        (
            [(3.1, 3.3), (2.6, 2.8), (2.2, 2.7), (1.8, 3.0)],
            {'start': 'ok', 'overfitting': 'warn'},
        ),
        # What rises in training too is not learned by heart.
        (
            [(3.1, 3.3), (2.6, 2.8), (2.9, 3.0), (3.0, 3.1)],
            {'start': 'ok', 'rising_loss': 'warn'},
        ),
        ([(3.3, 3.3), (3.5, 3.5), (3.7, 3.8)], {'start': 'ok', 'gain': 'fail'}),
        # Learned by heart, and validation falls on: copies of it are in train.
        (
            [(3.1, 3.3), (2.2, 2.5), (1.2, 2.26), (0.6, 2.25), (0.4, 2.2)],
            {'start': 'ok', 'shared_text': 'fail'},
        ),
        (
            [(3.6, 3.8), (3.4, 3.6), (3.2, 3.4), (3.0, 3.2)],
            {'start': 'ok', 'unfinished': 'warn'},
        ),
        (
            [(3.6, 3.80), (3.6, 3.80), (3.6, 3.79), (3.6, 3.80), (3.6, 3.79)],
            {'start': 'ok', 'standstill': 'warn'},
        ),
    ],
)
def test_each_curve_is_named(
    tmp_path: pathlib.Path, points: list[tuple[float, float]], expected: dict[str, str]
) -> None:
    found = curve_checks.check(_log(tmp_path, points))
    assert {x.id.replace(' ', '_'): x.verdict for x in found} == expected
    assert all(x.evidence and x.cause and x.remedy and x.source for x in found)
    for finding in found:
        of_labels = (
            finding.id in ('start', 'high plateau') and finding.verdict == 'fail'
        )
        assert of_labels == finding.cause.startswith('labels shifted twice')


@pytest.mark.parametrize(
    ('train', 'rates', 'validation', 'cause'),
    [
        ((3.0, 2.6, 2.3, 2.0, 1.8, 1.6), (1, 1, 1, 1, 1, 1), 3.3, 'data'),
        ((3.0, 2.6, 2.5, 2.5, 2.5, 2.5), (1, 1, 0.1, 0.01, 0, 0), 3.3, 'learning rate'),
        ((3.0, 2.6, 2.5, 2.5, 2.5, 2.5), (1, 1, 1, 1, 1, 1), 3.3, 'capacity'),
        ((3.7, 3.7, 3.7, 3.7, 3.7, 3.7), (1, 1, 1, 1, 1, 1), 3.01, 'learning rate'),
    ],
)
def test_a_plateau_has_a_cause(
    train: tuple[float, ...], rates: tuple[float, ...], validation: float, cause: str
) -> None:
    curve = curve_checks.Curve(
        train=list(enumerate(train)),
        validation=list(enumerate((validation, 3.0, 3.0, 3.0, 3.0, 3.0))),
        pretrained=False,
        vocab_size=0,
        noise=0.01,
        rates=[(step, float(rate)) for step, rate in enumerate(rates)],
    )
    found = curve_checks.standstill(curve)
    assert found is not None
    assert found.cause.startswith(cause)


def test_untrained_weights_are_no_fault(tmp_path: pathlib.Path) -> None:
    points = [(10.8, 10.8), (8.0, 8.1), (6.0, 6.2)]
    found = curve_checks.check(_log(tmp_path, points, kind='from_scratch'))
    assert {x.id: x.verdict for x in found} == {'start': 'ok', 'unfinished': 'warn'}


def test_a_run_that_was_stopped_is_not_told_to_ask_for_more_steps() -> None:
    curve = curve_checks.Curve(
        train=[],
        validation=list(enumerate((6.0, 5.0, 4.5, 4.2))),
        pretrained=False,
        vocab_size=0,
        noise=0.01,
    )
    assert [x.id for x in curve_checks.check(curve)] == ['unfinished']
    assert curve_checks.check(dataclasses.replace(curve, steps_left=100)) == []


@pytest.mark.parametrize(
    ('validation', 'trained', 'pretrained', 'verdict', 'word'),
    [
        ((3.5, 3.6, 3.5), 3.5, True, diagnosis.FAIL, 'the rate is too high'),
        ((3.5, 3.501), 4.2, True, diagnosis.FAIL, 'the rate is too high'),
        ((3.5, 3.501, 3.5), 3.7, True, diagnosis.FAIL, 'the rate is too low'),
        ((7.6, 7.2), 7.5, False, diagnosis.WARN, 'order of tokens'),
        ((7.6, 7.2), 7.5, True, diagnosis.FAIL, 'order of tokens'),
        # Another split's tokens may cost 5% more than those of train.
        ((7.6, 6.2), 7.5, False, None, ''),
        ((3.5, 3.4), 3.5, True, None, ''),
        ((3.5,), 3.5, True, None, ''),
    ],
)
def test_a_run_that_gained_nothing_is_told_whatever_its_length(
    validation: tuple[float, ...],
    trained: float,
    pretrained: bool,
    verdict: str | None,
    word: str,
) -> None:
    curve = curve_checks.Curve(
        train=[(1, trained), (2, trained - 0.1)],
        validation=[(2 * i, loss) for i, loss in enumerate(validation)],
        pretrained=pretrained,
        vocab_size=2048,
        noise=0.01,
        unigram_entropy=6.0,
    )
    found = curve_checks.gain(curve)
    assert (found and found.verdict) == verdict
    assert word in (found.cause if found else '')


def test_a_start_that_the_doctor_judged_by_weights_and_rows_is_not_judged_again(
    tmp_path: pathlib.Path,
) -> None:
    """A base that was hardly trained scores as high as shifted labels do."""
    curve = _log(tmp_path, [(9.5, 9.5), (9.4, 9.4), (9.2, 9.3)])
    assert [each.id for each in curve_checks.check(curve)] == ['start']
    known = dataclasses.replace(curve, start_verdict=diagnosis.OK, vocab_size=8192)
    assert {x.verdict for x in curve_checks.check(known)} <= {'ok', 'warn'}


def test_a_smaller_evaluation_is_noisier(tmp_path: pathlib.Path) -> None:
    points = [(3.6, 3.8), (3.3, 3.5)]
    assert _log(tmp_path, points).noise == pytest.approx(0.04)
    assert _log(tmp_path, points, batch=4).noise == pytest.approx(0.08)
    assert _log(tmp_path, points).validation == [(0, 3.8), (500, 3.5)]


def test_another_file_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'a.txt').write_text('step 0 of nothing')
    with pytest.raises(errors.InputError, match='has no line such as'):
        legacy_log.read(tmp_path / 'a.txt')
    with pytest.raises(errors.InputError, match='can not be read'):
        legacy_log.read(tmp_path)


@pytest.mark.skipif(not _LOGS.is_dir(), reason='the old logs are not in the project')
def test_the_old_projects_logs_get_their_verdicts() -> None:
    worst = {}
    for path in _LOGS.iterdir():
        finding = curve_checks.check(legacy_log.read(path))[0]
        worst[path.name.rpartition('OUTPUT_')[2]] = (finding.verdict, finding.id)
    assert worst == {
        '11132025_193118.txt': ('fail', 'start'),
        '11192025_115038.txt': ('fail', 'start'),
        '11242025_215659.txt': ('ok', 'start'),
        '12122025_171135.txt': ('fail', 'shared text'),
    }


@pytest.mark.parametrize(
    ('validation', 'verdict'),
    [
        # Adapters on a tiny model: little is learned, but at each evaluation.
        ((5.546, 5.530, 5.520, 5.517, 5.513, 5.512), diagnosis.OK),
        ((5.546, 5.530, 5.513, 5.517, 5.513, 5.512), diagnosis.WARN),
        ((5.546, 5.545, 5.543, 5.542, 5.541, 5.540), diagnosis.WARN),
    ],
)
def test_a_loss_that_falls_at_each_evaluation_falls_by_no_chance(
    validation: tuple[float, ...], verdict: str
) -> None:
    curve = curve_checks.Curve(
        train=[(step, 5.5) for step in range(51)],
        validation=[(10 * i, loss) for i, loss in enumerate(validation)],
        pretrained=True,
        vocab_size=1200,
        noise=0.01,
        rates=[(step, 1.0) for step in range(51)],
    )
    found = curve_checks.standstill(curve)
    assert found is not None
    assert found.verdict == verdict
