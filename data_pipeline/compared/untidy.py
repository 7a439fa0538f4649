"""Marks of a careless copy in a text: of two copies, the one with fewer is cleaner.

A mark is a kind of fault that copying leaves or that no reader wants to learn, whatever
the text says: capitals throughout, blanks doubled, quotes around the whole. Each kind
counts once, so that a long text has no more of them than a short one.
"""

import operator
import re

from hax_jax.data import records

_LEAST_LETTERS = 12  # of a text whose capitals are judged
_SHOUTED = 0.5  # share of letters that are capitals
_SMALL_WORDS = re.compile(r'(?: [a-z]{2,}){3}')
_LEAST_WORDS = 8
_SIGNS = '.!?,;:…。！？،؟।'
_FEWEST_UNSIGNED = 15  # words
_LONG = 600  # characters without a line break: its paragraphs may be lost
_TITLED = 0.8  # share of words that open with a capital
_ENDED = re.compile(r'[.!?…]["”’)]*\s+(?=[^\W\d_])')
_QUOTES = {'"': '"', '“': '”', '«': '»', '„': '“', "'": "'", '`': '`'}
# A mark, once for each sign without one of which a text has no such mark.
_MARKS = tuple(
    (sign, re.compile(mark))
    for signs, mark in (
        (('  ',), r'[^\s|][ ]{2,}(?=[^\s|])'),  # blanks within a line
        # A blank before a comma, as tokenizers leave it.
        ((' ,', ' .', ' ;'), r'\w [,.;](?=\s|$)'),
        # A line that ends within a sentence.
        (('\n',), r'\n(?<=[a-z,]\n)(?=[a-z])'),
        (('&',), r'&(?:amp|lt|gt|quot|apos|nbsp|#\d{1,7}|#x[0-9a-f]{1,6});'),
        (('<',), r'</?(?:p|br|div|span|b|i|a|li)\b[^<>\n]{0,200}>'),
        (('\ufffd', 'â', 'Ã'), r'\ufffd|â€|Ã[\x80-\xbf]'),
        # A text that is quoted throughout.
        (('>',), r'\A>[^\n]*+(?:\n+>[^\n]*+)*+\s*\Z'),
        # A text that is bold throughout.
        (('**', '__'), r'\A(\*\*|__)(?:(?!\1)[\s\S])+\1\Z'),
        # Escapes that were not undone.
        (('\\', '""'), r'\\[\'"]|\\[nrt](?![a-z])|[.!?,]\\n|""'),
    )
    for sign in signs
)


def marks(text: str) -> int:
    """The number of kinds of faults in a text.

    'IT IS  FINE, REALLY.' -> 2; '"It is fine."' -> 1; 'It is fine.' -> 0
    """
    return (
        _has_odd_case(text)
        + _is_quoted(text)
        + _lost_its_signs(text)
        + (len(text) >= _LONG and '\n' not in text)
        + len({mark for sign, mark in _MARKS if sign in text and mark.search(text)})
    )


def of(pair: records.QaPair) -> int:
    """The number of kinds of faults in a pair's texts, each text's by itself."""
    return sum(marks(turn.question) + marks(turn.answer) for turn in pair.exchanges)


def _has_odd_case(text: str) -> bool:
    """Whether most letters, or words, have capitals, or no sentence of several has."""
    lower = text.lower()
    if _SMALL_WORDS.search(text):  # almost every text: quick to tell
        return lower == text and bool(_ENDED.search(text))
    letters = sum(map(operator.ne, lower, text.upper()))
    if letters < _LEAST_LETTERS:
        return False
    if lower == text:
        return bool(_ENDED.search(text))
    if sum(map(operator.ne, text, lower)) > _SHOUTED * letters:
        return True
    words = text.split()
    opened = sum(word[:1].isupper() for word in words)
    return len(words) >= _LEAST_WORDS and opened > _TITLED * len(words)


def _lost_its_signs(text: str) -> bool:
    """Whether a text of several sentences has no sign that ends or parts them."""
    if any(sign in text for sign in _SIGNS):
        return False
    return len(text.split()) >= _FEWEST_UNSIGNED


def _is_quoted(text: str) -> bool:
    """Whether quotes stand around the whole text and nowhere else, or open alone."""
    opens, body = text[:1], text[1:-1]
    closes = _QUOTES.get(opens)
    if closes is None or opens in body:
        return False
    return text[1:].endswith(closes) if opens in "'`" else closes not in body
