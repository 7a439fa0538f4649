"""What `hax doctor --config` says while it looks."""

import pathlib

import tiny_runs

from hax_jax.planning import full_examination
from hax_jax.training import run_setup


def test_a_full_examination_says_what_it_looks_at(tmp_path: pathlib.Path) -> None:
    cache = tiny_runs.write_cache(tmp_path / 'rows')
    said: list[str] = []
    setup = run_setup.prepare(tiny_runs.make_config(), cache)
    found, _ = full_examination.of(setup, say=said.append)
    assert found
    assert said[0] == 'compiling the train step'
    assert said[-1] == 'trial steps at 100 times the rate'
    assert {'repairs of weights', 'the first step'} < set(said)
