"""Runs of a process share what they trace and compile, where their settings agree.

Only what `train_loop` and `run_setup` call is shared: tests that make a step, a state
or a blueprint themselves get their own, and so do programs and child processes.
"""

import contextlib
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from hax_jax.evaluation import eval_step
from hax_jax.model import abstract
from hax_jax.training import optimizer, train_state, train_step


def kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, called once for equal arguments; blueprints are equal to themselves.

    Settings are frozen dataclasses, which are compared by value.
    """
    results: dict[Any, Any] = {}

    def part(argument: Any) -> Any:
        try:
            hash(argument)
        except TypeError:
            return id(argument)
        return argument

    @functools.wraps(function)
    def once(*args: Any, **given: Any) -> Any:
        named = ((name, part(given[name])) for name in sorted(given))
        key = (jax.jit, *map(part, args), *named)  # `own_emitters` has a jit of its own
        if key not in results:  # the arguments stay: an id is not used again
            results[key] = args, given, function(*args, **given)
        return results[key][-1]

    return once


class Sharing:
    """A module, but for functions of it that are kept."""

    def __init__(self, module: types.ModuleType, *names: str) -> None:
        self._module = module
        for name in names:
            setattr(self, name, kept(getattr(module, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


_ABSTRACT_MODEL = kept(abstract.abstract_model)
_DRAWN = train_state._drawn
_PARAMETERS: dict[Any, dict[str, jax.Array]] = {}


def _drawn(model: Any, wanted: dict[str, Any], seed: int) -> dict[str, jax.Array]:
    of = jax.jit, model.config, model.lora, model.compute_dtype, seed
    key = (*of, *sorted(wanted.items()))
    if key not in _PARAMETERS:
        _PARAMETERS[key] = _DRAWN(model, wanted, seed)
    return jax.tree.map(jnp.copy, _PARAMETERS[key])  # a step donates them


def _make_blueprint(*args: Any, **given: Any) -> train_state.Blueprint:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(abstract, 'abstract_model', _ABSTRACT_MODEL)
        return train_state.make_blueprint(*args, **given)


def _create(*args: Any, **given: Any) -> train_state.TrainState:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_state, '_drawn', _drawn)
        return train_state.create(*args, **given)


# Blueprints of one model share it, and states of one model and seed what is drawn.
_STATES = Sharing(train_state)
_STATES.make_blueprint = kept(_make_blueprint)
_STATES.create = _create
_SHARED = {
    'run_setup.optimizer': Sharing(
        optimizer, 'make_optimizer', 'schedule', 'average_weight'
    ),
    'run_setup.ts': _STATES,
    'starting.ts': _STATES,
    'run_step.train_step': Sharing(train_step, 'make_train_step'),
    'between_steps.eval_step': Sharing(eval_step, 'make_eval_step'),
}


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """Runs within share; what they share stays for the next."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in _SHARED.items():
            patch.setattr(f'hax_jax.training.{name}', module)
        yield
