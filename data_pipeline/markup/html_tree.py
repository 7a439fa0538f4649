"""The elements of a page of HTML, with their places in its text."""

import dataclasses
import html.parser
import re
from collections.abc import Iterator


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


_VOID = _set('area base br col embed hr img input link meta param source track wbr')
# A tag whose end may be left out, and the tags that end it.
_ENDED_BY = {
    'p': _set(
        'p div ul ol dl table h1 h2 h3 h4 h5 h6 section article details footer'
        ' li dt dd tr td th'
    ),
    'li': _set('li'),
    'dt': _set('dt dd'),
    'dd': _set('dt dd'),
    'tr': _set('tr tbody tfoot'),
    'td': _set('td th tr tbody'),
    'th': _set('td th tr tbody'),
}


@dataclasses.dataclass(eq=False)
class Node:
    """An element: its place in the page with and without its tags, what is in it."""

    tag: str
    attributes: dict[str, str]
    line: int
    start: int
    inner: int  # behind its own tag
    parent: 'Node | None'
    inner_end: int = -1
    end: int = -1
    children: list['Node'] = dataclasses.field(default_factory=list)

    def walk(self) -> Iterator['Node']:
        """The elements within it, in their order."""
        stack = self.children[::-1]
        while stack:
            node = stack.pop()
            yield node
            stack += node.children[::-1]

    def of(self, *tags: str) -> list['Node']:
        return [each for each in self.walk() if each.tag in tags]


def root(text: str) -> Node:
    """The node of a whole page; elements that are not closed end with those around."""
    return _Tree(text).root


class _Tree(html.parser.HTMLParser):
    """The elements of a page, below `root`."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self._text = text
        self._starts = [0]
        for match in re.finditer('\n', text):
            self._starts.append(match.end())
        self.root = Node('', {}, 1, 0, 0, None, len(text), len(text))
        self._open = self.root
        self.feed(text)
        self.close()
        while self._open.parent:
            self._close(self._open, len(text), len(text))

    def _at(self) -> int:
        line, column = self.getpos()
        return self._starts[line - 1] + column

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = self._at()
        while tag in _ENDED_BY.get(self._open.tag, ()):
            self._close(self._open, at, at)
        end = at + len(self.get_starttag_text() or '')
        attributes = {name: value or '' for name, value in attrs}
        node = Node(tag, attributes, self.getpos()[0], at, end, self._open, end, end)
        self._open.children.append(node)
        if tag not in _VOID:
            self._open = node

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        node: Node | None = self._open
        while node and node.tag != tag:
            node = node.parent
        if not node or not node.parent:
            return
        at = self._at()
        while self._open is not node:
            self._close(self._open, at, at)
        end = self._text.find('>', at) + 1
        self._close(node, at, end or len(self._text))

    def _close(self, node: Node, inner_end: int, end: int) -> None:
        node.inner_end, node.end = inner_end, end
        self._open = node.parent or self.root
