"""HTML in a text, of any layout, as the text that a reader sees.

Tags are HTML's own names with proper syntax. A text is HTML if a tag is closed again,
ends a line (`<br>`), has an attribute, or closes what was cut off above (`</p>`). Any
other text stays as it is: `I <3 him`, `a < b`, `List<int>`, code between backticks.
The reader of the text has decoded entities already; they are not decoded again.

    '<p>Call <b>her</b>.</p><p>Soon &amp; so</p>' -> 'Call her.\\n\\nSoon &amp; so'
"""

import html
import html.parser
import re

from data_pipeline.layouts import html_tags
from data_pipeline.pages import page

_NESTED = (html_tags.PARAGRAPHS | html_tags.LINES | html_tags.CELLS) - {
    'hr',
    'html',
    'body',
    'center',
}
_BLANK_LINES = re.compile(r'[ \t]*\n(?:[ \t]*\n)+[ \t]*')
_DATA_URL = re.compile(
    r'!?\[[^\]\n]{0,200}\]\(\s{0,9}data:[\w/+.;=-]{1,99},[^)\s]*+\s{0,9}\)?'
    r'|data:[\w+.-]{1,40}/[\w+.-]{1,60}(?:;[\w=.-]{1,60}){0,4};base64,'
    r'[A-Za-z0-9+/=_%-]*+(?:\s[A-Za-z0-9+/=]{40,}+)*+'
)
_PAGE = re.compile(
    r'\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*'
    r'<(!doctype|[a-z]+[1-6]?)(?:\s[^<>]*)?>',
    re.DOTALL | re.IGNORECASE,
)
_TERMS = re.compile(r'^[ \t]*<d[lt][\s>]', re.MULTILINE | re.IGNORECASE)
_COMMENT = re.compile(r'^[ \t]*<!--(?:(?!-->).)*+-->[ \t]*$', re.DOTALL | re.MULTILINE)
# A tag that is no markup, and the signs for which it and others are escaped.
_ESCAPED_TAG = re.compile(r'&(?:amp;)*+(?:lt|#0*60|#[xX]0*3[cC]);[/!A-Za-z]')
_SIGN = r'(?:amp|lt|gt|#0*(?:38|60|62)|#[xX]0*(?:26|3[cCeE]));'
_ESCAPED_SIGN = re.compile(f'&{_SIGN}')
_SHORTEST = 256  # characters of data without a URL
# What a page's buttons do to the text beside them, in two words or more.
_COMMAND = re.compile(
    r'\W*(?:show|hide|reveal|toggle|expand|collapse|copy|open|close|view|see)\b'
    r'(?:\W+(?:show|hide|reveal|toggle|expand|collapse|the|an?|all|full|more|less|code'
    r'|answers?|solutions?|hints?|explanations?|spoilers?|details?|text|link|to'
    r'|clipboard|and|or)\b)+\W*',
    re.IGNORECASE,
)
# A power or a footnote's mark: 10<sup>6</sup> is no 106.
_RAISED = re.compile(r'\s*[-−+]?[\d,]{1,4}\s*')
_RAISED_SIGNS = str.maketrans('0123456789+-−', '⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻')
_BASE64 = re.compile(rf'(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{{{_SHORTEST},}}+={{0,2}}')


def without_base64(text: str) -> tuple[str, int]:
    """The text without data in base64, and how many there were."""
    has_url = 'base64,' in text
    if not has_url and not _may_hold_data(text):
        return text, 0
    times = 0

    def cut(match: re.Match[str]) -> str:
        nonlocal times
        kinds = ('[a-z]', '[A-Z]', r'\d')  # 'NOOOO…' is no data
        if not all(re.search(kind, match[0]) for kind in kinds):
            return match[0]
        times += 1
        return ''

    if has_url:
        text, times = _DATA_URL.subn('', text)
    return _BASE64.sub(cut, text), times


def _may_hold_data(text: str) -> bool:
    """False only for a text whose blanks stand closer than the shortest data."""
    at = 0
    while at + _SHORTEST <= len(text):
        blank = text.rfind(' ', at, at + _SHORTEST)
        if blank < 0:
            return True
        at = blank + 1
    return False


def without_comments(text: str) -> tuple[str, int]:
    """A page with empty lines for `<!-- comments -->` on lines of their own.

    Those of fenced blocks stay. Returns also the number of their words.
    """
    fenced = {piece.line for piece in page.raw_lines(text) if piece.is_code}
    words, line, at = 0, 1, 0

    def emptied(found: re.Match[str]) -> str:
        nonlocal words, line, at
        line, at = line + text.count('\n', at, found.start()), found.start()
        if line in fenced:
            return found[0]
        words += len(found[0].split())
        return '\n' * found[0].count('\n')

    return _COMMENT.sub(emptied, text), words


def is_page(text: str) -> bool:
    """Whether a text begins as a page of HTML or a piece of one, or has its terms."""
    found = _PAGE.match(text)
    begins = found is not None and found[1].lower() in html_tags.OPENING
    return begins or bool(_TERMS.search(text))


def with_escapes(raw: str) -> str:
    """A field's raw text, in which the tags that HTML shows as text stay escaped.

    Entities are decoded once for all texts, before `plain_field` removes tags.

    '<p>Use &lt;b&gt;.</p>' -> '<p>Use &amp;lt;b&amp;gt;.</p>'; others stay as they are,
    but HTML that was escaped as a whole: '&lt;p&gt;A &amp;amp; B.&lt;/p&gt;'.
    """
    if '&amp;' in raw and '<' not in raw and _ESCAPED_TAG.search(raw):
        once = html.unescape(raw)
        return with_escapes(once) if html_tags.markup(once) else raw
    if '<' not in raw or not _ESCAPED_TAG.search(raw) or not html_tags.markup(raw):
        return raw
    return _ESCAPED_SIGN.sub(lambda sign: f'&amp;{sign[0][1:]}', raw)


def plain_field(text: str) -> tuple[str, int]:
    """A field's text without HTML, its escaped tags as they are shown, and the tags."""
    left, times = plain(text)
    if times and _ESCAPED_TAG.search(left):
        left = _ESCAPED_SIGN.sub(lambda sign: html.unescape(sign[0]), left)
    return left, times


def plain(text: str, *, of_page: bool = False) -> tuple[str, int]:
    """The text without HTML, and the number of tags and comments removed.

    `of_page` says that the text is a page of HTML, or a part of one, as it stands.
    """
    found = html_tags.markup(text, of_page=of_page) if '<' in text else []
    if not found:
        return text, 0
    parts, at = [], 0
    for tag in found:
        parts.append(html.escape(text[at : tag.start], quote=False))
        if tag.is_shown:
            parts.append(text[tag.start : tag.end])
        at = tag.end
    builder = _Builder()
    builder.feed(''.join(parts) + html.escape(text[at:], quote=False))
    builder.close()
    return builder.text(), len(found)


class _Builder(html.parser.HTMLParser):
    """The text of HTML whose other `<` and `&` are escaped."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._newlines = 2  # at the end of the parts
        self._ends_in_space = self._opens_item = False
        self._dropped = self._blocks = self._pre = self._raised = 0
        self._items: list[int] = []  # of each open list; -1 is not counted
        self._button: tuple[int, int] | None = None  # what stood before one

    def text(self) -> str:
        lines = [line.rstrip(' ') for line in ''.join(self._parts).split('\n')]
        return re.sub(r'\n{3,}', '\n\n', '\n'.join(lines)).strip('\n').strip(' ')

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ('ul', 'ol'):
            self._items.append(0 if tag == 'ol' else -1)
        if tag in html_tags.DROPPED:
            self._dropped += 1
        elif tag == 'br':
            self._add('\n')
        elif tag in html_tags.CELLS:
            if not self._newlines:
                self._add(' ')
        else:
            self._break(tag)
        if tag == 'li':
            if self._items and self._items[-1] >= 0:
                self._items[-1] += 1
                self._add(f'{self._items[-1]}. ')
            else:
                self._add('- ')
            self._opens_item = True
        if tag == 'button' and self._newlines:  # within a sentence it is a word
            self._button = len(self._parts), self._newlines
        self._pre += tag == 'pre'
        self._raised += tag == 'sup'
        self._blocks += tag in _NESTED

    def handle_endtag(self, tag: str) -> None:
        if tag in html_tags.DROPPED:
            self._dropped = max(0, self._dropped - 1)
        elif tag not in html_tags.CELLS:
            self._break(tag)
        if tag in ('ul', 'ol') and self._items:
            self._items.pop()
        if tag == 'button' and self._button is not None:
            parts, newlines = self._button
            if _COMMAND.fullmatch(''.join(self._parts[parts:])):
                del self._parts[parts:]
                self._newlines, self._ends_in_space = newlines, False
            self._button = None
        if tag == 'pre':
            self._pre = max(0, self._pre - 1)
        if tag == 'sup':
            self._raised = max(0, self._raised - 1)
        if tag in _NESTED:
            self._blocks = max(0, self._blocks - 1)

    def handle_data(self, data: str) -> None:
        if self._dropped or not data:
            return
        if self._raised and _RAISED.fullmatch(data):
            data = data.translate(_RAISED_SIGNS)
        if self._pre:
            self._add(data)
            return
        if self._blocks:  # where HTML's rule for blanks holds; blank lines stay
            data = _BLANK_LINES.sub('\n\n', data)
            data = re.sub(r'(?<!\n)[ \t]*\n[ \t]*(?!\n)', ' ', data)
            data = re.sub(r'[ \t]{2,}', ' ', data)
            if self._newlines or self._ends_in_space:
                data = data.lstrip(' \n' if self._newlines else ' ')
        elif self._newlines and data.startswith('\n'):
            data = data[1:]  # the line ended with its <br>
        elif self._ends_in_space:
            data = data.lstrip(' ')
        self._add(data)

    def _break(self, tag: str) -> None:
        """Ends a line, or a paragraph, as the tag does."""
        wanted = 2 if tag in html_tags.PARAGRAPHS else int(tag in html_tags.LINES)
        if len(self._items) > 1 and tag in ('ul', 'ol'):
            wanted = 1  # a list within a list
        if wanted > self._newlines and not self._opens_item:
            self._add('\n' * (wanted - self._newlines))

    def _add(self, text: str) -> None:
        if not text:
            return
        self._parts.append(text)
        bare = text.rstrip(' ')
        newlines = len(bare) - len(bare.rstrip('\n'))
        self._newlines = newlines + (self._newlines if newlines == len(bare) else 0)
        self._ends_in_space = text.endswith(' ')
        self._opens_item = False
