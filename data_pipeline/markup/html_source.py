"""A page of HTML as its questions are read from it: its text, place by place."""

import collections
import dataclasses
import re
from collections.abc import Sequence

from data_pipeline.faq import questions
from data_pipeline.layouts import html_text
from data_pipeline.markup import html_tree
from data_pipeline.pages import characters, glued_topics

SIGNS = '¶# \n+-–×▼▲▾▴▸›»⌄➕➖✚\ufe0f'  # links and icons behind a question
_ICONS = '▼▽▾▸▶►›»⌄➕➖✚⊕\ufe0f \n'  # in front of one
_HEADING = re.compile(r'h[1-6]')  # its lines are one
_LONGEST_WAY, _FEWEST_WAYS = 40, 3  # signs of a link up, answers that end in it
_BLOCK = (
    r'<(?:/?(?:p|div|li|ul|ol|d[dlt]|td|table|pre|section|article|main|body|h\d|blockquote'
    r'|details|summary|form|figure|header|footer|aside|nav)|[bh]r)\b[^<>]*>'
)
_OPENS_BLOCK = re.compile(rf'{_BLOCK}(?:\s|<a\b[^<>]*>|</a>)*\Z', re.IGNORECASE)
_ENDS_BLOCK = re.compile(rf'\s*{_BLOCK}', re.IGNORECASE)
BACK = 500  # signs in front of an element in which its block opens
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
        text = (bare if bare and whole.startswith(bare) else whole).rstrip(SIGNS)
        return ' '.join(text.split()) if _HEADING.fullmatch(node.tag) else text


def shown(inner: str) -> str:
    """The text of an element's content."""
    text, _ = html_text.plain(f'<div>{inner}</div>', of_page=True)
    return characters.clean(text)


def bare(question: str) -> str:
    """A question without the icons around it: '▼ Why? ➕' -> 'Why?'"""
    return question.lstrip(_ICONS).rstrip(SIGNS)


def without(text: str, cuts: list[tuple[int, int]]) -> str:
    """A text without the places (start, end) of `cuts`."""
    parts, at = [], 0
    for start, end in sorted(cuts):
        parts.append(text[at : max(at, start)])
        at = max(at, end)
    return '\n'.join([*parts, text[at:]])


def opens_block(node: html_tree.Node, text: str) -> bool:
    """Whether an element is the first in its block, or in a line of it."""
    return bool(_OPENS_BLOCK.search(text[max(0, node.start - BACK) : node.start]))


def ends_block(node: html_tree.Node, text: str) -> bool:
    """Whether an element is the last in its block, or in a line of it."""
    return bool(_ENDS_BLOCK.match(text, node.end))


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
    away = [e for e in links if not _is_own(e, heading)]
    return sum(len(source.of(heading if e is around else e)) for e in away)


def _is_own(link: html_tree.Node, heading: html_tree.Node) -> bool:
    """Whether a link is to a place of its page: to its own heading, by the file's name.

    <h3><a name="who"></a><a href="faq.html#who">Who pays?</a></h3>
    """
    at, _, place = link.attributes.get('href', '#').partition('#')
    if not at or not place:
        return not at
    around = [*heading.walk(), heading]
    while around[-1].parent:
        around.append(around[-1].parent)
    names = {each.attributes.get(name) for each in around for name in ('id', 'name')}
    return place in names


def without_ways(answers: Sequence[str]) -> list[str]:
    """Texts without the link up that ends most of them: 'Back to FAQ Index.'"""
    ends = [answer.rpartition('\n')[2].strip() for answer in answers]
    ((way, times),) = collections.Counter(ends).most_common(1) or [('', 0)]
    is_way = len(way) <= _LONGEST_WAY and glued_topics.UP.search(way)
    if times < max(_FEWEST_WAYS, len(answers) / 2) or not is_way:
        return [*answers]
    return [
        answer.rpartition('\n')[0].rstrip() if end == way and '\n' in answer else answer
        for answer, end in zip(answers, ends, strict=True)
    ]
