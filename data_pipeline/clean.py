"""Text as a person wrote it, without what copying did to it."""

import html
import re

# With its semicolon only: html.unescape alone reads '&copy=2' of a link as '©=2'.
_ENTITY = re.compile(r'&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});')
_ZERO_WIDTH = re.compile(
    '[\u200b\u200e\u200f\u2060\ufeff\u00ad]'
    # A joiner between two letters or signs beyond ASCII is theirs: it builds emoji.
    '|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])'
)
_SPACES = re.compile('[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]')
_BREAKS = re.compile('\r\n|[\r\x0b\x0c\x85\u2028\u2029]')
_CONTROLS = re.compile('[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]')
_SURROGATES = re.compile('[\ud800-\udfff]')


def text(raw: str) -> str:
    """The cleaned text: no word is added, dropped or moved.

    Entities are unescaped once, zero-width and control characters removed, every kind
    of space is a space and every kind of line break a newline, lone surrogates become
    U+FFFD, blanks at line ends go, and several blank lines become one.

    >>> text('Fish &amp;amp; chips&#x200B;\\r\\n\\r\\n\\r\\nfor\\xa0two ')
    'Fish &amp; chips\\n\\nfor two'
    """
    unescaped = _ENTITY.sub(lambda match: html.unescape(match[0]), raw)
    broken = _BREAKS.sub('\n', _SURROGATES.sub('\ufffd', unescaped))
    plain = _SPACES.sub(' ', _CONTROLS.sub('', _ZERO_WIDTH.sub('', broken)))
    lines = '\n'.join(line.rstrip(' ') for line in plain.split('\n'))
    return re.sub(r'\n{3,}', '\n\n', lines).strip('\n').strip(' ')


def line(raw: str) -> str:
    """One raw line as the parsers compare it: cleaned, on one line, no outer blanks."""
    return ' '.join(text(raw).split())
