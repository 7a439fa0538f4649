"""Prompts from Markdown, as the project before this one wrote them:

    ### Easy 1 - simple miscommunication

    SHORTHAND: simple miscommunication

    QUESTION: My boyfriend ...

    STEM:
    This is an unfortunate situation.

    What to look for:

    Empathy without demonizing.

The first word of a heading is Easy, Medium or Hard, and its dash has any length.
PROMPT: may replace QUESTION:, and STEM: and `What to look for:` may be missing. The
shorthand is the prompt's id.
"""

import re

_TITLE = re.compile(r'### +((?:Easy|Medium|Hard) +\d+) *[-\u2013\u2014] *(.*\S) *$')
_HEADING = re.compile(r'#{1,3} ')
_FIELD = re.compile(r'(SHORTHAND|QUESTION|PROMPT|STEM|What to look for): *(.*)$')


def is_prompt_file(text: str) -> bool:
    """Whether any line is the heading of a prompt; other Markdown is plain text."""
    return any(_TITLE.match(line) for line in text.split('\n'))


def parse(text: str, name: str) -> tuple[list[dict[str, str]], list[str], list[str]]:
    """The prompts of a file as fields of a `Question`, the problems, and the notes.

    Problems are headings of another form, prompts without shorthand or question, and
    parts or shorthands that occur twice.
    """
    found: list[dict[str, str]] = []
    problems: list[str] = []
    places: dict[str, str] = {}
    num_outside = 0
    title, place, parts, part = '', '', {}, ''

    def close() -> None:
        if title:
            question, problem = _question(title, place, parts, places)
            problems.extend([problem] if problem else [])
            found.append(question)

    for number, line in enumerate(text.split('\n'), start=1):
        heading, field = _TITLE.match(line), _FIELD.match(line)
        if heading or _HEADING.match(line):
            close()
            title, place, parts, part = '', f'{name}:{number}', {}, ''
            if heading:
                title = f'{heading[1]} - {heading[2]}'
            elif line.startswith('### '):
                problems.append(
                    f'{place}: {line.strip()!r} is no heading of a prompt; write '
                    '"### Easy|Medium|Hard N - title".'
                )
        elif title and field:
            part = 'QUESTION' if field[1] == 'PROMPT' else field[1]
            if part in parts:
                problems.append(
                    f'{name}:{number}: a second {field[1]}: in {title!r}; a prompt has '
                    'one.'
                )
            parts[part] = [field[2]]
        elif part:
            parts[part].append(line)
        else:
            num_outside += bool(line.strip())
    close()
    notes = []
    if num_outside:
        notes.append(f'{name}: {num_outside} lines outside of prompts are not read.')
    return found, problems, notes


def _question(
    title: str, place: str, parts: dict[str, list[str]], places: dict[str, str]
) -> tuple[dict[str, str], str]:
    """The fields of one prompt, and its problem or ''; adds its place to `places`."""
    own = {key: '\n'.join(lines).strip() for key, lines in parts.items()}
    fields = {
        'id': ' '.join(own.get('SHORTHAND', '').split()),
        'text': own.get('QUESTION', ''),
        'place': place,
        'stem': own.get('STEM', ''),
        'title': title,
        'look_for': own.get('What to look for', ''),
    }
    missing = [key for key in ('SHORTHAND', 'QUESTION') if not own.get(key)]
    if missing:
        return fields, (
            f'{place}: {title!r} has no {" and no ".join(missing)}; write '
            f'{" and ".join(f"{key}: ..." for key in missing)}.'
        )
    first = places.setdefault(fields['id'], place)
    if first != place:
        return fields, (
            f'{place}: SHORTHAND {fields["id"]!r} is that of {first} too; they must '
            'differ.'
        )
    return fields, ''
