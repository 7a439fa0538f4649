"""A learning-rate schedule as a plot of text."""

import jax.numpy as jnp
import numpy as np
import optax

from hax_jax.watch import text_plot


def draw(schedule: optax.Schedule, *, num_steps: int, plain: bool) -> str:
    """The rate of each step of a run, at most 78 columns wide.

    `plain` is for a log: ASCII alone, a `*` where a terminal is shown Braille dots.
    """
    points = 4 * text_plot.COLUMNS + 1
    steps = np.unique(np.linspace(0, num_steps, points).astype(int))
    rates = np.asarray(schedule(jnp.asarray(steps)), np.float64)
    return text_plot.draw(
        [(steps.astype(float).tolist(), rates.tolist())],
        x_label='step',
        y_label='rate',
        x_limits=(0.0, float(num_steps)),
        # The peak lies a row below the limit.
        y_limits=(0.0, float(rates.max()) * (1 + 1 / text_plot.ROWS)),
        label=_label,
        plain=plain,
    )


def _label(value: float, chars: int, delta: float | int, left: bool = False) -> str:
    """A step, which stands to the left, as a whole number; a rate as 1.00e-03."""
    del delta
    return f'{value:,.0f}'.ljust(chars) if left else f'{value:.2e}'.rjust(chars)
