"""Training as torch trains: AdamW steps of transformers' GPT-2, and its other layouts.

The golden files are those of `golden/make_gpt2.py`.
"""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hax_jax.config import schema
from hax_jax.data import records
from hax_jax.devices import mesh
from hax_jax.formats import hf_folder
from hax_jax.model import gpt2, loss, naming, param_tree
from hax_jax.training import optimizer, train_step
from hax_jax.training import train_state as ts

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'
NUM_STEPS = 5
SETTINGS = schema.OptimizerConfig(
    learning_rate=5e-3,
    final_learning_rate=5e-4,
    warmup_steps=2,
    b1=0.9,
    b2=0.95,
    eps=1e-8,
    weight_decay=0.1,
)
Rows = dict[str, np.ndarray]


@functools.cache
def golden(name: str) -> Rows:
    with np.load(GOLDEN / f'{name}.npz') as computed:
        return dict(computed)


def begun(name: str, attention: str) -> tuple[schema.ModelConfig, Rows]:
    """(sizes, parameters) of a golden folder."""
    model = hf_folder.read_model_config(GOLDEN / name)
    model = dataclasses.replace(model, attention=attention)
    return model, hf_folder.read_parameters(GOLDEN / name, model)


def shifted(ids: np.ndarray, labels: np.ndarray, mask: np.ndarray) -> Rows:
    """Each row of transformers' as a row of ours, [B, T] to [B, T - 1].

    The model's place t predicts label t + 1; -100 is a weight of 0.
    """
    real = mask[:, 1:] > 0
    weighed = labels[:, 1:] != -100
    return {
        'inputs': ids[:, :-1] * real,
        'targets': ids[:, 1:] * real,
        'loss_weights': weighed.astype(np.float32),
        'segment_ids': real.astype(np.int32),
        'positions': np.arange(real.shape[1]) * real,
    }


def packed(rows: Rows) -> Rows:
    """The first half of the rows, each followed by one of the second half."""
    half, length = np.array(rows['segment_ids'].shape) // [2, 1]
    out = {name: np.zeros((half, length), x.dtype) for name, x in rows.items()}
    for i in range(2 * half):
        size = rows['segment_ids'][i].sum()
        start = 0 if i < half else out['segment_ids'][i - half].sum()
        for name in records.FEATURES:
            out[name][i % half, start : start + size] = rows[name][i, :size]
        if i >= half:
            out['segment_ids'][i - half, start : start + size] = 2
    return out


def five_steps(
    batches: list[Rows], *, clip_norm: float, attention: str, grad_accum_steps: int
) -> tuple[list[train_step.Metrics], Rows, Rows]:
    """(metrics of each step, parameters before, and after) from the golden weights."""
    model, parameters = begun('gpt2', attention)
    lora, here = schema.LoraConfig(), mesh.make_mesh(schema.MeshConfig())
    settings = dataclasses.replace(SETTINGS, clip_norm=clip_norm)
    tx = optimizer.make_optimizer(settings, num_steps=NUM_STEPS)
    blueprint = ts.make_blueprint(model, lora, tx, compute_dtype='float32', mesh=here)
    state = ts.create(blueprint, seed=0, base=parameters)
    step = train_step.make_train_step(
        blueprint,
        optimizer.schedule(settings, num_steps=NUM_STEPS),
        mesh=here,
        grad_accum_steps=grad_accum_steps,
        seed=0,
    )
    metrics = []
    for batch in batches:
        places = {
            name: jnp.asarray(x, jnp.float32 if name == 'loss_weights' else jnp.int32)
            for name, x in batch.items()
        }
        state, found = step(state, places)
        metrics.append(found)
    after = {name: np.asarray(x) for name, x in param_tree.named(state.params).items()}
    return metrics, parameters, after


@pytest.mark.parametrize(
    ('data', 'in_pairs', 'attention', 'grad_accum_steps'),
    [
        ('whole', False, 'xla', 1),
        ('whole', False, 'xla', 2),
        ('pairs', False, 'xla', 1),
        ('pairs', True, 'xla', 2),
        ('pairs', True, 'blockwise', 1),
    ],
)
def test_five_steps_are_those_of_torch_adamw_on_transformers_own_loss(
    data: str, in_pairs: bool, attention: str, grad_accum_steps: int
) -> None:
    theirs = {
        key.removeprefix(f'{data} '): value
        for key, value in golden('gpt2_steps').items()
        if key.startswith(f'{data} ')
    }
    batches = [
        shifted(*(theirs[name][step] for name in ('ids', 'labels', 'mask')))
        for step in range(NUM_STEPS)
    ]
    if in_pairs:
        batches = [packed(rows) for rows in batches]
        halves = [[x['loss_weights'][i::2].sum() for i in (0, 1)] for x in batches]
        assert any(a != b for a, b in halves)  # microbatches of unequal weight
    clip_norm = float(theirs['clip_norm'])
    clipped = theirs['norms'] > clip_norm
    assert clipped.any() and not clipped.all()

    metrics, before, after = five_steps(
        batches,
        clip_norm=clip_norm,
        attention=attention,
        grad_accum_steps=grad_accum_steps,
    )
    losses = [step['loss'] for step in metrics]
    np.testing.assert_allclose(losses, theirs['losses'], atol=1e-5, rtol=0)
    for name, key in (('learning_rate', 'rates'), ('grad_norm', 'norms')):
        found = [step[name] for step in metrics]
        np.testing.assert_allclose(found, theirs[key], rtol=1e-5, err_msg=name)
    assert len(after) == sum(key.startswith('moved ') for key in theirs)
    for name, key in torch_names(theirs, 'moved ').items():
        ours, moved = after[name] - before[name], theirs[key].astype(np.float32)
        if name.endswith('c_attn.bias'):
            # The gradient of the key's third is 0, and Adam makes steps of its noise.
            ours, moved = (np.delete(x, np.s_[32:64]) for x in (ours, moved))
        error = np.linalg.norm(ours - moved) / np.linalg.norm(moved)
        assert error < 5e-4, (name, error)  # theirs is stored with 11 bits


def torch_names(computed: Rows, prefix: str) -> dict[str, str]:
    """Our name -> key, of the keys that begin so."""
    model = schema.ModelConfig(n_layer=3, tie_embeddings=False)
    ours = {naming.hugging_face(name): name for name in naming.parameter_shapes(model)}
    return {
        ours[key.removeprefix(prefix)]: key
        for key in computed
        if key.startswith(prefix)
    }


@pytest.mark.parametrize('name', ['gpt2_untied', 'gpt2_relu', 'gpt2_scaled'])
def test_another_head_activation_or_epsilon_computes_what_transformers_does(
    name: str,
) -> None:
    model, parameters = begun(name, 'xla')
    sizes = {'n_head': 2, 'n_embd': 8, 'n_positions': 12, 'vocab_size': 24}
    differing = {
        'gpt2_untied': {'activation': 'gelu', 'tie_embeddings': False},
        'gpt2_relu': {'activation': 'relu', 'layer_norm_epsilon': 1e-2},
        'gpt2_scaled': {
            'n_layer': 3,
            'scale_attn_weights': False,
            'scale_attn_by_inverse_layer_idx': True,
        },
    }[name]
    assert model == schema.ModelConfig(
        attention='xla', **({'n_layer': 1} | sizes | differing)
    )
    theirs = golden(name)
    ids = theirs['ids']
    graphdef, empty = nnx.split(
        nnx.eval_shape(
            lambda: gpt2.Gpt2(model, dtype=jnp.dtype('float32'), rngs=nnx.Rngs(0))
        )
    )
    leaves = [jnp.asarray(parameters[name]) for name in param_tree.named(empty)]
    state = jax.tree.unflatten(jax.tree.structure(empty), leaves)

    def features_and_table(state: nnx.State, ids: np.ndarray) -> tuple[jax.Array, ...]:
        positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
        built = nnx.merge(graphdef, state)
        return built.head(built(jnp.asarray(ids), positions, jnp.ones_like(positions)))

    @jax.jit
    def logits_of(state: nnx.State) -> jax.Array:
        features, table = features_and_table(state, ids)
        return features @ table.T

    @jax.jit
    @jax.value_and_grad
    def loss_of(state: nnx.State) -> jax.Array:
        features, table = features_and_table(state, ids[:, :-1])
        return jnp.mean(loss.token_nll(features, table, jnp.asarray(ids[:, 1:]))[0])

    np.testing.assert_allclose(logits_of(state), theirs['logits'], atol=1e-4, rtol=0)
    total, grads = loss_of(state)
    np.testing.assert_allclose(total, theirs['loss'], atol=1e-5, rtol=0)
    grads, keys = param_tree.named(grads), torch_names(theirs, 'grad ')
    assert grads.keys() == keys.keys()
    for tensor, key in keys.items():
        ours, grad = np.asarray(grads[tensor]), theirs[key]
        if tensor.endswith('c_attn.bias'):
            assert np.abs(ours[8:16]).max() < 1e-6
            ours, grad = (np.delete(x, np.s_[8:16]) for x in (ours, grad))
        error = np.linalg.norm(ours - grad) / np.linalg.norm(grad)
        assert error < 1e-4, (tensor, error)
