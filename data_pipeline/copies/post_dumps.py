"""Posts.xml of a dump of Stack Exchange: questions with the answers that name them.

    <row Id="4" PostTypeId="1" AcceptedAnswerId="9" Title="Why?" Body="Say." />
    <row Id="9" PostTypeId="2" ParentId="4" Body="So." Score="7" /> ->
    {"id": "4", "title": "Why?", "body": "Say.", "answers": [{"body": "So.", …}]}

They are joined in a database on disk: a file may be larger than memory.
"""

import collections
import json
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from data_pipeline.copies import message_trees
from data_pipeline.fields import numbers
from hax_jax import errors

_BLOCK = 2**20  # characters
_OPENS = re.compile(
    r'\s*+(?:<\?xml\b[^>]*\?>)?(?:\s++|<!--.*?-->)*+(?:<posts\b[^>]*>\s*+)?'
    r'<row\s(?=[^>]*\bPostTypeId=)[^>]*\bBody=',
    re.DOTALL,
)
_DECLARED = re.compile(r'\s*+<\?xml\b[^>]*\?>')
_NEEDED = {'Id', 'PostTypeId', 'Body'}
_QUESTION, _ANSWER = '1', '2'


def is_dump(opening: str) -> bool:
    """Whether a file that begins so holds posts, an element each."""
    return bool(_OPENS.match(opening))


def rows(path: str, name: str, counts: collections.Counter[str]) -> Iterator[str]:
    """Each question as JSON on one line, with its answers, as the API has them.

    Its score is that of its accepted or best answer. `counts` gets what is no question
    and no answer of one.

    Raises:
      InputError: the file is damaged, or cut short.
    """
    with message_trees.table('kind, id, parent, line') as store:
        posts = _posts(path, name, counts)
        store.executemany('INSERT INTO messages VALUES (?, ?, ?, ?)', posts)
        store.execute('CREATE INDEX parents ON messages (parent)')
        (alone,) = store.execute(
            'SELECT COUNT(*) FROM messages WHERE kind = ? AND parent NOT IN (SELECT id '
            'FROM messages WHERE kind = ?)',
            (_ANSWER, _QUESTION),
        ).fetchone()
        counts['answers to questions that are not in it'] += alone
        questions = store.execute(
            'SELECT id, line FROM messages WHERE kind = ? ORDER BY rowid', _QUESTION
        )
        for number, line in questions:
            answers = store.execute(
                'SELECT id, line FROM messages WHERE parent = ? AND kind = ? '
                'ORDER BY rowid',
                (number, _ANSWER),
            )
            yield json.dumps(
                _joined(json.loads(line), dict(answers)), ensure_ascii=False
            )


def _posts(
    path: str, name: str, counts: collections.Counter[str]
) -> Iterator[tuple[str, str, str, str]]:
    """(kind, id, parent, JSON) of each question and answer."""
    for given in _elements(path, name):
        if not given.keys() >= _NEEDED or given['PostTypeId'] not in (
            _QUESTION,
            _ANSWER,
        ):
            counts['posts of other kinds'] += 1
            continue
        post = {key.lower(): value for key, value in given.items()}
        line = json.dumps(post, ensure_ascii=False)
        parent = post.get('parentid', '') if post['posttypeid'] == _ANSWER else ''
        yield post['posttypeid'], post['id'], parent, line


def _elements(path: str, name: str) -> Iterator[dict[str, str]]:
    """The attributes of each `row` of a file."""
    parser = ElementTree.XMLPullParser(['start', 'end'])
    parser.feed('<all>')  # a part of a dump has no element around it
    above: list[ElementTree.Element] = []
    try:
        with open(path, encoding='utf-8-sig') as file:
            text = file.read(_BLOCK)
            declared = _DECLARED.match(text)
            text = text[declared.end() :] if declared else text
            while text:
                parser.feed(text)
                yield from _ended(parser, above)
                text = file.read(_BLOCK)
        parser.feed('</all>')
        parser.close()
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise errors.InputError(
            f'{name} is a dump of posts that is damaged or cut short ({error}); fetch '
            'it again.'
        ) from error
    yield from _ended(parser, above)


def _ended(
    parser: ElementTree.XMLPullParser, above: list[ElementTree.Element]
) -> Iterator[dict[str, str]]:
    """The rows that are read; none is kept."""
    for event, element in parser.read_events():
        if event == 'start':
            above.append(element)
            continue
        above.pop()
        if above:
            above[-1].remove(element)
        if element.tag == 'row':
            yield element.attrib


def _joined(post: dict[str, Any], answers: dict[str, str]) -> dict[str, Any]:
    accepted = post.get('acceptedanswerid')
    own = []
    for number, line in answers.items():
        answer = json.loads(line)
        own.append(
            {
                'body': answer['body'],
                'score': int(numbers.number(answer.get('score')) or 0),
                'is_accepted': number == accepted,
                'creation_date': answer.get('creationdate', ''),
            }
        )
    best = max(own, key=lambda a: (a['is_accepted'], a['score']), default=post)
    made = {**post, 'created_at': post.get('creationdate', '')}
    return {**made, 'score': best.get('score', 0), 'answers': own}
