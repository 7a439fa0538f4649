"""What each fault changes: data, rows, config, or functions of this process."""

import dataclasses
from collections.abc import Callable
from typing import Any

import harness
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hax_jax.config import schema
from hax_jax.data import packing, text
from hax_jax.model import attention
from hax_jax.model import lora as lora_lib
from hax_jax.runs import restore
from hax_jax.training import optimizer, train_step

Rows = dict[str, np.ndarray]  # records.FEATURES, each [R, T]


@dataclasses.dataclass
class Plant:
    """What a fault may change before the run is made."""

    patch: pytest.MonkeyPatch
    made: harness.Splits
    run: schema.Config
    strength: float
    edit_rows: list[Callable[[Rows, int, int], None]]
    after_rows: Callable[[], None] = lambda: None  # called when the rows are made

    def set(self, **changes: object) -> None:
        """Sets fields of the config: section__field=value."""
        for name, value in changes.items():
            section, _, field = name.partition('__')
            part = dataclasses.replace(getattr(self.run, section), **{field: value})
            self.run = dataclasses.replace(self.run, **{section: part})


def _some(plant: Plant, count: int) -> np.ndarray:
    """True for a share `strength` of `count` things."""
    return np.random.default_rng(1).random(count) < plant.strength


def shifted_twice(plant: Plant) -> None:
    plant.patch.setattr(packing, 'shifted', lambda ids: (ids[:-1], _padded(ids[2:])))


def _padded(ids: np.ndarray) -> np.ndarray:
    return np.append(ids, ids[-1:])


def targets_are_inputs(plant: Plant) -> None:
    plant.patch.setattr(packing, 'shifted', lambda ids: (ids[:-1], ids[:-1]))


def targets_permuted(plant: Plant) -> None:
    def shifted(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(len(ids))
        return ids[:-1], rng.permutation(ids[1:])

    plant.patch.setattr(packing, 'shifted', shifted)


def answers_swapped(plant: Plant) -> None:
    for name, content in plant.made.items():
        chosen = np.flatnonzero(_some(plant, len(content)))
        answers = [content[i].answer for i in chosen]
        answers = answers[1:] + answers[:1]
        for i, answer in zip(chosen, answers, strict=True):
            plant.made[name][i] = dataclasses.replace(content[i], answer=answer)


def eos_weight(plant: Plant) -> None:
    def edit(rows: Rows, eos: int, _: int) -> None:
        rows['loss_weights'][rows['targets'] == eos] = 0

    plant.edit_rows.append(edit)


def weights_inverted(plant: Plant) -> None:
    def edit(rows: Rows, *_: int) -> None:
        used = rows['segment_ids'] > 0
        rows['loss_weights'][used] = 1.0 - rows['loss_weights'][used]

    plant.set(data__question_weight=0.0)
    plant.edit_rows.append(edit)


def positions_not_restarted(plant: Plant) -> None:
    def edit(rows: Rows, *_: int) -> None:
        rows['positions'][:] = np.arange(rows['positions'].shape[1])

    plant.edit_rows.append(edit)


def one_segment(plant: Plant) -> None:
    def edit(rows: Rows, *_: int) -> None:
        rows['segment_ids'][rows['segment_ids'] > 0] = 1

    plant.edit_rows.append(edit)


def no_causal_mask(plant: Plant) -> None:
    def attend(q: Any, k: Any, v: Any, ids: Any, **_: Any) -> Any:
        scores = jnp.einsum('btnh,bsnh->bnts', q, k) / q.shape[-1] ** 0.5
        seen = ids[:, :, None] == ids[:, None]
        scores = jnp.where(seen[:, None], scores, -1e9)
        return jnp.einsum('bnts,bsnh->btnh', jax.nn.softmax(scores), v)

    plant.patch.setattr(attention, 'attend', attend)


def ids_permuted(plant: Plant) -> None:
    def edit(rows: Rows, _: int, size: int) -> None:
        order = np.random.default_rng(3).permutation(size).astype(np.int32)
        for name in ('inputs', 'targets'):
            rows[name][:] = order[rows[name]]

    plant.edit_rows.append(edit)


def other_template(plant: Plant) -> None:
    """Sampling asks as another program's template does; the rows are as they were."""

    def template(words: text.Tokenizer) -> text.Template:
        return text.Template(*words.encode(['Q: ', '\n\nA: ', '\n[...]\n']))

    plant.after_rows = lambda: plant.patch.setattr(text, 'template', template)


def validation_copied(plant: Plant) -> None:
    chosen = _some(plant, len(plant.made['validation']))
    plant.made['train'] += [
        pair for pair, i in zip(plant.made['validation'], chosen, strict=True) if i
    ]


def one_source_often(plant: Plant) -> None:
    often = plant.made['train'][0].source
    copies = [pair for pair in plant.made['train'] if pair.source == often]
    plant.made['train'] += copies * (int(plant.strength) - 1)


def too_short(plant: Plant) -> None:
    plant.set(data__seq_len=int(plant.strength))


def mojibake(plant: Plant) -> None:
    def broken(said: str) -> str:
        said = said.replace("'", '’')
        return said.encode().decode('cp1252', errors='replace')

    for name, content in plant.made.items():
        chosen = _some(plant, len(content))
        plant.made[name] = [
            dataclasses.replace(
                pair, question=broken(pair.question), answer=broken(pair.answer)
            )
            if i
            else pair
            for pair, i in zip(content, chosen, strict=True)
        ]


def parameters(plant: Plant, edit: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Edits the pretrained parameters as they are read, everywhere."""
    plain = restore.load_base

    def load(path: str, **more: Any) -> Any:
        base = plain(path, **more)
        edit(base.parameters)
        return base

    plant.patch.setattr(restore, 'load_base', load)
    plant.patch.setattr(restore, 'load_run_base', lambda folder, *, base: load(base))


def weights_drawn(plant: Plant) -> None:
    def edit(parameters: dict[str, np.ndarray]) -> None:
        rng = np.random.default_rng(4)
        for name, leaf in parameters.items():
            if leaf.ndim > 1:
                parameters[name] = rng.normal(0, 0.02, leaf.shape).astype(np.float32)

    parameters(plant, edit)


def c_proj_transposed(plant: Plant) -> None:
    block = int(plant.strength) - 1

    def edit(parameters: dict[str, np.ndarray]) -> None:
        name = f'h.{block}.attn.c_proj.kernel'
        parameters[name] = np.ascontiguousarray(parameters[name].T)

    parameters(plant, edit)


def wpe_zero(plant: Plant) -> None:
    parameters(
        plant, lambda each: each.update({'wpe.embedding': 0 * each['wpe.embedding']})
    )


def head_random(plant: Plant) -> None:
    """The base's config says untied, and its file has no head, so one is drawn."""
    plain = restore.load_base

    def load(path: str, **more: Any) -> Any:
        base = plain(path, **more)
        shape = base.parameters['wte.embedding'].shape
        drawn = np.random.default_rng(5).normal(0, 0.02, shape).astype(np.float32)
        base.parameters['lm_head.embedding'] = drawn
        return base

    plant.set(model__tie_embeddings=False)
    plant.patch.setattr(restore, 'load_base', load)
    plant.patch.setattr(restore, 'load_run_base', lambda folder, *, base: load(base))


def rate_high(plant: Plant) -> None:
    rate = plant.run.optimizer.learning_rate * plant.strength
    plant.set(optimizer__learning_rate=rate)


def rate_low(plant: Plant) -> None:
    rate = plant.run.optimizer.learning_rate / plant.strength
    plant.set(optimizer__learning_rate=rate, optimizer__final_learning_rate=0.0)


def schedule_by_microbatch(plant: Plant) -> None:
    plain = optimizer.make_optimizer
    steps = int(plant.strength)

    def make(settings: Any, *, num_steps: int) -> optax.GradientTransformation:
        tx = plain(settings, num_steps=num_steps)

        def update(grads: Any, state: Any, params: Any) -> Any:
            updates, after = tx.update(grads, state, params)
            kind = optax.ScaleByScheduleState
            return updates, jax.tree.map(
                lambda s: kind(count=s.count + steps - 1) if isinstance(s, kind) else s,
                after,
                is_leaf=lambda s: isinstance(s, kind),
            )

        return optax.GradientTransformation(tx.init, update)

    plant.set(train__grad_accum_steps=steps)
    plant.patch.setattr(optimizer, 'make_optimizer', make)


def long_warmup(plant: Plant) -> None:
    times = plant.strength

    def schedule(settings: Any, *, num_steps: int) -> optax.Schedule:
        rising = optax.linear_schedule(
            0.0, settings.learning_rate, int(times * num_steps)
        )
        return lambda step: rising(step + 1)

    plant.patch.setattr(optimizer, 'schedule', schedule)


def decay_on_all(plant: Plant) -> None:
    plant.set(optimizer__weight_decay=plant.strength)
    plant.patch.setattr(
        optimizer, 'decay_mask', lambda params: jax.tree.map(lambda _: True, params)
    )


def clipped_away(plant: Plant) -> None:
    plant.set(optimizer__clip_norm=plant.strength)


def mean_of_means(plant: Plant) -> None:
    plant.set(train__grad_accum_steps=int(plant.strength))
    k = int(plant.strength)

    def over(gradients: Any, like: Any, batch: Any, key: Any, number: int) -> Any:
        total: Any = None
        weight = jnp.sum(batch['loss_weights'])
        for i in range(number):
            part = {name: x[i::number] for name, x in batch.items()}
            out = gradients(part, jax.random.fold_in(key, i))
            scale = weight / k / jnp.maximum(jnp.sum(part['loss_weights']), 1e-6)
            out = jax.tree.map(lambda x, scale=scale: x * scale, out)
            total = out if total is None else jax.tree.map(jnp.add, total, out)
        return total

    plant.patch.setattr(train_step, '_over_microbatches', over)


def lora_all_zero(plant: Plant) -> None:
    plain = lora_lib._pair

    def pair(size_in: int, size_out: int, rank: int, rngs: Any) -> Any:
        a, b = plain(size_in, size_out, rank, rngs)
        return type(a)(jnp.zeros((size_in, rank))), b

    plant.patch.setattr(lora_lib, '_pair', pair)


def lora_stopped(plant: Plant) -> None:
    class Linear(lora_lib.LoraLinear):
        def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
            a, b = (jax.lax.stop_gradient(p[...]) for p in (self.lora_a, self.lora_b))
            y = x.astype(self.dtype) @ self.kernel[...] + self.bias[...]
            return y + (x @ a) @ b * self.scale

    plant.patch.setattr(lora_lib, 'LoraLinear', Linear)
