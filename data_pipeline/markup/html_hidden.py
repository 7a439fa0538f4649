"""Text that a page never shows, told from the answers that its accordions hide.

    <p>Write to us<span style="display:none">null</span> soon.</p>
    <div class="done" hidden>Thank you!</div>, the same below each answer

    <div class="ttc">…</div>, a tip of Doxygen's

Any other hidden text may be an answer that a click shows, so it stays.
"""

import re

from data_pipeline.markup import html_tree

_MAY_HIDE = re.compile(
    r'<[^<>]*\b(?:hidden|display\s*:\s*none|class="ttc")(?:\b|(?<="))', re.IGNORECASE
)
_TIP = 'ttc'  # the class of what Doxygen shows above a name in code
_STYLE = re.compile(
    r'(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\b', re.IGNORECASE
)
_INLINE = frozenset(
    (
        *('a', 'abbr', 'b', 'code', 'em', 'font', 'i', 'label', 'q', 's', 'small'),
        *('span', 'strong', 'sub', 'sup', 'u'),
    )
)
_TAGS = re.compile(r'<[^<>]*>')
# What stands in front of a hidden answer, or of the rest of a text.
_GOES_ON = re.compile(r'(?:[?？:…]|\.\.)\W*\Z')
_MORE = re.compile(r'\b(?:more|less|answer|reveal|expand)\b', re.IGNORECASE)


def without(text: str) -> str:
    """A page without what it never shows; its line breaks stay."""
    parts, at = [], 0
    for start, end in _places(text) if _MAY_HIDE.search(text) else ():
        if start >= at:  # not within the one before
            parts += [text[at:start], '\n' * text.count('\n', start, end)]
            at = end
    return ''.join([*parts, text[at:]])


def _places(text: str) -> list[tuple[int, int]]:
    whole = [*html_tree.root(text).walk()]
    found = [node for node in whole if _is_hidden(node)]
    tips = [node for node in whole if node.attributes.get('class') == _TIP]
    forms: dict[tuple[str, str], list[html_tree.Node]] = {}
    for node in found:
        forms.setdefault((node.tag, node.attributes.get('class', '')), []).append(node)
    made = [node for node in found if _is_within_a_line(node, text)]
    for nodes in forms.values():
        texts = {_words(text[node.inner : node.inner_end]) for node in nodes}
        made += nodes if len(nodes) > 1 == len(texts) else []
    made += tips
    return sorted({(node.start, node.end) for node in made})


def _is_hidden(node: html_tree.Node) -> bool:
    is_hidden = node.attributes.get('hidden', 'until-found') != 'until-found'
    return is_hidden or bool(_STYLE.search(node.attributes.get('style', '')))


def _is_within_a_line(node: html_tree.Node, text: str) -> bool:
    """Whether a hidden element stands within a line of text that goes on without it."""
    if node.tag not in _INLINE or not node.parent:
        return False
    around = node.parent
    above = _words(text[around.inner : node.start])
    below = _words(text[node.end : around.inner_end])
    return (
        bool(above or below)
        and not _words(text[node.inner : node.inner_end]).endswith(':')  # a label
        and not _GOES_ON.search(above)
        and not _MORE.search(f'{above[-60:]} {below[:60]}')
    )


def _words(inner: str) -> str:
    return ' '.join(_TAGS.sub(' ', inner).split())
