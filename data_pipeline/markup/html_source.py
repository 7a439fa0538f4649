"""A page of HTML as its questions are read from it: its text, place by place."""

import dataclasses
from collections.abc import Sequence

from data_pipeline.faq import questions
from data_pipeline.layouts import html_text
from data_pipeline.markup import html_tree
from data_pipeline.pages import characters

SIGNS = '¶# \n+-–×▼▾▸›»'  # links and icons behind a question
_LINKED = 0.6  # of a heading's characters: more of a link, and it leads away


@dataclasses.dataclass
class Source:
    """A page: its elements, and the places that are no part of its text.

    `left_out` gets (line, text) of each heading that is no question.
    """

    root: html_tree.Node
    text: str
    cuts: list[tuple[int, int]]
    left_out: list[tuple[int, str]] = dataclasses.field(default_factory=list)

    def between(self, start: int, end: int) -> str:
        """The text of a part of the page."""
        within = [(s - start, e - start) for s, e in self.cuts if start <= s < e <= end]
        return shown(without(self.text[start:end], within))

    def of(self, node: html_tree.Node) -> str:
        """The text of an element."""
        return self.between(node.inner, node.inner_end)

    def heading(self, node: html_tree.Node) -> str:
        """The text of a heading, without signs and links to places behind it: 'TOC'."""
        whole = self.of(node)
        links = [
            (each.start, each.end)
            for each in node.of('a')
            if each.attributes.get('href', '').startswith('#')
        ]
        inner = self.text[node.inner : node.inner_end]
        cuts = [(start - node.inner, end - node.inner) for start, end in links]
        bare = shown(without(inner, cuts)) if links else ''
        return (bare if bare and whole.startswith(bare) else whole).rstrip(SIGNS)


def shown(inner: str) -> str:
    """The text of an element's content."""
    text, _ = html_text.plain(f'<div>{inner}</div>', of_page=True)
    return characters.clean(text)


def without(text: str, cuts: list[tuple[int, int]]) -> str:
    """A text without the places (start, end) of `cuts`."""
    parts, at = [], 0
    for start, end in sorted(cuts):
        parts.append(text[at : max(at, start)])
        at = max(at, end)
    return '\n'.join([*parts, text[at:]])


def lead_away(
    nodes: Sequence[html_tree.Node], texts: Sequence[str], source: Source
) -> bool:
    """Whether a question among headings links to another page, where its answer is.

    One that is a link in part names something: 'What is <a href="…">DICOM</a> for?'
    """
    asked = zip(nodes, texts, strict=True)
    return any(
        _linked(node, source) > _LINKED * len(text)
        for node, text in asked
        if questions.is_question(questions.without_number(text))
    )


def _linked(heading: html_tree.Node, source: Source) -> int:
    """How many characters of a heading are links to other pages."""
    around = heading.parent if heading.parent and heading.parent.tag == 'a' else None
    links = [*heading.of('a'), *([around] if around else [])]
    away = [e for e in links if e.attributes.get('href', '#')[:1] != '#']
    return sum(len(source.of(heading if e is around else e)) for e in away)
