"""A curve, or a learning-rate schedule, as a plot of text."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import plotille

COLUMNS, ROWS = 50, 10
_EMPTY = '\u2800'  # the Braille pattern without a dot
_DOTS = re.compile('[\u2801-\u28ff]')


def draw(
    curves: Sequence[tuple[Sequence[float], Sequence[float]]],
    *,
    x_label: str,
    y_label: str,
    x_limits: tuple[float, float],
    y_limits: tuple[float, float],
    label: Callable[..., str],
    plain: bool,
) -> str:
    """Lines through points (xs, ys), at most 78 columns wide.

    `plain` is for a log: ASCII alone, a `*` where a terminal is shown Braille dots. A
    point on the upper limit itself is not drawn. `label` is plotille's formatter.
    """
    figure = plotille.Figure()
    figure.width, figure.height = COLUMNS, ROWS + 1
    figure.with_colors, figure.origin = False, False
    figure.x_label, figure.y_label = x_label, y_label
    figure.set_x_limits(*x_limits)
    figure.set_y_limits(*y_limits)
    figure.register_label_formatter(float, label)
    for xs, ys in curves:
        figure.plot(list(xs), list(ys))
    lines = [line.rstrip(f' {_EMPTY}') for line in figure.show().split('\n')]
    text = '\n'.join(lines)
    return _DOTS.sub('*', text).replace(_EMPTY, ' ') if plain else text


def draw_log_x(
    curves: Sequence[tuple[Sequence[float], Sequence[float]]],
    *,
    x_label: str,
    plain: bool,
) -> str:
    """As `draw`, losses, x in powers of ten: 1e-4 stands at -4.0."""
    logs = [(np.log10(xs).tolist(), [float(y) for y in ys]) for xs, ys in curves]
    all_x = [x for xs, _ in logs for x in xs]
    all_y = [y for _, ys in logs for y in ys]
    room = 0.1 * (max(all_y) - min(all_y)) or 0.1
    return draw(
        logs,
        x_label=f'log10 {x_label}',
        y_label='loss',
        x_limits=(min(all_x), max(all_x) + 1e-6),
        y_limits=(min(all_y) - room, max(all_y) + room),
        label=_label('.2f', '.4g'),
        plain=plain,
    )


def draw_schedule(schedule: optax.Schedule, *, num_steps: int, plain: bool) -> str:
    """As `draw`, the learning rate of each step of a run."""
    steps = np.unique(np.linspace(0, num_steps, 4 * COLUMNS + 1).astype(int))
    rates = np.asarray(schedule(jnp.asarray(steps)), np.float64)
    return draw(
        [(steps.astype(float).tolist(), rates.tolist())],
        x_label='step',
        y_label='rate',
        x_limits=(0.0, float(num_steps)),
        # The peak lies a row below the limit.
        y_limits=(0.0, float(rates.max()) * (1 + 1 / ROWS)),
        label=_label(',.0f', '.2e'),  # 1,000 steps, 1.00e-03
        plain=plain,
    )


def _label(x: str, y: str) -> Callable[..., str]:
    """plotille's formatter: the form of a number on the x axis, which is left, or y."""

    def label(value: float, *, chars: int, left: bool = False, **_: Any) -> str:
        return f'{value:{x}}'.ljust(chars) if left else f'{value:{y}}'.rjust(chars)

    return label
