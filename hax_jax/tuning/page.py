"""A page of a verdict, curves and tables, readable without a network.

The page holds Plotly's own script and runs nothing else. All text is escaped.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

from hax_jax import files
from hax_jax.report import figures
from hax_jax.report import page as report_page

_TEMPLATE = 'page.html.jinja'


@dataclasses.dataclass(frozen=True)
class Table:
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def write(
    path: pathlib.Path,
    *,
    title: str,
    verdicts: Sequence[str],
    curves: Sequence[tuple[str, figures.Figure]],
    tables: Sequence[Table],
    notes: Sequence[str],
) -> pathlib.Path:
    """Writes the page to `path`: verdicts first, then curves, tables and notes."""
    text = report_page.rendered(
        pathlib.Path(__file__).with_name(_TEMPLATE),
        title=title,
        verdicts=verdicts,
        titles=[name for name, _ in curves],
        figures=[drawn for _, drawn in curves],
        tables=tables,
        notes=notes,
    )
    files.write_text(path, text)
    return path


def points(
    name: str,
    x: Sequence[float],
    y: Sequence[float],
    *,
    low: Sequence[float] = (),
    high: Sequence[float] = (),
    mode: str = 'lines+markers',
    colour: str = figures.COLOURS[0],
) -> dict[str, object]:
    """A curve of Plotly, with error bars where `low` and `high` are given."""
    drawn: dict[str, object] = {
        'name': name,
        'x': list(x),
        'y': list(y),
        'mode': mode,
        'line': {'color': colour},
    }
    if low:
        drawn['error_y'] = {
            'type': 'data',
            'symmetric': False,
            'array': [b - a for a, b in zip(y, high, strict=True)],
            'arrayminus': [a - b for a, b in zip(y, low, strict=True)],
        }
    return drawn


def log_x(unit: str, x_title: str, data: list[dict[str, object]]) -> figures.Figure:
    """A figure whose x axis is logarithmic."""
    drawn = figures.figure(unit, data)
    axis = {**drawn['layout']['xaxis'], 'type': 'log', 'title': {'text': x_title}}
    drawn['layout']['xaxis'] = axis
    return drawn
