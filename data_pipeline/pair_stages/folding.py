"""Texts as they are compared: without what two copies of one may differ in."""

import re

_FOLDED = re.compile(r'[\W_]+')


def folded(text: str) -> str:
    """The text without case, blanks and punctuation; itself where nothing else is.

    'Well -- REALLY?' -> 'well really'
    """
    return _FOLDED.sub(' ', text.casefold()).strip() or text.strip()
