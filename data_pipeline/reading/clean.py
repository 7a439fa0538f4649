"""Text as a person wrote it, without what copying did to it."""

import html
import re

from data_pipeline.reading import encoding

# With its semicolon only: html.unescape alone reads '&copy=2' of a link as '©=2'.
_ENTITY = re.compile(r'&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});')
_ZERO_WIDTH = re.compile(
    '[\u200b\u200e\u200f\u2060\ufeff\u00ad]'
    # A joiner between two letters or signs beyond ASCII is theirs: it builds emoji.
    '|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])'
)
_SPACES = re.compile('[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]')
# What cleaning leaves as it is, but for its blanks.
_PLAIN = re.compile(r"[\t\n\r -%'-~]*")
_BREAKS = re.compile('\r\n|[\r\x0b\x0c\x85\u2028\u2029]')
_CONTROLS = re.compile('[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]')
_SURROGATES = re.compile('[\ud800-\udfff]')
# UTF-8 that was read as latin-1 holds these: without them it is beyond repair.
_LATIN_1 = re.compile('[\x80-\x84\x86-\x9f]')
_KINDS = {
    'entities unescaped': _ENTITY,
    'zero-width characters removed': _ZERO_WIDTH,
    'no-break and other spaces made spaces': re.compile(_SPACES.pattern + r'(?<!\t)'),
    'control characters removed': _CONTROLS,
    'lone surrogates replaced': _SURROGATES,
}


def text(raw: str) -> str:
    """The cleaned text: no word is added, dropped or moved.

    Entities are unescaped once, zero-width and control characters removed, every kind
    of space is a space and every kind of line break a newline, lone surrogates become
    U+FFFD, blanks at line ends go, and several blank lines become one.

    >>> text('Fish &amp;amp; chips&#x200B;\\r\\n\\r\\n\\r\\nfor\\xa0two ')
    'Fish &amp; chips\\n\\nfor two'
    """
    if _LATIN_1.search(raw):
        raw, _ = encoding.repair(raw)
    unescaped = _ENTITY.sub(lambda match: html.unescape(match[0]), raw)
    broken = _BREAKS.sub('\n', _SURROGATES.sub('\ufffd', unescaped))
    plain = _SPACES.sub(' ', _CONTROLS.sub('', _ZERO_WIDTH.sub('', broken)))
    lines = '\n'.join(line.rstrip(' ') for line in plain.split('\n'))
    return re.sub(r'\n{3,}', '\n\n', lines).strip('\n').strip(' ')


def line(raw: str) -> str:
    """One raw line as the parsers compare it: cleaned, on one line, no outer blanks."""
    return ' '.join((raw if _PLAIN.fullmatch(raw) else text(raw)).split())


def census(raw: str) -> dict[str, int]:
    """How much of each kind `text` would change in a raw text; only what is there.

    >>> census('Fish &amp; chips&#x200B; for\xa0two')
    {'entities unescaped': 2, 'no-break and other spaces made spaces': 1}
    """
    counts = {name: len(kind.findall(raw)) for name, kind in _KINDS.items()}
    return {name: count for name, count in counts.items() if count}
