"""What runs of a process share, and what they don't."""

import types

import jax
import pytest
import shared_steps
import tiny_runs


def test_equal_settings_share_and_others_do_not() -> None:
    kept = shared_steps.kept(lambda *args, **given: object())
    run, same = tiny_runs.make_config(), tiny_runs.make_config()
    other = tiny_runs.make_config(train__z_loss=0.1)
    one = kept(run.train, mesh='x')
    assert kept(same.train, mesh='x') is one
    assert kept(other.train, mesh='x') is not one
    assert kept(run.train, mesh='y') is not one
    assert kept(run.train) is not one


def test_a_test_that_compiles_in_its_own_way_shares_with_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = shared_steps.kept(lambda *args: object())
    one = kept('settings')
    monkeypatch.setattr(jax, 'jit', object())
    assert kept('settings') is not one


def test_what_has_no_value_is_equal_to_itself_alone() -> None:
    kept = shared_steps.kept(lambda *args: object())
    blueprint = {'leaf': 1}
    assert kept(blueprint) is kept(blueprint)
    # One that is made and dropped gives its id to the next.
    assert len({id(kept({'leaf': 1})) for _ in range(9)}) == 9


def test_other_names_of_a_module_are_read_when_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = types.SimpleNamespace(made=object, compiled=1)
    sharing = shared_steps.Sharing(module, 'made')
    monkeypatch.setattr(module, 'compiled', 2)
    assert sharing.compiled == 2
    assert sharing.made() is sharing.made()
