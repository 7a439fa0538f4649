"""The buttons, links and headings of a page of HTML that show the answer below them.

<h3>Why?</h3><a href="#">Show answer</a><div>Because.</div>
<h3>Why?</h3><details><summary>Answer</summary>Because.</details>
<h3>Why?</h3><h4>Answer</h4><p>Because.</p>
"""

import re

from data_pipeline.faq import answer_buttons
from data_pipeline.markup import html_source, html_tree

_MAY_HAVE = re.compile(
    r'answer|\bans\b|solution|response|click|tap|press|reveal|antwort|respuesta|réponse'
    r'|rispost|respost|ответ|[答解]|>\s*A\b',
    re.IGNORECASE,
)
_OWN = frozenset(('summary', 'button', 'h2', 'h3', 'h4', 'h5', 'h6', 'p', 'div'))
_OWN_LINE = re.compile(r'<(?:summary|h[2-6]|p|div)\b', re.IGNORECASE)
_WITHIN_LINES = frozenset(('a', 'b', 'strong', 'em', 'span', 'label', 'u', 'i'))
_LONGEST = 300  # characters of an element with its tags


def places(text: str) -> list[tuple[int, int, bool]]:
    """(start, end, whether it says that it shows the answer) of each such element.

    Those that name the answer alone may be labels.
    """
    made: list[tuple[int, int, bool]] = []
    root = html_tree.root(text) if _MAY_HAVE.search(text) else None
    for node in root.walk() if root else ():
        if made and node.start < made[-1][1]:
            continue
        said = text[node.inner : node.inner_end]
        if len(said) > _LONGEST or node.tag not in _OWN | _WITHIN_LINES:
            continue
        is_command = answer_buttons.is_command(said)
        if not is_command and not answer_buttons.is_name(said):
            continue
        if node.tag in _OWN or _fills_line(node, text):
            made.append((node.start, node.end, is_command))
    names = sum(not is_command for _, _, is_command in made)
    return [each for each in made if each[2] or names >= answer_buttons.FEWEST]


def replaced(text: str, cuts: list[tuple[int, int, bool]], label: str) -> str:
    """A page with a label for some elements; its line breaks stay."""
    parts, at = [], 0
    for start, end, _ in cuts:
        tag = 'p' if _OWN_LINE.match(text, start) else 'span'
        made = f'<{tag}>{label}</{tag}>' if label else ''
        parts += [text[at:start], made, '\n' * text.count('\n', start, end)]
        at = end
    return ''.join([*parts, text[at:]])


def _fills_line(node: html_tree.Node, text: str) -> bool:
    return html_source.opens_block(node, text) and html_source.ends_block(node, text)
