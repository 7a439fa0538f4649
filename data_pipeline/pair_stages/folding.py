"""The folded form in which texts are compared."""

import re

_FOLDED = re.compile(r'[\W_]+')


def folded(text: str) -> str:
    """The text without case, blanks and punctuation; punctuation alone stays as it is.

    'Well -- REALLY?' -> 'well really'
    """
    return _FOLDED.sub(' ', text.casefold()).strip() or text.strip()
