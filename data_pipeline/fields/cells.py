"""A list or an object in a table's cell, as JSON, Python, pandas or numpy write it.

["So.", "No."], {'text': array(['So.'], dtype=object)}, ['So.' 'No.']
"""

import ast
import io
import json
import re
import tokenize
from typing import Any

_ARRAY = re.compile(r'array\((\[.*?\])(?:, dtype=\w+)?\)', re.DOTALL)
_UNREAD = (
    *(ValueError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError),
)


def in_cell(text: str) -> Any:
    """The list, the object or the JSON string that a cell holds; else its text.

    numpy writes ['So.' 'No.'], without commas.
    """
    if text.lstrip()[:1] == '"':
        return _of_json(text)
    if text.lstrip()[:1] not in ('[', '{'):
        return text
    for read in (json.loads, lambda each: ast.literal_eval(_with_commas(each))):
        try:
            return read(text.strip())
        except _UNREAD:
            continue
    return text


def _of_json(text: str) -> Any:
    try:
        return json.loads(text)
    except _UNREAD:
        return text


def _with_commas(text: str) -> str:
    """What pandas and numpy write of a list, as Python does."""
    text = _ARRAY.sub(r'\1', text)
    made: list[tuple[int, str]] = []
    above = tokenize.OP
    for kind, token, *_ in tokenize.generate_tokens(io.StringIO(text).readline):
        if kind == tokenize.NL:
            continue
        if kind == above == tokenize.STRING:
            made.append((tokenize.OP, ','))
        made.append((kind, token))
        above = kind
    return tokenize.untokenize(made)
