"""The folded form in which texts are compared."""

import functools
import re

_FOLDED = re.compile(r'[\W_]+')
# The commonest signs beyond ASCII, which folding removes.
_QUOTES = '‘’“”–—…'
_ASCII = ''.join(
    chr(code).lower() if chr(code).isalnum() else ' ' for code in range(128)
)
_REMEMBERED = 2048  # texts, about 5 MB: those of a batch, in which questions recur


@functools.lru_cache(_REMEMBERED)
def folded(text: str) -> str:
    """The text without case, blanks and punctuation; punctuation alone stays as it is.

    'Well -- REALLY?' -> 'well really'
    """
    plain = text
    if not text.isascii():
        for sign in _QUOTES:
            plain = plain.replace(sign, ' ')
    if plain.isascii():  # the same as below, ten times as fast
        return ' '.join(plain.translate(_ASCII).split()) or text.strip()
    return _FOLDED.sub(' ', text.casefold()).strip() or text.strip()
