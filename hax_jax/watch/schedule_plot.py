"""A learning-rate schedule as a plot of text."""

import re

import jax.numpy as jnp
import numpy as np
import optax
import plotille

_COLUMNS, _ROWS = 50, 10
_EMPTY = '\u2800'  # the Braille pattern without a dot
_DOTS = re.compile('[\u2801-\u28ff]')


def draw(schedule: optax.Schedule, *, num_steps: int, plain: bool) -> str:
    """The rate of each step of a run, at most 78 columns wide.

    `plain` is for a log: ASCII alone, a `*` where a terminal is shown Braille dots.
    """
    steps = np.unique(np.linspace(0, num_steps, 4 * _COLUMNS + 1).astype(int))
    rates = np.asarray(schedule(jnp.asarray(steps)), np.float64)
    figure = plotille.Figure()
    figure.width, figure.height = _COLUMNS, _ROWS + 1
    figure.with_colors, figure.origin = False, False
    figure.x_label, figure.y_label = 'step', 'rate'
    figure.set_x_limits(0, num_steps)
    # A point on the limit itself is not drawn, so the peak lies a row below it.
    figure.set_y_limits(0.0, float(rates.max()) * (1 + 1 / _ROWS))
    figure.register_label_formatter(float, _label)
    figure.plot(steps.tolist(), rates.tolist())
    lines = [line.rstrip(f' {_EMPTY}') for line in figure.show().split('\n')]
    text = '\n'.join(lines)
    return _DOTS.sub('*', text).replace(_EMPTY, ' ') if plain else text


def _label(value: float, chars: int, delta: float | int, left: bool = False) -> str:
    """A step, which stands to the left, as a whole number; a rate as 1.00e-03."""
    del delta
    return f'{value:,.0f}'.ljust(chars) if left else f'{value:.2e}'.rjust(chars)
