"""A number of things in words, with the noun in the form that the number asks for."""

import re
from collections.abc import Sequence

_PLURAL = re.compile(r'[A-Za-z-]{2,}s')
_OTHERS = ('is', 'was', 'has', 'as', 'this', 'its', 'less', 'unless')
_NO_NOUN = ('of', 'from', 'with', 'without', 'in', 'by', 'over', 'under', 'not')
_VERBS = {'are': 'is', 'have': 'has', 'call': 'calls', 'need': 'needs', 'were': 'was'}


def of(number: int, plural: str) -> str:
    """The number and what it counts, `plural` being its words for several.

    1, 'files' -> '1 file'; 1, 'rows that need a picture' -> '1 row that needs a
    picture'; 2,000, 'torn last lines' -> '2,000 torn last lines'
    """
    return f'{number:,} {one(plural) if number == 1 else plural}'


def one(plural: str) -> str:
    """The words for one of several: the first plural, and the verb behind 'that'."""
    words = plural.split(' ')
    for i, word in enumerate(words):
        noun = word.rstrip(',')
        if noun in _NO_NOUN:
            break
        if not _PLURAL.fullmatch(noun) or noun in _OTHERS or noun.endswith('ss'):
            continue
        words[i] = _singular(noun) + word[len(noun) :]
        if words[i + 1 : i + 2] == ['that'] and len(words) > i + 2:
            words[i + 2] = _VERBS.get(words[i + 2], words[i + 2])
        break
    return ' '.join(words)


def _singular(noun: str) -> str:
    if noun.endswith('ies'):
        return f'{noun[:-3]}y'
    return noun[:-2] if noun.endswith(('sses', 'shes', 'ches', 'xes')) else noun[:-1]


def first(names: Sequence[str]) -> str:
    """['a', 'b', 'c'] -> 'a and 2 more'"""
    more = len(names) - 1
    return names[0] + (f' and {more:,} more' if more else '')
