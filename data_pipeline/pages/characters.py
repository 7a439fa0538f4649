"""Raw text cleaned of the characters that copying left in it."""

import functools
import html
import re

from data_pipeline.pages import encoding

# Only with its semicolon: html.unescape reads '&copy=2' of a link as '©=2'. One that is
# all of a code span, `&amp;`, is meant as it stands. A pattern that opens with a sign
# is looked for many times as fast as one that opens with a look behind.
_NAME = r'(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});'
_ENTITY = re.compile(f'&(?!(?<=`&){_NAME}`){_NAME}')
# Sets of the characters that cleaning changes: most texts have none of them.
_ZERO_WIDTHS = '\u200b\u200e\u200f\u2060\ufeff\u00ad'
_JOINERS = '\u200c\u200d'
_OTHER_SPACES = '\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000'
_OTHER_BREAKS = '\r\x0b\x0c\x85\u2028\u2029'
_CONTROL_SIGNS = '\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f'
_SURROGATE_SIGNS = '\ud800-\udfff'
_CHANGED = re.compile(
    f'[&\t{_ZERO_WIDTHS}{_JOINERS}{_OTHER_SPACES}{_OTHER_BREAKS}{_CONTROL_SIGNS}'
    f'{_SURROGATE_SIGNS}]'
)
_ZERO_WIDTH = re.compile(
    f'[{_ZERO_WIDTHS}]'
    # Between two characters beyond ASCII a joiner stays: it builds emoji.
    f'|(?<![^\x00-\x7f])[{_JOINERS}]|[{_JOINERS}](?![^\x00-\x7f])'
)
_ZERO_WIDTH_HEAD = re.compile(f'(?:^|(?<=\r))[{_ZERO_WIDTHS}]+', re.MULTILINE)
_SPACES = re.compile(f'[\t{_OTHER_SPACES}]')
_BREAKS = re.compile(f'\r\n|[{_OTHER_BREAKS}]')
_WIDE_BREAKS = re.compile('[\x85\u2028\u2029]')
_CONTROLS = re.compile(f'[{_CONTROL_SIGNS}]')
_SURROGATES = re.compile(f'[{_SURROGATE_SIGNS}]')
# UTF-8 read as latin-1 holds these characters; without them no repair is possible.
_LATIN_1 = re.compile('[\x80-\x84\x86-\x9f]')
_ENTITIES = 'entities unescaped'
_KINDS = {
    _ENTITIES: _ENTITY,
    'zero-width characters removed': _ZERO_WIDTH,
    'no-break and other spaces made spaces': re.compile(f'[{_OTHER_SPACES}]'),
    'control characters removed': _CONTROLS,
    'lone surrogates replaced': _SURROGATES,
}


def clean(raw: str) -> str:
    """The cleaned text: no word is added, dropped or moved.

    Unescapes entities once, removes zero-width and control characters, makes every kind
    of space a space and every kind of line break a newline, replaces lone surrogates by
    U+FFFD, and removes blanks at line ends and all but one of several blank lines.

    >>> clean('Fish &amp;amp; chips&#x200B;\\r\\n\\r\\n\\r\\nfor\\xa0two ')
    'Fish &amp; chips\\n\\nfor two'
    """
    text = _changed(raw)
    if ' \n' in text:
        text = '\n'.join(line.rstrip(' ') for line in text.split('\n'))
    text = text.rstrip(' ')
    if '\n\n\n' in text:
        text = re.sub(r'\n{3,}', '\n\n', text)
    return text.strip('\n').strip(' ')


@functools.lru_cache(2**14)  # a page's lines are asked for several times
def clean_line(raw: str) -> str:
    """The cleaned text on one line, without blanks at its ends."""
    return ' '.join(_changed(raw).split())


def bare_heads(text: str) -> str:
    """The text without zero-width characters at the heads of its lines.

    They stand before labels where files were put one behind another, each with its
    byte order mark.
    """
    if text.isascii() or not any(sign in text for sign in _ZERO_WIDTHS):
        return text
    return _ZERO_WIDTH_HEAD.sub('', text)


def line_ends(text: str) -> str:
    """The text with newlines where most of its lines end in other breaks: U+2028.

    Among more newlines such a break is one within a line, which cleaning makes two.
    """
    if text.isascii() or not (found := _WIDE_BREAKS.findall(text)):
        return text
    is_own = len(found) > text.count('\n') + text.count('\r')
    return _WIDE_BREAKS.sub('\n', text) if is_own else text


def census(raw: str) -> dict[str, int]:
    """How many characters of each kind `clean` would change; only kinds found.

    >>> census('Fish &amp; chips&#x200B; for\xa0two')
    {'entities unescaped': 2, 'no-break and other spaces made spaces': 1}
    """
    if not _is_changed(raw):
        return {}
    kinds = {_ENTITIES: _ENTITY} if _is_printable(raw) else _KINDS
    counts = {name: len(kind.findall(raw)) for name, kind in kinds.items()}
    return {name: count for name, count in counts.items() if count}


def _is_changed(raw: str) -> bool:
    if '&' not in raw and _is_printable(raw):
        return False
    return bool(_CHANGED.search(raw))


def _is_printable(raw: str) -> bool:
    """False of a text with a character that cleaning changes, but '&'; quick to ask."""
    return raw.replace('\n', '').isprintable()


def _changed(raw: str) -> str:
    if not _is_changed(raw):
        return raw
    if _LATIN_1.search(raw):
        raw, _ = encoding.repair(raw)
    unescaped = _ENTITY.sub(lambda match: html.unescape(match[0]), raw)
    if _is_printable(unescaped):
        return unescaped
    broken = _BREAKS.sub('\n', _SURROGATES.sub('\ufffd', unescaped))
    return _SPACES.sub(' ', _CONTROLS.sub('', _ZERO_WIDTH.sub('', broken)))
