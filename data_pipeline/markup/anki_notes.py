"""Notes that Anki exported as text, as rows of a front and a back.

    #separator:tab
    #html:true
    #deck column:1
    Songs<tab>Who sings?<tab>Tom does.

A note is a pair if it has two fields beside the columns that the header names, or if a
line `#columns:` names its fields. A field with a picture or a sound is marked as such.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from data_pipeline.chat_texts import media_marks
from hax_jax import errors

_LINE = re.compile(
    r'#(separator|html|columns|(?:guid|notetype|deck|tags)(?: column)?|if matches)'
    r':[ ]?(.*)',
    re.IGNORECASE,
)
_SEPARATORS = {
    **{'tab': '\t', 'comma': ',', 'semicolon': ';', 'space': ' ', 'pipe': '|'},
    'colon': ':',
}
# The fields of a row that hold the columns which a header names.
_NAMES = {'guid': 'id', 'notetype': 'notetype', 'deck': 'topic', 'tags': 'tags'}
_MEDIA = re.compile(r'<img\b[^>]*>|\[sound:[^\]]*\]', re.IGNORECASE)
_CLOZE = re.compile(r'\{\{c\d+::')
_SIDES = ('front', 'back')


def rows(text: str, name: str) -> Iterator[str] | None:
    """Each note as JSON on one line; None for a text that Anki did not export.

    Raises:
      InputError: no note has two fields.
    """
    header: dict[str, str] = {}
    body = text.removeprefix('\ufeff').replace('\r\n', '\n')
    while match := _LINE.fullmatch(body.partition('\n')[0].strip('\n')):
        header[match[1].lower()] = match[2]
        body = body.partition('\n')[2]
    given = header.get('separator', '').strip() or '\t' * ('separator' in header)
    if not given:
        return None
    separator = _SEPARATORS.get(given.lower(), given[:1])
    notes = [e for e in csv.reader(io.StringIO(body), delimiter=separator) if any(e)]
    named = {
        int(header[f'{kind} column']) - 1: field
        for kind, field in _NAMES.items()
        if header.get(f'{kind} column', '').strip().isdecimal()
    }
    if 'columns' in header:
        columns = next(csv.reader([header['columns']], delimiter=separator), [])
        made = [dict(zip(columns, map(_marked, note), strict=False)) for note in notes]
        return (json.dumps(row, ensure_ascii=False) for row in made)
    made = [_row(note, named) for note in notes]
    if notes and not any(_SIDES[0] in row for row in made):
        fields = [f'field {i}' for i in range(1, 1 + max(map(len, notes)))]
        raise errors.InputError(
            f'{name} holds notes of Anki, none of which is a pair of two fields; name '
            f'the fields in a line below the first, such as #columns:'
            f'{separator.join(fields)}, with question and answer for two of them.'
        )
    return (json.dumps(row, ensure_ascii=False) for row in made)


def _row(note: list[str], named: dict[int, str]) -> dict[str, Any]:
    """A note's row; one that is no pair has its fields in a list."""
    row: dict[str, Any] = {
        field: note[place] for place, field in named.items() if place < len(note)
    }
    fields = [each for place, each in enumerate(note) if place not in named]
    while fields and not fields[-1].strip():  # a note of fewer fields than others
        fields.pop()
    if len(fields) == len(_SIDES) and not _CLOZE.search(fields[0]):
        return row | dict(zip(_SIDES, map(_marked, fields), strict=True))
    return row | {'fields of a note that is no pair': fields}


def _marked(field: str) -> str:
    return _MEDIA.sub(f'\n{media_marks.MARK}\n', field)
