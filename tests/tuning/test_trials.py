"""Trials: trained once, kept, and gone on with after a stop."""

import pathlib

import pytest
import tiny_runs

from hax_jax.data import records
from hax_jax.runs import run_folder
from hax_jax.tuning import part_runs, trials


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return tiny_runs.write_cache(tmp_path_factory.mktemp('rows') / 'rows')


def test_parts_are_trained_once_and_those_best_early_again(
    cache: records.PackedCache,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tiny_runs.make_config(optimizer__warmup_steps=0)

    def train(**bounds: int) -> part_runs.Found:
        done = trials.Trials(tmp_path, planned=32, **bounds)
        return part_runs.train(done, run, {1.0: cache}, steps=16, full_steps=30)

    with pytest.raises(trials.NoStepsLeftError, match='second seed'):
        train(max_steps=16)
    first = train()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == 'share 1, 16 steps | 0 of about 32 steps are done'
    assert any(line.startswith('share 1, 16 steps: there already') for line in said)
    seeds = first.results
    assert len(seeds) == 2
    assert first.noise == abs(seeds[0].loss - seeds[1].loss) > 0
    (measured,) = first.measured
    assert measured.tokens == cache.meta['splits']['train']['answer']
    assert len(measured.pairs) == 24
    folders = list((tmp_path / 'trials').iterdir())
    assert not any((each / run_folder.CHECKPOINTS).exists() for each in folders)
    (folders[0] / run_folder.CHECKPOINTS).mkdir()  # a kill came before they were gone
    assert train() == first
    assert not any((each / run_folder.CHECKPOINTS).exists() for each in folders)
    again = capsys.readouterr().out.splitlines()
    assert len(again) == 2
    assert all('there already' in line for line in again)


def test_a_trial_that_diverges_is_a_result_without_a_loss(
    cache: records.PackedCache, tmp_path: pathlib.Path
) -> None:
    run = tiny_runs.make_config(optimizer__learning_rate=1e30)
    done = trials.Trials(tmp_path, planned=8)
    config = trials.config_of(run, num_steps=8, full_steps=30)
    found = done.run('too high', config, cache)
    assert found.diverged
    assert found.loss == float('inf')


def test_the_end_of_the_minutes_stops_a_trial_that_then_goes_on(
    cache: records.PackedCache, tmp_path: pathlib.Path
) -> None:
    config = trials.config_of(tiny_runs.make_config(), num_steps=8, full_steps=30)
    short = trials.Trials(tmp_path, planned=8, minutes=1e-4)
    with pytest.raises(trials.StoppedEarlyError) as stopped:
        short.run('a', config, cache)
    assert stopped.value.exit_code == 75
    again = trials.Trials(tmp_path, planned=8)
    cut = again.run('a', config, cache)
    whole = trials.Trials(tmp_path / 'whole', planned=8)
    assert cut.pairs == whole.run('a', config, cache).pairs
