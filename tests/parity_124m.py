"""The 124M against transformers: logits, loss, every gradient, five AdamW steps.

    .torch/bin/pip install -r requirements.txt torch
    .torch/bin/python tests/parity_124m.py

One call, no data, no network, about 6 minutes on two cores and 8 GB of memory.
Random weights of GPT-2's own sizes go through save_pretrained and `pretrained`, then
both compute on the same tokens, ours in float32, torch's steps in float64. Prints a
table; exits with 1 if a figure is over its limit.
"""

import dataclasses
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ['JAX_PLATFORMS'] = 'cpu'  # the comparison is float32's, without TF32

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers
from flax import nnx

from hax_jax.config import schema
from hax_jax.devices import mesh
from hax_jax.formats import hf_folder
from hax_jax.model import loss, naming, param_tree
from hax_jax.training import optimizer, train_step
from hax_jax.training import train_state as ts

BATCH_SIZE, SEQ_LEN, NUM_STEPS = 2, 256, 5
SETTINGS = schema.OptimizerConfig(learning_rate=3e-4, warmup_steps=2)
LIMITS = {  # absolute; of gradients, the difference's norm over the norm
    'logits': 1e-4,
    'loss': 1e-5,
    'gradients': 1e-4,
    'gradients of key biases': 1e-6,
    'losses of steps': 1e-5,
}


@dataclasses.dataclass
class Computed:
    logits: np.ndarray  # [B, T, V]
    loss: float
    grads: dict[str, np.ndarray]
    losses: list[float]  # before each of the steps
    norms: list[float]  # of the gradients, before clipping


def main() -> int:
    torch.set_num_threads(2)
    rng = np.random.default_rng(0)
    used = rng.choice(50257, 500, replace=False)  # that some are used is soon learnt
    ids = rng.choice(used, (NUM_STEPS, BATCH_SIZE, SEQ_LEN))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_model(folder)
        begun = time.monotonic()
        theirs = by_torch(folder, ids)
        print(f'transformers: {time.monotonic() - begun:.0f} s')
        print('  losses of steps:', *(f'{x:.6f}' for x in theirs.losses))
        print('  gradient norms: ', *(f'{x:.3f}' for x in theirs.norms), flush=True)
        good = True
        for attention in ('xla', 'blockwise'):
            begun = time.monotonic()
            ours = by_hax_jax(folder, ids, attention)
            print(f'hax_jax, {attention}: {time.monotonic() - begun:.0f} s')
            for what, figure, remark in compare(ours, theirs):
                within = figure <= LIMITS[what]
                good &= within
                print(
                    f'  {what:<24}{figure:8.1e}  limit {LIMITS[what]:.0e}'
                    f'  {"ok" if within else "OVER"}  ({remark})',
                    flush=True,
                )
    return 0 if good else 1


def write_model(folder: pathlib.Path) -> None:
    """Twice the noise of GPT-2's init, on biases and norms too: a mistake shows."""
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(folder)


def by_torch(folder: pathlib.Path, ids: np.ndarray) -> Computed:
    """What transformers computes with its own loss in float32, and five steps.

    The steps are made in float64, with the formula of the loss: at this rate, torch's
    float32 loses 1e-5 of the loss in five steps, and the limit would measure that.
    """
    model = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    rows = torch.from_numpy(ids[0])
    out = model(input_ids=rows, labels=rows)
    out.loss.backward()
    logits, total = out.logits.detach().numpy(), out.loss.item()
    grads = {
        name: model.get_parameter(naming.hugging_face(name)).grad.numpy()
        for name in naming.parameter_shapes(schema.ModelConfig(n_layer=12))
    }
    del model, out
    return Computed(logits, total, grads, *five_steps_by_torch(folder, ids))


def five_steps_by_torch(
    folder: pathlib.Path, ids: np.ndarray
) -> tuple[list[float], list[float]]:
    """(losses, gradient norms) before each step, in float64."""
    model = transformers.GPT2LMHeadModel.from_pretrained(folder).eval().double()
    tensors = list(model.parameters())
    steps = torch.optim.AdamW(
        [
            {'params': [t for t in tensors if t.ndim > 1], 'weight_decay': 0.1},
            {'params': [t for t in tensors if t.ndim == 1], 'weight_decay': 0.0},
        ],
        betas=(0.9, 0.95),
        eps=1e-8,
    )
    losses, norms = [], []
    # Two steps of warm-up; then a cosine from the peak, of three steps.
    for batch, share in zip(ids, (1 / 3, 2 / 3, 1, 3 / 4, 1 / 4), strict=True):
        for group in steps.param_groups:
            group['lr'] = 3e-4 * share
        rows = torch.from_numpy(batch)
        steps.zero_grad()
        logits = model(input_ids=rows).logits[:, :-1]
        total = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), rows[:, 1:].flatten()
        )
        total.backward()
        losses.append(total.item())
        norms.append(torch.nn.utils.clip_grad_norm_(tensors, 1.0).item())
        steps.step()
    return losses, norms


def by_hax_jax(folder: pathlib.Path, ids: np.ndarray, attention: str) -> Computed:
    """The same by the model, the loss and the train step that training uses."""
    model = hf_folder.read_model_config(folder)
    model = dataclasses.replace(model, attention=attention)
    here, lora = mesh.make_mesh(schema.MeshConfig()), schema.LoraConfig()
    tx = optimizer.make_optimizer(SETTINGS, num_steps=NUM_STEPS)
    blueprint = ts.make_blueprint(model, lora, tx, compute_dtype='float32', mesh=here)
    base = hf_folder.read_parameters(folder, model)
    state = ts.create(blueprint, seed=0, base=base)

    def run(params: nnx.State, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        positions = jnp.broadcast_to(jnp.arange(rows.shape[1]), rows.shape)
        built = nnx.merge(blueprint.model.graphdef, params, state.frozen)
        return built.head(built(rows, positions, jnp.ones_like(positions)))

    @jax.jit
    def logits_of(params: nnx.State, rows: jax.Array) -> jax.Array:
        features, table = run(params, rows)
        return features @ table.T

    @jax.jit
    @jax.value_and_grad
    def loss_of(params: nnx.State, rows: jax.Array) -> jax.Array:
        features, table = run(params, rows[:, :-1])
        return jnp.mean(loss.token_nll(features, table, rows[:, 1:])[0])

    first = jnp.asarray(ids[0], jnp.int32)
    logits = np.asarray(logits_of(state.params, first))
    total, grads = loss_of(state.params, first)
    grads = {name: np.asarray(grad) for name, grad in param_tree.named(grads).items()}

    step = train_step.make_train_step(
        blueprint,
        optimizer.schedule(SETTINGS, num_steps=NUM_STEPS),
        mesh=here,
        grad_accum_steps=1,
        seed=0,
    )
    losses, norms = [], []
    ones = np.ones((BATCH_SIZE, SEQ_LEN - 1), np.int32)
    for rows in ids.astype(np.int32):
        batch = {
            'inputs': rows[:, :-1],
            'targets': rows[:, 1:],
            'loss_weights': ones.astype(np.float32),
            'segment_ids': ones,
            'positions': ones * np.arange(SEQ_LEN - 1, dtype=np.int32),
        }
        state, metrics = step(state, jax.tree.map(jnp.asarray, batch))
        losses.append(float(metrics['loss']))
        norms.append(float(metrics['grad_norm']))
    return Computed(logits, float(total), grads, losses, norms)


def compare(ours: Computed, theirs: Computed) -> list[tuple[str, float, str]]:
    """(what LIMITS names, figure, remark)."""
    assert ours.grads.keys() == theirs.grads.keys()
    errors, of_keys = {}, []
    for name, grad in theirs.grads.items():
        other = ours.grads[name]
        if name.endswith('c_attn.bias'):
            # Softmax does not see what is added to all keys: their gradient is zero.
            d = len(grad) // 3
            of_keys += [float(np.abs(x[d : 2 * d]).max()) for x in (other, grad)]
            other, grad = (np.delete(x, np.s_[d : 2 * d]) for x in (other, grad))
        errors[name] = float(np.linalg.norm(other - grad) / np.linalg.norm(grad))
    worst = max(errors, key=errors.__getitem__)
    largest = float(np.abs(theirs.logits).max())
    steps = [abs(a - b) for a, b in zip(ours.losses, theirs.losses, strict=True)]
    return [
        (
            'logits',
            float(np.abs(ours.logits - theirs.logits).max()),
            f'of {largest:.1f}',
        ),
        ('loss', abs(ours.loss - theirs.loss), f'of {theirs.loss:.6f}'),
        ('gradients', errors[worst], f'{worst}, the worst of {len(errors)} tensors'),
        ('gradients of key biases', max(of_keys), 'of either, 0 but for rounding'),
        ('losses of steps', max(steps), f'the largest of {len(steps)}'),
    ]


if __name__ == '__main__':
    sys.exit(main())
