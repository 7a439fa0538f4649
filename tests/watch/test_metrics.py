import inspect
import json
import pathlib
import re
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import pytest

from hax_jax.guards import judge
from hax_jax.watch import metrics, stopwatch


def read(path: pathlib.Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().split('\n')[:-1]]


def write_steps(path: pathlib.Path, steps: list[int], *, start_step: int = 0) -> None:
    file = metrics.MetricsFile(path, start_step=start_step)
    for step in steps:
        file.write('train', step, {'loss': step / 10})
    file.close()


def test_each_line_is_an_object_that_is_there_at_once(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'metrics.jsonl'
    file = metrics.MetricsFile(path, start_step=0)
    file.write('train', 10, {'loss': 2.5})
    file.write('evaluation', 10, {'by': {'all': 'é\u2028'}})
    assert path.read_text() == (
        '{"step": 10, "kind": "train", "loss": 2.5}\n'
        '{"step": 10, "kind": "evaluation", "by": {"all": "\\u00e9\\u2028"}}\n'
    )
    file.close()


def test_going_on_keeps_the_lines_up_to_the_restored_step(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'metrics.jsonl'
    write_steps(path, [10, 20, 30, 40])
    write_steps(path, [30, 35], start_step=20)
    assert [row['step'] for row in read(path)] == [10, 20, 30, 35]
    write_steps(path, [40], start_step=100)
    assert [row['step'] for row in read(path)] == [10, 20, 30, 35, 40]
    write_steps(path, [], start_step=0)
    assert read(path) == []


@pytest.mark.parametrize('kept', range(1, len('{"step": 20, "kind": "train"}') + 1))
def test_a_last_line_that_was_cut_goes_wherever_it_was_cut(
    tmp_path: pathlib.Path, kept: int
) -> None:
    path = tmp_path / 'metrics.jsonl'
    whole = '{"step": 10, "kind": "train"}\n'
    path.write_text(whole + '{"step": 20, "kind": "train"}'[:kept])
    write_steps(path, [30], start_step=20)
    assert [row['step'] for row in read(path)] == [10, 30]


def test_a_line_that_holds_no_step_goes_and_is_counted(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'metrics.jsonl'
    path.write_text('{"kind": "train"}\n\x00\x00\n\n12\n{"step": 1, "kind": "train"}\n')
    write_steps(path, [], start_step=20)
    assert read(path) == [{'step': 1, 'kind': 'train'}]
    assert '4 damaged lines were removed' in capsys.readouterr().out


def test_a_number_that_json_lacks_is_an_error(tmp_path: pathlib.Path) -> None:
    file = metrics.MetricsFile(tmp_path / 'metrics.jsonl', start_step=0)
    with pytest.raises(ValueError, match='JSON compliant'):
        file.write('train', 1, {'loss': float('nan')})
    file.close()
    assert (tmp_path / 'metrics.jsonl').read_text() == ''


def terminal(monkeypatch: pytest.MonkeyPatch, *, yes: bool) -> None:
    monkeypatch.setattr('sys.stderr.isatty', lambda: yes, raising=False)


def test_what_came_before_the_report_is_in_no_rate(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal(monkeypatch, yes=False)
    now = [100.0]
    monkeypatch.setattr(stopwatch.time, 'monotonic', lambda: now[0])
    first = step_metrics(2.0, 25.0)
    with stopwatch.Stopwatch() as watch:
        now[0] += 50  # imports, weights
        report = metrics.Report(tmp_path, start=0, num_steps=3, late=False, watch=watch)
        now[0] += 4
        report.step(first)
        report.interval(1)
        report.close()
    shown = capsys.readouterr().out
    assert '0.25 steps/s | ETA 8s' in shown


@pytest.fixture
def watch() -> Iterator[stopwatch.Stopwatch]:
    with stopwatch.Stopwatch() as watch:
        yield watch


def step_metrics(
    loss: float, weight: float, *, bad: int = 0, action: int = judge.APPLIED
) -> metrics.StepMetrics:
    values = {
        'loss': loss,
        'weight': weight,
        'tokens': 2 * weight,
        'grad_norm': loss / 2,
        'learning_rate': 0.5,
        'bad': bad,
        'action': action,
    }
    return {name: jnp.float32(value) for name, value in values.items()}


def test_a_report_weighs_losses_and_comes_one_interval_late(
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    watch: stopwatch.Stopwatch,
) -> None:
    report = metrics.Report(tmp_path, start=0, num_steps=4, late=True, watch=watch)
    path = tmp_path / 'metrics.jsonl'
    report.step(step_metrics(1.0, 10.0))
    report.step(step_metrics(4.0, 30.0))
    report.interval(2)
    assert read(path) == []
    report.step(step_metrics(2.0, 8.0))
    report.interval(3)
    report.flush()
    call, first, second = read(path)
    assert call == {'step': 0, 'kind': 'call', 'num_steps': 4}
    assert first['step'] == 2
    assert first['loss'] == (1 * 10 + 4 * 30) / 40
    assert first['weight'] == 40
    assert first['tokens'] == 80
    assert first['grad_norm'] == 2.0
    assert first['steps'] == 2
    assert (second['step'], second['loss']) == (3, 2.0)
    report.close()
    assert 'step 2/4 | loss 3.2500' in capsys.readouterr().out


def test_a_run_that_begins_again_at_step_0_begins_its_file_again(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'metrics.jsonl'
    path.write_text('{"step": 0, "kind": "evaluation"}\n')
    metrics.MetricsFile(path, start_step=0).close()
    assert read(path) == []


def test_a_report_that_is_not_late_reads_at_once(
    tmp_path: pathlib.Path, watch: stopwatch.Stopwatch
) -> None:
    report = metrics.Report(tmp_path, start=0, num_steps=4, late=False, watch=watch)
    report.step(step_metrics(1.0, 10.0))
    report.interval(1)
    assert [row['step'] for row in read(tmp_path / 'metrics.jsonl')[1:]] == [1]
    report.close()


def test_a_skipped_step_is_listed_once_and_is_in_no_mean(
    tmp_path: pathlib.Path, watch: stopwatch.Stopwatch
) -> None:
    report = metrics.Report(tmp_path, start=10, num_steps=20, late=True, watch=watch)
    report.step(step_metrics(2.0, 10.0))
    report.step(step_metrics(float('nan'), 10.0, bad=1, action=judge.SKIPPED))
    report.flush()
    report.interval(12)
    report.flush()
    (found,) = report.take_bad()
    assert (found.step, found.kind, found.action) == (12, 'loss not finite', 'skipped')
    _, row = read(tmp_path / 'metrics.jsonl')
    assert (row['step'], row['steps'], row['skipped']) == (12, 2, 1)
    assert (row['loss'], row['grad_norm'], row['tokens']) == (2.0, 1.0, 20.0)
    # An interval of nothing else has no means, so no line.
    report.step(step_metrics(float('inf'), 10.0, bad=1, action=judge.SKIPPED))
    report.interval(13)
    report.flush()
    assert [found.step for found in report.take_bad()] == [13]
    assert len(read(tmp_path / 'metrics.jsonl')) == 2
    report.close()


def test_no_line_covers_the_step_that_stopped_the_run_or_one_after_it(
    tmp_path: pathlib.Path, watch: stopwatch.Stopwatch
) -> None:
    report = metrics.Report(tmp_path, start=0, num_steps=9, late=True, watch=watch)
    report.step(step_metrics(2.0, 10.0))
    report.step(step_metrics(float('nan'), 10.0, bad=1, action=judge.STOPPED))
    report.interval(2)
    report.step(step_metrics(float('nan'), 10.0, action=judge.STOPPED))
    report.flush()
    report.interval(1)  # the state is that of step 1
    report.flush()
    assert [(found.step, found.action) for found in report.take_bad()] == [
        (2, 'stopped')
    ]
    _, row = read(tmp_path / 'metrics.jsonl')
    assert (row['step'], row['steps'], row['loss']) == (1, 1, 2.0)
    report.close()


class Computing:
    """A number of a device that works in the background, on a clock of ours."""

    def __init__(self, value: float, now: list[float], until: float) -> None:
        self._value, self._now, self._until = value, now, until

    def is_ready(self) -> bool:
        return self._now[0] >= self._until

    def block_until_ready(self) -> None:
        self._now[0] = max(self._now[0], self._until)

    def __array__(self) -> np.ndarray:
        self.block_until_ready()  # reading waits for it
        return np.float32(self._value)

    def __float__(self) -> float:
        return float(self.__array__())


@pytest.mark.parametrize('drawn', [False, True])
def test_rates_and_the_time_left_are_of_the_steps_whose_loss_stands_beside_them(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    drawn: bool,
) -> None:
    """40 steps of 2 s each, which are dispatched at once; 10 s of evaluation at 20.

    30 s of starting before the first step are in no rate and delay no end.
    """
    for name in ('step', '_read'):  # without the check that these are jax's arrays
        plain = inspect.unwrap(getattr(metrics.Report, name))
        monkeypatch.setattr(metrics.Report, name, plain)
    terminal(monkeypatch, yes=drawn)
    now, busy = [100.0], [100.0]
    monkeypatch.setattr(stopwatch.time, 'monotonic', lambda: now[0])
    monkeypatch.setattr('time.time', lambda: now[0])  # tqdm's
    monkeypatch.setattr('tqdm.std.time', lambda: now[0])

    def dispatched(loss: float) -> metrics.StepMetrics:
        busy[0] = max(busy[0], now[0]) + 2.0
        return {
            name: Computing(float(value), now, busy[0])
            for name, value in step_metrics(loss, 100.0).items()
        }

    with stopwatch.Stopwatch() as watch:
        report = metrics.Report(tmp_path, start=0, num_steps=40, late=True, watch=watch)
        for step in range(1, 41):
            if step == 1:
                now[0] += 30.0
                watch.lap('start')
            report.step(dispatched(float(step)))
            if step % 10 == 0:
                report.interval(step)
            if step == 20:
                report.flush()
                now[0] += 10.0
                watch.lap('evaluation')
        report.flush()
        report.close()
    out, err = capsys.readouterr()
    lines = [line for line in (err if drawn else out).split('\n') if ' lr ' in line]
    pattern = r'step (\d+)/40 .* ([\d.]+) tokens/s .* ([\d.]+) steps/s \| ETA (\w+)'
    told = [re.search(pattern, line) for line in lines]
    assert [line.groups() for line in told] == [
        ('10', '100', '0.50', '1m00s'),
        ('20', '100', '0.50', '40s'),
        ('30', '100', '0.50', '23s'),  # 70 s for 30 steps, the evaluation with them
        ('40', '100', '0.50', '0s'),
    ]
    # The bar counts what has ended: never the 20 that are dispatched and not computed.
    # It moves with each of them, though the loop waits for ten at once.
    assert not drawn or '  2.00s/step, loss 10.0000]' in err.split('step 10/40')[0]
    for step in range(1, 41):
        assert not drawn or (f' {step}/40 ' in err and f'loss {step}.0000' in err)
    assert ' 39/40' not in err.split('step 30/40')[0]
