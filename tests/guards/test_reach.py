"""A step's program says which parameters it can teach, before anything runs."""

import dataclasses
import functools
import json
import pathlib
import types
from collections.abc import Callable
from typing import Any

import forks
import jax
import jax.numpy as jnp
import optax
import programs
import pytest
import tiny_runs

from hax_jax.data import records
from hax_jax.guards import reach
from hax_jax.model import gpt2, lora
from hax_jax.training import run_setup, run_step

ROOT = pathlib.Path(__file__).parents[2]
_MANY = {'train__batch_size': 16, 'train__grad_accum_steps': 2, 'mesh__fsdp': 2}
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    'full': ({}, {}),
    'accumulated, bfloat16': (
        {'train__grad_accum_steps': 2, 'train__compute_dtype': 'bfloat16'},
        {},
    ),
    'scanned, recomputed': ({'model__scan_layers': True, 'train__remat': 'dots'}, {}),
    'average, z-loss, skips': (
        {
            'train__average': 'ema',
            'train__z_loss': 1e-4,
            'train__on_bad_step': 'skip',
            'train__layer_metrics_every_steps': 1,
        },
        {},
    ),
    'own head': ({'model__tie_embeddings': False}, {}),
    'LoRA': ({}, {'rank': 4, 'dropout': 0.1, 'targets': ('c_attn', 'c_fc', 'lm_head')}),
    'DoRA, scanned': ({'model__scan_layers': True}, {'rank': 4, 'dora': True}),
}


def taught(
    cache: records.PackedCache, changes: dict[str, Any], adapters: dict[str, Any]
) -> dict[str, bool]:
    """Of the step of such a run, which is traced and not compiled."""
    run = tiny_runs.make_config(**changes)
    run = dataclasses.replace(run, lora=dataclasses.replace(run.lora, **adapters))
    setup = run_setup.prepare(run, cache)
    shape = run.train.batch_size, run.data.seq_len
    with jax.set_mesh(setup.mesh):
        batch = {
            name: jax.ShapeDtypeStruct(
                shape, 'float32' if name == 'loss_weights' else 'int32'
            )
            for name in records.FEATURES
        }
        step = run_step.step_function(setup)
        traced = step.trace(setup.blueprint.state, batch)
    return reach.taught(
        traced, lambda state: setup.blueprint.split_held(state.params)[0]
    )


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    return tiny_runs.write_cache(tmp_path_factory.mktemp('data') / 'cache')


class Still:
    """A parameter under stop_gradient."""

    def __init__(self, parameter: Any) -> None:
        self.parameter = parameter

    def __getitem__(self, place: Any) -> jax.Array:
        return jax.lax.stop_gradient(self.parameter[place])


def hold(patch: pytest.MonkeyPatch, module: Any, *names: str) -> None:
    """The module's own parameters of these names get no gradient."""
    plain = module.__call__

    def call(self: Any, *args: Any, **given: Any) -> Any:
        still = {name: Still(getattr(self, name)) for name in names}
        held = {'by_rows': False, **vars(self), **still}
        return plain(types.SimpleNamespace(**held), *args, **given)

    patch.setattr(module, '__call__', call)


@pytest.mark.parametrize('kind', KINDS)
def test_a_healthy_step_can_teach_all_that_is_trained(
    kind: str, cache: records.PackedCache
) -> None:
    found = taught(cache, *KINDS[kind])
    assert found and all(found.values())


@pytest.mark.parametrize('kind', ['LoRA', 'DoRA, scanned'])
@pytest.mark.parametrize('names', [('lora_a', 'lora_b'), ('lora_b',), ('lora_a',)])
def test_adapters_under_stop_gradient_are_not_taught(
    kind: str,
    names: tuple[str, ...],
    cache: records.PackedCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold(monkeypatch, lora.LoraLinear, *names)
    for name, is_taught in taught(cache, *KINDS[kind]).items():
        assert is_taught == (name.startswith('lm_head') or not name.endswith(names)), (
            name
        )


def test_one_layer_under_stop_gradient_is_not_taught(
    cache: records.PackedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(monkeypatch, gpt2.Linear, 'bias')
    found = taught(cache, {'train__grad_accum_steps': 2}, {})
    still = {name for name, is_taught in found.items() if not is_taught}
    assert still == {n for n in found if n.endswith('.bias') and '.ln_' not in n} - {
        'ln_f.bias'
    }


def test_what_an_optimizer_leaves_out_is_not_taught(
    cache: records.PackedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run_setup.optimizer.make_optimizer

    def without_wpe(*args: Any, **given: Any) -> optax.GradientTransformation:
        tx = plain(*args, **given)

        def update(grads: Any, *rest: Any) -> Any:
            def dropped(path: Any, leaf: Any) -> Any:
                return leaf * (0 if 'wpe' in jax.tree_util.keystr(path) else 1)

            return tx.update(jax.tree_util.tree_map_with_path(dropped, grads), *rest)

        return optax.GradientTransformation(tx.init, update)

    monkeypatch.setattr(run_setup.optimizer, 'make_optimizer', without_wpe)
    found = taught(cache, {'train__seed': 77}, {})
    assert [name for name, is_taught in found.items() if not is_taught] == [
        'wpe.embedding'
    ]


def test_on_eight_devices(cache: records.PackedCache) -> None:
    done = forks.run(
        '-c',
        f'import test_reach; test_reach.on_devices({str(cache.path)!r})',
        **programs.devices(8),
        PYTHONPATH=':'.join(map(str, (ROOT, ROOT / 'tests', ROOT / 'tests/guards'))),
    )
    assert done.returncode == 0, done.stderr
    healthy, held = json.loads(done.stdout.splitlines()[-1])
    assert healthy and all(healthy.values())
    assert held == {name: not name.endswith('lora_b') for name in held} != {}


def on_devices(cache_path: str) -> None:
    """Prints what is taught on a mesh of three axes, healthy and with B held."""
    of_step = functools.partial(
        taught,
        records.open_cache(cache_path),
        {**_MANY, 'mesh__tensor': 2},
        {'rank': 2},
    )
    healthy = of_step()
    with pytest.MonkeyPatch.context() as patch:
        hold(patch, lora.LoraLinear, 'lora_b')
        print(json.dumps([healthy, of_step()]))


def _while(p: jax.Array, x: jax.Array, of: jax.Array) -> jax.Array:
    """`of` is added to the parameter as often as the batch has positive numbers."""
    count = jnp.sum(x > 0)
    return jax.lax.while_loop(
        lambda at: at[0] < count, lambda at: (at[0] + 1, at[1] + of), (0, p)
    )[1]


@pytest.mark.parametrize(
    ('new', 'expected'),
    [
        (lambda p, x: p - 0.1 * x, True),
        (lambda p, x: p * 0.9, False),
        (lambda p, x: p * (1 - 0.1 * jnp.sum(x)), False),  # a norm is one number
        (lambda p, x: jnp.where(jnp.sum(x) > 0, p * 0.9, p), False),  # a gate
        (lambda p, x: jnp.where(x > 0, p * 0.9, p), True),
        (lambda p, x: p + x * jnp.zeros(3), False),
        (lambda p, x: p + jnp.zeros((3, 3)) @ x, False),
        (lambda p, x: p + jnp.eye(3) @ x, True),
        (lambda p, x: jax.lax.cond(x[0] > 0, lambda: p, lambda: 2 * p), False),
        (lambda p, x: jax.lax.cond(p[0] > 0, lambda: p, lambda: p + x), True),
        (lambda p, x: _while(p, x, jnp.zeros(3)), False),
        (lambda p, x: _while(p, x, p), False),
        (lambda p, x: _while(p, x, x), True),
        (
            lambda p, x: jax.lax.scan(lambda c, y: (c + y, y), p, jnp.outer(x, x))[0],
            True,
        ),
        (
            lambda p, x: jax.lax.scan(lambda c, y: (c + 0 * y, y), p, jnp.outer(x, x))[
                0
            ],
            False,
        ),
        # What the carry gets from the batch reaches it in the second round.
        (
            lambda p, x: jax.lax.scan(
                lambda c, _: ((c[1], c[1] * 0 + x), 0), (p, p), length=3
            )[0][0],
            True,
        ),
    ],
)
def test_levels_of_small_programs(
    new: Callable[[jax.Array, jax.Array], jax.Array], expected: bool
) -> None:
    step = jax.jit(lambda state, batch: ({'p': new(state['p'], batch['x'])}, {}))
    three = jax.ShapeDtypeStruct((3,), 'float32')
    found = reach.taught(step.trace({'p': three}, {'x': three}), lambda state: state)
    assert found == {'p': expected}


@pytest.mark.parametrize('names', [('num_consts', 'num_carry'), ('ft_in',)])
def test_a_scan_of_either_version_is_read_and_another_one_is_refused(
    names: tuple[str, ...],
) -> None:
    """jax 0.10 counts the operands of a scan, 0.11 has them as a tree of three."""
    tree = types.SimpleNamespace(unpack=lambda: (('a', 'b'), ('c',), ()))
    every = {'num_consts': 2, 'num_carry': 1, 'ft_in': tree}
    scan = {name: every[name] for name in names}
    assert reach._consts_and_carry(scan) == (2, 1)
    with pytest.raises(KeyError):
        reach._consts_and_carry({})


def test_a_program_written_another_way_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(_: Any) -> None:
        raise KeyError('num_consts')

    monkeypatch.setattr(reach, '_consts_and_carry', unknown)
    step = jax.jit(
        lambda state, batch: (jax.lax.scan(lambda c, y: (c, y), state, batch)[0], {})
    )
    traced = step.trace({'p': jnp.ones(3)}, {'x': jnp.ones((2, 3))})
    with pytest.raises(NotImplementedError, match=f'jax {jax.__version__} .*num_const'):
        reach.taught(traced, lambda state: state)
