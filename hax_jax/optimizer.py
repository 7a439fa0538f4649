"""The learning-rate schedule, the decay mask and the optax chain."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from hax_jax import config


def schedule(settings: config.OptimizerConfig, *, num_steps: int) -> optax.Schedule:
    """Linear warm-up to the peak, then a cosine that ends at step `num_steps`.

    Step 0 has peak / (warmup_steps + 1), never 0; step `warmup_steps` has the peak.

    Raises:
      InputError: the warm-up is not shorter than the run.
    """
    if settings.warmup_steps >= num_steps:
        raise config.InputError(
            f'optimizer.warmup_steps={settings.warmup_steps} is not under the '
            f'{num_steps} steps of the run; lower it or train longer.'
        )
    return optax.warmup_cosine_decay_schedule(
        init_value=settings.learning_rate / (settings.warmup_steps + 1),
        peak_value=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        decay_steps=num_steps,
        end_value=settings.final_learning_rate,
    )


def decay_mask(params: Any) -> Any:
    """True for matrices, False for biases and norms: the same tree as `params`."""
    return jax.tree.map(lambda param: param.ndim > 1, params)


def starting_at(opt_state: Any, step: int) -> Any:
    """A fresh optimizer state whose learning rate is that of `step`.

    Adam's own count stays 0: it corrects the bias of moments that begin at zero.
    """
    kind = optax.ScaleByScheduleState

    def move(state: Any) -> Any:
        if not isinstance(state, kind):
            return state
        count = jax.device_put(jnp.full_like(state.count, step), state.count.sharding)
        return kind(count=count)

    return jax.tree.map(move, opt_state, is_leaf=lambda x: isinstance(x, kind))


def make_optimizer(
    settings: config.OptimizerConfig, *, num_steps: int
) -> optax.GradientTransformation:
    """AdamW on gradients clipped by their global norm.

    Give it the trained parameters alone: it has no notion of frozen ones.
    """
    adamw = optax.adamw(
        schedule(settings, num_steps=num_steps),
        b1=settings.b1,
        b2=settings.b2,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        mask=decay_mask,
    )
    if settings.clip_norm == 0:
        return adamw
    return optax.chain(optax.clip_by_global_norm(settings.clip_norm), adamw)
