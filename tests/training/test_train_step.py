"""The update against transformers' loss and an AdamW written in numpy."""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_steps
from flax import nnx

from hax_jax.config import schema
from hax_jax.devices import mesh
from hax_jax.evaluation import eval_step
from hax_jax.formats import hf_folder
from hax_jax.model import param_tree
from hax_jax.runs import checkpoint
from hax_jax.training import optimizer, train_step
from hax_jax.training import train_state as ts

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'
TINY = schema.ModelConfig(
    n_layer=1, n_head=4, n_embd=32, n_positions=24, vocab_size=64, attention='xla'
)
FULL, LORA = schema.LoraConfig(), schema.LoraConfig(rank=4)
# A large eps: Adam's first step is the gradient's sign otherwise, whatever its size.
SETTINGS = schema.OptimizerConfig(
    learning_rate=1e-2, warmup_steps=2, weight_decay=0.3, clip_norm=0.0, eps=1e-3
)
NUM_STEPS = 4


@dataclasses.dataclass
class Trainer:
    blueprint: ts.Blueprint
    step: Callable[
        [ts.TrainState, train_step.Batch], tuple[ts.TrainState, train_step.Metrics]
    ]
    fresh: Callable[[], ts.TrainState]


@functools.cache
def trainer(
    *,
    model: schema.ModelConfig = TINY,
    lora: schema.LoraConfig = FULL,
    settings: schema.OptimizerConfig = SETTINGS,
    grad_accum_steps: int = 1,
    seed: int = 0,
    on_bad_step: str = 'stop',
    on_spike: str = 'note',
) -> Trainer:
    here = mesh.make_mesh(schema.MeshConfig())
    tx = optimizer.make_optimizer(settings, num_steps=NUM_STEPS)
    blueprint = ts.make_blueprint(model, lora, tx, compute_dtype='float32', mesh=here)
    step = train_step.make_train_step(
        blueprint,
        optimizer.schedule(settings, num_steps=NUM_STEPS),
        mesh=here,
        grad_accum_steps=grad_accum_steps,
        seed=seed,
        on_bad_step=on_bad_step,
        on_spike=on_spike,
    )
    base = tiny_steps.random_parameters(
        dataclasses.replace(model, pad_vocab_to_multiple_of=1), scale=0.1
    )
    made = ts.create(blueprint, seed=0, base=base)
    on_host = jax.tree.map(np.array, made)

    def fresh() -> ts.TrainState:
        return jax.tree.map(
            param_tree.place, on_host, param_tree.shardings(blueprint.state)
        )

    return Trainer(blueprint, step, fresh)


@pytest.mark.parametrize('tie_embeddings', [True, False])
def test_a_padded_vocabulary_changes_no_loss_and_its_rows_never_move(
    tie_embeddings: bool,
) -> None:
    model = dataclasses.replace(TINY, tie_embeddings=tie_embeddings)
    plain = trainer(model=model)
    padded = trainer(model=dataclasses.replace(model, pad_vocab_to_multiple_of=100))
    one, other = plain.fresh(), padded.fresh()
    for number in range(3):
        one, expected = plain.step(one, batch_of(seed=number))
        other, found = padded.step(other, batch_of(seed=number))
        np.testing.assert_allclose(found['loss'], expected['loss'], atol=1e-6)
        np.testing.assert_allclose(found['grad_norm'], expected['grad_norm'], rtol=1e-5)
    one, other = param_tree.named(one.params), param_tree.named(other.params)
    tables = ['wte.embedding'] + ['lm_head.embedding'] * (not tie_embeddings)
    for name in tables:
        assert other[name].shape == (100, 32)
        np.testing.assert_array_equal(other[name][64:], 0)
        np.testing.assert_allclose(other[name][:64], one[name], atol=1e-6)


def batch_of(rows: int = 8, length: int = 16, seed: int = 0) -> train_step.Batch:
    """Rows with 1 to `length` tokens, the rest padding; a third of weights are 0."""
    rng = np.random.default_rng(seed)
    sizes = np.linspace(1, length, rows).astype(int)
    real = np.arange(length) < sizes[:, None]
    weights = rng.choice([0.0, 0.25, 1.0], (rows, length)) * real
    weights[:, 0] = 1.0
    batch = {
        'inputs': rng.integers(0, 64, (rows, length)) * real,
        'targets': rng.integers(0, 64, (rows, length)) * real,
        'loss_weights': weights,
        'segment_ids': real,
        'positions': np.arange(length) * real,
    }
    return tiny_steps.batch(batch)


def test_a_cpu_copies_nothing_of_the_donated_state() -> None:
    made = trainer()
    step = made.step.lower(made.fresh(), batch_of()).compile().as_text()
    entry = step[step.index('\nENTRY') :]
    assert not re.findall(r'= f32\[64,32\]\S* copy\(%state.*', entry)


def loss_by_hand(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    frozen: nnx.State,
    batch: train_step.Batch,
) -> jax.Array:
    """Weighted cross-entropy over the sum of weights, of whole logits."""
    model = nnx.merge(graphdef, params, frozen)
    hidden = model(batch['inputs'], batch['positions'], batch['segment_ids'])
    features, table = model.head(hidden)
    logits = features @ table.T
    chosen = jax.nn.log_softmax(logits) * jax.nn.one_hot(batch['targets'], 64)
    weights = batch['loss_weights']
    return -jnp.sum(chosen.sum(-1) * weights) / jnp.sum(weights)


def learning_rate(step: int) -> float:
    """Two steps of warm-up, then a cosine from the peak to 0 at step 4."""
    return 1e-2 * [1 / 3, 2 / 3, 1, 0.5][step]


def adamw(
    settings: schema.OptimizerConfig, trained: Trainer, batches: list[train_step.Batch]
) -> tuple[dict[str, np.ndarray], list[float], list[float]]:
    """(parameters, losses, gradient norms) of the same run, in numpy."""
    state = trained.fresh()
    grad = jax.jit(
        jax.value_and_grad(
            functools.partial(loss_by_hand, trained.blueprint.model.graphdef)
        )
    )
    params = tiny_steps.named(state.params)
    first = {name: np.zeros_like(p) for name, p in params.items()}
    second = {name: np.zeros_like(p) for name, p in params.items()}
    losses, norms = [], []
    for t, batch in enumerate(batches):
        tree = jax.tree.unflatten(
            jax.tree.structure(state.params), [jnp.asarray(p) for p in params.values()]
        )
        loss, grads = grad(tree, state.frozen, batch)
        grads = tiny_steps.named(grads)
        norm = np.sqrt(sum(np.sum(g.astype(np.float64) ** 2) for g in grads.values()))
        losses.append(float(loss))
        norms.append(float(norm))
        clip = min(1, settings.clip_norm / norm) if settings.clip_norm else 1
        for name, g in grads.items():
            g = g * clip
            first[name] = settings.b1 * first[name] + (1 - settings.b1) * g
            second[name] = settings.b2 * second[name] + (1 - settings.b2) * g**2
            m = first[name] / (1 - settings.b1 ** (t + 1))
            v = second[name] / (1 - settings.b2 ** (t + 1))
            update = m / (np.sqrt(v) + settings.eps)
            if name.endswith(('.kernel', '.embedding', '.lora_a', '.lora_b')):
                update = update + settings.weight_decay * params[name]
            params[name] = params[name] - learning_rate(t) * update
    return params, losses, norms


@pytest.mark.parametrize(
    ('lora', 'clip_norm'), [(FULL, 0.05), (LORA, 0.05), (FULL, 0.0)]
)
def test_steps_are_those_of_adamw_in_numpy(
    lora: schema.LoraConfig, clip_norm: float
) -> None:
    settings = dataclasses.replace(SETTINGS, clip_norm=clip_norm)
    trained = trainer(lora=lora, settings=settings)
    batches = [batch_of(seed=seed) for seed in range(NUM_STEPS)]
    expected, losses, norms = adamw(settings, trained, batches)
    assert min(norms) > 0.05  # so that all are clipped where clip_norm is 0.05
    state = trained.fresh()
    begun = tiny_steps.named(state.params)
    for t, batch in enumerate(batches):
        state, metrics = trained.step(state, batch)
        np.testing.assert_allclose(metrics['loss'], losses[t], rtol=1e-5)
        np.testing.assert_allclose(metrics['grad_norm'], norms[t], rtol=1e-4)
        np.testing.assert_allclose(
            metrics['learning_rate'], learning_rate(t), rtol=1e-6
        )
        assert int(state.step) == t + 1
    for name, value in tiny_steps.named(state.params).items():
        moved = np.linalg.norm(expected[name] - begun[name])
        assert moved > 0
        assert np.linalg.norm(value - expected[name]) < 1e-3 * moved + 1e-6, name


def test_law_1_the_loss_is_that_of_transformers_shifted_once() -> None:
    model = hf_folder.read_model_config(GOLDEN / 'gpt2')
    model = dataclasses.replace(model, attention='xla')
    parameters = hf_folder.read_parameters(GOLDEN / 'gpt2', model)
    with np.load(GOLDEN / 'gpt2.npz') as computed:
        ids, expected, logits = computed['ids'], computed['loss'], computed['logits']
    trained = trainer(model=model)

    def state() -> ts.TrainState:
        fresh = trained.fresh()
        leaves = [
            jnp.array(parameters[name]) for name in param_tree.named(fresh.params)
        ]
        tree = jax.tree.unflatten(jax.tree.structure(fresh.params), leaves)
        return dataclasses.replace(fresh, params=tree)

    batch = {
        'inputs': jnp.asarray(ids[:, :-1]),
        'targets': jnp.asarray(ids[:, 1:]),
        'loss_weights': jnp.ones((3, 23)),
        'segment_ids': jnp.ones((3, 23), jnp.int32),
        'positions': jnp.tile(jnp.arange(23, dtype=jnp.int32), (3, 1)),
    }
    _, metrics = trained.step(state(), batch)
    np.testing.assert_allclose(metrics['loss'], expected, atol=1e-5, rtol=0)
    # With weights of its own for each position, by the formula on their logits.
    weights = np.random.default_rng(0).choice([0.0, 0.3, 1.0], (3, 23))
    logits = logits[:, :-1].astype(np.float64)
    chosen = np.take_along_axis(logits, ids[:, 1:, None], 2)[..., 0]
    nll = np.log(np.exp(logits).sum(-1)) - chosen
    weighted = batch | {'loss_weights': jnp.asarray(weights, jnp.float32)}
    _, metrics = trained.step(state(), weighted)
    by_hand = np.sum(nll * weights) / np.sum(weights)
    np.testing.assert_allclose(metrics['loss'], by_hand, atol=1e-5, rtol=0)
    # And the eval step gives nll itself, for each position, whatever the weights.
    evaluate = eval_step.make_eval_step(
        trained.blueprint.model, mesh=mesh.make_mesh(schema.MeshConfig())
    )
    begun = state()
    found = evaluate(begun.params, begun.frozen, weighted)
    np.testing.assert_allclose(found['nll'], nll, atol=1e-4, rtol=0)
    likeliest = logits.argmax(-1) == ids[:, 1:]
    np.testing.assert_array_equal(found['is_likeliest'], likeliest)


@pytest.mark.parametrize(
    ('num_microbatches', 'lora'), [(2, FULL), (4, LORA), (8, FULL)]
)
def test_law_8_accumulation_equals_one_big_batch_with_unequal_token_counts(
    num_microbatches: int, lora: schema.LoraConfig
) -> None:
    batch = batch_of()
    weights = np.asarray(batch['loss_weights']).sum(1)
    assert len(set(weights)) > 4  # rows of unequal weight
    whole = trainer(lora=lora)
    split = trainer(lora=lora, grad_accum_steps=num_microbatches)
    expected, expected_metrics = whole.step(whole.fresh(), batch)
    found, metrics = split.step(split.fresh(), batch)
    for name, value in expected_metrics.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)
    wanted = tiny_steps.named(expected.params)
    for name, value in tiny_steps.named(found.params).items():
        np.testing.assert_allclose(value, wanted[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize(('lora', 'grad_accum_steps'), [(FULL, 2), (LORA, 1)])
def test_law_9_the_step_compiles_once_also_from_a_restored_state(
    tmp_path: pathlib.Path, lora: schema.LoraConfig, grad_accum_steps: int
) -> None:
    trainer.cache_clear()  # a step that no other test has called
    trained = trainer(lora=lora, grad_accum_steps=grad_accum_steps)
    state = trained.fresh()
    for seed in range(2):
        state, _ = trained.step(state, batch_of(seed=seed))
    with checkpoint.Checkpoints(tmp_path / 'checkpoints') as checkpoints:
        checkpoints.save(2, ts.checkpointed(state), metadata={})
    trees = checkpoint.restore(
        tmp_path / 'checkpoints' / '2', ts.checkpointed(trained.blueprint.state)
    )
    restored = ts.at_step(
        trained.blueprint,
        2,
        trees[checkpoint.PARAMS],
        trained.fresh().frozen,
        trees[checkpoint.OPTIMIZER],
        trees[checkpoint.GUARD],
    )
    state, metrics = trained.step(state, batch_of(seed=2))
    restored, again = trained.step(restored, batch_of(seed=2))
    assert trained.step._cache_size() == 1
    # And the restored state is the state: all that follows is bit-equal.
    assert {n: float(m) for n, m in metrics.items()} == {
        n: float(m) for n, m in again.items()
    }
    expected = tiny_steps.named(state)
    for name, value in tiny_steps.named(restored).items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize('lora', [FULL, LORA])
def test_the_state_is_donated_and_the_batch_is_not(lora: schema.LoraConfig) -> None:
    trained, batch = trainer(lora=lora), batch_of()
    before = trained.fresh()
    after, _ = trained.step(before, batch)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((after, batch)))


def test_training_does_not_write_into_the_arrays_that_a_state_was_placed_from() -> None:
    # A CPU's device array may be the host array itself, and the state is donated.
    trained = trainer()
    expected = tiny_steps.named(trained.fresh().params)
    trained.step(trained.fresh(), batch_of())
    for name, value in tiny_steps.named(trained.fresh().params).items():
        np.testing.assert_array_equal(value, expected[name])


def test_metrics_count_tokens_and_weights() -> None:
    batch = batch_of()
    _, metrics = trainer().step(trainer().fresh(), batch)
    # Rows of 1, 3, 5, 7, 9, 11, 13 and 16 tokens; the rest of 8 * 16 is padding.
    assert float(metrics['tokens']) == 65
    assert float(metrics['weight']) == np.asarray(batch['loss_weights']).sum()
    for metric in metrics.values():
        assert metric.shape == ()
        assert metric.dtype == jnp.float32


@pytest.mark.parametrize('grad_accum_steps', [1, 2])
def test_a_batch_of_no_weight_moves_nothing(grad_accum_steps: int) -> None:
    trained = trainer(grad_accum_steps=grad_accum_steps)
    state, _ = trained.step(trained.fresh(), batch_of())  # so that there is momentum
    before = tiny_steps.named(state.params)
    empty = batch_of() | {'loss_weights': jnp.zeros((8, 16))}
    state, metrics = trained.step(state, empty)
    for name, value in tiny_steps.named(state.params).items():
        np.testing.assert_array_equal(value, before[name])
    assert float(metrics['loss']) == float(metrics['grad_norm']) == 0
    assert int(state.step) == 2


def test_a_position_of_no_weight_has_no_say() -> None:
    batch, trained = batch_of(), trainer()
    unweighted = batch['loss_weights'] == 0
    other = jnp.where(unweighted, (batch['targets'] + 9) % 64, batch['targets'])
    expected, _ = trained.step(trained.fresh(), batch)
    found, _ = trained.step(trained.fresh(), batch | {'targets': other})
    wanted = tiny_steps.named(expected.params)
    for name, value in tiny_steps.named(found.params).items():
        np.testing.assert_array_equal(value, wanted[name])


def test_the_decay_mask_is_true_for_matrices_alone() -> None:
    for lora in (FULL, LORA):
        params = trainer(lora=lora).blueprint.state.params
        for name, decayed in param_tree.named(optimizer.decay_mask(params)).items():
            assert decayed == (not name.endswith(('.bias', '.scale'))), name


def test_dropout_is_a_function_of_seed_step_and_microbatch() -> None:
    model = dataclasses.replace(TINY, resid_pdrop=0.3)
    batch = jax.tree.map(lambda x: jnp.tile(x[-1:], (2, 1)), batch_of())  # equal rows

    def loss_of(trained: Trainer, batch: train_step.Batch, step: int = 0) -> float:
        state = trained.fresh()
        at = param_tree.place(
            np.asarray(step, np.int32), trained.blueprint.state.step.sharding
        )
        _, metrics = trained.step(dataclasses.replace(state, step=at), batch)
        return float(metrics['loss'])

    dropping = trainer(model=model, grad_accum_steps=2)
    loss = loss_of(dropping, batch)
    assert loss == loss_of(dropping, batch)
    assert loss != loss_of(dropping, batch, step=1)
    assert loss != loss_of(trainer(model=model, grad_accum_steps=2, seed=1), batch)
    # Microbatch i is row i; weights choose one of the equal rows.
    weights = batch['loss_weights']
    halves = [
        batch | {'loss_weights': weights * jnp.array(on)[:, None]}
        for on in ([1.0, 0.0], [0.0, 1.0])
    ]
    first, second = (loss_of(dropping, half) for half in halves)
    assert first != second
    plain = trainer(grad_accum_steps=2)
    first, second = (loss_of(plain, half) for half in halves)
    assert first == second
    # The eval step drops nothing.
    state, here = dropping.fresh(), mesh.make_mesh(schema.MeshConfig())
    evaluations = [
        eval_step.make_eval_step(one.blueprint.model, mesh=here)(
            state.params, state.frozen, batch
        )
        for one in (dropping, plain)
    ]
    np.testing.assert_array_equal(*(found['nll'] for found in evaluations))
