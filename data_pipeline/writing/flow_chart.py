"""The geometry of the report's Sankey diagram, from sources to splits.

Three columns to one scale: sources, all pairs read, and on the right the splits and the
stages that dropped pairs. Labels stand beside the nodes, or above them on a narrow
screen.
"""

import dataclasses
from collections.abc import Mapping

_BAR = 14  # width of a node
# Widths of the page, and the left edges of the three columns.
_WIDE = 860, (230, 390, 545)
_NARROW = 360, (0, 173, 360 - _BAR)
_GAP = 24  # between two nodes of a column, enough for a line of text
_TALL = 300  # height of all pairs
_MOST = 10  # nodes in a column; one node stands for the smallest


@dataclasses.dataclass(frozen=True)
class Node:
    """A bar with its label; `kind` is a class in the page's style."""

    label: str
    count: int
    kind: str
    x: float
    y: float
    height: float


@dataclasses.dataclass(frozen=True)
class Ribbon:
    """A band between two nodes, as the path of an SVG."""

    path: str
    kind: str


@dataclasses.dataclass(frozen=True)
class Chart:
    width: int
    height: float
    bar: int
    nodes: list[Node]
    ribbons: list[Ribbon]


def chart(
    sources: Mapping[str, int],
    kept: Mapping[str, int],
    dropped: Mapping[str, int],
    *,
    narrow: bool = False,
) -> Chart:
    """The diagram of counts by source, by split and by stage."""
    width, columns = _NARROW if narrow else _WIDE
    left = _most([(name, count, 'source') for name, count in sources.items()])
    right = [(name, count, 'kept') for name, count in kept.items() if count]
    right += _most([(name, count, 'dropped') for name, count in dropped.items()])
    total = max(sum(row[1] for row in left), sum(row[1] for row in right), 1)
    scale = _TALL / total

    def stack(rows: list[tuple[str, int, str]], x: float) -> list[Node]:
        nodes, y = [], float(_GAP)
        for label, count, kind in rows:
            height = max(count * scale, 1.0)
            nodes.append(Node(label, count, kind, x, round(y, 2), round(height, 2)))
            y += height + _GAP
        return nodes

    sides = stack(left, columns[0]), stack(right, columns[2])
    bottom = max((n.y + n.height for nodes in sides for n in nodes), default=_TALL)
    read = sum(row[1] for row in left)
    tall = max(sum(n.height for n in nodes) for nodes in sides)
    top = max((bottom + _GAP - tall) / 2, _GAP)
    trunk = Node('read', read, 'read', columns[1], round(top, 2), round(tall, 2))
    ribbons = []
    for side, nodes in enumerate(sides):
        y = trunk.y
        for node in nodes:
            ends = (node.x + _BAR, node.y), (trunk.x, y)
            if side:
                ends = (trunk.x + _BAR, y), (node.x, node.y)
            ribbons.append(Ribbon(_path(*ends, node.height), node.kind))
            y += node.height
    height = max(bottom, trunk.y + trunk.height) + _GAP
    return Chart(width, round(height), _BAR, [*sides[0], trunk, *sides[1]], ribbons)


def _most(rows: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    """The biggest rows; one row for the smallest, none for those without pairs."""
    rows = sorted((row for row in rows if row[1]), key=lambda row: (-row[1], row[0]))
    if len(rows) <= _MOST:
        return rows
    rest = rows[_MOST - 1 :]
    together = (f'{len(rest)} others', sum(row[1] for row in rest), rows[0][2])
    return [*rows[: _MOST - 1], together]


def _path(start: tuple[float, float], end: tuple[float, float], height: float) -> str:
    (x0, y0), (x1, y1) = start, end
    middle = (x0 + x1) / 2
    return (
        f'M{x0:g} {y0:.2f}C{middle:g} {y0:.2f} {middle:g} {y1:.2f} {x1:g} {y1:.2f}'
        f'V{y1 + height:.2f}C{middle:g} {y1 + height:.2f} {middle:g} '
        f'{y0 + height:.2f} {x0:g} {y0 + height:.2f}Z'
    )
