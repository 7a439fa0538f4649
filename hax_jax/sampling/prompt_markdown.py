"""Prompts from Markdown, as the project before this one wrote them:

    ### Easy 1 - simple miscommunication

    SHORTHAND: simple miscommunication

    QUESTION: My boyfriend ...

    STEM:
    This is an unfortunate situation.

    What to look for:

    Empathy without demonizing.

The heading's word is Easy, Medium or Hard, its dash of any length; PROMPT: may stand
for QUESTION:, and STEM: and `What to look for:` may be missing. The shorthand is the
prompt's id.
"""

import dataclasses
import re

_TITLE = re.compile(r'### +((?:Easy|Medium|Hard) +\d+) *[-\u2013\u2014] *(.*\S) *$')
_HEADING = re.compile(r'#{1,3} ')
_FIELD = re.compile(r'(SHORTHAND|QUESTION|PROMPT|STEM|What to look for): *(.*)$')


@dataclasses.dataclass(frozen=True)
class Entry:
    """One prompt of a file; `title` is 'Easy 1 - simple miscommunication'."""

    shorthand: str
    question: str
    stem: str
    title: str
    look_for: str
    place: str


def is_prompt_file(text: str) -> bool:
    """Whether any line is such a heading; other Markdown is text like any."""
    return any(_TITLE.match(line) for line in text.split('\n'))


def parse(text: str, name: str) -> tuple[list[Entry], list[str], list[str]]:
    """The prompts of a file in its order, what is wrong with it, and what to note.

    Wrong is each heading of another form, each prompt without shorthand or question,
    and each part or shorthand that is there twice.
    """
    found: list[Entry] = []
    problems: list[str] = []
    places: dict[str, str] = {}
    num_outside = 0
    title, place, parts, part = '', '', {}, ''

    def close() -> None:
        if not title:
            return
        own = {key: '\n'.join(lines).strip() for key, lines in parts.items()}
        missing = [key for key in ('SHORTHAND', 'QUESTION') if not own.get(key)]
        if missing:
            problems.append(
                f'{place}: {title!r} has no {" and no ".join(missing)}; write '
                f'{" and ".join(f"{key}: ..." for key in missing)}.'
            )
            return
        short = ' '.join(own['SHORTHAND'].split())
        if short in places:
            problems.append(
                f'{place}: SHORTHAND {short!r} is that of {places[short]} too; they '
                'must differ.'
            )
        places.setdefault(short, place)
        found.append(
            Entry(
                shorthand=short,
                question=own['QUESTION'],
                stem=own.get('STEM', ''),
                title=title,
                look_for=own.get('What to look for', ''),
                place=place,
            )
        )

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
