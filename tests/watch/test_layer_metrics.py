"""Norms by layer, from the states before and after a step, by numpy."""

import dataclasses

import jax
import numpy as np
import optax
import pytest
import test_train_step

from hax_jax.config import schema
from hax_jax.devices import mesh
from hax_jax.model import param_tree
from hax_jax.training import train_state as ts
from hax_jax.training import train_step
from hax_jax.watch import layer_metrics

FULL, LORA = schema.LoraConfig(), schema.LoraConfig(rank=4)
LAYERS = {
    0: {'wte', 'wpe', 'h.0', 'h.1', 'ln_f'},
    4: {
        f'h.{i}.{layer}'
        for i in range(2)
        for layer in ('attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj')
    },
}


@pytest.mark.parametrize('lora', [FULL, LORA])
def test_norms_are_those_of_the_step_and_the_step_is_the_same(
    lora: schema.LoraConfig,
) -> None:
    several = dataclasses.replace(test_train_step.TINY, n_layer=2)
    plain = test_train_step.trainer(model=several, lora=lora)
    # A step with a known gradient: plain descent, whose update is -0.1 times it.
    tx = optax.sgd(0.1)
    opt_state = tx.init(plain.fresh().params)
    here = mesh.make_mesh(schema.MeshConfig())
    blueprint = dataclasses.replace(
        plain.blueprint,
        tx=tx,
        state=dataclasses.replace(plain.blueprint.state, opt_state=opt_state),
    )

    def run(*, with_layers: bool) -> tuple[ts.TrainState, train_step.Metrics]:
        step = train_step.make_train_step(
            blueprint,
            optax.constant_schedule(0.1),
            mesh=here,
            grad_accum_steps=1,
            seed=0,
            with_layers=with_layers,
        )
        state = dataclasses.replace(plain.fresh(), opt_state=opt_state)
        state, metrics = step(state, test_train_step.batch_of())
        state, metrics = step(state, test_train_step.batch_of(seed=1))
        assert step._cache_size() == 1
        return state, metrics

    state, metrics = run(with_layers=True)
    other, fewer = run(with_layers=False)
    expected = param_tree.named(other.params)
    for name, value in param_tree.named(state.params).items():
        np.testing.assert_array_equal(value, expected[name])
    assert {n: float(fewer[n]) for n in fewer} == {n: float(metrics[n]) for n in fewer}

    layers = layer_metrics.groups(state.params)
    assert set(layers) == LAYERS[lora.rank]
    assert sorted(name for names in layers.values() for name in names) == sorted(
        param_tree.named(state.params)
    )
    found = layer_metrics.by_layer(layers, np.asarray(metrics['layers']))
    total = sum(norms['grad_norm'] ** 2 for norms in found.values())
    np.testing.assert_allclose(total, float(metrics['grad_norm']) ** 2, rtol=1e-5)
    after = {
        n: np.asarray(v, np.float64) for n, v in param_tree.named(state.params).items()
    }
    for layer, names in layers.items():
        norms = found[layer]
        assert norms['grad_norm'] > 0
        np.testing.assert_allclose(
            norms['update_norm'], 0.1 * norms['grad_norm'], rtol=1e-5
        )
        np.testing.assert_allclose(
            norms['update_ratio'],
            norms['update_norm'] / norms['weight_norm'],
            rtol=1e-6,
        )
        weight = np.sqrt(sum((after[name] ** 2).sum() for name in names))
        # Before the step, so off by the update at most.
        assert abs(weight - norms['weight_norm']) <= norms['update_norm'] * 1.001


def test_the_update_norm_is_how_far_the_weights_moved() -> None:
    trained = test_train_step.trainer()
    before = {
        n: np.array(v) for n, v in param_tree.named(trained.fresh().params).items()
    }
    updates = jax.tree.map(lambda x: 0.25 * x, trained.fresh().params)
    params = trained.fresh().params
    values = np.asarray(layer_metrics.norms(params, updates, params))
    for row, names in zip(values, layer_metrics.groups(params).values(), strict=True):
        norm = np.sqrt(
            sum((before[name].astype(np.float64) ** 2).sum() for name in names)
        )
        np.testing.assert_allclose(row, [norm, 0.25 * norm, norm], rtol=1e-5)


def test_weights_that_are_zero_have_no_ratio() -> None:
    found = layer_metrics.by_layer(['a'], np.array([[1.0, 2.0, 0.0]]))
    assert found['a']['update_ratio'] == 0.0
