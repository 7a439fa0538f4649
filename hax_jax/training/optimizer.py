"""The learning-rate schedules, the decay mask, the multipliers and the optax chain."""

import dataclasses
import difflib
import fnmatch
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.model import param_tree


def warmup_steps(settings: schema.OptimizerConfig, *, num_steps: int) -> int:
    """The steps of warm-up: as given, or the given share of the run's, rounded."""
    return settings.warmup_steps or round(settings.warmup_share * num_steps)


def schedule(settings: schema.OptimizerConfig, *, num_steps: int) -> optax.Schedule:
    """The learning rate of each step, from 0 on; step `num_steps` is after the last.

    With w steps of warm-up to the peak p, a floor f and n steps in all, step s has
    p (s + 1) / (w + 1) while s < w (so step 0 is never 0), and from step w on

    constant      p
    linear        p - (p - f) (s - w) / (n - w)
    cosine        f + (p - f) (1 + cos(pi (s - w) / (n - w))) / 2
    inverse_sqrt  max(f, p sqrt((w + 1) / (s + 1)))
    wsd           p, and over the last d = decay_share n steps linearly to f

    Source: inverse_sqrt, Vaswani et al. 2017, arXiv:1706.03762, 5.3; wsd, Hu et al.
    2024, arXiv:2404.06395, 4.2, its decay linear as in Haegele et al. 2024,
    arXiv:2405.18392.

    Raises:
      InputError: the warm-up is not shorter than the run, or meets the decay of 'wsd'.
    """
    peak, floor = settings.learning_rate, settings.final_learning_rate
    warmup = warmup_steps(settings, num_steps=num_steps)
    given = f'optimizer.warmup_steps={warmup}'
    lower = f'warmup_steps={num_steps // 10}'
    if settings.warmup_share:
        given = f'optimizer.warmup_share={settings.warmup_share} ({warmup} steps)'
        lower = 'warmup_share=0.1'
    if warmup >= num_steps:
        raise errors.InputError(
            f'{given} is not under the {num_steps:,} steps of the run; lower it, for '
            f'example --config.optimizer.{lower}, or train longer.'
        )
    if settings.schedule == 'cosine':
        return optax.warmup_cosine_decay_schedule(
            init_value=peak / (warmup + 1),
            peak_value=peak,
            warmup_steps=warmup,
            decay_steps=num_steps,
            end_value=floor,
        )
    rising = optax.linear_schedule(peak / (warmup + 1), peak, warmup)
    if settings.schedule == 'constant':
        return optax.join_schedules([rising, optax.constant_schedule(peak)], [warmup])
    if settings.schedule == 'linear':
        falling = optax.linear_schedule(peak, floor, num_steps - warmup)
        return optax.join_schedules([rising, falling], [warmup])
    if settings.schedule == 'inverse_sqrt':

        def falling(since: jax.typing.ArrayLike) -> jax.Array:
            return jnp.maximum(
                floor, peak * jnp.sqrt((warmup + 1) / (since + warmup + 1))
            )

        return optax.join_schedules([rising, falling], [warmup])
    decay = max(1, round(settings.decay_share * num_steps))  # 'wsd'
    if warmup + decay > num_steps:
        raise errors.InputError(
            f'{given} and optimizer.decay_share={settings.decay_share} ({decay} steps) '
            f'are more than the {num_steps} steps of the run; lower one of them.'
        )
    falling = optax.linear_schedule(peak, floor, decay)
    return optax.join_schedules(
        [rising, optax.constant_schedule(peak), falling], [warmup, num_steps - decay]
    )


def average_weight(
    settings: schema.TrainConfig, *, num_steps: int
) -> Callable[[Any], Any] | None:
    """Step number s (from 1) -> w in average = (1 - w) average + w parameters.

    ema w = max(1 / k, 1 / s), the mean of all steps up to step k; last_k w = 1 up to
    the first of the last k steps, then 1 / 2, 1 / 3, ..., 1 / k. None where it is off.
    """
    k = settings.average_steps
    if settings.average == 'off':
        return None
    if settings.average == 'ema':
        return lambda step: jnp.maximum(1 / k, 1 / step)
    return lambda step: 1 / jnp.maximum(1, step - max(0, num_steps - k))


def decay_mask(params: Any) -> Any:
    """True for matrices, False for biases and norms: the same tree as `params`."""
    return jax.tree.map(lambda param: param.ndim > 1, params)


@dataclasses.dataclass(frozen=True)
class Multiplier:
    """A pattern's factor; `names` are the parameters whose first match it is.

    The last row of a table has the pattern '' and the parameters that none matches.
    """

    pattern: str
    factor: float
    names: tuple[str, ...]


def multipliers(entries: tuple[str, ...], names: Iterable[str]) -> list[Multiplier]:
    """`optimizer.lr_multipliers` for the parameters at these dotted paths.

    ('wte.*=0', '*.bias=2') of wte.embedding, ln_f.scale and ln_f.bias is wte.embedding
    at 0, ln_f.bias at 2, and ln_f.scale, which no pattern matches, at 1. Each name is
    in one entry of the table.

    Raises:
      InputError: lists each pattern that matches nothing, or nothing that those before
        it have left; or all is frozen.
    """
    left = list(names)
    every = tuple(left)
    table, problems = [], []
    for entry in entries:
        pattern, factor = schema.lr_multiplier(entry)
        matched = [name for name in every if _matches(name, pattern)]
        taken = tuple(name for name in matched if name in left)
        if not matched:
            near = difflib.get_close_matches(pattern, every, 3, 0.0)
            problems.append(
                f'optimizer.lr_multipliers: {pattern!r} matches none of the '
                f'{len(every)} trained parameters (* stands for any text); the nearest '
                f'are {", ".join(near)}.'
            )
        elif not taken:
            problems.append(
                f'optimizer.lr_multipliers: all that {pattern!r} matches is matched by '
                'a pattern before it, and the first holds; put it first or leave it '
                'out.'
            )
        left = [name for name in left if name not in taken]
        table.append(Multiplier(pattern, factor, taken))
    table.append(Multiplier('', 1.0, tuple(left)))
    if not problems and not any(row.factor and row.names for row in table):
        problems.append(
            'optimizer.lr_multipliers freezes every trained parameter; leave one at '
            'more than 0.'
        )
    errors.refuse(problems)
    return table


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(
        name, f'*.{pattern}'
    )


def multiplied(updates: Any, factors: dict[str, float]) -> Any:
    """Updates times their parameters' factors, by dotted name; decay is in them too."""
    if all(factor == 1 for factor in factors.values()):
        return updates
    return jax.tree_util.tree_map_with_path(
        lambda path, update: update * factors[param_tree.dotted(path)], updates
    )


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
    settings: schema.OptimizerConfig,
    *,
    num_steps: int,
    rate: optax.Schedule | None = None,
) -> optax.GradientTransformation:
    """AdamW on gradients clipped by their global norm, computed in float32.

    Its moments lie in `moment_dtype`; updates are float32, whatever the parameters are.
    Give it the parameters that move alone: it has no notion of frozen ones, nor of
    multipliers (train_step.py). `rate` takes the place of the settings' schedule.
    """
    tx = optax.adamw(
        rate or schedule(settings, num_steps=num_steps),
        b1=settings.b1,
        b2=settings.b2,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        mask=decay_mask,
    )
    if settings.clip_norm:
        tx = optax.chain(_clip_by_global_norm(settings.clip_norm), tx)
    moments = jnp.dtype(settings.moment_dtype)

    def init(params: Any) -> Any:
        return _cast(tx.init(_cast(params, np.float32)), moments)

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        grads, state, params = _cast((grads, state, params), np.float32)
        updates, state = tx.update(grads, state, params)
        return updates, _cast(state, moments)

    return optax.GradientTransformation(init, update)


def _clip_by_global_norm(most: float) -> optax.GradientTransformation:
    """optax's, to a rounding, as a product with a scalar, which XLA fuses into its use.

    optax divides each number, and XLA stores what is dear to compute twice.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        factor = jnp.minimum(1, most / optax.tree.norm(updates))
        return optax.tree.scale(factor, updates), state

    return optax.GradientTransformation(optax.init_empty_state, update)


def _cast(tree: Any, dtype: Any) -> Any:
    """The tree with its floating leaves in `dtype`; counts stay whole numbers."""
    return jax.tree.map(
        lambda x: jnp.asarray(x, dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x,
        tree,
    )
