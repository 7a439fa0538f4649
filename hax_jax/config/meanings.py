"""What each field means: the comment beside it or above it, as its reader sees it."""

import dataclasses
import inspect
import io
import re
import tokenize


def of(kind: type) -> dict[str, str]:
    """Field -> its meaning, '' where it has none; a section's as 'section.field'."""
    found = {}
    own = _of_section(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.type):
            inner = _of_section(field.type)
            found |= {f'{field.name}.{name}': text for name, text in inner.items()}
        else:
            found[field.name] = own[field.name]
    return found


def _of_section(kind: type) -> dict[str, str]:
    """A comment above a field is that field's; so is each in the lines of its own."""
    found = dict.fromkeys((field.name for field in dataclasses.fields(kind)), '')
    above: list[str] = []
    for code, comments in _logical_lines(inspect.getsource(kind)):
        if not code:
            above += comments
            continue
        name = re.match(r'\w+(?=:)', code)
        if name and name[0] in found:
            found[name[0]] = ' '.join(above + comments)
        above = []
    return found


def _logical_lines(source: str) -> list[tuple[str, list[str]]]:
    """(code, comments) of each logical line; a comment alone is a line without code."""
    lines, code, comments = [], '', []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments.append(token.string.lstrip('# '))
        elif token.type == tokenize.NEWLINE or (token.type == tokenize.NL and not code):
            lines.append((code, comments))
            code, comments = '', []
        elif token.type not in (tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
            code += token.string
    return lines
