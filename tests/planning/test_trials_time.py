"""What many short runs take: their steps, their evaluations, and compiling each."""

import pathlib
import types

import jax
import pytest
import tiny_runs

from hax_jax.planning import step_plan, trials_time
from hax_jax.training import run_setup


@pytest.fixture
def setup(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> run_setup.Setup:
    cache = tiny_runs.write_cache(tmp_path / 'rows')
    monkeypatch.setattr(step_plan, 'step_time', lambda *_: (2.0, 'by a clock'))

    def compiled_step(_: run_setup.Setup) -> types.SimpleNamespace:
        # What lies in the compilation cache would tell of a time that no other has.
        cached = jax.config.jax_enable_compilation_cache
        return types.SimpleNamespace(seconds=0.1 if cached else 7.0)

    monkeypatch.setattr(step_plan, 'compiled_step', compiled_step)
    return run_setup.prepare(tiny_runs.make_config(), cache)


def test_trials_take_steps_evaluations_and_the_compiling_of_their_programs(
    setup: run_setup.Setup,
) -> None:
    rows, batch = setup.cache.num_rows('validation'), setup.run.train.batch_size
    scored = -(-rows // batch) * batch
    asked = {'steps': 100, 'num_trials': 6, 'evaluations': 9, 'num_programs': 4}
    seconds, words = trials_time.of(setup, **asked)
    assert seconds == pytest.approx(200 + 6 * 9 * scored / batch * 2 / 3 + 4 * 7)
    assert 'compiling 28s (4 programs; one took 7.0 s now)' in words


def test_a_speed_that_is_not_known_gives_no_time(
    setup: run_setup.Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_plan, 'step_time', lambda *_: (None, 'not known: no peak'))
    asked = {'steps': 9, 'num_trials': 6, 'evaluations': 9, 'num_programs': 4}
    found = trials_time.of(setup, **asked)
    assert found == (None, 'time not known: no peak')
