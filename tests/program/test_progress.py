import math
import re
import sys

import pytest

from hax_jax.program import progress


def terminal(monkeypatch: pytest.MonkeyPatch, *, yes: bool) -> None:
    monkeypatch.setattr('sys.stderr.isatty', lambda: yes, raising=False)


@pytest.mark.parametrize(
    ('unit', 'total', 'line'),
    [
        ('pair', 1000, 'reading 200/1000 pairs | 3 gone | 5.00 pairs/s | ETA 2m40s\n'),
        ('pair', 0, 'reading 200 pairs | 3 gone | 5.00 pairs/s\n'),
        (
            'byte',
            10**6,
            'reading 200/1.00M bytes | 3 gone | 5.00 bytes/s | ETA 55h32m\n',
        ),
    ],
)
def test_a_log_gets_a_line_every_half_minute(
    unit: str,
    total: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal(monkeypatch, yes=False)
    now = [100.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
    with progress.Progress('reading', total, unit) as shown:
        now[0] += 29
        shown.add(100, '1 gone')
        now[0] += 11
        shown.add(100, '3 gone')
        shown.add(100, '4 gone')
    assert capsys.readouterr().out == line


def steps() -> progress.Progress:
    return progress.Progress('step', 105, 'step', start=5, every_seconds=math.inf)


def test_a_log_gets_plain_lines_where_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(monkeypatch, yes=False)
    with steps() as shown:
        shown.add()
        shown.add()
        shown.show('loss 2.5')
        shown.note('validation')
    out, err = capsys.readouterr()
    line, noted = out.splitlines()
    assert re.fullmatch(r'step 7/105 \| loss 2\.5 \| [\d.,]+ steps/s \| ETA \w+', line)
    assert noted == 'validation'
    assert err == ''


@pytest.mark.parametrize('on_terminal', [False, True])
def test_compiling_slows_no_rate_and_delays_no_end(
    on_terminal: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal(monkeypatch, yes=on_terminal)
    now = [100.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
    monkeypatch.setattr('time.time', lambda: now[0])  # tqdm's
    monkeypatch.setattr('tqdm.std.time', lambda: now[0])
    shown = steps()
    now[0] += 50
    shown.add()
    shown.add()
    shown.leave_out(46.0)
    shown.show('loss')
    # Two steps in 50 - 46 seconds; 98 are left.
    out, err = capsys.readouterr()
    if on_terminal:
        assert '7/105 [00:04<03:16,  2.00s/step, loss]' in err
    else:
        assert out == 'step 7/105 | loss | 0.50 steps/s | ETA 3m16s\n'
    shown.close()


def test_a_terminal_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(monkeypatch, yes=True)
    with steps() as shown:
        shown.add()
        shown.show('loss 2.5')
        shown.note('validation')
    out, err = capsys.readouterr()
    assert out == ''
    assert '6/105' in err
    assert 'loss 2.5' in err
    assert 'validation' in err


def test_a_line_before_the_first_step_divides_by_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(monkeypatch, yes=False)
    steps().show('loss')
    assert capsys.readouterr().out == 'step 5/105 | loss | 0.00 steps/s\n'


@pytest.mark.parametrize(
    ('seconds', 'shown'),
    [
        (0.0, '0s'),
        (59.4, '59s'),
        (59.6, '1m00s'),
        (65.0, '1m05s'),
        (3599.0, '59m59s'),
        (3600.0, '1h00m'),
        (3725.0, '1h02m'),
        (360000.0, '100h00m'),
    ],
)
def test_durations_are_in_words_of_people(seconds: float, shown: str) -> None:
    assert progress.duration(seconds) == shown


def test_items_are_counted_as_they_are_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(monkeypatch, yes=True)
    assert list(progress.over('ab', 'packing', 2, 'pair')) == ['a', 'b']
    assert '2/2' in capsys.readouterr().err


def test_a_notebook_gets_a_bar_though_its_stderr_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(monkeypatch, yes=False)
    monkeypatch.setitem(sys.modules, 'ipykernel.kernelapp', object())
    with steps() as shown:
        assert shown.is_drawn
        shown.add()
        shown.show('loss 2.5')
        shown.note('validation')
    out, err = capsys.readouterr()
    assert out == ''
    assert '6/105' in err
    assert 'loss 2.5' in err
    assert 'validation' in err
