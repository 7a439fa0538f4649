"""Rows of YAML, TOML and XML files, as JSON; other markups are refused by their names.

    - question: "Why?"                 <faq><item>
      answer: >-                         <question>Why?</question>
        Because.                         <answer>Because.</answer>
                                       </item></faq>

    [[faq]]                          Anki's notes: `anki_notes`
    question = "Why?"
    answer = "Because."

YAML's texts stay texts (`yes` is no True). The front matter of a page may hold its
pairs as a list. An XML element is a row if its children, or its attributes, have the
names of a question and an answer, each once.
"""

import json
import pathlib
import re
import tomllib
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import yaml

from data_pipeline.fields import field_map
from data_pipeline.layouts import detection, html_tags
from data_pipeline.markup import anki_notes
from data_pipeline.pages import encoding
from hax_jax import errors

_YAML_NAMES = ('.yaml', '.yml')
# A list's item or a document that opens with a name, as YAML has it.
_YAML = re.compile(
    r'(?:\s*+#.*+\n)*+\s*+(?:---\s*\n(?:- )?|- )["\']?\w[\w ]*+["\']?:\s'
)
# Of a page of Jekyll's or Hugo's; YAML ends a document with '...' or another '---'.
_FRONT_MATTER = re.compile(r'---[ \t]*\n(.*?\n)---[ \t]*(?:\n|\Z)', re.DOTALL)
# Values that a reader of lines would take with YAML's own signs.
_YAML_BLOCK = re.compile(
    r'^[^\S\n]*+(?:- )?\w[\w ]*: *[|>][-+\d]*+[^\S\n]*+$', re.MULTILINE
)
_YAML_SIGN = re.compile(
    rf'{_YAML_BLOCK.pattern}|^[^\S\n]*+(?:- )?\w[\w ]*: *["\']', re.MULTILINE
)
# An array of tables that opens with a name, as TOML has it.
_TOML = re.compile(r'(?:\s*+#.*+\n)*+\s*+\[\[[\w.-]+\]\][ \t]*\n\s*[\w-]+ *= ')
_TAG = re.compile(r'(?:\s++|<!--.*?-->)*+<([A-Za-z][\w.-]*)[\s/>]', re.DOTALL)
_DECLARED = re.compile(r'\s*+<\?xml\b[^>]*\?>')
_ENTITY = re.compile(r'<!(?:ENTITY|DOCTYPE[^>]*\[)')
_MAIL = re.compile(
    rb'^(?:From|Subject|MIME-Version|Content-Type|Received|Message-ID):', re.MULTILINE
)
_CODED = re.compile(
    rb'^Content-Transfer-Encoding:[ \t]*(?:quoted-printable|base64)',
    re.MULTILINE | re.IGNORECASE,
)
_SUBTITLES = re.compile(
    rb'\s*(?:\xef\xbb\xbf)?(?:WEBVTT\b|\d+\s*\n\d\d:\d\d:\d\d[,.]\d{3} --> \d\d:)'
)
_HEAD = 2**14


class _Loader(yaml.CBaseLoader):
    """YAML with all values as texts, and no name twice in an object."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        names = [key.value for key, _ in node.value]
        if len({*map(str, names)}) < len(names):
            raise yaml.constructor.ConstructorError(
                None, None, 'a name comes twice', node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


def check(head: bytes, name: str) -> None:
    """Refuses, by a file's first bytes, texts whose lines are not what a reader sees.

    Raises:
      InputError: it is rich text, a mail in code, or subtitles.
    """
    kind, remedy = '', 'save its text as .txt or .md'
    if head.lstrip(b'\xef\xbb\xbf \t\r\n').startswith(b'{\\rtf'):
        kind = 'rich text (RTF)'
    elif _SUBTITLES.match(head):
        kind = 'subtitles, whose lines have times between them'
    elif len(_MAIL.findall(head)) > 1 and _CODED.search(head):
        kind = 'a saved mail or page (MIME) with its text in code'
        remedy = 'save it as .html or .txt'
    if kind:
        raise errors.InputError(
            f'{name} is {kind}, which is not read; {remedy}, with labels such as Q: '
            'and A:.'
        )


def rows(path: str, name: str) -> Iterator[str] | None:
    """Each row as JSON on one line; None for a file of another kind.

    Raises:
      InputError: it is YAML or XML, and damaged or without rows of known names.
    """
    with open(path, 'rb') as file:
        head = file.read(_HEAD)
    opening, _ = encoding.decode_part(head)
    opening = opening.removeprefix('\ufeff')
    suffixes = pathlib.PurePath(name.lower()).suffixes
    is_named = any(suffix in _YAML_NAMES for suffix in suffixes)
    if is_named or _YAML.match(opening):
        if not is_named and (front := _of_front_matter(_text(path))):
            return (json.dumps(row, ensure_ascii=False) for row in front)
        return _of_yaml(_text(path), name, is_named=is_named)
    if '.toml' in suffixes or _TOML.match(opening):
        return _of_toml(_text(path), name, is_named='.toml' in suffixes)
    if opening.startswith('#') and (notes := anki_notes.rows(_text(path), name)):
        return notes
    declared = _DECLARED.match(opening)
    tag = _TAG.match(opening, declared.end() if declared else 0)
    if not tag or tag[1].lower() in html_tags.OPENING:
        return None
    is_named = '.xml' in suffixes
    return _of_xml(_text(path), name, is_declared=bool(declared), is_named=is_named)


def _text(path: str) -> str:
    text, _ = encoding.decode_part(pathlib.Path(path).read_bytes())
    return text.removeprefix('\ufeff')


def _of_yaml(text: str, name: str, *, is_named: bool) -> Iterator[str] | None:
    try:
        if '*' in text and any(isinstance(t, yaml.AliasToken) for t in yaml.scan(text)):
            raise ValueError('it has references such as *name')
        values = [*yaml.load_all(text, Loader=_Loader)]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # '- question: Why: so?' is no YAML, and has labels all the same; so has what
        # stands below the front matter of a Markdown file.
        is_sure = is_named and not isinstance(error, yaml.YAMLError)
        signs = _YAML_SIGN if is_named else _YAML_BLOCK
        if not is_sure and not signs.search(text):
            return None
        problem = ' '.join(str(error).split())
        raise errors.InputError(
            f'{name} looks like YAML and can not be read as such ({problem}); mend it, '
            'or give its rows as JSON.'
        ) from error
    values = [value for value in values if value]
    is_rows = all(isinstance(value, list | dict) for value in values)
    if not is_rows or not (is_named or any(map(_holds_pairs, values))):
        return None
    rows = (row for value in values for row in _conversations(value))
    return (json.dumps(row, ensure_ascii=False) for row in rows)


def _conversations(value: Any) -> list[Any]:
    """The conversations of ChatterBot's file, each a row; other values stay.

    `conversations: [[Why?, So.], …]`: what stands behind the first answer may be a
    further one, and is not read.
    """
    said = value.get('conversations') if isinstance(value, dict) else None
    are_texts = isinstance(said, list) and all(
        isinstance(each, list) and all(isinstance(text, str) for text in each)
        for each in said
    )
    if not said or not are_texts:
        return [value]
    return [{'conversations': each[:2], 'further': each[2:]} for each in said]


def _of_front_matter(text: str) -> list[Any]:
    """The rows of the lists of pairs in a front matter; [] for any other text.

    The last row holds what is no pair, which is reported as left out. Text below the
    front matter that has pairs of its own is read in place of it.
    """
    found = _FRONT_MATTER.match(text.replace('\r\n', '\n'))
    below = found.string[found.end() :].strip() if found else ''
    if not found or detection.detect(below):
        return []
    try:
        front = yaml.load(found[1], Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    fields = front if isinstance(front, dict) else {}
    lists = {
        name: value
        for name, value in fields.items()
        if isinstance(value, list) and _holds_pairs(value)
    }
    others = {name: value for name, value in fields.items() if name not in lists}
    rest = {
        'front matter': json.dumps(others, ensure_ascii=False) if others else '',
        'below it': below,
    }
    rows = [row for value in lists.values() for row in value]
    return [*rows, *([rest] if any(rest.values()) else [])] if rows else []


def _of_toml(text: str, name: str, *, is_named: bool) -> Iterator[str] | None:
    try:
        value = tomllib.loads(text.replace('\r\n', '\n'))
    except tomllib.TOMLDecodeError as error:
        if not is_named:
            return None
        raise errors.InputError(
            f'{name} looks like TOML and can not be read as such ({error}); mend it, '
            'or give its rows as JSON.'
        ) from error
    return iter([json.dumps(value, ensure_ascii=False, default=str)])


def _holds_pairs(value: Any) -> bool:
    each = value if isinstance(value, list) else [value]
    return any(isinstance(row, dict) and field_map.has_both([*row]) for row in each)


def _of_xml(
    text: str, name: str, *, is_declared: bool, is_named: bool
) -> Iterator[str] | None:
    problem = ''
    root = None
    if _ENTITY.search(text):
        problem = 'it declares entities'
    else:
        body = text[declared.end() :] if (declared := _DECLARED.match(text)) else text
        try:
            root = ElementTree.fromstring(f'<rows>{body}</rows>')
        except ElementTree.ParseError as error:
            problem = str(error)
    found = [*_elements(root)] if root is not None else []
    if found:
        return (json.dumps(row, ensure_ascii=False) for row in found)
    if not is_declared and not (is_named and problem):
        return None
    problem = problem or 'no element has a question and its answer'
    raise errors.InputError(
        f'{name} is XML of which no pair is read ({problem}); accepted are elements '
        'such as <item><question>Why?</question><answer>So.</answer></item>.'
    )


def _elements(element: ElementTree.Element) -> Iterator[dict[str, Any]]:
    """The rows of an element and of all within it."""
    tags = [_bare(child.tag) for child in element]
    row = {_bare(key): value for key, value in element.attrib.items()}
    if field_map.has_both([*row, *tags]) and len({*tags}) == len(tags):
        texts = {_bare(child.tag): _content(child) for child in element}
        if None not in texts.values():
            yield row | texts
            return
    asked = (element.text or '').strip()
    if asked and len(element) == 1 and field_map.has_both([_bare(element.tag), *tags]):
        answer = ''.join(element[0].itertext())  # <q>Why?<a>So.</a></q>
        yield {_bare(element.tag): asked, tags[0]: answer}
        return
    for child in element:
        yield from _elements(child)


def _bare(tag: str) -> str:
    return tag.rpartition('}')[2]


def _content(element: ElementTree.Element) -> str | list[str] | None:
    """An element's text, with HTML as it stands, or its items'; None for others."""
    if not len(element):
        return element.text or ''
    within = {_bare(each.tag) for each in element.iter()} - {_bare(element.tag)}
    if all(tag.lower() in html_tags.OPENING for tag in within):
        inner = [ElementTree.tostring(each, encoding='unicode') for each in element]
        return (element.text or '') + ''.join(inner)
    are_items = len(within) == 1 and not any(len(child) for child in element)
    if are_items and not (element.text or '').strip():
        return [child.text or '' for child in element]
    return None
