"""Elements whose classes say which are questions and which are their answers.

    <div class="faq__question">…</div> <div class="faq__answer">…</div>
    <p class="q">…</p> <p class="a">…</p> <p class="a">…</p>
    <blockquote class="letter">…</blockquote> <div class="reply">…</div>

Two classes belong together if they differ in that word alone. Such a question needs no
question mark: a letter ends in its signature.
"""

import bisect
import re

from data_pipeline.markup import html_tree

_ASKED = frozenset(['question', 'q', 'letter'])
_ANSWERED = frozenset(['answer', 'a', 'reply', 'response', 'advice'])
_WORD = re.compile(r'[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+')
_FEWEST = 2  # questions with an answer
_PARAGRAPHS = ('p', 'li')  # several are one answer

Pair = tuple[html_tree.Node, list[html_tree.Node]]


def pairs(root: html_tree.Node) -> list[Pair]:
    """Each question of a page with the elements of its answer, if it has some.

    They are those of the two classes that give the most; [] for a page without two
    questions that have answers.
    """
    classes: dict[str, list[html_tree.Node]] = {}
    for node in root.walk():
        for name in dict.fromkeys(node.attributes.get('class', '').split()):
            classes.setdefault(name, []).append(node)
    answered: dict[tuple[str, ...], list[str]] = {}
    for name in classes:
        if stem := _stem(name, _ANSWERED):
            answered.setdefault(stem, []).append(name)
    best: list[Pair] = []
    for name in classes:
        for other in answered.get(_stem(name, _ASKED), ()):
            found = _joined(classes[name], classes[other])
            if _num_whole(found) > max(_FEWEST - 1, _num_whole(best)):
                best = found
    return best


def _stem(name: str, words: frozenset[str]) -> tuple[str, ...]:
    """The words of a class around the one word of some; () for none or several.

    'faq__question' -> ('faq', '')
    """
    parts = [match[0].lower() for match in _WORD.finditer(name)]
    if sum(part in words for part in parts) != 1:
        return ()
    return tuple('' if part in words else part for part in parts)


def _joined(asked: list[html_tree.Node], answered: list[html_tree.Node]) -> list[Pair]:
    """Each question with what stands before the next; [] if one is within another."""
    starts = [node.start for node in asked]
    found: list[Pair] = [(node, []) for node in asked]
    ends = [node.end for node in asked]
    if any(end > start for end, start in zip(ends, starts[1:], strict=False)):
        return []
    for node in answered:
        at = bisect.bisect_right(starts, node.start) - 1
        if at < 0 or node.start < ends[at] or node.end > [*starts, node.end][at + 1]:
            return []
        texts = found[at][1]
        if not texts or (node.tag in _PARAGRAPHS and texts[-1].end <= node.start):
            texts.append(node)
    return found


def _num_whole(found: list[Pair]) -> int:
    return sum(bool(texts) for _, texts in found)
