"""Cells as a spreadsheet shows them, from what it writes into a file.

="007", '-ish                          007, -ish: protected from the spreadsheet
=HYPERLINK("https://a.example","So.")   So.
=CONCAT(A1,B1)                          a formula, whose text is not in the file
"""

import re

# A text that a spreadsheet must not take for a number or a formula.
_PROTECTED = re.compile(r'\s*="(.*)"\s*|\'(?=[=+@-])([^\']*)', re.DOTALL)
_JOINS = re.compile(r'"\s*&|&\s*"')  # of a formula that is more than a text
_LINK = re.compile(
    r'\s*=\s*HYPERLINK\(\s*"(?P<url>(?:[^"]|"")*)"\s*'
    r'(?:[,;]\s*"(?P<text>(?:[^"]|"")*)"\s*)?\)\s*',
    re.IGNORECASE,
)
_FORMULA = re.compile(r'\s*=\s*[A-Z][A-Z0-9.]*\(.*\)\s*', re.DOTALL)


def shown(cell: str) -> str:
    """A protected cell's text: '="Say ""no"" now."' -> 'Say "no" now.'"""
    if cell.lstrip()[:1] not in ('=', "'") or not (match := _PROTECTED.fullmatch(cell)):
        return cell
    if match[1] is None:
        return match[2]
    # Not all tools double the quotes within.
    read = match[1].replace('""', '"')
    return cell if _JOINS.search(read) else read


def linked(text: str) -> str:
    """The text of a link's formula, or its address where it has none."""
    if text.lstrip()[:1] != '=' or not (match := _LINK.fullmatch(text)):
        return text
    given = match['url'] if match['text'] is None else match['text']
    return given.replace('""', '"')


def is_formula(text: str) -> bool:
    """Whether a text is a call of a spreadsheet's function, as '=CONCAT(A1,B1)'."""
    return text.lstrip()[:1] == '=' and bool(_FORMULA.fullmatch(text))
