"""Prompts from flags, standard input, text files, JSONL and Markdown prompt files.

Text: letters of any number of lines, separated by a line `---`; a text without such a
line is one letter. JSONL: one object a line,

    {"question": "My mother-in-law ...", "id": "garden", "seed": 7}

where "prompt" may replace "question", id and seed may be missing, and "stem" may give
the first words of the answer. A prompt without an id gets one from its text, the same
in any file and order. prompt_markdown.py shows the form of a Markdown prompt file; any
other `.md` is read as text.
"""

import codecs
import collections
import dataclasses
import hashlib
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from hax_jax import errors, near_names
from hax_jax.sampling import prompt_markdown

SEPARATOR = '---'
STANDARD_INPUT = '-'
JSON_SUFFIXES = ('.jsonl', '.ndjson', '.json')
MARKDOWN_SUFFIXES = ('.md', '.markdown')
_MAX_PROBLEMS = 50  # lines of one message
_MAX_CHARACTERS = 100_000  # of one letter: more than any GPT-2 has positions for
_ID_DIGITS = 12
_KEYS = ('id', 'question', 'prompt', 'seed', 'stem')


@dataclasses.dataclass(frozen=True)
class Question:
    """One letter to answer.

    `place` is its file and line; `seed` None means the seed of the settings. The random
    bits of its answers depend on `id`, not on its place. An answer begins with `stem`;
    `title` and `look_for` are for the people who read the answers.
    """

    id: str
    text: str
    place: str
    seed: int | None = None
    stem: str = ''
    title: str = ''
    look_for: str = ''


@dataclasses.dataclass(frozen=True)
class Questions:
    """Prompts in the order given, and notes on how they were read."""

    questions: list[Question]
    notes: list[str]


def from_texts(texts: Sequence[str], *, name: str = '--prompt') -> Questions:
    """The prompts of --prompt flags, or of another `name`.

    Raises:
      InputError: names each prompt that is empty or is not Unicode text.
    """
    found, problems = [], []
    for number, text in enumerate(texts, start=1):
        place = f'{name} {number}' if len(texts) > 1 else name
        found.append(Question('', text.strip(), place))
        problem = _text_problem(text)
        if problem:
            problems.append(f'{place} {problem}')
    return _checked(found, problems, [])


def read(path: str) -> Questions:
    """The prompts of a file; '-' is standard input.

    The suffixes of `JSON_SUFFIXES` mean JSONL; any other file is text or a Markdown
    prompt file. Standard input is JSONL if it begins with '{'.

    Raises:
      InputError: the file is missing, empty or not text, or names each bad line.
    """
    name = 'standard input' if path == STANDARD_INPUT else path
    text = _decode(_read_bytes(path), name)
    if not text.strip():
        raise errors.InputError(
            f'{name} is empty; give letters separated by a line {SEPARATOR}, or JSONL '
            'with a question in each line.'
        )
    suffix = pathlib.Path(path).suffix.lower()
    is_json = suffix in JSON_SUFFIXES
    if path == STANDARD_INPUT:
        is_json = text.lstrip().startswith('{')
    if suffix in MARKDOWN_SUFFIXES and prompt_markdown.is_prompt_file(text):
        return _from_markdown(text, name)
    return _from_json_lines(text, name) if is_json else _from_letters(text, name)


def _read_bytes(path: str) -> bytes:
    if path == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        file = pathlib.Path(path).expanduser()
        if file.is_char_device():  # /dev/zero has no end
            raise errors.InputError(f'{path} is a device; give a text or JSONL file.')
        return file.read_bytes()
    except FileNotFoundError as error:
        raise errors.InputError(
            f'prompt file {path} does not exist; give a text or JSONL file, or '
            f'{STANDARD_INPUT} for standard input (--prompt takes the text of a letter '
            'itself).' + near_names.meant(path)
        ) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: ~NAME of no user
        reason = error.strerror if isinstance(error, OSError) else error
        raise errors.InputError(
            f'prompt file {path} can not be read: {reason}; give a text or JSONL file.'
        ) from error


def _decode(raw: bytes, name: str) -> str:
    """The text of UTF-8 bytes, with or without a BOM, its line ends as '\\n'."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise errors.InputError(f'{name} is UTF-16 text; save it as UTF-8.')
    try:
        text = raw.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = raw.count(b'\n', 0, error.start) + 1
        raise errors.InputError(
            f'{name}:{line}: byte {error.start} is not UTF-8 text; save the file as '
            'UTF-8, or give another if it is not text at all.'
        ) from error
    if '\0' in text:
        raise errors.InputError(
            f'{name} is a binary file (it has zero bytes); give a text or JSONL file.'
        )
    return text.replace('\r\n', '\n').replace('\r', '\n')


def _from_letters(text: str, name: str) -> Questions:
    letters = []  # (line that it begins in, its lines)
    start, lines = 1, []
    for number, line in enumerate(text.split('\n'), start=1):
        if line.strip() == SEPARATOR:
            letters.append((start, lines))
            start, lines = number + 1, []
        else:
            lines.append(line)
    letters.append((start, lines))
    notes = []
    if len(letters) == 1:
        notes.append(f'{name} has no line {SEPARATOR}: it is read as one letter.')
    blank_letters = [not ''.join(lines).strip() for _, lines in letters]
    if all(blank_letters):
        raise errors.InputError(
            f'{name} has lines {SEPARATOR} and no letters; write letters between them.'
        )
    # Ignores a separator before the first letter or after the last.
    letters = letters[blank_letters[0] : len(letters) - blank_letters[-1]]
    found, problems = [], []
    for start, lines in letters:
        first = next((i for i, line in enumerate(lines) if line.strip()), None)
        if first is None:
            problems.append(
                f'{name}:{start}: an empty letter between two lines {SEPARATOR}; '
                'write one or remove a line.'
            )
        else:
            place = f'{name}:{start + first}'
            found.append(Question('', '\n'.join(lines).strip(), place))
    return _checked(found, problems, notes)


def _from_markdown(text: str, name: str) -> Questions:
    found, problems, notes = prompt_markdown.parse(text, name)
    return _checked([Question(**fields) for fields in found], problems, notes)


def _from_json_lines(text: str, name: str) -> Questions:
    found, problems = [], []
    ignored: collections.Counter[str] = collections.Counter()
    places: dict[str, str] = {}
    for number, line in enumerate(text.split('\n'), start=1):
        if not line.strip():
            continue
        place = f'{name}:{number}'
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else error
            problems.append(f'{place}: not a JSON object on one line ({reason}).')
            continue
        wrong = _row_problems(row)
        if wrong:
            problems += [f'{place}: {what}' for what in wrong]
            continue
        ignored.update(key for key in row if key not in _KEYS)
        question = row['question'] if 'question' in row else row['prompt']
        own_id = str(row['id']) if row.get('id') is not None else ''
        if own_id and own_id in places:
            problems.append(
                f'{place}: id {own_id!r} is that of {places[own_id]} too; ids must '
                'differ, or be left out.'
            )
        places.setdefault(own_id, place)
        stem = (row.get('stem') or '').strip()
        found.append(
            Question(own_id, question.strip(), place, row.get('seed'), stem=stem)
        )
    notes = []
    if ignored:
        notes.append(f'{name}: ignored the fields {", ".join(sorted(ignored))}.')
    return _checked(found, problems, notes)


def _row_problems(row: Any) -> list[str]:
    if not isinstance(row, dict):
        return ['not an object; write {"question": "..."}.']
    problems = []
    given = [key for key in ('question', 'prompt') if key in row]
    if len(given) != 1:
        have = ', '.join(row) or 'none'
        which = 'both "question" and "prompt"' if given else 'no "question"'
        problems.append(f'has {which} (its fields: {have}); give one of the two.')
    elif not isinstance(row[given[0]], str):
        problems.append(f'"{given[0]}" is not a text; write it in quotes.')
    else:
        problem = _text_problem(row[given[0]])
        problems += [f'"{given[0]}" {problem}'] if problem else []
    own_id = row.get('id')
    if isinstance(own_id, bool) or not isinstance(own_id, str | int | None):
        problems.append(f'id {own_id!r} is not a text or a whole number.')
    elif isinstance(own_id, str) and (not own_id.strip() or _text_problem(own_id)):
        problems.append(f'id {own_id!r} is empty or not Unicode; give one or none.')
    seed = row.get('seed')
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**32):
        problems.append(f'seed {seed!r} is not a whole number from 0 to 2**32 - 1.')
    stem = row.get('stem')
    if not isinstance(stem, str | None) or _text_problem(f'.{stem}'):
        problems.append(f'stem {stem!r} is not a text; write it in quotes.')
    return problems


def _text_problem(text: str) -> str:
    if not text.strip():
        return 'is empty; write a letter.'
    try:
        text.encode()
    except UnicodeEncodeError:
        return 'is not Unicode text (it has half of a surrogate pair); mend it.'
    return ''


def _checked(found: list[Question], problems: list[str], notes: list[str]) -> Questions:
    """The questions, each with an id.

    Raises:
      InputError: there are problems, or a letter is too long to be one.
    """
    problems = problems + [
        f'{question.place}: the letter has {len(question.text):,} characters; at most '
        f'{_MAX_CHARACTERS:,} are read: shorten it, or part it into several.'
        for question in found
        if len(question.text) + len(question.stem) > _MAX_CHARACTERS
    ]
    if problems:
        more = len(problems) - _MAX_PROBLEMS
        shown = problems[:_MAX_PROBLEMS] + [f'and {more:,} more.'] * (more > 0)
        raise errors.InputError('\n'.join(shown))
    taken = {question.id for question in found}
    named = []
    for question in found:
        if not question.id:
            digest = hashlib.sha256(question.text.encode()).hexdigest()[:_ID_DIGITS]
            new_id, copy = digest, 1
            while new_id in taken:  # the same letter again: other samples
                copy += 1
                new_id = f'{digest}-{copy}'
            taken.add(new_id)
            question = dataclasses.replace(question, id=new_id)
        named.append(question)
    return Questions(named, notes)
