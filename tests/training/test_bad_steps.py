"""A run with a planted bad batch: it stops before it or skips it, and goes on."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import test_train_loop
import tiny_runs

from hax_jax import errors
from hax_jax.data import records
from hax_jax.devices import peers
from hax_jax.guards import bad_steps, stops
from hax_jax.model import param_tree
from hax_jax.runs import checkpoint, run_folder
from hax_jax.training import run_setup, starting, train_loop
from hax_jax.training import train_state as ts
from launch import replay_step

BAD = 7
# Metrics are read at steps 4, 8 and 12: late, when the bad step is long over.
CHANGES = {
    'model__n_layer': 1,
    'model__n_embd': 8,
    'train__num_steps': 12,
    'train__log_every_steps': 4,
    'train__eval_every_steps': 12,
    'train__checkpoint_every_steps': 6,
}
SKIP = {**CHANGES, 'train__on_bad_step': 'skip'}


def setup_of(cache: records.PackedCache, **changes: object) -> run_setup.Setup:
    return run_setup.prepare(tiny_runs.make_config(**changes), cache)


def write_cache(folder: pathlib.Path) -> records.PackedCache:
    """Rows for 13 steps and more, so that none comes twice in a run."""
    return tiny_runs.write_cache(folder, num_train=240)


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return write_cache(tmp_path_factory.mktemp('data') / 'cache')


@pytest.fixture(scope='module')
def poisoned(
    cache: records.PackedCache, tmp_path_factory: pytest.TempPathFactory
) -> tuple[records.PackedCache, records.Segment]:
    """The cache with a pair in step BAD whose weights have an infinite sum."""
    found = write_cache(tmp_path_factory.mktemp('data') / 'poisoned')
    row = int(setup_of(found, **CHANGES).rows_of(BAD)[0])
    segment = next(each for each in found.segments('train') if each.row == row)
    weights = np.array(found.features('train')['loss_weights'])
    place = slice(segment.prompt_end, segment.prompt_end + 2)
    weights[row, place] = 3e38  # twice, over what float32 has
    np.save(found.path / 'train' / 'loss_weights.npy', weights)
    return found, segment


@pytest.fixture(scope='module')
def stopped(
    poisoned: tuple[records.PackedCache, records.Segment],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[pathlib.Path, stops.BadStepError]:
    workdir = tmp_path_factory.mktemp('runs') / 'stopped'
    changes = {**CHANGES, 'train__checkpoint_every_steps': 100}
    with pytest.raises(stops.BadStepError) as error:
        test_train_loop.train(poisoned[0], workdir, **changes)
    return workdir, error.value


@pytest.fixture(scope='module')
def skipped(
    poisoned: tuple[records.PackedCache, records.Segment],
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    workdir = tmp_path_factory.mktemp('runs') / 'skipped'
    summary = test_train_loop.train(poisoned[0], workdir, **SKIP)
    assert (summary.step, summary.skipped_steps) == (12, 1)
    return workdir


@pytest.fixture(scope='module')
def clean(
    cache: records.PackedCache, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    workdir = tmp_path_factory.mktemp('runs') / 'clean'
    test_train_loop.train(cache, workdir, **{**CHANGES, 'train__log_every_steps': 1})
    return workdir


def stored(
    cache: records.PackedCache, workdir: pathlib.Path, step: int
) -> dict[str, np.ndarray]:
    """Everything that a checkpoint holds, by tree and name."""
    abstract = ts.checkpointed(setup_of(cache, **CHANGES).blueprint.state)
    path = workdir / run_folder.CHECKPOINTS / str(step)
    trees = checkpoint.restore(path, abstract)
    return {name: np.asarray(leaf) for name, leaf in param_tree.named(trees).items()}


def bad_lines(workdir: pathlib.Path) -> list[dict[str, object]]:
    lines = (workdir / bad_steps.FILE).read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_run_stops_before_a_bad_step_and_saves_the_state_before_it(
    cache: records.PackedCache,
    stopped: tuple[pathlib.Path, stops.BadStepError],
    clean: pathlib.Path,
) -> None:
    workdir, error = stopped
    assert (error.found.step, error.step, error.saved) == (BAD, BAD - 1, BAD - 1)
    assert 'loss not finite' in str(error)
    assert [info.step for info in test_train_loop.steps(workdir)] == [BAD - 1]
    # The same rows without the bad weight: all is equal up to there.
    expected = stored(cache, clean, BAD - 1)
    assert test_train_loop.bit_equal(stored(cache, workdir, BAD - 1), expected)
    assert not expected['guard.stopped']
    assert np.count_nonzero(expected['guard.losses']) == BAD - 1
    covered = tiny_runs.lines(workdir, 'train')
    assert [(row['step'], row['steps']) for row in covered] == [(4, 4), (6, 2)]


def test_a_bad_step_is_listed_with_its_rows_and_pairs(
    poisoned: tuple[records.PackedCache, records.Segment],
    stopped: tuple[pathlib.Path, stops.BadStepError],
) -> None:
    cache, segment = poisoned
    (line,) = bad_lines(stopped[0])
    rows = setup_of(cache, **CHANGES).rows_of(BAD).tolist()
    assert line.pop('pairs') == [
        {'row': row, 'id': each.id, 'source': 'planted'}
        for row in rows
        for each in cache.segments('train')
        if each.row == row
    ]
    assert segment.row in rows
    assert line.pop('loss') in ('inf', 'nan')
    assert line == {
        'step': BAD,
        'kind': 'loss not finite',
        'action': 'stopped',
        'grad_norm': line['grad_norm'],
        'rows': rows,
    }


def test_skipping_goes_on_from_a_stop_as_if_it_had_skipped_from_the_start(
    poisoned: tuple[records.PackedCache, records.Segment],
    stopped: tuple[pathlib.Path, stops.BadStepError],
    skipped: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    cache = poisoned[0]
    expected = stored(cache, skipped, 12)
    assert expected['guard.num_skipped'] == 1
    assert [line['action'] for line in bad_lines(skipped)] == ['skipped']
    workdir = shutil.copytree(stopped[0], tmp_path / 'went_on')
    test_train_loop.train(cache, workdir, **SKIP)
    assert test_train_loop.bit_equal(stored(cache, workdir, 12), expected)
    assert bad_lines(workdir) == bad_lines(skipped)
    # And after a kill that lost the steps from 6 on, the skipped one among them.
    workdir = shutil.copytree(skipped, tmp_path / 'killed')
    test_train_loop.remove_checkpoint(workdir, 12)
    test_train_loop.train(cache, workdir, **SKIP)
    assert test_train_loop.bit_equal(stored(cache, workdir, 12), expected)
    assert bad_lines(workdir) == bad_lines(skipped)
    assert test_train_loop.losses(workdir) == test_train_loop.losses(skipped)
    (row,) = [row for row in tiny_runs.lines(workdir, 'train') if 'skipped' in row]
    assert (row['step'], row['steps'], row['skipped']) == (8, 2, 1)


def test_a_replay_shows_the_bad_pair_first_and_changes_nothing(
    poisoned: tuple[records.PackedCache, records.Segment],
    stopped: tuple[pathlib.Path, stops.BadStepError],
) -> None:
    cache, segment = poisoned
    workdir, before = stopped[0], test_train_loop.tree(stopped[0])
    printed = replay_step.replay(setup_of(cache, **CHANGES), workdir, BAD)
    first, _, worst, *others, last = printed.splitlines()
    assert f'after step {BAD - 1}, without dropout: loss nan' in first
    loss, _, weight, *named = worst.split()
    assert (loss, weight) == ('nan', 'inf')
    assert named == [f'{segment.row}', segment.id, '(planted)']
    assert not any('inf' in line for line in others)
    path = workdir / f'replay-{BAD}.jsonl'
    assert str(path) in last
    assert len(path.read_text().splitlines()) == len(others) + 1
    path.unlink()
    assert test_train_loop.tree(workdir) == before


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('{"step": 7, "rows": ["a"]}', 'line 1, is no bad step'),
        ('{"step": 7}', "line 1, is no bad step .'rows'."),
        ('{"step": 7, "rows": [100000]}', 'names rows that'),
    ],
)
def test_a_damaged_list_of_bad_steps_is_named(
    cache: records.PackedCache, tmp_path: pathlib.Path, line: str, message: str
) -> None:
    (tmp_path / bad_steps.FILE).write_text(line + '\n')
    with pytest.raises(errors.InputError, match=message):
        replay_step.replay(setup_of(cache, **CHANGES), tmp_path, BAD)


def test_a_replay_adds_up_to_the_loss_and_the_gradient_of_the_step(
    cache: records.PackedCache, clean: pathlib.Path
) -> None:
    printed = replay_step.replay(setup_of(cache, **CHANGES), clean, BAD)
    row = tiny_runs.lines(clean, 'train')[BAD - 1]
    assert f'loss {row["loss"]:.4f}, gradient norm {row["grad_norm"]:.4f}' in printed
    assert 'lie between' not in printed
    printed = replay_step.replay(setup_of(cache, **CHANGES), clean, BAD - 2)
    assert 'on the parameters after step 0' in printed
    assert f'\n{BAD - 3} steps lie between: no checkpoint' in printed


def test_a_rollback_goes_on_as_if_the_bad_rows_had_never_been(
    poisoned: tuple[records.PackedCache, records.Segment],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = poisoned[0]
    changes = {**CHANGES, 'train__on_bad_step': 'rollback'}
    marks: list[str] = []
    monkeypatch.setattr(peers, 'mark', marks.append)
    summary = test_train_loop.train(cache, tmp_path / 'back', **changes)
    assert summary.trained_steps == 12  # six of them before the rollback
    # While the step is compiled anew, nothing hangs.
    after = marks.index('') + 1
    assert (marks.count(''), marks[after]) == (1, 'the batch of step 8')
    found = stored(cache, tmp_path / 'back', 12)
    assert found['guard.num_skipped'] == 0
    (line,) = bad_lines(tmp_path / 'back')
    assert (line['step'], line['action'], line['skip']) == (7, 'rolled back', [48, 55])
    covered = tiny_runs.lines(tmp_path / 'back', 'train')
    assert sum(row['steps'] for row in covered) == 12
    # A kill loses what came after the step that it was rolled back to.
    workdir = shutil.copytree(tmp_path / 'back', tmp_path / 'killed')
    test_train_loop.remove_checkpoint(workdir, 12)
    test_train_loop.train(cache, workdir, **changes)
    assert test_train_loop.bit_equal(stored(cache, workdir, 12), found)
    assert bad_lines(workdir) == [line]
    # The stream without those rows from the start, where nothing goes wrong.
    leaving_out = starting.Claim.leaving_out
    monkeypatch.setattr(
        starting.Claim, 'leaving_out', lambda claim, _: leaving_out(claim, ((48, 55),))
    )
    test_train_loop.train(cache, tmp_path / 'without', **CHANGES)
    expected = stored(cache, tmp_path / 'without', 12)
    assert test_train_loop.bit_equal(found, expected)
    assert not (tmp_path / 'without' / bad_steps.FILE).exists()


def test_a_run_is_not_rolled_back_to_one_step_for_ever(
    poisoned: tuple[records.PackedCache, records.Segment],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(starting.Claim, 'leaving_out', lambda claim, _: claim)
    monkeypatch.setattr(train_loop, '_MOST_ROLLBACKS', 1)
    changes = {**CHANGES, 'train__on_bad_step': 'rollback'}
    changes['train__checkpoint_every_steps'] = 100
    with pytest.raises(stops.BadStepError, match='after 1 times back to step 0'):
        test_train_loop.train(poisoned[0], tmp_path, **changes)
    assert 'the last call' not in capsys.readouterr().out  # this one begins again
