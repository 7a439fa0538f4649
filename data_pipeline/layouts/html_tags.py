"""The tags of HTML in a text, told from other text that holds `<`.

A tag has one of HTML's names and proper syntax. It is markup if its other half is
there too, if it has an attribute, if it ends a line (`<br>`), or if it closes what was
cut off above it (`</p>`). Tags in code (backticks, fences, <code>) are text; in a page,
whose text escapes them, those of words within <code> and <pre> are markup.
"""

import dataclasses
import re
from collections.abc import Sequence


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


PARAGRAPHS = _set(
    'p h1 h2 h3 h4 h5 h6 ul ol dl blockquote pre table hr article section figure '
    'fieldset form header footer main nav aside details menu dir dialog'
)
LINES = _set(
    'div li tr dt dd caption figcaption address summary option legend center html body '
    'thead tbody tfoot'
)
CELLS = _set('td th')
DROPPED = _set(
    'script style template noscript svg math head iframe object canvas audio video'
)
_INLINE = _set(
    'a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label map '
    'mark picture q rp rt ruby s samp select small span strike strong sub sup textarea '
    'time title tt u var button col colgroup o:p'
)
# Seldom in a page, and names in XML: they do not open a page.
_RARE = _set('menu dir dialog marquee output meter progress nobr')
# Elements of sites' own, which a page may have under any name with a hyphen.
_CUSTOM = re.compile(
    r'(?:g-emoji|clipboard-copy|(?:relative|local|time)-(?:time|ago|until)|user-mention'
    r'|team-mention|include-fragment|amp-[a-z-]+)\Z'
)
# Alone they say nothing without an attribute: `git clone <source>`.
_VOID = _set('img input meta link source embed param track area base')
_BREAKS = _set('br hr wbr')
NAMES = frozenset.union(
    *(PARAGRAPHS, LINES, CELLS, DROPPED, _INLINE, _VOID, _BREAKS, _RARE, {'!doctype'})
)
OPENING = NAMES - _RARE
# Their ends may be left out, and nobody writes one as a word in brackets.
_UNCLOSED = _set('p div li td th tr dt dd ul ol table tbody blockquote')
# Cut off before their ends. A bare <div> or <b> alone does not make a text HTML.
_EMPHASIS = _set('em strong span b i u h1 h2 h3 h4 h5 h6')
_ALONE = _BREAKS | _UNCLOSED | _EMPHASIS | {'script', '!doctype'}
_NO_PROOF = (_UNCLOSED | _EMPHASIS) - {'p', 'em', 'strong'}
_RAW = frozenset(('script', 'style'))  # without an end, they hide all text below
_WITHIN_CODE = frozenset(('pre', 'code', 'span', 'br'))

_VALUE = r'(?:"[^"]*+"|\'[^\']*+\'|[^\s"\'=<>`]++)'
_ATTRIBUTE_NAME = r'[A-Za-z_:@#*\[(][\w:.@#*\[\]()-]*+'
_BARE = r'(?!\s*+=)(?=[\s/>]|\Z)'  # without a value
_VALUED = rf'{_ATTRIBUTE_NAME}\s*+=\s*+{_VALUE}'
# Of HTML and of frameworks: no words of a text.
_KNOWN = (
    r'(?:allowfullscreen|async|autofocus|autoplay|border|checked|compact|contenteditable'
    r'|controls|crossorigin|default|defer|disabled|download|formnovalidate|hidden|inert'
    r'|ismap|itemscope|loop|multiple|muted|nomodule|noshade|novalidate|nowrap|open'
    r'|playsinline|readonly|required|reversed|selected'
    r'|(?:aria|data|hx|ng|v|wire|x)[-:][\w:.@-]++|_ng[\w-]++)'
    rf'{_BARE}'
)
_SPACED = r'(?:\s++|(?<=["\']))'
_ATTRIBUTE = rf'{_SPACED}(?:{_VALUED}|{_ATTRIBUTE_NAME}{_BARE})'
_PROOF = re.compile(rf'{_SPACED}(?:{_VALUED}|{_KNOWN})', re.IGNORECASE)
_NAME = r'[A-Za-z][A-Za-z0-9]*+(?::p|(?:-[a-z0-9]++)++)?'  # <o:p> is Word's
_TAG = re.compile(
    rf'</(?P<closed>{_NAME})\s*+>'
    rf'|<(?P<opened>{_NAME})(?P<attributes>(?:{_ATTRIBUTE}){{0,60}}+)'
    r'\s*+/?>'
    r'|<!doctype[^<>]{0,200}>',
    re.IGNORECASE,
)
# The last tag of a text that was cut off within it.
_CUT_OFF = re.compile(
    rf'<([A-Za-z][A-Za-z0-9]*+)(?:{_ATTRIBUTE})*+\s++[A-Za-z][\w:-]*+\s*+='
    r'\s*+(?:"[^"]*+|\'[^\']*+|[^\s"\'=<>`]*+)$'
)
_CDATA = re.compile(r'(<!\[CDATA\[)[^\]]*+(?:\](?!\]>)[^\]]*+)*+(\]\]>)')
_INLINE_CODE = re.compile(r'`[^`\n]++`')


@dataclasses.dataclass
class Tag:
    """A tag's place and name; a comment, or a tag that was cut off, has no name."""

    start: int
    end: int
    name: str
    closes: bool = False
    has_attributes: bool = False
    has_words: bool = False  # bare attributes that may be a text's: a <b and c>
    is_glued: bool = False  # to a word before it, as in Set<b>
    is_matched: bool = False  # whether its other half is there

    @property
    def is_markup(self) -> bool:
        if self.is_matched or self.has_attributes or not self.name:
            return True
        if self.has_words:
            return self.name in _BREAKS
        if self.closes:
            return self.name != 's'  # </s>, a sign of sarcasm
        return self.name in _ALONE and not (self.is_glued and self.name in _EMPHASIS)

    @property
    def is_proof(self) -> bool:
        """Whether it alone shows that a text is HTML: a bare <div> does not."""
        bare = not (self.is_matched or self.has_attributes or self.closes)
        return self.is_markup and not (bare and self.name in _NO_PROOF)

    @property
    def is_shown(self) -> bool:
        """Whether a parser sees it: not half of what would hide the text below."""
        if not self.name:
            return False
        return self.is_matched or self.name in _RAW or self.name not in DROPPED


def markup(text: str, *, of_page: bool = False) -> list[Tag]:
    """The tags and comments of a text that are markup; [] if it is no HTML.

    `of_page` says that the text is a page of HTML, or a part of one, as it stands.
    """
    hidden = _code(text)
    comments = sorted([*_comments(text, hidden), *_cdata(text, hidden)], key=_start)
    outside = sorted([*hidden, *comments], key=_start)
    within = _WITHIN_CODE | (_INLINE if of_page else frozenset())
    found = [*comments, *_tags(text, outside, within, of_page=of_page)]
    found = [tag for tag in found if tag.is_markup]
    last = max([text.rfind('<'), *(tag.end for tag in found)])
    cut_off = _CUT_OFF.match(text, last)
    if cut_off and cut_off[1].lower() in NAMES:
        found.append(Tag(cut_off.start(), len(text), ''))
    return sorted(found, key=_start) if _is_html(text, found) else []


def _start(each: Tag) -> int:
    return each.start


def _code(text: str) -> list[Tag]:
    """The places of fenced blocks and of words between backticks, in order."""
    found: list[Tag] = []
    at = 0
    while '`' in text and at < len(text):
        fence = text.find('```', at)
        stop = len(text) if fence < 0 else fence
        found += [
            Tag(*match.span(), '') for match in _INLINE_CODE.finditer(text, at, stop)
        ]
        end = text.find('```', stop + 3)
        at = len(text) if end < 0 else end + 3
        if fence >= 0:
            found.append(Tag(fence, at, ''))
    return found


def _comments(text: str, code: Sequence[Tag]) -> list[Tag]:
    """The places of <!-- comments --> outside of code, in order."""
    found = []
    at = 0
    outside = _Outside(code)
    while (start := text.find('<!--', at)) >= 0:
        end = text.find('-->', start)
        if end < 0:
            break
        at = end + 3
        if outside.has(start):
            found.append(Tag(start, at, ''))
    return found


def _cdata(text: str, code: Sequence[Tag]) -> list[Tag]:
    """The places of `<![CDATA[` and of its `]]>`, whose text is what the page shows."""
    found = []
    outside = _Outside(code)
    for match in _CDATA.finditer(text):
        if outside.has(match.start()):
            found += [Tag(*match.span(1), ''), Tag(*match.span(2), '')]
    return found


def _tags(
    text: str, hidden: Sequence[Tag], within: frozenset[str], *, of_page: bool
) -> list[Tag]:
    """The tags outside of code and comments, each with whether it is matched.

    `within` has the names of those that are markup in <pre> and <code> too.
    """
    found: list[Tag] = []
    opened: dict[str, list[Tag]] = {}
    outside = _Outside(hidden)
    inside = ''  # <pre> or <code>, whose text may show tags
    folded = text.lower()
    last = {name: folded.rfind(f'</{name}') for name in ('pre', 'code')}
    for match in _TAG.finditer(text):
        name = (match['closed'] or match['opened'] or '!doctype').lower()
        is_one = name in NAMES or ('-' in name and (of_page or _CUSTOM.match(name)))
        if not is_one or not outside.has(match.start()):
            continue
        closes = match['closed'] is not None
        if inside and name not in within and not (closes and name == inside):
            continue
        is_glued = text[max(0, match.start() - 1) : match.start()].isalnum()
        tag = Tag(*match.span(), name, closes, is_glued=is_glued)
        if match['attributes']:
            tag.has_attributes = bool(_PROOF.search(match['attributes']))
            tag.has_words = not tag.has_attributes
        found.append(tag)
        if tag.has_words and is_glued:  # List<p x>
            continue
        if not closes:
            opened.setdefault(name, []).append(tag)
        elif opened.get(name):
            opened[name].pop().is_matched = tag.is_matched = True
        if closes and name == inside:
            inside = ''
        elif not closes and not inside and last.get(name, -1) > tag.start:
            inside = name
    return found


def _is_html(text: str, found: Sequence[Tag]) -> bool:
    """Whether a tag proves it that stands outside of indented code."""
    proofs = [tag for tag in found if tag.is_proof]
    if not text.startswith('    ') and '\n    ' not in text:
        return bool(proofs)
    code = set()  # the starts of its lines
    start, above, is_code = 0, '', False
    for line in text.split('\n'):
        is_code = line.startswith('    ') and (is_code or not above.strip())
        if is_code:
            code.add(start)
        start, above = start + len(line) + 1, line
    return any(text.rfind('\n', 0, tag.start) + 1 not in code for tag in proofs)


class _Outside:
    """Answers, for rising places, whether they lie outside of some spans."""

    def __init__(self, spans: Sequence[Tag]) -> None:
        self._spans, self._next = spans, 0

    def has(self, place: int) -> bool:
        while self._next < len(self._spans) and self._spans[self._next].end <= place:
            self._next += 1
        spans = self._spans[self._next : self._next + 1]
        return not spans or place < spans[0].start
