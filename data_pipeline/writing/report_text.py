"""Texts of the corpus for the report: cut, and with hidden characters spelled out."""

import dataclasses
import unicodedata

from hax_jax.data import records

LONGEST = 1200  # characters shown of a text
# They change the direction of the text that follows, even of the page's own words.
_BIDI = frozenset('\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e') | frozenset(
    '\u2066\u2067\u2068\u2069'
)


def visible(text: str) -> str:
    """The text with each control and direction character spelled out: ⟨U+202E⟩."""
    if text.isascii() and text.isprintable():
        return text
    return ''.join(
        f'⟨U+{ord(character):04X}⟩' if _hidden(character) else character
        for character in text
    )


def _hidden(character: str) -> bool:
    # Control characters, halves of surrogate pairs, unassigned code points.
    odd = unicodedata.category(character) in ('Cc', 'Cs', 'Cn')
    return (odd and character not in '\n\t') or character in _BIDI


def cut(text: str, longest: int = LONGEST) -> str:
    """The text's beginning, and the number of characters left out."""
    if len(text) <= longest:
        return text
    return f'{text[:longest]} … ({len(text) - longest:,} more characters)'


def shortened(pair: records.QaPair) -> records.QaPair:
    """The pair with its texts cut, to save memory."""
    turns = [
        dataclasses.replace(turn, question=cut(turn.question), answer=cut(turn.answer))
        for turn in pair.exchanges
    ]
    return pair.with_exchanges(turns)
