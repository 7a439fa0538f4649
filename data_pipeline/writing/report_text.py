"""Texts of the corpus as the report shows them: cut, and with no hidden signs."""

import dataclasses
import unicodedata

from hax_jax.data import records

LONGEST = 1200  # characters shown of a text
_KEPT = '\n\t'
# They turn the direction of what follows, the page's own words too.
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
    if character in _KEPT:
        return False
    # Control characters, halves of surrogate pairs, and what is no character.
    kind = unicodedata.category(character)
    return kind in ('Cc', 'Cs', 'Cn') or character in _BIDI


def cut(text: str, longest: int = LONGEST) -> str:
    """The text's beginning, with how much of it is left out."""
    if len(text) <= longest:
        return text
    return f'{text[:longest]} … ({len(text) - longest:,} more characters)'


def shortened(pair: records.QaPair) -> records.QaPair:
    """The pair with its texts cut, so that keeping it costs little."""
    return dataclasses.replace(
        pair, question=cut(pair.question), answer=cut(pair.answer)
    )
