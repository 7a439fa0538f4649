"""The curves of a page, as Plotly's own JSON: data, layout.

Source: https://plotly.com/javascript/reference/ (scatter, bar, layout).
"""

from collections.abc import Sequence
from typing import Any

from hax_jax.curves import run_record
from hax_jax.watch import stopwatch

Figure = dict[str, Any]
Records = Sequence[run_record.RunRecord]

# Readable on white and on black, and told apart by those who see few colours.
# Source: M. Okabe, K. Ito, Color Universal Design (2008).
COLOURS = ('#2E8BCB', '#D55E00', '#009E73', '#CC79A7')
_PARTS = ('#999999', '#E69F00', '#56B4E9', '#0072B2', '#D55E00', '#009E73', '#CC79A7')
_MOST_SOURCES = 8  # those with the most tokens, in the legend of a page of one run
_GRAY = 'rgba(128, 128, 128, 0.35)'


def loss(records: Records) -> Figure:
    """Training and validation loss by step; validation by source is in the legend."""
    data, floors = [], set()
    for colour, record in zip(COLOURS, records, strict=False):
        name = f'{record.name}: ' if len(records) > 1 else ''
        data.append(
            _line(record, f'{name}training', colour, 'train', 'loss', opacity=0.6)
        )
        data.append(
            _line(
                record,
                f'{name}validation',
                colour,
                'evaluation',
                'eval_loss',
                width=3.0,
            )
        )
        for source in record.sources()[: 0 if name else _MOST_SOURCES]:
            keys = ('evaluation', 'by', source, 'answer', 'nll')
            line = _line(
                record, f'{name}answers of {source}', colour, *keys, dash='dot'
            )
            data.append({**line, 'visible': 'legendonly'})
        summary = record.rows.get('summary')
        floor = summary[-1]['unigram_entropy'] if summary else None
        if floor is not None and floor not in floors:  # runs on the same rows share it
            floors.add(floor)
            last = max(each.last_step() for each in records)
            data.append(
                {
                    'name': 'token frequencies alone',
                    'x': [0, last],
                    'y': [floor, floor],
                    'mode': 'lines',
                    'line': {'color': '#808690', 'dash': 'dash'},
                }
            )
        data.append(_bad(record, name))
    return figure('nats per unit of weight', [trace for trace in data if trace['x']])


def curves(records: Records) -> list[tuple[str, Figure]]:
    """(title, figure) of each quantity of the training rows."""
    wanted = {
        'Learning rate': 'learning_rate',
        'Gradient norm, before clipping': 'grad_norm',
        'Tokens a second': 'tokens_per_second',
    }
    coloured = list(zip(COLOURS, records, strict=False))
    return [
        (title, figure('', [_line(r, r.name, c, 'train', key) for c, r in coloured]))
        for title, key in wanted.items()
    ]


def time_split(records: Records) -> Figure:
    """The seconds of each interval by what they went to, of the first run."""
    rows = [row for row in records[0].rows.get('train', []) if 'seconds' in row]
    data = [
        {
            'type': 'bar',
            'name': part,
            'x': [row['step'] for row in rows],
            'y': [row['seconds'].get(part, 0.0) for row in rows],
            'marker': {'color': colour},
        }
        for part, colour in zip(stopwatch.PARTS, _PARTS, strict=True)
        if any(row['seconds'].get(part) for row in rows)
    ]
    drawn = figure('seconds', data)
    drawn['layout']['barmode'] = 'stack'
    return drawn


def evidence(bars: Sequence[tuple[str, int | float]]) -> Figure:
    """The numbers that a finding stands on, as bars side by side."""
    bar = {
        'type': 'bar',
        'x': [value for _, value in bars],
        'y': [label for label, _ in bars],
        'orientation': 'h',
        'marker': {'color': COLOURS[0]},
    }
    made = figure('', [bar])
    made['layout'] |= {'showlegend': False, 'hovermode': 'closest'}
    made['layout']['yaxis'] |= {'autorange': 'reversed'}
    return made


def _line(
    record: run_record.RunRecord,
    name: str,
    colour: str,
    *keys: str,
    width: float = 1.5,
    dash: str = 'solid',
    opacity: float = 1.0,
) -> dict[str, Any]:
    steps, values = record.series(*keys)
    return {
        'name': name,
        'x': steps,
        'y': values,
        'mode': 'lines+markers' if len(steps) < 30 else 'lines',
        'opacity': opacity,
        'line': {'color': colour, 'width': width, 'dash': dash},
    }


def _bad(record: run_record.RunRecord, name: str) -> dict[str, Any]:
    """Bad steps whose loss is a number, where the line of intervals hides them."""
    rows = [row for row in record.bad_steps if isinstance(row.get('loss'), float)]
    return {
        'name': f'{name}bad steps',
        'x': [row['step'] for row in rows],
        'y': [row['loss'] for row in rows],
        'text': [row['kind'] for row in rows],
        'mode': 'markers',
        'marker': {'color': '#CC3311', 'symbol': 'x'},
    }


def figure(unit: str, data: list[dict[str, Any]]) -> Figure:
    """Plotly's data and layout; `unit` is the y axis's title."""
    axis = {'gridcolor': _GRAY, 'zeroline': False, 'automargin': True}
    return {
        'data': data,
        'layout': {
            # Transparent, and gray writing: the page is light or dark.
            'paper_bgcolor': 'rgba(0, 0, 0, 0)',
            'plot_bgcolor': 'rgba(0, 0, 0, 0)',
            'font': {'color': '#808690'},
            'margin': {'l': 8, 'r': 8, 't': 8, 'b': 8},
            'hovermode': 'x unified',
            'hoverlabel': {'bgcolor': '#202329', 'font': {'color': '#e6e6e1'}},
            'legend': {'orientation': 'h', 'y': -0.15, 'yanchor': 'top'},
            'xaxis': axis,  # steps
            'yaxis': {**axis, 'title': {'text': unit}},
        },
    }
