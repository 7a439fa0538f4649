"""Why a run ends, where its time goes, and what it writes besides its loss."""

import math
import os
import pathlib
import pty
import resource
import signal

import forks
import programs
import pytest
import test_metrics
import test_tracking
import test_train_loop
import tiny_runs
from orbax.checkpoint import future as futures

from hax_jax import errors
from hax_jax.data import records
from hax_jax.guards import preemption
from hax_jax.runs import checkpoint, disk_room, restore
from hax_jax.training import capacity, run_summary
from hax_jax.watch import metrics, stopwatch

# Nothing moves, so the first evaluation stays the best one.
STILL = {
    'optimizer__learning_rate': 1e-30,
    'train__eval_every_steps': 5,
    'train__checkpoint_every_steps': 5,
}
SHORT = {'train__num_steps': 7, 'train__eval_every_steps': 4}


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return tiny_runs.write_cache(tmp_path_factory.mktemp('data') / 'cache')


def test_patience_counts_over_the_whole_run_and_can_be_raised(
    cache: records.PackedCache, tmp_path: pathlib.Path
) -> None:
    changes = {**STILL, 'train__patience': 2}
    first = test_train_loop.train(cache, tmp_path, **changes)
    assert (first.step, first.reason) == (15, 'patience')
    assert (first.history.best_step, first.history.since_best) == (5, 2)
    assert math.isclose(first.history.loss_before, first.history.best_loss)
    # Killed before that step was saved: the evaluation at 10 still counts.
    test_train_loop.remove_checkpoint(tmp_path, 15)
    again = test_train_loop.train(cache, tmp_path, **changes)
    assert (again.step, again.reason, again.trained_steps) == (15, 'patience', 5)
    assert again.history == first.history
    # Started once more it has nothing to do, says so, and writes nothing.
    before = test_train_loop.tree(tmp_path)
    ended = test_train_loop.train(cache, tmp_path, **changes)
    assert (ended.step, ended.reason, ended.trained_steps) == (15, 'patience', 0)
    assert test_train_loop.tree(tmp_path) == before
    assert '--config.train.patience=4' in run_summary.render(ended, tmp_path)
    longer = test_train_loop.train(cache, tmp_path, **{**changes, 'train__patience': 3})
    assert (longer.step, longer.reason) == (20, 'patience')
    rows = tiny_runs.lines(tmp_path, 'evaluation')
    assert [row['step'] for row in rows] == [0, 5, 10, 15, 20]
    # TensorBoard shows each step of each curve once.
    seen = [(tag, step) for tag, step, _ in test_tracking.shown(tmp_path)]
    assert len(seen) == len(set(seen))
    steps = [step for tag, step in seen if tag == 'loss/train']
    assert steps == list(range(1, 21))


def test_a_gain_under_the_least_improvement_does_not_end_the_wait(
    cache: records.PackedCache, tmp_path: pathlib.Path
) -> None:
    changes = {
        'train__eval_every_steps': 3,
        'train__patience': 1,
        'train__patience_min_delta': 100.0,
    }
    ended = test_train_loop.train(cache, tmp_path, **changes)
    assert (ended.step, ended.reason) == (6, 'patience')
    assert ended.history.best_step == 6  # it was better all the same
    assert 'train.patience_min_delta=100.0)' in run_summary.render(ended, tmp_path)


@pytest.fixture(scope='module')
def whole(
    cache: records.PackedCache, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A run of 7 steps that nothing stopped and that writes nothing more."""
    workdir = tmp_path_factory.mktemp('runs') / 'whole'
    test_train_loop.train(cache, workdir, **SHORT)
    return workdir


def test_a_run_that_is_out_of_time_is_saved_and_goes_on_bit_for_bit(
    cache: records.PackedCache, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    # Less than it takes to start, and yet the call makes a step.
    cut = test_train_loop.train(cache, tmp_path, **SHORT, train__max_minutes=1e-9)
    assert (cut.step, cut.reason, run_summary.exit_code(cut)) == (1, 'max_minutes', 75)
    last = test_train_loop.train(cache, tmp_path, **SHORT, train__max_minutes=60.0)
    assert (last.step, last.reason, run_summary.exit_code(last)) == (7, 'finished', 0)
    assert test_train_loop.losses(tmp_path) == test_train_loop.losses(whole)
    # No step is missing in what is logged: what came before the end has a line too.
    covered = tiny_runs.lines(tmp_path, 'train')
    assert sum(row['steps'] for row in covered) == 7
    assert covered[0]['step'] == covered[0]['steps'] == 1


def test_time_is_up_when_it_is_and_a_signal_is_told_too() -> None:
    with preemption.Signals() as signals:
        assert signals.reason(1, every=1) == ''
    with preemption.Signals(max_minutes=60.0) as signals:
        assert signals.reason(1, every=1) == ''
    for sent in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
        before = signal.getsignal(sent)
        with preemption.Signals(max_minutes=1e-9) as signals:
            assert signals.reason(1, every=1) == 'max_minutes'
            assert signals.number == 0
            signal.raise_signal(sent)
            assert signals.reason(2, every=1) == 'signal'
            assert signals.number == sent
        assert signal.getsignal(sent) is before


def test_a_save_that_the_disk_refuses_is_one_error_and_the_run_goes_on(
    cache: records.PackedCache,
    whole: pathlib.Path,
    tmp_path: pathlib.Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    test_train_loop.train(cache, tmp_path, **SHORT, train__max_minutes=1e-9)
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, most))  # under half a checkpoint
    try:
        with pytest.raises(errors.InputError) as caught:
            test_train_loop.train(cache, tmp_path, **SHORT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))
    folder = tmp_path / 'checkpoints'
    message = str(caught.value)
    assert message.startswith(
        f'a checkpoint could not be written in {folder}: its disk or a limit of this '
        'process takes no file of that size ('
    )
    assert message.endswith(
        ' free); the steps there are [1]. Raise the limit (ulimit -f), and the same '
        'command goes on from step 1.'
    )
    assert 'Traceback' not in capfd.readouterr().err
    assert list(folder.glob('saving-*')) == []  # its room is given back
    last = test_train_loop.train(cache, tmp_path, **SHORT)
    assert (last.step, last.reason) == (7, 'finished')
    assert test_train_loop.losses(tmp_path) == test_train_loop.losses(whole)


def test_a_save_that_can_not_fit_does_not_begin(
    cache: records.PackedCache, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, 'check_disk', lambda *_: None)
    monkeypatch.setattr(disk_room, 'free', lambda _: 150_000)
    with pytest.raises(errors.InputError, match=r'no room \(171\.7 kB needed, 150\.0 '):
        test_train_loop.train(cache, tmp_path, **SHORT)
    assert list((tmp_path / 'checkpoints').iterdir()) == []


def test_a_save_that_orbax_waits_for_in_vain_is_one_passing_failure(
    cache: records.PackedCache,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
) -> None:
    async def write() -> None:
        """What Orbax would await, had it not waited too long."""

    left = []

    def too_long(*_: object) -> None:
        left.append(write())
        futures.ChainedFuture([futures.NoopFuture()], cb=print).result(timeout=-1)

    monkeypatch.setattr(checkpoint.Checkpoints, '_commit', too_long)
    with pytest.raises(errors.PlaceError, match=r'not written in .* in time') as found:
        test_train_loop.train(cache, tmp_path, **SHORT)
    assert found.value.passing
    assert str(found.value).endswith('There is no step yet. The same command goes on.')
    left.clear()
    assert not [each for each in recwarn if 'never awaited' in str(each.message)]


_BUSY = """
import hashlib, os, signal, sys
from hax_jax.guards import preemption

preemption._GRACE_SECONDS = 0.0
with preemption.Signals() as signals:
    if sys.argv[1] == 'begun':
        signals.reason(1, every=1)
    os.write(2, b'busy\\n')
    # As XLA compiles: outside of Python, where no handler runs, without its lock.
    hashlib.pbkdf2_hmac('sha256', b'', b'', int(sys.argv[2]))
    os.write(2, b'back in Python\\n')
    print(signals.reason(2, every=1), flush=True)
"""


@pytest.mark.parametrize(
    ('at', 'sent', 'said'),
    [
        ('start', signal.SIGINT, 'finishing the first step (compiling comes before'),
        (
            'begun',
            signal.SIGINT,
            'finishing the steps under way, then saving; again to stop now',
        ),
        (
            'begun',
            signal.SIGUSR1,
            'SIGUSR1: finishing the steps under way, then saving\n',
        ),
    ],
)
def test_a_signal_is_acknowledged_at_once_while_no_handler_can_run(
    at: str, sent: signal.Signals, said: str
) -> None:
    with forks.start('-c', _BUSY, at, 3_000_000) as child:
        assert child.stderr.readline() == 'busy\n'
        child.send_signal(sent)
        assert said in child.stderr.readline()
        assert child.communicate(timeout=60) == ('signal\n', 'back in Python\n')


def test_a_second_ctrl_c_ends_the_process_while_no_handler_can_run() -> None:
    with forks.start('-c', _BUSY, 'start', 2**31 - 1) as child:
        assert child.stderr.readline() == 'busy\n'
        child.send_signal(signal.SIGINT)
        assert 'Ctrl-C: ' in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=60) == ('', 'stopped by Ctrl-C\n')
        assert child.returncode == 130


def test_a_run_whose_terminal_is_gone_goes_on_to_its_save() -> None:
    ours, terminal = pty.openpty()
    code = """
import os, signal, time
from hax_jax.guards import preemption

with preemption.Signals() as signals:
    os.write(3, b'begun')
    while not signals.reason(1, every=1):
        time.sleep(0.01)
    print('a line that would fail', flush=True)
    os.write(3, b'saved')
"""
    heard, told = os.pipe()
    child = programs.start(
        '-c',
        f'import os\nos.dup2({told}, 3)\n{code}',
        stdout=terminal,
        stderr=terminal,
        pass_fds=[told],
    )
    os.close(told)
    os.close(terminal)
    assert os.read(heard, 5) == b'begun'
    os.close(ours)  # the window is closed
    child.send_signal(signal.SIGHUP)
    assert child.wait(timeout=60) == 0
    assert os.read(heard, 5) == b'saved'
    os.close(heard)


def test_time_layers_and_profile_are_written_and_change_no_loss(
    cache: records.PackedCache,
    own_emitters: None,
    tmp_path: pathlib.Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run, whole = tmp_path / 'a run', tmp_path / 'whole'
    test_train_loop.train(cache, whole, **SHORT)
    capfd.readouterr()
    summary = test_train_loop.train(
        cache,
        run,
        **SHORT,
        train__layer_metrics_every_steps=3,
        train__log_every_steps=2,
        train__profile_steps='2:4',
        train__recheck_every_steps=3,
    )
    printed = capfd.readouterr().out
    assert test_train_loop.bit_equal(
        restore.load_base(str(run), step=7).parameters,
        restore.load_base(str(whole), step=7).parameters,
    )
    assert set(summary.seconds) == set(stopwatch.PARTS)
    rows = tiny_runs.lines(run, 'train')
    # A checkpoint at 5 ends an interval too.
    assert [row['step'] for row in rows] == [2, 4, 5, 6, 7]
    for row in rows:
        assert 'step' in row['seconds']
        assert 'mfu' not in row  # a CPU's peak is not known
    for part in ('compile', 'evaluation'):
        assert sum(row['seconds'].get(part, 0.0) for row in rows) > 0
    (last,) = tiny_runs.lines(run, 'summary')
    assert last['reason'] == 'finished'
    assert last['history']['best_loss'] == summary.history.best_loss
    layers = tiny_runs.lines(run, 'layers')
    assert [row['step'] for row in layers] == [3, 6]
    assert set(layers[0]['by']) == {'wte', 'wpe', 'h.0', 'ln_f'}
    assert layers[0]['by']['h.0']['update_ratio'] > 0
    traces = list((run / 'profile').rglob('*.xplane.pb'))
    assert len(traces) == 1
    assert f"--logdir='{run}/profile'" in printed


def test_the_share_of_the_peak_is_that_of_the_tokens_that_are_no_padding(
    tmp_path: pathlib.Path,
) -> None:
    with stopwatch.Stopwatch() as watch:
        report = metrics.Report(
            tmp_path,
            start=0,
            num_steps=1,
            late=False,
            watch=watch,
            flops_per_token=1e6,
            peak_flops=1e12,
        )
        report.step(test_metrics.step_metrics(2.0, 25.0))
        report.interval(1)
        report.close()
    (row,) = tiny_runs.lines(tmp_path, 'train')
    assert math.isclose(row['mfu'], row['tokens_per_second'] * 1e6 / 1e12)
