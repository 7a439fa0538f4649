"""Prompts chosen by their exact name, or by a similar name of only one prompt."""

import dataclasses
import difflib
from collections.abc import Sequence

from hax_jax import errors
from hax_jax.sampling import prompts

_NEAR = 0.6  # least difflib ratio of a misspelled name
_MAX_NAMES = 5


def choose(found: prompts.Questions, names: Sequence[str]) -> prompts.Questions:
    """The questions of these names, in the order of the names, each once.

    A name matches a question's id or the number in its title ('Easy 1') in any case;
    else a part of only one question's id or title; else the id nearest by spelling.
    A note tells of each match that is not exact.

    Raises:
      InputError: lists each name that matches no question or several, and the nearest.
    """
    chosen: dict[str, prompts.Question] = {}
    notes, problems = [], []
    for name in names:
        matches, how = _matches(found.questions, name)
        if len(matches) != 1:
            problems.append(_problem(found.questions, matches, name))
            continue
        [question] = matches
        if how:
            notes.append(f'--name={name!r} read as {question.id!r} ({how})')
        chosen[question.id] = question
    if problems:
        raise errors.InputError('\n'.join(problems))
    return prompts.Questions(list(chosen.values()), found.notes + notes)


def with_stem(found: prompts.Questions, stem: str) -> prompts.Questions:
    """All questions with this stem; a note counts the stems that it replaces."""
    had = sum(bool(question.stem) for question in found.questions)
    notes = [f'--stem takes the place of {had} stems of the file'] if had else []
    questions = [
        dataclasses.replace(question, stem=stem) for question in found.questions
    ]
    return prompts.Questions(questions, found.notes + notes)


def listing(questions: Sequence[prompts.Question]) -> str:
    """One line a question: its name, title and stem's length."""
    width = max((len(question.id) for question in questions), default=0)
    lines = []
    for question in questions:
        first = question.title or _shortened(question.text)
        stem = f'  (stem of {len(question.stem)} characters)' if question.stem else ''
        lines.append(f'{question.id:{width}}  {first}{stem}')
    return '\n'.join(lines)


def _matches(
    questions: Sequence[prompts.Question], name: str
) -> tuple[list[prompts.Question], str]:
    asked = _folded(name)
    exact = [q for q in questions if asked in (_folded(q.id), _folded(_label(q)))]
    if exact:
        return exact, ''
    within = [
        q for q in questions if asked in _folded(q.id) or asked in _folded(q.title)
    ]
    if within:
        return within, 'part of its name'
    near = _nearest(questions, name)[:2]
    if len(near) == 2 and _ratio(near[0], asked) == _ratio(near[1], asked):
        return near, ''
    return near[:1], 'the nearest name'


def _problem(
    questions: Sequence[prompts.Question], matches: list[prompts.Question], name: str
) -> str:
    several = bool(matches)
    shown = matches or _nearest(questions, name)[:_MAX_NAMES] or list(questions)
    ids = ', '.join(repr(q.id) for q in shown[:_MAX_NAMES])
    more = len(shown) - _MAX_NAMES
    ids += f' and {more} more' if more > 0 else ''
    what = 'is part of several names' if several else 'names no prompt'
    return f'--name={name!r} {what}: {ids}; --list shows all.'


def _nearest(
    questions: Sequence[prompts.Question], name: str
) -> list[prompts.Question]:
    asked = _folded(name)
    near = [q for q in questions if _ratio(q, asked) >= _NEAR]
    return sorted(near, key=lambda q: -_ratio(q, asked))


def _ratio(question: prompts.Question, asked: str) -> float:
    return difflib.SequenceMatcher(None, _folded(question.id), asked).ratio()


def _label(question: prompts.Question) -> str:
    """'Easy 1 - title' -> 'Easy 1'."""
    return question.title.partition(' - ')[0]


def _folded(name: str) -> str:
    return ' '.join(name.casefold().split())


def _shortened(text: str) -> str:
    line = ' '.join(text.split())
    return line if len(line) <= 60 else line[:57] + '...'
