"""What a page of HTML asks its reader to press, choose or share: no part of its text.

    <span>Was this helpful?</span><button>Yes</button><button>No</button>
    <p>3 out of 5 found this helpful</p>
    <select><option>English</option></select>
    <div class="share">Share on Facebook</div>

A button whose words come once may be the title of an accordion's part, so it stays,
unless they are those of such buttons everywhere.
"""

import bisect
import collections
import re

from data_pipeline.faq import questions
from data_pipeline.markup import html_source, html_tree

_TAGS = re.compile(r'<[^<>]*>')
_LONGEST, _MOST_WORDS = 2_000, 15  # characters with tags; words
_MOST_BESIDE = 20  # buttons in a row
_ANSWER = r'(?:yes|no|thanks?(?: you)?(?: for your feedback)?|👍|👎|\d{1,6})'
_USE = (
    rf'(?:{questions.OF_USE}|\d[\d,]* (?:(?:out )?of \d[\d,]* )?'
    r'(?:(?:people|users|readers|members|others?|person|customers) )?'
    r'(?:have |has )?found (?:this|that|it)(?: \w+)? (?:helpful|useful))'
)
_OF_USE = re.compile(rf'\W*(?:{_USE}\W*(?:{_ANSWER}(?!\w)\W*)*)+', re.IGNORECASE)
_VOTE = re.compile(rf'\W*(?:{_ANSWER}\W*)*', re.IGNORECASE)
_OF_BUTTONS = re.compile(
    r'\W*(?:yes|no|copy|share|like|dislike|reply|report|save|print|tweet|e-?mail|submit'
    r'|subscribe|sign up|log in|search|menu|close|cancel|next|previous|back|edit|more'
    r'|(?:copy|share|save|print)(?: (?:the |this )?(?:link|url|page|answer))?'
    r'|(?:show|read|load|see|view) (?:more|less|all))?\W*\d*\W*',
    re.IGNORECASE,
)
_SHARE = re.compile(
    r'(?:^|[\s_-])(?:share|sharing|sharedaddy|addtoany|social)(?:$|[\s_-])',
    re.IGNORECASE,
)
_SITES = re.compile(
    r'\b(?:share|tweet|facebook|twitter|linkedin|pinterest|reddit|whatsapp|e-?mail|print'
    r'|copy|follow)\b',
    re.IGNORECASE,
)
_INLINE = frozenset(('button', 'a', 'span', 'label', 'input', 'svg', 'i'))
_MAY_HAVE = re.compile(
    r'helpful|useful|<button\b|<select\b|shar|addtoany|social', re.IGNORECASE
)


def without(text: str) -> tuple[str, int]:
    """A page without them, and their number."""
    if not _MAY_HAVE.search(text):
        return text, 0
    root = html_tree.root(text)
    times = collections.Counter(
        _words(node, text).casefold() for node in root.of('button')
    )
    cuts: list[tuple[int, int]] = []
    for node in root.walk():
        if cuts and node.start < cuts[-1][1]:
            continue
        if node.tag == 'select' or (
            node.tag == 'button' and _is_pressed(node, text, times)
        ):
            cuts.append((node.start, node.end))
        elif _asks_of_use(node, text):
            cuts.append((node.start, _end_of_votes(node, text)))
        elif _is_to_share(node, text):
            cuts.append((node.start, node.end))
    parts, at = [], 0
    for start, end in cuts:
        parts += [text[at:start], '\n' * text.count('\n', start, end)]
        at = end
    return ''.join([*parts, text[at:]]), len(cuts)


def _start(node: html_tree.Node) -> int:
    return node.start


def _words(node: html_tree.Node, text: str) -> str:
    if node.inner_end - node.inner > _LONGEST:
        return ''
    return ' '.join(_TAGS.sub(' ', text[node.inner : node.inner_end]).split())


def _is_pressed(
    node: html_tree.Node, text: str, times: collections.Counter[str]
) -> bool:
    """Whether a button is none of a sentence, no question and no title."""
    words = _words(node, text)
    if '?' in words or len(words.split()) > _MOST_WORDS:
        return False
    is_known = times[words.casefold()] > 1 or _OF_BUTTONS.fullmatch(words)
    return bool(is_known) and _stands_alone(node, text)


def _stands_alone(node: html_tree.Node, text: str) -> bool:
    """Whether only buttons, and no words of a line, are beside a button."""
    siblings = node.parent.children if node.parent else []
    at = bisect.bisect_left(siblings, node.start, key=_start)
    first, last = node, node
    for i in range(at - 1, max(-1, at - _MOST_BESIDE), -1):
        each = siblings[i]
        if each.tag != 'button' or text[each.end : first.start].strip():
            break
        first = each
    for i in range(at + 1, min(len(siblings), at + _MOST_BESIDE)):
        each = siblings[i]
        if each.tag != 'button' or text[last.end : each.start].strip():
            break
        last = each
    return html_source.opens_block(first, text) and html_source.ends_block(last, text)


def _asks_of_use(node: html_tree.Node, text: str) -> bool:
    if node.tag in ('html', 'body', 'script', 'title'):
        return False
    words = _words(node, text)
    return bool(words) and len(words) <= 200 and bool(_OF_USE.fullmatch(words))


def _end_of_votes(node: html_tree.Node, text: str) -> int:
    """Where the buttons end that answer whether a page was of use."""
    end = node.end
    siblings = node.parent.children if node.parent else []
    at = bisect.bisect_left(siblings, end, key=_start)
    for i in range(at, len(siblings)):
        each = siblings[i]
        is_vote = each.tag in _INLINE and _VOTE.fullmatch(_words(each, text))
        if not is_vote or text[end : each.start].strip(' \n\t|/·'):
            break
        end = each.end
    return end


def _is_to_share(node: html_tree.Node, text: str) -> bool:
    names = f'{node.attributes.get("id", "")} {node.attributes.get("class", "")}'
    if node.tag in ('html', 'body', 'main', 'article') or not _SHARE.search(names):
        return False
    words = _words(node, text)
    is_long = node.inner_end - node.inner > _LONGEST or '?' in words
    is_short = not is_long and len(words.split()) <= _MOST_WORDS
    return is_short and (not words or bool(_SITES.search(words)))
